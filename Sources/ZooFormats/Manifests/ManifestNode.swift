import Yams
import ZooBase

/// A place in a manifest: a YAML node with the file and the path of keys that lead to it, for messages.
package struct ManifestNode {
    /// The largest manifest read.
    static let maximumByteCount = 1 << 20
    /// The deepest nesting read.
    static let maximumDepth = 32
    /// The most values of a manifest, repetitions through aliases counted.
    static let maximumNodeCount = 100_000

    let node: Node
    let file: String
    let path: String

    /// Parses a manifest's text.
    ///
    /// - Throws: `corrupt` with the line for text that is no YAML; `limit` for one that is too large, deep or repeated.
    package init(text: String, file: String) throws {
        guard text.utf8.count <= Self.maximumByteCount else {
            throw ZooError(.limit, "\(file): \(text.utf8.count) bytes; a manifest has at most \(Self.maximumByteCount)")
        }
        try Self.checkNesting(text, file)
        let parsed: Node?
        do {
            parsed = try Yams.compose(yaml: text)
        } catch {
            throw ZooError(.corrupt, "\(file): not YAML: \(Self.oneLine("\(error)"))", cause: error)
        }
        guard let parsed else { throw ZooError(.corrupt, "\(file): empty; expected a mapping") }
        self.init(node: parsed, file: file, path: "")
        var count = 0
        try countNodes(parsed, depth: 0, &count)
    }

    init(node: Node, file: String, path: String) {
        self.node = node
        self.file = file
        self.path = path
    }

    /// The parser recurses, so text that nests deeper than any manifest is refused before it.
    private static func checkNesting(_ text: String, _ file: String) throws {
        var depth = 0
        var run = 0
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "["), UInt8(ascii: "{"): depth += 1
            case UInt8(ascii: "]"), UInt8(ascii: "}"): depth = max(0, depth - 1)
            default: break
            }
            let isIndicator = byte == UInt8(ascii: "-") || byte == UInt8(ascii: "?") || byte == 0x20 || byte == 9
            run = isIndicator ? run + 1 : 0
            guard depth <= 64, run <= 512 else { throw ZooError(.limit, "\(file): nested too deep for a manifest") }
        }
    }

    private static func oneLine(_ text: String) -> String {
        String(text.split(whereSeparator: \.isNewline).joined(separator: " ").prefix(300))
    }

    private func countNodes(_ node: Node, depth: Int, _ count: inout Int) throws {
        count += 1
        guard depth <= Self.maximumDepth, count <= Self.maximumNodeCount else {
            throw fault(
                "nested deeper than \(Self.maximumDepth) or more than \(Self.maximumNodeCount) values", code: .limit)
        }
        switch node {
        case .mapping(let mapping):
            for (key, value) in mapping {
                try countNodes(key, depth: depth + 1, &count)
                try countNodes(value, depth: depth + 1, &count)
            }
        case .sequence(let sequence):
            for element in sequence { try countNodes(element, depth: depth + 1, &count) }
        case .scalar, .alias: break
        }
    }

    // MARK: Messages

    /// An error at this place: `file:line: path: what`.
    func fault(_ what: String, code: ZooError.Code = .corrupt, hint: String = "") -> ZooError {
        let line = node.mark.map { ":\($0.line)" } ?? ""
        return ZooError(code, "\(file)\(line): \(path.isEmpty ? "" : "\(path): ")\(what)", hint: hint)
    }

    private var kind: String {
        switch node {
        case .mapping: "a mapping"
        case .sequence: "a list"
        case .scalar: "a single value"
        case .alias: "an alias"
        }
    }

    // MARK: Values

    /// The members of a mapping with known keys.
    ///
    /// - Throws: `corrupt` for anything else, an unknown key (with the nearest known one), a repeated key, or a
    ///   required key that is not there.
    func object(_ keys: ManifestKeys) throws -> [String: ManifestNode] {
        let members = try openObject()
        for member in members where !keys.all.contains(member.key) {
            throw member.value.fault(
                "unknown key; expected \(keys.all.joined(separator: ", "))",
                hint: NearestName.hint(member.key, in: keys.all, kind: "names"))
        }
        for key in keys.required where !members.contains(where: { $0.key == key }) {
            throw fault("'\(key)' is missing")
        }
        return Dictionary(uniqueKeysWithValues: members)
    }

    /// The members of a mapping with any keys, in order.
    func openObject() throws -> [(key: String, value: ManifestNode)] {
        guard case .mapping(let mapping) = node else { throw fault("expected a mapping, found \(kind)") }
        var seen: Set<String> = []
        return try mapping.map { key, value in
            guard case .scalar(let scalar) = key else { throw fault("expected a text as key") }
            let inner = ManifestNode(
                node: value, file: file, path: path.isEmpty ? scalar.string : "\(path).\(scalar.string)")
            guard seen.insert(scalar.string).inserted else { throw inner.fault("the key is there twice") }
            return (scalar.string, inner)
        }
    }

    /// Whether there are keys and values here.
    var isMapping: Bool { if case .mapping = node { true } else { false } }

    /// The elements of a list.
    func list() throws -> [ManifestNode] {
        guard case .sequence(let sequence) = node else { throw fault("expected a list, found \(kind)") }
        return sequence.enumerated().map { ManifestNode(node: $1, file: file, path: "\(path)[\($0)]") }
    }

    /// A text as written, also when it looks like a number.
    func text() throws -> String {
        guard case .scalar(let scalar) = node else { throw fault("expected a text, found \(kind)") }
        guard !scalar.string.isEmpty else { throw fault("expected a text, found nothing") }
        return scalar.string
    }

    /// A whole number that is not negative.
    func count() throws -> Int {
        guard let number = json().int, number >= 0 else { throw fault("expected a whole number") }
        return number
    }

    /// A text out of a few.
    func choice(_ names: [String]) throws -> String {
        let name = try text()
        guard names.contains(name) else {
            throw fault(
                "'\(name)' is not known; expected \(names.joined(separator: ", "))",
                hint: NearestName.hint(name, in: names, kind: "names"))
        }
        return name
    }

    /// The value as JSON: plain scalars by YAML 1.2's core schema, quoted ones as texts.
    package func json() -> JSONValue { Self.json(node) }

    private static func json(_ node: Node) -> JSONValue {
        switch node {
        case .scalar(let scalar): return Self.scalar(scalar)
        case .sequence(let sequence): return .array(sequence.map(json))
        case .mapping(let mapping):
            return .object(JSONObject(mapping.map { ($0.key.scalar?.string ?? "", json($0.value)) }))
        case .alias: return .null
        }
    }

    private static func scalar(_ scalar: Node.Scalar) -> JSONValue {
        let text = scalar.string
        guard scalar.style == .plain || scalar.style == .any else { return .string(text) }
        switch text {
        case "", "~", "null": return .null
        case "true": return .bool(true)
        case "false": return .bool(false)
        default: break
        }
        if let integer = Int64(text) { return .int(integer) }
        let isNumber = text.utf8.allSatisfy { $0 &- 0x30 < 10 || ".eE+-".utf8.contains($0) }
        if isNumber, let number = Double(text), number.isFinite { return .double(number) }
        return .string(text)
    }
}

/// The keys that a mapping of a manifest may have; `schema.json` says the same, and a test compares them.
package struct ManifestKeys: Sendable {
    package var required: [String]
    package var optional: [String]

    package var all: [String] { required + optional }
}
