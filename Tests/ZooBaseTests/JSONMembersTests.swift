import Testing
import ZooBase
import ZooTestSupport

@Suite struct JSONMembersTests {
    private func members(_ text: String) throws -> [(String, JSONValue?)] {
        var found: [(String, JSONValue?)] = []
        try Array(text.utf8).withUnsafeBytes { buffer in
            try JSONParser.forEachMember(of: buffer) { key, cursor in
                let name = String(decoding: key, as: UTF8.self)
                found.append((name, name.hasPrefix("skip") ? JSONValue?.none : try cursor.readValue()))
            }
        }
        return found
    }

    @Test func buildsWhatIsAskedForAndSkipsTheRest() throws {
        let found = try members(#" {"a": 1, "skip": {"x": [1, "}]\"", {}]}, "b\u00e9": "t", "skip2": NaN, "c": [] } "#)
        #expect(found.map(\.0) == ["a", "skip", "bé", "skip2", "c"])
        #expect(found.map(\.1) == [.int(1), nil, .string("t"), nil, .array([])])
    }

    @Test(arguments: [
        "", "{", "{}x", "[]", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{\"a\" 1}", "{\"skip\":[}", "{\"skip\":{]}",
        "{\"skip\":\"", "{\"skip\":\"\\", "{\"skip\":[\"\u{1}\"]}", "{\"skip\":tru}", "{\"skip\":01}", "{a:1}",
        "{\"skip\":}",
    ])
    func refuses(_ text: String) {
        #expect(throws: ZooError.self) { try members(text) }
    }

    @Test func everyPrefixIsRefused() throws {
        let text = Array(#"{"a":-1.5e3,"skip":{"k":["]",{"z":"\\\""}]},"n":null,"b":"\ud83d\ude00"}"#.utf8)
        for length in 0..<text.count {
            let part = String(decoding: text[..<length], as: UTF8.self)
            #expect(throws: ZooError.self) { try members(part) }
        }
        #expect(try members(String(decoding: text, as: UTF8.self)).count == 4)
    }

    @Test func nestingIsBoundedWhetherReadOrSkipped() {
        for key in ["skip", "read"] {
            for (depth, isFine) in [(255, true), (258, false), (5_000_000, false)] {
                let text =
                    "{\"\(key)\":" + String(repeating: "[", count: depth) + String(repeating: "]", count: depth) + "}"
                #expect(((try? members(text)) != nil) == isFine)
            }
        }
    }

    @Test func numbersAreReadAndOtherValuesLeftAlone() throws {
        try Array(#"[1, -2.5, NaN, -Infinity, "3", null, {"a": 4}, [5]]"#.utf8).withUnsafeBytes { buffer in
            var found: [Double?] = []
            try JSONParser.forEachElement(of: buffer) { found.append(try $0.readDouble()) }
            #expect(found.map { $0 ?? 99 }.map { $0.isNaN ? 77 : $0 } == [1, -2.5, 77, -.infinity, 99, 99, 99, 99])
        }
    }

    /// Values that the parser writes are skipped to their last byte, whatever they hold.
    @Test func skippingEndsWhereParsingDoes() throws {
        var generator = SeededGenerator(seed: 3)
        for _ in 0..<500 {
            let value = JSONValue.object(JSONObject([("skip", random(&generator, depth: 0)), ("end", 1)]))
            let found = try members(value.text())
            #expect(found.count == 2 && found[1].1 == .int(1))
        }
    }

    /// Strings are passed over eight bytes at a time: what ends one is found at every offset, and nothing else ends it.
    @Test func stringsEndAtEveryOffset() throws {
        for length in 0..<40 {
            for fill in ["a", "\u{7F}", "é", "\u{FF}", " ", "!", "#", "[", "]"] {
                let text = String(repeating: fill, count: length)
                for middle in ["", "\\\"", "\\\\", "\\u0041"] {
                    let found = try members("{\"skip\":[\"\(text)\(middle)\(text)\"],\"end\":1}")
                    #expect(found.count == 2 && found[1].1 == .int(1))
                }
                for bad in ["\u{1F}", "\u{0}", "\n"] {
                    #expect(throws: ZooError.self) { try members("{\"skip\":[\"\(text)\(bad)\(text)\"]}") }
                }
                #expect(throws: ZooError.self) { try members("{\"skip\":[\"\(text)") }
                #expect(throws: ZooError.self) { try members("{\"skip\":[\"\(text)\\") }
            }
        }
    }

    private func random(_ generator: inout SeededGenerator, depth: Int) -> JSONValue {
        switch Int.random(in: 0..<(depth > 4 ? 5 : 7), using: &generator) {
        case 0: return .null
        case 1: return .bool(true)
        case 2: return .int(Int64.random(in: -1000...1000, using: &generator))
        case 3: return .double(Double.random(in: -1...1, using: &generator))
        case 4:
            let letters = Array("a\"\\{}[],:\n\u{1}é😀")
            return .string(String((0..<5).map { _ in letters.randomElement(using: &generator) ?? "x" }))
        case 5:
            return .array((0..<3).map { _ in random(&generator, depth: depth + 1) })
        default:
            return .object(JSONObject((0..<3).map { ("k\($0)\"", random(&generator, depth: depth + 1)) }))
        }
    }
}
