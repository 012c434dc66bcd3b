extension MergePlan {
    /// What each input counts for, where one number says it: the `weight` that all its tensors have, as a share of the
    /// sum for `linear` with `normalize`. nil for models without a weight or with different ones.
    public var coefficients: [Double?] {
        var values = [Set<Double>](repeating: [], count: inputs.count)
        var isNormalised = method.name == Linear.name
        for tensor in tensors where tensor.call.info.dtype.isFloatingPoint {
            if method.name == Linear.name, !tensor.call.parameters.flag("normalize") { isNormalised = false }
            let usesBase = method.base != .unused && method.base != .joins
            for member in tensor.call.members where !(usesBase && member.isBase) {
                if let weight = member.parameters.optionalNumber("weight") { values[member.model].insert(weight) }
            }
        }
        let weights = values.map { $0.count == 1 ? $0.first : nil }
        let sum = weights.reduce(0) { $0 + ($1 ?? 0) }
        guard isNormalised, weights.allSatisfy({ $0 != nil }), sum != 0 else { return weights }
        return weights.map { $0.map { $0 / sum } }
    }
}
