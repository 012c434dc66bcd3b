import ZooBase
import ZooTensor

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// e^x.
enum Exponential {
    static func of(_ x: Double) -> Double { exp(x) }
}

/// What one classifier predicts on a set of samples.
public struct Predictions: Sendable {
    /// Classes.
    public let classCount: Int
    /// Probabilities, row-major.
    public let probabilities: [Double]
    /// The class of each sample: the lowest among equal logits.
    public let classes: [Int]

    /// From logits `[n, K]`.
    ///
    /// - Throws: `numeric` when one is not finite.
    public init(logits: Tensor) throws {
        guard let n = logits.shape.dimensions.first, n > 0 else { throw ZooError(.mismatch, "no logits") }
        guard logits.nonFiniteCount == 0 else {
            throw ZooError(.numeric, "\(logits.nonFiniteCount) logits are NaN or infinite")
        }
        let columns = logits.elementCount / n
        classCount = columns
        let values = logits.doubles()
        probabilities = Softmax.rows(values, columns: columns)
        classes = (0..<n).map { row in
            (0..<columns).reduce(0) { values[row * columns + $1] > values[row * columns + $0] ? $1 : $0 }
        }
    }

    private init(classCount: Int, probabilities: [Double], classes: [Int]) {
        self.classCount = classCount
        self.probabilities = probabilities
        self.classes = classes
    }

    /// The probabilities as `[n, K]`.
    var probabilityTensor: Tensor {
        Tensor(probabilities.map { Float($0) }, shape: [classes.count, classCount])
    }

    /// The share of samples of which two networks predict different classes.
    public func disagreement(_ other: Predictions) throws -> Double {
        try check(other)
        return Double(zip(classes, other.classes).filter { $0 != $1 }.count) / Double(classes.count)
    }

    /// Mean Jensen–Shannon divergence of the probabilities, natural logarithm, 0 to ln 2.
    public func divergence(_ other: Predictions) throws -> Double {
        try check(other)
        var total = 0.0
        for (p, q) in zip(probabilities, other.probabilities) {
            let m = (p + q) / 2
            if p > 0 { total += p * log(p / m) / 2 }
            if q > 0 { total += q * log(q / m) / 2 }
        }
        return max(0, total) / Double(classes.count)
    }

    /// The share of samples whose label is predicted.
    public func accuracy(_ labels: [Int32]) -> Double {
        Double(zip(classes, labels).filter { $0 == Int($1) }.count) / Double(classes.count)
    }

    /// The ensemble: the mean of the members' probabilities.
    ///
    /// - Throws: `mismatch` for other samples or classes; `usage` for no member.
    public static func ensemble(_ members: [Predictions]) throws -> Predictions {
        guard let first = members.first else { throw ZooError(.usage, "an ensemble of no member") }
        var sum = [Double](repeating: 0, count: first.probabilities.count)
        for member in members {
            try first.check(member)
            Vectors.add(1 / Double(members.count), member.probabilities, to: &sum)
        }
        let columns = first.classCount
        let classes = first.classes.indices.map { row in
            (0..<columns).reduce(0) { sum[row * columns + $1] > sum[row * columns + $0] ? $1 : $0 }
        }
        return Predictions(classCount: columns, probabilities: sum, classes: classes)
    }

    private func check(_ other: Predictions) throws {
        guard other.classes.count == classes.count, other.classCount == classCount else {
            throw ZooError(.mismatch, "predictions of other samples or classes cannot be compared")
        }
    }
}
