import CZooKernels
import Foundation
import Testing
import ZooTestSupport

/// Pooling windows by the definition.
private func windowTaps(_ p: zoo_pool2d, _ oy: Int, _ ox: Int) -> [(tap: Int, at: Int)] {
    var taps: [(Int, Int)] = []
    for ky in 0..<Int(p.kernel_height) {
        for kx in 0..<Int(p.kernel_width) {
            let y = oy * Int(p.stride_y) - Int(p.padding_y) + ky, x = ox * Int(p.stride_x) - Int(p.padding_x) + kx
            guard y >= 0, x >= 0, y < p.in_height, x < p.in_width else { continue }
            taps.append((ky * Int(p.kernel_width) + kx, (y * Int(p.in_width) + x) * 16))
        }
    }
    return taps
}

private func pool(_ height: Int32, _ width: Int32, kernel: Int32, stride: Int32, padding: Int32) -> zoo_pool2d {
    zoo_pool2d(
        in_height: height, in_width: width, out_height: (height + 2 * padding - kernel) / stride + 1,
        out_width: (width + 2 * padding - kernel) / stride + 1, kernel_height: kernel, kernel_width: kernel,
        stride_y: stride, stride_x: stride, padding_y: padding, padding_x: padding)
}

private let pools = [
    pool(6, 8, kernel: 2, stride: 2, padding: 0), pool(7, 7, kernel: 2, stride: 2, padding: 0),
    pool(7, 6, kernel: 3, stride: 2, padding: 1), pool(5, 5, kernel: 3, stride: 1, padding: 1),
    pool(9, 9, kernel: 2, stride: 3, padding: 0), pool(4, 4, kernel: 4, stride: 4, padding: 0),
]

@Suite struct LanesTests {
    @Test func maxPoolingAndItsTransposes() {
        var generator = SeededGenerator(seed: 21)
        withEachVariant { variant in
            for var p in pools {
                let planes = 3, inPlane = Int(p.in_height * p.in_width) * 16
                let outPlane = Int(p.out_height * p.out_width) * 16
                // Few different values: many ties.
                let x = Floats((0..<planes * inPlane).map { _ in Float(Int.random(in: 0...3, using: &generator)) })
                let tangent = Floats(random: planes * inPlane, &generator)
                let dy = Floats(random: planes * outPlane, &generator)
                let y = Floats(planes * outPlane), moved = Floats(planes * outPlane)
                let dx = Floats(planes * inPlane, repeating: 7), start = Floats(planes * inPlane, repeating: 1)
                var taps = [Int32](repeating: -1, count: planes * outPlane)
                zoo_max_pool2d(&p, planes, x.pointer, y.pointer, &taps)
                zoo_max_pool2d_gather(&p, planes, tangent.pointer, taps, moved.pointer)
                zoo_max_pool2d_scatter(&p, planes, dy.pointer, taps, dx.pointer, 0)
                zoo_max_pool2d_scatter(&p, planes, dy.pointer, taps, start.pointer, Int32(ZOO_ADD))
                var truth = [Double](repeating: 0, count: planes * inPlane), good = true
                for plane in 0..<planes {
                    for pixel in 0..<outPlane / 16 {
                        let window = windowTaps(p, pixel / Int(p.out_width), pixel % Int(p.out_width))
                        for lane in 0..<16 {
                            let out = plane * outPlane + pixel * 16 + lane, base = plane * inPlane + lane
                            let best = window.map { x[base + $0.at] }.max() ?? 0
                            guard let first = window.first(where: { x[base + $0.at] == best }) else { continue }
                            good = good && y[out] == best && taps[out] == first.tap
                            good = good && moved[out] == tangent[base + first.at]
                            truth[base + first.at] += Double(dy[out])
                        }
                    }
                }
                #expect(good, "\(variant) \(p)")
                #expect(worst(dx, truth) < 1e-6, "\(variant) \(p)")
                #expect(worst(start, truth.map { $0 + 1 }) < 1e-6, "\(variant) \(p)")
            }
        }
    }

    @Test func notANumberWinsMaxPooling() {
        withEachVariant { _ in
            var p = pool(2, 2, kernel: 2, stride: 2, padding: 0)
            let x = Floats(64, repeating: 1), y = Floats(16)
            x[16 + 3] = .nan
            x[32 + 3] = .nan
            for at in stride(from: 5, to: 64, by: 16) { x[at] = -.infinity }
            var taps = [Int32](repeating: -1, count: 16)
            zoo_max_pool2d(&p, 1, x.pointer, y.pointer, &taps)
            #expect(y[3].isNaN && taps[3] == 2)
            #expect(y[5] == -.infinity && taps[5] == 0 && y[0] == 1 && taps[0] == 0)
        }
    }

    @Test func averagePoolingAndItsTranspose() {
        var generator = SeededGenerator(seed: 22)
        withEachVariant { variant in
            for var p in pools {
                for flags in [0, Int32(ZOO_COUNT_PADDING)] {
                    let planes = 2, inPlane = Int(p.in_height * p.in_width) * 16
                    let outPlane = Int(p.out_height * p.out_width) * 16
                    let x = Floats(random: planes * inPlane, &generator), y = Floats(planes * outPlane)
                    let dy = Floats(random: planes * outPlane, &generator), dx = Floats(planes * inPlane)
                    zoo_average_pool2d(&p, planes, x.pointer, y.pointer, flags)
                    zoo_average_pool2d_gradient(&p, planes, dy.pointer, dx.pointer, flags)
                    var truth = [Double](repeating: 0, count: y.count), back = [Double](repeating: 0, count: x.count)
                    for out in 0..<y.count {
                        let pixel = out % outPlane / 16, base = out / outPlane * inPlane + out % 16
                        let window = windowTaps(p, pixel / Int(p.out_width), pixel % Int(p.out_width))
                        // These windows never reach past the padding, so the full size counts.
                        let share = flags == 0 ? Double(window.count) : Double(p.kernel_height * p.kernel_width)
                        for tap in window {
                            truth[out] += Double(x[base + tap.at]) / share
                            back[base + tap.at] += Double(dy[out]) / share
                        }
                    }
                    #expect(worst(y, truth) < 1e-6, "\(variant) \(p) \(flags)")
                    #expect(worst(dx, back) < 1e-6, "\(variant) \(p) \(flags)")
                }
            }
            let x = Floats(random: 3 * 5 * 16, &generator), y = Floats(48), dx = Floats(x.count, repeating: 1)
            zoo_global_average(3, 5, x.pointer, y.pointer)
            zoo_global_average_gradient(3, 5, y.pointer, dx.pointer, Int32(ZOO_ADD))
            for plane in 0..<3 {
                for lane in 0..<16 {
                    let mean = (0..<5).reduce(0) { $0 + Double(x[(plane * 5 + $1) * 16 + lane]) } / 5
                    #expect((Double(y[plane * 16 + lane]) - mean).magnitude < 1e-6)
                    #expect((Double(dx[(plane * 5 + 4) * 16 + lane]) - 1 - mean / 5).magnitude < 1e-6)
                }
            }
        }
    }

    @Test func layoutsRoundTrip() {
        var generator = SeededGenerator(seed: 23)
        withEachVariant { variant in
            for (samples, features) in [(1, 1), (16, 16), (16, 37), (33, 50), (7, 100), (64, 15)] {
                let rows = Floats(random: samples * features, &generator), groups = (samples + 15) / 16
                let lanes = Floats(groups * features * 16, repeating: .nan), back = Floats(samples * features)
                let order = (0..<samples).map { _ in Int64.random(in: 0..<Int64(samples), using: &generator) }
                for pick in [nil, order] {
                    zoo_lanes_from_rows(rows.pointer, pick, samples, features, lanes.pointer)
                    var good = true
                    for at in 0..<lanes.count {
                        let sample = at / (features * 16) * 16 + at % 16, feature = at / 16 % features
                        let row = sample < samples ? pick.map { Int($0[sample]) } ?? sample : -1
                        good = good && lanes[at] == (row < 0 ? 0 : rows[row * features + feature])
                    }
                    #expect(good, "\(variant) \(samples) \(features)")
                }
                zoo_lanes_from_rows(rows.pointer, nil, samples, features, lanes.pointer)
                zoo_rows_from_lanes(lanes.pointer, samples, features, back.pointer)
                #expect(back.values == rows.values)
                let turned = Floats(samples * features)
                zoo_transpose(samples, features, rows.pointer, features, turned.pointer, samples)
                let right = (0..<turned.count).allSatisfy {
                    turned[$0] == rows[$0 % samples * features + $0 / samples]
                }
                #expect(right, "\(variant) \(samples) \(features)")
            }
            let bytes: [UInt8] = (0..<36).map { UInt8($0 * 7) }
            let lanes = Floats(192, repeating: .nan)
            zoo_lanes_from_bytes(bytes, [2, 0], 2, 3, 4, [1, 2, 3], [0.5, -1, 0], lanes.pointer)
            #expect(lanes[0] == Float(bytes[24]) + 0.5 && lanes[1] == Float(bytes[0]) + 0.5 && lanes[2] == 0)
            #expect(lanes[5 * 16] == Float(bytes[29]) * 2 - 1)
        }
    }

    @Test func channelSumsAndMoments() {
        var generator = SeededGenerator(seed: 24)
        withEachVariant { variant in
            for pixels in [1, 5, 300] {
                let groups = 2, channels = 3, count = groups * channels * pixels * 16
                let x = Floats(random: count, &generator), y = Floats(random: count, &generator)
                let w = Floats((0..<32).map { $0 < 21 ? 1 : 0 })
                let a: [Float] = [2, -1, 0.5], b: [Float] = [1, 0, 3], c: [Float] = [0.25, 1, -1]
                for i in 0..<count { x[i] += 5 }
                var sums = [Double](repeating: 0, count: 3), dots = sums, squares = sums
                func channel(_ i: Int) -> Int { i / (pixels * 16) % channels }
                func weight(_ i: Int) -> Double { Double(w[i / (channels * pixels * 16) * 16 + i % 16]) }
                for i in 0..<count {
                    sums[channel(i)] += Double(x[i]) * weight(i)
                    dots[channel(i)] += Double(x[i]) * Double(y[i]) * weight(i)
                }
                let number = Double(21 * pixels)
                for i in 0..<count {
                    let d = Double(x[i]) - sums[channel(i)] / number
                    squares[channel(i)] += d * d * weight(i)
                }
                let found = Floats(3), dot = Floats(3, repeating: 1), mean = Floats(3), variance = Floats(3)
                zoo_channel_sums(groups, channels, pixels, x.pointer, w.pointer, found.pointer, 0)
                zoo_channel_dots(
                    groups, channels, pixels, x.pointer, y.pointer, w.pointer, dot.pointer, Int32(ZOO_ADD))
                zoo_channel_moments(groups, channels, pixels, x.pointer, w.pointer, mean.pointer, variance.pointer)
                #expect(worst(found, sums) < 1e-6 && worst(dot, dots.map { $0 + 1 }) < 1e-5, "\(variant) \(pixels)")
                #expect(worst(mean, sums.map { $0 / number }) < 1e-6, "\(variant) \(pixels)")
                #expect(worst(variance, squares.map { $0 / number }) < 1e-6, "\(variant) \(pixels)")
                let affine = Floats(count, repeating: 1), combined = Floats(count)
                zoo_channel_affine(groups, channels, pixels, x.pointer, a, c, affine.pointer, Int32(ZOO_ADD))
                zoo_channel_combine(
                    groups, channels, pixels, x.pointer, a, y.pointer, b, c, w.pointer, combined.pointer)
                let maps = (0..<count).map { i in
                    Double(x[i]) * Double(a[channel(i)]) + Double(c[channel(i)]) + 1
                }
                let mixes = (0..<count).map { i in
                    (maps[i] - 1 + Double(y[i]) * Double(b[channel(i)])) * weight(i)
                }
                #expect(worst(affine, maps) < 1e-6 && worst(combined, mixes) < 1e-6, "\(variant) \(pixels)")
                let clamp = Int32(ZOO_CLAMP)
                zoo_channel_affine(groups, channels, pixels, x.pointer, nil, [-5, -5, -5], affine.pointer, clamp)
                #expect(worst(affine, (0..<count).map { max(Double(x[$0]) - 5, 0) }) < 1e-6)
            }
        }
    }
}
