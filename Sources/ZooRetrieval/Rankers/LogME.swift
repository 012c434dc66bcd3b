import ZooBase

/// Log marginal evidence of a Bayesian linear model, averaged over one-hot columns (You et al., arXiv 2102.11005).
///
/// The fast implementation that is widely used leaves out `(D − k)/2 · ln a`, which matters whenever the rank k of the
/// features is below D: few samples, or dead units. It is here; `publishedForm` leaves it out for comparison.
public struct LogME: Ranker {
    /// The name.
    public static let name = "logme"
    /// One line for help.
    public static let summary = "log evidence of a linear model on features, rank-deficient term included (2102.11005)"
    /// What the score is, with its unit.
    public static let meaning = "log evidence per sample, nats"
    /// What it looks at.
    public static let needs: Set<RankerNeed> = [.features]

    /// The most fixed-point steps for a column.
    public var steps = 100
    /// Relative change of a/b at which a column has converged.
    public var tolerance = 1e-3
    /// Added to denominators, as in the published code.
    public var floor = 1e-5
    /// Leaves out the term of the missing dimensions, as the published fast code does.
    public var publishedForm = false

    /// With default settings.
    public init() {}

    /// What the features tell once and for all columns.
    package struct Spectrum {
        var u: Matrix
        /// Squared singular values.
        var sigma: [Double]
        var dimension: Int
        var count: Int { u.rows }

        package init(_ features: Matrix) throws {
            let parts = try features.decomposition(cutoff: 1e-10)
            u = parts.u
            sigma = parts.values.map { $0 * $0 }
            dimension = features.columns
        }
    }

    /// The score; see `Ranker`.
    public func score(_ evidence: Evidence) throws -> Double {
        let spectrum = try Spectrum(evidence.requireFeatures(Self.name))
        var total = 0.0
        for c in 0..<evidence.classCount {
            total += fit(spectrum, evidence.labels.map { $0 == c ? 1 : 0 }).evidence
        }
        return total / Double(evidence.classCount)
    }

    /// The score of real targets `[N, columns]`: a regression task.
    public func score(features: Matrix, targets: Matrix) throws -> Double {
        let spectrum = try Spectrum(features)
        var total = 0.0
        for column in 0..<targets.columns {
            total += fit(spectrum, (0..<targets.rows).map { targets[$0, column] }).evidence
        }
        return total / Double(targets.columns)
    }

    /// Evidence per sample of one column at its fixed point.
    package func fit(_ spectrum: Spectrum, _ targets: [Double]) -> (a: Double, b: Double, evidence: Double) {
        let column = Column(spectrum, targets)
        var a = 1.0, b = 1.0
        for _ in 0..<steps {
            let q = a / b
            let g = spectrum.sigma.reduce(0) { $0 + $1 / ($1 + q) }
            a = g / (column.squaredWeights(q) + floor)
            b = (Double(spectrum.count) - g) / (column.squaredError(q) + floor)
            guard a.isFinite, b.isFinite, a > 0, b > 0 else { break }
            if abs(a / b - q) / q <= tolerance { break }
        }
        return (a, b, column.evidence(a: a, b: b, publishedForm: publishedForm))
    }

    /// A target column in the basis of the features.
    package struct Column {
        private let spectrum: Spectrum
        private let x: [Double]
        private let rest: Double

        package init(_ spectrum: Spectrum, _ targets: [Double]) {
            self.spectrum = spectrum
            var x = [Double](repeating: 0, count: spectrum.sigma.count)
            for row in 0..<spectrum.u.rows where targets[row] != 0 {
                for k in x.indices { x[k] += spectrum.u[row, k] * targets[row] }
            }
            self.x = x
            rest = max(0, targets.reduce(0) { $0 + $1 * $1 } - x.reduce(0) { $0 + $1 * $1 })
        }

        /// |m|², m the posterior mean of the weights.
        func squaredWeights(_ q: Double) -> Double {
            zip(x, spectrum.sigma).reduce(0) { $0 + $1.1 * $1.0 * $1.0 / (($1.1 + q) * ($1.1 + q)) }
        }

        /// |F m − t|².
        func squaredError(_ q: Double) -> Double {
            zip(x, spectrum.sigma).reduce(rest) { $0 + $1.0 * $1.0 / ((1 + $1.1 / q) * (1 + $1.1 / q)) }
        }

        package func evidence(a: Double, b: Double, publishedForm: Bool = false) -> Double {
            let n = Double(spectrum.count), d = Double(spectrum.dimension), k = Double(spectrum.sigma.count)
            var sum = d / 2 * Elementary.log(a) + n / 2 * Elementary.log(b)
            for sigma in spectrum.sigma { sum -= Elementary.log(a + b * sigma) / 2 }
            if !publishedForm { sum -= (d - k) / 2 * Elementary.log(a) }
            sum -= b / 2 * squaredError(a / b) + a / 2 * squaredWeights(a / b)
            return (sum - n / 2 * Elementary.log(2 * Elementary.pi)) / n
        }
    }
}

/// LogME as the widely used fast code computes it, without the term of the missing dimensions: for comparison alone.
public struct PublishedLogME: Ranker {
    /// The name.
    public static let name = "logme-published"
    /// One line for help.
    public static let summary = "LogME without the term of missing dimensions, as published code has it; for comparison"
    /// What the score is, with its unit.
    public static let meaning = "log evidence per sample, nats, without a term"
    /// What it looks at.
    public static let needs: Set<RankerNeed> = [.features]

    /// With default settings.
    public init() {}

    /// The score; see `Ranker`.
    public func score(_ evidence: Evidence) throws -> Double {
        var ranker = LogME()
        ranker.publishedForm = true
        return try ranker.score(evidence)
    }
}
