import ZooBase

/// Reads the one Python dictionary that heads an `.npy` array: string keys; strings, truth values, tuples of integers
/// and (skipped over) lists as values.
struct PythonLiteral {
    /// A value of the dictionary.
    enum Value {
        case string(String)
        case bool(Bool)
        case integers([Int])
        /// A list: the fields of a structured type, which are not looked at.
        case list
    }

    private let text: [UInt8]
    private var position = 0

    init(_ text: [UInt8]) { self.text = text }

    private func fault(_ what: String) -> ZooError { ZooError(.corrupt, "character \(position): \(what)") }

    private mutating func skipSpace() {
        while position < text.count, [0x20, 0x09, 0x0A, 0x0D].contains(text[position]) { position += 1 }
    }

    private mutating func take(_ mark: Unicode.Scalar) -> Bool {
        skipSpace()
        guard position < text.count, text[position] == UInt8(ascii: mark) else { return false }
        position += 1
        return true
    }

    private mutating func take(word: String) -> Bool {
        guard text[position...].starts(with: word.utf8) else { return false }
        position += word.utf8.count
        return true
    }

    /// The whole text as a dictionary, in order.
    mutating func dictionary() throws -> [(key: String, value: Value)] {
        guard take("{") else { throw fault("expected '{'") }
        var members: [(key: String, value: Value)] = []
        while !take("}") {
            skipSpace()
            let key = try string()
            guard take(":") else { throw fault("expected ':' after '\(key)'") }
            members.append((key, try value()))
            if take(",") { continue }
            guard take("}") else { throw fault("expected ',' or '}'") }
            break
        }
        skipSpace()
        guard position == text.count else { throw fault("something after the dictionary") }
        return members
    }

    private mutating func value() throws -> Value {
        skipSpace()
        guard position < text.count else { throw fault("a value is missing") }
        if take(word: "True") { return .bool(true) }
        if take(word: "False") { return .bool(false) }
        switch text[position] {
        case UInt8(ascii: "'"), UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "("): return .integers(try tuple())
        case UInt8(ascii: "["):
            try skipList()
            return .list
        default: throw fault("expected a string, a truth value or a tuple")
        }
    }

    private mutating func string() throws -> String {
        guard position < text.count, [UInt8(ascii: "'"), UInt8(ascii: "\"")].contains(text[position]) else {
            throw fault("expected a string")
        }
        let quote = text[position]
        position += 1
        let start = position
        while position < text.count, text[position] != quote {
            guard text[position] != UInt8(ascii: "\\") else { throw fault("an escape in a string") }
            position += 1
        }
        guard position < text.count else { throw fault("a string is not closed") }
        position += 1
        guard let result = String(validating: text[start..<(position - 1)], as: UTF8.self) else {
            throw fault("a string is not valid text")
        }
        return result
    }

    private mutating func tuple() throws -> [Int] {
        position += 1
        var numbers: [Int] = []
        while !take(")") {
            numbers.append(try integer())
            if take(",") { continue }
            guard take(")") else { throw fault("expected ',' or ')'") }
            break
        }
        return numbers
    }

    private mutating func integer() throws -> Int {
        skipSpace()
        let isNegative = take("-")
        let start = position
        var number = 0
        while position < text.count, text[position] &- 0x30 < 10 {
            guard let scaled = multiplied(number, 10) else { throw fault("a number beyond 64 bits") }
            let (sum, overflow) = scaled.addingReportingOverflow(Int(text[position] &- 0x30))
            if overflow { throw fault("a number beyond 64 bits") }
            number = sum
            position += 1
        }
        guard position > start else { throw fault("expected a whole number") }
        // Python 2 marked long integers.
        if position < text.count, text[position] == UInt8(ascii: "L") { position += 1 }
        return isNegative ? -number : number
    }

    private mutating func skipList() throws {
        var depth = 0
        repeat {
            guard position < text.count else { throw fault("a list is not closed") }
            switch text[position] {
            case UInt8(ascii: "["), UInt8(ascii: "("): depth += 1
            case UInt8(ascii: "]"), UInt8(ascii: ")"): depth -= 1
            case UInt8(ascii: "'"), UInt8(ascii: "\""):
                _ = try string()
                position -= 1
            default: break
            }
            position += 1
        } while depth > 0
    }
}
