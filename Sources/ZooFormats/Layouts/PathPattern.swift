import ZooBase

/// A pattern for member paths: `data/{zoo}/{model}/checkpoint_{epoch}/checkpoints`.
///
/// `{name}` stands for one or more characters inside one path component, `{epoch}` for decimal digits; `*` for any
/// characters inside a component; `**/` for any number of folders, `**` at the end for everything below. All else
/// stands for itself. Where several readings are possible, the leftmost placeholder takes as little as it can.
public struct PathPattern: Sendable, Hashable {
    /// The text it was made from.
    public let text: String
    /// The placeholders' names in the order of the text.
    public let placeholders: [String]
    private let tokens: [Token]

    private enum Token: Sendable, Hashable {
        case literal([UInt8])
        case star
        case folders
        case everything
        case capture(Int, isNumber: Bool)
    }

    /// The most placeholders of a pattern.
    static let maximumPlaceholderCount = 16

    /// Compiles a pattern.
    ///
    /// - Throws: `usage` for an unclosed or empty placeholder, one that is there twice, two without text between them,
    ///   and an absolute path.
    public init(_ text: String) throws {
        var compiler = Compiler(text: text)
        try compiler.run()
        self.text = text
        placeholders = compiler.placeholders
        tokens = compiler.tokens
    }

    private struct Compiler {
        let text: String
        var tokens: [Token] = []
        var placeholders: [String] = []
        var literal: [UInt8] = []

        mutating func run() throws {
            guard !text.isEmpty, !text.hasPrefix("/") else { throw fault("expected a path inside the archive") }
            var rest = Substring(text)
            while let character = rest.first {
                if rest.hasPrefix("**/") {
                    try append(.folders)
                    rest = rest.dropFirst(3)
                } else if rest == "**" {
                    try append(.everything)
                    rest = ""
                } else if character == "*" {
                    try append(.star)
                    rest = rest.dropFirst()
                } else if character == "{" {
                    rest = try placeholder(rest.dropFirst())
                } else {
                    literal += Array(String(character).utf8)
                    rest = rest.dropFirst()
                }
            }
            flush()
        }

        private mutating func placeholder(_ rest: Substring) throws -> Substring {
            guard let end = rest.firstIndex(of: "}") else { throw fault("'{' is not closed") }
            let name = String(rest[..<end])
            let isName =
                !name.isEmpty && name.utf8.allSatisfy { $0 == 0x5F || $0 &- 0x30 < 10 || ($0 | 0x20) &- 0x61 < 26 }
            guard isName else { throw fault("'{\(name)}' is no placeholder; expected letters, digits and '_'") }
            guard !placeholders.contains(name) else { throw fault("'{\(name)}' is there twice") }
            guard placeholders.count < PathPattern.maximumPlaceholderCount else { throw fault("too many placeholders") }
            try append(.capture(placeholders.count, isNumber: name == "epoch"))
            placeholders.append(name)
            return rest[rest.index(after: end)...]
        }

        private mutating func append(_ token: Token) throws {
            flush()
            if case .literal = tokens.last ?? .literal([]) {
            } else if case .folders = tokens[tokens.count - 1] {
            } else {
                throw fault("two placeholders need text between them")
            }
            tokens.append(token)
        }

        private mutating func flush() {
            if !literal.isEmpty { tokens.append(.literal(literal)) }
            literal = []
        }

        private func fault(_ what: String) -> ZooError { ZooError(.usage, "pattern '\(text)': \(what)") }
    }

    /// What the placeholders stand for in a path, in the order of `placeholders`; nil when the path does not match.
    public func match(_ path: String) -> [String]? {
        MemberIndex.withBytes(of: path) { bytes in
            ranges(in: bytes)?.map { String(decoding: UnsafeBufferPointer(rebasing: bytes[$0]), as: UTF8.self) }
        }
    }

    /// Where the placeholders' values are in a path's bytes.
    func ranges(in bytes: UnsafeBufferPointer<UInt8>) -> [Range<Int>]? {
        if case .literal(let ending)? = tokens.last {
            guard bytes.count >= ending.count, bytes.suffix(ending.count).elementsEqual(ending) else { return nil }
        }
        var matcher = Matcher(tokens: tokens, bytes: bytes)
        matcher.captures = Array(repeating: 0..<0, count: placeholders.count)
        return matcher.matches(0, 0) ? matcher.captures : nil
    }

    /// Backtracking that never tries a state twice: at most tokens × length states, each at most length long.
    private struct Matcher {
        let tokens: [Token]
        let bytes: UnsafeBufferPointer<UInt8>
        var captures: [Range<Int>] = []
        var failed: Set<Int> = []

        init(tokens: [Token], bytes: UnsafeBufferPointer<UInt8>) {
            self.tokens = tokens
            self.bytes = bytes
        }

        mutating func matches(_ token: Int, _ position: Int) -> Bool {
            guard token < tokens.count else { return position == bytes.count }
            switch tokens[token] {
            case .literal(let text):
                guard text.count <= bytes.count - position else { return false }
                for (offset, byte) in text.enumerated() where bytes[position + offset] != byte { return false }
                return matches(token + 1, position + text.count)
            case .everything: return true
            default:
                let state = token * (bytes.count + 1) + position
                if failed.contains(state) { return false }
                if matchesOpen(token, position) { return true }
                failed.insert(state)
                return false
            }
        }

        private mutating func matchesOpen(_ token: Int, _ position: Int) -> Bool {
            let slash = UInt8(ascii: "/")
            var end = position
            switch tokens[token] {
            case .star:
                while true {
                    if matches(token + 1, end) { return true }
                    guard end < bytes.count, bytes[end] != slash else { return false }
                    end += 1
                }
            case .folders:
                while true {
                    if matches(token + 1, end) { return true }
                    while end < bytes.count, bytes[end] != slash { end += 1 }
                    guard end < bytes.count else { return false }
                    end += 1
                }
            case .capture(let index, let isNumber):
                while end < bytes.count, bytes[end] != slash, !isNumber || bytes[end] &- 0x30 < 10 {
                    end += 1
                    if matches(token + 1, end) {
                        captures[index] = position..<end
                        return true
                    }
                }
                return false
            default: return false
            }
        }
    }
}
