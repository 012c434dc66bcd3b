import Synchronization
import Testing
import ZooBase
import ZooNN
import ZooRetrieval
import ZooTensor

/// A classifier given by a function.
struct FunctionBox: BlackBox {
    var name = "box"
    var inputShape = [1]
    var classCount: Int
    var kind = ScoreKind.logits
    var answer: @Sendable (ArraySlice<Float>) -> [Float]

    func scores(_ inputs: [Float], count: Int) throws -> [Float] {
        let size = inputShape.reduce(1, *)
        return (0..<count).flatMap { answer(inputs[$0 * size..<($0 + 1) * size]) }
    }
}

/// Answers by lot.
final class Lots: BlackBox, Sendable {
    private let generator = Mutex(SeededGenerator(seed: 5))
    let name = "lots", inputShape = [1], classCount = 4, kind = ScoreKind.labels, isRepeatable = false

    func scores(_ inputs: [Float], count: Int) throws -> [Float] {
        generator.withLock { generator in
            (0..<count).flatMap { _ -> [Float] in
                let chosen = generator.below(4)
                return (0..<4).map { $0 == chosen ? 1 : 0 }
            }
        }
    }
}

/// A box of which it is not known that it answers alike.
struct Steady: BlackBox {
    var box: FunctionBox
    var name: String { box.name }
    var inputShape: [Int] { box.inputShape }
    var classCount: Int { box.classCount }
    var kind: ScoreKind { box.kind }
    var isRepeatable: Bool { false }

    func scores(_ inputs: [Float], count: Int) throws -> [Float] { try box.scores(inputs, count: count) }
}

@Suite struct CaptureTests {
    /// Class 1 above 0.3.
    static let step = FunctionBox(classCount: 2) { x in
        let z = (x[x.startIndex] - 0.3) * 20
        return [-z, z]
    }

    static func pool(_ values: [Float]) throws -> ProbePool { try ProbePool(inputs: values, inputShape: [1]) }

    static func capture(_ pool: ProbePool, seed: UInt64 = 0) throws -> Capture {
        var settings = CaptureSettings()
        settings.seed = seed
        return try Capture(pool: pool, map: .raw(pool), settings: settings)
    }

    @Test func bisectionFindsTheBoundary() throws {
        let found = try Self.capture(Self.pool([0, 1])).ask(Self.step)
        #expect(found.knowledge.distances.count == 6 * 2)
        for (place, a) in found.knowledge.distances.enumerated() {
            // From class 0 the boundary is at 0.3, from class 1 (walking down from 1) at 0.7.
            #expect(abs(a - (place % 2 == 0 ? 0.3 : 0.7)) <= 0x1p-11)
        }
        #expect(found.knowledge.queryCount == 2 + 6 * 2 * 10)
        // φ is 2 (x − ½): the boundary lies at −0.4.
        #expect(found.knowledge.boundaries.allSatisfy { abs($0 + 0.4) <= 0x1p-9 })
        #expect(found.knowledge.coverage > 0.99)
    }

    @Test func twiceTheSameAndAnotherSeedDiffers() throws {
        let pool = try Self.pool((0..<60).map { Float($0) / 59 })
        let a = try Self.capture(pool).ask(Self.step), b = try Self.capture(pool).ask(Self.step)
        #expect(a.knowledge == b.knowledge && a.answers == b.answers)
        let c = try Self.capture(pool, seed: 1).ask(Self.step)
        #expect(a.knowledge.digest != c.knowledge.digest)
    }

    @Test func labelsAloneTakeStableProbes() throws {
        var box = Self.step
        box.kind = .labels
        box.answer = { x in x[x.startIndex] > 0.3 ? [0, 1] : [1, 0] }
        let pool = try Self.pool((0..<100).map { Float($0) / 99 })
        let found = try Self.capture(pool).ask(box)
        // Stable probes of class 0 lie far below 0.3: mixing 0.4 of any other probe rarely crosses it.
        let nodes = (0..<6).map { found.knowledge.nodes[$0 * 2] / 2 + 0.5 }
        #expect(nodes.allSatisfy { $0 < 0.15 }, "\(nodes)")
        #expect(found.knowledge.queryCount > 100 + 24 * 30)
    }

    @Test func classesWithoutProbesAreMasked() throws {
        let box = FunctionBox(classCount: 3) { x in
            let z = (x[x.startIndex] - 0.3) * 20
            return [-z, z, -50]
        }
        let pool = try Self.pool((0..<40).map { Float($0) / 39 })
        let found = try Self.capture(pool).ask(box)
        #expect(found.knowledge.isEmpty == [false, false, true])
        #expect(found.knowledge.width == 1)
    }

    @Test func manyClassesKeepSixPartners() throws {
        let box = FunctionBox(classCount: 20) { x in
            (0..<20).map { c in -abs(x[x.startIndex] * 20 - Float(c) - 0.5) * 10 }
        }
        let pool = try Self.pool((0..<200).map { Float($0) / 200 })
        let found = try Self.capture(pool).ask(box)
        #expect(found.knowledge.width == 6)
        #expect(Array(found.knowledge.partners[0..<6]) == [1, 2, 3, 4, 5, 6])
        #expect(found.knowledge.queryCount == 200 + 6 * 20 * 6 * 10)
    }

    @Test func badBoxesHaveOneClearError() throws {
        let pool = try Self.pool((0..<20).map { Float($0) / 19 })
        let capture = try Self.capture(pool)
        func message(_ box: FunctionBox) -> String {
            do {
                _ = try capture.ask(box)
                return ""
            } catch { return ZooError.wrap(error).message }
        }
        var box = Self.step
        box.answer = { _ in [1, 2, 3] }
        #expect(message(box).contains("60 numbers for 20 inputs; expected 40"))
        box.answer = { _ in [.nan, 0] }
        #expect(message(box) == "box: the answer to input 0 is NaN or infinite")
        box.answer = { _ in [5, 0] }
        #expect(message(box) == "box: answers the same on all 20 probes")
        box.answer = { x in [50 + x[x.startIndex], 0] }
        #expect(message(box) == "box: answers one class on all 20 probes")
        box.kind = .probabilities
        box.answer = { _ in [3, 4] }
        #expect(message(box).contains("no distribution over classes"))
        box.inputShape = [2]
        #expect(message(box).contains("reads inputs of shape [2], the index has [1]"))
    }

    /// A box that draws lots is told from one that does not; a network is not asked twice.
    @Test func changingAnswersAreRefused() throws {
        let pool = try Self.pool((0..<200).map { Float($0) / 199 })
        let capture = try Self.capture(pool)
        let lots = Lots()
        let error = #expect(throws: ZooError.self) { try capture.ask(lots) }
        #expect(error?.message.contains("answers differ when the same inputs are asked again") == true)
        let steady = try capture.ask(Steady(box: Self.step)), known = try capture.ask(Self.step)
        #expect(steady.knowledge.queryCount == known.knowledge.queryCount + 32)
        #expect(steady.answers == known.answers && steady.knowledge.nodes == known.knowledge.nodes)
    }

    /// What is kept of an interrupted capture is read back as it was, and only for the same capture.
    @Test func storedResultsComeBack() throws {
        let pool = try Self.pool((0..<50).map { Float($0) / 49 })
        let capture = try Self.capture(pool)
        var three = FunctionBox(classCount: 3) { x in [-x[x.startIndex], x[x.startIndex] - 0.5, -50] }
        three.name = "three"
        let found = try [("a\nx", capture.ask(Self.step)), ("b", capture.ask(three))]
        let stored = capture.stored(found.map { (key: $0.0, result: $0.1) })
        let again = try #require(try capture.results(header: stored.header, tensors: stored.tensors))
        #expect(again.count == 2)
        for (key, result) in found {
            #expect(again[key]?.knowledge == result.knowledge && again[key]?.answers == result.answers)
        }
        #expect(try Self.capture(pool, seed: 3).results(header: stored.header, tensors: stored.tensors) == nil)
        for name in stored.tensors.names {
            var short = stored.tensors
            short[name] = nil
            #expect(throws: ZooError.self) { try capture.results(header: stored.header, tensors: short) }
            var other = stored.tensors
            other[name] = Tensor([Float](repeating: 0, count: 6), shape: [1, 2, 3])
            #expect(throws: ZooError.self, "\(name)") { try capture.results(header: stored.header, tensors: other) }
        }
    }

    @Test func surrogateTellsModelsApartWithoutAsking() throws {
        // Two boxes with the same classes cut at different places; the query's classes meet at 0.3.
        let other = FunctionBox(classCount: 2) { x in
            let z = (x[x.startIndex] - 0.8) * 20
            return [z, -z]
        }
        let pool = try Self.pool((0..<200).map { Float($0) / 199 })
        let capture = try Self.capture(pool)
        let right = try capture.ask(Self.step).answers, wrong = try capture.ask(other).answers
        let values: [Float] = [0.05, 0.1, 0.2, 0.25, 0.4, 0.5, 0.6, 0.7], labels = [0, 0, 0, 0, 1, 1, 1, 1]
        let query = try ProbedQuery(
            features: capture.map.apply(values, count: 8), labels: labels, classCount: 2,
            probes: capture.map.apply(pool.inputs, count: pool.count))
        for near in query.neighbours { #expect(abs(near.reduce(0) { $0 + $1.weight } - 1) < 1e-12) }
        for ranker: any Ranker in [Surrogate(), SurrogateLEEP()] {
            let good = try ranker.score(Evidence(labels: labels, query: query, answers: right))
            let bad = try ranker.score(Evidence(labels: labels, query: query, answers: wrong))
            #expect(good > bad)
        }
        #expect(try Surrogate().score(Evidence(labels: labels, query: query, answers: right)) > 0.95)
    }
}
