import Foundation
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

    /// The graded losses of the same similarities, worked out by hand.
    @Test func gradedLossesOfTheExample() throws {
        let s = [0.9, 0.5, 0.8, 0.7], grades = [[1, 0.3], [0.2, 1]]
        func loss(_ loss: RetrievalLoss, _ grades: [[Double]]) throws -> Double {
            var settings = TrainingSettings()
            settings.loss = loss
            let b = ProgramBuilder()
            let program = b.build([("loss", try EncoderProgram.loss(b, b.data("s", [2, 2]), settings))])
            var arrays = ["s": s]
            for (input, values) in zip(
                program.inputs(.data).dropFirst(), GradedBatch.arrays(grades, loss: loss))
            { arrays[input.name] = values.map(Double.init) }
            return try program.compiledReference().makeExecutor().evaluate(arrays)[0][0]
        }
        // Half the mean of 1 − 0.9 and 1 − 0.7, and half the mean of 0.5 − 0.2 and 0.8 − 0.2.
        #expect(abs(try loss(.graded, grades) - (0.1 + 0.225)) < 1e-12)
        // Nothing is bad: the second term falls away. Of equal grades the first model is the best.
        #expect(abs(try loss(.graded, [[0.6, 0.6], [0.6, 0.6]]) - 0.075) < 1e-12)
        // The other model is better.
        #expect(abs(try loss(.graded, [[0.2, 1], [0.2, 1]]) - (0.25 * 0.5 + 0.25 * 0.3 + 0.25 * 1.3)) < 1e-12)
        var expected = 0.0
        for (row, grade) in grades.enumerated() {
            let target = grade.map { exp($0 / 0.1) }, score = [s[2 * row], s[2 * row + 1]].map { exp($0 / 0.1) }
            for k in 0..<2 {
                expected -= target[k] / (target[0] + target[1]) * log(score[k] / (score[0] + score[1])) / 2
            }
        }
        #expect(abs(try loss(.listwise, grades) - expected) < 1e-6)
    }

    @Test(arguments: [
        (EncoderKind.set, 0.0, RetrievalLoss.ranking), (.set, 1, .ranking), (.lstm, 0, .ranking), (.lstm, 1, .ranking),
        (.tans, 0, .ranking), (.set, 0, .graded), (.set, 0, .listwise),
    ])
    func gradientsAgreeWithDifferences(_ kind: EncoderKind, _ lambda: Double, _ loss: RetrievalLoss) throws {
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
        settings.loss = loss
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
                return input.name.contains("mask") || input.name == "grades.bad"
                    ? 1 : input.name.contains("weights") ? 1.0 / 3 : number * 2 - 1
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
    static func problem(_ kind: EncoderKind, seed: UInt64 = 0) throws -> EncoderTraining {
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
        settings.seed = seed
        var shape = EncoderShape(kind, dimension: 5)
        (shape.hidden, shape.embedding) = (16, 8)
        return try EncoderTraining(shape, tasks: tasks, knowledge: knowledge, settings: settings)
    }

    @Test(arguments: [EncoderKind.set, .lstm]) func trainingLearnsAndRepeats(_ kind: EncoderKind) throws {
        let first = try Self.problem(kind), second = try Self.problem(kind)
        let a = try first.run(), b = try second.run()
        #expect(a.validationMRR > 0.8, "\(a.validationMRR)")
        #expect(a.encoder.digest == b.encoder.digest && a.bestStep == b.bestStep)
    }

    /// Stopped at any look and gone on from what was stored: the same encoders.
    @Test(arguments: [EncoderKind.set, .lstm]) func trainingGoesOn(_ kind: EncoderKind) throws {
        let training = try Self.problem(kind)
        var stored: [(header: JSONObject, tensors: StateDict)] = []
        let whole = try training.run(keep: { state, _ in stored.append(training.stored(state)) })
        #expect(stored.count >= 2)
        for (place, kept) in stored.enumerated() where place % 3 == 0 {
            // As a file would give it back.
            let header = try #require(try JSONParser.parse(JSONValue.object(kept.header).text()).object)
            let state = try #require(try training.state(header: header, tensors: kept.tensors))
            #expect(state.step == (place + 1) * 100)
            var steps = 0
            let rest = try training.run(from: state, progress: { steps += 1 })
            #expect(rest.encoder.digest == whole.encoder.digest && rest.bestStep == whole.bestStep)
            #expect(steps == (kind == .lstm ? 1000 : 200))
        }
        var other = try Self.problem(kind, seed: 1)
        #expect(try other.state(header: stored[0].header, tensors: stored[0].tensors) == nil)
        other = training
        var short = stored[0].tensors
        short[short.names[0]] = nil
        #expect(throws: ZooError.self) { try other.state(header: stored[0].header, tensors: short) }
    }

    /// Six classes, of whose twenty sets of three only five are trained on: composed tasks teach the others.
    @Test func composedTasksTeachNewSets() throws {
        var generator = SeededGenerator(seed: 31)
        func noise(_ scale: Float) -> Float { (Float(generator.next() >> 40) * 0x1p-23 - 1) * scale }
        let d = 5
        let bases = (0..<6).map { _ in (0..<d).map { _ in noise(1) } }
        func near(_ label: Int) -> [Float] { bases[label].map { $0 + noise(0.15) } }
        func model(_ labels: [Int]) -> Knowledge {
            var k = Self.knowledge(classes: 3, d: d, seed: generator.next())
            k.nodes = (0..<2).flatMap { _ in labels.flatMap(near) }
            k.boundaries = (0..<2).flatMap { _ in
                labels.flatMap { a in
                    labels.filter { $0 != a }.flatMap { b in zip(near(a), near(b)).map { ($0 + $1) / 2 } }
                }
            }
            return k
        }
        func query(_ labels: [Int]) -> Matrix { Matrix(labels.map { near($0).map(Double.init) }) }
        var sets: [[Int]] = []
        for a in 0..<6 { for b in a + 1..<6 { for c in b + 1..<6 { sets.append([a, b, c]) } } }
        generator.shuffle(&sets)
        // Every class is among the trained sets.
        sets.sort { first, _ in first == [0, 1, 2] || first == [3, 4, 5] }
        var knowledge: [Knowledge] = [], tasks: [TrainingTask] = []
        for labels in sets.prefix(5) {
            // Models list their classes in another order than the data.
            let order = [labels[2], labels[0], labels[1]]
            knowledge += [model(order), model(order)]
            var task = TrainingTask(
                name: "\(labels)", groups: (0..<10).map { _ in query(labels) },
                models: [knowledge.count - 2, knowledge.count - 1])
            task.labels = labels
            task.outputs = [[1, 2, 0], [1, 2, 0]]
            tasks.append(task)
        }
        let gallery = sets.dropFirst(5).map(model), queries = sets.dropFirst(5).map(query)
        func reciprocal(composes: Bool) throws -> (unseen: Double, found: TrainedEncoder) {
            var settings = TrainingSettings()
            settings.steps = 400
            settings.composesTasks = composes
            var shape = EncoderShape(.set, dimension: d)
            (shape.hidden, shape.embedding) = (32, 16)
            let found = try EncoderTraining(shape, tasks: tasks, knowledge: knowledge, settings: settings).run()
            let vectors = try gallery.flatMap { try found.encoder.vector(of: $0) }
            var sum = 0.0
            for (place, means) in queries.enumerated() {
                let query = try found.encoder.vector(ofQuery: means)
                let scores = try VectorSearch(vectors, width: 16).similarities(query).map(Double.init)
                sum += 1 / Double(RetrievalMetrics.rank(of: [place], scores: scores) ?? .max)
            }
            return (sum / Double(queries.count), found)
        }
        let composed = try reciprocal(composes: true), whole = try reciprocal(composes: false)
        #expect(composed.unseen > 0.8, "\(composed.unseen)")
        #expect(composed.unseen > whole.unseen + 0.1, "\(composed.unseen) against \(whole.unseen)")
        #expect(composed.found.composedMRR ?? 0 > 0.7 && whole.found.composedMRR == nil)
    }

    /// A loss on grades needs them, and puts the better of two models of a task first.
    @Test(arguments: [RetrievalLoss.graded, .listwise]) func gradesDecideBetweenModelsOfATask(_ loss: RetrievalLoss)
        throws
    {
        var generator = SeededGenerator(seed: 9)
        func noise() -> Float { (Float(generator.next() >> 40) * 0x1p-23 - 1) * 0.05 }
        var tasks: [TrainingTask] = [], knowledge: [Knowledge] = []
        for task in 0..<8 {
            let base = Self.knowledge(classes: 3, seed: 300 + UInt64(task))
            for _ in 0..<2 {
                var copy = base
                // Both differ, and queries are in between.
                for place in copy.nodes.indices { copy.nodes[place] += (knowledge.count % 2 == 0 ? 0.5 : -0.5) }
                knowledge.append(copy)
            }
            tasks.append(
                TrainingTask(
                    name: "task \(task)",
                    groups: (0..<10).map { _ in
                        Matrix((0..<15).map { Double(base.nodes[$0] + noise()) }, rows: 3, columns: 5)
                    }, models: [2 * task, 2 * task + 1]))
        }
        var settings = TrainingSettings()
        settings.loss = loss
        settings.steps = 600
        var shape = EncoderShape(.set, dimension: 5)
        (shape.hidden, shape.embedding) = (16, 8)
        #expect(throws: ZooError.self) {
            try EncoderTraining(shape, tasks: tasks, knowledge: knowledge, settings: settings)
        }
        for place in tasks.indices {
            tasks[place].grades = knowledge.indices.map { $0 / 2 == place ? ($0 % 2 == 0 ? 0.95 : 0.7) : 0.2 }
        }
        let found = try EncoderTraining(shape, tasks: tasks, knowledge: knowledge, settings: settings).run()
        #expect(found.validationTau ?? 0 > 0.5, "\(found.validationTau ?? 0)")
        let vectors = try knowledge.flatMap { try found.encoder.vector(of: $0) }
        var better = 0
        for (place, task) in tasks.enumerated() {
            let query = try found.encoder.vector(ofQuery: task.groups[9])
            let scores = try VectorSearch(vectors, width: 8).similarities(query)
            better += scores[2 * place] > scores[2 * place + 1] ? 1 : 0
        }
        #expect(better >= 7, "\(better) of 8")
    }
}
