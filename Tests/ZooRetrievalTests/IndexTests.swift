import Testing
import ZooBase
import ZooRetrieval
import ZooTensor

@Suite struct IndexTests {
    static func index(_ count: Int, seed: UInt64 = 0) throws -> RetrievalIndex {
        let pool = try CaptureTests.pool((0..<30).map { Float($0) / 29 })
        let capture = try CaptureTests.capture(pool, seed: seed)
        var generator = SeededGenerator(seed: 4)
        var shape = EncoderShape(.set, dimension: 1)
        (shape.hidden, shape.embedding) = (8, 6)
        let encoder = KnowledgeEncoder(shape: shape, parameters: shape.initial(&generator))
        var index = RetrievalIndex(pool: pool, map: capture.map, encoder: encoder, capture: capture.settings)
        for place in 0..<count { try add(place, to: &index, capture) }
        return index
    }

    static func add(_ place: Int, to index: inout RetrievalIndex, _ capture: Capture) throws {
        let cut = 0.1 + 0.05 * Float(place)
        let box = FunctionBox(classCount: 2) { x in [(cut - x[x.startIndex]) * 20, (x[x.startIndex] - cut) * 20] }
        let found = try capture.ask(box)
        let model = IndexedModel(
            name: "model \(place)", parameterCount: 100 - place, classCount: 2, kind: .logits,
            coverage: found.knowledge.coverage, queryCount: found.knowledge.queryCount, emptyClasses: [],
            knowledge: found.knowledge.digest, madeWith: index.madeWith)
        try index.add(model, vector: index.encoder.vector(of: found.knowledge), answers: found.answers)
    }

    @Test func storedAndReadBack() throws {
        let index = try Self.index(5)
        let again = try RetrievalIndex(header: index.header, tensors: index.tensors())
        #expect(again.header == index.header)
        #expect(again.vectors == index.vectors && again.models == index.models)
        for name in index.tensors().names {
            #expect(try again.tensors().tensor(named: name).isIdentical(to: index.tensors().tensor(named: name)))
        }
        // Twice the same, bit by bit.
        let twin = try Self.index(5)
        #expect(twin.header.members.map { $0.value } == index.header.members.map { $0.value })
        #expect(twin.vectors == index.vectors)
    }

    @Test func anotherModelChangesNoVector() throws {
        var index = try Self.index(4)
        let before = index.vectors
        try Self.add(9, to: &index, Capture(pool: index.pool, map: index.map, settings: index.capture))
        #expect(Array(index.vectors.prefix(before.count)) == before)
        #expect(index.models.count == 5)
        #expect(throws: ZooError.self) {
            try Self.add(9, to: &index, Capture(pool: index.pool, map: index.map, settings: index.capture))
        }
    }

    @Test func vectorsOfAnotherMapOrSeedAreRefused() throws {
        var index = try Self.index(1)
        let other = try Self.index(1, seed: 7)
        var model = other.models[0]
        model.name = "stranger"
        let error = #expect(throws: ZooError.self) {
            try index.add(model, vector: other.vectors, answers: other.answers[0])
        }
        #expect(error?.code == .mismatch)
        // A file put together from two.
        var header = index.header
        header["map_digest"] = "0123"
        #expect(throws: ZooError.self) { try RetrievalIndex(header: header, tensors: index.tensors()) }
        var tensors = index.tensors()
        tensors["vectors"] = Tensor([Float](repeating: 0, count: 12), shape: [2, 6])
        #expect(throws: ZooError.self) { try RetrievalIndex(header: index.header, tensors: tensors) }
        for name in index.tensors().names {
            var short = index.tensors()
            short[name] = nil
            #expect(throws: ZooError.self) { try RetrievalIndex(header: index.header, tensors: short) }
        }
        for (key, _) in index.header
        where !["models", "trained_tasks", "positive_floor", "validation_mrr", "boundaries"].contains(key) {
            var short = index.header
            short[key] = nil
            #expect(throws: ZooError.self, "\(key)") { try RetrievalIndex(header: short, tensors: index.tensors()) }
        }
    }

    @Test func searchIsExactAndTiesGoToTheSmaller() throws {
        let index = try Self.index(12)
        let query = Array(index.vectors[18..<24])
        let hits = try index.search(query, top: 5)
        #expect(hits[0].place == 3 && abs(hits[0].score - 1) < 1e-5)
        let all = try index.similarities(query).enumerated().sorted { ($1.element, 0) < ($0.element, 0) }
        #expect(hits.map(\.score) == all.prefix(5).map { Double($0.element) })
        #expect(try index.search(query, top: 5, among: [7, 1]).map(\.place).sorted() == [1, 7])
        let zero = [Float](repeating: 0, count: 6)
        // All scores are equal: fewer parameters first.
        #expect(try index.search(zero, top: 3).map(\.place) == [11, 10, 9])
        #expect(throws: ZooError.self) { try index.search([1, 0], top: 1) }
    }
}
