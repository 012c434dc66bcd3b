import Testing
import ZooBase
import ZooMerge
import ZooNN
import ZooTensor
import ZooTestSupport

/// Fisher, RegMean and AdaMerging against closed forms, PyTorch and finite differences.
@Suite struct DataDrivenTests {
    private func state(_ values: [Double]) -> StateDict {
        var state = StateDict()
        state["p"] = Tensor(values, shape: [values.count])
        state["n"] = Tensor([7] as [Int64], shape: [1])
        return state
    }

    private func fisher(_ values: [Double]) -> StateDict {
        var state = StateDict()
        state["p"] = Tensor(values, shape: [values.count])
        return state
    }

    @Test func fisherMergeInClosedForm() throws {
        let models = [state([1, 2, 3]), state([5, 6, -2])], fishers = [fisher([1, 0, 4]), fisher([3, 0, 1])]
        func merged(_ options: FisherMerge.Options) throws -> [Double] {
            try FisherMerge.merge(models, fishers: fishers, options: options).tensor(named: "p").doubles()
        }
        func near(_ found: [Double], _ expected: [Double], _ tolerance: Double) -> Bool {
            zip(found, expected).allSatisfy { abs($0 - $1) < tolerance }
        }
        var options = FisherMerge.Options()
        #expect(near(try merged(options), [4, 4, 2], 2e-6))
        options.floorRule = .added
        #expect(near(try merged(options), [4, 4, 2], 5e-6))
        options.normalised = true
        #expect(near(try merged(options), [4.1855879, 4.2637686, 1.7708518], 2e-6))
        options = .init()
        options.favoursFirst = true
        #expect(near(try merged(options), [4, 2, 2], 2e-6))
        options = .init()
        options.weights = [3, 1]
        #expect(near(try merged(options), [3, 3, (12 * 3 - 2) / 13.0], 1e-5))
        let whole = try FisherMerge.merge(models, fishers: fishers)
        #expect(try whole.tensor(named: "n").doubles() == [7])
        #expect(throws: ZooError.self) { try FisherMerge.merge(models, fishers: [fishers[0]]) }
        #expect(throws: ZooError.self) { try FisherMerge.merge(models, fishers: [fishers[0], fisher([1, 2])]) }
    }

    @Test(arguments: FisherInformation.Kind.allCases)
    func theFisherIsPyTorchs(_ kind: FisherInformation.Kind) throws {
        let network = try SampleNetworks.task("pretrained.safetensors")
        let samples = try SampleNetworks.samples("digits-tasks/data/zoo_c_data.safetensors", "clean.val").prefix(24)
        let found = try FisherInformation(network.graph, network.state, samples: samples, kind: kind, jobs: 2)
        let one = try FisherInformation(network.graph, network.state, samples: samples, kind: kind)
        let json = try JSONParser.parse(Bytes(mapping: Repository.path("Tests/ZooMergeTests/Fixtures/fisher.json")))
        let expected = try #require(json[kind.rawValue]?.object)
        #expect(Set(found.diagonal.names) == Set(expected.map(\.key)))
        for (name, summary) in expected {
            let tensor = try found.diagonal.tensor(named: name)
            #expect(tensor.isIdentical(to: try one.diagonal.tensor(named: name)))
            let values = tensor.doubles()
            let sum = summary["sum"]?.double ?? .nan, norm = summary["norm"]?.double ?? .nan
            #expect(abs(values.reduce(0, +) - sum) <= 2e-4 * sum, "\(name)")
            #expect(abs(values.reduce(0) { $0 + $1 * $1 }.squareRoot() - norm) <= 2e-4 * norm, "\(name)")
            for (value, wanted) in zip(values, summary["first"]?.array?.compactMap(\.double) ?? []) {
                #expect(abs(value - wanted) <= 1e-3 * abs(wanted) + 1e-7 * norm, "\(name)")
            }
        }
    }

    private func matrix(_ name: String, _ values: [Double], _ shape: Shape) -> StateDict {
        var state = StateDict()
        state[name] = Tensor(values, shape: shape)
        return state
    }

    @Test func regMeanInClosedForm() throws {
        let grams = [[2.0, 1, 1, 2], [4.0, 0, 0, 1]].map {
            GramMatrices(grams: ["w": .init(values: $0, size: 2, rows: 1)])
        }
        let models = [matrix("w", [1, 2], [1, 2]), matrix("w", [3, 0], [1, 2])]
        for (alpha, expected) in [
            (1.0, [2.5294118, 0.8235294]), (0.9, [2.5008726, 0.8830716]), (0, [2.3333333, 1.3333333]),
        ] {
            var options = RegMean.Options()
            options.alpha = alpha
            let merged = try RegMean(models, grams: grams, options: options)
            for (x, y) in zip(try merged.state.tensor(named: "w").doubles(), expected) { #expect(abs(x - y) < 1e-6) }
            #expect(merged.ridges["w"] == 0)
        }
        var options = RegMean.Options()
        options.excluded = ["w"]
        #expect(try RegMean(models, grams: grams, options: options).state.tensor(named: "w").doubles() == [2, 1])
    }

    @Test func featuresWithoutDataKeepTheMean() throws {
        let gram = GramMatrices(grams: ["w": .init(values: [1, 0, 0, 0], size: 2, rows: 1)])
        let models = [matrix("w", [1, 2], [1, 2]), matrix("w", [3, 6], [1, 2])]
        let merged = try RegMean(models, grams: [gram, gram])
        let values = try merged.state.tensor(named: "w").doubles()
        #expect(abs(values[0] - 2) < 1e-5 && abs(values[1] - 4) < 1e-5)
        #expect((merged.ridges["w"] ?? 0) > 0)
    }

    @Test func gramMatricesOfLinearLayersAndConvolutions() throws {
        let network = try SampleNetworks.task("pretrained.safetensors")
        let samples = try SampleNetworks.samples("digits-tasks/data/zoo_c_data.safetensors", "clean.val").prefix(20)
        let grams = try GramMatrices(network.graph, network.state, samples: samples).grams
        // The first convolution reads the images: 3 × 3 patches with padding 1.
        let first = try #require(grams["encoder.conv1.weight"])
        #expect(first.size == 9 && first.rows == 20 * 64)
        var expected = [Double](repeating: 0, count: 81)
        for sample in 0..<20 {
            for y in 0..<8 {
                for x in 0..<8 {
                    let patch = (0..<9).map { tap -> Double in
                        let (r, c) = (y + tap / 3 - 1, x + tap % 3 - 1)
                        guard (0..<8).contains(r), (0..<8).contains(c) else { return 0 }
                        return Double(samples.inputs[sample * 64 + r * 8 + c])
                    }
                    for i in 0..<9 { for j in 0..<9 { expected[i * 9 + j] += patch[i] * patch[j] / 1280 } }
                }
            }
        }
        for (x, y) in zip(first.values, expected) { #expect(abs(x - y) < 1e-9) }
        // W G Wᵀ is the second moment of the outputs: for a model merged with itself nothing changes.
        let merged = try RegMean(
            [network.state, network.state],
            grams: [GramMatrices(grams: grams), GramMatrices(grams: grams)])
        for info in network.state.tensorInfos {
            let x = try merged.state.tensor(named: info.name).doubles()
            for (u, v) in zip(x, try network.state.tensor(named: info.name).doubles()) { #expect(abs(u - v) < 1e-4) }
        }
    }

    @Test(arguments: AdaMerging.Granularity.allCases)
    func theCoefficientGradientIsThatOfFiniteDifferences(_ granularity: AdaMerging.Granularity) throws {
        let base = try SampleNetworks.task("pretrained.safetensors")
        let data = "digits-tasks/data/zoo_c_data.safetensors"
        let tasks: [(model: any TensorSource, samples: Samples)] = try ["rot90", "invert"].map {
            (try SampleNetworks.task("tasks/\($0).safetensors").state, try SampleNetworks.samples(data, "\($0).val"))
        }
        let problem = try EntropyProblem(base.graph, base.state, tasks, granularity, batch: 16)
        let count = problem.rowNames.count * 2
        var generator = SeededGenerator(seed: 3)
        let values = (0..<count).map { _ in Double.random(in: 0.2...0.6, using: &generator) }
        let batches = [[Array(0..<16), Array(16..<32)], [Array(0..<16), Array(5..<12)]]
        let (_, gradient) = try problem.loss(values, batches: batches)
        let scale = gradient.map(\.magnitude).max() ?? 0
        for place in 0..<count {
            var up = values, down = values
            up[place] += 2e-3
            down[place] -= 2e-3
            let slope =
                (try problem.loss(up, batches: batches).loss - problem.loss(down, batches: batches).loss) / 4e-3
            #expect(abs(slope - gradient[place]) < 0.02 * scale, "\(place): \(slope), \(gradient[place])")
        }
        var outside = values
        outside[0] = 1.2
        #expect(try problem.loss(outside, batches: batches).gradient[0] == 0)
    }

    /// Step by step the coefficients that PyTorch learns in float64 from the same batches, down to a task that collapses into
    /// one class (Fixtures/make_adamerging.py): what entropy does to tasks this far from the base, not a fault.
    @Test func adaMergingIsPyTorchs() throws {
        let json = try JSONParser.parse(Bytes(mapping: Repository.path("Tests/ZooMergeTests/Fixtures/adamerging.json")))
        let base = try SampleNetworks.task("pretrained.safetensors")
        let data = "digits-tasks/data/zoo_c_data.safetensors"
        let tasks: [(model: any TensorSource, samples: Samples)] = try ["rot90", "invert"].map {
            (try SampleNetworks.task("tasks/\($0).safetensors").state, try SampleNetworks.samples(data, "\($0).val"))
        }
        let problem = try EntropyProblem(base.graph, base.state, tasks, .layer, batch: 16)
        let rows = json["names"]?.array?.compactMap(\.string) ?? []
        #expect(!rows.isEmpty)
        var values = [Double](repeating: 0.3, count: problem.rowNames.count * 2)
        var optimiser = AdamW(rate: 1e-3)
        let reported = [1, 2, 5, 20, 100, 500]
        for step in 0..<500 {
            let batches = tasks.enumerated().map { task, value in
                (0..<2).map { batch in
                    (0..<16).map { (37 * step + 16 * batch + 5 * $0 + 11 * task) % value.samples.count }
                }
            }
            let (loss, gradient) = try problem.loss(values, batches: batches)
            optimiser.step(&values, gradient: gradient)
            guard let place = reported.firstIndex(of: step + 1) else { continue }
            let wanted = try #require(json["losses"]?.array?[place].double)
            #expect(abs(loss - wanted) < 1e-3 * wanted, "step \(step + 1)")
            let table = try #require(json["coefficients"]?["\(step + 1)"]?.array)
            for (row, name) in problem.rowNames.enumerated() {
                let there = try #require(rows.firstIndex(of: name))
                for task in 0..<2 {
                    let expected = try #require(table[there].array?[task].double)
                    #expect(abs(values[row * 2 + task] - expected) < (step < 20 ? 1e-5 : 2e-3), "\(name) \(step + 1)")
                }
            }
        }
        let counts = try problem.predictions(values)
        let expected = try #require(json["predictions"]?.array).map { $0.array?.compactMap(\.int) ?? [] }
        for (mine, theirs) in zip(counts, expected) {
            #expect(zip(mine, theirs).allSatisfy { abs($0 - $1) <= 2 }, "\(mine), \(theirs)")
        }
    }

    @Test func adaMergingLowersTheEntropy() throws {
        let base = try SampleNetworks.task("pretrained.safetensors")
        let data = "digits-tasks/data/zoo_c_data.safetensors"
        let tasks: [(model: any TensorSource, samples: Samples)] = try ["rot90", "invert"].map {
            (try SampleNetworks.task("tasks/\($0).safetensors").state, try SampleNetworks.samples(data, "\($0).val"))
        }
        var options = AdaMerging.Options()
        options.steps = 60
        options.rate = 1e-2
        let merged = try AdaMerging(base.graph, base: base.state, tasks: tasks, options: options)
        let first = merged.losses.prefix(10).reduce(0, +), last = merged.losses.suffix(10).reduce(0, +)
        #expect(last < first)
        #expect(merged.coefficients.count == merged.rowNames.count && merged.coefficients.allSatisfy { $0.count == 2 })
        #expect(merged.predictions.map { $0.reduce(0, +) } == tasks.map(\.samples.count))
        #expect(merged.startPredictions.map { $0.reduce(0, +) } == tasks.map(\.samples.count))
        #expect(merged.collapsedTasks.allSatisfy { merged.predictions[$0].max() ?? 0 > 75 })
        let again = try AdaMerging(base.graph, base: base.state, tasks: tasks, options: options)
        #expect(again.coefficients == merged.coefficients)
    }
}
