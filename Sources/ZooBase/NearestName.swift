/// Finds the name that a mistyped one was probably meant to be.
///
/// Distance is the optimal string alignment distance (insertions, deletions, substitutions, swaps of neighbours) of
/// the lower-cased names with `-`, `_` and `.` taken as equal.
public enum NearestName {
    /// The closest candidate; nil when none is close enough to be worth naming.
    ///
    /// Close means at most a third of the longer name differs, or the typed text (three letters or more) begins a
    /// candidate. Equal distances go to the candidate that comes first.
    ///
    /// - Complexity: O(total length of the candidates × length of `name`).
    public static func find(_ name: String, in candidates: some Sequence<String>) -> String? {
        let typed = normalised(name)
        var best: (name: String, distance: Int)?
        for candidate in candidates {
            let wanted = normalised(candidate)
            let limit = max(1, max(typed.count, wanted.count) / 3)
            guard abs(typed.count - wanted.count) <= limit else { continue }
            let found = distance(typed, wanted)
            if found <= limit, found < best?.distance ?? .max { best = (candidate, found) }
        }
        if let best { return best.name }
        guard typed.count >= 3 else { return nil }
        return candidates.first { normalised($0).starts(with: typed) }
    }

    /// The closest candidates, nearest first; those within a third of the letters, at least two.
    public static func list(_ name: String, in candidates: some Sequence<String>, count: Int = 3) -> [String] {
        let typed = Array(normalised(name).prefix(64))
        let limit = max(2, typed.count / 3)
        var seen: Set<String> = []
        return candidates.filter { seen.insert($0).inserted }
            .map { ($0, distance(typed, Array(normalised($0).prefix(64)))) }
            .filter { $0.1 <= limit }.sorted { ($0.1, $0.0) < ($1.1, $1.0) }.prefix(count).map(\.0)
    }

    /// The remedy for a name that does not exist: "did you mean 'x'?", else the list of all names.
    ///
    /// - Parameters:
    ///   - candidates: the names that do exist, in the order in which they are listed.
    ///   - kind: what they are, in the plural: "columns".
    ///   - limit: how many names are listed before "and N more".
    public static func hint(_ name: String, in candidates: [String], kind: String, limit: Int = 12) -> String {
        if let nearest = find(name, in: candidates) { return "did you mean '\(nearest)'?" }
        guard !candidates.isEmpty else { return "there are no \(kind)" }
        let listed = candidates.prefix(limit).joined(separator: ", ")
        return candidates.count > limit
            ? "\(kind): \(listed) and \(candidates.count - limit) more" : "\(kind): \(listed)"
    }

    private static func normalised(_ name: String) -> [UInt8] {
        name.lowercased().utf8.map { $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: ".") ? UInt8(ascii: "_") : $0 }
    }

    private static func distance(_ left: [UInt8], _ right: [UInt8]) -> Int {
        guard !left.isEmpty, !right.isEmpty else { return max(left.count, right.count) }
        var beforeLast: [Int] = []
        var last = Array(0...right.count)
        for row in 1...left.count {
            var current = [row] + Array(repeating: 0, count: right.count)
            for column in 1...right.count {
                let same = left[row - 1] == right[column - 1]
                current[column] = min(
                    last[column] + 1, current[column - 1] + 1, last[column - 1] + (same ? 0 : 1))
                if row > 1, column > 1, left[row - 1] == right[column - 2], left[row - 2] == right[column - 1] {
                    current[column] = min(current[column], beforeLast[column - 2] + 1)
                }
            }
            (beforeLast, last) = (last, current)
        }
        return last[right.count]
    }
}
