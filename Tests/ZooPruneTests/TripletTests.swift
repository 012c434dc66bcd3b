import Testing
import ZooBase
import ZooPrune

/// Triplets from JSON lines: what is read, and what every wrong line says.
@Suite struct TripletTests {
    private func read(_ lines: String...) throws -> TripletSet {
        try TripletSet.records(Bytes(Array(lines.joined(separator: "\n").utf8)), name: "t.jsonl")
    }

    private func message(_ lines: String...) -> String {
        do {
            _ = try TripletSet.records(Bytes(Array(lines.joined(separator: "\n").utf8)), name: "t.jsonl")
            return ""
        } catch { return "\(error)" }
    }

    private static let good = #"{"query": "stack", "positive": "a pile of plates", "negative": "a queue"}"#

    @Test func negativesMayBeMissing() throws {
        let set = try read(Self.good, "", #"{"query": "heap", "positive": "a mess", "negative": null}"#, "  ")
        #expect(set.triplets.count == 2 && set.negativeShare == 0.5)
        #expect(set.texts == ["stack", "a pile of plates", "a queue", "heap", "a mess"])
    }

    @Test func wrongLinesAreNamed() {
        #expect(message("").contains("t.jsonl: expected triplets, found none"))
        #expect(message(Self.good, #"{"query": "heap""#).contains("t.jsonl:2"))
        #expect(message(Self.good, "", #"{"query": "heap"}"#).contains("t.jsonl:3: 'positive' is missing"))
        #expect(message(#"{"query": " \t ", "positive": "x"}"#).contains("t.jsonl:1: 'query' is an empty text"))
        #expect(message(#"{"query": "a", "positive": "x", "negative": ""}"#).contains("'negative' is an empty text"))
        #expect(message(#"{"query": "a", "positive": "x", "negative": " x "}"#).contains("the same text"))
        #expect(message(#"{"query": "a", "positive": 3}"#).contains("'positive' is no text"))
        #expect(message(#"{"query": "a", "positive": "b", "negative": ["c"]}"#).contains("'negative' is no text"))
        #expect(message("[1, 2]").contains("expected an object"))
        #expect(message(Self.good, Self.good).contains("t.jsonl:2: 'query' and 'positive' are those of line 1"))
    }

    @Test func everyPrefixIsReadOrRefused() {
        let bytes = Array((Self.good + "\n" + Self.good.replacing("stack", with: "heap")).utf8)
        for end in 0...bytes.count {
            do {
                let set = try TripletSet.records(Bytes(Array(bytes[..<end])), name: "t")
                #expect((1...2).contains(set.triplets.count))
            } catch { #expect(error is ZooError) }
        }
    }

    @Test func overlapIsByQueryAndByPositive() throws {
        let calibration = try read(Self.good, #"{"query": "heap", "positive": "a mess"}"#)
        let apart = try read(#"{"query": "tree", "positive": "it has leaves", "negative": "a mess"}"#)
        try calibration.requireDisjoint(from: apart)
        let byQuery = try read(#"{"query": " heap ", "positive": "other"}"#)
        let byPositive = try read(#"{"query": "other", "positive": "a mess"}"#)
        #expect(calibration.overlap(with: byQuery) == (1, 0) && calibration.overlap(with: byPositive) == (0, 1))
        for test in [byQuery, byPositive] {
            #expect(throws: ZooError.self) { try calibration.requireDisjoint(from: test) }
        }
    }

    @Test func digestsTellDataApart() throws {
        let set = try read(Self.good)
        #expect(try read(Self.good).digest == set.digest)
        #expect(try read(Self.good.replacing("queue", with: "queues")).digest != set.digest)
        #expect(
            try read(#"{"query": "ab", "positive": "c"}"#).digest != read(#"{"query": "a", "positive": "bc"}"#).digest)
    }
}
