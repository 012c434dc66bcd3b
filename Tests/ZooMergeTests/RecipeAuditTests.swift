import Testing
import ZooBase
import ZooMerge
import ZooTensor
import ZooTestSupport

/// Evaluation of parameters, pairing, batch norm, whole-model trims: what recipes and options promise.
@Suite struct RecipeAuditTests {
    private func stack(_ layers: Int, _ value: Double) -> StateDict {
        var state = StateDict()
        state["model.embed_tokens.weight"] = Tensor([value, value], shape: [1, 2])
        for layer in 0..<layers {
            state["model.layers.\(layer).mlp.w"] = Tensor([value], shape: [1])
            state["model.layers.\(layer).self_attn.w"] = Tensor([value], shape: [1])
        }
        state["model.norm.weight"] = Tensor([value], shape: [1])
        return state
    }

    private func kitchen(_ layers: Int, _ models: [String: Double]) -> Kitchen {
        Kitchen(
            models: models.mapValues { stack(layers, $0) },
            configs: models.mapValues { _ in JSONObject([("model_type", "llama")]) })
    }

    @Test func gradientsSpreadOverLayers() throws {
        let kitchen = kitchen(40, ["base": 0, "A": 1])
        let text = recipe("slerp", [("base", ""), ("A", "")], base: "base", parameters: "t: [0, 0.5, 0.3, 0.7, 1]")
        let plan = try kitchen.plan(text)
        func t(_ name: String) -> Double {
            plan.tensors.first { $0.call.info.name == name }?.call.parameters.number("t") ?? .nan
        }
        #expect(t("model.layers.0.mlp.w") == 0 && t("model.layers.39.mlp.w") == 1)
        #expect(abs(t("model.layers.10.mlp.w") - 0.494872) < 1e-6)
        // What follows the layers has the first value as in mergekit, or the last when asked.
        #expect(t("model.norm.weight") == 0 && t("model.embed_tokens.weight") == 0)
        let end = try kitchen.plan(text + "post_t: end\n")
        let norm = try #require(end.tensors.first { $0.call.info.name == "model.norm.weight" })
        #expect(norm.call.parameters.number("t") == 1)
        #expect(throws: ZooError.self) { try kitchen.plan(text + "post_t: middle\n") }
        let three = Setting.gradient([1, 0.7, 0.1])
        guard case .number(let value)? = three.value(for: "x", at: 0.25) else { throw ZooError(.internal, "no number") }
        #expect(abs(value - 0.85) < 1e-12)
    }

    @Test func placesOfAParameterAreAskedInOrder() throws {
        let kitchen = kitchen(2, ["base": 0, "A": 1, "B": 2])
        let text = """
            merge_method: task_arithmetic
            base_model: base
            slices:
            - sources:
              - {model: A, layer_range: [0, 1], parameters: {weight: [{filter: mlp, value: 0.1}]}}
              - {model: base, layer_range: [0, 1]}
              parameters: {weight: [{filter: mlp, value: 9}, {filter: self_attn, value: 0.2}]}
            - sources:
              - {model: B, layer_range: [1, 2], parameters: {weight: [{filter: "layers.1.mlp", value: 0.4}]}}
              - {model: base, layer_range: [1, 2]}
            parameters: {weight: [{filter: "*", value: 0.3}]}
            """
        let plan = try kitchen.plan(text)
        #expect(plan.problems.isEmpty, "\(plan.problems)")
        func weight(_ name: String) -> Double {
            plan.tensors.first { $0.call.info.name == name }?.call.members.first { !$0.isBase }?.parameters
                .number("weight") ?? .nan
        }
        #expect(weight("model.layers.0.mlp.w") == 0.1)
        #expect(weight("model.layers.0.self_attn.w") == 0.2)
        #expect(weight("model.layers.1.self_attn.w") == 0.3)
        // A model's parameters are asked by its own layer's name, which here is the result's too.
        #expect(weight("model.layers.1.mlp.w") == 0.4)
        // First slice before the layers, last slice after them.
        #expect(plan.tensors.first { $0.call.info.name == "model.embed_tokens.weight" }?.call.members[0].label == "A")
        #expect(plan.tensors.first { $0.call.info.name == "model.norm.weight" }?.call.members[0].label == "B")
    }

    @Test func perModelParametersAskByInputName() throws {
        let kitchen = kitchen(3, ["A": 1])
        let text = """
            merge_method: passthrough
            slices:
            - sources: [{model: A, layer_range: [2, 3], parameters: {scale: [{filter: layers.2., value: 5}, {value: 1}]}}]
            """
        #expect(try kitchen.values(text, "model.layers.0.mlp.w") == [5])
    }

    @Test func everythingIsFoundBeforeTheStart() throws {
        var kitchen = kitchen(2, ["A": 1, "B": 2])
        kitchen.models["C"] = stack(3, 1)
        kitchen.configs["C"] = JSONObject([("model_type", "mistral")])
        var odd = stack(2, 1)
        odd["model.norm.weight"] = Tensor([1.0, 2], shape: [2])
        odd["extra"] = Tensor([1.0], shape: [1])
        kitchen.models["D"] = odd
        let plan = try kitchen.plan(recipe("linear", [("A", "weight: 1"), ("C", "weight: 1"), ("D", "weight: 1")]))
        for part in [
            "different architectures", "different numbers of layers", "'extra' is missing in A, C",
            "'model.norm.weight'",
        ] {
            #expect(plan.problems.contains { $0.contains(part) }, "\(part): \(plan.problems)")
        }
        #expect(throws: ZooError.self) { try MergedModel(plan) }
        kitchen.options.mixesArchitectures = true
        #expect(
            try !kitchen.plan(recipe("linear", [("A", "weight: 1"), ("C", "weight: 1")])).problems.contains {
                $0.contains("architectures")
            })
    }

    @Test func unionAndIntersection() throws {
        var a = model([1, 2], [2]), b = model([3, 4], [2])
        a["only"] = Tensor([5.0], shape: [1])
        b["other"] = Tensor([7.0], shape: [1])
        var kitchen = Kitchen(models: ["A": a, "B": b])
        let text = recipe("linear", [("A", "weight: 1"), ("B", "weight: 3")])
        #expect(try kitchen.plan(text).problems.count == 2)
        kitchen.options.pairing = .union
        #expect(try kitchen.merge(text).tensorInfos.map(\.name) == ["only", "other", "w"])
        #expect(try kitchen.values(text, "only") == [5] && kitchen.values(text, "other") == [7])
        #expect(try kitchen.values(text) == [2.5, 3.5])
        kitchen.options.pairing = .intersection
        #expect(try kitchen.merge(text).tensorInfos.map(\.name) == ["w"])
    }

    @Test func nonFiniteInputsAreCountedOrRefused() throws {
        var kitchen = Kitchen(models: ["A": model([1, .nan, .infinity], [3]), "B": model([3, 4, 5], [3])])
        let text = recipe("linear", [("A", "weight: 1"), ("B", "weight: 1")])
        let merged = try kitchen.merge(text)
        let values = try merged.tensor(named: "w").doubles()
        #expect(values[0] == 2 && values[1].isNaN && values[2] == .infinity)
        let found = merged.nonFinite.found
        #expect(found.map(\.place.tensor) == ["w"] && found.map(\.place.model) == ["A"] && found.map(\.count) == [2])
        kitchen.options.failsOnNonFinite = true
        let error = #expect(throws: ZooError.self) { try kitchen.values(text) }
        #expect(error?.message.contains("'w'") == true && error?.message.contains("A has elements") == true)
    }

    // MARK: Batch norm

    private func normed(_ mean: [Double], _ variance: [Double]) -> StateDict {
        var state = model([1], [1])
        state["bn.running_mean"] = Tensor(mean, shape: [mean.count])
        state["bn.running_var"] = Tensor(variance, shape: [variance.count])
        state["bn.num_batches_tracked"] = Tensor([Int64(3)], shape: [])
        return state
    }

    @Test func batchNormStatistics() throws {
        var kitchen = Kitchen(models: ["A": normed([0, 1], [1, 2]), "B": normed([4, 1], [3, 2])])
        let text = recipe("linear", [("A", "weight: 1"), ("B", "weight: 3")])
        let names = ["bn.running_mean", "bn.running_var"]
        func both() throws -> [[Double]] { try names.map { try kitchen.values(text, $0) } }
        #expect(try kitchen.plan(text).warnings.contains { $0.contains("batch norm") })
        #expect(try both() == [[3, 1], [2.5, 2]])
        kitchen.options.batchNorm = .mixture
        // ¼·1 + ¾·(3 + 16) − 3² = 5.5: the means lie apart.
        #expect(try both() == [[3, 1], [5.5, 2]])
        #expect(try kitchen.plan(text).warnings.isEmpty)
        kitchen.options.batchNorm = .base
        #expect(try both() == [[0, 1], [1, 2]])
        let based = recipe("linear", [("A", "weight: 1"), ("B", "weight: 3")], base: "B")
        #expect(try kitchen.values(based, "bn.running_var") == [3, 2])
    }

    @Test func variancesStayAtZeroOrAbove() throws {
        let kitchen = Kitchen(models: ["base": normed([0], [1]), "A": normed([0], [0.25])])
        let text = recipe("task_arithmetic", [("A", "weight: 2")], base: "base")
        #expect(try kitchen.values(text, "bn.running_var") == [0])
    }

    // MARK: Trims over whole models

    @Test func trimsSpanTheModelWhenAsked() throws {
        var base = StateDict(), a = StateDict()
        // Eight changes over two tensors; the largest four are 8, 7, 6 and one of the two fives, which "p" has first.
        let p = [5.0, 1, 8, 2], q = [5.0, 7, 6, 3]
        for (name, values) in [("p", p), ("q", q)] {
            base[name] = Tensor([0.0, 0, 0, 0], shape: [4])
            a[name] = Tensor(values, shape: [4])
        }
        let kitchen = Kitchen(models: ["base": base, "A": a])
        let text = recipe(
            "ties", [("A", "weight: 1, density: 0.5")], base: "base", parameters: "trim_scope: model")
        let merged = try kitchen.merge(text)
        #expect(try merged.tensor(named: "p").doubles() == [5, 0, 8, 0])
        #expect(try merged.tensor(named: "q").doubles() == [0, 7, 6, 0])
        // Tensor by tensor each keeps two.
        let usual = text.replacing("trim_scope: model", with: "trim_scope: tensor")
        #expect(try kitchen.values(usual, "q") == [0, 7, 6, 0] && kitchen.values(usual, "p") == [5, 0, 8, 0])
        let mixed = recipe(
            "ties", [("A", "weight: 1, density: [{filter: p, value: 0.5}, {value: 0.2}]")], base: "base",
            parameters: "trim_scope: model")
        #expect(try kitchen.plan(mixed).problems.contains { $0.contains("one density") })
    }

    /// Against sorting, over random models of several tensors and types, any number of threads.
    @Test(arguments: [DType.float32, .float64]) func modelTrimsAreExact(_ type: DType) throws {
        var base = StateDict(), a = StateDict(), flat: [Double] = []
        for (index, count) in [70_000, 3, 900].enumerated() {
            // Few distinct values: many equals at the threshold.
            let values = noise(UInt64(index), count).map { ($0 * 50).rounded() / 8 }
            base["t\(index)"] = Tensor([Double](repeating: 0, count: count), shape: [count]).converted(to: type)
            a["t\(index)"] = Tensor(values, shape: [count]).converted(to: type)
            flat += values
        }
        let kept = Int(0.3 * Double(flat.count))
        let order = flat.indices.sorted { (flat[$0].magnitude, $1) > (flat[$1].magnitude, $0) }
        var expected = [Double](repeating: 0, count: flat.count)
        for index in order.prefix(kept) { expected[index] = flat[index] }
        let kitchen = Kitchen(models: ["base": base, "A": a])
        let merged = try kitchen.merge(
            recipe("ties", [("A", "weight: 1, density: 0.3")], base: "base", parameters: "trim_scope: model"))
        let found = try (0..<3).flatMap { try merged.tensor(named: "t\($0)").doubles() }
        #expect(found == expected)
    }

    @Test func signsMayBeElectedByCount() throws {
        let kitchen = Kitchen(
            models: [
                "base": model([0], [1]), "A": model([5], [1]), "B": model([-1], [1]), "C": model([-2], [1]),
            ])
        let models = ["A", "B", "C"].map { ($0, "weight: 1, density: 1") }
        #expect(try kitchen.values(recipe("ties", models, base: "base")) == [5])
        #expect(try kitchen.values(recipe("ties", models, base: "base", parameters: "consensus: count")) == [-1.5])
        let wrong = try kitchen.plan(recipe("ties", models, base: "base", parameters: "consensus: most"))
        #expect(wrong.problems.contains { $0.contains("one of sum, count") })
    }

    @Test func coefficientsAreNamedWhereOneNumberSaysThem() throws {
        let kitchen = kitchen(2, ["base": 0, "A": 1, "B": 2])
        let linear = try kitchen.plan(recipe("linear", [("A", "weight: 1"), ("B", "weight: 3")]))
        #expect(linear.coefficients == [0.25, 0.75])
        let ties = try kitchen.plan(
            recipe("ties", [("A", "weight: 0.5"), ("B", "weight: [0, 1]")], base: "base"))
        #expect(ties.coefficients == [0.5, nil, nil])
    }
}
