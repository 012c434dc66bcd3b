import ZooBase

/// Where weights compete with each other: each group loses the same share.
public enum PruneGroup: Sendable, Hashable, CustomStringConvertible {
    /// All matrices together.
    case global
    /// Each matrix.
    case tensor
    /// Each output row of a matrix.
    case row
    /// Of each `of` consecutive inputs of a row, the best `keep` stay.
    case pattern(keep: Int, of: Int)

    /// `global`, `tensor`, `row`, or a pattern such as `2:4`.
    ///
    /// - Throws: `usage` for anything else.
    public init(_ text: String) throws {
        switch text {
        case "global": self = .global
        case "tensor": self = .tensor
        case "row": self = .row
        default:
            let parts = text.split(separator: ":", omittingEmptySubsequences: false).map { Int($0) }
            guard parts.count == 2, let keep = parts[0], let of = parts[1], keep > 0, keep < of, of <= 1024 else {
                throw ZooError(
                    .usage, "group '\(text)': expected global, tensor, row, or N:M with 0 < N < M such as 2:4")
            }
            self = .pattern(keep: keep, of: of)
        }
    }

    /// As `init` reads it.
    public var description: String {
        switch self {
        case .global: "global"
        case .tensor: "tensor"
        case .row: "row"
        case .pattern(let keep, let of): "\(keep):\(of)"
        }
    }
}

extension PruneGroup {
    /// ⌊share · count⌋, where a product that misses a whole number by rounding alone counts as that number.
    public static func zeros(_ share: Double, of count: Int) -> Int {
        let exact = share * Double(count), nearest = exact.rounded()
        return Int(abs(exact - nearest) <= 1e-9 * max(1, exact) ? nearest : exact.rounded(.down))
    }
}
