/// Where the phase changes along the rows and columns of a diagram.
public struct PhaseTransition: Sendable, Hashable {
    /// A row (one temperature, load changes) or a column (one load, temperature changes).
    public enum Direction: String, Sendable, Hashable {
        /// Along a row.
        case row
        /// Along a column.
        case column
    }

    /// Along what.
    public var direction: Direction
    /// The row or column.
    public var index: Int
    /// The cell before the change, by its place in the row or column; the border lies between it and the next.
    public var after: Int
    /// The phases on both sides.
    public var from: Phase
    /// The phase after the border.
    public var to: Phase
}

extension PhaseDiagram {
    /// All changes of phase between neighbours; cells of unknown phase make none.
    ///
    /// - Parameter columns: cells per row.
    public func transitions(columns: Int) -> [PhaseTransition] {
        let rows = columns > 0 ? phases.count / columns : 0
        var found: [PhaseTransition] = []
        func compare(_ direction: PhaseTransition.Direction, _ index: Int, _ after: Int, _ a: Phase, _ b: Phase) {
            guard a != b, a != .unknown, b != .unknown else { return }
            found.append(PhaseTransition(direction: direction, index: index, after: after, from: a, to: b))
        }
        for row in 0..<rows {
            for column in 0..<max(columns - 1, 0) {
                compare(.row, row, column, phases[row * columns + column], phases[row * columns + column + 1])
            }
        }
        for column in 0..<columns {
            for row in 0..<max(rows - 1, 0) {
                compare(.column, column, row, phases[row * columns + column], phases[(row + 1) * columns + column])
            }
        }
        return found
    }

    /// How many cells each phase has; phases without cells are left out.
    public var areas: [Phase: Int] {
        phases.reduce(into: [:]) { $0[$1, default: 0] += 1 }
    }
}
