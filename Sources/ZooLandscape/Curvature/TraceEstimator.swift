import ZooBase

/// The trace of a matrix from its products with random signs (M. F. Hutchinson, 1990), or with Hutch++ (arXiv
/// 2010.09649).
public struct TraceEstimator: Sendable {
    /// How to choose probes and when to stop.
    public enum Method: String, Sendable, CaseIterable {
        /// Random signs until the standard error is small.
        case hutchinson
        /// A third of the products finds the range, where the trace is exact; signs do the rest.
        case hutchPlusPlus = "hutch++"
        /// Random signs until the running mean hardly moves, as PyHessian; it stops by chance, often early.
        case pyHessian = "pyhessian"
    }

    /// The trace, its standard error, and whether the rule was met.
    public let trace: Estimate
    /// What each probe gave.
    public let samples: [Double]

    /// Estimates.
    ///
    /// - Parameters:
    ///   - tolerance: standard error over |mean| (hutchinson, hutch++), or change of the mean (pyhessian).
    ///   - least: probes at least.
    ///   - most: probes at most.
    public init(
        _ matrix: CurvatureOperator, method: Method = .hutchinson, tolerance: Double? = nil, least: Int = 10,
        most: Int? = nil, seed: UInt64 = 0
    ) throws {
        try self.init(
            matrix, knowing: nil, method: method, tolerance: tolerance, least: least, most: most, seed: seed)
    }

    /// Estimates only what the Krylov space of a run leaves open: tr H = tr QᵀHQ + tr (I−QQᵀ) H (I−QQᵀ), the first
    /// term known from the run. The probes do not depend on the space, so the estimate is unbiased; where Q holds the
    /// large eigenvalues, little is left and few probes do.
    public init(
        _ matrix: CurvatureOperator, beside largest: LargestEigenvalues, tolerance: Double? = nil, least: Int = 10,
        most: Int? = nil, seed: UInt64 = 0
    ) throws {
        try self.init(
            matrix, knowing: largest.space, method: .hutchinson, tolerance: tolerance, least: least, most: most,
            seed: seed)
    }

    private init(
        _ matrix: CurvatureOperator, knowing space: KnownSpace?, method: Method, tolerance: Double?, least: Int,
        most: Int?, seed: UInt64
    ) throws {
        switch method {
        case .hutchinson:
            (trace, samples) = try Self.hutchinson(matrix, space, tolerance ?? 0.02, least, most ?? 200, seed)
        case .pyHessian: (trace, samples) = try Self.pyHessian(matrix, tolerance ?? 1e-3, most ?? 100, seed)
        case .hutchPlusPlus: (trace, samples) = try Self.hutchPlusPlus(matrix, tolerance ?? 0.02, most ?? 60, seed)
        }
    }

    /// Probe i is the same whatever the method and block size.
    private static func probe(_ index: Int, _ dimension: Int, _ seed: UInt64) -> [Double] {
        var stream = RandomStream(seed: seed, "trace", String(index))
        return stream.rademacher(dimension)
    }

    /// Probes less what lies in a basis.
    private static func probes(
        _ places: Range<Int>, _ matrix: CurvatureOperator, _ seed: UInt64, beside basis: Basis?
    ) throws -> [[Double]] {
        let dimension = matrix.dimension
        guard dimension >= Vectors.longLength else {
            return try places.map { place in
                var vector = probe(place, dimension, seed)
                try basis?.orthogonalise(&vector)
                return vector
            }
        }
        var probes = try Parallel.map(count: places.count, jobs: matrix.jobs) {
            probe(places.lowerBound + $0, dimension, seed)
        }
        for place in probes.indices { try basis?.orthogonalise(&probes[place]) }
        return probes
    }

    /// zᵀHz of some probes less what lies in a basis. Long probes are made and multiplied by blocks.
    private static func quadraticForms(
        _ matrix: CurvatureOperator, _ places: Range<Int>, _ seed: UInt64, beside basis: Basis?
    ) throws -> [Double] {
        let isLong = matrix.dimension >= Vectors.longLength
        let block = isLong ? matrix.blockSize : max(1, places.count)
        return try stride(from: places.lowerBound, to: places.upperBound, by: block).flatMap { start in
            try Cancellation.check()
            let probes = try probes(start..<min(start + block, places.upperBound), matrix, seed, beside: basis)
            return zip(probes, try matrix.products(probes)).map { Vectors.dot($0, $1, jobs: matrix.jobs) }
        }
    }

    private static func hutchinson(
        _ matrix: CurvatureOperator, _ space: KnownSpace?, _ tolerance: Double, _ least: Int, _ most: Int,
        _ seed: UInt64
    ) throws -> (Estimate, [Double]) {
        let known = space?.trace ?? 0
        var samples: [Double] = []
        while samples.count < most {
            try Cancellation.check()
            // As many as are needed in any case come first, then small blocks: no product is taken in vain.
            let number = samples.isEmpty ? max(least, 2) : matrix.blockSize
            let range = samples.count..<min(samples.count + number, most)
            samples += try quadraticForms(matrix, range, seed, beside: space?.basis).map { known + $0 }
            let (mean, error) = statistics(samples)
            if samples.count >= least, error <= tolerance * abs(mean) { break }
        }
        let (mean, error) = statistics(samples)
        let estimate = Estimate(
            value: mean, error: error, products: samples.count, isConverged: error <= tolerance * abs(mean))
        return (estimate, samples)
    }

    private static func pyHessian(
        _ matrix: CurvatureOperator, _ tolerance: Double, _ most: Int, _ seed: UInt64
    ) throws -> (Estimate, [Double]) {
        var samples: [Double] = []
        var previous = 0.0
        var isConverged = false
        while samples.count < most, !isConverged {
            try Cancellation.check()
            let vector = probe(samples.count, matrix.dimension, seed)
            samples.append(Vectors.dot(vector, try matrix.product(vector), jobs: matrix.jobs))
            let mean = samples.reduce(0, +) / Double(samples.count)
            isConverged = abs(mean - previous) / (abs(previous) + 1e-6) < tolerance
            previous = mean
        }
        let estimate = Estimate(
            value: previous, error: statistics(samples).error, products: samples.count, isConverged: isConverged)
        return (estimate, samples)
    }

    /// tr(QᵀHQ) for Q spanning H S, plus Hutchinson on what is orthogonal to Q.
    private static func hutchPlusPlus(
        _ matrix: CurvatureOperator, _ tolerance: Double, _ products: Int, _ seed: UInt64
    ) throws -> (Estimate, [Double]) {
        let third = max(1, min(products / 3, matrix.dimension))
        let jobs = matrix.jobs
        var range = Basis(dimension: matrix.dimension, jobs: jobs)
        for start in stride(from: 0, to: third, by: matrix.blockSize) {
            let probes = try probes(start..<min(start + matrix.blockSize, third), matrix, seed, beside: nil)
            for var image in try matrix.products(probes) {
                let size = Vectors.norm(image, jobs: jobs)
                try range.orthogonalise(&image)
                guard Vectors.norm(image, jobs: jobs) > 1e-12 * size else { continue }
                Vectors.normalise(&image, jobs: jobs)
                range.append(image)
            }
        }
        var exact = 0.0
        for start in stride(from: 0, to: range.count, by: matrix.blockSize) {
            let block = (start..<min(start + matrix.blockSize, range.count)).map(range.vector)
            exact += zip(block, try matrix.products(block)).reduce(0) { $0 + Vectors.dot($1.0, $1.1, jobs: jobs) }
        }
        let samples = try quadraticForms(matrix, third..<2 * third, seed, beside: range)
        let (mean, error) = statistics(samples)
        let estimate = Estimate(
            value: exact + mean, error: error.isFinite ? error : nil,
            products: third + range.count + samples.count, isConverged: error <= tolerance * abs(exact + mean))
        return (estimate, samples)
    }

    /// Mean and standard error.
    private static func statistics(_ samples: [Double]) -> (mean: Double, error: Double) {
        let n = Double(samples.count)
        let mean = samples.reduce(0, +) / n
        guard samples.count > 1 else { return (mean, .infinity) }
        let squares = samples.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
        return (mean, (squares / (n - 1) / n).squareRoot())
    }
}
