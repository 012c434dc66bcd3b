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
            try index.add(model, vector: other.vectors, answers: other.answers(at: 0))
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

    /// Against every product in double precision, with filters and with ties.
    @Test func manyQueriesAtOnceAreExact() throws {
        var generator = SeededGenerator(seed: 2)
        let width = 7, count = 500, queries = 37
        func numbers(_ count: Int) -> [Float] { (0..<count).map { _ in Float(generator.below(9)) - 4 } }
        let vectors = numbers(count * width), asked = numbers(queries * width)
        let search = VectorSearch(vectors, width: width)
        #expect(search.count == count)
        let allowed = (0..<count).filter { $0 % 3 == 1 }
        for places in [nil, allowed] {
            let found = try search.nearest(asked, top: 12, among: places)
            #expect(found.count == queries)
            for query in 0..<queries {
                let scores = (0..<count).map { place in
                    (0..<width).reduce(0.0) {
                        $0 + Double(vectors[place * width + $1]) * Double(asked[query * width + $1])
                    }
                }
                let best = (places ?? Array(0..<count)).sorted { (-scores[$0], $0) < (-scores[$1], $1) }.prefix(12)
                #expect(found[query].map(\.place) == Array(best))
                #expect(found[query].map(\.score) == best.map { scores[$0] })
            }
        }
        #expect(try search.nearest(asked, top: 0).allSatisfy(\.isEmpty))
        #expect(try search.nearest(Array(asked.prefix(width)), top: 1000)[0].count == count)
        #expect(try VectorSearch([], width: 3).nearest([1, 2, 3], top: 2) == [[]])
    }

    /// Logits beyond half precision keep their classes.
    @Test func hugeLogitsAreStoredInHalfPrecision() throws {
        var index = try Self.index(0)
        let capture = try Capture(pool: index.pool, map: index.map, settings: index.capture)
        let box = FunctionBox(classCount: 2) { x in [(0.4 - x[x.startIndex]) * 1e7, (x[x.startIndex] - 0.4) * 1e7] }
        let found = try capture.ask(box)
        let model = IndexedModel(
            name: "steep", classCount: 2, kind: .logits, coverage: 1, queryCount: 1, emptyClasses: [], knowledge: "",
            madeWith: index.madeWith)
        try index.add(model, vector: index.encoder.vector(of: found.knowledge), answers: found.answers)
        let p = index.answers(at: 0).probabilities
        let areFinite = p.values.allSatisfy(\.isFinite)
        #expect(areFinite)
        for row in 0..<p.rows { #expect((p[row, 0] > 0.5) == (found.answers.scores[row, 0] > 0)) }
    }
}
