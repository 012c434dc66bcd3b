import ZooBase
import ZooFormats

/// One line of a text data set.
public enum TextRecord: Sendable, Hashable {
    /// A text, with its class when the line gives one.
    case text(String, label: Label?)
    /// Two texts and how alike they are, when the line says.
    case pair(String, String, score: Double?)
    /// A query, a text that answers it, and texts that do not.
    case triplet(query: String, positive: String, negatives: [String])

    /// A class: by number or by name.
    public enum Label: Sendable, Hashable {
        /// A number from 0 on.
        case index(Int)
        /// A name.
        case name(String)
    }
}

/// Reads text data sets: JSON lines, one object each, of one of these shapes throughout the file.
///
/// | keys | record |
/// | --- | --- |
/// | `text`, `label` (optional) | a text and its class |
/// | `sentence1`, `sentence2`, `score` (optional) | a pair |
/// | `query`, `positive`, `negative` or `negatives` (optional) | a triplet |
public enum TextRecords {
    /// Bytes of one line.
    private static let lineLimit = 64 << 20

    /// Reads a file, gzipped or not, or a member of an archive.
    ///
    /// - Throws: `corrupt` or `mismatch` naming file and line; `notFound` for a file without records.
    public static func read(_ path: String) throws -> [TextRecord] {
        guard case .file(let file) = try DataPlace.open(path) else {
            throw ZooError(.unsupported, "\(path): a folder is no file of JSON lines")
        }
        return try records(file.bytes, name: file.name)
    }

    /// Reads bytes.
    public static func records(_ bytes: Bytes, name: String) throws -> [TextRecord] {
        var records: [TextRecord] = []
        var (position, line) = (0, 0)
        while position < bytes.count {
            line += 1
            if line % 1024 == 0 { try Cancellation.check() }
            var end = position
            while end < bytes.count, bytes[end] != 0x0A { end += 1 }
            let text = try bytes.slice(position, end - position)
            position = end + 1
            let isBlank = text.withUnsafeBytes { $0.allSatisfy { $0 == 0x20 || $0 == 0x09 || $0 == 0x0D } }
            if isBlank { continue }
            let record = try ZooError.locate("\(name):\(line)") { try self.record(text) }
            if let first = records.first, kind(first) != kind(record) {
                throw ZooError(.mismatch, "\(name):\(line): \(kind(record)), but the lines before are \(kind(first))")
            }
            records.append(record)
        }
        guard !records.isEmpty else { throw ZooError(.notFound, "\(name): there are no records") }
        return records
    }

    private static func kind(_ record: TextRecord) -> String {
        switch record {
        case .text: "a text"
        case .pair: "a pair of sentences"
        case .triplet: "a query with answers"
        }
    }

    private static func record(_ line: Bytes) throws -> TextRecord {
        guard line.count <= lineLimit else { throw ZooError(.limit, "a line of \(line.count) bytes") }
        let value = try JSONParser.parse(line)
        guard let object = value.object else { throw ZooError(.mismatch, "expected an object") }
        if object.contains("query") || object.contains("positive") {
            return .triplet(
                query: try text(value, "query"), positive: try text(value, "positive"), negatives: try negatives(value))
        }
        if object.contains("sentence1") || object.contains("sentence2") {
            return .pair(
                try text(value, "sentence1"), try text(value, "sentence2"), score: try number(value, "score"))
        }
        guard object.contains("text") else {
            throw ZooError(
                .mismatch,
                "expected 'text', 'sentence1' and 'sentence2', or 'query' and 'positive'; found "
                    + object.members.prefix(6).map { "'\($0.key)'" }.joined(separator: ", "))
        }
        return .text(try text(value, "text"), label: try label(value["label"]))
    }

    private static func text(_ value: JSONValue, _ key: String) throws -> String {
        guard let text = value[key]?.string else { throw ZooError(.mismatch, "'\(key)' is missing or no text") }
        return text
    }

    private static func number(_ value: JSONValue, _ key: String) throws -> Double? {
        guard let member = value[key], member != .null else { return nil }
        guard let number = member.double, number.isFinite else {
            throw ZooError(.mismatch, "'\(key)' is no finite number")
        }
        return number
    }

    private static func label(_ value: JSONValue?) throws -> TextRecord.Label? {
        switch value {
        case nil, .null?: return nil
        case .string(let name)?: return .name(name)
        case let other?:
            guard let index = other.int, index >= 0 else {
                throw ZooError(.mismatch, "'label' is neither a name nor a whole number from 0 on")
            }
            return .index(index)
        }
    }

    private static func negatives(_ value: JSONValue) throws -> [String] {
        guard let member = value["negatives"] ?? value["negative"], member != .null else { return [] }
        if let text = member.string { return [text] }
        guard let list = member.array else { throw ZooError(.mismatch, "negatives are neither a text nor a list") }
        return try list.map { item in
            guard let text = item.string else { throw ZooError(.mismatch, "a negative is no text") }
            return text
        }
    }
}
