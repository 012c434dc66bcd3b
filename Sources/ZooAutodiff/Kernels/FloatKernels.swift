import CZooKernels
import ZooTensor

/// Float32 kernels in C where the generic ones would be slow.
enum FloatKernels {
    /// The fast kernel of an instruction, or nil where there is none for its shapes.
    static func lower(_ site: Site) -> Lowered? {
        switch site.operation {
        case .unary(let function): unary(function, site)
        case .binary(let function):
            binary(function, site) ?? rowBinary(function, site) ?? numberPerRow(function, site)
        case .sum: channelSums(site) ?? rowSums(site)
        case .matmul(let form): products(form, site)
        case .softmax(let axis): softmax(axis, site)
        case .logSumExp(let axis): logSumExp(axis, site)
        case .argmax(let axis): argmax(axis, site)
        case .windowArgmax(let windows), .windowTake(let windows), .windowPut(let windows): pool(windows, site)
        case .fused(let fused): lower(fused, site)
        default: nil
        }
    }

    private static func lower(_ fused: Fused, _ site: Site) -> Lowered {
        switch fused {
        case .packWeights(let face, let form): pack(face, form, site)
        case .convolution(let face, let form, let extras): convolution(face, form, extras, site)
        case .sampleGradients(let form): sampleGradients(form, site)
        case .channelAffine(let scales, let extras): channelAffine(scales, extras, site)
        case .channelDots: channelDots(site)
        case .slope(let function): slope(function, site)
        case .maxPool(let windows): maxPool(windows, site)
        case .product(let form, let extras, let isPacked): product(form, extras, isPacked, site)
        case .packProduct(let form): packProduct(form, site)
        case .heads(let product): heads(product, site)
        case .maskedSoftmax: maskedSoftmax(site)
        case .softmaxSlope: softmaxSlope(site)
        case .toLanes, .fromLanes: cross(fused == .toLanes, site)
        }
    }

    // MARK: Element by element

    /// The library's name and derivative order of a function.
    static func named(_ function: Unary) -> (zoo_function, Int32)? {
        switch function {
        case .exp: (ZOO_FUNCTION_EXP, 0)
        case .log: (ZOO_FUNCTION_LOG, 0)
        case .tanh: (ZOO_FUNCTION_TANH, 0)
        case .sigmoid: (ZOO_FUNCTION_SIGMOID, 0)
        case .softplus: (ZOO_FUNCTION_SOFTPLUS, 0)
        case .relu: (ZOO_FUNCTION_RELU, 0)
        case .sqrt: (ZOO_FUNCTION_SQRT, 0)
        case .rsqrt: (ZOO_FUNCTION_RSQRT, 0)
        case .reciprocal: (ZOO_FUNCTION_RECIPROCAL, 0)
        case .erf: (ZOO_FUNCTION_ERF, 0)
        case .sin: (ZOO_FUNCTION_SIN, 0)
        case .cos: (ZOO_FUNCTION_COS, 0)
        case .abs: (ZOO_FUNCTION_ABS, 0)
        case .gelu(let order) where order <= 3: (ZOO_FUNCTION_GELU, Int32(order))
        case .swish(1, let order) where order <= 3: (ZOO_FUNCTION_SILU, Int32(order))
        case .swish(1.702, let order) where order <= 3: (ZOO_FUNCTION_GELU_QUICK, Int32(order))
        default: nil
        }
    }

    private static func unary(_ function: Unary, _ site: Site) -> Lowered? {
        guard let (name, order) = named(function) else { return nil }
        let (x, y, count) = (site.operands[0], site.output, site.shape.elementCount)
        return Lowered { buffers, _ in
            zoo_apply(name, order, count, buffers.reals(x), nil, buffers.output(y), 0)
        }
    }

    private static func slope(_ function: Unary, _ site: Site) -> Lowered {
        guard let (name, order) = named(function) else { return Kernels<Float>.lower(site) }
        let (x, g, y, count) = (site.operands[0], site.operands[1], site.output, site.shape.elementCount)
        return Lowered { buffers, _ in
            zoo_apply(name, order, count, buffers.reals(x), buffers.reals(g), buffers.output(y), 0)
        }
    }

    private static func binary(_ function: Binary, _ site: Site) -> Lowered? {
        guard site.operandShapes[0].elementCount == site.shape.elementCount,
            site.operandShapes[1].elementCount == site.shape.elementCount
        else { return nil }
        let (a, b, y, count) = (site.operands[0], site.operands[1], site.output, site.shape.elementCount)
        switch function {
        case .add:
            return Lowered {
                zoo_add(count, $0.reals(a), $0.reals(b), $0.output(y)); _ = $1
            }
        case .subtract:
            return Lowered {
                zoo_subtract(count, $0.reals(a), $0.reals(b), $0.output(y)); _ = $1
            }
        case .multiply:
            return Lowered {
                zoo_multiply(count, $0.reals(a), $0.reals(b), $0.output(y), 0); _ = $1
            }
        case .divide:
            return Lowered {
                zoo_divide(count, $0.reals(a), $0.reals(b), $0.output(y)); _ = $1
            }
        case .gate:
            return Lowered { buffers, _ in
                zoo_apply(
                    ZOO_FUNCTION_RELU, 1, count, buffers.reals(b), buffers.reals(a), buffers.output(y), 0)
            }
        case .maximum, .greater: return nil
        }
    }

    // MARK: Channels

    /// Groups, channels and pixels of samples in lanes.
    private static func planes(_ shape: Shape) -> (groups: Int, channels: Int, pixels: Int) {
        (shape[0], shape[1], shape.dimensions[2..<(shape.rank - 1)].reduce(1, *))
    }

    private static func channelSums(_ site: Site) -> Lowered? {
        let from = site.operandShapes[0]
        guard from.rank >= 3, from[from.rank - 1] == LaneLayout.lanes, site.shape.elementCount == from[1],
            site.shape[1] == from[1]
        else { return nil }
        let (groups, channels, pixels) = planes(from)
        let (x, y) = (site.operands[0], site.output)
        return Lowered { buffers, _ in
            zoo_channel_sums(groups, channels, pixels, buffers.reals(x), nil, buffers.output(y), 0)
        }
    }

    private static func channelDots(_ site: Site) -> Lowered {
        let (groups, channels, pixels) = planes(site.operandShapes[0])
        let (a, b, y) = (site.operands[0], site.operands[1], site.output)
        return Lowered { buffers, _ in
            zoo_channel_dots(groups, channels, pixels, buffers.reals(a), buffers.reals(b), nil, buffers.output(y), 0)
        }
    }

    private static func channelAffine(_ scales: Bool, _ extras: Fused.Extras, _ site: Site) -> Lowered {
        let (groups, channels, pixels) = planes(site.shape)
        let extra = Extra(extras, site, after: scales ? 2 : 1)
        let (x, scale, y) = (site.operands[0], scales ? site.operands[1] : nil, site.output)
        return Lowered { buffers, _ in
            extra.prepare(buffers)
            zoo_channel_affine(
                groups, channels, pixels, buffers.reals(x), scale.map { buffers.reals($0) }, extra.bias(buffers),
                buffers.output(y), extra.flags)
        }
    }

    /// Bias, initial value and clamp of a fused operation at run time.
    private struct Extra: Sendable {
        let biasBuffer: Int?, initialBuffer: Int?
        let output: Int, count: Int
        let flags: Int32

        init(_ extras: Fused.Extras, _ site: Site, after regular: Int) {
            biasBuffer = extras.bias ? site.operands[regular] : nil
            initialBuffer = extras.initial ? site.operands.last : nil
            output = site.output
            count = site.shape.elementCount
            flags = (extras.initial ? Int32(ZOO_ADD) : 0) | (extras.clamps ? Int32(ZOO_CLAMP) : 0)
        }

        /// Puts the initial value into the output unless it lies there already.
        @inline(__always)
        func prepare(_ buffers: Buffers) {
            guard let initialBuffer, buffers[initialBuffer] != buffers[output] else { return }
            buffers.output(output, Float.self).update(from: buffers.reals(initialBuffer, Float.self), count: count)
        }

        @inline(__always)
        func bias(_ buffers: Buffers) -> UnsafePointer<Float>? { biasBuffer.map { buffers.reals($0) } }
    }

    // MARK: Convolution

    private static func pack(_ face: ConvolutionFace, _ form: ConvolutionForm, _ site: Site) -> Lowered {
        let weight = site.operandShapes[0]
        let kernel = LaneConvolution(form, outputs: weight[0], inputs: weight[1] * form.groups).kernel
        let (w, packed) = (site.operands[0], site.output)
        return Lowered { buffers, _ in
            var kernel = kernel
            if face == .inputGradient {
                zoo_conv2d_pack_transposed(&kernel, buffers.reals(w), buffers.output(packed))
            } else {
                zoo_conv2d_pack(&kernel, buffers.reals(w), buffers.output(packed))
            }
        }
    }

    private static func convolution(
        _ face: ConvolutionFace, _ form: ConvolutionForm, _ extras: Fused.Extras, _ site: Site
    ) -> Lowered {
        let map = face == .output ? site.shape : site.operandShapes[face == .inputGradient ? 0 : 1]
        let image = face == .inputGradient ? site.shape : site.operandShapes[0]
        let kernel = LaneConvolution(form, outputs: map[1], inputs: image[1]).kernel
        var sized = kernel
        let groups = image[0]
        let extra = Extra(extras, site, after: 2)
        let (a, b, y) = (site.operands[0], site.operands[1], site.output)
        return Lowered(scratchBytes: zoo_conv2d_workspace_size(&sized)) { buffers, scratch in
            var kernel = kernel
            extra.prepare(buffers)
            switch face {
            case .output:
                zoo_conv2d_forward(
                    &kernel, groups, buffers.reals(a), buffers.reals(b), extra.bias(buffers), buffers.output(y),
                    extra.flags, scratch)
            case .inputGradient:
                zoo_conv2d_input_gradient(
                    &kernel, groups, buffers.reals(a), buffers.reals(b), buffers.output(y), extra.flags, scratch)
            case .weightGradient:
                zoo_conv2d_weight_gradient(
                    &kernel, groups, buffers.reals(a), buffers.reals(b), buffers.output(y), nil, extra.flags, scratch)
            }
        }
    }

    private static func sampleGradients(_ form: ConvolutionForm, _ site: Site) -> Lowered {
        let (image, map) = (site.operandShapes[0], site.operandShapes[1])
        let kernel = LaneConvolution(form, outputs: map[1], inputs: image[1]).kernel
        let (x, dy, y, groups) = (site.operands[0], site.operands[1], site.output, image[0])
        return Lowered { buffers, _ in
            var kernel = kernel
            zoo_conv2d_sample_gradients(
                &kernel, groups, buffers.reals(x), buffers.reals(dy), buffers.output(y), nil, 0)
        }
    }

    // MARK: Windows

    /// The windows as the kernels describe them, when all are alike and samples lie in lanes.
    private static func form(_ windows: Windows, over plane: Shape) -> zoo_pool2d? {
        guard let uniform = windows.uniform, plane.rank == windows.axis + 3,
            plane[plane.rank - 1] == LaneLayout.lanes
        else { return nil }
        let (kernel, stride, padding) = (Int32(uniform[0]), Int32(uniform[1]), Int32(uniform[2]))
        return zoo_pool2d(
            in_height: Int32(plane[windows.axis]), in_width: Int32(plane[windows.axis + 1]),
            out_height: Int32(windows.rows.count), out_width: Int32(windows.columns.count), kernel_height: kernel,
            kernel_width: kernel, stride_y: stride, stride_x: stride, padding_y: padding, padding_x: padding)
    }

    private static func maxPool(_ windows: Windows, _ site: Site) -> Lowered {
        let plane = site.operandShapes[0]
        let planes = plane.dimensions[..<windows.axis].reduce(1, *)
        let (x, y) = (site.operands[0], site.output)
        guard let form = form(windows, over: plane) else { return Kernels<Float>.lower(site) }
        return Lowered { buffers, _ in
            var form = form
            zoo_max_pool2d(&form, planes, buffers.reals(x), buffers.output(y), nil)
        }
    }

    private static func pool(_ windows: Windows, _ site: Site) -> Lowered? {
        let isPut = if case .windowPut = site.operation { true } else { false }
        let plane = isPut ? site.shape : site.operandShapes[0]
        guard let form = form(windows, over: plane) else { return nil }
        let planes = plane.dimensions[..<windows.axis].reduce(1, *)
        let (x, index, y) = (site.operands[0], site.operands.last ?? 0, site.output)
        switch site.operation {
        case .windowArgmax:
            return Lowered(scratchBytes: site.shape.elementCount * 4) { buffers, scratch in
                var form = form
                zoo_max_pool2d(
                    &form, planes, buffers.reals(x), scratch.assumingMemoryBound(to: Float.self), buffers.output(y))
            }
        case .windowTake:
            return Lowered { buffers, _ in
                var form = form
                zoo_max_pool2d_gather(&form, planes, buffers.reals(x), buffers.reals(index), buffers.output(y))
            }
        default:
            return Lowered { buffers, _ in
                var form = form
                zoo_max_pool2d_scatter(&form, planes, buffers.reals(x), buffers.reals(index), buffers.output(y), 0)
            }
        }
    }

    // MARK: Softmax and layouts

    private static func softmax(_ axis: Int, _ site: Site) -> Lowered? {
        let (outer, extent, inner) = site.shape.split(axis)
        let (x, y) = (site.operands[0], site.output)
        if inner == LaneLayout.lanes {
            return Lowered { buffers, _ in zoo_softmax_lanes(outer, extent, buffers.reals(x), buffers.output(y)) }
        }
        guard inner == 1 else { return nil }
        return Lowered { buffers, _ in
            zoo_softmax_rows(
                outer, extent, buffers.reals(x), extent, 1, nil, 0, .max, buffers.output(y), extent)
        }
    }

    private static func argmax(_ axis: Int, _ site: Site) -> Lowered? {
        let (outer, extent, inner) = site.operandShapes[0].split(axis)
        let (x, y) = (site.operands[0], site.output)
        if inner == LaneLayout.lanes {
            return Lowered { buffers, _ in zoo_argmax_lanes(outer, extent, buffers.reals(x), buffers.output(y)) }
        }
        guard inner == 1 else { return nil }
        return Lowered { buffers, _ in zoo_argmax_rows(outer, extent, buffers.reals(x), buffers.output(y)) }
    }

    private static func logSumExp(_ axis: Int, _ site: Site) -> Lowered? {
        let (outer, extent, inner) = site.operandShapes[0].split(axis)
        let (operand, output) = (site.operands[0], site.output)
        return Lowered(scratchBytes: extent * inner * 4) { buffers, scratch in
            var x: UnsafePointer<Float> = buffers.reals(operand)
            var y: UnsafeMutablePointer<Float> = buffers.output(output)
            let powers = scratch.assumingMemoryBound(to: Float.self)
            for _ in 0..<outer {
                for column in 0..<inner {
                    var largest = -Float.infinity
                    for index in 0..<extent { largest = max(largest, x[index * inner + column]) }
                    let shift = largest == -Float.infinity ? 0 : largest
                    for index in 0..<extent { powers[index * inner + column] = x[index * inner + column] - shift }
                    y[column] = shift
                }
                zoo_apply(ZOO_FUNCTION_EXP, 0, extent * inner, powers, nil, powers, 0)
                for index in 1..<max(1, extent) {
                    for column in 0..<inner { powers[column] += powers[index * inner + column] }
                }
                zoo_apply(ZOO_FUNCTION_LOG, 0, inner, powers, nil, powers, 0)
                for column in 0..<inner { y[column] += powers[column] }
                x += extent * inner
                y += inner
            }
        }
    }

    private static func cross(_ toLanes: Bool, _ site: Site) -> Lowered {
        let rows = toLanes ? site.operandShapes[0] : site.shape
        let samples = rows[0], features = rows.dimensions.dropFirst().reduce(1, *)
        let (x, y) = (site.operands[0], site.output)
        return Lowered { buffers, _ in
            if toLanes {
                zoo_lanes_from_rows(buffers.reals(x), nil, samples, features, buffers.output(y))
            } else {
                zoo_rows_from_lanes(buffers.reals(x), samples, features, buffers.output(y))
            }
        }
    }
}
