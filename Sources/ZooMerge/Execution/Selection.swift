import CZooKernels
import ZooBase

/// Exact order statistics of magnitudes over tensors of any size: a radix search, a few counting passes, no sorting
/// and no copy.
struct Selection {
    /// What stands at one rank.
    struct Found: Sendable {
        /// The magnitude's bits.
        var bits: UInt64
        /// How many equal elements rank before it.
        var equalBefore: Int
        /// How many elements are equal to it.
        var equal: Int

        /// The magnitude.
        func value(isWide: Bool) -> Double {
            isWide ? Double(bitPattern: bits) : Double(Float(bitPattern: UInt32(truncatingIfNeeded: bits)))
        }
    }

    /// Digits of a magnitude's bits, most significant first: shift and width.
    static func digits(isWide: Bool) -> [(shift: Int32, width: Int32)] {
        isWide ? [(47, 16), (31, 16), (15, 16), (0, 15)] : [(15, 16), (0, 15)]
    }

    private struct Query {
        var key: Int
        var rank: Int
        var prefix: UInt64 = 0
        var equal = 0
        var table = 0
    }

    /// The elements at given ranks (0 = smallest, equals in flat order) of several keys.
    ///
    /// - Parameters:
    ///   - ranks: for each key, the ranks wanted. Precondition: below the element count.
    ///   - keys: writes or picks the keys of a block, one row of its precision for each.
    static func find(
        _ ranks: [[Int]], in stack: TensorStack, jobs: Int, scratchRows: Int = 0,
        keys: @escaping @Sendable (Block) throws -> [UnsafeMutableRawPointer]
    ) throws -> [[Found]] {
        var queries = ranks.enumerated().flatMap { key, wanted in wanted.map { Query(key: key, rank: $0) } }
        for (shift, width) in digits(isWide: stack.isWide) {
            let size = 1 << Int(width)
            var tables: [(key: Int, prefix: UInt64)] = []
            for index in queries.indices {
                let (key, prefix) = (queries[index].key, queries[index].prefix)
                queries[index].table = tables.firstIndex { $0.key == key && $0.prefix == prefix } ?? tables.count
                if queries[index].table == tables.count { tables.append((key, prefix)) }
            }
            let layout = tables
            let empty = [UInt64](repeating: 0, count: size * layout.count)
            let parts = try stack.accumulate(jobs: jobs, scratchRows: scratchRows, empty) { block, bins in
                let rows = try keys(block)
                bins.withUnsafeMutableBufferPointer { bins in
                    guard let base = bins.baseAddress else { return }
                    for (index, table) in layout.enumerated() {
                        zoo_merge_histogram(
                            block.isWide, block.count, rows[table.key], shift, width, table.prefix,
                            base + index * size)
                    }
                }
            }
            for index in queries.indices {
                descend(&queries[index], parts, size, Int(width))
            }
        }
        var results = ranks.map { _ in [Found]() }
        for query in queries {
            results[query.key].append(Found(bits: query.prefix, equalBefore: query.rank, equal: query.equal))
        }
        return results
    }

    private static func descend(_ query: inout Query, _ parts: [[UInt64]], _ size: Int, _ width: Int) {
        let start = query.table * size
        for bin in 0..<size {
            let count = parts.reduce(0) { $0 + Int($1[start + bin]) }
            if query.rank < count || bin == size - 1 {
                query.prefix = query.prefix << UInt64(width) | UInt64(bin)
                query.equal = count
                return
            }
            query.rank -= count
        }
    }
}

/// Which elements of a tensor a trim keeps, and how many equals precede each piece.
struct Trim: Sendable {
    var range: zoo_merge_range
    /// Elements equal to the lower and to the upper bound before each chunk; empty when all equals are treated alike.
    var starts: [(low: UInt64, high: UInt64)] = []

    /// Keeps ascending ranks `kept` out of `count` elements.
    ///
    /// - Parameters:
    ///   - lowest: what stands at rank `kept.lowerBound`; nil when nothing is cut below.
    ///   - first: what stands at rank `kept.upperBound`; nil when nothing is cut above.
    ///   - keepsEarly: of equals at the lower bound the earlier ones stay (top-k); otherwise equals rank by position.
    init(lowest: Selection.Found?, first: Selection.Found?, keepsEarly: Bool) {
        range = zoo_merge_range(low: 0, high: .max, low_from: 0, low_to: .max, high_to: 0)
        if let lowest {
            range.low = lowest.bits
            if keepsEarly {
                range.low_to = UInt64(lowest.equal - lowest.equalBefore)
            } else {
                range.low_from = UInt64(lowest.equalBefore)
            }
        }
        if let first {
            range.high = first.bits
            range.high_to = UInt64(first.equalBefore)
            if lowest?.bits == first.bits { range.low_to = UInt64(first.equalBefore) }
        }
        dividesLow = range.low != 0 && (range.low_from > 0 || range.low_to < UInt64(lowest?.equal ?? 0))
        dividesHigh = range.high_to > 0 && range.high_to < UInt64(first?.equal ?? 0) && range.high != range.low
        // A bound of zero: zeros stay zeros either way.
        if range.low == 0, !dividesHigh || range.high != 0 { (range.low_from, range.low_to) = (0, .max) }
    }

    /// Whether some equals stay and others go, so that their order matters.
    let dividesLow: Bool
    let dividesHigh: Bool
    var needsStarts: Bool { dividesLow || dividesHigh }
}
