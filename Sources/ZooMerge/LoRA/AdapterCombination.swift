import ZooBase
import ZooTensor

/// Several LoRA adapters of one base in one, by PEFT's rules (`add_weighted_adapter`).
///
/// With the weights wᵢ and scalings sᵢ of the adapters, the result has scaling 1:
/// - `cat` is exact: A = rows wᵢsᵢAᵢ, B = columns Bᵢ, rank Σ rᵢ;
/// - `svd` is the best approximation of Σ wᵢsᵢBᵢAᵢ of a rank;
/// - `linear` adds ±√|wᵢsᵢ|·Aᵢ and √|wᵢsᵢ|·Bᵢ, which is not the sum of the changes;
/// - `ties`, `dare_*` and `magnitude_prune` prune A and B first, `…_svd` prune the changes.
public struct AdapterCombination: Sendable {
    /// The ways to combine.
    public enum Kind: String, Sendable, CaseIterable {
        case cat, linear, svd, ties
        case dareLinear = "dare_linear"
        case dareTies = "dare_ties"
        case magnitudePrune = "magnitude_prune"
        case tiesSVD = "ties_svd"
        case dareLinearSVD = "dare_linear_svd"
        case dareTiesSVD = "dare_ties_svd"
        case magnitudePruneSVD = "magnitude_prune_svd"

        /// Whether values are pruned to a density.
        public var prunes: Bool { ![.cat, .linear, .svd].contains(self) }
        /// Whether changes are decomposed.
        public var decomposes: Bool { rawValue.hasSuffix("svd") }
    }

    /// Options beyond the kind.
    public struct Options: Sendable {
        /// One per adapter.
        public var weights: [Double]
        /// The share of values that pruning keeps.
        public var density = 0.5
        /// Elect signs by the sum of the values (`total`) or by their number (`frequency`).
        public var electsByCount = false
        /// The rank of decompositions; nil takes the largest of the adapters.
        public var rank: Int?
        /// Clamp both matrices of decompositions to this quantile of their values.
        public var clamp: Double?
        /// Seed of random pruning.
        public var seed: UInt64 = 0
        /// Threads.
        public var jobs = 1

        /// Options with these weights.
        public init(weights: [Double]) { self.weights = weights }
    }

    /// The result.
    public let adapter: MadeAdapter
    /// Ranks by module.
    public let ranks: [String: Int]

    /// Combines.
    ///
    /// - Throws: `mismatch` for adapters that do not fit together; `unsupported` for DoRA.
    public init(_ adapters: [Adapter], names: [String], kind: Kind, options: Options) throws {
        precondition(adapters.count == names.count && options.weights.count == adapters.count)
        // One adapter alone can only be scaled.
        let kind = adapters.count == 1 && !kind.decomposes ? .linear : kind
        try Self.check(adapters, names)
        let modules = Set(adapters.flatMap { $0.modules.map(\.name) }).sorted()
        let parts = try Parallel.map(count: modules.count, jobs: options.jobs) { index in
            try ZooError.locate("module '\(modules[index])'") {
                try ModuleCombination(modules[index], adapters, names, kind, options).result()
            }
        }
        var state = StateDict()
        var ranks: [String: Int] = [:]
        for (name, part) in zip(modules, parts) {
            let keys = MadeAdapter.keys(name, isEmbedding: part.isEmbedding)
            state[keys.a] = part.a
            state[keys.b] = part.b
            if let bias = part.bias { state[Adapter.prefix + name + ".lora_B.bias"] = bias }
            ranks[name] = part.a.shape[0]
        }
        try Self.addWhole(adapters, names, &state)
        adapter = MadeAdapter(state: state, config: Self.config(adapters, ranks))
        self.ranks = ranks
    }

    private static func check(_ adapters: [Adapter], _ names: [String]) throws {
        for (adapter, name) in zip(adapters, names) {
            if adapter.modules.contains(where: { $0.magnitude != nil }) {
                throw ZooError(
                    .unsupported, "\(name): DoRA adapters cannot be combined, their changes do not add",
                    hint: "merge them into the base with 'zoo lora merge' and combine the models")
            }
            guard adapter.config.isTransposed == adapters[0].config.isTransposed else {
                throw ZooError(.mismatch, "\(name): fan_in_fan_out differs from \(names[0])'s")
            }
        }
    }

    /// Tensors of `modules_to_save`, which only one adapter may bring.
    private static func addWhole(_ adapters: [Adapter], _ names: [String], _ state: inout StateDict) throws {
        var owner: [String: Int] = [:]
        for (index, adapter) in adapters.enumerated() {
            for (name, key) in adapter.replacements {
                if let other = owner.updateValue(index, forKey: name) {
                    throw ZooError(
                        .mismatch, "\(names[other]) and \(names[index]) both replace '\(name)' of the base",
                        hint: "whole tensors cannot be combined; merge both into the base and merge the models")
                }
                state[Adapter.prefix + name] = try adapter.weights.tensor(named: key)
            }
        }
    }

    private static func config(_ adapters: [Adapter], _ ranks: [String: Int]) -> JSONObject {
        var config = adapters[0].config.json
        MadeAdapter.setRanks(ranks, &config)
        config["use_rslora"] = false
        config["inference_mode"] = true
        let lists = adapters.map { $0.config.json["target_modules"]?.array?.compactMap(\.string) }
        let union = Set(lists.compactMap { $0 }.joined())
        let targets = lists.contains { $0 == nil } ? Set(ranks.keys) : union
        config["target_modules"] = .array(targets.sorted().map { .string($0) })
        let saved = Set(adapters.flatMap(\.config.modulesToSave)).sorted()
        config["modules_to_save"] = saved.isEmpty ? .null : .array(saved.map { .string($0) })
        if adapters.contains(where: { $0.modules.contains { $0.bias != nil } }) { config["lora_bias"] = true }
        return config
    }
}
