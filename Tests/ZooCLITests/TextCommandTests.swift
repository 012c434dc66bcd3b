import Foundation
import Testing
import ZooBase
import ZooTensor
import ZooTestSupport

/// `zoo embed` and `zoo eval` on texts, with the tiny networks of the architecture oracles and a vocabulary made here.
@Suite struct TextCommandTests {
    private static let words = "[PAD] [UNK] [CLS] [SEP] [MASK] the model is small net ##work ##s a of and text . , !"

    /// A model folder of the fixtures with a vocabulary of its size.
    private func folder(_ name: String, vocabulary: Int, in bench: Workbench) throws -> String {
        let target = bench.file(name)
        try FileManager.default.copyItem(
            atPath: Repository.path("Tests/ZooNNTests/Fixtures/architectures/\(name)"), toPath: target)
        var tokens = Self.words.split(separator: " ").map(String.init)
        while tokens.count < vocabulary { tokens.append("filler\(tokens.count)") }
        try AtomicFile.write(target + "/vocab.txt", Array((tokens.joined(separator: "\n") + "\n").utf8))
        return target
    }

    @Test func vectorsHaveUnitLengthAndTheOrderOfTheTexts() throws {
        let bench = try Workbench()
        let model = try folder("minilm", vocabulary: 37, in: bench)
        let texts = ["the model is small", "networks", "", "a text of the model, and a network!"]
        let report = try bench.json(["embed", model] + texts.flatMap { ["--text", $0] })
        let vectors = try #require(report["vectors"]?.array).map { $0.array?.compactMap(\.double) ?? [] }
        #expect(vectors.count == 4 && vectors.allSatisfy { $0.count == 16 })
        for vector in vectors { #expect(abs(vector.reduce(0) { $0 + $1 * $1 } - 1) < 1e-5) }
        #expect(report["tokens"]?.array?.compactMap(\.int) == [6, 5, 2, 12])
        let lines = texts.map { JSONValue.object(JSONObject([("text", .string($0))])).text() }.joined(separator: "\n")
        let file = bench.file("texts.jsonl"), output = bench.file("vectors.safetensors")
        try AtomicFile.write(file, Array(lines.utf8))
        let run = try bench.zoo("embed", model, "--data", file, "--to", output, "--batch", "1", "--jobs", "3")
        #expect(run.status == 0, "\(run.errors)")
        let stored = try SampleZoo.open(output).tensor(named: "embeddings")
        #expect(stored.shape == [4, 16])
        for (found, wanted) in zip(stored.doubles(), vectors.joined()) { #expect(abs(found - wanted) < 1e-5) }
    }

    @Test func languageModelsHavePerplexity() throws {
        let bench = try Workbench()
        let model = try folder("gpt2", vocabulary: 31, in: bench)
        let file = bench.file("texts.txt")
        try AtomicFile.write(file, Array("the model is small\na text of the network\n".utf8))
        let rows = try bench.rows("eval", model, "--data", file)
        let loss = try #require(rows.first?["loss"]?.double),
            perplexity = try #require(rows.first?["perplexity"]?.double)
        #expect(rows.count == 1 && loss > 0)
        #expect(abs(perplexity - exp(loss)) < 1e-6 * perplexity)
    }

    @Test func wrongRequestsSayWhatToDo() throws {
        let bench = try Workbench()
        let model = try folder("minilm", vocabulary: 37, in: bench)
        #expect(try bench.zoo("embed", model).status == 64)
        let broken = bench.file("broken.jsonl")
        try AtomicFile.write(broken, Array("{\"text\": \"a\"}\n{\"text\": \n".utf8))
        let run = try bench.zoo("embed", model, "--data", broken)
        #expect(run.status == 1 && run.errors.contains("2"), "\(run.errors)")
        try FileManager.default.removeItem(atPath: model + "/vocab.txt")
        let bare = try bench.zoo("embed", model, "--text", "a")
        #expect(bare.status == 1 && bare.errors.contains("tokenizer"), "\(bare.errors)")
    }

    /// Decoders as sentence-transformers saves them, against its own vectors (`Fixtures/make_embedders.py`): the last
    /// token behind padding on the left, and the mean of the real tokens.
    @Test(arguments: ["qwen2-last", "llama-mean"])
    func decodersEmbedAsSentenceTransformersDoes(_ name: String) throws {
        let bench = try Workbench()
        let folder = Repository.path("Tests/ZooCLITests/Fixtures/embedders/\(name)")
        let golden = try JSONParser.parse(Bytes(mapping: folder + ".json"))
        let texts = try #require(golden["texts"]?.array).compactMap(\.string)
        let report = try bench.json(["embed", folder] + texts.flatMap { ["--text", $0] })
        let found = try #require(report["vectors"]?.array).flatMap { $0.array?.compactMap(\.double) ?? [] }
        for key in ["vectors", "one_by_one"] {
            let wanted = try #require(golden[key]?.array).flatMap { $0.array?.compactMap(\.double) ?? [] }
            #expect(found.count == wanted.count && found.count == texts.count * 16)
            for (a, b) in zip(found, wanted) { #expect(abs(a - b) < 1e-5) }
        }
    }

    @Test func poolingThatIsNotKnownIsRefused() throws {
        let bench = try Workbench()
        let model = bench.file("model")
        try FileManager.default.copyItem(
            atPath: Repository.path("Tests/ZooCLITests/Fixtures/embedders/qwen2-last"), toPath: model)
        let before = try bench.json("embed", model, "--text", "stack")["vectors"]
        func pooling(_ text: String) throws { try AtomicFile.write(model + "/1_Pooling/config.json", Array(text.utf8)) }
        // As older versions of sentence-transformers write it.
        try pooling(
            #"{"word_embedding_dimension": 16, "pooling_mode_mean_tokens": false, "pooling_mode_lasttoken": true}"#)
        #expect(try bench.json("embed", model, "--text", "stack")["vectors"] == before)
        for (text, word) in [
            (#"{"pooling_mode": "weightedmean"}"#, "weightedmean"), (#"{"pooling_mode": "cls"}"#, "cls"),
            (#"{"pooling_mode_mean_tokens": true, "pooling_mode_max_tokens": true}"#, "mean and max"),
        ] {
            try pooling(text)
            let run = try bench.zoo("embed", model, "--text", "stack")
            #expect(run.status == 1 && run.errors.contains(word), "\(run.errors)")
        }
    }
}
