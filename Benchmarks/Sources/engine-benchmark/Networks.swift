import ZooAutodiff
import ZooTensor

/// A network being written: the builder, and the parameters declared so far with their initial values.
final class NetworkSketch {
    let b = ProgramBuilder()
    private(set) var parameters: [Value] = []
    private(set) var weights: [[Float]] = []
    private(set) var trained: [Int] = []
    private var state: UInt64 = 1

    /// Uniform in ±bound, from a fixed sequence.
    func noise(_ count: Int, _ bound: Float) -> [Float] {
        (0..<count).map { _ in
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return bound * (Float(state >> 40) / Float(1 << 23) - 1)
        }
    }

    func parameter(_ shape: Shape, _ values: [Float], trained isTrained: Bool = true) -> Value {
        let value = b.parameter("p\(parameters.count)", shape)
        if isTrained { trained.append(parameters.count) }
        parameters.append(value)
        weights.append(values)
        return value
    }

    /// Gives back the initial values, once they have been copied.
    func forgetWeights() { weights = [] }

    func weight(_ shape: Shape) -> Value {
        let inputs = shape.dimensions.dropFirst().reduce(1, *)
        return parameter(shape, noise(shape.elementCount, 1 / Float(inputs).squareRoot()))
    }

    func convolution(_ x: Value, _ outputs: Int, _ kernel: Int, _ geometry: Convolution, bias: Bool) throws -> Value {
        let weight = weight([outputs, x.shape[1], kernel, kernel])
        return try b.conv2d(x, weight: weight, bias: bias ? self.weight([outputs]) : nil, geometry)
    }

    func linear(_ x: Value, _ outputs: Int) throws -> Value {
        try b.linear(x, weight: weight([outputs, x.shape[1]]), bias: weight([outputs]))
    }

    func norm(_ x: Value) throws -> Value {
        func constant(_ number: Float, _ trained: Bool) -> Value {
            parameter([x.shape[1]], [Float](repeating: number, count: x.shape[1]), trained: trained)
        }
        return try b.batchNorm(
            x, weight: constant(1, true), bias: constant(0, true), mean: constant(0, false),
            variance: constant(1, false))
    }
}

/// The 2,464-parameter CNN of small model zoos, on 8x8 images.
func smallCNN(_ net: NetworkSketch, _ images: Value) throws -> Value {
    let b = net.b
    var x = try net.convolution(images, 8, 5, Convolution(stride: 1, padding: 2), bias: true)
    x = b.tanh(try b.maxPool(x, kernel: 2))
    x = b.tanh(try net.convolution(x, 6, 5, Convolution(stride: 1, padding: 2), bias: true))
    x = b.tanh(try net.convolution(x, 4, 2, Convolution(), bias: true))
    x = b.tanh(try net.linear(b.flatten(x), 20))
    return try net.linear(x, 10)
}

/// ResNet-18 for 32x32 images: no stem pooling; batch norm with stored statistics.
func resNet18(_ net: NetworkSketch, _ images: Value, width: Int) throws -> Value {
    let b = net.b
    func block(_ x: Value, _ outputs: Int, _ stride: Int) throws -> Value {
        let y = b.relu(
            try net.norm(net.convolution(x, outputs, 3, Convolution(stride: stride, padding: 1), bias: false)))
        let z = try net.norm(net.convolution(y, outputs, 3, Convolution(stride: 1, padding: 1), bias: false))
        if stride == 1, x.shape[1] == outputs { return b.relu(try b.add(z, x)) }
        let shortcut = try net.norm(net.convolution(x, outputs, 1, Convolution(stride: stride), bias: false))
        return b.relu(try b.add(z, shortcut))
    }
    var x = b.relu(try net.norm(net.convolution(images, width, 3, Convolution(stride: 1, padding: 1), bias: false)))
    for stage in 0..<4 {
        x = try block(x, width << stage, stage == 0 ? 1 : 2)
        x = try block(x, width << stage, 1)
    }
    return try net.linear(b.mean(x, axes: [2, 3]), 10)
}

/// Layer norm with scale and shift of its own.
private func layerNorm(_ net: NetworkSketch, _ x: Value) throws -> Value {
    let width = x.shape[x.shape.rank - 1]
    let ones = [Float](repeating: 1, count: width)
    return try net.b.layerNorm(
        x, weight: net.parameter([width], ones), bias: net.weight([width]), epsilon: 1e-12)
}

/// Blocks of a BERT-like encoder with MiniLM's sizes (width 384, 12 heads, 1536 hidden), normed after each half.
func encoder(_ net: NetworkSketch, _ tokens: Value, blocks: Int, mask: Value? = nil) throws -> Value {
    let b = net.b
    let width = tokens.shape[2]
    func linear(_ x: Value, _ outputs: Int) throws -> Value {
        try b.linear(x, weight: net.weight([outputs, x.shape[2]]), bias: net.weight([outputs]))
    }
    var x = tokens
    for _ in 0..<blocks {
        let heads = try (0..<3).map { _ in try b.splitHeads(linear(x, width), heads: 12) }
        let mixed = try b.mergeHeads(b.attention(queries: heads[0], keys: heads[1], values: heads[2], mask: mask))
        x = try layerNorm(net, b.add(x, linear(mixed, width)))
        x = try layerNorm(net, b.add(x, linear(b.gelu(linear(x, 4 * width)), width)))
    }
    return x
}

/// MiniLM from token ids on: the embeddings of words, positions and token types, normed, and six blocks; the mask is
/// what hides padding (here nothing).
func miniLM(_ net: NetworkSketch, _ ids: Indices, mask: Value) throws -> Value {
    let b = net.b
    let (width, tokens) = (384, ids.shape[1])
    let words = try b.gatherRows(net.weight([30_522, width]), ids)
    let positions = try b.slice(net.weight([512, width]), axis: 0, 0..<tokens)
    let types = try b.slice(net.weight([2, width]), axis: 0, 0..<1)
    let x = try layerNorm(net, b.add(b.add(words, positions), types))
    return try encoder(net, x, blocks: 6, mask: mask)
}
