import CZooKernels

/// One measured kernel: what the peer calls it, what one run computes or moves, and the run.
struct Case {
    let kind: String
    let numbers: [Int]
    /// Billions of the unit that one run does.
    let work: Double
    let unit: String
    let run: () -> Void

    var title: String { ([kind] + numbers.map(String.init)).joined(separator: " ") }
}

/// Random floats aligned to 64 bytes, kept for the life of the process.
func floats(_ count: Int) -> UnsafeMutablePointer<Float> {
    let raw = UnsafeMutableRawPointer.allocate(byteCount: max(count, 16) * 4, alignment: 64)
    let pointer = raw.bindMemory(to: Float.self, capacity: count)
    var generator = SystemRandomNumberGenerator()
    for i in 0..<count { pointer[i] = Float(Int32(truncatingIfNeeded: generator.next())) * 0x1p-31 }
    return pointer
}

/// Forward, input gradient and weight gradient of a square convolution; a linear layer when `size` is 0.
func convolutions(images: Int, _ ins: Int, _ outs: Int, size: Int, kernel: Int, padding: Int) -> [Case] {
    let side = Int32(max(size, 1)), k = Int32(kernel), pad = Int32(padding), out = side + 2 * pad - k + 1
    var conv = zoo_linear(Int32(ins), Int32(outs))
    (conv.in_height, conv.in_width, conv.out_height, conv.out_width) = (side, side, out, out)
    (conv.kernel_height, conv.kernel_width, conv.padding_y, conv.padding_x) = (k, k, pad, pad)
    let shape = conv, groups = (images + 15) / 16, pixels = Int(side * side), outPixels = Int(out * out)
    let weights = zoo_conv2d_packed_count(&conv), w = floats(weights), b = floats(outs)
    let x = floats(groups * 16 * ins * pixels), y = floats(groups * 16 * outs * outPixels)
    let packed = floats(weights), transposed = floats(weights), dw = floats(weights), db = floats(outs)
    let workspace = UnsafeMutableRawPointer.allocate(byteCount: zoo_conv2d_workspace_size(&conv) + 64, alignment: 64)
    zoo_conv2d_pack(&conv, w, packed)
    zoo_conv2d_pack_transposed(&conv, w, transposed)
    // Nominal work: taps in the padding count, as usual.
    let work = 2e-9 * Double(images * ins * outs * outPixels * kernel * kernel)
    let name = size == 0 ? "linear" : "conv"
    let numbers = size == 0 ? [images, ins, outs] : [images, ins, outs, size, kernel, padding]
    return [
        Case(kind: name, numbers: numbers, work: work, unit: "GFLOP") {
            withUnsafePointer(to: shape) { zoo_conv2d_forward($0, groups, x, packed, b, y, 0, workspace) }
        },
        Case(kind: name + "-input", numbers: numbers, work: work, unit: "GFLOP") {
            withUnsafePointer(to: shape) { zoo_conv2d_input_gradient($0, groups, y, transposed, x, 0, workspace) }
        },
        Case(kind: name + "-weight", numbers: numbers, work: work, unit: "GFLOP") {
            withUnsafePointer(to: shape) { zoo_conv2d_weight_gradient($0, groups, x, y, dw, db, 0, workspace) }
        },
    ]
}

private func elementwise(_ count: Int) -> [Case] {
    let x = floats(count), g = floats(count), y = floats(count)
    let functions: [(String, zoo_function, Int32, Bool)] = [
        ("exp", ZOO_FUNCTION_EXP, 0, false), ("log", ZOO_FUNCTION_LOG, 0, false),
        ("tanh", ZOO_FUNCTION_TANH, 0, false), ("sigmoid", ZOO_FUNCTION_SIGMOID, 0, false),
        ("silu", ZOO_FUNCTION_SILU, 0, false), ("gelu", ZOO_FUNCTION_GELU, 0, false),
        ("gelu-gradient", ZOO_FUNCTION_GELU, 1, true), ("erf", ZOO_FUNCTION_ERF, 0, false),
        ("sin", ZOO_FUNCTION_SIN, 0, false),
    ]
    return functions.map { name, function, order, hasFactor in
        Case(kind: name, numbers: [count], work: Double(count) * 1e-9, unit: "Gelem") {
            zoo_apply(function, order, count, x, hasFactor ? UnsafePointer(g) : nil, y, 0)
        }
    }
}

private func pooling(images: Int, channels: Int, size: Int) -> Case {
    let half = Int32(size / 2), side = Int32(size), planes = images / 16 * channels
    let pool = zoo_pool2d(
        in_height: side, in_width: side, out_height: half, out_width: half, kernel_height: 2, kernel_width: 2,
        stride_y: 2, stride_x: 2, padding_y: 0, padding_x: 0)
    let x = floats(planes * size * size * 16), y = floats(planes * size * size * 4)
    let taps = UnsafeMutablePointer<Int32>.allocate(capacity: planes * size * size * 4)
    let bytes = Double(planes * size * size * 16 * 4) * 1e-9
    return Case(kind: "max-pool", numbers: [images, channels, size], work: bytes, unit: "GB") {
        withUnsafePointer(to: pool) { zoo_max_pool2d($0, planes, x, y, taps) }
    }
}

private func rowCases() -> [Case] {
    let (rows, width) = (512, 384), count = rows * width
    let x = floats(count), dy = floats(count), y = floats(count), gamma = floats(width), beta = floats(width)
    let mean = floats(rows), rstd = floats(rows), dgamma = floats(width), dbeta = floats(width)
    let (heads, keys) = (8192, 64), scores = floats(heads * keys), shares = floats(heads * keys)
    let (samples, classes) = (256, 10), logits = floats(samples * classes), gradient = floats(samples * classes)
    let losses = floats(samples), labels = UnsafeMutablePointer<Int32>.allocate(capacity: samples)
    for i in 0..<samples { labels[i] = Int32(i % classes) }
    let (channels, size) = (64, 32), image = floats(32 * channels * size * size)
    let means = floats(channels), variances = floats(channels)
    return [
        Case(kind: "layer-norm", numbers: [rows, width], work: Double(count) * 8e-9, unit: "GB") {
            zoo_layer_norm(rows, width, x, gamma, beta, 1e-5, y, mean, rstd)
        },
        Case(kind: "layer-norm-gradient", numbers: [rows, width], work: Double(count) * 12e-9, unit: "GB") {
            zoo_layer_norm_gradient(rows, width, x, gamma, mean, rstd, dy, y, dgamma, dbeta, 0)
        },
        Case(kind: "softmax-rows", numbers: [heads, keys], work: Double(heads * keys) * 1e-9, unit: "Gelem") {
            zoo_softmax_rows(heads, keys, scores, keys, 0.125, nil, 0, .max, shares, keys)
        },
        Case(kind: "cross-entropy", numbers: [samples, classes], work: Double(samples * classes) * 1e-9, unit: "Gelem")
        {
            zoo_cross_entropy_lanes(samples / 16, classes, logits, labels, 0, nil, losses, gradient)
        },
        Case(
            kind: "batch-moments", numbers: [32, channels, size], work: Double(32 * channels * size * size) * 4e-9,
            unit: "GB"
        ) {
            zoo_channel_moments(2, channels, size * size, image, nil, means, variances)
        },
    ]
}

/// The mean of `k` vectors of `count` elements, all of one type.
private func mean(_ k: Int, _ count: Int, _ name: String, _ dtype: zoo_dtype) -> Case {
    let raw = Int32(dtype.rawValue), size = zoo_dtype_size(raw)
    let inputs = (0..<k).map { _ -> UnsafeRawPointer? in
        let values = floats(count)
        let stored = UnsafeMutableRawPointer.allocate(byteCount: count * size, alignment: 64)
        zoo_convert(values, 0, count, stored, raw)
        values.deallocate()
        return UnsafeRawPointer(stored)
    }
    let output = UnsafeMutableRawPointer.allocate(byteCount: count * size, alignment: 64)
    let dtypes = [Int32](repeating: raw, count: k), weights = [Double](repeating: 1 / Double(k), count: k)
    return Case(kind: name, numbers: [k, count], work: Double(k * count * size) * 1e-9, unit: "GB") {
        zoo_weighted_sum(inputs, dtypes, weights, k, count, output, raw, false)
    }
}

/// Everything that is measured, in order; made one after the other so that memory stays small.
let groupsOfCases: [@Sendable () -> [Case]] = [
    { convolutions(images: 32, 64, 64, size: 32, kernel: 3, padding: 1) },
    { convolutions(images: 32, 128, 128, size: 16, kernel: 3, padding: 1) },
    { convolutions(images: 64, 256, 256, size: 8, kernel: 3, padding: 1) },
    { convolutions(images: 128, 512, 512, size: 4, kernel: 3, padding: 1) },
    { convolutions(images: 32, 1, 8, size: 8, kernel: 5, padding: 2) },
    { convolutions(images: 32, 8, 6, size: 4, kernel: 5, padding: 2) },
    { convolutions(images: 128, 8, 6, size: 12, kernel: 5, padding: 0) },
    { convolutions(images: 32, 36, 20, size: 0, kernel: 1, padding: 0) },
    { convolutions(images: 32, 20, 10, size: 0, kernel: 1, padding: 0) },
    { convolutions(images: 128, 784, 128, size: 0, kernel: 1, padding: 0) },
    { elementwise(16384) }, { [pooling(images: 32, channels: 8, size: 28)] }, { rowCases() },
    { [mean(8, 8_000_000, "mean-f32", ZOO_DTYPE_F32)] }, { [mean(8, 8_000_000, "mean-bf16", ZOO_DTYPE_BF16)] },
    { [mean(8, 8_000_000, "mean-f16", ZOO_DTYPE_F16)] },
]
