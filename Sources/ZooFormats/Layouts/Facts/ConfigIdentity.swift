import ZooBase

/// What makes two trials repetitions of one configuration.
public enum ConfigIdentity {
    private static let droppedKeys: Set<String> = ["cuda", "resources"]
    private static let pathWords: Set<String> = ["path", "dump", "dir", "root"]

    /// A text that is equal for configurations that mean the same: keys sorted; `cuda`, `resources`, `*::workers` and
    /// paths (the last part of the key is or ends in `path`, `dump`, `dir`, `root`) dropped; numbers by value, also
    /// when written as text (`1e-4`, `0.0001` and `"0.0001"` are one).
    public static func text(of config: JSONObject) -> String {
        var output = ""
        write(.object(config), isTop: true, into: &output)
        return output
    }

    /// Whether a key says nothing about the model.
    static func isDropped(_ key: String) -> Bool {
        if droppedKeys.contains(key) { return true }
        let last = key.split(whereSeparator: { $0 == ":" || $0 == "/" || $0 == "." }).last ?? ""
        if last == "workers", last.utf8.count < key.utf8.count { return true }
        return pathWords.contains(last.split(separator: "_").last.map(String.init) ?? "")
    }

    private static func write(_ value: JSONValue, isTop: Bool, into output: inout String) {
        switch value {
        case .object(let object):
            let members = object.members.filter { !isTop || !isDropped($0.key) }.sorted { $0.key < $1.key }
            output += "{"
            for member in members {
                output += JSONValue.string(member.key).text() + ":"
                write(member.value, isTop: false, into: &output)
                output += ","
            }
            output += "}"
        case .array(let elements):
            output += "["
            for element in elements {
                write(element, isTop: false, into: &output)
                output += ","
            }
            output += "]"
        case .int(let number): output += self.number(Double(number), exact: number)
        case .double(let number): output += self.number(number, exact: Int64(exactly: number))
        case .string(let text):
            if let first = text.utf8.first, first &- 0x2B < 15, let number = Double(text) {
                output += self.number(number, exact: Int64(text) ?? Int64(exactly: number))
            } else {
                output += value.text()
            }
        default: output += value.text()
        }
    }

    /// Integers keep all digits; other numbers are the shortest text of their double.
    private static func number(_ value: Double, exact: Int64?) -> String { exact.map(String.init) ?? "\(value)" }
}

/// Which of several runs of one configuration to prefer.
public struct TrialDuplicates: Sendable {
    /// What the choice looks at.
    public struct Candidate: Sendable {
        /// `ConfigIdentity.text`, or a digest of it.
        public var identity: String
        /// How many epochs it reported.
        public var resultCount: Int
        /// When it ended, as text that sorts by time (`date`).
        public var date: String

        /// Creates a candidate.
        public init(identity: String, resultCount: Int, date: String) {
            self.identity = identity
            self.resultCount = resultCount
            self.date = date
        }
    }

    /// Positions of runs of one configuration, for each configuration that ran more than once.
    public var groups: [(members: [Int], preferred: Int)]

    /// Groups candidates: in each group the one with most results is preferred, then the latest, then the first.
    public init(_ candidates: [Candidate]) {
        var positions: [String: [Int]] = [:]
        var order: [String] = []
        for (position, candidate) in candidates.enumerated() {
            if positions[candidate.identity] == nil { order.append(candidate.identity) }
            positions[candidate.identity, default: []].append(position)
        }
        groups = order.compactMap { identity in
            guard let members = positions[identity], members.count > 1 else { return nil }
            let preferred = members.dropFirst().reduce(members[0]) { best, next in
                let (a, b) = (candidates[best], candidates[next])
                return (b.resultCount, b.date) > (a.resultCount, a.date) ? next : best
            }
            return (members, preferred)
        }
    }
}
