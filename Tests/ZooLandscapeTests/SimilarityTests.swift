import Testing
import ZooBase
import ZooLandscape
import ZooNN
import ZooTensor
import ZooTestModels
import ZooTestSupport

/// CKA and distances between predictions in closed form, and of sample networks against NumPy in Float64.
@Suite struct SimilarityTests {
    private func representation(_ rows: [[Double]]) throws -> Representation {
        try Representation(Tensor(rows.flatMap { $0 }, shape: [rows.count, rows[0].count]))
    }

    private let x = [[1.0, 2], [3, 4], [5, 0], [-1, 2]]
    private let y = [[2.0, 0, 1], [1, 1, 0], [4, 2, 2], [0, 1, 3]]

    @Test func linearCKAInClosedForm() throws {
        let a = try representation(x), b = try representation(y)
        #expect(abs(try a.cka(b) ?? 0) - 0.8710829 < 1e-6)
        #expect(abs(try a.cka(b) ?? 0) > 0.87108)
        let longer = try representation(x + [[0, -3]]).cka(representation(y + [[1, -1, 0]])) ?? 0
        #expect(abs(longer - 0.4824613) < 1e-6)
        // Rotated, scaled and shifted.
        let moved = x.map { [3 * $0[1] + 7, -3 * $0[0] - 2] }
        #expect(abs((try a.cka(representation(moved)) ?? 0) - 1) < 1e-6)
        #expect(try a.cka(representation([[1, 1], [1, 1], [1, 1], [1, 1]])) == nil)
        #expect(throws: ZooError.self) { try a.cka(representation(x + [[0, 0]])) }
        #expect(throws: ZooError.self) { try representation([[.nan, 1]]) }
    }

    @Test func unbiasedCKAInClosedForm() throws {
        var estimate = MinibatchCKA()
        let a = x + [[0, -3]], b = y + [[1, -1, 0]]
        try estimate.add(a.flatMap { $0 }, b.flatMap { $0 }, sampleCount: 5)
        #expect(abs((estimate.value ?? 0) + 0.7826304) < 1e-6)
        var own = MinibatchCKA()
        try own.add(a.flatMap { $0 }, a.flatMap { $0 }, sampleCount: 5)
        #expect(abs((own.value ?? 0) - 1) < 1e-12)
        #expect(throws: ZooError.self) { try own.add([1, 2, 3], [1, 2, 3], sampleCount: 3) }
    }

    @Test func predictionsInClosedForm() throws {
        func predictions(_ rows: [[Double]]) throws -> Predictions {
            try Predictions(logits: Tensor(rows.flatMap { $0 }, shape: [rows.count, rows[0].count]))
        }
        let a = try predictions([[50, 0], [50, 0], [0, 50]]), b = try predictions([[50, 0], [0, 50], [0, 50]])
        #expect(try abs(a.disagreement(b) - 1.0 / 3) < 1e-15)
        #expect(try abs(a.divergence(b) - 0.6931471805599453 / 3) < 1e-12)
        #expect(try a.divergence(a) == 0)
        #expect(a.accuracy([0, 1, 1]) == 2.0 / 3)
        let both = try Predictions.ensemble([a, b, b])
        #expect(both.classes == [0, 1, 1])
        #expect(throws: ZooError.self) { try a.disagreement(predictions([[1, 2]])) }
    }

    @Test func ckaOfSampleNetworks() throws {
        let path = Repository.path("Tests/ZooLandscapeTests/Fixtures/zoo_a_similarity.json")
        let json = try JSONParser.parse(Bytes(mapping: path))
        let order = try #require(json["order"]?.array).compactMap(\.string)
        let matrix = try #require(json["cka_logits"]?.array)
        let samples = try ReferenceZoo.samples("data/digits.safetensors", "test")
        let models = try ReferenceZoo.models("digits-cnn.zip").filter { $0.epoch == 25 }
        let byTrial = Dictionary(models.map { ($0.trial, $0) }, uniquingKeysWith: { first, _ in first })
        let chosen = Array(order.prefix(12))
        let found = try chosen.map { trial -> Representation in
            let model = try #require(byTrial[trial])
            let request = ArchitectureRequest(
                tensors: model.source.tensorInfos, inputShape: samples.inputShape, config: model.config)
            let graph = try ReferenceZoo.resolver().choose(request).graph
            let problem = try ModelSweep(graph, tensors: request.tensors, samples: samples).problem(model.source)
            return try Representation(problem.output("logits", at: problem.initial))
        }
        for i in chosen.indices {
            for j in chosen.indices {
                let wanted = try #require(matrix[i].array?[j].double)
                #expect(abs((try found[i].cka(found[j]) ?? 0) - wanted) < 1e-4)
            }
        }
    }
}
