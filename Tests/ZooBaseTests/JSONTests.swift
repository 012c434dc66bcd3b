import Testing
import ZooBase
import ZooTestSupport

@Suite struct JSONTests {
    @Test func readsWhatPythonWrites() throws {
        let value = try JSONParser.parse(
            #"{"a": [1, -2.5e-3, NaN, -Infinity, true, null], "b": {"c": "x\u00e9\ud83d\ude00"}}"#)
        #expect(value["a"]?.array?[0] == .int(1))
        #expect(value["a"]?.array?[1] == .double(-0.0025))
        #expect(value["a"]?.array?[2].double?.isNaN == true)
        #expect(value["a"]?.array?[3] == .double(-.infinity))
        #expect(value["b"]?["c"] == .string("xé😀"))
        #expect(value.text() == #"{"a":[1,-0.0025,null,null,true,null],"b":{"c":"xé😀"}}"#)
    }

    @Test(arguments: [
        "", "{", "[1,", "{\"a\"}", "[1 2]", "01", "1.", "1e", "nul", "\"\u{1}\"", "[1]x", "{\"a\":1,}", "-", "\"\\x\"",
        "NaNx", "+1",
    ])
    func refuses(_ text: String) {
        #expect(throws: ZooError.self) { try JSONParser.parse(text) }
    }

    @Test func nestingIsBounded() {
        let deep = String(repeating: "[", count: 300) + String(repeating: "]", count: 300)
        #expect(throws: ZooError.self) { try JSONParser.parse(deep) }
    }

    @Test func lastOfEqualKeysWins() throws {
        #expect(try JSONParser.parse(#"{"a":1,"b":2,"a":3}"#).text() == #"{"a":3,"b":2}"#)
    }

    @Test func numbersAreTheNearestDoubles() throws {
        var generator = SeededGenerator(seed: 7)
        for _ in 0..<20_000 {
            let value = Double(bitPattern: generator.next())
            guard value.isFinite else { continue }
            #expect(try JSONParser.parse(value.description).double == value)
            let short = Double(Int64(truncatingIfNeeded: generator.next() >> 40)) / 1000
            #expect(try JSONParser.parse("\(short)").double == short)
        }
        #expect(try JSONParser.parse("9223372036854775807") == .int(.max))
        #expect(try JSONParser.parse("9223372036854775808") == .double(0x1p63))
    }
}
