import ZooBase

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Coefficients kept small: γ times the mean over blocks of the norm across task vectors (arXiv 2407.02880, section 4.3).
public struct CoefficientRegulariser: Sendable, Hashable {
    /// γ; zero for none.
    public var weight: Double
    /// 1 or 2.
    public var order: Int

    /// Creates a regulariser. Precondition: the order is 1 or 2.
    public init(weight: Double, order: Int) {
        precondition(order == 1 || order == 2)
        self.weight = weight
        self.order = order
    }

    /// The term for coefficients `[vectors, columns]`.
    public func value(_ values: [Double], vectors: Int) -> Double {
        let columns = values.count / max(1, vectors)
        guard weight != 0, columns > 0 else { return 0 }
        return weight / Double(columns)
            * (0..<columns).reduce(0) { sum, column in
                sum + norm((0..<vectors).map { values[$0 * columns + column] })
            }
    }

    /// Adds the term's gradient; zero where a norm has none.
    public func addGradient(_ values: [Double], vectors: Int, to gradient: inout [Double]) {
        let columns = values.count / max(1, vectors)
        guard weight != 0, columns > 0 else { return }
        let scale = weight / Double(columns)
        for column in 0..<columns {
            let places = (0..<vectors).map { $0 * columns + column }
            let length = norm(places.map { values[$0] })
            for place in places where values[place] != 0 {
                gradient[place] += scale * (order == 1 ? (values[place] > 0 ? 1 : -1) : values[place] / length)
            }
        }
    }

    private func norm(_ column: [Double]) -> Double {
        order == 1
            ? column.reduce(0) { $0 + abs($1) } : column.reduce(0) { $0 + $1 * $1 }.squareRoot()
    }
}

/// Rates and limits of a step.
public enum StepRule {
    /// How the rate runs over the steps.
    public enum Schedule: String, Sendable, CaseIterable {
        /// The same in every step.
        case constant
        /// ½ lr (1 + cos(π s / S)), without warm-up.
        case cosine
    }

    /// The rate of a step out of `total`.
    public static func rate(_ rate: Double, _ schedule: Schedule, step: Int, of total: Int) -> Double {
        schedule == .constant ? rate : 0.5 * rate * (1 + cos(Double.pi * Double(step) / Double(max(1, total))))
    }

    /// Scales a gradient to a norm of at most `limit`, as PyTorch does: g · min(1, limit / (‖g‖ + 10⁻⁶)).
    public static func clip(_ gradient: inout [Double], to limit: Double) {
        let norm = gradient.reduce(0) { $0 + $1 * $1 }.squareRoot()
        let factor = min(1, limit / (norm + 1e-6))
        guard factor < 1 else { return }
        for place in gradient.indices { gradient[place] *= factor }
    }
}
