import Testing
import ZooBase
import ZooFormats
import ZooNN
import ZooPrune
import ZooTensor
import ZooTestSupport

/// Statistics and scores of a tiny sentence embedder against torch (`Benchmarks/oracles/make_prune_oracle.py`).
@Suite struct ImportanceOracleTests {
    private let graph: ArchitectureGraph
    private let source: any TensorSource
    private let oracle: any TensorSource
    private let matrices: [CandidateMatrix]
    private let layout: StatisticsLayout

    init() throws {
        let folder = Repository.path("Tests/ZooNNTests/Fixtures/architectures/minilm")
        source = try CheckpointFile.open(folder).source
        let config = try JSONParser.parse(Bytes(mapping: folder + "/config.json")).object ?? JSONObject()
        graph = try ArchitectureResolver().choose(
            ArchitectureRequest(tensors: source.tensorInfos, config: config)
        ).graph
        oracle = try CheckpointFile.open(Repository.path("Tests/ZooPruneTests/Fixtures/importance.safetensors")).source
        matrices = try CandidateMatrix.all(of: graph, tensors: source.tensorInfos, layers: .mlp)
        layout = StatisticsLayout(graph, tensors: source.tensorInfos, matrices: matrices)
    }

    private func numbers(_ name: String) throws -> [Double] { try oracle.tensor(named: name).doubles() }

    private func triplets(_ side: CalibrationSide, _ batch: Int) throws -> [TokenTriplet] {
        let ids = try numbers("\(side.rawValue).\(batch).tokens").map { Int32($0) }
        var start = 0
        let texts = try numbers("\(side.rawValue).\(batch).lengths").map { length -> [Int32] in
            defer { start += Int(length) }
            return Array(ids[start..<start + Int(length)])
        }
        return stride(from: 0, to: texts.count, by: 3).map {
            TokenTriplet(query: texts[$0], positive: texts[$0 + 1], negative: texts[$0 + 2])
        }
    }

    /// The mean over both batches, each run on its own: their order is the oracle's, whatever a seed draws.
    private func statistics(_ side: CalibrationSide) throws -> (fisher: [Double], gradient: [Double], losses: [Double])
    {
        var fisher = [Double](repeating: 0, count: layout.count), gradient = fisher
        var losses: [Double] = []
        for batch in 0..<2 {
            let objective = try TripletObjective(
                graph, tensors: source.tensorInfos, layout: layout, triplets: triplets(side, batch),
                estimator: .microBatch, batch: 3, seed: 5, maximumLength: 12)
            let pass = CalibrationPass(objective, layout: layout, weights: try ModelWeights(graph, source: source))
            try pass.run(jobs: 1) { _ in }
            let found = try pass.statistics()
            losses.append(found.loss)
            for place in fisher.indices {
                fisher[place] += Double(found.fisher[place]) / 2
                gradient[place] += Double(found.gradient[place]) / 2
            }
        }
        return (fisher, gradient, losses)
    }

    private func near(_ found: [Double], _ wanted: [Double], _ what: String, _ tolerance: Double = 1e-5) {
        #expect(found.count == wanted.count, "\(what)")
        let largest = wanted.reduce(0) { max($0, abs($1)) }
        for (a, b) in zip(found, wanted) {
            guard abs(a - b) > tolerance * largest else { continue }
            Issue.record("\(what): \(a), expected \(b), of up to \(largest)")
            return
        }
    }

    @Test func statisticsAndScoresAreTorchs() throws {
        #expect(matrices.count == 4)
        var values: [CalibrationSide: (fisher: [Double], gradient: [Double])] = [:]
        for side in CalibrationSide.allCases {
            let found = try statistics(side)
            near(found.losses, try numbers("\(side.rawValue).losses"), "losses")
            for matrix in matrices {
                let range = try #require(layout.entries.first { $0.name == matrix.name }).range
                near(Array(found.fisher[range]), try numbers("\(side.rawValue).fisher/\(matrix.name)"), "Fisher")
                near(Array(found.gradient[range]), try numbers("\(side.rawValue).gradient/\(matrix.name)"), "gradient")
            }
            values[side] = (found.fisher, found.gradient)
        }
        let entries = layout.entries, known = values
        let statistics = PruneStatistics(
            matrices, weights: { try source.tensor(named: $0).floats() },
            statistic: { statistic, side, name in
                let range = entries.first { $0.name == name }?.range ?? 0..<0
                let found = known[side].map { statistic == "fisher" ? $0.fisher : $0.gradient } ?? []
                return found[range].map { Float($0) }
            })
        near([try statistics.meanFisher()], try numbers("scale"), "mean Fisher")
        for granularity in Agreement.Granularity.allCases {
            for matrix in matrices {
                let found = try statistics.agreement(granularity, matrix)
                let wanted = try numbers("agreement.\(granularity.rawValue)/\(matrix.name)")
                let stride = matrix.count / wanted.count
                // A weight whose gradients are rounding alone has no sign; the oracle's are far from that.
                near(wanted.indices.map { found.value(at: $0 * stride, of: matrix) }, wanted, "\(granularity)", 1e-4)
            }
        }
        for (name, form, granularity, beta) in Self.forms {
            var settings = PruneSettings()
            settings.agreement = granularity
            settings.beta = beta
            let method: any PruneMethod = form == "faithful" ? FaithfulImportance(settings) : ScaledImportance(settings)
            var found: [MaskSelection.Scored] = [], wanted = found
            for matrix in matrices {
                let scores = try method.scores(of: matrix, statistics)
                let truth = try numbers("\(name)/\(matrix.name)")
                near(scores, truth, name)
                found.append(.init(matrix, scores))
                wanted.append(.init(matrix, truth))
            }
            let mask = try MaskSelection.select(found, sparsity: 0.5, group: .global).pruned
            let truth = try MaskSelection.select(wanted, sparsity: 0.5, group: .global).pruned
            let different = matrices.reduce(0) { total, matrix in
                total + zip(mask[matrix.name] ?? [], truth[matrix.name] ?? []).count { $0 != $1 }
            }
            // A pair of neighbours in the order may change places by rounding.
            #expect(different <= 2, "\(name)")
        }
    }

    private static let forms: [(String, String, Agreement.Granularity, Double?)] = [
        ("faithful.tensor", "faithful", .tensor, nil), ("scaled.tensor", "scaled", .tensor, nil),
        ("scaled.row", "scaled", .row, nil), ("scaled.element", "scaled", .element, nil),
        ("scaled.beta1", "scaled", .tensor, 1),
    ]
}
