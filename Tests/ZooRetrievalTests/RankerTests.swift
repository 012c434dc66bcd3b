import Testing
import ZooBase
import ZooRetrieval
import ZooTensor
import ZooTestSupport

/// Closed forms of the rankers, and their agreement with NumPy.
@Suite struct RankerTests {
    static let pA = Matrix([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.2, 0.8]])
    static let fA = Matrix([[1, 0], [2, 0], [0, 1], [0, 2]])
    static let yA = [0, 0, 1, 1]
    static let fB = Matrix([[2, 0], [3, 1], [2, 1], [-1, 2], [0, 3], [-1, 3]])
    static let yB = [0, 0, 0, 1, 1, 1]
    static let pB = Matrix([
        [0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0.5, 0.25, 0.25], [0.2, 0.2, 0.6], [0.1, 0.5, 0.4], [0.3, 0.1, 0.6],
    ])

    private func close(_ a: Double, _ b: Double, _ tolerance: Double = 1e-9) -> Bool { abs(a - b) <= tolerance }

    private func features(_ f: Matrix, _ y: [Int]) -> Evidence { Evidence(labels: y, features: f) }

    @Test func leepAndNCE() throws {
        #expect(close(LEEP.value(Self.pA, Self.yA, classCount: 2), -0.38398088332461505))
        #expect(close(LEEP.value(Self.pB, Self.yB, classCount: 2), -0.5055311848854027))
        #expect(close(NCE.value([0, 0, 0, 1], [0, 0, 1, 1]), -0.4773856262211097))
        #expect(close(NCE.value([0, 0, 1, 1, 2, 2], Self.yB), -0.23104906018664842))
        #expect(NCE.value(Self.yB, Self.yB) == 0)
    }

    @Test func logME() throws {
        var ranker = LogME()
        ranker.floor = 0
        ranker.tolerance = 1e-13
        ranker.steps = 10_000
        #expect(close(try ranker.score(features(Self.fA, Self.yA)), -0.8169521310, 1e-6))
        #expect(close(try ranker.score(features(Self.fB, Self.yB)), -0.4362226857, 1e-6))
        let fit = ranker.fit(try LogME.Spectrum(Self.fB), [1, 1, 1, 0, 0, 0])
        #expect(close(fit.a, 14.770836, 1e-5) && close(fit.b, 15.688943, 1e-5))
        let padded = Matrix((0..<6).map { Array(Self.fB.row($0)) + [0] })
        #expect(close(try ranker.score(features(padded, Self.yB)), -0.4362226857, 1e-6))
        ranker.publishedForm = true
        #expect(close(try ranker.score(features(padded, Self.yB)), -0.2067510, 1e-6))
        #expect(
            close(
                try ranker.score(
                    features: Self.fB, targets: Matrix(Self.yB.map { [$0 == 0 ? 1 : 0, $0 == 1 ? 1 : 0] })),
                try ranker.score(features(Self.fB, Self.yB))))
    }

    /// The evidence at any a, b is the density of N(t; 0, I/b + F Fᵀ/a).
    @Test(arguments: [(12, 5), (6, 15)]) func evidenceIsADensity(_ n: Int, _ d: Int) throws {
        var generator = SeededGenerator(seed: 3)
        let uniform = { Double(generator.next() >> 11) * 0x1p-53 * 2 - 1 }
        let f = Matrix((0..<n * d).map { _ in uniform() }, rows: n, columns: d)
        let t = (0..<n).map { _ in uniform() }
        for (a, b) in [(0.7, 3.0), (5, 0.4)] {
            var c = try f.times(f, transposed: true)
            for place in c.values.indices { c.values[place] /= a }
            for k in 0..<n { c[k, k] += 1 / b }
            // ln det and the quadratic form by elimination.
            var m = c, x = t, logDeterminant = 0.0
            for k in 0..<n {
                logDeterminant += Elementary.log(m[k, k])
                for row in k + 1..<max(n, k + 1) {
                    let factor = m[row, k] / m[k, k]
                    for column in 0..<n { m[row, column] -= factor * m[k, column] }
                    x[row] -= factor * x[k]
                }
            }
            for k in stride(from: n - 1, through: 0, by: -1) {
                for column in k + 1..<max(n, k + 1) { x[k] -= m[k, column] * x[column] }
                x[k] /= m[k, k]
            }
            let quadratic = zip(t, x).reduce(0) { $0 + $1.0 * $1.1 }
            let expected = -(Double(n) * Elementary.log(2 * .pi) + logDeterminant + quadratic) / 2 / Double(n)
            let found = LogME.Column(try LogME.Spectrum(f), t).evidence(a: a, b: b)
            #expect(close(found, expected, 1e-10))
        }
    }

    @Test func transRate() throws {
        var ranker = TransRate()
        #expect(close(try ranker.score(features(Self.fA, Self.yA)), 0.003095985123960532))
        #expect(close(try ranker.score(features(Self.fB, Self.yB)), 0))
        ranker.epsilon = 1e-4
        #expect(close(try ranker.score(features(Self.fA, Self.yA)), 0.05263141076122935))
        #expect(close(try ranker.score(features(Self.fB, Self.yB)), 0))
    }

    @Test func hScores() throws {
        #expect(close(try HScore().score(features(Self.fA, Self.yA)), 0.9))
        #expect(close(try HScore().score(features(Self.fB, Self.yB)), 0.9661016949, 1e-9))
        let found = try RegularisedHScore().value(Self.fA, features(Self.fA, Self.yA))
        #expect(close(found.score, 0.9298245614, 1e-9))
        #expect(close(found.shrinkage, 0.3456790123, 1e-9))
        let line = Matrix(
            (0..<6).map { row in Array(Self.fB.row(row)) }.map { [2 * $0[0] + $0[1], $0[0] - 3 * $0[1]] })
        #expect(close(try HScore().score(features(line, Self.yB)), 0.9661016949, 1e-9))
    }

    @Test func gbc() throws {
        var ranker = GBC()
        ranker.floor = 0
        #expect(close(try ranker.score(features(Self.fA, Self.yA)), -0.022217993076484612, 1e-9))
        #expect(close(try ranker.score(features(Self.fB, Self.yB)), -0.00133429419551, 1e-9))
    }

    @Test func fewShotMatchingFindsTheClasses() {
        let p = Matrix([[0.1, 0.7, 0.2], [0.2, 0.6, 0.2], [0.9, 0.1, 0.0]])
        let found = FewShotMatching.matching(p, [0, 0, 1], classCount: 2)
        #expect(found.classes == [1, 0])
        #expect(close(found.score, (0.7 + 0.6 + 0.9) / 3))
        // More classes than the model has: one is left over.
        let four = FewShotMatching.matching(Matrix([[1, 0], [0, 1], [0.5, 0.5]]), [0, 1, 2], classCount: 3)
        #expect(four.classes == [0, 1, nil])
    }

    @Test func assignmentIsTheBestOfAllPermutations() {
        var generator = SeededGenerator(seed: 11)
        func best(_ cost: Matrix, _ row: Int, _ used: Set<Int>) -> Double {
            guard row < cost.rows else { return 0 }
            return (0..<cost.columns).filter { !used.contains($0) }
                .map { cost[row, $0] + best(cost, row + 1, used.union([$0])) }.min() ?? .infinity
        }
        for (rows, columns) in [(1, 1), (3, 3), (4, 6), (5, 5), (2, 7)] {
            for _ in 0..<20 {
                let cost = Matrix(
                    (0..<rows * columns).map { _ in Double(generator.below(50)) }, rows: rows, columns: columns)
                let found = ClassAssignment.minimum(cost)
                #expect(Set(found).count == rows)
                let total = found.enumerated().reduce(0.0) { $0 + cost[$1.offset, $1.element ?? 0] }
                #expect(total == best(cost, 0, []))
            }
        }
    }

    struct Case {
        var features: Matrix, probabilities: Matrix
        var labels: [Int]
        var scores: JSONObject

        static func all() throws -> [Case] {
            let bytes = try Bytes(mapping: Repository.path("Tests/ZooRetrievalTests/Fixtures/rankers.json"))
            let text = bytes.withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
            return try #require(JSONParser.parse(text).array).map { value in
                func matrix(_ key: String) -> Matrix {
                    Matrix((value[key]?.array ?? []).map { ($0.array ?? []).compactMap(\.double) })
                }
                return Case(
                    features: matrix("features"), probabilities: matrix("probabilities"),
                    labels: value["labels"]?.array?.compactMap(\.int) ?? [], scores: value["scores"]?.object ?? .init())
            }
        }

        func evidence(_ order: [Int]) -> Evidence {
            Evidence(
                labels: order.map { labels[$0] }, features: features.selecting(order),
                probabilities: probabilities.selecting(order))
        }
    }

    @Test func agreeWithNumPy() throws {
        let cases = try Case.all()
        #expect(cases.count == 4)
        for item in cases {
            var compared = 0
            for (name, value) in item.scores {
                let expected = try #require(value.double)
                let found = try Rankers.named(name).init().score(item.evidence(Array(item.labels.indices)))
                #expect(abs(found - expected) <= 1e-6 * max(1, abs(expected)), "\(name): \(found), NumPy \(expected)")
                compared += 1
            }
            #expect(compared == 9)
        }
    }

    @Test func orderOfSamplesAndColumnsDoesNotMatter() throws {
        let item = try #require(Case.all().last)
        var generator = SeededGenerator(seed: 5)
        let order = generator.permutation(item.labels.count)
        for ranker in Rankers.all where ranker.takesPass && ranker.name != "nleep" {
            let first = try ranker.init().score(item.evidence(Array(item.labels.indices)))
            let second = try ranker.init().score(item.evidence(order))
            #expect(close(first, second, 1e-8), "\(ranker.name)")
        }
        let columns = generator.permutation(item.probabilities.columns)
        let turned = Matrix((0..<item.probabilities.rows).map { row in columns.map { item.probabilities[row, $0] } })
        #expect(
            close(
                LEEP.value(turned, item.labels, classCount: 2),
                LEEP.value(item.probabilities, item.labels, classCount: 2), 1e-12))
    }

    @Test func nleepSeparatesAndAsksForSamples() throws {
        var generator = SeededGenerator(seed: 9)
        let labels = (0..<80).map { $0 % 2 }
        func noise() -> Double { Double(generator.next() >> 11) * 0x1p-53 - 0.5 }
        let good = Matrix(labels.map { [Double($0) * 4 + noise(), noise()] })
        let bad = Matrix(labels.map { _ in [noise(), noise()] })
        let goodScore = try NLEEP().score(features(good, labels)), badScore = try NLEEP().score(features(bad, labels))
        #expect(goodScore > -0.05 && badScore < -0.2)
        #expect(throws: ZooError.self) { try NLEEP().score(features(Self.fB, Self.yB)) }
    }

    @Test func registryNamesAreUnique() throws {
        let names = Rankers.all.map { $0.name }
        #expect(Set(names).count == names.count)
        let error = #expect(throws: ZooError.self) { try Rankers.named("lepe") }
        #expect(error?.hint.contains("leep") == true)
    }
}
