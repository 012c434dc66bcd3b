import Testing
import ZooBase
import ZooMerge
import ZooTensor
import ZooTestSupport

/// Laws of extracting adapters.
@Suite struct AdapterExtractionTests {
    private static let shapes: [(String, Shape)] = [
        ("model.embed_tokens.weight", [50, 24]), ("model.layers.0.q_proj.weight", [32, 24]),
        ("model.layers.0.q_proj.bias", [32]), ("model.layers.0.o_proj.weight", [24, 32]),
        ("model.layers.0.o_proj.bias", [24]), ("model.layers.0.conv.weight", [6, 4, 3, 3]),
        ("model.layers.0.conv.bias", [6]), ("model.layers.0.norm.weight", [24]), ("lm_head.weight", [50, 24]),
        ("lm_head.bias", [50]),
    ]

    private func model(_ seed: UInt64, plus other: StateDict? = nil, scale: Double = 1) -> StateDict {
        var state = StateDict()
        for (place, (name, shape)) in Self.shapes.enumerated() {
            let values = noise(seed &* 100 &+ UInt64(place), shape.elementCount, scale: scale)
            let old = other?[name]?.doubles() ?? [Double](repeating: 0, count: values.count)
            state[name] = Tensor(zip(values, old).map { $0 + $1 }, shape: shape)
        }
        return state
    }

    private func options(_ change: (inout AdapterExtraction.Options) -> Void = { _ in }) -> AdapterExtraction.Options {
        var options = AdapterExtraction.Options()
        options.dtype = .float64
        change(&options)
        return options
    }

    private func merged(_ base: StateDict, _ found: AdapterExtraction) throws -> AdaptedSource {
        let adapter = try Adapter(config: AdapterConfig(found.adapter.config), weights: found.adapter.state)
        return try AdaptedSource(base: base, adapter: adapter)
    }

    @Test(arguments: [true, false], [true, false])
    func fullRankGivesTheFineTunedModelBack(_ distributes: Bool, _ embeds: Bool) throws {
        let base = model(1), tuned = model(2, plus: base, scale: 0.1)
        let found = try AdapterExtraction(
            tuned: tuned, base: base, baseName: "base",
            options: options {
                $0.distributesScale = distributes
                $0.adaptsEmbeddings = embeds
            })
        let again = try merged(base, found)
        for (name, _) in Self.shapes {
            let distance = largestDifference(
                try again.tensor(named: name).doubles(), try tuned.tensor(named: name).doubles())
            #expect(distance < 1e-12, "\(name)")
        }
        #expect(found.modules.allSatisfy { $0.isExact && $0.relativeError < 1e-12 })
        let whole = embeds ? ["model.layers.0.norm"] : ["lm_head", "model.embed_tokens", "model.layers.0.norm"]
        #expect(found.saved == whole)
        #expect(found.adapter.config["modules_to_save"]?.array?.compactMap(\.string) == whole)
    }

    /// The error of a truncation is that of the singular values left out.
    @Test func theErrorIsThatOfTheSingularValuesLeftOut() throws {
        let base = model(1), tuned = model(2, plus: base, scale: 0.1)
        let found = try AdapterExtraction(
            tuned: tuned, base: base, baseName: "base", options: options { $0.rank = 5 })
        let again = try merged(base, found)
        for module in found.modules {
            let name = module.name + ".weight"
            let x = try again.tensor(named: name).doubles(), y = try tuned.tensor(named: name).doubles()
            let error = zip(x, y).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
            let old = try base.tensor(named: name)
            let (rows, columns) = (old.shape[0], old.elementCount / old.shape[0])
            let sigma = try LinearAlgebra.singularValueDecomposition(
                zip(y, old.doubles()).map { $0 - $1 }, rows: rows, columns: columns
            ).values
            let left = sigma.dropFirst(5).reduce(0) { $0 + $1 * $1 }
            #expect(module.rank == 5 && abs(error / left - 1) < 1e-9 && abs(module.squaredError / left - 1) < 1e-9)
        }
        #expect(!found.modules.isEmpty)
    }

    /// Rank 2 plus little noise: the randomised decomposition finds nearly the same subspace and knows its error.
    @Test func theRandomisedDecompositionIsNearlyTheBest() throws {
        let rows = 200, columns = 240
        let left = noise(5, rows * 4), right = noise(6, 4 * columns), rest = noise(7, rows * columns, scale: 0.01)
        let change = zip(try LinearAlgebra.product(left, right, rows: rows, columns: columns, depth: 4), rest).map {
            $0 + $1
        }
        var base = StateDict(), tuned = StateDict()
        base["w.weight"] = Tensor([Double](repeating: 0, count: rows * columns), shape: [rows, columns])
        tuned["w.weight"] = Tensor(change, shape: [rows, columns])
        let quick = try AdapterExtraction(
            tuned: tuned, base: base, baseName: "b", options: options { $0.rank = 6 })
        let exact = try AdapterExtraction(
            tuned: tuned, base: base, baseName: "b",
            options: options {
                $0.rank = 6
                $0.isExact = true
            })
        #expect(quick.modules[0].isExact == false && exact.modules[0].isExact)
        #expect(quick.modules[0].squaredError >= exact.modules[0].squaredError * (1 - 1e-9))
        #expect(quick.modules[0].squaredError <= exact.modules[0].squaredError * 1.02)
        let values = try merged(base, quick).tensor(named: "w.weight").doubles()
        let error = zip(values, change).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
        #expect(abs(error / quick.modules[0].squaredError - 1) < 1e-6)
    }

    @Test func smallSingularValuesAreLeftOut() throws {
        var base = StateDict(), tuned = StateDict()
        base["x.a.weight"] = Tensor([Double](repeating: 0, count: 9), shape: [3, 3])
        tuned["x.a.weight"] = Tensor([3, 0, 0, 0, 0.5, 0, 0, 0, 0.01] as [Double], shape: [3, 3])
        base["x.b.weight"] = base["x.a.weight"]
        tuned["x.b.weight"] = Tensor([3, 0, 0, 0, 0, 0, 0, 0, 0] as [Double], shape: [3, 3])
        let found = try AdapterExtraction(
            tuned: tuned, base: base, baseName: "b", options: options { $0.svEpsilon = 0.1 })
        #expect(found.modules.map(\.rank) == [2, 1])
        let config = found.adapter.config
        #expect(config["r"]?.int == 2 && config["lora_alpha"]?.int == 2)
        #expect(config["rank_pattern"]?["x.b"]?.int == 1 && config["alpha_pattern"]?["x.b"]?.int == 1)
        #expect(config["target_modules"]?.array?.compactMap(\.string) == ["a", "b"])
    }

    @Test func namesPickModules() throws {
        let base = model(1), tuned = model(2, plus: base, scale: 0.1)
        func extract(_ change: (inout AdapterExtraction.Options) -> Void) throws -> AdapterExtraction {
            try AdapterExtraction(tuned: tuned, base: base, baseName: "b", options: options(change))
        }
        let only = try extract { $0.included = ["q_proj|conv$"] }
        #expect(only.modules.map(\.name) == ["model.layers.0.conv", "model.layers.0.q_proj"])
        #expect(only.saved.isEmpty && only.skipped.count == 4)
        let without = try extract {
            $0.excluded = ["^lm_", "embed"]
            $0.skipsUndecomposable = true
        }
        #expect(
            without.modules.count == 3 && without.skipped == ["lm_head", "model.embed_tokens", "model.layers.0.norm"])
        let whole = try extract { $0.saved = ["o_proj"] }
        #expect(
            whole.saved.contains("model.layers.0.o_proj")
                && !whole.modules.map(\.name).contains("model.layers.0.o_proj"))
        #expect(throws: ZooError.self) { try extract { $0.included = ["("] } }
        #expect(throws: ZooError.self) { try extract { $0.included = ["nothing"] } }
        #expect(throws: ZooError.self) {
            try AdapterExtraction(tuned: base, base: base, baseName: "b", options: options())
        }
    }

    /// Biases go to lora_B where all modules have one, whole otherwise.
    @Test func biasesComeAlong() throws {
        let base = model(1), tuned = model(2, plus: base, scale: 0.1)
        let all = try AdapterExtraction(tuned: tuned, base: base, baseName: "b", options: options())
        #expect(all.adapter.config["lora_bias"]?.bool == true)
        #expect(all.adapter.state.names.contains("base_model.model.model.layers.0.q_proj.lora_B.bias"))
        var lessBase = StateDict(), lessTuned = StateDict()
        for (name, _) in Self.shapes where !name.hasSuffix("o_proj.bias") {
            lessBase[name] = base[name]
            lessTuned[name] = tuned[name]
        }
        let some = try AdapterExtraction(tuned: lessTuned, base: lessBase, baseName: "b", options: options())
        #expect(some.adapter.config["bias"]?.string == "all" && some.adapter.config["lora_bias"] == nil)
        #expect(some.adapter.state.names.contains("base_model.model.model.layers.0.q_proj.base_layer.bias"))
        let again = try merged(lessBase, some)
        #expect(
            largestDifference(
                try again.tensor(named: "model.layers.0.q_proj.bias").doubles(),
                try lessTuned.tensor(named: "model.layers.0.q_proj.bias").doubles()) < 1e-12)
    }

    @Test func resizedVocabulariesAreStoredWhole() throws {
        let base = model(1)
        var tuned = model(2, plus: base, scale: 0.1)
        tuned["model.embed_tokens.weight"] = Tensor(noise(9, 52 * 24), shape: [52, 24])
        let found = try AdapterExtraction(
            tuned: tuned, base: base, baseName: "b", options: options { $0.adaptsEmbeddings = true })
        #expect(found.saved.contains("model.embed_tokens") && found.notes.count == 1)
        #expect(try merged(base, found).replacedVocabulary == 52)
        tuned["model.layers.0.q_proj.weight"] = Tensor(noise(9, 32 * 25), shape: [32, 25])
        #expect(throws: ZooError.self) {
            try AdapterExtraction(tuned: tuned, base: base, baseName: "b", options: options())
        }
    }
}
