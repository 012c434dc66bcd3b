import Synchronization
import ZooBase

/// A classifier of which only the answers are known: a network of the catalog, a program, a service.
public protocol BlackBox: Sendable {
    /// What it is called in messages.
    var name: String { get }
    /// The extents of one input.
    var inputShape: [Int] { get }
    /// Classes.
    var classCount: Int { get }
    /// What its answers are.
    var kind: ScoreKind { get }
    /// Whether the same inputs are known to get the same answers; others are asked some of them twice.
    var isRepeatable: Bool { get }
    /// The answers to `count` inputs, side by side: `count × classCount` scores, row-major; for labels one-hot rows.
    ///
    /// - Throws: what asking throws.
    func scores(_ inputs: [Float], count: Int) throws -> [Float]
}

extension BlackBox {
    /// Yes, unless a box says otherwise.
    public var isRepeatable: Bool { true }
}

/// Asks a box, checks what it says, and counts.
public final class CheckedBox: Sendable {
    /// The box.
    public let box: any BlackBox
    private let asked = Mutex(0)

    /// Wraps a box.
    public init(_ box: any BlackBox) { self.box = box }

    /// Inputs asked about so far.
    public var queryCount: Int { asked.withLock { $0 } }

    /// The answers `[count, classes]`.
    ///
    /// - Throws: `mismatch` for a wrong number of answers, `numeric` for NaN, infinite numbers, or probabilities that are
    ///   none; names the box.
    public func scores(_ inputs: [Float], count: Int) throws -> Matrix {
        try ZooError.locate(box.name) {
            let values = try box.scores(inputs, count: count)
            asked.withLock { $0 += count }
            guard values.count == count * box.classCount else {
                throw ZooError(
                    .mismatch,
                    "\(values.count) numbers for \(count) inputs; expected \(count * box.classCount) "
                        + "(\(box.classCount) classes)")
            }
            if let place = values.firstIndex(where: { !$0.isFinite }) {
                throw ZooError(.numeric, "the answer to input \(place / box.classCount) is NaN or infinite")
            }
            let matrix = Matrix(values.map(Double.init), rows: count, columns: box.classCount)
            if box.kind != .logits { try Self.checkProbabilities(matrix) }
            return matrix
        }
    }

    private static func checkProbabilities(_ p: Matrix) throws {
        for row in 0..<p.rows {
            let sum = p.row(row).reduce(0, +)
            guard p.row(row).allSatisfy({ $0 >= -1e-6 }), abs(sum - 1) < 1e-2 else {
                throw ZooError(
                    .numeric, "the answer to input \(row) is no distribution over classes (sum \(sum))",
                    hint: "say 'scores: logits' for scores before the softmax")
            }
        }
    }
}

/// The place of the largest number of each row; of equal ones the lowest.
func argmaxRows(_ m: Matrix) -> [Int] {
    (0..<m.rows).map { row in (0..<m.columns).reduce(0) { m[row, $1] > m[row, $0] ? $1 : $0 } }
}
