import ZooBase

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Reads `result.json`: JSON objects, one a line, appended by a training that may have been cut off.
///
/// - Lines are parsed where they lie, of any length; lists and the echo of the settings are passed over, never built.
/// - A broken line is a problem with its number, the lines around it are kept. A broken last line without a line break
///   is what an interrupted writer leaves: `isTruncated`.
/// - `NaN`, `Infinity`, `-Infinity` are numbers. Numbers in objects become `outer/inner`, at most four deep.
/// - A file that is one JSON list of such objects, or one object over several lines, is read as well.
struct ResultLines {
    private(set) var gatherer: ResultGatherer
    private(set) var isTruncated = false
    /// The last line that was kept, for its bookkeeping.
    private(set) var lastLine: UnsafeRawBufferPointer?
    /// The first line that was kept, for its echo of the settings.
    private(set) var firstLine: UnsafeRawBufferPointer?

    private static let maximumDepth = 4

    init(keys: ResultKeys) { gatherer = ResultGatherer(keys: keys) }

    /// Reads a whole file; the lines point into `buffer`.
    mutating func read(_ buffer: UnsafeRawBufferPointer) throws {
        let text = buffer.starts(with: [0xEF, 0xBB, 0xBF]) ? UnsafeRawBufferPointer(rebasing: buffer[3...]) : buffer
        var whole = self
        if text.first(where: { $0 > 0x20 }) == UInt8(ascii: "["), whole.readWhole(text) {
            self = whole
            return
        }
        whole = self
        try readLines(text)
        guard gatherer.rows.isEmpty, gatherer.problemCount > 0 || isTruncated else { return }
        if whole.readWhole(text) { self = whole }
    }

    private mutating func readLines(_ buffer: UnsafeRawBufferPointer) throws {
        guard let base = buffer.baseAddress else { return }
        var start = 0
        var number = 0
        while start < buffer.count, !gatherer.isFull {
            let found = memchr(base + start, 10, buffer.count - start)
            let end = found.map { UnsafeRawPointer($0) - base } ?? buffer.count
            number += 1
            if number & 0x3FF == 0 { try Cancellation.check() }
            readLine(UnsafeRawBufferPointer(rebasing: buffer[start..<end]), number, isLast: found == nil)
            start = end + 1
        }
    }

    private mutating func readLine(_ line: UnsafeRawBufferPointer, _ number: Int, isLast: Bool) {
        guard line.contains(where: { $0 > 0x20 }) else {
            isTruncated = isTruncated || isLast && line.contains(0)
            return
        }
        do {
            if try readRow(line, number) {
                lastLine = line
                firstLine = firstLine ?? line
            }
        } catch {
            if isLast { isTruncated = true } else { gatherer.problem(number, ZooError.wrap(error).message) }
        }
    }

    /// A list of rows, or one row over several lines; false when the file is neither.
    private mutating func readWhole(_ buffer: UnsafeRawBufferPointer) -> Bool {
        var lines: [UnsafeRawBufferPointer] = []
        do {
            try JSONParser.forEachElement(of: buffer) { cursor in
                guard cursor.peek() == UInt8(ascii: "{"), lines.count < ResultGatherer.maximumRowCount else { return }
                lines.append(try cursor.skipValue())
            }
        } catch {
            lines = [buffer]
        }
        for (index, line) in lines.enumerated() { readLine(line, index + 1, isLast: false) }
        return !gatherer.rows.isEmpty
    }

    private mutating func readRow(_ line: UnsafeRawBufferPointer, _ number: Int) throws -> Bool {
        gatherer.beginRow()
        var place = 0
        var hasTooManyKeys = false
        try JSONParser.forEachMember(of: line) { key, cursor in
            if let meaning = gatherer.keys.meaning(key, at: place) {
                try take(meaning, String(decoding: key, as: UTF8.self), &cursor, depth: 1)
            } else {
                hasTooManyKeys = true
            }
            place += 1
        }
        if hasTooManyKeys {
            gatherer.problem(number, "more than \(ResultKeys.maximumExtraCount) different keys; the rest is not read")
        }
        return gatherer.endRow(line: number)
    }

    private mutating func take(
        _ meaning: ResultKeyMeaning, _ key: @autoclosure () -> String, _ cursor: inout JSONParser, depth: Int
    ) throws {
        switch meaning {
        case .config, .bookkeeping: return
        case .extra:
            if cursor.peek() == UInt8(ascii: "{"), depth < Self.maximumDepth {
                return try takeObject(key(), &cursor, depth)
            }
            if let value = try cursor.readDouble() { gatherer.take(value, as: meaning, key: key()) }
        default:
            if let value = try cursor.readDouble() {
                gatherer.take(value, as: meaning, key: key())
            } else if cursor.peek() == UInt8(ascii: "\""), let value = try Self.number(in: cursor.skipValue()) {
                gatherer.take(value, as: meaning, key: key())
            }
        }
    }

    private mutating func takeObject(_ prefix: String, _ cursor: inout JSONParser, _ depth: Int) throws {
        try cursor.readMembers { inner, cursor in
            let name = prefix + "/" + String(decoding: inner, as: UTF8.self)
            guard let meaning = gatherer.keys.meaning(name) else { return }
            try take(meaning, name, &cursor, depth: depth + 1)
        }
    }

    /// The number that a short quoted text spells.
    private static func number(in quoted: UnsafeRawBufferPointer) -> Double? {
        guard quoted.count > 2, quoted.count <= 64 else { return nil }
        return Double(String(decoding: quoted.dropFirst().dropLast(), as: UTF8.self))
    }

    /// The notes of a line: bookkeeping keys and short values of other kinds.
    static func notes(of line: UnsafeRawBufferPointer) -> JSONObject {
        var notes = JSONObject()
        try? JSONParser.forEachMember(of: line) { key, cursor in
            let name = String(decoding: key, as: UTF8.self)
            guard name != "config" else { return }
            var copy = cursor
            let isNote = ResultKeys.bookkeeping.contains(name)
            guard notes.count < 256, try cursor.skipValue().count <= 4096 else { return }
            let value = try copy.readValue()
            if isNote || value.double == nil { notes[name] = value }
        }
        return notes
    }

    /// The echo of the settings in a line.
    static func config(of line: UnsafeRawBufferPointer) -> JSONObject? {
        var config: JSONObject?
        try? JSONParser.forEachMember(of: line) { key, cursor in
            guard key.elementsEqual("config".utf8) else { return }
            var copy = cursor
            guard try cursor.skipValue().count <= TrialFacts.maximumConfigByteCount else { return }
            config = try copy.readValue().object
        }
        return config
    }
}
