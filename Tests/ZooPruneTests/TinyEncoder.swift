import ZooBase
import ZooFormats
import ZooNN
import ZooPrune
import ZooTensor
import ZooTestSupport

/// The two-layer MiniLM of the architecture oracles, and triplets of token ids.
struct TinyEncoder {
    let source: any TensorSource
    let graph: ArchitectureGraph

    init(heads: [Int]? = nil, source given: (any TensorSource)? = nil) throws {
        let folder = Repository.path("Tests/ZooNNTests/Fixtures/architectures/minilm")
        let source = try given ?? CheckpointFile.open(folder).source
        self.source = source
        var config = try JSONParser.parse(Bytes(mapping: folder + "/config.json")).object ?? JSONObject()
        if let heads { config["layer_heads"] = .array(heads.map { .int(Int64($0)) }) }
        graph = try ArchitectureResolver(library: []).choose(
            ArchitectureRequest(tensors: source.tensorInfos, config: config)
        ).graph
    }

    var infos: [TensorInfo] { source.tensorInfos }

    func matrices(_ layers: PruneLayers = .linear) throws -> [CandidateMatrix] {
        try CandidateMatrix.all(of: graph, tensors: infos, layers: layers)
    }

    /// Texts of 3 to 10 tokens below the vocabulary of 37.
    static func triplets(_ count: Int, seed: UInt64 = 1) -> [TokenTriplet] {
        var generator = SeededGenerator(seed: seed)
        func text() -> [Int32] {
            (0..<3 + generator.below(8)).map { _ in Int32(1 + generator.below(36)) }
        }
        return (0..<count).map { place in
            TokenTriplet(query: text(), positive: text(), negative: place % 3 == 0 ? nil : text())
        }
    }

    func objective(
        _ triplets: [TokenTriplet], layout: StatisticsLayout, batch: Int = 4, estimator: FisherEstimator = .microBatch
    ) throws -> TripletObjective {
        try TripletObjective(
            graph, tensors: infos, layout: layout, triplets: triplets, estimator: estimator, batch: batch, seed: 3,
            maximumLength: 12, encoder: TextEncoder(graph, source: source))
    }

    /// Vectors of fixed texts.
    func vectors() throws -> [[Float]] {
        try TextEncoder(graph, source: source).embed(Self.triplets(6).flatMap(\.texts))
    }
}

/// The largest difference of vectors.
func difference(_ a: [[Float]], _ b: [[Float]]) -> Float {
    zip(a.joined(), b.joined()).map { abs($0 - $1) }.max() ?? .infinity
}
