import Foundation
import Testing
import ZooBase
import ZooMerge
import ZooTensor
import ZooTestSupport

/// Embeddings of merges with a tokenizer against mergekit's (Benchmarks/peers/merge_tokenizers.py).
@Suite struct ReferenceTokenizerTests {
    private static let fixture: JSONValue =
        (try? JSONParser.parse(
            String(
                contentsOfFile: Repository.path("Tests/ZooMergeTests/Fixtures/tokenizer_merges.json"), encoding: .utf8)))
        ?? .null
    static let names = fixture["cases"]?.object?.map(\.key) ?? []

    private func models() throws -> ModelFolders {
        let models = try ModelFolders()
        for (name, model) in try #require(Self.fixture["models"]?.object) {
            var state = StateDict()
            for (key, values) in try #require(model["tensors"]?.object) {
                let numbers = try #require(values.array).compactMap(\.double).map { Float($0) }
                state[key] = Tensor(numbers, shape: key.contains("norm") ? [8] : [numbers.count / 8, 8])
            }
            var files: [String: String] = [:]
            for (file, text) in try #require(model["files"]?.object) { files[file] = text.string }
            let config = try JSONParser.parse(try #require(files["config.json"])).object
            try models.add(name, state, files: files, config: try #require(config))
        }
        return models
    }

    @Test func allCasesAreThere() { #expect(Self.names.count == 7) }

    @Test(arguments: names) func rowsAgree(_ name: String) throws {
        let models = try models()
        let known = try #require(Self.fixture["cases"]?[name])
        let plan = try models.plan(try #require(known["recipe"]?.string))
        #expect(plan.problems.isEmpty, "\(plan.problems)")
        let vocabulary = try models.vocabulary(of: plan)
        #expect(vocabulary.count == known["tokens"]?.int)
        #expect(Set(vocabulary.values) == Set(0..<vocabulary.count))
        #expect(plan.config?["vocab_size"] == known["rows"])
        let merged = try MergedModel(plan)
        var worst = 0.0
        for (token, tensors) in try #require(known["expected"]?.object) {
            for (tensor, row) in try #require(tensors.object) {
                let found = try merged.tensor(named: tensor)
                #expect(found.shape == [known["rows"]?.int ?? 0, 8])
                // mergekit's padding stands for all rows past the tokens.
                let place = token == "(padding)" ? vocabulary.count : try #require(vocabulary[ExactText(token)])
                guard place < found.shape[0] else { continue }
                let values = found.doubles()[place * 8..<place * 8 + 8]
                worst = max(worst, largestDifference(Array(values), try #require(row.array).compactMap(\.double)))
            }
        }
        #expect(worst < 2e-6, "\(name): \(worst)")
    }

    /// Runs of elements may be cut anywhere, through rows and across them.
    @Test func anyCutGivesTheSameRows() throws {
        let models = try models()
        let plan = try models.plan(try #require(Self.fixture["cases"]?["padding"]?["recipe"]?.string))
        let merged = try MergedModel(plan)
        let name = "model.embed_tokens.weight"
        let whole = try merged.tensor(named: name).doubles().map { Float($0) }
        for step in [1, 3, 8, 29, 300] {
            let run = try merged.elements(of: name)
            var found: [Float] = []
            for first in stride(from: 0, to: whole.count, by: step) {
                var part = [Float](repeating: 0, count: min(step, whole.count - first))
                try part.withUnsafeMutableBytes { try run.compute(first..<first + $0.count / 4, into: $0) }
                found += part
            }
            #expect(found == whole)
        }
    }
}
