import ZooBase

/// A question, a text that answers it and, if there is one, a text that does not but looks as if it did.
public struct Triplet: Sendable, Hashable {
    /// The question.
    public var query: String
    /// The text that answers it.
    public var positive: String
    /// The text that does not.
    public var negative: String?

    /// A triplet.
    public init(query: String, positive: String, negative: String? = nil) {
        self.query = query
        self.positive = positive
        self.negative = negative
    }
}

/// Triplets of one side (the domain, or general use), as read from JSON lines and checked.
///
/// A line is an object with `query`, `positive` and, if there is one, `negative`:
///
///     {"query": "stack", "positive": "A data structure …", "negative": "A device that …"}
public struct TripletSet: Sendable {
    /// What the triplets are called in messages: the file.
    public let name: String
    /// The triplets, in the order of the file.
    public let triplets: [Triplet]
    /// FNV-1a over all texts in order: whether two files hold the same data.
    public let digest: UInt64

    /// Bytes of one line at most.
    private static let lineLimit = 1 << 20
    /// Triplets of one file at most; calibration takes 5000, tests a few thousand.
    private static let countLimit = 1_000_000

    /// Triplets from elsewhere, held to the same rules.
    ///
    /// - Throws: `mismatch` naming the triplet by its place from one on.
    public init(_ triplets: [Triplet], name: String) throws {
        try self.init(name: name, triplets.enumerated().map { (line: $0 + 1, triplet: $1) })
    }

    private init(name: String, _ found: [(line: Int, triplet: Triplet)]) throws {
        guard !found.isEmpty else {
            throw ZooError(
                .mismatch, "\(name): expected triplets, found none",
                hint: "write one object a line: {\"query\": …, \"positive\": …, \"negative\": …}")
        }
        var seen: [Pair: Int] = [:]
        for (line, triplet) in found {
            try ZooError.locate("\(name):\(line)") {
                try Self.check(triplet)
                let pair = Pair(query: Self.trimmed(triplet.query), positive: Self.trimmed(triplet.positive))
                if let first = seen.updateValue(line, forKey: pair) {
                    throw ZooError(
                        .mismatch, "'query' and 'positive' are those of line \(first)",
                        hint: "keep each pair once: a pair in one batch twice is its own negative")
                }
            }
        }
        self.name = name
        triplets = found.map(\.triplet)
        var hash = TextHash()
        for triplet in triplets {
            hash.add(triplet.query)
            hash.add(triplet.positive)
            hash.add(triplet.negative ?? "")
        }
        digest = hash.value
    }

    private struct Pair: Hashable { var query: Substring, positive: Substring }

    /// Reads a file of JSON lines.
    ///
    /// - Throws: `corrupt` for a line that is no JSON, `mismatch` for a triplet that is none (a missing or empty text,
    ///   a positive that is its own negative, a pair that came before), `limit` for a line over 1 MB; all name file and
    ///   line. `mismatch` for a file without triplets.
    public static func read(_ path: String) throws -> TripletSet {
        try records(Bytes(mapping: path), name: path)
    }

    /// Reads the bytes of such a file.
    public static func records(_ bytes: Bytes, name: String) throws -> TripletSet {
        var found: [(line: Int, triplet: Triplet)] = []
        try JSONLines.forEach(bytes, name: name, lineLimit: lineLimit) { line, value in
            guard found.count < countLimit else {
                throw ZooError(.limit, "more than \(countLimit) triplets", hint: "calibration takes a few thousand")
            }
            found.append((line, try triplet(value)))
        }
        return try TripletSet(name: name, found)
    }

    private static func triplet(_ value: JSONValue) throws -> Triplet {
        guard value.object != nil else { throw ZooError(.mismatch, "expected an object with 'query' and 'positive'") }
        let negative: String?
        switch value["negative"] {
        case nil, .null?: negative = nil
        case .string(let text)?: negative = text
        default: throw ZooError(.mismatch, "'negative' is no text")
        }
        return Triplet(
            query: try JSONLines.text(value, "query"), positive: try JSONLines.text(value, "positive"),
            negative: negative)
    }

    private static func check(_ triplet: Triplet) throws {
        let query = trimmed(triplet.query), positive = trimmed(triplet.positive)
        let negative = triplet.negative.map(trimmed)
        for (key, text) in [("query", query), ("positive", positive), ("negative", negative ?? "-")] where text.isEmpty
        {
            throw ZooError(.mismatch, "'\(key)' is an empty text")
        }
        if positive == negative { throw ZooError(.mismatch, "'positive' and 'negative' are the same text") }
    }

    /// A text without the white space around it.
    static func trimmed(_ text: String) -> Substring {
        let isOutside: (Character) -> Bool = { !$0.isWhitespace }
        guard let first = text.firstIndex(where: isOutside), let last = text.lastIndex(where: isOutside) else {
            return ""
        }
        return text[first...last]
    }

    /// How many triplets have a negative, from 0 to 1.
    public var negativeShare: Double {
        Double(triplets.count { $0.negative != nil }) / Double(triplets.count)
    }

    /// All texts: of each triplet the query, the positive and the negative, when it has one.
    public var texts: [String] { triplets.flatMap { [$0.query, $0.positive] + ($0.negative.map { [$0] } ?? []) } }

    /// The triplets at places, in that order.
    ///
    /// - Throws: `mismatch` for no place.
    public func selecting(_ places: [Int]) throws -> TripletSet {
        try TripletSet(places.map { triplets[$0] }, name: name)
    }

    // MARK: Overlap

    /// What this set shares with another: texts are compared without the white space around them, by 64-bit hash.
    public func overlap(with other: TripletSet) -> (queries: Int, positives: Int) {
        let queries = Set(other.triplets.map { TextHash.of(Self.trimmed($0.query)) })
        let positives = Set(other.triplets.map { TextHash.of(Self.trimmed($0.positive)) })
        return (
            triplets.count { queries.contains(TextHash.of(Self.trimmed($0.query))) },
            triplets.count { positives.contains(TextHash.of(Self.trimmed($0.positive))) }
        )
    }

    /// Holds two parts of the data apart.
    ///
    /// - Throws: `mismatch` when a query or a positive of this set is one of the other's too: a gain measured on what
    ///   was calibrated on is none.
    public func requireDisjoint(from other: TripletSet) throws {
        let (queries, positives) = overlap(with: other)
        guard queries > 0 || positives > 0 else { return }
        throw ZooError(
            .mismatch,
            "\(name) and \(other.name) overlap: expected no common text, found \(queries) queries and \(positives) "
                + "positives in both",
            hint: "remove them from one of the files: a gain on calibration texts is none")
    }
}

/// FNV-1a over UTF-8 with a separator after each text.
struct TextHash {
    private(set) var value: UInt64 = 0xcbf2_9ce4_8422_2325

    mutating func add(_ text: some StringProtocol) {
        for byte in text.utf8 { value = (value ^ UInt64(byte)) &* 0x100_0000_01b3 }
        value = (value ^ 0xFF) &* 0x100_0000_01b3
    }

    static func of(_ text: some StringProtocol) -> UInt64 {
        var hash = TextHash()
        hash.add(text)
        return hash.value
    }
}
