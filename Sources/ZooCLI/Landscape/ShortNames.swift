import ZooBase

/// Names of checkpoints for people's tables: what all of them share is left out.
///
/// Trials of a zoo carry their settings in their names. Where the settings that differ tell all names apart, they are
/// the short names: `width=2,seed=0` for `NN_tune_trainable_0ada0_00000_0_model_width=2,optim_lr=0.05,seed=0_2024-…@20`.
/// Else what is alike at both ends of the names becomes an ellipsis.
struct ShortNames {
    private let short: [String: String]

    /// Names that are not longer than this stay.
    private static let comfortable = 32

    /// - Parameter names: in any order; equal ones count once.
    init(_ names: some Sequence<String>) {
        let names = Set(names).sorted()
        guard names.count > 1, names.contains(where: { $0.count > Self.comfortable }) else {
            short = [:]
            return
        }
        let found = Self.settings(names) ?? Self.middles(names)
        short = Dictionary(zip(names, found), uniquingKeysWith: { first, _ in first })
    }

    /// The short form of a name; itself when it has none.
    subscript(name: String) -> String { short[name] ?? name }

    /// Whether any name is shortened.
    var shortens: Bool { short.contains { $0 != $1 } }

    /// A short name and what it stands for.
    var example: String {
        short.filter { $0 != $1 }.min { $0.key < $1.key }.map { "\($0.value) is \($0.key)" } ?? ""
    }

    // MARK: Settings

    /// `key=value` parts of a name with the epoch behind `@`: keys without what stands before their last word.
    private static func fields(_ name: String) -> [(key: String, value: String)] {
        var fields: [(key: String, value: String)] = []
        let at = name.lastIndex(of: "@")
        for part in name[..<(at ?? name.endIndex)].split(separator: ",") {
            guard let equals = part.firstIndex(of: "=") else { continue }
            let key = part[..<equals].split(whereSeparator: { "_/ !:".contains($0) }).last ?? ""
            let value = part[part.index(after: equals)...].prefix { !"_/ !".contains($0) }
            fields.append((String(key), String(value)))
        }
        if let at { fields.append(("@", String(name[name.index(after: at)...]))) }
        return fields
    }

    /// The settings that differ, when all names have the same keys and these tell the names apart.
    private static func settings(_ names: [String]) -> [String]? {
        let fields = names.map(fields)
        let keys = fields[0].map(\.key)
        guard Set(keys).count == keys.count, fields.allSatisfy({ $0.map(\.key) == keys }) else { return nil }
        let varying = keys.indices.filter { place in Set(fields.map { $0[place].value }).count > 1 }
        let found = fields.map { own in
            let settings = varying.filter { keys[$0] != "@" }.map { "\(keys[$0])=\(own[$0].value)" }
            let epoch = varying.contains { keys[$0] == "@" } ? "@" + (own.last?.value ?? "") : ""
            return settings.joined(separator: ",") + epoch
        }
        return Set(found).count == names.count ? found : nil
    }

    // MARK: Ends

    /// The names without the beginning and end that all share, cut where words do.
    private static func middles(_ names: [String]) -> [String] {
        let letters = names.map(Array.init)
        let least = letters.map(\.count).min() ?? 0
        func shared(_ at: (Int, [Character]) -> Character) -> Int {
            var count = 0
            while count < least, Set(letters.map { at(count, $0) }).count == 1 { count += 1 }
            return count
        }
        func isBoundary(_ letter: Character) -> Bool { !letter.isLetter && !letter.isNumber && letter != "." }
        var before = shared { $1[$0] }
        while before > 0, !isBoundary(letters[0][before - 1]) { before -= 1 }
        var behind = min(shared { $1[$1.count - 1 - $0] }, least - before)
        while behind > 0, !isBoundary(letters[0][letters[0].count - behind]) { behind -= 1 }
        // An ellipsis for a few letters gains nothing.
        if before < 8 { before = 0 }
        if behind < 8 { behind = 0 }
        return letters.map { name in
            (before > 0 ? "…" : "") + String(name[before..<(name.count - behind)]) + (behind > 0 ? "…" : "")
        }
    }
}
