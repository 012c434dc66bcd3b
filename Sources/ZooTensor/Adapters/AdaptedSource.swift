import ZooBase

/// A base model with a LoRA adapter merged into it, tensor by tensor when it is read: W' = W + s·B·A in single precision
/// (double where the base is), rounded once to the base's type.
///
/// Every tensor of the adapter must find its place; one that does not is an error, for it means another base.
public struct AdaptedSource: ChunkedTensorSource {
    /// The base's tensors, those of `modules_to_save` that it lacks behind them.
    public let tensorInfos: [TensorInfo]
    /// The base.
    public let base: any TensorSource
    /// The adapter.
    public let adapter: Adapter
    private let changes: [String: Change]
    private let infos: [String: TensorInfo]

    private enum Change {
        case product(Adapter.Module)
        case bias(Adapter.Module)
        case replaced(key: String)
        /// Replaced and then changed: a resized embedding that is adapted as well.
        case replacedProduct(key: String, Adapter.Module)
    }

    /// Finds the place of every tensor of the adapter.
    ///
    /// - Throws: `mismatch` naming what has no place or another shape.
    public init(base: any TensorSource, adapter: Adapter) throws {
        var infos = Dictionary(base.tensorInfos.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        let names = try AdapterNames(adapter, base: base.tensorInfos.map(\.name))
        var changes: [String: Change] = [:]
        var added: [TensorInfo] = []
        let stored = Dictionary(
            adapter.weights.tensorInfos.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        for (name, key) in names.replacements {
            guard let info = stored[key] else { continue }
            changes[name] = .replaced(key: key)
            if var known = infos[name] {
                known.shape = info.shape
                infos[name] = known
            } else {
                let new = TensorInfo(name: name, dtype: info.dtype, shape: info.shape)
                infos[name] = new
                added.append(new)
            }
        }
        for (name, module) in names.modules {
            guard let info = infos[name] else { continue }
            try Self.check(module, info, adapter.config)
            if case .replaced(let key)? = changes[name] {
                changes[name] = .replacedProduct(key: key, module)
            } else {
                changes[name] = .product(module)
            }
            guard let bias = module.bias else { continue }
            let place = AdapterNames.bias(of: name)
            guard let info = infos[place], info.shape == bias.shape else {
                throw ZooError(
                    .mismatch,
                    "the adapter changes the bias of '\(module.name)' by \(bias.shape), the base has "
                        + (infos[place].map { "\($0.shape)" } ?? "none"))
            }
            changes[place] = .bias(module)
        }
        self.base = base
        self.adapter = adapter
        self.changes = changes
        self.infos = infos
        tensorInfos = base.tensorInfos.compactMap { infos[$0.name] } + added
    }

    /// The rows of the input embedding when the adapter brings one of another size than the base's; nil otherwise.
    public var replacedVocabulary: Int? {
        let old = Dictionary(base.tensorInfos.map { ($0.name, $0.shape) }, uniquingKeysWith: { first, _ in first })
        for info in tensorInfos where info.shape.rank == 2 && old[info.name].map({ $0 != info.shape }) ?? false {
            return info.shape[0]
        }
        return nil
    }

    /// Whether a weight is stored `[in, out]`: embeddings are; with `fan_in_fan_out` all are whose shape does not show
    /// that they are not (the head of a GPT-2 is an ordinary layer).
    private static func isTransposed(_ module: Adapter.Module, _ info: TensorInfo, _ config: AdapterConfig) -> Bool {
        module.isEmbedding || config.isTransposed && info.shape.rank == 2 && isStored(transposed: true, module, info)
    }

    private static func isStored(transposed: Bool, _ module: Adapter.Module, _ info: TensorInfo) -> Bool {
        let inputs = Array(module.a.shape.dimensions.dropFirst()), output = module.b.shape[0]
        let shape = info.shape.dimensions
        if transposed { return shape == inputs + [output] }
        // A linear layer may stand for a convolution of one element.
        return shape == [output] + inputs
            || shape.count == 2 && inputs.dropFirst().allSatisfy { $0 == 1 } && shape == [output, inputs[0]]
    }

    private static func check(_ module: Adapter.Module, _ info: TensorInfo, _ config: AdapterConfig) throws {
        let isTransposed = isTransposed(module, info, config)
        guard isStored(transposed: isTransposed, module, info), info.dtype.isFloatingPoint else {
            let hint =
                isStored(transposed: !isTransposed, module, info)
                ? "see 'fan_in_fan_out' in adapter_config.json" : "is this the base the adapter was made for?"
            throw ZooError(
                .mismatch,
                "module '\(module.name)': lora_A \(module.a.shape) and lora_B \(module.b.shape) do not change "
                    + "'\(info.name)' of \(info.dtype.rawValue) \(info.shape)", hint: hint)
        }
        if let magnitude = module.magnitude, magnitude.shape.elementCount != module.b.shape[0] {
            throw ZooError(
                .mismatch,
                "module '\(module.name)': lora_magnitude_vector \(magnitude.shape) for \(module.b.shape[0]) outputs")
        }
    }

    /// One tensor, merged in blocks.
    public func elements(of name: String) throws -> any ElementRun {
        guard let info = infos[name] else { throw ZooError(.notFound, "no tensor '\(name)'") }
        switch changes[name] {
        case nil: return try base.elementRun(of: name)
        case .replaced(let key):
            return StoredElementRun(try adapter.weights.tensor(named: key).converted(to: info.dtype), name: name)
        case .bias(let module): return try bias(info, module)
        case .product(let module): return try product(info, try base.tensor(named: name), module)
        case .replacedProduct(let key, let module):
            return try product(info, try adapter.weights.tensor(named: key).converted(to: info.dtype), module)
        }
    }

    private func bias(_ info: TensorInfo, _ module: Adapter.Module) throws -> any ElementRun {
        let change = try adapter.weights.tensor(named: module.bias?.name ?? "").doubles()
        let old = try base.tensor(named: info.name).doubles()
        let sum = Tensor(zip(old, change).map { $0 + module.scaling * $1 }, shape: info.shape)
        return StoredElementRun(sum.converted(to: info.dtype), name: info.name)
    }

    private func product(_ info: TensorInfo, _ old: Tensor, _ module: Adapter.Module) throws -> any ElementRun {
        try BLASLibrary.load()
        let magnitudes = try module.magnitude.map { try adapter.weights.tensor(named: $0.name).doubles() }
        let isTransposed = Self.isTransposed(module, info, adapter.config)
        func run<Element: AdapterElement>(_ type: Element.Type) throws -> any ElementRun {
            AdaptedRun<Element>(
                info, old, try LowRankProduct(module, adapter.weights, transposed: isTransposed),
                magnitudes: magnitudes, transposed: isTransposed)
        }
        return info.dtype == .float64 ? try run(Double.self) : try run(Float.self)
    }
}
