import ArgumentParser
import ZooBase
import ZooCatalog
import ZooFormats
import ZooMerge
import ZooTensor

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// The options by which a command takes task vectors.
package struct TaskOptions: ParsableArguments {
    @Flag(help: "Leave out tensors that only a task has.")
    package var ignoreExtra = false

    @Flag(help: "Leave out tensors that only the base has.")
    package var ignoreMissing = false

    @Flag(help: "Use task vectors and coefficients that were made for another base.")
    package var force = false

    /// Everything must fit.
    package init() {}
}

/// The options by which a command finds a network.
package struct NetworkOptions: ParsableArguments {
    @Option(help: ArgumentHelp("An architecture file, or the name of a known architecture.", valueName: "name"))
    package var architecture: String?

    @Option(help: ArgumentHelp("A number that the weights do not show: activation=tanh.", valueName: "key=value"))
    package var set: [String] = []

    /// Nothing given.
    package init() {}
}

/// A digest of a checkpoint's content that does not depend on its file format.
enum VectorDigest {
    /// The first 16 bytes of SHA-256 over names, types, shapes and elements, tensors by name.
    static func of(_ source: any TensorSource) throws -> String {
        var parts: [Bytes] = []
        for info in source.tensorInfos.sorted(by: { $0.name < $1.name }) {
            try Cancellation.check()
            parts.append(Bytes(Array("\(info.name)\n\(info.dtype.rawValue)\n\(info.shape)\n".utf8)))
            parts.append(try source.tensor(named: info.name).bytes)
        }
        defer { for part in parts { part.releasePages() } }
        return ContentDigest.of(parts)
    }
}

/// What the metadata of a task vector's file say.
struct TaskVectorMetadata {
    static let kind = "task-vector"
    var base: String?
    var fineTuned: String?

    init?(_ source: any TensorSource) {
        guard let metadata = (source as? any CheckpointReader)?.metadata,
            metadata["kind"]?.string == Self.kind
        else { return nil }
        base = metadata["base"]?.string
        fineTuned = metadata["fine_tuned"]?.string
    }

    /// The metadata of a vector to write.
    static func make(base: String?, fineTuned: String? = nil, made: String) -> [String: String] {
        var metadata = ["kind": kind, "format": "pt", "zoo_method": made]
        metadata["base"] = base
        metadata["fine_tuned"] = fineTuned
        return metadata
    }
}

/// A base and the tasks that were fine-tuned from it.
struct TaskSet {
    /// One task.
    struct Task {
        var name: String
        var checkpoint: SelectedCheckpoint
        var operand: TaskOperand
        /// Of what was given.
        var digest: String
        /// Of the network that a stored vector was made from.
        var fineTunedDigest: String?
        /// Fine-tuned weights that the task has of its own; nil for stored vectors and adapters.
        var fineTuned: (any TensorSource)?
    }

    let base: SelectedCheckpoint
    let source: any TensorSource
    let digest: String
    let tasks: [Task]

    /// Opens everything and checks that it fits.
    ///
    /// - Throws: `mismatch` for a task that does not fit the base or was made for another one.
    init(
        base: String, tasks: [String], excluded: [String] = [], ownTensors: [String] = [], options: TaskOptions,
        session: Session
    ) throws {
        let resolver = SelectorResolver(catalogPath: session.catalogPath)
        let start = try resolver.resolveOne(base)
        self.base = start
        source = try start.open()
        try Self.checkFinite(source, start.label)
        digest = try VectorDigest.of(source)
        if let given = TaskVectorMetadata(source), given.base != nil {
            throw ZooError(
                .mismatch, "\(start.label) is a task vector, not a base", hint: "the base comes first, then its tasks")
        }
        var found: [Task] = [], left = 0
        var names: [String: Int] = [:]
        for text in tasks {
            let (given, selector) = Self.split(text)
            for checkpoint in try resolver.resolve([selector]) {
                var name = given ?? Self.name(of: checkpoint)
                if excluded.contains(name) {
                    left += 1
                    continue
                }
                names[name, default: 0] += 1
                if let times = names[name], times > 1 { name += "#\(times)" }
                found.append(
                    try Self.task(
                        name, checkpoint, selector, (start.label, source, digest), ownTensors, options, session))
            }
        }
        if left < excluded.count {
            let known = Set(found.map(\.name))
            let missing = excluded.filter { !known.contains($0) }
            if left == 0, let name = missing.first {
                throw ZooError(
                    .notFound, "--exclude \(name): no task has that name",
                    hint: NearestName.hint(name, in: known.sorted(), kind: "tasks"))
            }
        }
        try Self.noteBuffers(found, source, session)
        guard !found.isEmpty else {
            throw ZooError(
                .notFound, "no task is left", hint: "name fine-tuned networks or task vectors after the base")
        }
        self.tasks = found
    }

    /// The operands in order.
    var operands: [TaskOperand] { tasks.map(\.operand) }

    /// The places of tasks whose vector is zero: base + τ equals the base in every element.
    func zeroPlaces() throws -> [Int] {
        let learned = source.tensorInfos.filter(\.dtype.isFloatingPoint)
        return try tasks.indices.filter { place in
            var scales = [Double](repeating: 0, count: tasks.count)
            scales[place] = 1
            let moved = DisplacedModel(base: source, operands: operands, scales: scales)
            return try learned.allSatisfy { info in
                try Cancellation.check()
                return try moved.tensor(named: info.name).doubles() == source.tensor(named: info.name).doubles()
            }
        }
    }

    /// Warns of each task whose vector is zero.
    ///
    /// - Throws: `mismatch` when all are.
    func checkZeros(_ session: Session) throws {
        let zeros = try zeroPlaces()
        guard zeros.count < tasks.count else { throw Self.allZero }
        for place in zeros {
            session.warn("the task vector of \(tasks[place].name) is zero: the network equals the base")
        }
    }

    /// Nothing was learned by any task.
    static var allZero: ZooError {
        ZooError(.mismatch, "every task vector is zero: the tasks equal the base", hint: "name fine-tuned networks")
    }

    /// Names in order.
    var names: [String] { tasks.map(\.name) }

    /// `NAME=SELECTOR`, unless there is a file of the whole name.
    static func split(_ text: String) -> (name: String?, selector: String) {
        guard access(text, F_OK) != 0, !text.hasPrefix("where:"), let equals = text.firstIndex(of: "="),
            equals > text.startIndex,
            text[..<equals].allSatisfy({ $0.isLetter || $0.isNumber || "._-".contains($0) })
        else { return (nil, text) }
        return (String(text[..<equals]), String(text[text.index(after: equals)...]))
    }

    /// What a task is called: its model in the catalog, else its file without ending or its folder.
    static func name(of checkpoint: SelectedCheckpoint) -> String {
        if let row = checkpoint.row { return row.model }
        let last = checkpoint.label.split(separator: "/").last.map(String.init) ?? checkpoint.label
        guard let dot = last.lastIndex(of: "."), dot > last.startIndex else { return last }
        let stem = String(last[..<dot])
        // rot90.tau.safetensors is the vector of the task rot90.
        return stem.hasSuffix(".tau") && stem.count > 4 ? String(stem.dropLast(4)) : stem
    }

    private static func task(
        _ name: String, _ checkpoint: SelectedCheckpoint, _ selector: String,
        _ base: (label: String, source: any TensorSource, digest: String), _ ownTensors: [String],
        _ options: TaskOptions, _ session: Session
    ) throws -> Task {
        let source = try checkpoint.open()
        let metadata = TaskVectorMetadata(source)
        var form = TaskOperand.Form.fineTuned(source)
        if metadata != nil { form = .vector(source) }
        if LowRankAdapter.isAdapter(source.tensorInfos) {
            form = .lowRank(try LowRankAdapter(source, config: try adapterConfig(selector), label: checkpoint.label))
        }
        if let made = metadata?.base, made != base.digest, !options.force {
            throw ZooError(
                .mismatch,
                "\(checkpoint.label) was made for a base with digest \(made); \(base.label) has \(base.digest)",
                hint: "give the base it was made from, or --force")
        }
        let operand = try ZooError.locate(checkpoint.label) {
            try TaskOperand(
                name, form, base: base.source.tensorInfos, excluded: ownTensors, ignoresExtra: options.ignoreExtra,
                ignoresMissing: options.ignoreMissing)
        }
        try checkFinite(source, checkpoint.label)
        for note in operand.notes { session.note(note) }
        var tuned: (any TensorSource)?
        if case .fineTuned = form { tuned = source }
        return Task(
            name: name, checkpoint: checkpoint, operand: operand, digest: try VectorDigest.of(source),
            fineTunedDigest: metadata?.fineTuned, fineTuned: tuned)
    }

    /// A network that diverged, or a vector made of one, would spoil all that is made with it.
    ///
    /// - Throws: `numeric` naming the file and its first tensor that is not finite.
    static func checkFinite(_ source: any TensorSource, _ label: String) throws {
        for info in source.tensorInfos where info.dtype.isFloatingPoint {
            try Cancellation.check()
            let tensor = try source.tensor(named: info.name)
            let count = tensor.nonFiniteCount
            tensor.bytes.releasePages()
            guard count == 0 else {
                throw ZooError(
                    .numeric,
                    "\(label): tensor '\(info.name)' has \(Quantity.count(count)) elements that are NaN or infinite",
                    hint: "the network diverged; leave it out or choose an earlier checkpoint")
            }
        }
    }

    /// Integer tensors are no part of a vector: says once in which tasks they differ.
    private static func noteBuffers(_ tasks: [Task], _ base: any TensorSource, _ session: Session) throws {
        let integers = base.tensorInfos.filter { !$0.dtype.isFloatingPoint }
        var tensors: Set<String> = [], owners: [String] = []
        for task in tasks {
            guard case .fineTuned(let source) = task.operand.form else { continue }
            let known = Set(source.tensorInfos.map(\.name))
            let differing = try integers.map(\.name).filter {
                try known.contains($0)
                    && !source.tensor(named: $0).isIdentical(to: base.tensor(named: $0))
            }
            guard !differing.isEmpty else { continue }
            tensors.formUnion(differing)
            owners.append(task.name)
        }
        guard let first = integers.first(where: { tensors.contains($0.name) }), let owner = owners.first else { return }
        let others = tensors.count > 1 ? " and \(tensors.count - 1) more differ" : " differs"
        let tasks = owners.count > 1 ? "\(owner) and \(owners.count - 1) more tasks" : owner
        session.note("\(tasks): integer tensor '\(first.name)'\(others) from the base's, which are kept")
    }

    private static func adapterConfig(_ path: String) throws -> JSONObject {
        let folder =
            access(path + "/adapter_config.json", R_OK) == 0
            ? path : path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
        let file = folder + "/adapter_config.json"
        guard access(file, R_OK) == 0 else {
            throw ZooError(
                .notFound, "\(path) is a LoRA adapter without an adapter_config.json beside it",
                hint: "the configuration holds lora_alpha, without which the scale is not known")
        }
        let json = try ZooError.locate(file) { try JSONParser.parse(try Bytes(mapping: file)) }
        guard let object = json.object else { throw ZooError(.corrupt, "\(file): not a JSON object") }
        return object
    }

    /// Parents of what is made of base and tasks.
    func parents(_ coefficients: [Double?]) -> [DerivedModel.Parent] {
        [.init(checkpoint: base, coefficient: 1)]
            + zip(tasks, coefficients).map { .init(checkpoint: $0.checkpoint, coefficient: $1) }
    }
}
