import ZooBase
import ZooNN
import ZooTensor

/// How weights of convolutions and linear layers begin, by PyTorch's names in `torch.nn.init` and with its defaults.
///
/// Biases are PyTorch's module default, uniform in ±1/√fan_in, unless `bias` says zeros. Batch norm begins as in
/// PyTorch: scale one, shift zero, running mean zero, running variance one; layer norm with scale one and shift zero.
/// The class token and the table of positions of a vision transformer begin as timm's whatever the kind: normal of
/// standard deviation 1e-6 and 0.02 (`VisionTransformer.init_weights`).
package struct Initialiser: Sendable, Hashable {
    package enum Kind: String, Sendable, CaseIterable {
        /// Kaiming uniform with a = √5: uniform in ±1/√fan_in.
        case pytorch
        /// Uniform in [low, high); 0 and 1 as `nn.init.uniform_` has them.
        case uniform
        /// Normal; mean 0 and standard deviation 1 as `nn.init.normal_` has them.
        case normal
        /// Uniform in ±√6/√fan_in: gain √2, fan_in.
        case kaimingUniform = "kaiming_uniform"
        /// Normal of standard deviation √2/√fan_in.
        case kaimingNormal = "kaiming_normal"
        /// Uniform in ±√(6/(fan_in + fan_out)).
        case xavierUniform = "xavier_uniform"
        /// Normal of variance 2/(fan_in + fan_out).
        case xavierNormal = "xavier_normal"
        /// Orthonormal rows or columns of the matrix [outputs, everything else].
        case orthogonal
        /// Normal of `mean` and `std` (0 and 1) cut at ±2, as `nn.init.trunc_normal_` has it.
        case truncatedNormal = "trunc_normal"
        /// What timm's vision transformers begin with (`init_weights_vit_timm`): linear weights by `trunc_normal_` with
        /// standard deviation 0.02, their biases zero; convolutions, the patches' among them, stay as PyTorch made them.
        case timm
        /// Zeros.
        case zeros
    }

    /// The ends at which `trunc_normal_` and timm cut; not in units of the standard deviation.
    private static let cut = 2.0

    package var kind = Kind.pytorch
    /// Lower end or mean.
    package var location = 0.0
    /// Upper end or standard deviation.
    package var scale = 1.0
    package var gain = 1.0
    package var zeroesBias = false

    package init() {}

    /// Values of a tensor.
    ///
    /// - Parameters:
    ///   - role: the tensor's role in its node.
    ///   - fanIn: inputs of the node's outputs; what the bias goes by.
    package func values(
        _ info: TensorInfo, role: String, op: GraphOperator, fanIn: Int, generator: inout CounterGenerator
    ) -> [Float] {
        let count = info.shape.elementCount
        switch (op, role) {
        case (.batchNorm, "running_mean"): return [Float](repeating: 0, count: count)
        case (_, "running_var"): return [Float](repeating: 1, count: count)
        case (.batchNorm, "weight"), (.layerNorm, "weight"), (.rmsNorm, _): return [Float](repeating: 1, count: count)
        case (.batchNorm, _), (.layerNorm, _): return [Float](repeating: 0, count: count)
        case (.classToken, _): return Self.normal(count, 1e-6, &generator)
        case (.positionEmbedding, _): return Self.truncatedNormal(count, 0, 0.02, &generator)
        case (.linear, "weight") where kind == .timm: return Self.truncatedNormal(count, 0, 0.02, &generator)
        case (_, "bias"):
            if zeroesBias || (kind == .timm && op == .linear) { return [Float](repeating: 0, count: count) }
            return Self.uniform(count, 1 / Double(fanIn).squareRoot(), &generator)
        default: return weights(info.shape, &generator)
        }
    }

    private func weights(_ shape: Shape, _ generator: inout CounterGenerator) -> [Float] {
        let count = shape.elementCount
        let receptive = shape.dimensions.dropFirst(2).reduce(1, *)
        let fanIn = Double((shape.rank > 1 ? shape[1] : 1) * receptive), fanOut = Double(shape[0] * receptive)
        switch kind {
        case .pytorch, .timm: return Self.uniform(count, gain / fanIn.squareRoot(), &generator)
        case .uniform:
            return (0..<count).map { _ in Float(location + (scale - location) * generator.uniform()) }
        case .normal: return (0..<count).map { _ in Float(location + scale * generator.normal()) }
        case .kaimingUniform: return Self.uniform(count, gain * (6 / fanIn).squareRoot(), &generator)
        case .kaimingNormal: return Self.normal(count, gain * (2 / fanIn).squareRoot(), &generator)
        case .xavierUniform: return Self.uniform(count, gain * (6 / (fanIn + fanOut)).squareRoot(), &generator)
        case .xavierNormal: return Self.normal(count, gain * (2 / (fanIn + fanOut)).squareRoot(), &generator)
        case .orthogonal: return orthogonal(rows: shape[0], columns: count / max(shape[0], 1), &generator)
        case .truncatedNormal: return Self.truncatedNormal(count, location, scale, &generator)
        case .zeros: return [Float](repeating: 0, count: count)
        }
    }

    /// Drawn again where it falls outside; the reader of manifests sees to it that enough falls inside.
    private static func truncatedNormal(
        _ count: Int, _ mean: Double, _ deviation: Double, _ generator: inout CounterGenerator
    ) -> [Float] {
        (0..<count).map { _ in
            var value = mean + deviation * generator.normal()
            while abs(value) > cut { value = mean + deviation * generator.normal() }
            return Float(value)
        }
    }

    private static func uniform(_ count: Int, _ bound: Double, _ generator: inout CounterGenerator) -> [Float] {
        (0..<count).map { _ in Float(bound * (2 * generator.uniform() - 1)) }
    }

    private static func normal(_ count: Int, _ deviation: Double, _ generator: inout CounterGenerator) -> [Float] {
        (0..<count).map { _ in Float(deviation * generator.normal()) }
    }

    /// Gram and Schmidt over the shorter side of a normal matrix, in Float64: Q of the QR decomposition whose R has a
    /// positive diagonal, so Q is uniform over orthogonal matrices (arXiv 1312.6120).
    private func orthogonal(rows: Int, columns: Int, _ generator: inout CounterGenerator) -> [Float] {
        let (count, length) = (min(rows, columns), max(rows, columns))
        var vectors: [[Double]] = []
        for _ in 0..<count {
            var vector = (0..<length).map { _ in generator.normal() }
            // Twice, because one pass loses digits.
            for _ in 0..<2 {
                for other in vectors {
                    let product = zip(vector, other).reduce(0) { $0 + $1.0 * $1.1 }
                    for index in vector.indices { vector[index] -= product * other[index] }
                }
            }
            let norm = vector.reduce(0) { $0 + $1 * $1 }.squareRoot()
            vectors.append(vector.map { $0 / norm })
        }
        if rows <= columns { return vectors.flatMap { $0.map { Float(gain * $0) } } }
        return (0..<rows).flatMap { row in vectors.map { Float(gain * $0[row]) } }
    }
}
