import ZooBase
import ZooTensor

/// The outputs of one network on a set of samples, ready to be compared with others of the same samples (linear CKA:
/// arXiv 1905.00414).
///
/// Columns are centred once per network, so that a pair of n × p and n × q outputs costs one product of n·p·q.
public struct Representation: Sendable {
    /// Samples.
    public let sampleCount: Int
    /// Numbers per sample.
    public let width: Int
    /// Centred values, row-major.
    let centred: [Float]
    /// ‖XᵀX‖_F of the centred values; zero for constant outputs.
    let selfNorm: Double

    /// Prepares outputs.
    ///
    /// - Parameter outputs: `[n, …]`; further axes are flattened.
    /// - Throws: `numeric` when one is not finite; `mismatch` for no samples.
    public init(_ outputs: Tensor) throws {
        guard let n = outputs.shape.dimensions.first, n > 0, outputs.elementCount > 0 else {
            throw ZooError(.mismatch, "no outputs to compare: shape \(outputs.shape)")
        }
        guard outputs.nonFiniteCount == 0 else {
            throw ZooError(.numeric, "\(outputs.nonFiniteCount) outputs are NaN or infinite")
        }
        sampleCount = n
        width = outputs.elementCount / n
        var values = outputs.floats()
        for column in 0..<width {
            var sum = 0.0
            for row in 0..<n { sum += Double(values[row * width + column]) }
            let mean = Float(sum / Double(n))
            for row in 0..<n { values[row * width + column] -= mean }
        }
        centred = values
        selfNorm = try Self.crossNorm(values, values, n, width, width).squareRoot()
    }

    /// ‖XᵀY‖²_F.
    private static func crossNorm(_ x: [Float], _ y: [Float], _ n: Int, _ p: Int, _ q: Int) throws -> Double {
        let product = try LinearAlgebra.product(x, transposeA: true, y, rows: p, columns: q, depth: n)
        return product.reduce(0.0) { $0 + Double($1) * Double($1) }
    }

    /// Linear CKA in [0, 1]; nil when an output is constant.
    ///
    /// - Throws: `mismatch` for other samples.
    public func cka(_ other: Representation) throws -> Double? {
        guard other.sampleCount == sampleCount else {
            throw ZooError(.mismatch, "outputs of \(sampleCount) and of \(other.sampleCount) samples")
        }
        guard selfNorm > 0, other.selfNorm > 0 else { return nil }
        return try Self.crossNorm(centred, other.centred, sampleCount, width, other.width) / (selfNorm * other.selfNorm)
    }
}

/// Unbiased CKA over mini-batches: numerators and denominators of the unbiased HSIC are summed batch by batch and
/// divided once (arXiv 2010.15327, equation 3). It can be negative.
public struct MinibatchCKA: Sendable {
    private var cross = 0.0
    private var first = 0.0
    private var second = 0.0

    /// Before any batch.
    public init() {}

    /// Adds the outputs of two networks on one batch, `[n, p]` and `[n, q]` row-major, n ≥ 4.
    ///
    /// - Throws: `mismatch` for too few or unequal samples.
    public mutating func add(_ x: [Double], _ y: [Double], sampleCount n: Int) throws {
        guard n >= 4, x.count % n == 0, y.count % n == 0 else {
            throw ZooError(.mismatch, "the unbiased estimate takes batches of at least 4 samples, not \(n)")
        }
        let k = try Self.gram(x, n), l = try Self.gram(y, n)
        cross += Self.independence(k, l, n)
        first += Self.independence(k, k, n)
        second += Self.independence(l, l, n)
    }

    /// The ratio so far; nil when an output is constant.
    public var value: Double? {
        let product = first * second
        return product > 0 ? cross / product.squareRoot() : nil
    }

    /// XXᵀ with a zero diagonal.
    private static func gram(_ x: [Double], _ n: Int) throws -> [Double] {
        var result = try LinearAlgebra.product(x, x, transposeB: true, rows: n, columns: n, depth: x.count / n)
        for place in 0..<n { result[place * n + place] = 0 }
        return result
    }

    /// HSIC₁ without its constant factor n(n−3).
    private static func independence(_ k: [Double], _ l: [Double], _ n: Int) -> Double {
        let size = Double(n)
        var rowsK = [Double](repeating: 0, count: n), rowsL = rowsK
        var trace = 0.0
        for i in 0..<n {
            for j in 0..<n {
                rowsK[i] += k[i * n + j]
                rowsL[i] += l[i * n + j]
                trace += k[i * n + j] * l[j * n + i]
            }
        }
        let sums = rowsK.reduce(0, +) * rowsL.reduce(0, +) / ((size - 1) * (size - 2))
        return (trace + sums - 2 / (size - 2) * Vectors.dot(rowsK, rowsL)) / (size * (size - 3))
    }
}
