import ZooBase

/// Where each row of a tensor whose rows are tokens comes from.
struct RowPlan: Sendable {
    /// A row that a model lacks or does not use.
    enum Given: Sendable, Hashable {
        /// Zeros.
        case zero
        /// The mean of rows of members; of one, a copy.
        case mean([Place])
    }

    /// A row of a member.
    struct Place: Sendable, Hashable {
        var member: Int
        var row: Int
    }

    /// Stands for the mean of all other rows of the member.
    static let ownMean: Int32 = -1

    /// For each member what each output row is: a row of its own, `ownMean`, or −2 − k for the k-th of `given`.
    var rows: [[Int32]]
    /// Rows that are made.
    var given: [Given]

    /// Rows of the result.
    var count: Int { rows.first?.count ?? 0 }

    /// Whether every member is taken as it is, so that nothing has to be gathered.
    func isIdentity(_ counts: [Int]) -> Bool {
        zip(rows, counts).allSatisfy { rows, count in
            rows.count == count && rows.enumerated().allSatisfy { $0 == Int($1) }
        }
    }
}
