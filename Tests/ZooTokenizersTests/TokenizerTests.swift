import Testing
import ZooBase
import ZooTestSupport
import ZooTokenizers

/// Ids and offsets against PyPI's `tokenizers` (see make_tokenizer_oracles.py), and files that must be refused.
@Suite struct TokenizerTests {
    static let names = ["bert-uncased", "bert-cased", "gpt2", "gpt2-prefix", "qwen2", "llama3"]

    private func fixture(_ name: String) throws -> (JSONValue, JSONValue) {
        let folder = Repository.path("Tests/ZooTokenizersTests/Fixtures/\(name)")
        return (
            try JSONParser.parse(Bytes(mapping: folder + "/tokenizer.json")),
            try JSONParser.parse(Bytes(mapping: folder + "/oracle.json"))
        )
    }

    @Test(arguments: names)
    func agreesWithTheLibrary(_ name: String) throws {
        let (file, oracle) = try fixture(name)
        let tokenizer = try Tokenizer(json: file)
        let rows = try #require(oracle["texts"]?.array)
        let texts = rows.map { $0["text"]?.string ?? "" }
        let found = try tokenizer.encode(texts, jobs: 2)
        for (row, encoding) in zip(rows, found) {
            let text = row["text"]?.string ?? ""
            #expect(encoding.ids.map(Int.init) == row["ids"]?.array?.compactMap(\.int), "\(text.debugDescription)")
            let offsets = row["offsets"]?.array?.map { $0.array?.compactMap(\.int) ?? [] }
            #expect(encoding.offsets.map { [$0.lowerBound, $0.upperBound] } == offsets, "\(text.debugDescription)")
        }
        for row in try #require(oracle["pairs"]?.array) {
            let encoding = tokenizer.encode(
                row["text"]?.string ?? "", pair: row["pair"]?.string, maximumLength: row["limit"]?.int)
            #expect(encoding.ids.map(Int.init) == row["ids"]?.array?.compactMap(\.int))
            #expect(encoding.typeIDs.map(Int.init) == row["types"]?.array?.compactMap(\.int))
        }
    }

    @Test func aVeryLongWordTakesLogarithmicTime() throws {
        let tokenizer = try Tokenizer(json: fixture("gpt2").0)
        let encoding = tokenizer.encode(String(repeating: "ab", count: 200_000))
        #expect(encoding.offsets.last?.upperBound == 400_000)
    }

    @Test func vocabularyFileServesAlone() throws {
        let folder = try TemporaryFolder()
        try AtomicFile.write(
            folder.file("vocab.txt"), Array("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nhel\n##lo\n!\n".utf8))
        let tokenizer = try Tokenizer(folder: folder.path)
        #expect(tokenizer.encode("Héllo! zz").ids == [2, 5, 6, 7, 1, 3])
    }

    @Test(arguments: [
        #"{}"#, #"{"model": {"type": "Unigram", "vocab": {}}}"#, #"{"model": {"type": "BPE", "vocab": {"a": -1}}}"#,
        #"{"model": {"type": "BPE", "vocab": {"a": 1}, "merges": []}, "pre_tokenizer": {"type": "ByteLevel"}}"#,
        #"{"model": {"type": "BPE", "vocab": {}}, "pre_tokenizer": {"type": "Metaspace"}}"#,
        #"{"model": {"type": "WordPiece", "vocab": {"[UNK]": 0}}, "normalizer": {"type": "Replace"}}"#,
        #"{"model": {"type": "WordPiece", "vocab": {}}, "pre_tokenizer": {"type": "BertPreTokenizer"}}"#,
        #"{"model": {"type": "BPE", "vocab": {}}, "pre_tokenizer": {"type": "Split", "behavior": "Isolated", "pattern": {"Regex": "(a+)+"}}}"#,
    ])
    func whatIsNotKnownIsRefused(_ text: String) throws {
        let json = try JSONParser.parse(text)
        #expect(throws: ZooError.self) { try Tokenizer(json: json) }
    }
}
