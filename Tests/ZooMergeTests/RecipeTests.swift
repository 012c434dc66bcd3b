import Testing
import ZooBase
import ZooMerge
import ZooTensor
import ZooTestSupport

/// Recipes as mergekit writes them, and everything that can be wrong with one.
@Suite struct RecipeTests {
    private func layers(_ seed: UInt64, _ count: Int, head: Bool = true, rows: Int = 6) -> StateDict {
        var state = StateDict()
        state["model.embed_tokens.weight"] = Tensor(noise(seed, rows * 4), shape: [rows, 4])
        for layer in 0..<count {
            state["model.layers.\(layer).mlp.up_proj.weight"] = Tensor(noise(seed + 10, 16), shape: [4, 4])
            state["model.layers.\(layer).self_attn.o_proj.weight"] = Tensor(noise(seed + 20, 16), shape: [4, 4])
        }
        state["model.norm.weight"] = Tensor(noise(seed + 30, 4), shape: [4])
        if head { state["lm_head.weight"] = Tensor(noise(seed + 40, rows * 4), shape: [rows, 4]) }
        return state
    }

    private var kitchen: Kitchen {
        let config = JSONObject([
            ("model_type", "llama"), ("num_hidden_layers", 4), ("torch_dtype", "float32"),
            ("layer_types", ["a", "b", "c", "d"]), ("tie_word_embeddings", true),
        ])
        return Kitchen(
            models: [
                "A": layers(1, 4), "B": layers(2, 4), "short": layers(3, 3), "tied": layers(4, 4, head: false),
                "wide": layers(5, 4, rows: 8),
            ],
            configs: ["A": config, "B": config, "short": config, "tied": config, "wide": config])
    }

    @Test func everythingWrongIsSaidTogether() throws {
        let text = """
            merge_method: dare-ties
            models:
            - model: A
              parameters: {weight: [], density: [1, x]}
            - modle: B
            slices: []
            dtype: floot32
            """
        let error = #expect(throws: ZooError.self) { try Recipe(text: text, file: "r.yaml") }
        for part in [
            "did you mean 'dare_ties'?", "'weight' is an empty list", "no number", "'model' is missing",
            "only one of", "'floot32' is no floating-point type", "r.yaml:1:", "r.yaml:7:",
        ] { #expect(error?.message.contains(part) == true, "\(part): \(error?.message ?? "")") }
        #expect(throws: ZooError.self) { try Recipe(text: "a: [", file: "r.yaml") }
        #expect(throws: ZooError.self) { try Recipe(text: "", file: "r.yaml") }
        #expect(throws: ZooError.self) { try Recipe(text: "- 1", file: "r.yaml") }
        #expect(throws: ZooError.self) { try Recipe(text: String(repeating: "[", count: 900), file: "r.yaml") }
    }

    @Test func unknownKeysAreWarnedOf() throws {
        let plan = try kitchen.plan(
            recipe("linear", [("A", "weight: 1"), ("B", "weight: 1, wieght: 2")], more: "out_dytpe: float16\n"))
        #expect(plan.problems.isEmpty)
        #expect(plan.warnings.contains { $0.contains("'wieght'") && $0.contains("did you mean 'weight'?") })
        #expect(plan.warnings.contains { $0.contains("'out_dytpe'") && $0.contains("did you mean 'out_dtype'?") })
    }

    @Test func numbersMayBeTextsAndConditionsMayStandAlone() throws {
        let text = recipe(
            "task_arithmetic", [("A", "weight: \"1e-1\""), ("B", "weight: {filter: mlp, value: 0.5}")], base: "tied",
            parameters: "weight: [{filter: norm, value: 3}, {value: [0, 1]}], normalize: no")
        let plan = try kitchen.plan(text)
        #expect(plan.problems.isEmpty, "\(plan.problems)")
        func weight(_ name: String) -> Double? {
            plan.tensors.first { $0.call.info.name == name }?.call.members[1].parameters.number("weight")
        }
        #expect(plan.tensors[0].call.members[0].parameters.number("weight") == 0.1)
        #expect(weight("model.layers.2.mlp.up_proj.weight") == 0.5)
        #expect(weight("model.norm.weight") == 3)
        // No condition of the source matches: the recipe's last one, a gradient over four layers.
        #expect((weight("model.layers.1.self_attn.o_proj.weight") ?? 0) - 1.0 / 3 < 1e-12)
        #expect(weight("model.layers.3.self_attn.o_proj.weight") == 1)
        #expect(weight("lm_head.weight") == 0)
    }

    @Test func misfitsAreReportedTogether() throws {
        let plan = try kitchen.plan(
            recipe("linear", [("A", "weight: 1"), ("short", "weight: 1"), ("wide", "weight: 1")]))
        #expect(plan.problems.contains { $0.contains("different numbers of layers") && $0.contains("short 3") })
        #expect(
            plan.problems.contains {
                $0.contains("'model.embed_tokens.weight'") && $0.contains("--truncate-embeddings")
            })
        #expect(throws: ZooError.self) { try MergedModel(plan) }
        let missing = try kitchen.plan(recipe("linear", [("A", "weight: 1"), ("nobody", "weight: 1")]))
        #expect(missing.problems.contains { $0.contains("no model 'nobody'") })
        let none = try kitchen.plan(recipe("ties", [("A", ""), ("B", "")], base: "tied"))
        #expect(none.problems.contains { $0.contains("parameter 'weight' of A is missing") })
        let baseless = try kitchen.plan(recipe("ties", [("A", "weight: 1")]))
        #expect(baseless.problems.contains { $0.contains("needs 'base_model'") })
    }

    @Test func aBaseWithoutARoleIsAnErrorOrJoins() throws {
        let linear = try kitchen.plan(recipe("linear", [("A", "weight: 1")], base: "B"))
        #expect(linear.problems.contains { $0.contains("not used by linear") })
        let karcher = try kitchen.plan(recipe("karcher", [("A", "")], base: "B"))
        #expect(karcher.problems.isEmpty && karcher.tensors[0].call.members.count == 2)
        #expect(karcher.warnings.contains { $0.contains("takes part in karcher") })
    }

    @Test func embeddingsAreCutWhenAsked() throws {
        var kitchen = kitchen
        kitchen.options.truncatesEmbeddings = true
        let plan = try kitchen.plan(recipe("linear", [("A", "weight: 1"), ("wide", "weight: 1")]))
        #expect(plan.problems.isEmpty)
        let merged = try MergedModel(plan)
        let found = try merged.tensor(named: "model.embed_tokens.weight")
        #expect(found.shape == [6, 4])
        let a = noise(1, 24), wide = noise(5, 32)
        #expect(largestDifference(found.doubles(), zip(a, wide).map { ($0 + $1) / 2 }) < 1e-12)
        #expect(plan.warnings.contains { $0.contains("cut to 6 rows") })
    }

    @Test func tiedHeadsUseTheEmbedding() throws {
        let plan = try kitchen.plan(recipe("linear", [("A", "weight: 1"), ("tied", "weight: 1")]))
        #expect(plan.problems.isEmpty)
        let head = try MergedModel(plan).tensor(named: "lm_head.weight").doubles()
        #expect(largestDifference(head, zip(noise(41, 24), noise(4, 24)).map { ($0 + $1) / 2 }) < 1e-12)
        #expect(plan.config?["tie_word_embeddings"] == .bool(false))
        let both = try kitchen.plan(recipe("linear", [("tied", "weight: 1")]))
        #expect(!both.tensors.contains { $0.call.info.name == "lm_head.weight" })
    }

    @Test func slicesStackLayers() throws {
        let text = """
            merge_method: passthrough
            dtype: bfloat16
            slices:
            - sources:
              - {model: A, layer_range: [0, 3], parameters: {scale: [{filter: o_proj, value: 0}, {value: 1}]}}
            - sources:
              - {model: B, layer_range: [1, 4]}
            """
        let plan = try kitchen.plan(text)
        #expect(plan.problems.isEmpty, "\(plan.problems)")
        let merged = try MergedModel(plan)
        #expect(merged.tensorInfos.count == 6 * 2 + 3)
        #expect(plan.config?["num_hidden_layers"] == .int(6))
        #expect(plan.config?["layer_types"] == ["a", "b", "c", "b", "c", "d"])
        #expect(plan.config?["torch_dtype"] == "bfloat16")
        func values(_ name: String) throws -> [Double] { try merged.tensor(named: name).doubles() }
        #expect(try values("model.layers.1.self_attn.o_proj.weight").allSatisfy { $0 == 0 })
        #expect(largestDifference(try values("model.layers.4.mlp.up_proj.weight"), noise(12, 16)) < 0.01)
        // What follows the layers is the last slice's, what precedes them the first's.
        #expect(largestDifference(try values("model.norm.weight"), noise(32, 4)) < 0.01)
        #expect(largestDifference(try values("model.embed_tokens.weight"), noise(1, 24)) < 0.01)
        let outside = text.replacing("[1, 4]", with: "[1, 5]")
        #expect(try kitchen.plan(outside).problems.contains { $0.contains("leaves its 4 layers") })
    }

    @Test func integersAreNeverComputedWith() throws {
        var a = model([1, 2], [2]), b = model([3, 4], [2])
        a["position_ids"] = Tensor([Int64(0), 1], shape: [2])
        b["position_ids"] = Tensor([Int64(5), 1], shape: [2])
        var kitchen = Kitchen(models: ["A": a, "B": b])
        let text = recipe("linear", [("A", "weight: 1"), ("B", "weight: 1")])
        let merged = try kitchen.merge(text)
        #expect(try merged.tensor(named: "position_ids").isIdentical(to: a.tensor(named: "position_ids")))
        #expect(try merged.differingBuffers() == ["position_ids"])
        kitchen.options.strictBuffers = true
        #expect(throws: ZooError.self) { try kitchen.merge(text).tensor(named: "position_ids") }
    }

    @Test func quirksOfTheReference() throws {
        let small = Kitchen(models: ["base": model([0, 0, 0, 0], [4]), "A": model([1, -2, 3, 0.5], [4])])
        // gamma·N below one: the largest values stay, where the reference loses the whole difference.
        let crumbs = recipe("breadcrumbs", [("A", "weight: 1")], base: "base", parameters: "density: 0.5")
        #expect(try small.values(crumbs) == [0, -2, 3, 0])
        var imitating = small
        imitating.options.imitatesReference = true
        #expect(try imitating.values(crumbs) == [0, 0, 0, 0])
        let none = recipe("ties", [("A", "weight: 1")], base: "base", parameters: "density: 0.1")
        #expect(try small.values(none) == [0, 0, 3, 0])
        #expect(throws: ZooError.self) { try imitating.values(none) }
        let window = recipe("della", [("A", "weight: 1, density: 0.66, epsilon: 1.35")], base: "base")
        #expect(try small.plan(window).problems.contains { $0.contains("epsilon") })
        let zero = recipe("linear", [("A", "weight: 1"), ("base", "weight: -1")])
        #expect(try small.plan(zero).problems.contains { $0.contains("sum to zero") })
    }

    @Test func oneMistakeIsSaidOnceForAllTensors() throws {
        let word = recipe("task_arithmetic", [("A", "weight: abc")], base: "B")
        #expect(try kitchen.plan(word).problems.filter { $0.contains("found 'abc'") }.count == 1)
        let dense = recipe("ties", [("A", "weight: 1, density: 1.4")], base: "B")
        #expect(try kitchen.plan(dense).warnings.filter { $0.contains("density 1.4 of A") }.count == 1)
    }

    @Test func overflowIsAnErrorThatNamesTheTensor() throws {
        let kitchen = Kitchen(models: ["A": model([60_000, 1], [2]), "B": model([60_000, 1], [2])])
        let text = recipe(
            "linear", [("A", "weight: 1"), ("B", "weight: 1")], parameters: "normalize: false",
            more: "out_dtype: float16\n")
        let error = #expect(throws: ZooError.self) { try kitchen.values(text) }
        #expect(error?.message.contains("'w'") == true && error?.message.contains("linear") == true)
    }
}
