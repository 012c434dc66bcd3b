import ZooBase
import ZooTensor

/// The weight matrices of one layer, and their pooled eigenvalues λ = σ².
///
/// A linear layer is one matrix. A convolution `[out, in, kh, kw]` is kh·kw slices `[out, in]`, whose squared singular
/// values are pooled and halved, as WeightWatcher does.
public struct LayerMatrix: Sendable {
    /// What kind of layer a tensor is taken for.
    public enum Kind: String, Sendable {
        /// One matrix.
        case dense
        /// Slices of a convolution.
        case convolution = "conv2d"
    }

    /// The tensor's name.
    public let name: String
    /// The kind.
    public let kind: Kind
    /// The longer side of a slice.
    public let longSide: Int
    /// The shorter side of a slice.
    public let shortSide: Int
    /// Slices.
    public let sliceCount: Int
    /// slice × long × short, row-major, in double precision.
    private let slices: [Double]

    /// Largest matrix that is decomposed: more would take hours.
    public static let largestSide = 50_000
    /// Most eigenvalues of one layer.
    public static let mostEigenvalues = 15_000

    /// Reads a weight tensor.
    ///
    /// - Throws: `unsupported` with the reason for tensors that are no layer's weight or too large; `numeric` for
    ///   weights that are not finite.
    public init(_ tensor: Tensor, name: String) throws {
        let extents = tensor.shape.dimensions
        guard tensor.dtype.isFloatingPoint, extents.count == 2 || extents.count == 4 else {
            throw ZooError(.unsupported, "no matrix: \(extents.count) dimensions")
        }
        let (rows, columns) = (extents[0], extents[1])
        sliceCount = extents.count == 4 ? extents[2] * extents[3] : 1
        guard rows > 0, columns > 0, sliceCount > 0 else { throw ZooError(.unsupported, "no elements") }
        kind = extents.count == 4 ? .convolution : .dense
        longSide = max(rows, columns)
        shortSide = min(rows, columns)
        guard longSide <= Self.largestSide, shortSide * sliceCount <= Self.mostEigenvalues else {
            throw ZooError(.unsupported, "too large: \(rows) x \(columns) x \(sliceCount)")
        }
        guard tensor.nonFiniteCount == 0 else {
            throw ZooError(.numeric, "\(tensor.nonFiniteCount) weights are NaN or infinite")
        }
        self.name = name
        let values = tensor.doubles()
        let scale = kind == .convolution ? 0.5.squareRoot() : 1
        var slices = [Double](repeating: 0, count: values.count)
        let isTall = rows >= columns
        for slice in 0..<sliceCount {
            for row in 0..<rows {
                for column in 0..<columns {
                    let place = isTall ? row * columns + column : column * rows + row
                    slices[slice * rows * columns + place] =
                        scale * values[(row * columns + column) * sliceCount + slice]
                }
            }
        }
        self.slices = slices
    }

    /// Numbers in one slice.
    private var sliceSize: Int { longSide * shortSide }

    /// The pooled eigenvalues, ascending.
    ///
    /// They come from WᵀW in double precision: squaring costs digits only below 1e-8 of the largest singular value,
    /// far under the resolution of float32 weights.
    ///
    /// - Throws: `numeric` when the decomposition does not converge.
    public func eigenvalues() throws -> [Double] { try Self.eigenvalues(slices, self) }

    /// The eigenvalues after shuffling the entries of every slice.
    public func shuffledEigenvalues(using generator: inout some RandomNumberGenerator) throws -> [Double] {
        var shuffled = slices
        for slice in 0..<sliceCount {
            shuffled[slice * sliceSize..<(slice + 1) * sliceSize].shuffle(using: &generator)
        }
        return try Self.eigenvalues(shuffled, self)
    }

    private static func eigenvalues(_ slices: [Double], _ layer: LayerMatrix) throws -> [Double] {
        let m = layer.shortSide
        var all: [Double] = []
        for slice in 0..<layer.sliceCount {
            let matrix = Array(slices[slice * layer.sliceSize..<(slice + 1) * layer.sliceSize])
            var gram = try LinearAlgebra.product(
                matrix, transposeA: true, matrix, rows: m, columns: m, depth: layer.longSide)
            let values = try ZooError.locate("tensor '\(layer.name)'") {
                try LinearAlgebra.symmetricEigenvalues(&gram, size: m)
            }
            all += values.map { max($0, 0) }
        }
        return all.sorted()
    }
}
