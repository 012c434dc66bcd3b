import ZooBase

/// Files with one JSON value a line.
enum JSONLines {
    /// Calls `body` with the number from one on and the value of each line that is not blank.
    ///
    /// - Throws: `corrupt` for a line that is no JSON, `limit` for one that is too long, and what `body` throws; all
    ///   with name and line put in front.
    static func forEach(
        _ bytes: Bytes, name: String, lineLimit: Int, _ body: (_ line: Int, _ value: JSONValue) throws -> Void
    ) throws {
        try bytes.withUnsafeBytes { buffer in
            var start = 0, line = 0
            while start < buffer.count {
                line += 1
                if line % 1024 == 0 { try Cancellation.check() }
                let end = buffer[start...].firstIndex(of: 0x0A) ?? buffer.count
                let range = buffer[start..<end]
                start = end + 1
                guard range.contains(where: { $0 > 0x20 }) else { continue }
                try ZooError.locate("\(name):\(line)") {
                    guard range.count <= lineLimit else {
                        throw ZooError(.limit, "a line of \(range.count) bytes; expected at most \(lineLimit)")
                    }
                    try body(line, try JSONParser.parse(UnsafeRawBufferPointer(rebasing: range)))
                }
            }
        }
    }

    /// The text under a key.
    ///
    /// - Throws: `mismatch` when it is missing or no text.
    static func text(_ value: JSONValue, _ key: String) throws -> String {
        guard let member = value[key], member != .null else { throw ZooError(.mismatch, "'\(key)' is missing") }
        guard let text = member.string else { throw ZooError(.mismatch, "'\(key)' is no text") }
        return text
    }
}
