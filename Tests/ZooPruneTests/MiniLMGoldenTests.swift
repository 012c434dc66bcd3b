import Foundation
import Testing
import ZooAutodiff
import ZooBase
import ZooFormats
import ZooNN
import ZooPrune
import ZooTensor
import ZooTestSupport

/// Embeddings, losses, gradients and Fisher values of all-MiniLM-L6-v2 against PyTorch in double precision
/// (`Tests/ZooNNTests/Fixtures/minilm.json`, its README says where it is from).
@Suite struct MiniLMGoldenTests {
    /// Where the model is, if it is: scripts/fetch-minilm.sh gets its 90 MB.
    private static let folder: String? = {
        let path = ProcessInfo.processInfo.environment["ZOO_MINILM"] ?? Repository.path(".models/all-MiniLM-L6-v2")
        return FileManager.default.fileExists(atPath: path + "/model.safetensors") ? path : nil
    }()

    private static func golden() throws -> JSONValue {
        try JSONParser.parse(Bytes(mapping: Repository.path("Tests/ZooNNTests/Fixtures/minilm.json")))
    }

    private func numbers(_ value: JSONValue?) -> [Double] { (value?.array ?? []).compactMap(\.double) }

    private func rows(_ value: JSONValue?) -> [[Double]] { (value?.array ?? []).map { numbers($0) } }

    private func texts(_ value: JSONValue?) -> [[Int32]] { rows(value).map { $0.map { Int32($0) } } }

    /// What needs no model: the loss follows from the similarities, and sums of squares from norms and cosines.
    @Test func lossIsThatOfTheSimilarities() throws {
        let golden = try Self.golden(), similarity = rows(golden["embedding"]?["similarity"])
        #expect(similarity.count == 4 && similarity.allSatisfy { $0.count == 4 })
        func loss(_ members: [Int]) throws -> Double {
            let b = ProgramBuilder(), count = members.count
            let identity = (0..<count * count).map { $0 / count == $0 % count ? 1.0 : 0 }
            let scores = members.flatMap { row in members.map { similarity[row][$0] } }
            let loss = try InfoNCE.loss(
                b, queries: b.constant(scores, [count, count]), documents: b.constant(identity, [count, count]),
                scale: TripletObjective.defaultScale)
            return try b.build([("loss", loss)]).compiledReference().makeExecutor().evaluate([:])[0][0]
        }
        let wanted = golden["infonce"]
        #expect(abs(try loss([0, 1, 2, 3]) - (wanted?["loss"]?.double ?? .nan)) < 1e-9)
        let micro = numbers(wanted?["micro_losses"])
        #expect(micro.count == 2)
        for (number, found) in micro.enumerated() {
            #expect(abs(try loss([2 * number, 2 * number + 1]) - found) < 1e-9)
        }
        let tensors = try #require(wanted?["tensors"]?.object)
        let squares = tensors.reduce(0.0) { $0 + pow($1.value["grad_norm"]?.double ?? .nan, 2) }
        #expect(abs(squares.squareRoot() - (wanted?["grad_norm"]?.double ?? .nan)) < 1e-6)
        for (_, tensor) in tensors {
            #expect((tensor["fisher_max"]?.double ?? .nan) <= (tensor["fisher_sum"]?.double ?? .nan))
        }
    }

    @Test(.enabled(if: folder != nil, "scripts/fetch-minilm.sh gets the model"))
    func embeddingsGradientsAndFisherValues() throws {
        let folder = try #require(Self.folder), golden = try Self.golden()
        let source = try CheckpointFile.open(folder).source, infos = source.tensorInfos
        let config = try JSONParser.parse(Bytes(mapping: folder + "/config.json")).object ?? JSONObject()
        let graph = try ArchitectureResolver().choose(ArchitectureRequest(tensors: infos, config: config)).graph
        let queries = texts(golden["q"]), positives = texts(golden["p"])
        try checkEmbeddings(TextEncoder(graph, source: source), queries, positives, golden["embedding"])
        let wanted = try #require(golden["infonce"])
        let layout = StatisticsLayout(graph, tensors: infos, matrices: [], all: true)
        let weights = try ModelWeights(graph, source: source)
        let loss = try SplitTripletLoss(graph, tensors: infos, layout: layout, weights: weights, maximumLength: 256)
        func gradient(_ members: Range<Int>) throws -> (loss: Double, gradient: [Float]) {
            var gradient = [Float](repeating: 0, count: layout.count)
            let triplets = members.map { TokenTriplet(query: queries[$0], positive: positives[$0]) }
            let found = try gradient.withUnsafeMutableBufferPointer {
                try loss.gradient(of: triplets, into: $0, jobs: 2)
            }
            return (found.contrast, gradient)
        }
        let all = try gradient(0..<4), halves = try [gradient(0..<2), gradient(2..<4)]
        #expect(abs(all.loss - (wanted["loss"]?.double ?? .nan)) < 1e-5)
        for (half, number) in zip(halves, numbers(wanted["micro_losses"])) { #expect(abs(half.loss - number) < 1e-5) }
        // Fisher values are the calibration's own, of one batch each.
        let fisher = try (0..<2).map { half -> [Float] in
            let triplets = (2 * half..<2 * half + 2).map { TokenTriplet(query: queries[$0], positive: positives[$0]) }
            let objective = try TripletObjective(
                graph, tensors: infos, layout: layout, triplets: triplets, estimator: .microBatch, batch: 2, seed: 0,
                maximumLength: 256)
            let pass = CalibrationPass(objective, layout: layout, weights: weights)
            try pass.run(jobs: 1) { _ in }
            return try pass.statistics().fisher
        }
        let tensors = try #require(wanted["tensors"]?.object)
        var checked = 0
        for entry in layout.entries {
            guard let tensor = tensors[entry.name] else { continue }
            checked += 1
            func number(_ key: String) -> Double { tensor[key]?.double ?? .nan }
            let own = all.gradient[entry.range].map { Double($0) }
            let norm = own.reduce(0) { $0 + $1 * $1 }.squareRoot(), scale = number("grad_norm")
            // Key biases have no gradient: what there is of them is rounding.
            #expect(abs(norm - scale) < 1e-4 * scale + 1e-5, "\(entry.name) \(norm) \(scale)")
            for (found, first) in zip(own, numbers(tensor["grad_first"])) {
                #expect(abs(found - first) < 1e-4 * scale + 1e-5, "\(entry.name)")
            }
            let squares = entry.range.map { Double(fisher[0][$0]) + Double(fisher[1][$0]) }
            #expect(
                abs(squares.reduce(0, +) - number("fisher_sum")) < 3e-4 * number("fisher_sum") + 1e-8, "\(entry.name)")
            #expect(
                abs((squares.max() ?? 0) - number("fisher_max")) < 1e-3 * number("fisher_max") + 1e-8, "\(entry.name)")
            guard number("fisher_sum") > 1e-6 else { continue }
            let cosine = Agreement.cosine(
                halves[0].gradient[entry.range].map { Double($0) }, halves[1].gradient[entry.range].map { Double($0) })
            #expect(abs(cosine - number("grad_cosine")) < 1e-4, "\(entry.name)")
        }
        #expect(checked == tensors.count, "\(checked) of \(tensors.count) tensors")
    }

    private func checkEmbeddings(
        _ encoder: TextEncoder, _ queries: [[Int32]], _ positives: [[Int32]], _ wanted: JSONValue?
    ) throws {
        for (side, texts) in [("q", queries), ("p", positives)] {
            let found = try encoder.embed(texts), first = rows(wanted?[side + "_first8"])
            #expect(found.count == 4 && first.count == 4)
            for (vector, sum) in zip(found, numbers(wanted?[side + "_sum"])) {
                #expect(abs(vector.reduce(0) { $0 + Double($1) } - sum) < 2e-5)
            }
            for (vector, numbers) in zip(found, first) {
                for (a, b) in zip(vector, numbers) { #expect(abs(Double(a) - b) < 1e-5) }
            }
        }
        let q = try encoder.embed(queries), p = try encoder.embed(positives)
        for (row, numbers) in rows(wanted?["similarity"]).enumerated() {
            for (column, number) in numbers.enumerated() {
                #expect(abs(Geometry.cosine(q[row], p[column]) - number) < 1e-5)
            }
        }
    }
}
