import ZooBase
import ZooTensor

/// A LoRA adapter out of the difference between a fine-tuned model and its base: truncated singular value decompositions
/// of the changes of linear, convolution and embedding weights; what has none (norms, and embeddings and head unless asked
/// for) is stored whole under `modules_to_save`.
public struct AdapterExtraction: Sendable {
    /// How to extract.
    public struct Options: Sendable {
        /// The largest rank.
        public var rank = 128
        /// Singular values up to this are left out; 0 keeps all.
        public var svEpsilon = 0.0
        /// Give √Σ to both matrices instead of Σ to A.
        public var distributesScale = true
        /// Decompose embeddings and head as well.
        public var adaptsEmbeddings = false
        /// Modules to store whole, by the end of their names.
        public var saved: [String] = []
        /// Regular expressions searched in module names: only these; empty takes all.
        public var included: [String] = []
        /// Not these.
        public var excluded: [String] = []
        /// Leave out what cannot be decomposed instead of storing it.
        public var skipsUndecomposable = false
        /// Weights are stored `[in, out]`.
        public var isTransposed = false
        /// Never use the randomised decomposition.
        public var isExact = false
        /// The type of the adapter's tensors.
        public var dtype = DType.float32
        /// Seed of the randomised decomposition.
        public var seed: UInt64 = 0
        /// Threads.
        public var jobs = 1

        /// The defaults.
        public init() {}
    }

    /// A decomposed module.
    public struct Module: Sendable {
        /// Its dotted name.
        public var name: String
        /// The rank kept.
        public var rank: Int
        /// ‖ΔW − B·A‖/‖ΔW‖.
        public var relativeError: Double
        /// Σ of the squared singular values left out.
        public var squaredError: Double
        /// Whether the decomposition was the full one.
        public var isExact: Bool
    }

    /// The adapter.
    public let adapter: MadeAdapter
    /// The decomposed modules by name.
    public let modules: [Module]
    /// Modules stored whole.
    public let saved: [String]
    /// Changed modules that the adapter leaves out.
    public let skipped: [String]
    /// What the user should know.
    public let notes: [String]

    /// Decomposes.
    ///
    /// - Throws: `mismatch` for tensors of different shapes; `usage` for a regular expression that is none and when nothing
    ///   differs.
    public init(
        tuned: any TensorSource, base: any TensorSource, baseName: String, options: Options = Options(),
        progress: (@Sendable (Int) -> Void)? = nil
    ) throws {
        let plan = try ExtractionPlan(tuned: tuned, base: base, options)
        let found = try Parallel.map(count: plan.decomposed.count, jobs: options.jobs) { index in
            let name = plan.decomposed[index]
            let result = try ZooError.locate("module '\(name)'") {
                try Self.decompose(name, tuned, base, plan, options)
            }
            progress?(1)
            return result
        }
        var state = StateDict()
        var modules: [Module] = []
        for (name, result) in zip(plan.decomposed, found) {
            guard let result else { continue }
            let keys = MadeAdapter.keys(name, isEmbedding: plan.isLookup(name))
            state[keys.a] = result.a.converted(to: options.dtype)
            state[keys.b] = result.b.converted(to: options.dtype)
            modules.append(result.module)
        }
        let bias = try plan.biases(of: modules.map(\.name), tuned, base)
        for (key, tensor) in bias.tensors { state[key] = tensor.converted(to: options.dtype) }
        for name in plan.saved {
            for tensor in plan.tensors(of: name) { state[Adapter.prefix + tensor] = try tuned.tensor(named: tensor) }
        }
        guard !state.names.isEmpty else {
            throw ZooError(
                .mismatch, "nothing to extract: no module that is taken differs between the two models",
                hint: "see --include-regex and --exclude-regex, or compare them with 'zoo diff'")
        }
        var config = Self.config(baseName, modules, plan, options)
        for (key, value) in bias.settings { config[key] = value }
        adapter = MadeAdapter(state: state, config: config)
        self.modules = modules
        saved = plan.saved
        skipped = plan.skipped
        notes = plan.notes
    }

    private static func decompose(
        _ name: String, _ tuned: any TensorSource, _ base: any TensorSource, _ plan: ExtractionPlan, _ options: Options
    ) throws -> (a: Tensor, b: Tensor, module: Module)? {
        let new = try tuned.tensor(named: name + ".weight"), old = try base.tensor(named: name + ".weight")
        let values = zip(new.doubles(), old.doubles()).map { $0 - $1 }
        let shape = new.shape.dimensions
        // Convolutions become [out, in · kernel].
        var change = Matrix(rows: shape[0], columns: shape.dropFirst().reduce(1, *), values: values)
        if plan.isTransposed(name) { change = change.transposed() }
        let norm = values.reduce(0) { $0 + $1 * $1 }
        guard norm > 0 else { return nil }
        let parts = try TruncatedDecomposition(
            change, rank: options.rank, threshold: options.svEpsilon, exact: options.isExact,
            seed: options.seed ^ StableHash.of(name))
        let rank = parts.sigma.count
        guard rank > 0 else { return nil }
        let root = parts.sigma.map { $0.squareRoot() }
        let b = options.distributesScale ? parts.u.columnsScaled(root) : parts.u
        let a = parts.v.columnsScaled(options.distributesScale ? root : parts.sigma).transposed()
        let isConvolution = shape.count > 2
        let ones = [Int](repeating: 1, count: max(0, shape.count - 2))
        return (
            Tensor(a.values, shape: Shape(isConvolution ? [rank] + shape.dropFirst() : [rank, change.columns])),
            Tensor(b.values, shape: Shape([change.rows, rank] + ones)),
            Module(
                name: name, rank: rank, relativeError: (parts.squaredError / norm).squareRoot(),
                squaredError: parts.squaredError, isExact: parts.isExact)
        )
    }

    private static func config(
        _ base: String, _ modules: [Module], _ plan: ExtractionPlan, _ options: Options
    ) -> JSONObject {
        let names = modules.map(\.name)
        let others = plan.decomposable.filter { !Set(names).contains($0) }
        var config = JSONObject([
            ("base_model_name_or_path", .string(base)), ("peft_type", "LORA"), ("task_type", "CAUSAL_LM"),
            ("r", 1), ("lora_alpha", 1), ("rank_pattern", .object(JSONObject())),
            ("alpha_pattern", .object(JSONObject())), ("use_rslora", false), ("use_dora", false),
            ("lora_dropout", .double(0)), ("bias", "none"), ("fan_in_fan_out", .bool(options.isTransposed)),
            ("inference_mode", true), ("init_lora_weights", true),
            ("target_modules", .array(MadeAdapter.targets(names, besides: others).map { .string($0) })),
            ("modules_to_save", plan.saved.isEmpty ? .null : .array(plan.saved.map { .string($0) })),
        ])
        MadeAdapter.setRanks(Dictionary(uniqueKeysWithValues: modules.map { ($0.name, $0.rank) }), &config)
        return config
    }
}
