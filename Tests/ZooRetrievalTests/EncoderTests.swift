import Testing
import ZooAutodiff
import ZooBase
import ZooRetrieval
import ZooTensor

@Suite struct EncoderTests {
    /// Knowledge of random features.
    static func knowledge(classes: Int, d: Int = 5, seed: UInt64) -> Knowledge {
        var generator = SeededGenerator(seed: seed)
        func numbers(_ count: Int) -> [Float] { (0..<count).map { _ in Float(generator.next() >> 40) * 0x1p-23 - 1 } }
        let width = classes - 1
        return Knowledge(
            draws: 2, classes: classes, width: width, dimension: d,
            partners: (0..<classes).flatMap { c in (0..<classes).filter { $0 != c } },
            nodes: numbers(2 * classes * d), boundaries: numbers(2 * classes * width * d),
            distances: numbers(2 * classes * width), isEmpty: [Bool](repeating: false, count: classes), coverage: 1,
            queryCount: 0)
    }

    static func encoder(_ kind: EncoderKind, d: Int = 5) -> KnowledgeEncoder {
        var generator = SeededGenerator(seed: 4)
        var shape = EncoderShape(kind, dimension: d)
        (shape.hidden, shape.embedding) = (8, 6)
        return KnowledgeEncoder(shape: shape, parameters: shape.initial(&generator))
    }

    /// The same model with its classes numbered in another order.
    static func permuted(_ k: Knowledge, _ order: [Int]) -> Knowledge {
        var copy = k
        let d = k.dimension, w = k.width
        (copy.nodes, copy.boundaries, copy.distances, copy.partners) = ([], [], [], [])
        for t in 0..<k.draws {
            for c in order {
                let node = (t * k.classes + c) * d
                copy.nodes += k.nodes[node..<node + d]
                for other in order where other != c {
                    guard let slot = (0..<w).first(where: { k.partners[c * w + $0] == other }) else { continue }
                    let start = ((t * k.classes + c) * w + slot) * d
                    copy.boundaries += k.boundaries[start..<start + d]
                    copy.distances.append(k.distances[(t * k.classes + c) * w + slot])
                }
            }
        }
        for c in 0..<k.classes { copy.partners += (0..<k.classes).filter { $0 != c } }
        return copy
    }

    @Test func setDoesNotSeeTheOrderOfClasses() throws {
        let k = Self.knowledge(classes: 4, seed: 1), encoder = Self.encoder(.set)
        let first = try encoder.vector(of: k), second = try encoder.vector(of: Self.permuted(k, [2, 0, 3, 1]))
        #expect(zip(first, second).allSatisfy { abs($0 - $1) <= 1e-6 })
        #expect(abs(first.reduce(0) { $0 + $1 * $1 } - 1) < 1e-5)
        let means = Matrix([[1, 2, 0, 1, 0], [0, 1, 1, 0, 2], [2, 0, 0, 1, 1]])
        let turned = Matrix([[2, 0, 0, 1, 1], [1, 2, 0, 1, 0], [0, 1, 1, 0, 2]])
        #expect(
            zip(try encoder.vector(ofQuery: means), try encoder.vector(ofQuery: turned)).allSatisfy {
                abs($0 - $1) <= 1e-6
            })
        // The lstm does see it.
        let lstm = Self.encoder(.lstm)
        let a = try lstm.vector(of: k), b = try lstm.vector(of: Self.permuted(k, [2, 0, 3, 1]))
        #expect(zip(a, b).contains { abs($0 - $1) > 1e-3 })
    }

    @Test func rankingLossOfTheExample() throws {
        let b = ProgramBuilder()
        let s = b.data("s", [2, 2])
        let program = b.build([
            ("ranking", try EncoderProgram.ranking(b, s, loss: .ranking, margin: 0.2)),
            ("published", try EncoderProgram.ranking(b, s, loss: .published, margin: 0.2)),
        ])
        let found = try program.compiledReference().makeExecutor().evaluate(["s": [0.9, 0.5, 0.8, 0.7]])
        #expect(abs(found[0][0] - 0.2) < 1e-12)
        // Columns: max(0, 0.9 − 0.9) and max(0, 0.7 − 0.7).
        #expect(found[1][0] == 0)
    }

    @Test(arguments: [(EncoderKind.set, 0.0), (.set, 1), (.lstm, 0), (.lstm, 1), (.tans, 0)])
    func gradientsAgreeWithDifferences(_ kind: EncoderKind, _ lambda: Double) throws {
        var shape = EncoderShape(kind, dimension: 3)
        (shape.hidden, shape.embedding, shape.noiseCount) = (4, 3, kind == .tans ? 7 : 0)
        var generator = SeededGenerator(seed: 8)
        var parameters = shape.initial(&generator)
        // Biases of zero would put units whose inputs are all zero on the corner of their relu.
        for place in parameters.names.indices where parameters.names[place].hasSuffix("bias") {
            parameters.values[place] = parameters.values[place].map { _ in
                Float(generator.next() >> 40) * 0x1p-24 * 0.4 - 0.2
            }
        }
        var settings = TrainingSettings()
        settings.lambda = lambda
        settings.margin = 0.7
        if lambda > 0 {
            for (name, extents) in [
                ("head.0.weight", [64, 3]), ("head.0.bias", [64]), ("head.1.weight", [5, 64]), ("head.1.bias", [5]),
            ] {
                parameters.names.append(name)
                parameters.shapes.append(Shape(extents))
                parameters.values.append(
                    (0..<extents.reduce(1, *)).map { _ in Float(generator.next() >> 40) * 0x1p-24 - 0.5 })
            }
        }
        let program = try EncoderTraining.program(
            shape, parameters, settings, batch: 3, classes: 3, rowLength: 3, tasks: 5)
        var arrays: [String: [Double]] = [:]
        for (name, values) in zip(parameters.names, parameters.values) { arrays[name] = values.map(Double.init) }
        for input in program.inputs(.data) {
            arrays[input.name] = (0..<input.shape.elementCount).map { _ in
                // Weights and masks are positive; one class of the last item is padding.
                let number = Double(generator.next() >> 11) * 0x1p-53
                return input.name.contains("mask") ? 1 : input.name.contains("weights") ? 1.0 / 3 : number * 2 - 1
            }
        }
        let integers: [String: [Int32]] = lambda > 0 ? ["task": [0, 4, 2]] : [:]
        let executor = program.compiledReference().makeExecutor()
        let analytic = try executor.evaluate(arrays, indices: integers)
        var compared = 0
        for (place, name) in parameters.names.enumerated() {
            for _ in 0..<4 {
                let k = generator.below(parameters.values[place].count)
                func loss(_ h: Double) throws -> Double {
                    var moved = arrays
                    moved[name]?[k] += h
                    return try executor.evaluate(moved, indices: integers)[0][0]
                }
                let h = 1e-5
                let numeric = try (loss(h) - loss(-h)) / (2 * h)
                let exact = analytic[1 + place][k]
                #expect(abs(numeric - exact) <= 1e-5 * max(abs(exact), 1e-2), "\(name)[\(k)]: \(exact), \(numeric)")
                compared += abs(exact) > 1e-6 ? 1 : 0
            }
        }
        #expect(compared > 5)
    }

    /// Tasks whose models and queries are noisy copies of the same class means.
    static func problem(_ kind: EncoderKind) throws -> EncoderTraining {
        var generator = SeededGenerator(seed: 12)
        func noise() -> Float { Float(generator.next() >> 40) * 0x1p-23 - 1 }
        var tasks: [TrainingTask] = [], knowledge: [Knowledge] = []
        for task in 0..<8 {
            let base = Self.knowledge(classes: 3, seed: 100 + UInt64(task))
            var models: [Int] = []
            for _ in 0..<3 {
                var copy = base
                for place in copy.nodes.indices { copy.nodes[place] += 0.1 * noise() }
                models.append(knowledge.count)
                knowledge.append(copy)
            }
            let groups = (0..<10).map { _ in
                Matrix((0..<15).map { Double(base.nodes[$0] + 0.1 * noise()) }, rows: 3, columns: 5)
            }
            tasks.append(TrainingTask(name: "task \(task)", groups: groups, models: models))
        }
        var settings = TrainingSettings()
        settings.steps = kind == .lstm ? 1000 : 200
        var shape = EncoderShape(kind, dimension: 5)
        (shape.hidden, shape.embedding) = (16, 8)
        return try EncoderTraining(shape, tasks: tasks, knowledge: knowledge, settings: settings)
    }

    @Test(arguments: [EncoderKind.set, .lstm]) func trainingLearnsAndRepeats(_ kind: EncoderKind) throws {
        var first = try Self.problem(kind), second = try Self.problem(kind)
        let a = try first.run(), b = try second.run()
        #expect(a.validationMRR > 0.8, "\(a.validationMRR)")
        #expect(a.encoder.digest == b.encoder.digest && a.bestStep == b.bestStep)
    }
}
