import ZooBase

/// The assignment of rows to columns with the largest or smallest sum, exactly, in O(n³).
///
/// Jonker and Volgenant (Computing 38, 1987): column reduction, reduction transfer and augmenting row reduction give
/// prices and most of the assignment; one shortest augmenting path per row that is still free completes it. Everything is
/// in double precision and in a fixed order, so results do not depend on the machine.
public enum LinearAssignment {
    /// The column of each row with Σ values[row, column] as large as possible.
    ///
    /// - Parameter values: `size` × `size`, row-major.
    /// - Throws: `numeric` for a value that is not finite.
    public static func maximum(_ values: [Double], size: Int) throws -> [Int] {
        try minimum(values.map { -$0 }, size: size)
    }

    /// The column of each row with Σ costs[row, column] as small as possible.
    ///
    /// - Throws: `numeric` for a cost that is not finite.
    public static func minimum(_ costs: [Double], size: Int) throws -> [Int] {
        precondition(costs.count == size * size)
        guard costs.allSatisfy(\.isFinite) else {
            throw ZooError(.numeric, "an assignment cost is not finite", hint: "'zoo verify' finds NaN weights")
        }
        guard size > 1 else { return Array(0..<size) }
        return costs.withUnsafeBufferPointer { costs in
            guard let base = costs.baseAddress else { return [] }
            var search = JonkerVolgenant(base, size)
            return search.solve()
        }
    }
}
