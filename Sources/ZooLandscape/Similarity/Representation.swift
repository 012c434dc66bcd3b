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
    /// ‖xᵢ‖² of the centred rows: the diagonal of XXᵀ.
    private let squares: [Double]

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
        let columns = width
        squares = (0..<n).map { row in
            values[row * columns..<(row + 1) * columns].reduce(0.0) { $0 + Double($1) * Double($1) }
        }
    }

    /// Batches of consecutive samples; what is left over at the end goes to the last one.
    static func batches(of outputs: Tensor, size: Int) throws -> [Representation] {
        guard let n = outputs.shape.dimensions.first, n > 0 else { return [] }
        let width = outputs.elementCount / n, values = outputs.floats(), count = max(1, n / size)
        return try (0..<count).map { place in
            let rows = place * size..<(place + 1 == count ? n : (place + 1) * size)
            return try Representation(
                Tensor(Array(values[rows.lowerBound * width..<rows.upperBound * width]), shape: [rows.count, width]))
        }
    }

    /// The unbiased estimate of HSIC of two sets of outputs (arXiv 2010.15327, equation 3), in O(n·p·q): with centred
    /// columns the zero-diagonal Gram matrices K and L have row sums −‖xᵢ‖² and −‖yᵢ‖², so that no n × n matrix is
    /// needed.
    ///
    /// - Throws: `mismatch` for other samples, or fewer than four.
    func unbiasedIndependence(_ other: Representation) throws -> Double {
        guard other.sampleCount == sampleCount, sampleCount >= 4 else {
            throw ZooError(
                .mismatch,
                "the unbiased estimate takes equal batches of at least 4 samples, not \(sampleCount) and "
                    + "\(other.sampleCount)")
        }
        let n = Double(sampleCount)
        let shared = Vectors.dot(squares, other.squares)
        let trace = try Self.crossNorm(centred, other.centred, sampleCount, width, other.width) - shared
        let sums = squares.reduce(0, +) * other.squares.reduce(0, +) / ((n - 1) * (n - 2))
        return (trace + sums - 2 / (n - 2) * shared) / (n * (n - 3))
    }

    /// CKA with the unbiased estimate: its mean over independent outputs is zero, and it can be negative; nil when an
    /// output is constant.
    public func debiasedCKA(_ other: Representation) throws -> Double? { try Self.debiasedCKA([self], [other]) }

    /// The same over mini-batches: numerators and denominators are summed and divided once.
    ///
    /// - Throws: `mismatch` for other batches, or batches of fewer than four.
    public static func debiasedCKA(_ first: [Representation], _ second: [Representation]) throws -> Double? {
        guard first.count == second.count else { throw ZooError(.mismatch, "outputs in different batches") }
        var cross = 0.0, own = (0.0, 0.0)
        for (a, b) in zip(first, second) {
            cross += try a.unbiasedIndependence(b)
            own.0 += try a.unbiasedIndependence(a)
            own.1 += try b.unbiasedIndependence(b)
        }
        guard first.contains(where: { $0.selfNorm > 0 }), second.contains(where: { $0.selfNorm > 0 }) else {
            return nil
        }
        return own.0 > 0 && own.1 > 0 ? cross / (own.0 * own.1).squareRoot() : nil
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
