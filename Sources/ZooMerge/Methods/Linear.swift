import ZooBase

/// Σ wᵢθᵢ, divided by Σ wᵢ unless `normalize` is off (Wortsman et al. 2022, arXiv 2203.05482, with weights).
enum Linear: MergeMethod {
    static let name = "linear"
    static let summary = "weighted sum, divided by the sum of the weights"
    static let source = "arXiv 2203.05482"
    static let parameters: [MergeParameter] = [
        .flag("normalize", true, "divide by the sum of the weights"),
        .perModel("weight", nil, "the model's weight; may be negative"),
    ]
    static let base = BaseUse.unused
    static let models = 1...Int.max

    static func kernel(_ call: MergeCall) throws -> any MergeKernel {
        let weights = call.members.map { $0.parameters.number("weight") }
        guard call.parameters.flag("normalize") else { return Combination(weights: weights) }
        let sum = weights.reduce(0, +)
        guard sum != 0 else {
            throw call.fault(.numeric, "the weights sum to zero", hint: "set normalize: false or change the weights")
        }
        return Combination(weights: weights.map { $0 / sum })
    }
}

/// The one tensor that arrives, scaled if asked: for stacking layers and scaling by name.
enum Passthrough: MergeMethod {
    static let name = "passthrough"
    static let summary = "one model's tensors as they are, for stacking layers; scaled by name"
    static let source = "mergekit"
    static let parameters: [MergeParameter] = [.perModel("scale", 1, "a factor")]
    static let base = BaseUse.unused
    static let models = 1...1

    static func kernel(_ call: MergeCall) throws -> any MergeKernel {
        guard call.members.count == 1 else {
            throw call.fault(.usage, "passthrough takes one model for each tensor, found \(call.members.count)")
        }
        return Combination(weights: [call.members[0].parameters.number("scale")])
    }
}

/// w = clamp(t / max(|a − b|, 1e-6), 0, 1); w·b + (1 − w)·a: close values move to the other model, far ones stay.
enum NearSwap: MergeMethod {
    static let name = "nearswap"
    static let summary = "takes the other model's values where they are close to the base's"
    static let source = "mergekit; alchemonaut/QuartetAnemoi"
    static let parameters: [MergeParameter] = [.number("t", nil, "distance within which values are taken")]
    static let base = BaseUse.required
    static let models = 1...1

    static func kernel(_ call: MergeCall) throws -> any MergeKernel {
        guard let base = call.base, let other = call.others.first else { return Combination(weights: [1]) }
        return NearSwapKernel(base: base, other: other, t: call.parameters.number("t"))
    }
}
