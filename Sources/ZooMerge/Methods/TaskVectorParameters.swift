import ZooBase

/// What the methods of the task-vector family share: parameters and how they become a kernel.
enum TaskVectorParameters {
    /// The parameters, with the defaults that differ between methods.
    static func family(
        normalise: Bool, rescale: Bool, consensus: Bool = false, more: [MergeParameter] = []
    ) -> [MergeParameter] {
        var parameters: [MergeParameter] = [
            .flag("normalize", normalise, "divide by the sum of the weights (of those that agree)"),
            .flag("rescale", rescale, "bring thinned task vectors back to their size"),
            .number("lambda", 1, "scales the merged task vector"),
            .flag("int8_mask", false, "accepted; changes nothing"),
            .word("rescale_norm", Rescale.allCases.map(\.rawValue), "which size: l1, l2, linf, inverse (ours)"),
        ]
        if consensus { parameters.append(.word("consensus", ["sum", "count"], "how signs are elected (ours)")) }
        parameters += [
            .perModel("weight", nil, "the model's weight"), .perModel("density", 1, "the share of values that stay"),
        ]
        return parameters + more
    }

    static let gamma = MergeParameter.perModel("gamma", 0.01, "the share of largest values that go")
    static let epsilon = MergeParameter.perModel("epsilon", 0.15, "half the spread of keep probabilities")

    /// DELLA's sparsifier, checked.
    static func ranked(_ values: ParameterValues, _ call: MergeCall) throws -> Sparsifier {
        let density = values.number("density"), epsilon = values.number("epsilon")
        guard density < 1, density > 0 else { return density <= 0 ? .random(density: 0) : .none }
        guard density - epsilon > 0, density + epsilon < 1 else {
            throw call.fault(
                .usage, "density \(density) ± epsilon \(epsilon) must stay between 0 and 1",
                hint: "choose a smaller epsilon")
        }
        return .ranked(density: density, epsilon: epsilon)
    }

    /// The kernel of a tensor.
    static func kernel(
        _ call: MergeCall, consensus: Bool, sparsifier: (ParameterValues) throws -> Sparsifier
    ) throws -> any MergeKernel {
        guard let base = call.base else { throw call.fault(.usage, "the base model lacks it") }
        let models = call.others
        guard !models.isEmpty else { return Combination(weights: call.members.map { $0.isBase ? 1 : 0 }) }
        let parameters = models.map { call.members[$0].parameters }
        for (model, values) in zip(models, parameters) {
            let density = values.number("density")
            guard density >= 0, density.isFinite else {
                throw call.fault(.usage, "density \(density) of \(call.members[model].label) is no share")
            }
        }
        let election: TaskVectorMerge.Consensus =
            !consensus ? .none : call.parameters.word("consensus") == "count" ? .count : .sum
        let norm = Rescale(rawValue: call.parameters.word("rescale_norm")) ?? .l1
        return TaskVectorMerge(
            base: base, models: models, weights: parameters.map { $0.number("weight") },
            sparsifiers: try parameters.map(sparsifier), keys: models.map { call.randomKey($0) },
            rescale: call.parameters.flag("rescale") ? norm : nil,
            consensus: election, normalises: call.parameters.flag("normalize"),
            lambda: call.parameters.number("lambda"), shape: call.info.shape,
            imitatesReference: call.imitatesReference)
    }
}
