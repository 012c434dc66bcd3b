import ZooBase

/// A LoRA adapter: pairs of thin matrices that stand for changes of a base model's weights, and tensors that replace
/// the base's.
///
/// For a module with the stored matrices A `[r, in]` and B `[out, r]` the change is ΔW = s·B·A. Names are PEFT's:
/// `base_model.model.<module>.lora_A.weight`, `lora_embedding_A` for embeddings, `lora_magnitude_vector` for DoRA.
public struct Adapter: Sendable {
    /// One changed module.
    public struct Module: Sendable {
        /// The dotted name in the base model.
        public var name: String
        /// The tensors of the adapter's file.
        public var a: TensorInfo
        /// `[out, r]`, or `[out, r, 1, 1]`.
        public var b: TensorInfo
        /// DoRA's magnitudes, one per output.
        public var magnitude: TensorInfo?
        /// A change of the bias.
        public var bias: TensorInfo?
        /// An embedding: the change of the weight `[vocabulary, width]` is (B·A)ᵀ.
        public var isEmbedding: Bool
        /// s.
        public var scaling: Double
        /// r.
        public var rank: Int { a.shape[0] }
    }

    /// The configuration.
    public let config: AdapterConfig
    /// The tensors of the adapter's file.
    public let weights: any TensorSource
    /// The changed modules, by name in order.
    public let modules: [Module]
    /// Tensors that replace the base's: name there and in the adapter's file.
    public let replacements: [(name: String, key: String)]

    /// PEFT's prefix of every name.
    public static let prefix = "base_model.model."

    private struct Parts {
        var a: TensorInfo?
        var b: TensorInfo?
        var magnitude: TensorInfo?
        var bias: TensorInfo?
        var isEmbedding = false
    }

    /// Sorts an adapter's tensors.
    ///
    /// - Throws: `corrupt` for half a pair and for ranks that contradict the configuration; `unsupported` for names that
    ///   no LoRA adapter has.
    public init(config: AdapterConfig, weights: any TensorSource) throws {
        var parts: [String: Parts] = [:]
        var replacements: [(name: String, key: String)] = []
        for info in weights.tensorInfos {
            switch try Self.role(of: info.name) {
            case .ignored: continue
            case .whole(let name): replacements.append((name, info.name))
            case .part(let module, let kind, let isBias, let isEmbedding):
                var part = parts[module] ?? Parts()
                part.isEmbedding = part.isEmbedding || isEmbedding
                switch (kind, isBias) {
                case ("A", false): part.a = info
                case ("B", false): part.b = info
                case ("B", true): part.bias = info
                case ("magnitude", _): part.magnitude = info
                default: throw ZooError(.unsupported, "adapter tensor '\(info.name)': A has no bias in LoRA")
                }
                parts[module] = part
            }
        }
        modules = try parts.sorted { $0.key < $1.key }.map { try Self.module($0, $1, config) }
        guard !modules.isEmpty || !replacements.isEmpty else {
            throw ZooError(.corrupt, "the adapter has no tensors")
        }
        self.config = config
        self.weights = weights
        // PEFT may store a tensor under its own name and under modules_to_save; the latter is the trained one.
        let unique = Dictionary(grouping: replacements, by: \.name).compactMap { name, all in
            (all.first { $0.key.contains(".modules_to_save.") } ?? all.first).map { (name: name, key: $0.key) }
        }
        self.replacements = unique.sorted { $0.name < $1.name }
    }

    private static func module(_ name: String, _ parts: Parts, _ config: AdapterConfig) throws -> Module {
        guard let a = parts.a, let b = parts.b else {
            throw ZooError(.corrupt, "module '\(name)' of the adapter has no lora_\(parts.a == nil ? "A" : "B")")
        }
        let stated = try config.rank(of: name)
        guard a.shape.rank >= 2, b.shape.rank >= 2, a.shape.elementCount > 0, b.shape.elementCount > 0,
            a.shape[0] == b.shape[1], b.shape.dimensions.dropFirst(2).allSatisfy({ $0 == 1 })
        else {
            throw ZooError(
                .corrupt, "module '\(name)' of the adapter: lora_A \(a.shape) and lora_B \(b.shape) are no pair")
        }
        guard a.shape[0] == stated else {
            throw ZooError(
                .corrupt,
                "module '\(name)' of the adapter has rank \(a.shape[0]), adapter_config.json says \(stated)")
        }
        return Module(
            name: name, a: a, b: b, magnitude: parts.magnitude, bias: parts.bias, isEmbedding: parts.isEmbedding,
            scaling: try config.scaling(of: name))
    }

    // MARK: Names

    private enum Role {
        case ignored
        /// A full tensor of the base, by its name there.
        case whole(String)
        case part(module: String, kind: String, isBias: Bool, isEmbedding: Bool)
    }

    private static let markers = [
        "lora_A": "A", "lora_B": "B", "lora_embedding_A": "A", "lora_embedding_B": "B",
        "lora_magnitude_vector": "magnitude",
    ]

    private static func role(of key: String) throws -> Role {
        let bare = key.hasPrefix(prefix) ? String(key.dropFirst(prefix.count)) : key
        var components = bare.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
        components.removeAll { $0 == "base_layer" }
        if components.contains("original_module") { return .ignored }
        if let place = components.firstIndex(where: { markers[$0] != nil }), let kind = markers[components[place]] {
            let marker = components[place]
            // The adapter's name may stand between: lora_A.default.weight.
            let tail = components[(place + 1)...]
            guard place > 0, tail.count <= 2 else { throw unknown(key) }
            return .part(
                module: components[..<place].joined(separator: "."), kind: kind, isBias: tail.last == "bias",
                isEmbedding: marker.hasPrefix("lora_embedding"))
        }
        if components.contains(where: { $0.hasPrefix("lora_") || $0 == "token_adapter" || $0.hasPrefix("hada_") }) {
            throw unknown(key)
        }
        if let place = components.firstIndex(of: "modules_to_save") {
            components.remove(at: place)
            // modules_to_save.default.weight
            if components.count - place > 1 { components.remove(at: place) }
        }
        return .whole(components.joined(separator: "."))
    }

    private static func unknown(_ key: String) -> ZooError {
        ZooError(.unsupported, "adapter tensor '\(key)' is nothing that a LoRA adapter has")
    }
}
