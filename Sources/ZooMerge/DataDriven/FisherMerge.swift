import ZooBase
import ZooTensor

/// Fisher-weighted averaging, element by element θ = Σ λᵢ F̂ᵢ θᵢ / Σ λᵢ F̂ᵢ with F̂ = max(F, floor)
/// (arXiv 2111.09832, equation 4).
public struct FisherMerge: Sendable {
    /// How small information is kept from zero.
    public enum Floor: String, Sendable, CaseIterable {
        /// max(F, floor), as published.
        case maximum
        /// F + floor, a widely used variant.
        case added
    }

    /// How the models weigh.
    public struct Options: Sendable {
        /// λ, one per model; empty for equal ones.
        public var weights: [Double] = []
        /// The smallest information.
        public var floor = 1e-6
        /// How it is applied.
        public var floorRule = Floor.maximum
        /// Divide each model's information by its L2 norm over all tensors.
        public var normalised = false
        /// Apply the floor to the first model alone: where no other has information, its values are kept.
        public var favoursFirst = false

        /// The defaults.
        public init() {}
    }

    /// Merges.
    ///
    /// - Parameters:
    ///   - models: checkpoints of one architecture.
    ///   - fishers: the information of each; tensors that lack it are averaged with λ alone.
    /// - Returns: all tensors of the first model, in its types; integers are the first model's.
    /// - Throws: `usage` for counts that differ; `mismatch` when the models' tensors differ.
    public static func merge(
        _ models: [any TensorSource], fishers: [any TensorSource], options: Options = Options()
    ) throws -> StateDict {
        guard let first = models.first, models.count == fishers.count else {
            throw ZooError(
                .usage, "\(fishers.count) Fisher files for \(models.count) models", hint: "give one per model")
        }
        let lambdas = try AverageWeights.weighted(
            options.weights.isEmpty ? AverageWeights.uniform(count: models.count) : options.weights,
            count: models.count)
        var pairing = TensorPairing(first.tensorInfos)
        for (index, model) in models.enumerated().dropFirst() { pairing.add(model.tensorInfos, index: index) }
        _ = try pairing.resolve(names: models.indices.map { "model \($0 + 1)" }, pairing: .strict)
        let scales = try zip(lambdas, fishers).map { lambda, fisher in
            options.normalised ? lambda / (try norm(fisher) + 1e-6) : lambda
        }
        let known = fishers.map { Set($0.tensorInfos.map(\.name)) }
        var state = StateDict()
        for info in first.tensorInfos {
            try Cancellation.check()
            guard info.dtype.isFloatingPoint else {
                state[info.name] = try first.tensor(named: info.name)
                continue
            }
            let values = try models.map { try $0.tensor(named: info.name).doubles() }
            let information: [[Double]]? =
                known.allSatisfy { $0.contains(info.name) }
                ? try fishers.map { try $0.tensor(named: info.name).doubles() } : nil
            if let odd = information?.firstIndex(where: { $0.count != info.shape.elementCount }) {
                throw ZooError(
                    .mismatch,
                    "tensor '\(info.name)' has \(info.shape.elementCount) elements, the Fisher of model \(odd + 1) has "
                        + "\(information?[odd].count ?? 0)")
            }
            let merged = information.map { combine(values, $0, scales, options) } ?? plain(values, lambdas)
            state[info.name] = Tensor(merged, shape: info.shape).converted(to: info.dtype)
        }
        return state
    }

    private static func plain(_ values: [[Double]], _ weights: [Double]) -> [Double] {
        values[0].indices.map { place in zip(values, weights).reduce(0) { $0 + $1.0[place] * $1.1 } }
    }

    private static func combine(
        _ values: [[Double]], _ information: [[Double]], _ scales: [Double], _ options: Options
    ) -> [Double] {
        values[0].indices.map { place in
            var sum = 0.0, total = 0.0
            for model in values.indices {
                var fisher = information[model][place]
                if model == 0 || !options.favoursFirst {
                    fisher = options.floorRule == .maximum ? max(fisher, options.floor) : fisher + options.floor
                }
                sum += scales[model] * fisher * values[model][place]
                total += scales[model] * fisher
            }
            // Without a floor, an element that no model has information on takes the mean.
            guard total > 0 else {
                return values.indices.reduce(0) { $0 + values[$1][place] * scales[$1] } / scales.reduce(0, +)
            }
            return sum / total
        }
    }

    private static func norm(_ source: any TensorSource) throws -> Double {
        try source.tensorInfos.reduce(0.0) { sum, info in
            try source.tensor(named: info.name).doubles().reduce(sum) { $0 + $1 * $1 }
        }.squareRoot()
    }
}
