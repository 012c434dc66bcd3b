import CZooKernels
import Testing
import ZooTestSupport

/// A convolution with all its gradients by the definition, in Float64.
private struct NaiveConvolution {
    var y: [Double], dx: [Double], dw: [Double], db: [Double], sampleDW: [Double], sampleDB: [Double]

    init(_ c: zoo_conv2d, groups: Int, x: Floats, w: Floats, b: Floats, dy: Floats) {
        let ins = Int(c.in_channels / c.channel_groups), outs = Int(c.out_channels / c.channel_groups)
        let (kh, kw) = (Int(c.kernel_height), Int(c.kernel_width)), (h, wd) = (Int(c.in_height), Int(c.in_width))
        let (oh, ow) = (Int(c.out_height), Int(c.out_width)), channels = Int(c.out_channels)
        y = Array(repeating: 0, count: dy.count)
        dx = Array(repeating: 0, count: x.count)
        dw = Array(repeating: 0, count: w.count)
        db = Array(repeating: 0, count: b.count)
        sampleDW = Array(repeating: 0, count: w.count * groups * 16)
        sampleDB = Array(repeating: 0, count: b.count * groups * 16)
        for g in 0..<groups {
            for o in 0..<channels {
                for py in 0..<oh {
                    for px in 0..<ow {
                        let out = (((g * channels + o) * oh + py) * ow + px) * 16
                        for lane in 0..<16 {
                            y[out + lane] = Double(b[o])
                            db[o] += Double(dy[out + lane])
                            sampleDB[(g * channels + o) * 16 + lane] += Double(dy[out + lane])
                        }
                        for i in 0..<ins {
                            for ky in 0..<kh {
                                for kx in 0..<kw {
                                    let sy = py * Int(c.stride_y) - Int(c.padding_y) + ky * Int(c.dilation_y)
                                    let sx = px * Int(c.stride_x) - Int(c.padding_x) + kx * Int(c.dilation_x)
                                    guard sy >= 0, sx >= 0, sy < h, sx < wd else { continue }
                                    let channel = g * Int(c.in_channels) + o / outs * ins + i
                                    let source = ((channel * h + sy) * wd + sx) * 16
                                    let weight = ((o * ins + i) * kh + ky) * kw + kx
                                    for lane in 0..<16 {
                                        let delta = Double(dy[out + lane]), value = Double(x[source + lane])
                                        y[out + lane] += value * Double(w[weight])
                                        dx[source + lane] += delta * Double(w[weight])
                                        dw[weight] += delta * value
                                        sampleDW[(g * w.count + weight) * 16 + lane] += delta * value
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

private func check(_ conv: zoo_conv2d, groups: Int, _ generator: inout SeededGenerator) {
    var c = conv
    #expect(zoo_conv2d_is_valid(&c))
    let lanes = groups * 16
    let xCount = lanes * Int(c.in_channels * c.in_height * c.in_width)
    let yCount = lanes * Int(c.out_channels * c.out_height * c.out_width)
    let weights = zoo_conv2d_packed_count(&c), outs = Int(c.out_channels)
    let x = Floats(random: xCount, &generator), w = Floats(random: weights, &generator)
    let b = Floats(random: outs, &generator), dy = Floats(random: yCount, &generator)
    let truth = NaiveConvolution(c, groups: groups, x: x, w: w, b: b, dy: dy)
    let limit = 2e-5
    withEachVariant { variant in
        let workspace = UnsafeMutableRawPointer.allocate(
            byteCount: max(zoo_conv2d_workspace_size(&c), 1), alignment: 64)
        defer { workspace.deallocate() }
        let packed = Floats(weights), transposed = Floats(weights)
        zoo_conv2d_pack(&c, w.pointer, packed.pointer)
        zoo_conv2d_pack_transposed(&c, w.pointer, transposed.pointer)
        let y = Floats(yCount, repeating: .nan), dx = Floats(xCount, repeating: .nan)
        let dw = Floats(weights, repeating: .nan), db = Floats(outs, repeating: .nan)
        zoo_conv2d_forward(&c, groups, x.pointer, packed.pointer, b.pointer, y.pointer, 0, workspace)
        zoo_conv2d_input_gradient(&c, groups, dy.pointer, transposed.pointer, dx.pointer, 0, workspace)
        zoo_conv2d_weight_gradient(&c, groups, x.pointer, dy.pointer, dw.pointer, db.pointer, 0, workspace)
        #expect(worst(y, truth.y) < limit, "\(variant) forward \(c)")
        #expect(worst(dx, truth.dx) < limit, "\(variant) input gradient \(c)")
        #expect(worst(dw, truth.dw) < limit, "\(variant) weight gradient \(c)")
        #expect(worst(db, truth.db) < limit, "\(variant) bias gradient \(c)")

        // Added once more, everything doubles; without a bias it is missing once; clamped, the sign goes.
        let add = Int32(ZOO_ADD)
        zoo_conv2d_forward(&c, groups, x.pointer, packed.pointer, nil, y.pointer, add | Int32(ZOO_CLAMP), workspace)
        zoo_conv2d_input_gradient(&c, groups, dy.pointer, transposed.pointer, dx.pointer, add, workspace)
        zoo_conv2d_weight_gradient(&c, groups, x.pointer, dy.pointer, dw.pointer, db.pointer, add, workspace)
        let plane = Int(c.out_height * c.out_width) * 16
        let clamped = truth.y.indices.map { max(2 * truth.y[$0] - Double(b[$0 / plane % outs]), 0) }
        #expect(worst(y, clamped) < limit, "\(variant) forward, added \(c)")
        #expect(worst(dx, truth.dx.map { 2 * $0 }) < limit, "\(variant) input gradient, added \(c)")
        #expect(worst(dw, truth.dw.map { 2 * $0 }) < limit, "\(variant) weight gradient, added \(c)")
        #expect(worst(db, truth.db.map { 2 * $0 }) < limit, "\(variant) bias gradient, added \(c)")

        let each = Floats(weights * lanes), eachBias = Floats(outs * lanes)
        zoo_conv2d_sample_gradients(&c, groups, x.pointer, dy.pointer, each.pointer, eachBias.pointer, 0)
        #expect(worst(each, truth.sampleDW) < limit, "\(variant) sample gradients \(c)")
        #expect(worst(eachBias, truth.sampleDB) < limit, "\(variant) sample bias gradients \(c)")
    }
}

private func convolution(
    _ ins: Int32, _ outs: Int32, size: (Int32, Int32), kernel: (Int32, Int32), stride: (Int32, Int32) = (1, 1),
    padding: (Int32, Int32) = (0, 0), dilation: (Int32, Int32) = (1, 1), groups: Int32 = 1
) -> zoo_conv2d? {
    let reach = ((kernel.0 - 1) * dilation.0 + 1, (kernel.1 - 1) * dilation.1 + 1)
    let room = (size.0 + 2 * padding.0 - reach.0, size.1 + 2 * padding.1 - reach.1)
    guard room.0 >= 0, room.1 >= 0 else { return nil }
    return zoo_conv2d(
        in_channels: ins, in_height: size.0, in_width: size.1, out_channels: outs,
        out_height: room.0 / stride.0 + 1, out_width: room.1 / stride.1 + 1, kernel_height: kernel.0,
        kernel_width: kernel.1, stride_y: stride.0, stride_x: stride.1, padding_y: padding.0, padding_x: padding.1,
        dilation_y: dilation.0, dilation_x: dilation.1, channel_groups: groups)
}

@Suite struct ConvolutionTests {
    @Test func randomShapesMatchTheDefinition() {
        var generator = SeededGenerator(seed: 11)
        for _ in 0..<60 {
            func pick(_ range: ClosedRange<Int32>) -> Int32 { Int32.random(in: range, using: &generator) }
            let groups = pick(1...3)
            let conv = convolution(
                groups * pick(1...6), groups * pick(1...9), size: (pick(1...8), pick(1...8)),
                kernel: (pick(1...4), pick(1...5)), stride: (pick(1...3), pick(1...3)),
                padding: (pick(0...2), pick(0...3)), dilation: (pick(1...2), pick(1...3)), groups: groups)
            guard let conv else { continue }
            check(conv, groups: Int(pick(1...2)), &generator)
        }
    }

    @Test func largeShapesGoThroughTheBuffer() throws {
        var generator = SeededGenerator(seed: 12)
        for conv in [
            convolution(40, 26, size: (11, 10), kernel: (3, 3), padding: (1, 1)),
            convolution(24, 24, size: (12, 12), kernel: (3, 3), stride: (2, 2), padding: (1, 1)),
            convolution(33, 16, size: (9, 13), kernel: (5, 3), padding: (2, 1), dilation: (2, 1)),
            convolution(70, 13, size: (10, 9), kernel: (1, 1)), convolution(3, 5, size: (20, 17), kernel: (7, 5)),
        ] { check(try #require(conv), groups: 1, &generator) }
    }

    @Test func linearLayersOfAnySize() {
        var generator = SeededGenerator(seed: 13)
        for (ins, outs) in [(1, 1), (3, 7), (36, 20), (20, 10), (65, 33), (2, 64), (130, 25)] as [(Int32, Int32)] {
            for groups in [1, 2, 5] { check(zoo_linear(ins, outs), groups: groups, &generator) }
        }
    }

    @Test func shapesOutOfRangeAreRefused() {
        var good = zoo_linear(3, 4)
        #expect(zoo_conv2d_is_valid(&good))
        for change: (inout zoo_conv2d) -> Void in [
            { $0.in_channels = 0 }, { $0.stride_x = 0 }, { $0.padding_y = -1 }, { $0.channel_groups = 2 },
            {
                $0.in_height = 1 << 20; $0.in_width = 1 << 20
            }, { $0.kernel_height = .max }, { $0.dilation_x = .max },
            {
                $0.in_channels = 1 << 20; $0.out_channels = 1 << 20
            },
        ] {
            var bad = zoo_linear(3, 4)
            change(&bad)
            #expect(!zoo_conv2d_is_valid(&bad))
        }
    }
}
