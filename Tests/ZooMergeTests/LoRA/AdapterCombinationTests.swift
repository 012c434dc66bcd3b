import Testing
import ZooBase
import ZooFormats
import ZooMerge
import ZooTensor
import ZooTestSupport

/// Combinations of adapters against PEFT's `add_weighted_adapter` (ZooFormatsTests/Fixtures/adapters/make_adapters.py).
@Suite struct AdapterCombinationTests {
    private static let folder = Repository.path("Tests/ZooFormatsTests/Fixtures/adapters/pair")

    private static func adapters() throws -> [Adapter] {
        try ["first", "second"].map { try Adapter.open("\(folder)/\($0)") }
    }

    private static let cases: [(name: String, kind: AdapterCombination.Kind, density: Double, rank: Int?)] = [
        ("cat", .cat, 1, nil), ("linear", .linear, 1, nil), ("svd", .svd, 1, 3), ("ties", .ties, 0.6, nil),
        ("ties-frequency", .ties, 0.6, nil), ("magnitude_prune", .magnitudePrune, 0.4, nil),
        ("ties_svd", .tiesSVD, 0.5, 2), ("magnitude_prune_svd", .magnitudePruneSVD, 0.5, nil),
    ]

    private func change(_ source: some TensorSource, _ module: String, _ prefix: String = "") throws -> [Double] {
        let isEmbedding = source.tensorInfos.contains {
            $0.name == "\(prefix)base_model.model.\(module).lora_embedding_A"
        }
        let ending = isEmbedding ? ("lora_embedding_A", "lora_embedding_B") : ("lora_A.weight", "lora_B.weight")
        let a = try source.tensor(named: "\(prefix)base_model.model.\(module).\(ending.0)")
        let b = try source.tensor(named: "\(prefix)base_model.model.\(module).\(ending.1)")
        return try LinearAlgebra.product(
            b.doubles(), a.doubles(), rows: b.shape[0], columns: a.elementCount / a.shape[0], depth: a.shape[0])
    }

    @Test(arguments: cases.indices) func combinesAsPEFTDoes(_ index: Int) throws {
        let (name, kind, density, rank) = Self.cases[index]
        var options = AdapterCombination.Options(weights: [0.7, -0.4])
        options.density = density
        options.rank = rank
        options.electsByCount = name.hasSuffix("frequency")
        let found = try AdapterCombination(Self.adapters(), names: ["first", "second"], kind: kind, options: options)
        let expected = try CheckpointFile.open("\(Self.folder)/combined.safetensors").source
        #expect(Set(found.ranks.keys) == ["block.q", "block.k", "block.down", "conv", "embed"])
        for module in found.ranks.keys {
            let mine = try change(found.adapter.state, module), peft = try change(expected, module, name + "/")
            #expect(largestDifference(mine, peft) <= 1e-6, "\(module)")
            #expect(mine.contains { abs($0) > 1e-3 })
        }
        // What was written can be read, with scaling 1.
        let again = try Adapter(config: AdapterConfig(found.adapter.config), weights: found.adapter.state)
        #expect(again.modules.allSatisfy { $0.scaling == 1 && $0.rank == found.ranks[$0.name] })
    }

    /// Clamping bounds what the decomposition gives, by the quantile of the values of both matrices together. (Signs of
    /// singular vectors are not defined, so PEFT's own bound is not either.)
    @Test func clampsAtTheQuantile() throws {
        var options = AdapterCombination.Options(weights: [0.7, -0.4])
        options.rank = 3
        let names = ["first", "second"]
        let free = try AdapterCombination(Self.adapters(), names: names, kind: .svd, options: options)
        options.clamp = 0.9
        let cut = try AdapterCombination(Self.adapters(), names: names, kind: .svd, options: options)
        for name in ["lora_A.weight", "lora_B.weight"].map({ "base_model.model.block.q." + $0 }) {
            let values = ["A", "B"].flatMap {
                (try? free.adapter.state.tensor(named: "base_model.model.block.q.lora_\($0).weight").doubles()) ?? []
            }.sorted()
            let place = 0.9 * Double(values.count - 1), below = Int(place)
            let bound = values[below] + (place - Double(below)) * (values[below + 1] - values[below])
            let expected = try free.adapter.state.tensor(named: name).doubles().map { min(max($0, -bound), bound) }
            #expect(largestDifference(try cut.adapter.state.tensor(named: name).doubles(), expected) < 1e-6)
        }
    }

    /// Random pruning keeps about its share, keeps the expectation, and depends on the seed alone.
    @Test func droppingIsSeeded() throws {
        var options = AdapterCombination.Options(weights: [1, 1])
        options.density = 0.5
        let names = ["first", "second"]
        func values(_ seed: UInt64, _ jobs: Int) throws -> [Double] {
            options.seed = seed
            options.jobs = jobs
            let found = try AdapterCombination(Self.adapters(), names: names, kind: .dareLinear, options: options)
            return try found.adapter.state.tensor(named: "base_model.model.block.down.lora_A.weight").doubles()
        }
        let one = try values(1, 1)
        #expect(try values(1, 4) == one)
        #expect(try values(2, 1) != one)
        // The module is the first adapter's alone: each value is dropped, or √(w s)·a/density.
        let first = try Self.adapters()[0]
        let a = try first.weights.tensor(named: "base_model.model.block.down.lora_A.weight").doubles()
        let factor = (4.0 / 3).squareRoot() / 0.5
        #expect(zip(one, a).allSatisfy { $0 == 0 || abs($0 - factor * $1) < 1e-6 })
        #expect(one.contains(0) && one.contains { $0 != 0 })
    }

    @Test func whatCannotBeAddedIsRefused() throws {
        let first = try Adapter.open("\(Self.folder)/first")
        let dora = try Adapter.open(Repository.path("Tests/ZooFormatsTests/Fixtures/adapters/dora"))
        let saved = try Adapter.open(Repository.path("Tests/ZooFormatsTests/Fixtures/adapters/saved"))
        let options = AdapterCombination.Options(weights: [1, 1])
        for pair in [[first, dora], [saved, saved]] {
            #expect(throws: ZooError.self) {
                try AdapterCombination(pair, names: ["x", "y"], kind: .cat, options: options)
            }
        }
        // Ranks 3 and 2.
        let plain = try Adapter.open(Repository.path("Tests/ZooFormatsTests/Fixtures/adapters/plain"))
        #expect(throws: ZooError.self) {
            try AdapterCombination([first, plain], names: ["x", "y"], kind: .linear, options: options)
        }
        #expect(throws: Never.self) {
            try AdapterCombination([first, plain], names: ["x", "y"], kind: .cat, options: options)
        }
    }
}
