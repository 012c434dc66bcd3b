import CZooKernels

/// Reading an object member by member, building only what is wanted.
///
/// A closure gets the parser as a cursor in front of a value and calls at most one of `readValue`, `readDouble`,
/// `readMembers`, `readElements` and `skipValue`; a value it leaves alone is skipped. Skipped lists and objects are
/// checked for matching brackets and quotes only.
extension JSONParser {
    /// Visits the members of the object that fills the buffer, white space aside.
    ///
    /// - Parameter body: gets the key's bytes, escapes resolved, valid during the call, and the cursor.
    /// - Throws: `corrupt` with the byte offset of the first fault; what `body` throws.
    public static func forEachMember(
        of buffer: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer, inout JSONParser) throws -> Void
    ) throws {
        var parser = JSONParser(buffer)
        try parser.readMembers(body)
        parser.skipSpace()
        guard parser.position == buffer.count else { throw parser.fault("something after the value") }
    }

    /// Visits the elements of the list that fills the buffer, white space aside.
    ///
    /// - Parameter body: gets the cursor in front of each element.
    /// - Throws: as `forEachMember`.
    public static func forEachElement(
        of buffer: UnsafeRawBufferPointer, _ body: (inout JSONParser) throws -> Void
    ) throws {
        var parser = JSONParser(buffer)
        try parser.readElements(body)
        parser.skipSpace()
        guard parser.position == buffer.count else { throw parser.fault("something after the value") }
    }

    /// The first byte of the value in front of the cursor; nil at the end.
    public mutating func peek() -> UInt8? {
        skipSpace()
        return position < buffer.count ? buffer[position] : nil
    }

    /// Builds the value.
    public mutating func readValue() throws -> JSONValue { try value(depth: openCount) }

    /// The value when it is a number (`NaN` and the infinities too); nil, with nothing read, when it is not.
    public mutating func readDouble() throws -> Double? {
        guard let first = peek() else { throw fault("a value is missing") }
        switch first {
        case UInt8(ascii: "N"): return take("NaN") ? .nan : nil
        case UInt8(ascii: "I"): return take("Infinity") ? .infinity : nil
        case UInt8(ascii: "-") where take("-Infinity"): return -.infinity
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"):
            let start = position
            _ = try skipNumber()
            return try double(start)
        default: return nil
        }
    }

    /// Passes over the value and returns its bytes.
    @discardableResult
    public mutating func skipValue() throws -> UnsafeRawBufferPointer {
        let first = peek()
        let start = position
        switch first {
        case UInt8(ascii: "{"), UInt8(ascii: "["), UInt8(ascii: "\""):
            let base = buffer.baseAddress! + start  // not empty: a byte was seen
            let depth = Self.maximumDepth - openCount + 1
            let span = zoo_json_span(base.assumingMemoryBound(to: CChar.self), buffer.count - start, max(depth, 0))
            guard span > 0 else { throw fault("a string, list or object is not closed, or nested too deep") }
            position += span
        case .some(UInt8(ascii: "0")...UInt8(ascii: "9")): _ = try skipNumber()
        default:
            if try readDouble() == nil { _ = try readValue() }
        }
        return UnsafeRawBufferPointer(rebasing: buffer[start..<position])
    }

    /// Visits the members of the object in front of the cursor; see `forEachMember`.
    public mutating func readMembers(
        _ body: (UnsafeRawBufferPointer, inout JSONParser) throws -> Void
    ) throws {
        guard peek() == UInt8(ascii: "{") else { throw fault("an object is expected") }
        try readList(closedBy: UInt8(ascii: "}")) { parser in
            guard parser.peek() == UInt8(ascii: "\"") else { throw parser.fault("a key in quotes is missing") }
            let start = parser.position + 1
            let quoted = try parser.skipValue()
            guard parser.peek() == UInt8(ascii: ":") else { throw parser.fault("':' is missing") }
            parser.position += 1
            let raw = UnsafeRawBufferPointer(rebasing: parser.buffer[start..<start + quoted.count - 2])
            _ = parser.peek()
            let valueStart = parser.position
            if raw.contains(UInt8(ascii: "\\")) {
                var key = JSONParser(quoted)
                try Array(key.string().utf8).withUnsafeBytes { try body($0, &parser) }
            } else {
                try body(raw, &parser)
            }
            if parser.position == valueStart { try parser.skipValue() }
        }
    }

    /// The commas between elements and the closing bracket; the cursor is in front of the opening one.
    private mutating func readList(closedBy end: UInt8, _ element: (inout JSONParser) throws -> Void) throws {
        position += 1
        openCount += 1
        guard openCount <= Self.maximumDepth else { throw fault("nested deeper than \(Self.maximumDepth)") }
        defer { openCount -= 1 }
        if peek() == end {
            position += 1
            return
        }
        while true {
            try element(&self)
            switch peek() {
            case UInt8(ascii: ","): position += 1
            case end:
                position += 1
                return
            default: throw fault("',' or the closing bracket is missing")
            }
        }
    }

    /// Visits the elements of the list in front of the cursor; see `forEachElement`.
    public mutating func readElements(_ body: (inout JSONParser) throws -> Void) throws {
        guard peek() == UInt8(ascii: "[") else { throw fault("a list is expected") }
        try readList(closedBy: UInt8(ascii: "]")) { parser in
            _ = parser.peek()
            let start = parser.position
            try body(&parser)
            if parser.position == start { try parser.skipValue() }
        }
    }
}
