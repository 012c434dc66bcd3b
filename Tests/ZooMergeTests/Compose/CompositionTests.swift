import Foundation
import Testing
import ZooBase
import ZooFormats
import ZooMerge
import ZooNN
import ZooTensor
import ZooTestSupport

/// Coefficients of real networks: PyTorch's trajectories, finite differences, equivalences.
@Suite struct CompositionTests {
    private static let tasks = ["rot90", "rot180", "mirror", "invert", "dim", "shift", "occlude", "noise", "subset"]

    private static func problem<Scalar: CoefficientScalar>(
        _: Scalar.Type, _ names: [String] = tasks, granularity: CoefficientGroups.Granularity = .tensor,
        partition: PartitionHash? = nil, storage: VectorStorage = .memory, jobs: Int = 1, batch: Int = 50
    ) throws -> CompositionProblem<Scalar> {
        let base = try TaskZoo.base()
        return try CompositionProblem(
            TaskZoo.graph, base: base, operands: TaskZoo.operands(names),
            groups: CoefficientGroups(TaskZoo.graph, tensors: base.tensorInfos, granularity: granularity),
            losses: [.crossEntropy, .entropy], batch: batch, partition: partition, storage: storage, jobs: jobs)
    }

    private static func target() throws -> Samples {
        let data = try TaskZoo.open("data/zoo_c_data.safetensors")
        return try Samples(
            inputs: data.tensor(named: "target_mirror_noise.x_train"),
            labels: data.tensor(named: "target_mirror_noise.y_train"))
    }

    private static func part<Scalar>(_ samples: Samples, _: CompositionProblem<Scalar>)
        -> CompositionProblem<Scalar>.Part
    {
        .init(task: 0, samples: samples, places: Array(0..<samples.count), weight: 1 / Double(samples.count))
    }

    private func run<Scalar: CoefficientScalar>(_ key: String, _ type: Scalar.Type) throws -> (
        losses: [Double], values: [Double], first: [Double]
    ) {
        let golden = try #require(TaskZoo.golden("zoo_c_atlas")[key])
        let problem = try Self.problem(type)
        let samples = try Self.target()
        var options = CoefficientOptions()
        options.optimiser = key == "sgd" ? .sgd : .adamw
        options.rate = golden["lr"]?.double ?? 0
        options.weightDecay = 0
        options.clip = nil
        options.rounds = 1
        options.stepsPerRound = 100
        var losses: [Double] = [], first: [Double] = []
        var learner = CoefficientLearner(count: problem.space.count, vectors: 9, options: options)
        try learner.run(
            gradient: { number, values in
                let step = try problem.step(values, [Self.part(samples, problem)], loss: .crossEntropy)
                losses.append(step.loss)
                if number == 0 { first = step.gradient }
                return step
            }, evaluate: nil)
        losses.append(
            try problem.step(learner.state.values, [Self.part(samples, problem)], loss: .crossEntropy).loss)
        return (losses, learner.state.values, first)
    }

    /// `[vector][tensor]` of a golden in the order of the groups.
    private func matrix(_ json: JSONValue?, _ groups: [String]) throws -> [Double] {
        let names = (try TaskZoo.golden("zoo_c_atlas")["meta"]?["tensors"]?.array ?? []).compactMap(\.string)
        return (json?.array ?? []).flatMap { row in
            groups.map { name in names.firstIndex(of: name).flatMap { row.array?[$0].double } ?? .nan }
        }
    }

    @Test(arguments: ["adam", "sgd"])
    func hundredStepsAsInPyTorch(_ key: String) throws {
        let golden = try #require(TaskZoo.golden("zoo_c_atlas")[key])
        let groups = CoefficientGroups(TaskZoo.graph, tensors: try TaskZoo.base().tensorInfos).names
        let expected = (golden["losses"]?.array ?? []).compactMap(\.double)
        let coefficients = try matrix(golden["coef"], groups), slopes = try matrix(golden["grad_at_zero"], groups)
        let exact = try run(key, Double.self)
        #expect(expected.count == 101 && coefficients.count == 90)
        #expect(largestDifference(exact.losses, expected) < 1e-9)
        #expect(largestDifference(exact.values, coefficients) < 1e-9)
        #expect(largestDifference(exact.first, slopes) < 1e-9)
        // Single precision: the first gradient to its rounding, then what a hundred steps make of it.
        let single = try run(key, Float.self)
        #expect(largestDifference(single.first, slopes) < 2e-5)
        #expect(largestDifference(single.losses, expected) < 2e-3)
        #expect(largestDifference(single.values, coefficients) < 5e-3)
    }

    @Test func gradientsAgainstFiniteDifferences() throws {
        let samples = try Self.target()
        for (granularity, parts) in [
            (CoefficientGroups.Granularity.tensor, 1), (.layer, 1), (.model, 1), (.tensor, 3),
        ] {
            let problem = try Self.problem(
                Double.self, ["dim", "noise"], granularity: granularity, partition: PartitionHash(count: parts, seed: 5)
            )
            let values = noise(31, problem.space.count, scale: 0.3)
            for loss in [SampleLoss.crossEntropy, .entropy] {
                let part = [Self.part(samples, problem)]
                let slope = try problem.step(values, part, loss: loss).gradient
                for place in stride(from: 0, to: values.count, by: max(1, values.count / 7)) {
                    var up = values, down = values
                    up[place] += 1e-6
                    down[place] -= 1e-6
                    let difference =
                        try (problem.step(up, part, loss: loss).loss - problem.step(down, part, loss: loss).loss) / 2e-6
                    #expect(abs(difference - slope[place]) < 1e-6 * max(1, abs(slope[place])))
                }
            }
        }
    }

    /// Statistics of batch norm that follow the scale of their norm have their part in its gradient.
    @Test func followedStatisticsHaveTheirGradient() throws {
        let made = try ArchitectureBlueprint(
            name: "small", numbers: JSONObject([("family", "resnet"), ("width", 4), ("blocks", [1, 1])]),
            inputShape: [1, 8, 8], classes: 10)
        func state(_ seed: UInt64, _ scale: Double, isBase: Bool) -> StateDict {
            var state = StateDict()
            for (place, info) in made.tensors.enumerated() {
                guard info.dtype.isFloatingPoint else { continue }
                var values = noise(seed + UInt64(place), info.shape.elementCount, scale: scale)
                // Variances are far from zero, scales near one.
                let isScale = info.shape.rank == 1 && info.name.hasSuffix("weight")
                if isBase, isScale || info.name.hasSuffix("running_var") { values = values.map { 1 + abs($0) } }
                state[info.name] = Tensor(values, shape: info.shape)
            }
            return state
        }
        let base = state(11, 0.4, isBase: true)
        let operands = try [201, 301].map {
            try TaskOperand("t\($0)", .vector(state($0, 0.2, isBase: false)), base: base.tensorInfos)
        }
        let samples = try Self.target()
        for parts in [1, 2] {
            let problem = try CompositionProblem<Double>(
                made.graph, base: base, operands: operands,
                groups: CoefficientGroups(made.graph, tensors: base.tensorInfos), losses: [.crossEntropy], batch: 50,
                partition: PartitionHash(count: parts, seed: 3))
            let values = noise(5, problem.space.count, scale: 0.2)
            let part = [Self.part(samples, problem)]
            let slope = try problem.step(values, part, loss: .crossEntropy).gradient
            for place in values.indices {
                var up = values, down = values
                up[place] += 1e-6
                down[place] -= 1e-6
                let a = try problem.step(up, part, loss: .crossEntropy).loss
                let b = try problem.step(down, part, loss: .crossEntropy).loss
                #expect(abs((a - b) / 2e-6 - slope[place]) < 1e-5 * max(1, abs(slope[place])), "\(place)")
            }
        }
    }

    /// A batch that is worth it runs in two halves; threads change nothing.
    @Test func halvesOfABatchAddUp() throws {
        let samples = try Self.target()
        let values = noise(17, 180, scale: 0.2)
        // Of the same samples once with and once without the halves: a batch of 512 is padded and split, one of 16 not.
        let whole = try Self.problem(Float.self, batch: 512), narrow = try Self.problem(Float.self, batch: 16)
        let threads = try Self.problem(Float.self, jobs: 2, batch: 512)
        let own = Array(values.prefix(whole.space.count))
        let a = try whole.step(own, [Self.part(samples, whole)], loss: .crossEntropy)
        let b = try threads.step(own, [Self.part(samples, threads)], loss: .crossEntropy)
        #expect(a.loss == b.loss && a.gradient == b.gradient)
        var sum = [Double](repeating: 0, count: own.count), loss = 0.0
        for start in stride(from: 0, to: samples.count, by: 16) {
            let places = Array(start..<min(samples.count, start + 16))
            let part = CompositionProblem<Float>.Part(
                task: 0, samples: samples, places: places, weight: 1 / Double(samples.count))
            let found = try narrow.step(own, [part], loss: .crossEntropy)
            loss += found.loss
            for place in sum.indices { sum[place] += found.gradient[place] }
        }
        #expect(abs(loss - a.loss) < 1e-5 && largestDifference(sum, a.gradient) < 1e-4)
    }

    /// A smooth network, where central differences of Float32 losses mean something: steps of 1e-3, as the method page
    /// has it.
    private static func smooth<Scalar: CoefficientScalar>(_: Scalar.Type) throws -> CompositionProblem<Scalar> {
        func state(_ seed: UInt64, _ scale: Double) -> StateDict {
            var state = StateDict()
            for (place, (name, shape)) in [
                ("0.weight", [24, 64] as Shape), ("0.bias", [24]), ("2.weight", [10, 24]), ("2.bias", [10]),
            ].enumerated() {
                state[name] = Tensor(noise(seed + UInt64(place), shape.elementCount, scale: scale), shape: shape)
                    .converted(to: .float32)
            }
            return state
        }
        let base = state(61, 0.3)
        let graph = try ArchitectureResolver().choose(
            ArchitectureRequest(
                tensors: base.tensorInfos, inputShape: [64], config: JSONObject(),
                settings: JSONObject([("activation", "tanh")]))
        ).graph
        let operands = try [71, 81].map {
            try TaskOperand("t\($0)", .vector(state($0, 0.3)), base: base.tensorInfos)
        }
        return try CompositionProblem(
            graph, base: base, operands: operands, groups: CoefficientGroups(graph, tensors: base.tensorInfos),
            losses: [.crossEntropy], batch: 50)
    }

    @Test func singlePrecisionAgainstFiniteDifferences() throws {
        let images = try Self.target()
        let samples = try Samples(inputs: images.inputs, inputShape: [64], labels: images.labels, count: images.count)
        func check<Scalar: CoefficientScalar>(_: Scalar.Type, _ bound: Double, _ h: Double) throws {
            let problem = try Self.smooth(Scalar.self)
            let values = noise(91, problem.space.count, scale: 0.5)
            let part = [Self.part(samples, problem)]
            let slope = try problem.step(values, part, loss: .crossEntropy).gradient
            let largest = slope.map(abs).max() ?? 1
            for place in slope.indices {
                var up = values, down = values
                up[place] += h
                down[place] -= h
                let a = try problem.step(up, part, loss: .crossEntropy).loss
                let b = try problem.step(down, part, loss: .crossEntropy).loss
                #expect(abs((a - b) / (2 * h) - slope[place]) < bound * largest)
            }
        }
        try check(Float.self, 1e-3, 1e-3)
        try check(Double.self, 1e-6, 1e-4)
    }

    @Test func streamedVectorsGiveTheSameBits() throws {
        let samples = try Self.target()
        for parts in [1, 4] {
            let hash = PartitionHash(count: parts, seed: 2)
            let held = try Self.problem(Float.self, partition: hash)
            let streamed = try Self.problem(Float.self, partition: hash, storage: .streamed)
            let threaded = try Self.problem(Float.self, partition: hash, storage: .streamed, jobs: 3)
            #expect(streamed.byteCount.vectors == 0 && held.byteCount.vectors > 0)
            let values = noise(33, held.space.count, scale: 0.4)
            let a = try held.step(values, [Self.part(samples, held)], loss: .crossEntropy)
            let b = try streamed.step(values, [Self.part(samples, streamed)], loss: .crossEntropy)
            let c = try threaded.step(values, [Self.part(samples, threaded)], loss: .crossEntropy)
            #expect(a.loss == b.loss && a.gradient == b.gradient)
            #expect(a.loss == c.loss && a.gradient == c.gradient)
        }
    }

    @Test func frozenTensorsTakeNoGradient() throws {
        let problem = try Self.problem(Float.self)
        let places = problem.space.names.indices.filter { problem.space.names[$0].hasPrefix("classifier") }
        #expect(places.count == 2 && places.allSatisfy { !problem.space.needsGradient($0) })
    }

    @Test func equivalences() throws {
        let names = ["rot90", "mirror", "dim"]
        let samples = try TaskZoo.samples("rot90", "val")
        let base = try TaskZoo.base(), operands = try TaskZoo.operands(names)
        let problem = try Self.problem(Float.self, names)
        let model = try Self.problem(Float.self, names, granularity: .model)
        let evaluator = try Evaluator(TaskZoo.graph, tensors: base.tensorInfos, samples: samples)
        func evaluation(_ source: any TensorSource) throws -> Evaluation {
            try evaluator.evaluate(count: 1, jobs: 1) { _ in source }[0].get()
        }
        let columns = problem.space.count / 3
        func rows(_ scales: [Double]) -> [Double] { scales.flatMap { [Double](repeating: $0, count: columns) } }
        for scales in [[1.0, 0, 0], [1.0 / 3, 1.0 / 3, 1.0 / 3], [0.3, 0.3, 0.3], [-0.4, 0.1, 0.7]] {
            let found = try problem.evaluations(rows(scales), [samples])[0]
            let isotropic = try model.evaluations(scales, [samples])[0]
            let applied = try evaluation(DisplacedModel(base: base, operands: operands, scales: scales))
            #expect(abs(found.loss - applied.loss) < 1e-5 && found.correctCount == applied.correctCount)
            #expect(found == isotropic)
        }
        let tuned = try evaluation(TaskZoo.task("rot90"))
        #expect(try problem.evaluations(rows([1, 0, 0]), [samples])[0].correctCount == tuned.correctCount)
        // All thirds is the uniform soup of the three.
        let soup = try evaluation(
            LinearCombination(
                names.map { try TaskZoo.task($0) }, names: names, weights: AverageWeights.uniform(count: 3)))
        let third = try problem.evaluations(rows([1.0 / 3, 1.0 / 3, 1.0 / 3]), [samples])[0]
        #expect(abs(third.loss - soup.loss) < 1e-5)
        // The gradient of one scale is the sum over blocks.
        let values = rows([0.2, 0.1, 0.3])
        let target = try Self.target()
        let slopes = try problem.step(values, [Self.part(target, problem)], loss: .crossEntropy).gradient
        let whole = try model.step([0.2, 0.1, 0.3], [Self.part(target, model)], loss: .crossEntropy).gradient
        for vector in 0..<3 {
            let sum = slopes[vector * columns..<(vector + 1) * columns].reduce(0, +)
            #expect(abs(sum - whole[vector]) < 1e-6)
        }
    }

    @Test func ownHeadsAreOneProblemPerTask() throws {
        // A head of another width for the second task; with the base's head both ways agree.
        let base = try TaskZoo.base(), samples = try Self.target()
        let operands = try TaskZoo.operands(["dim", "noise"])
        let groups = CoefficientGroups(TaskZoo.graph, tensors: base.tensorInfos, excluded: ["classifier*"])
        func head(_ classes: Int) throws -> [String: Tensor] {
            let weight = try base.tensor(named: "classifier.weight").floats()
            let bias = try base.tensor(named: "classifier.bias").floats()
            return [
                "classifier.weight": Tensor(Array(weight.prefix(classes * 64)), shape: [classes, 64]),
                "classifier.bias": Tensor(Array(bias.prefix(classes)), shape: [classes]),
            ]
        }
        func problem(_ heads: [[String: Tensor]]) throws -> CompositionProblem<Float> {
            try CompositionProblem(
                TaskZoo.graph, base: base, operands: operands, groups: groups, losses: [.crossEntropy], batch: 64,
                heads: heads)
        }
        let five = samples.labels.indices.filter { samples.labels[$0] < 5 }
        func parts(_ p: CompositionProblem<Float>) -> [CompositionProblem<Float>.Part] {
            [
                .init(task: 0, samples: samples, places: Array(0..<20), weight: 0.05),
                .init(task: 1, samples: samples, places: five, weight: 1 / Double(five.count)),
            ]
        }
        let shared = try problem([]), own = try problem([head(10), head(10)]),
            narrow = try problem([head(10), head(5)])
        let values = noise(35, shared.space.count, scale: 0.3)
        let a = try shared.step(values, parts(shared), loss: .crossEntropy)
        let b = try own.step(values, parts(own), loss: .crossEntropy)
        #expect(largestDifference(a.gradient, b.gradient) < 1e-6 && abs(a.loss - b.loss) < 1e-6)
        let c = try narrow.step(values, parts(narrow), loss: .crossEntropy)
        #expect(c.parts[1] < b.parts[1])
        #expect(throws: ZooError.self) { _ = try narrow.evaluations(values, [samples, samples]) }
    }

    @Test func adapters() throws {
        let base = try TaskZoo.base()
        var state = StateDict()
        let prefix = "base_model.model.encoder.fc."
        state[prefix + "lora_A.weight"] = Tensor(noise(41, 256), shape: [2, 128]).converted(to: .float32)
        state[prefix + "lora_B.weight"] = Tensor(noise(42, 128, scale: 0.05), shape: [64, 2]).converted(to: .float32)
        state["base_model.model.encoder.conv2.lora_A.weight"] =
            Tensor(noise(43, 2 * 144), shape: [2, 16, 3, 3]).converted(to: .float32)
        state["base_model.model.encoder.conv2.lora_B.weight"] =
            Tensor(noise(44, 64, scale: 0.05), shape: [32, 2, 1, 1]).converted(to: .float32)
        let config = JSONObject([("peft_type", "LORA"), ("lora_alpha", 4), ("r", 2)])
        let adapter = try LowRankAdapter(state, config: config, label: "adapter")
        let operand = try TaskOperand("lora", .lowRank(adapter), base: base.tensorInfos)
        let groups = CoefficientGroups(TaskZoo.graph, tensors: base.tensorInfos)
        // The same vector, formed.
        var formed = StateDict()
        for info in base.tensorInfos {
            guard let block = try operand.block(info), case .lowRank(let factors) = block.form else { continue }
            #expect(factors.scale == 2)
            let product = ScalarBlock<Float>(sizes: [info.shape.elementCount])
            factors.fill(0..<info.shape.elementCount, product.pointers[0])
            formed[info.name] = Tensor(
                Array(UnsafeBufferPointer(start: product.pointers[0], count: info.shape.elementCount)),
                shape: info.shape)
        }
        #expect(formed.names.sorted() == ["encoder.conv2.weight", "encoder.fc.weight"])
        let dense = try TaskOperand("dense", .vector(formed), base: base.tensorInfos)
        let samples = try Self.target()
        func step(_ operand: TaskOperand, _ parts: Int) throws -> CoefficientLearner.Step {
            let problem = try CompositionProblem<Double>(
                TaskZoo.graph, base: base, operands: [operand], groups: groups, losses: [.crossEntropy], batch: 50,
                partition: PartitionHash(count: parts, seed: 1))
            return try problem.step(
                noise(45, problem.space.count, scale: 0.5), [Self.part(samples, problem)], loss: .crossEntropy)
        }
        for parts in [1, 3] {
            let a = try step(operand, parts), b = try step(dense, parts)
            #expect(abs(a.loss - b.loss) < 1e-6 && largestDifference(a.gradient, b.gradient) < 1e-5)
            #expect(a.gradient.count { $0 != 0 } == 2 * parts)
        }
        var wrong = StateDict()
        wrong["base_model.model.encoder.fc.lora_A.weight"] = state[prefix + "lora_A.weight"]
        #expect(throws: ZooError.self) { try LowRankAdapter(wrong, config: config, label: "adapter") }
        var foreign = StateDict()
        foreign["x.lora_A.weight"] = state[prefix + "lora_A.weight"]
        foreign["x.lora_B.weight"] = state[prefix + "lora_B.weight"]
        let stranger = try LowRankAdapter(foreign, config: config, label: "adapter")
        #expect(throws: ZooError.self) { try TaskOperand("x", .lowRank(stranger), base: base.tensorInfos) }
    }

    @Test func tiedTensorsAreFound() throws {
        var base = StateDict(), tuned = StateDict()
        let values = Tensor(noise(51, 12), shape: [3, 4]), moved = Tensor(noise(52, 12), shape: [3, 4])
        for name in ["embedding.weight", "head.weight"] { base[name] = values }
        base["zeros"] = Tensor([Double](repeating: 0, count: 12), shape: [3, 4])
        base["more.zeros"] = Tensor([Double](repeating: 0, count: 12), shape: [3, 4])
        for name in base.names { tuned[name] = moved }
        let operand = try TaskOperand("t", .fineTuned(tuned), base: base.tensorInfos)
        let ties = try CoefficientGroups.ties(base, operands: [operand])
        #expect(ties.count == 1 && ties.first?.0 == "embedding.weight" && ties.first?.1 == "head.weight")
        tuned["head.weight"] = values
        let apart = try TaskOperand("t", .fineTuned(tuned), base: base.tensorInfos)
        #expect(try CoefficientGroups.ties(base, operands: [apart]).isEmpty)
        let groups = CoefficientGroups(trained: base.tensorInfos, granularity: .tensor, ties: ties)
        #expect(groups.group(of: "embedding.weight") == groups.group(of: "head.weight"))
    }

    @Test func groupsOfTensors() throws {
        let infos = try TaskZoo.base().tensorInfos
        func names(_ granularity: CoefficientGroups.Granularity) -> [String] {
            CoefficientGroups(TaskZoo.graph, tensors: infos, granularity: granularity).names.sorted()
        }
        #expect(names(.tensor).count == 10)
        #expect(names(.layer) == ["classifier", "encoder.conv1", "encoder.conv2", "encoder.conv3", "encoder.fc"])
        #expect(names(.module) == ["classifier", "encoder"])
        #expect(names(.model) == ["model"])
        #expect(names(.matrices).count == 5 && names(.matrices).allSatisfy { $0.hasSuffix("weight") })
    }

    @Test func coefficientFilesAreReadBack() throws {
        var file = CoefficientFile(
            base: "abc", vectors: [.init(name: "a", digest: "1"), .init(name: "b", digest: "2")], granularity: .tensor,
            blocks: ["x", "y"], values: [0.1, 0.2, -0.3, 1.0 / 3, 5, 6, 7, 8])
        file.partitions = 2
        file.seed = .max
        file.selection = [[0], [0, 1]]
        let text = JSONValue.object(file.json).text()
        #expect(try CoefficientFile(json: JSONParser.parse(text)) == file)
        for broken in ["{}", #"{"version": 2}"#, #"{"version": 1}"#] {
            #expect(throws: ZooError.self) { try CoefficientFile(json: JSONParser.parse(broken)) }
        }
        let short = text.replacingOccurrences(of: #""blocks":["x","y"]"#, with: #""blocks":["x"]"#)
        #expect(short != text)
        #expect(throws: ZooError.self) { try CoefficientFile(json: JSONParser.parse(short)) }
    }
}
