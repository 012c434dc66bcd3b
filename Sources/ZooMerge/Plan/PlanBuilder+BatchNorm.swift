import ZooBase
import ZooTensor

/// Statistics of batch norm, which are not weights.
extension PlanBuilder {
    /// Puts the rule for batch-norm statistics into the plan, once all tensors are there.
    mutating func planStatistics() {
        let places = plan.tensors.indices.filter { place in
            let info = plan.tensors[place].call.info
            return info.dtype.isFloatingPoint
                && (StatisticMerge.isMean(info.name) || StatisticMerge.isVariance(info.name))
        }
        guard !places.isEmpty, plan.tensors[places[0]].call.members.count > 1 else { return }
        plan.hasStatistics = true
        switch plan.options.batchNorm {
        case .average:
            plan.warnings.append(
                "running means and variances of batch norm are merged like weights, which is not what the merged "
                    + "network sees; --bn recompute takes them from data")
            fallthrough
        case .recompute:
            for place in places where StatisticMerge.isVariance(plan.tensors[place].call.info.name) {
                plan.tensors[place].statistic = .clamped
            }
        case .base:
            for place in places {
                let call = plan.tensors[place].call
                let donor = call.base ?? 0
                plan.tensors[place].statistic = .mean(call.members.indices.map { $0 == donor ? 1 : 0 })
            }
        case .mixture:
            for place in places { mix(place) }
        }
    }

    private mutating func mix(_ place: Int) {
        let tensor = plan.tensors[place]
        let weights = shares(tensor.call)
        guard StatisticMerge.isVariance(tensor.call.info.name) else {
            plan.tensors[place].statistic = .mean(weights)
            return
        }
        let means = tensor.origins.map { (input: $0.input, name: StatisticMerge.mean(beside: $0.name)) }
        guard means.allSatisfy({ infos[$0.input][$0.name]?.shape == tensor.call.info.shape }) else {
            return problem("--bn mixture: '\(tensor.call.info.name)' has no running_mean of its shape beside it")
        }
        plan.tensors[place].origins += means
        plan.tensors[place].statistic = .variance(weights)
    }

    /// What each member counts for: its share of the weights, 1 − t and t of a method with `t`, equal shares where a
    /// method has neither or weights of both signs. The base of task vectors is none of the mixture.
    private func shares(_ call: MergeCall) -> [Double] {
        if plan.method.base == .oneOfTwo, call.members.count == 2, let t = call.parameters.optionalNumber("t"),
            (0...1).contains(t)
        {
            return call.members.map { $0.isBase ? 1 - t : t }
        }
        let leavesBase = plan.method.base == .required || plan.method.base == .optional
        let isIn = call.members.map { !(leavesBase && $0.isBase) }
        let weights = call.members.map { $0.parameters.optionalNumber("weight") ?? 1 }
        let counted = zip(weights, isIn).map { $1 ? $0 : 0 }
        let sum = counted.reduce(0, +)
        if sum > 0, counted.allSatisfy({ $0 >= 0 }) { return counted.map { $0 / sum } }
        let count = Double(max(1, isIn.count { $0 }))
        return isIn.map { $0 ? 1 / count : 0 }
    }
}
