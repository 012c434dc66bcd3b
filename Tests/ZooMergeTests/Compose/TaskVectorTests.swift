import Foundation
import Testing
import ZooBase
import ZooFormats
import ZooMerge
import ZooNN
import ZooTensor
import ZooTestSupport

/// The networks and data of `zoos/digits-tasks`.
enum TaskZoo {
    static let graph: ArchitectureGraph = {
        do {
            let path = Repository.path("manifests/architectures/TaskCNN-16-64.yaml")
            let template = try ArchitectureTemplate(json: ArchitectureFiles.json(at: path))
            let infos = try base().tensorInfos
            return try ArchitectureResolver(library: [template]).choose(
                ArchitectureRequest(
                    tensors: infos, inputShape: [1, 8, 8], config: JSONObject(), settings: JSONObject()),
                explicit: template
            ).graph
        } catch { fatalError("\(error)") }
    }()

    static func base() throws -> any TensorSource { try open("pretrained.safetensors") }

    static func task(_ name: String) throws -> any TensorSource { try open("tasks/\(name).safetensors") }

    static func open(_ path: String) throws -> any TensorSource {
        try CheckpointFile.open(Repository.path("zoos/digits-tasks/\(path)")).source
    }

    static func operands(_ names: [String]) throws -> [TaskOperand] {
        let base = try base()
        return try names.map { try TaskOperand($0, .fineTuned(task($0)), base: base.tensorInfos) }
    }

    static func samples(_ task: String, _ split: String) throws -> Samples {
        let data = try open("data/zoo_c_data.safetensors")
        return try Samples(
            inputs: data.tensor(named: "\(task).x_\(split)"), labels: data.tensor(named: "\(task).y_\(split)"))
    }

    static func golden(_ name: String) throws -> JSONValue {
        try JSONParser.parse(Bytes(mapping: Repository.path("Tests/ZooMergeTests/Fixtures/\(name).json")))
    }
}

@Suite struct TaskVectorTests {
    private func numbers(_ json: JSONValue?) -> [Double] { (json?.array ?? []).compactMap(\.double) }

    @Test func applyingGivesTheFineTunedNetwork() throws {
        let base = try TaskZoo.base(), tuned = try TaskZoo.task("rot90")
        let vector = try TaskVectorDifference(base: base, fineTuned: tuned, names: ("base", "rot90"))
        let stored = try TaskOperand("rot90", .vector(vector.stateDict()), base: base.tensorInfos)
        let back = DisplacedModel(base: base, operands: [stored], scales: [1])
        for info in base.tensorInfos {
            let wanted = try tuned.tensor(named: info.name).floats(), found = try back.tensor(named: info.name).floats()
            let start = try base.tensor(named: info.name).floats()
            // One rounding of the difference and one of the sum, half a unit each.
            for place in wanted.indices {
                let bound = 0x1p-24 * (abs(wanted[place] - start[place]) + abs(found[place]))
                #expect(abs(wanted[place] - found[place]) <= 1.0001 * bound)
            }
        }
        let zero = DisplacedModel(base: base, operands: [stored], scales: [0])
        for info in base.tensorInfos {
            #expect(try zero.tensor(named: info.name).isIdentical(to: base.tensor(named: info.name)))
        }
        let negated = try LinearCombination([vector], names: ["τ"], weights: [-1])
        let twice = try LinearCombination([negated], names: ["−τ"], weights: [-1])
        for info in vector.tensorInfos {
            #expect(try twice.tensor(named: info.name).isIdentical(to: vector.tensor(named: info.name)))
        }
        // C + (B − A) with A = B is C.
        let other = try TaskVectorDifference(base: base, fineTuned: TaskZoo.task("dim"), names: ("base", "dim"))
        let same = try LinearCombination([other, vector, vector], names: ["C", "B", "A"], weights: [1, 1, -1])
        for info in vector.tensorInfos {
            let wanted = try other.tensor(named: info.name).floats(), found = try same.tensor(named: info.name).floats()
            #expect(zip(wanted, found).allSatisfy { abs($0 - $1) < 2e-8 })
        }
    }

    @Test func unequalTensorsAreListed() throws {
        var base = StateDict(), tuned = StateDict()
        base["a"] = Tensor([1.0, 2], shape: [2])
        base["n"] = Tensor([Int64(3)], shape: [1])
        base["only"] = Tensor([1.0], shape: [1])
        tuned["a"] = Tensor([1.0, 2, 3], shape: [3])
        tuned["n"] = Tensor([Int64(4)], shape: [1])
        tuned["extra"] = Tensor([1.0], shape: [1])
        let error = #expect(throws: ZooError.self) {
            try TaskVectorDifference(base: base, fineTuned: tuned, names: ("base", "tuned"))
        }
        let text = error?.description ?? ""
        for part in ["'a' has shape [3], expected [2]", "'only'", "'extra'", "--ignore-extra"] {
            #expect(text.contains(part), "\(text) lacks \(part)")
        }
        tuned["a"] = Tensor([2.0, 2], shape: [2])
        var options = TaskVectorDifference.Options()
        options.ignoresExtra = true
        options.ignoresMissing = true
        let vector = try TaskVectorDifference(base: base, fineTuned: tuned, names: ("base", "tuned"), options: options)
        // Integers are no part of a vector.
        #expect(vector.tensorInfos.map(\.name) == ["a"])
        let operand = try TaskOperand("t", .vector(vector), base: base.tensorInfos)
        let applied = DisplacedModel(base: base, operands: [operand], scales: [2])
        #expect(try applied.tensor(named: "a").doubles() == [3, 2])
        #expect(try applied.tensor(named: "n").doubles() == [3] && applied.tensor(named: "only").doubles() == [1])
    }

    @Test func narrowVectorsThatOverflowAreRefused() throws {
        var base = StateDict(), tuned = StateDict()
        base["w"] = Tensor([0.0, 0], shape: [2])
        tuned["w"] = Tensor([1e5, 1], shape: [2])
        var options = TaskVectorDifference.Options()
        options.dtype = .float16
        let vector = try TaskVectorDifference(base: base, fineTuned: tuned, names: ("b", "t"), options: options)
        #expect(throws: ZooError.self) { try vector.tensor(named: "w") }
    }

    @Test func namePatterns() {
        #expect(NamePattern.matches("classifier*", "classifier.weight"))
        #expect(NamePattern.matches("*.bias", "a.b.bias") && !NamePattern.matches("*.bias", "a.biases"))
        #expect(NamePattern.matches("a*b*c", "a12b3c") && !NamePattern.matches("a*b*c", "a12c"))
        #expect(NamePattern.matches("fc", "fc") && !NamePattern.matches("fc", "fc1"))
    }

    @Test func normsAndCosines() throws {
        let golden = try TaskZoo.golden("zoo_c_task_arithmetic")["vectors"]
        let names = (golden?["order"]?.array ?? []).compactMap(\.string)
        let geometry = try VectorGeometry(base: TaskZoo.base(), operands: TaskZoo.operands(names))
        for (found, expected) in zip(geometry.norms, numbers(golden?["norm"])) {
            #expect(abs(found - expected) < 1e-9 * expected)
        }
        let rows = golden?["cosine"]?.array ?? []
        #expect(rows.count == 9)
        for (found, row) in zip(geometry.cosines, rows) {
            #expect(largestDifference(found, numbers(row)) < 1e-9)
        }
    }

    @Test(arguments: ["four", "eight", "mirror_shift_noise_occlude"])
    func scalingGrids(_ key: String) throws {
        let golden = try #require(TaskZoo.golden("zoo_c_task_arithmetic")[key])
        let names = (golden["tasks"]?.array ?? []).compactMap(\.string)
        let base = try TaskZoo.base(), operands = try TaskZoo.operands(names)
        let grid = golden["grid"]?.array ?? []
        #expect(grid.count == 21)
        var means: [Double] = []
        var found: [String: [Double]] = [:]
        for split in ["val", "test"] {
            for name in names {
                let evaluator = try Evaluator(
                    TaskZoo.graph, tensors: base.tensorInfos, samples: TaskZoo.samples(name, split))
                found["\(split).\(name)"] = try evaluator.evaluate(count: 21, jobs: 1) { place in
                    DisplacedModel(
                        base: base, operands: operands,
                        scales: [Double](repeating: ScalingSearch.grid[place], count: names.count))
                }.map { try $0.get().accuracy }
            }
        }
        for (place, row) in grid.enumerated() {
            #expect(abs((row["scale"]?.double ?? -1) - ScalingSearch.grid[place]) < 1e-12)
            for split in ["val", "test"] {
                for name in names {
                    let expected = row[split]?[name]?.double ?? -1
                    #expect(
                        abs((found["\(split).\(name)"]?[place] ?? 0) - expected) < 1e-9, "\(place) \(split) \(name)")
                }
            }
            means.append(names.reduce(0) { $0 + (found["val.\($1)"]?[place] ?? 0) } / Double(names.count))
        }
        let best = try #require(ScalingSearch.best(means))
        #expect(ScalingSearch.grid[best] == golden["best_scale"]?.double)
    }

    @Test func negation() throws {
        let golden = try TaskZoo.golden("zoo_c_task_arithmetic")["negation_subset"]?.array ?? []
        #expect(golden.count == 21)
        let base = try TaskZoo.base(), operands = try TaskZoo.operands(["subset"])
        let data = try TaskZoo.open("data/zoo_c_data.safetensors")
        let others = try Samples(
            inputs: data.tensor(named: "subset.x_test_b"), labels: data.tensor(named: "subset.y_test_b"))
        for (key, samples) in [
            ("subset_test_acc", try TaskZoo.samples("subset", "test")), ("classes_5_9_test_acc", others),
        ] {
            let evaluator = try Evaluator(TaskZoo.graph, tensors: base.tensorInfos, samples: samples)
            let found = try evaluator.evaluate(count: 21, jobs: 1) { place in
                DisplacedModel(base: base, operands: operands, scales: [golden[place]["scale"]?.double ?? 0])
            }
            for (row, result) in zip(golden, found) {
                #expect(abs(try result.get().accuracy - (row[key]?.double ?? -1)) < 1e-9)
            }
        }
    }
}
