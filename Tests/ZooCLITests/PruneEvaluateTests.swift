import Foundation
import Testing
import ZooBase
import ZooTestSupport

/// `zoo prune evaluate` on the tiny embedders of the fixtures.
@Suite struct PruneEvaluateTests {
    private static let model = Repository.path("Tests/ZooCLITests/Fixtures/embedders/qwen2-last")
    private static let other = Repository.path("Tests/ZooCLITests/Fixtures/embedders/llama-mean")

    private func tasks(_ bench: Workbench) throws -> (retrieval: String, pairs: String) {
        // A query finds its own text: the same vector, at rank one.
        let words = ["stack", "heap", "a tree of texts", "dog", "the fox", "quick", "lazy things", "run", "watch"]
        let lines = words.map { "{\"query\": \"\($0)\", \"positive\": \"\($0)\", \"negative\": \"x\"}" }
        let pairs = words.indices.dropFirst().map {
            "{\"sentence1\": \"\(words[0])\", \"sentence2\": \"\(words[$0])\", \"score\": \($0)}"
        }
        let files = (bench.file("t.jsonl"), bench.file("p.jsonl"))
        try AtomicFile.write(files.0, Array(lines.joined(separator: "\n").utf8))
        try AtomicFile.write(files.1, Array(pairs.joined(separator: "\n").utf8))
        return files
    }

    @Test func modelsAreHeldAgainstTheFirst() throws {
        let bench = try Workbench()
        let files = try tasks(bench)
        let picture = bench.file("f.svg")
        let report = try bench.json(
            "prune", "evaluate", "dense=\(Self.model)", "two=\(Self.model)", "two=\(Self.other)", "--retrieval",
            files.retrieval, "--pairs", files.pairs, "--figure", picture)
        let task = try #require(report["retrieval"]?.array?.first)
        #expect(task["queries"]?.int == 9 && task["documents"]?.int == 9)
        let scores = try #require(task["scores"]?.array)
        #expect(scores.count == 2 && scores[0]["ndcg10"]?.double == 1 && scores[0]["recovery"]?.double == 1)
        #expect(scores[1]["per_model"]?.array?.count == 2 && abs((scores[0]["alignment"]?.double ?? 1)) < 1e-9)
        #expect(abs((scores[0]["cosine_to_first"]?.double ?? 0) - 1) < 1e-6)
        // The second group holds another model too.
        #expect((scores[1]["cosine_to_first"]?.double ?? 1) < 0.99)
        #expect(task["comparisons"]?.array?.first?["p"]?.double == 1)
        #expect(report["pairs"]?.array?.first?["scores"]?.array?.count == 2)
        #expect(report["models"]?.array?.last?["count"]?.int == 2)
        #expect(FileManager.default.fileExists(atPath: picture))
        let table = try bench.zoo("prune", "evaluate", Self.model, "--retrieval", files.retrieval)
        #expect(table.status == 0 && table.output.contains("ndcg@10"), "\(table.errors)")
    }

    @Test func wrongRequestsSayWhatToDo() throws {
        let bench = try Workbench()
        let files = try tasks(bench)
        #expect(try bench.zoo("prune", "evaluate", Self.model).status == 64)
        let name = try bench.zoo(
            "prune", "evaluate", "a=\(Self.model)", "--retrieval", files.retrieval, "--against", "b")
        #expect(name.status == 64 && name.errors.contains("'b'"), "\(name.errors)")
        let broken = bench.file("broken.jsonl")
        try AtomicFile.write(broken, Array("{\"query\": \"a\", \"positive\": \"b\"}\n{\"query\": \"a\"\n".utf8))
        let line = try bench.zoo("prune", "evaluate", Self.model, "--retrieval", broken)
        #expect(line.status == 1 && line.errors.contains("broken.jsonl:2"), "\(line.errors)")
        let pairs = try bench.zoo("prune", "evaluate", Self.model, "--pairs", files.retrieval)
        #expect(pairs.status == 1 && pairs.errors.contains("'sentence1' is missing"), "\(pairs.errors)")
    }
}
