/// How much the gradients of two sides agree: one number per matrix, per output row or per weight, in [−1, 1].
public enum Agreement: Sendable, Hashable {
    /// The cosine of the whole matrices' gradients.
    case tensor(Double)
    /// The cosine of each output row.
    case row([Double])
    /// Sign of the product times the ratio of the smaller to the larger, both scaled by their matrix's RMS.
    case element([Double])

    /// What agreement is taken of.
    public enum Granularity: String, Sendable, Hashable, CaseIterable {
        /// The whole matrix, as published.
        case tensor
        /// The rows: neurons.
        case row
        /// Single weights.
        case element
    }

    /// What keeps a zero gradient from dividing by zero.
    static let epsilon = 1e-8

    /// ⟨a, b⟩ / (‖a‖ ‖b‖ + ε); zero when one is zero.
    public static func cosine(_ a: [Double], _ b: [Double], epsilon: Double = 0) -> Double {
        var product = 0.0, first = 0.0, second = 0.0
        for (x, y) in zip(a, b) {
            product += x * y
            first += x * x
            second += y * y
        }
        let size = first.squareRoot() * second.squareRoot() + epsilon
        return size > 0 ? product / size : 0
    }

    /// The agreement of a matrix's mean gradients, both stored as the tensor is.
    public init(_ granularity: Granularity, domain: [Double], general: [Double], matrix: CandidateMatrix) {
        switch granularity {
        case .tensor: self = .tensor(Self.cosine(domain, general, epsilon: Self.epsilon))
        case .row:
            self = .row(
                (0..<matrix.rows).map { row in
                    let places = (0..<matrix.columns).map { matrix.index(row, $0) }
                    return Self.cosine(
                        places.map { domain[$0] }, places.map { general[$0] }, epsilon: Self.epsilon)
                })
        case .element:
            func scale(_ gradient: [Double]) -> Double {
                (gradient.reduce(0) { $0 + $1 * $1 } / Double(max(1, gradient.count))).squareRoot()
            }
            let first = scale(domain), second = scale(general)
            guard first > 0, second > 0 else {
                self = .element([Double](repeating: 0, count: domain.count))
                return
            }
            self = .element(
                zip(domain, general).map { x, y in
                    let a = x / first, b = y / second, larger = max(abs(a), abs(b))
                    guard larger > 0, a * b != 0 else { return 0 }
                    return (a * b < 0 ? -1 : 1) * min(abs(a), abs(b)) / larger
                })
        }
    }

    /// The agreement of the weight at a place of the tensor.
    @inline(__always)
    public func value(at index: Int, of matrix: CandidateMatrix) -> Double {
        switch self {
        case .tensor(let cosine): cosine
        case .row(let rows): rows[matrix.isTransposed ? index % matrix.rows : index / matrix.columns]
        case .element(let weights): weights[index]
        }
    }
}
