import Foundation
import Testing
import ZooBase
import ZooFormats
import ZooNN
import ZooTensor
import ZooTestSupport

/// Texts through whole models: order, batches, threads and padding change nothing.
@Suite struct TextEncoderTests {
    private func sequences(_ oracle: ArchitectureOracle) throws -> [[Int32]] {
        let ids = try oracle.expected.tensor(named: "tokens"), mask = try oracle.expected.tensor(named: "mask").floats()
        let numbers = ids.doubles(), length = ids.shape[1]
        return (0..<ids.shape[0]).map { row in
            (row * length..<(row + 1) * length).filter { mask[$0] == 1 }.map { Int32(numbers[$0]) }
        }
    }

    @Test func embeddingsAreTheOracles() throws {
        let oracle = try ArchitectureOracle("minilm")
        let texts = try sequences(oracle)
        let wanted = try oracle.expected.tensor(named: "output.embedding").doubles()
        for batch in [1, 2, 32] {
            let encoder = try TextEncoder(oracle.graph(), source: oracle.source, batch: batch)
            let found = try encoder.embed(texts + texts.reversed(), jobs: 2)
            expectNear(found.prefix(3).joined().map(Double.init), wanted, 1e-5, "batches of \(batch)")
            #expect(found[0] == found[5])
        }
    }

    @Test func lossIsTheOracles() throws {
        let oracle = try ArchitectureOracle("llama")
        let encoder = try TextEncoder(oracle.graph(), source: oracle.source)
        let found = try encoder.perplexity(sequences(oracle))
        expectNear([found.loss], try oracle.expected.tensor(named: "loss").doubles(), 1e-5, "loss")
        expectNear([found.perplexity], [exp(found.loss)], 1e-12, "perplexity")
    }

    @Test func textsThatDoNotFitAreRefused() throws {
        let oracle = try ArchitectureOracle("bert")
        let encoder = try TextEncoder(oracle.graph(), source: oracle.source)
        #expect(encoder.maximumLength == 12)
        #expect(throws: ZooError.self) { try encoder.embed([[]]) }
        #expect(throws: ZooError.self) { try encoder.embed([[Int32](repeating: 1, count: 13)]) }
        #expect(throws: ZooError.self) { try encoder.embed([[37]]) }
    }

    @Test func bucketsGrowWithTheLength() {
        #expect(TokenBatch.bucket(1, limit: 512) == 16)
        #expect(TokenBatch.bucket(17, limit: 512) == 32)
        #expect(TokenBatch.bucket(129, limit: 512) == 160)
        #expect(TokenBatch.bucket(500, limit: 510) == 510)
    }

    /// The folder of all-MiniLM-L6-v2; scripts/fetch-minilm.sh gets it.
    private static let minilm: String? = {
        let path = ProcessInfo.processInfo.environment["ZOO_MINILM"] ?? Repository.path(".models/all-MiniLM-L6-v2")
        return FileManager.default.fileExists(atPath: path + "/model.safetensors") ? path : nil
    }()

    @Test(.enabled(if: minilm != nil, "scripts/fetch-minilm.sh gets the model"))
    func miniLMAgreesWithPyTorch() throws {
        let folder = try #require(Self.minilm)
        let golden = try JSONParser.parse(Bytes(mapping: Repository.path("Tests/ZooNNTests/Fixtures/minilm.json")))
        let padded = try #require(golden["padded"])
        let source = try CheckpointFile.open(folder).source
        let config = try #require(try JSONParser.parse(Bytes(mapping: folder + "/config.json")).object)
        let graph = try ArchitectureResolver().choose(
            ArchitectureRequest(tensors: source.tensorInfos, config: config)
        ).graph
        let texts = zip(padded["ids"]?.array ?? [], padded["mask"]?.array ?? []).map { ids, mask in
            zip(ids.array ?? [], mask.array ?? []).filter { $1.int == 1 }.map { Int32($0.0.int ?? 0) }
        }
        let found = try TextEncoder(graph, source: source).embed(texts)
        for (vector, wanted) in zip(found, padded["embedding_first8"]?.array ?? []) {
            for (place, number) in (wanted.array ?? []).compactMap(\.double).enumerated() {
                #expect(abs(Double(vector[place]) - number) < 1e-5)
            }
        }
    }
}
