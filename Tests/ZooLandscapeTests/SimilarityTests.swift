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
        // The form without Gram matrices.
        let found = try representation(a).debiasedCKA(representation(b)) ?? 0
        #expect(abs(found + 0.7826304) < 1e-5)
        #expect(abs((try representation(a).debiasedCKA(representation(a)) ?? 0) - 1) < 1e-9)
        var two = MinibatchCKA()
        try two.add(a.flatMap { $0 }, b.flatMap { $0 }, sampleCount: 5)
        let c = a.map { [$0[1] * 2, $0[0] - 3] }, d = b.map { [$0[0], $0[2] + $0[1], 1] }
        try two.add(c.flatMap { $0 }, d.flatMap { $0 }, sampleCount: 5)
        let streamed =
            try Representation.debiasedCKA(
                [representation(a), representation(c)], [representation(b), representation(d)]) ?? 0
        #expect(abs(streamed - (two.value ?? 9)) < 1e-5)
        #expect(throws: ZooError.self) {
            try representation([[1, 2], [3, 1], [4, 4]]).debiasedCKA(representation(x))
        }
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

    /// Of independent outputs the plain estimate is above zero, the debiased one about zero.
    @Test func theDebiasedEstimateHasNoBias() throws {
        var generator = SeededGenerator(seed: 2)
        func noise(_ width: Int) throws -> Representation {
            try representation(
                (0..<200).map { _ in
                    (0..<width).map { _ in
                        (0..<12).reduce(-6) { sum, _ in sum + Double.random(in: 0..<1, using: &generator) }
                    }
                })
        }
        var plain = 0.0, debiased = 0.0
        for _ in 0..<40 {
            let a = try noise(20), b = try noise(20)
            plain += (try a.cka(b) ?? 0) / 40
            debiased += (try a.debiasedCKA(b) ?? 0) / 40
        }
        #expect(plain > 0.05 && abs(debiased) < 0.01)
    }

    @Test func mixturesAreSeeded() throws {
        let samples = try ReferenceZoo.samples("data/digits.safetensors", "train")
        let mixed = try samples.mixedUp(seed: 3)
        #expect(mixed.count == 640 && mixed.inputShape == samples.inputShape)
        #expect(try samples.mixedUp(seed: 3).inputs == mixed.inputs)
        #expect(try samples.mixedUp(seed: 4).inputs != mixed.inputs)
        #expect(try samples.prefix(30).mixedUp(seed: 3).count == 150)
    }

    /// CKA, distance and cosine of pairs of batch-norm networks against NumPy.
    @Test func pairsOfBatchNormNetworks() throws {
        let json = try JSONParser.parse(
            Bytes(mapping: Repository.path("Tests/ZooLandscapeTests/Fixtures/zoo_b_similarity.json")))
        let samples = try ReferenceZoo.samples("data/digits.safetensors", "test")
        let models = try ReferenceZoo.models("digits-phases.tar.gz")
        let byTrial = Dictionary(models.map { ($0.trial, $0) }, uniquingKeysWith: { first, _ in first })
        var compared = 0
        for (name, entry) in try #require(json["pairs"]?.object) where compared < 20 {
            guard let a = byTrial[entry["a"]?.string ?? ""], let b = byTrial[entry["b"]?.string ?? ""] else { continue }
            let subjects = try [a, b].map { model -> PairSubject in
                let request = ArchitectureRequest(
                    tensors: model.source.tensorInfos, inputShape: samples.inputShape, config: model.config)
                let graph = try ReferenceZoo.resolver().choose(request).graph
                return try PairSubject(
                    ModelSweep(graph, tensors: request.tensors, samples: samples).problem(model.source))
            }
            for (metric, key) in [
                (PairMetric.cka, "cka_logits"), (.ckaPenultimate, "cka_penultimate"), (.distance, "l2"),
                (.weightCosine, "cosine"),
            ] {
                let wanted = try #require(entry[key]?.double)
                let found = try subjects[0].measure(metric, with: subjects[1])[0].value ?? .nan
                #expect(abs(found - wanted) <= 1e-4 * max(1, abs(wanted)), "\(name) \(key): \(found), \(wanted)")
            }
            compared += 1
        }
        #expect(compared == 20)
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
