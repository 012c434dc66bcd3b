import ZooAutodiff
import ZooBase
import ZooTensor

/// RegMean (arXiv 2212.09849): the weights of linear and convolution layers whose outputs are nearest, in least squares,
/// to those of every model on its own data. W* = (Σ cᵢ Wᵢ G̃ᵢ)(Σ cᵢ G̃ᵢ)⁻¹, G̃ with off-diagonals times α.
public struct RegMean: Sendable {
    /// How to merge.
    public struct Options: Sendable {
        /// What off-diagonals of the Gram matrices are multiplied with: 0 is diagonal only, 1 full.
        public var alpha = 0.9
        /// c, one per model; empty for 1 each.
        public var coefficients: [Double] = []
        /// Layers merged as plain means (heads of different tasks).
        public var excluded: Set<String> = []
        /// Threads, over layers.
        public var jobs = 1

        /// The defaults.
        public init() {}
    }

    /// The merged network, in the types of the first model.
    public private(set) var state = StateDict()
    /// Layers that were solved, with the ridge that was needed, relative to the mean diagonal (0 for none).
    public private(set) var ridges: [String: Double] = [:]

    /// Merges.
    ///
    /// - Throws: `usage` for counts that differ; `mismatch` when tensors or matrices do not fit; `numeric` when a system
    ///   cannot be solved even with a ridge of 1 %.
    public init(_ models: [any TensorSource], grams: [GramMatrices], options: Options = Options()) throws {
        try BLASLibrary.load()
        guard let first = models.first, models.count == grams.count else {
            throw ZooError(.usage, "\(grams.count) sets of Gram matrices for \(models.count) models")
        }
        let c = options.coefficients.isEmpty ? [Double](repeating: 1, count: models.count) : options.coefficients
        guard c.count == models.count else {
            throw ZooError(.usage, "\(c.count) coefficients for \(models.count) models", hint: "give one per model")
        }
        let mean = try LinearCombination(
            models, names: models.indices.map { "model \($0 + 1)" },
            weights: AverageWeights.weighted(c, count: models.count))
        let infos = first.tensorInfos
        let solved = try Parallel.map(count: infos.count, jobs: options.jobs) { place -> (Tensor, Double?) in
            let info = infos[place]
            let found = grams.compactMap { $0.grams[info.name] }
            guard info.dtype.isFloatingPoint, found.count == models.count, !options.excluded.contains(info.name) else {
                return (try mean.tensor(named: info.name), nil)
            }
            return try ZooError.locate("tensor '\(info.name)'") {
                try Self.solve(
                    info, models.map { try $0.tensor(named: info.name) }, found, c, alpha: options.alpha,
                    isTransposed: grams[0].transposedNames.contains(info.name))
            }
        }
        for (info, (tensor, ridge)) in zip(infos, solved) {
            state[info.name] = tensor
            if let ridge { ridges[info.name] = ridge }
        }
    }

    private static func solve(
        _ info: TensorInfo, _ weights: [Tensor], _ grams: [GramMatrices.Gram], _ c: [Double], alpha: Double,
        isTransposed: Bool
    ) throws -> (Tensor, Double?) {
        let size = grams[0].size
        let rows = info.shape.elementCount / max(1, size)
        guard grams.allSatisfy({ $0.size == size && $0.values.count == size * size }),
            rows * size == info.shape.elementCount
        else { throw ZooError(.mismatch, "its Gram matrices have \(grams.map(\.size)) features, shape \(info.shape)") }
        var system = [Double](repeating: 0, count: size * size)
        var right = [Double](repeating: 0, count: rows * size)
        for (place, gram) in grams.enumerated() {
            var scaled = gram.values.map { $0 * c[place] * alpha }
            for i in 0..<size { scaled[i * size + i] = gram.values[i * size + i] * c[place] }
            for index in system.indices { system[index] += scaled[index] }
            let stored = weights[place].doubles()
            let w = isTransposed ? transposed(stored, rows: size, columns: rows) : stored
            w.withUnsafeBufferPointer { w in
                scaled.withUnsafeBufferPointer { g in
                    right.withUnsafeMutableBufferPointer { target in
                        guard let w = w.baseAddress, let g = g.baseAddress, let z = target.baseAddress else { return }
                        DenseAlgebra.multiply(w, g, rows: rows, columns: size, depth: size, adding: 1, into: z)
                    }
                }
            }
        }
        let diagonal = (0..<size).reduce(0) { $0 + system[$1 * size + $1] } / Double(max(1, size))
        // A ridge pulls towards the mean of the weights, not towards zero: features without data keep the mean.
        let pull = mean(weights, c, isTransposed ? (size, rows) : nil)
        for ridge in [0, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2] {
            var s = system, b = right
            if ridge > 0 {
                for i in 0..<size { s[i * size + i] += ridge * diagonal }
                for index in b.indices { b[index] += ridge * diagonal * pull[index] }
            }
            guard let x = DenseAlgebra.solve(s, size: size, rightSides: b, rows: rows), x.allSatisfy(\.isFinite) else {
                continue
            }
            let values = isTransposed ? transposed(x, rows: rows, columns: size) : x
            return (Tensor(values, shape: info.shape).converted(to: info.dtype), ridge)
        }
        throw ZooError(
            .numeric, "the inputs' Gram matrix is not positive definite, even with a ridge",
            hint: "lower --alpha, or give more samples")
    }

    private static func mean(_ weights: [Tensor], _ c: [Double], _ turned: (Int, Int)?) -> [Double] {
        let total = c.reduce(0, +)
        var sum = [Double](repeating: 0, count: weights[0].elementCount)
        for (tensor, share) in zip(weights, c) {
            for (place, value) in tensor.doubles().enumerated() { sum[place] += value * share / total }
        }
        return turned.map { transposed(sum, rows: $0.0, columns: $0.1) } ?? sum
    }

    private static func transposed(_ values: [Double], rows: Int, columns: Int) -> [Double] {
        var result = values
        for row in 0..<rows {
            for column in 0..<columns { result[column * rows + row] = values[row * columns + column] }
        }
        return result
    }
}
