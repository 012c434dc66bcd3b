import ZooBase

extension SafetensorsHeader {
    /// A cursor over JSON text that knows what must come next.
    struct Scan {
        let buffer: UnsafeRawBufferPointer
        let offset: Int
        var position = 0

        func fault(_ what: String) -> ZooError {
            ZooError(.corrupt, "header at byte \(offset + position): \(what)")
        }

        private mutating func skipSpace() {
            while position < buffer.count {
                switch buffer[position] {
                case 0x20, 0x09, 0x0A, 0x0D: position += 1
                default: return
                }
            }
        }

        /// Takes a punctuation mark if it comes next.
        private mutating func take(_ mark: UInt8) -> Bool {
            skipSpace()
            guard position < buffer.count, buffer[position] == mark else { return false }
            position += 1
            return true
        }

        private mutating func expect(_ mark: UInt8) throws {
            guard take(mark) else { throw fault("expected '\(Unicode.Scalar(mark))', found \(found)") }
        }

        private var found: String {
            guard position < buffer.count else { return "the end of the header" }
            let byte = buffer[position]
            return 0x20..<0x7F ~= byte ? "'\(Unicode.Scalar(byte))'" : "byte \(byte)"
        }

        /// Calls `body` at the value of each member of an object.
        @inline(__always)
        mutating func members(_ body: (inout Scan, Text) throws -> Void) throws {
            try expect(UInt8(ascii: "{"))
            if take(UInt8(ascii: "}")) { return }
            while true {
                skipSpace()
                let key = try text()
                try expect(UInt8(ascii: ":"))
                skipSpace()
                try body(&self, key)
                if take(UInt8(ascii: ",")) { continue }
                try expect(UInt8(ascii: "}"))
                return
            }
        }

        mutating func end() throws {
            skipSpace()
            guard position == buffer.count else { throw fault("expected the end of the header, found \(found)") }
        }

        /// A quoted string, not yet a `String`.
        struct Text {
            /// Where it lies, without the quotes.
            var range: Range<Int>
            /// Whether it is ASCII without escapes and control characters, so that its bytes are its text.
            var isPlain: Bool
        }

        private mutating func text() throws -> Text {
            guard position < buffer.count, buffer[position] == UInt8(ascii: "\"") else {
                throw fault("expected a string, found \(found)")
            }
            position += 1
            let start = position
            var isPlain = true
            while position < buffer.count {
                let byte = buffer[position]
                if byte == UInt8(ascii: "\"") {
                    position += 1
                    return Text(range: start..<(position - 1), isPlain: isPlain)
                }
                let isEscape = byte == UInt8(ascii: "\\")
                if isEscape || byte &- 0x20 >= 0x60 { isPlain = false }
                position += isEscape ? 2 : 1
            }
            position = buffer.count
            throw fault("a string is not closed")
        }

        func text(_ text: Text, is word: StaticString) -> Bool {
            guard text.isPlain, text.range.count == word.utf8CodeUnitCount else { return false }
            for index in 0..<word.utf8CodeUnitCount where buffer[text.range.lowerBound + index] != word.utf8Start[index]
            {
                return false
            }
            return true
        }

        func string(_ text: Text) throws -> String {
            if text.isPlain {
                return String(decoding: UnsafeRawBufferPointer(rebasing: buffer[text.range]), as: UTF8.self)
            }
            let quoted = (text.range.lowerBound - 1)..<(text.range.upperBound + 1)
            let parsed = try ZooError.locate("header at byte \(offset + quoted.lowerBound)") {
                try JSONParser.parse(UnsafeRawBufferPointer(rebasing: buffer[quoted]))
            }
            guard case .string(let string) = parsed else { throw fault("expected a string") }
            return string
        }

        mutating func string() throws -> String { try string(try text()) }

        /// A list of integers that are not negative.
        @inline(__always)
        mutating func integers(_ body: (Int) -> Void) throws {
            try expect(UInt8(ascii: "["))
            if take(UInt8(ascii: "]")) { return }
            while true {
                skipSpace()
                body(try integer())
                if take(UInt8(ascii: ",")) { continue }
                try expect(UInt8(ascii: "]"))
                return
            }
        }

        /// A list of exactly two integers.
        mutating func pair(of key: String, _ name: String) throws -> (Int, Int) {
            var pair = (0, 0)
            var count = 0
            try integers { number in
                if count == 0 { pair.0 = number } else { pair.1 = number }
                count += 1
            }
            guard count == 2 else { throw fault("tensor '\(name)' needs two \(key), found \(count)") }
            return pair
        }

        private mutating func integer() throws -> Int {
            let start = position
            var value = 0
            while position < buffer.count, buffer[position] &- 0x30 < 10 {
                guard let scaled = multiplied(value, 10) else { throw fault("a number beyond 64 bits") }
                let (sum, overflow) = scaled.addingReportingOverflow(Int(buffer[position] &- 0x30))
                if overflow { throw fault("a number beyond 64 bits") }
                value = sum
                position += 1
            }
            guard position > start else { throw fault("expected a whole number of 0 or more, found \(found)") }
            return value
        }

        /// Any JSON value, parsed.
        mutating func anything() throws -> JSONValue {
            let start = position
            var depth = 0
            repeat {
                guard position < buffer.count else { throw fault("a value is not closed") }
                switch buffer[position] {
                case UInt8(ascii: "\""): _ = try text()
                case UInt8(ascii: "{"), UInt8(ascii: "["):
                    depth += 1
                    position += 1
                case UInt8(ascii: "}"), UInt8(ascii: "]"):
                    depth -= 1
                    position += 1
                default: position += 1
                }
            } while depth > 0 || !atValueEnd
            let text = UnsafeRawBufferPointer(rebasing: buffer[start..<position])
            return try ZooError.locate("header at byte \(offset + start)") { try JSONParser.parse(text) }
        }

        private var atValueEnd: Bool {
            guard position < buffer.count else { return true }
            switch buffer[position] {
            case UInt8(ascii: ","), UInt8(ascii: "}"), UInt8(ascii: "]"): return true
            default: return false
            }
        }

        /// An object, as `__metadata__` must be.
        mutating func textObject() throws -> JSONObject {
            let start = position
            guard case .object(let object) = try anything() else {
                position = start
                throw fault("expected __metadata__ to be an object, found \(found)")
            }
            return object
        }
    }
}
