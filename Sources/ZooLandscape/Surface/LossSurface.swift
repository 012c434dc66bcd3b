import ZooBase
import ZooNN

/// The loss on a line or plane through a network: θ(a, b) = θ* + a·δ + b·η.
///
/// Networks run in evaluation mode with batch-norm statistics as stored. All points share one program.
public struct LossSurface: Sendable {
    /// One point.
    public struct Point: Sendable, Hashable {
        /// Mean loss; nil where it is not finite.
        public var loss: Double?
        /// Share of correct samples; nil without classes.
        public var accuracy: Double?

        /// A point.
        public init(loss: Double?, accuracy: Double?) {
            self.loss = loss
            self.accuracy = accuracy
        }
    }

    /// Coordinates along the first direction.
    public let x: [Double]
    /// Along the second; one zero for a line.
    public let y: [Double]
    private let problem: LossProblem
    private let directions: [[Double]]
    private let measuresAccuracy: Bool

    /// A surface, not evaluated yet.
    ///
    /// - Parameters:
    ///   - problem: the network and its samples, for one thread.
    ///   - directions: one or two.
    /// - Throws: `mismatch` when a direction has another length than the network.
    public init(
        _ problem: LossProblem, directions: [[Double]], x: [Double], y: [Double] = [0], measuresAccuracy: Bool = true
    ) throws {
        guard (1...2).contains(directions.count), directions.allSatisfy({ $0.count == problem.layout.count }) else {
            throw ZooError(
                .mismatch,
                "\(directions.count) directions of \(directions.map(\.count)) numbers; the model has "
                    + "\(problem.layout.count) parameters")
        }
        self.problem = problem
        self.directions = directions
        self.x = x
        self.y = directions.count == 1 ? [0] : y
        self.measuresAccuracy = measuresAccuracy
    }

    /// Even coordinates from low to high; the middle of an odd number is exactly the middle.
    public static func grid(_ low: Double, _ high: Double, count: Int) -> [Double] {
        guard count > 1 else { return [low] }
        let last = Double(count - 1)
        return (0..<count).map { (low * (last - Double($0)) + high * Double($0)) / last }
    }

    /// How many points there are, and the coordinates of one: rows of x, y after y.
    public var count: Int { x.count * y.count }

    /// The coordinates of a point by its number.
    public func place(_ number: Int) -> (x: Double, y: Double) { (x[number % x.count], y[number / x.count]) }

    /// Evaluates one point.
    ///
    /// - Throws: `interrupted`, and what is no matter of the numbers there.
    public func point(_ number: Int) throws -> Point {
        let (a, b) = place(number)
        var point = problem.initial
        if a != 0 { Vectors.add(a, directions[0], to: &point) }
        if b != 0, directions.count > 1 { Vectors.add(b, directions[1], to: &point) }
        guard measuresAccuracy else {
            let loss = try problem.loss(at: point)
            return Point(loss: loss.isFinite ? loss : nil, accuracy: nil)
        }
        let found = try problem.evaluation(at: point)
        return Point(loss: found.loss.isFinite ? found.loss : nil, accuracy: found.accuracy)
    }
}
