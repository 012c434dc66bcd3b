import CZooKernels

/// Reads JSON from untrusted bytes.
///
/// Memory grows with the bytes read, never with a number found in them; nesting is bounded. Accepts `NaN`,
/// `Infinity` and `-Infinity` in number position (Python writes them), rejects everything else that RFC 8259 rejects.
public struct JSONParser {
    /// The deepest nesting accepted.
    public static let maximumDepth = 256

    let buffer: UnsafeRawBufferPointer
    var position = 0
    /// How many objects and lists the cursor is inside (`readMembers`, `readElements`).
    var openCount = 0

    init(_ buffer: UnsafeRawBufferPointer) { self.buffer = buffer }

    /// Parses one value that fills the whole buffer, white space aside.
    ///
    /// - Throws: `corrupt` with the byte offset of the first fault.
    public static func parse(_ buffer: UnsafeRawBufferPointer) throws -> JSONValue {
        var parser = JSONParser(buffer)
        let value = try parser.value(depth: 0)
        parser.skipSpace()
        guard parser.position == buffer.count else { throw parser.fault("something after the value") }
        return value
    }

    /// Parses one value from bytes.
    public static func parse(_ bytes: Bytes) throws -> JSONValue { try bytes.withUnsafeBytes { try parse($0) } }

    /// Parses one value from text.
    public static func parse(_ text: String) throws -> JSONValue {
        try Array(text.utf8).withUnsafeBytes { try parse($0) }
    }

    func fault(_ what: String) -> ZooError {
        ZooError(.corrupt, "invalid JSON at byte \(position): \(what)")
    }

    mutating func skipSpace() {
        while position < buffer.count {
            switch buffer[position] {
            case 0x20, 0x09, 0x0A, 0x0D: position += 1
            default: return
            }
        }
    }

    mutating func value(depth: Int) throws -> JSONValue {
        guard depth <= Self.maximumDepth else { throw fault("nested deeper than \(Self.maximumDepth)") }
        skipSpace()
        guard position < buffer.count else { throw fault("a value is missing") }
        switch buffer[position] {
        case UInt8(ascii: "{"): return try object(depth: depth)
        case UInt8(ascii: "["): return try array(depth: depth)
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t") where take("true"): return .bool(true)
        case UInt8(ascii: "f") where take("false"): return .bool(false)
        case UInt8(ascii: "n") where take("null"): return .null
        case UInt8(ascii: "N") where take("NaN"): return .double(.nan)
        case UInt8(ascii: "I") where take("Infinity"): return .double(.infinity)
        case UInt8(ascii: "-") where take("-Infinity"): return .double(-.infinity)
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try number()
        default: throw fault("unexpected character")
        }
    }

    mutating func take(_ word: StaticString) -> Bool {
        let length = word.utf8CodeUnitCount
        guard position + length <= buffer.count else { return false }
        for index in 0..<length where buffer[position + index] != word.utf8Start[index] { return false }
        position += length
        return true
    }

    private mutating func object(depth: Int) throws -> JSONValue {
        position += 1
        var object = JSONObject()
        skipSpace()
        if position < buffer.count, buffer[position] == UInt8(ascii: "}") {
            position += 1
            return .object(object)
        }
        while true {
            skipSpace()
            guard position < buffer.count, buffer[position] == UInt8(ascii: "\"") else {
                throw fault("a key in quotes is missing")
            }
            let key = try string()
            skipSpace()
            guard position < buffer.count, buffer[position] == UInt8(ascii: ":") else { throw fault("':' is missing") }
            position += 1
            object[key] = try value(depth: depth + 1)
            skipSpace()
            guard position < buffer.count else { throw fault("the object is not closed") }
            position += 1
            switch buffer[position - 1] {
            case UInt8(ascii: ","): continue
            case UInt8(ascii: "}"): return .object(object)
            default:
                position -= 1
                throw fault("',' or '}' is missing")
            }
        }
    }

    private mutating func array(depth: Int) throws -> JSONValue {
        position += 1
        var elements: [JSONValue] = []
        skipSpace()
        if position < buffer.count, buffer[position] == UInt8(ascii: "]") {
            position += 1
            return .array(elements)
        }
        while true {
            elements.append(try value(depth: depth + 1))
            skipSpace()
            guard position < buffer.count else { throw fault("the list is not closed") }
            position += 1
            switch buffer[position - 1] {
            case UInt8(ascii: ","): continue
            case UInt8(ascii: "]"): return .array(elements)
            default:
                position -= 1
                throw fault("',' or ']' is missing")
            }
        }
    }

    private mutating func number() throws -> JSONValue {
        let start = position
        let isInteger = try skipNumber()
        if isInteger, position - start <= 19, let value = integer(start) { return .int(value) }
        return .double(try double(start))
    }

    /// The number that was passed over from `start` on.
    func double(_ start: Int) throws -> Double {
        var result = 0.0
        let base = buffer.baseAddress! + start  // the buffer is not empty: a digit was read
        guard zoo_parse_double(base.assumingMemoryBound(to: CChar.self), position - start, &result) else {
            throw fault("a number of more than 512 digits")
        }
        return result
    }

    /// Passes over a number and tells whether it is written as an integer.
    mutating func skipNumber() throws -> Bool {
        if buffer[position] == UInt8(ascii: "-") { position += 1 }
        let integerStart = position
        skipDigits()
        guard position > integerStart else { throw fault("a digit is missing") }
        if buffer[integerStart] == UInt8(ascii: "0"), position > integerStart + 1 { throw fault("a leading zero") }
        var isInteger = true
        if position < buffer.count, buffer[position] == UInt8(ascii: ".") {
            isInteger = false
            position += 1
            let fractionStart = position
            skipDigits()
            guard position > fractionStart else { throw fault("a digit is missing") }
        }
        if position < buffer.count, buffer[position] | 0x20 == UInt8(ascii: "e") {
            isInteger = false
            position += 1
            if position < buffer.count, buffer[position] == UInt8(ascii: "+") || buffer[position] == UInt8(ascii: "-") {
                position += 1
            }
            let exponentStart = position
            skipDigits()
            guard position > exponentStart else { throw fault("a digit is missing") }
        }
        return isInteger
    }

    private mutating func skipDigits() {
        while position < buffer.count, buffer[position] &- 0x30 < 10 { position += 1 }
    }

    private func integer(_ start: Int) -> Int64? {
        let negative = buffer[start] == UInt8(ascii: "-")
        var value: Int64 = 0
        for index in (negative ? start + 1 : start)..<position {
            let (scaled, overflow) = value.multipliedReportingOverflow(by: 10)
            if overflow { return nil }
            let digit = Int64(buffer[index] &- 0x30)
            let (sum, carried) =
                negative ? scaled.subtractingReportingOverflow(digit) : scaled.addingReportingOverflow(digit)
            if carried { return nil }
            value = sum
        }
        return value
    }

    mutating func string() throws -> String {
        position += 1
        let start = position
        while position < buffer.count {
            let byte = buffer[position]
            if byte == UInt8(ascii: "\"") {
                let text = try utf8(start..<position)
                position += 1
                return text
            }
            if byte == UInt8(ascii: "\\") { return try escapedString(start) }
            if byte < 0x20 { throw fault("a control character in a string") }
            position += 1
        }
        throw fault("the string is not closed")
    }

    private func utf8(_ range: Range<Int>) throws -> String {
        guard let text = String(validating: UnsafeRawBufferPointer(rebasing: buffer[range]), as: UTF8.self) else {
            throw fault("a string is not valid UTF-8")
        }
        return text
    }

    private mutating func escapedString(_ start: Int) throws -> String {
        var units = Array(buffer[start..<position])
        while position < buffer.count {
            let byte = buffer[position]
            position += 1
            switch byte {
            case UInt8(ascii: "\""):
                guard let text = String(validating: units, as: UTF8.self) else {
                    throw fault("a string is not valid UTF-8")
                }
                return text
            case UInt8(ascii: "\\"): try escape(into: &units)
            case 0..<0x20: throw fault("a control character in a string")
            default: units.append(byte)
            }
        }
        throw fault("the string is not closed")
    }

    private mutating func escape(into units: inout [UInt8]) throws {
        guard position < buffer.count else { throw fault("the string is not closed") }
        let byte = buffer[position]
        position += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): units.append(byte)
        case UInt8(ascii: "b"): units.append(8)
        case UInt8(ascii: "f"): units.append(12)
        case UInt8(ascii: "n"): units.append(10)
        case UInt8(ascii: "r"): units.append(13)
        case UInt8(ascii: "t"): units.append(9)
        case UInt8(ascii: "u"):
            var scalar = UInt32(try hexadecimal())
            if 0xD800..<0xDC00 ~= scalar {
                // A pair of surrogates; half a pair becomes U+FFFD, as Python's surrogates cannot be kept.
                if position + 1 < buffer.count, buffer[position] == UInt8(ascii: "\\"),
                    buffer[position + 1] == UInt8(ascii: "u")
                {
                    let mark = position
                    position += 2
                    let low = UInt32(try hexadecimal())
                    if 0xDC00..<0xE000 ~= low {
                        scalar = 0x10000 + (scalar - 0xD800) << 10 + (low - 0xDC00)
                    } else {
                        position = mark
                    }
                }
            }
            let character = Unicode.Scalar(scalar) ?? "\u{FFFD}"
            units.append(contentsOf: Array(String(Character(character)).utf8))
        default: throw fault("unknown escape")
        }
    }

    private mutating func hexadecimal() throws -> UInt16 {
        guard position + 4 <= buffer.count else { throw fault("\\u needs four digits") }
        var value: UInt16 = 0
        for _ in 0..<4 {
            let byte = buffer[position]
            let digit: UInt8
            switch byte {
            case 0x30...0x39: digit = byte - 0x30
            case 0x41...0x46: digit = byte - 0x41 + 10
            case 0x61...0x66: digit = byte - 0x61 + 10
            default: throw fault("\\u needs four digits")
            }
            value = value << 4 | UInt16(digit)
            position += 1
        }
        return value
    }
}
