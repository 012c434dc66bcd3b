import ZooBase
import ZooTensor

/// What becomes of each module of a fine-tuned model when an adapter is extracted.
struct ExtractionPlan {
    /// Modules whose weight differs and is decomposed.
    var decomposed: [String] = []
    /// Modules that are stored whole.
    var saved: [String] = []
    /// Changed modules left out.
    var skipped: [String] = []
    /// Every module whose weight could be decomposed.
    var decomposable: [String] = []
    var notes: [String] = []
    private let options: AdapterExtraction.Options
    private let infos: [String: TensorInfo]
    private let members: [String: [String]]

    init(tuned: any TensorSource, base: any TensorSource, _ options: AdapterExtraction.Options) throws {
        self.options = options
        let known = Dictionary(base.tensorInfos.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        let tensors = tuned.tensorInfos.filter(\.dtype.isFloatingPoint)
        infos = Dictionary(tensors.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        members = Dictionary(grouping: tensors.map(\.name)) { Self.module(of: $0) }
        try Self.checkShapes(tensors, known)
        let included = try options.included.map(ModulePattern.init),
            excluded = try options.excluded.map(ModulePattern.init)
        for name in members.keys.sorted() {
            if canDecompose(name) { decomposable.append(name) }
            let changed = try differing(name, tuned, base, known)
            guard !changed.isEmpty else { continue }
            let isWanted =
                (included.isEmpty || included.contains { $0.isFound(in: name) })
                && !excluded.contains { $0.isFound(in: name) }
            guard isWanted else {
                skipped.append(name)
                continue
            }
            // A module whose weight is the base's has nothing to decompose; its bias is stored with it.
            guard !canDecompose(name) || changed.contains(name + ".weight") else {
                saved.append(name)
                continue
            }
            place(name, resized: infos[name + ".weight"]?.shape != known[name + ".weight"]?.shape)
        }
    }

    private mutating func place(_ name: String, resized: Bool) {
        let isWhole = options.saved.contains { name == $0 || name.hasSuffix("." + $0) }
        if isWhole {
            saved.append(name)
        } else if resized {
            saved.append(name)
            let rows = infos[name + ".weight"]?.shape[0] ?? 0
            notes.append("'\(name)' has another vocabulary than the base: resize the base to \(rows) tokens before use")
        } else if isEmbedding(name), !options.adaptsEmbeddings {
            saved.append(name)
        } else if canDecompose(name) {
            decomposed.append(name)
        } else if options.skipsUndecomposable {
            skipped.append(name)
        } else {
            saved.append(name)
        }
    }

    // MARK: Kinds

    /// The module of a tensor: its name without the last component.
    static func module(of tensor: String) -> String { tensor.split(separator: ".").dropLast().joined(separator: ".") }

    func tensors(of module: String) -> [String] { (members[module] ?? []).sorted() }

    private func canDecompose(_ name: String) -> Bool { (infos[name + ".weight"]?.shape.rank ?? 0) >= 2 }

    private static let lookups = [
        "embed_tokens", "wte", "wpe", "word_embeddings", "position_embeddings", "token_type_embeddings",
        "tok_embeddings", "shared", "embed", "embeddings", "embedding", "embed_positions",
    ]

    /// Whether a module is a table of embeddings rather than a layer: LoRA stores its matrices the other way round.
    func isLookup(_ name: String) -> Bool {
        let last = name.split(separator: ".").last.map(String.init) ?? name
        return infos[name + ".weight"]?.shape.rank == 2 && Self.lookups.contains(last)
    }

    private func isEmbedding(_ name: String) -> Bool { isLookup(name) || LayerNames.isHead(name + ".weight") }

    /// Whether a weight is stored `[in, out]`.
    func isTransposed(_ name: String) -> Bool {
        if isLookup(name) { return true }
        return options.isTransposed && infos[name + ".weight"]?.shape.rank == 2 && !isEmbedding(name)
    }

    // MARK: Differences

    private static func checkShapes(_ tensors: [TensorInfo], _ known: [String: TensorInfo]) throws {
        var faults: [String] = []
        for info in tensors {
            guard let old = known[info.name] else { continue }
            let isResized =
                info.shape.rank == 2 && old.shape.rank == 2 && info.shape[1] == old.shape[1]
            guard info.shape != old.shape, !isResized else { continue }
            faults.append("'\(info.name)' is \(info.shape), the base's is \(old.shape)")
        }
        guard faults.isEmpty else {
            let more = faults.count > 5 ? "; and \(faults.count - 5) more" : ""
            throw ZooError(
                .mismatch, "the models do not fit together: \(faults.prefix(5).joined(separator: "; "))\(more)",
                hint: "name the base that the model was fine-tuned from")
        }
        guard tensors.contains(where: { known[$0.name] != nil }) else {
            throw ZooError(.mismatch, "the models have no tensor in common", hint: "'zoo inspect' lists names")
        }
    }

    /// The tensors of a module that differ from the base's.
    private func differing(
        _ module: String, _ tuned: any TensorSource, _ base: any TensorSource, _ known: [String: TensorInfo]
    ) throws -> [String] {
        try (members[module] ?? []).filter { name in
            try Cancellation.check()
            guard let old = known[name], old.shape == infos[name]?.shape else { return true }
            let x = try tuned.tensor(named: name), y = try base.tensor(named: name)
            return x.dtype == y.dtype ? !x.isIdentical(to: y) : x.doubles() != y.doubles()
        }
    }

    /// Changes of the biases of decomposed modules: as `lora_B.bias` where every such module has a bias, which is what
    /// PEFT can merge; else the new biases whole, as its setting `bias: all` stores them.
    func biases(
        of modules: [String], _ tuned: any TensorSource, _ base: any TensorSource
    ) throws -> (tensors: [(String, Tensor)], settings: [(String, JSONValue)]) {
        var changes: [(module: String, new: Tensor, change: [Double])] = []
        for name in modules {
            guard infos[name + ".bias"] != nil else { continue }
            let new = try tuned.tensor(named: name + ".bias")
            guard let old = try? base.tensor(named: name + ".bias") else {
                changes.append((name, new, new.doubles()))
                continue
            }
            changes.append((name, new, zip(new.doubles(), old.doubles()).map { $0 - $1 }))
        }
        guard changes.contains(where: { $0.change.contains { $0 != 0 } }) else { return ([], []) }
        let canMerge = changes.count == modules.count && !modules.contains(where: isLookup)
        guard canMerge else {
            return (
                changes.map { (Adapter.prefix + $0.module + ".base_layer.bias", $0.new) }, [("bias", "all")]
            )
        }
        return (
            changes.map { (Adapter.prefix + $0.module + ".lora_B.bias", Tensor($0.change, shape: $0.new.shape)) },
            [("lora_bias", true)]
        )
    }
}

/// A regular expression that is searched in module names.
struct ModulePattern {
    private let regex: Regex<AnyRegexOutput>

    init(_ text: String) throws {
        do { regex = try Regex(text) } catch {
            throw ZooError(.usage, "'\(text)' is no regular expression", cause: error)
        }
    }

    func isFound(in name: String) -> Bool { name.firstMatch(of: regex) != nil }
}

/// FNV-1a over UTF-8: a number for a name that no platform changes.
enum StableHash {
    static func of(_ text: String) -> UInt64 {
        text.utf8.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
    }
}
