import CZooKernels
import ZooBase
import ZooCatalog
import ZooFormats
import ZooMerge
import ZooReport
import ZooTensor

/// Writes task vectors and what is made by applying them.
struct VectorWriting {
    private let session: Session
    private let path: String

    init(_ session: Session, to path: String) {
        self.session = session
        self.path = path
    }

    func create(_ command: TaskVectorCreate) throws {
        try checkFormat()
        let resolver = SelectorResolver(catalogPath: session.catalogPath)
        let base = try resolver.resolveOne(command.base), tuned = try resolver.resolveOne(command.fineTuned)
        let source = try base.open(), other = try tuned.open()
        try TaskSet.checkFinite(source, base.label)
        try TaskSet.checkFinite(other, tuned.label)
        var options = TaskVectorDifference.Options()
        options.ignoresExtra = command.ignoreExtra
        options.ignoresMissing = command.ignoreMissing
        options.excluded = command.exclude
        options.dtype = try command.dtype.map(FloatType.named)
        let vector = try TaskVectorDifference(
            base: source, fineTuned: other, names: (base.label, tuned.label), options: options)
        for note in vector.notes { session.note(note) }
        let digests = (try VectorDigest.of(source), try VectorDigest.of(other))
        try write(
            vector, metadata: TaskVectorMetadata.make(base: digests.0, fineTuned: digests.1, made: "task vector"))
        try noteFlushed(vector, source, other)
        if try isZero(vector) { session.warn("the task vector is zero: \(tuned.label) equals \(base.label)") }
        try DerivedModel(
            path: path, role: "task-vector",
            parents: [.init(checkpoint: base, coefficient: -1), .init(checkpoint: tuned, coefficient: 1)]
        ).record(session)
        try report(made: "task vector", [(base.label, -1), (tuned.label, 1)], vector.tensorInfos, base: digests.0)
    }

    private func isZero(_ vector: TaskVectorDifference) throws -> Bool {
        try vector.tensorInfos.allSatisfy { info in
            try Cancellation.check()
            return try vector.tensor(named: info.name).doubles().allSatisfy { $0 == 0 }
        }
    }

    /// Half precision turns small differences into zeros: said, not hidden.
    private func noteFlushed(
        _ vector: TaskVectorDifference, _ base: any TensorSource, _ tuned: any TensorSource
    ) throws {
        guard vector.tensorInfos.contains(where: { $0.dtype.byteCount == 2 }) else { return }
        let stored = try CheckpointFile.open(path).source
        let wide = try TaskVectorDifference(
            base: base, fineTuned: tuned, names: ("base", "fine-tuned"),
            options: {
                var options = TaskVectorDifference.Options()
                options.ignoresExtra = true
                options.ignoresMissing = true
                options.dtype = .float32
                return options
            }())
        var lost = 0
        for info in vector.tensorInfos {
            let narrow = try stored.tensor(named: info.name).floats(), full = try wide.tensor(named: info.name).floats()
            lost += zip(narrow, full).count { $0 == 0 && $1 != 0 }
        }
        if lost > 0 {
            session.warn("\(Quantity.count(lost)) differences are too small for the element type and became zero")
        }
    }

    func apply(_ command: TaskVectorApply) throws {
        _ = try CheckpointWriters.writer(for: path)
        let set = try TaskSet(base: command.base, tasks: command.tasks, options: command.fitting, session: session)
        let given = command.scale.isEmpty ? [1] : command.scale
        guard given.count == 1 || given.count == set.tasks.count else {
            throw ZooError(
                .usage, "\(given.count) --scale for \(set.tasks.count) task vectors",
                hint: "give it once, or once for each")
        }
        let scales = given.count == 1 ? [Double](repeating: given[0], count: set.tasks.count) : given
        try write(set, scales, dtype: try command.dtype.map(FloatType.named), made: "task arithmetic")
        try report(
            made: "task arithmetic",
            [(set.base.label, 1)] + zip(set.tasks.map(\.checkpoint.label), scales).map { ($0, $1) },
            set.source.tensorInfos, base: set.digest)
    }

    /// Writes base + Σ scale · vector and catalogues it.
    func write(_ set: TaskSet, _ scales: [Double], dtype: DType? = nil, made: String) throws {
        let model = DisplacedModel(base: set.source, operands: set.operands, scales: scales, dtype: dtype)
        try write(model, metadata: ["format": "pt", "zoo_method": made, "zoo_base": set.digest])
        try DerivedModel(path: path, role: made, parents: set.parents(scales)).record(session)
    }

    func combine(_ selectors: [String], _ weights: [Double], made: String, force: Bool) throws {
        try checkFormat()
        let resolver = SelectorResolver(catalogPath: session.catalogPath)
        let checkpoints = try selectors.map(resolver.resolveOne)
        let sources = try checkpoints.map { try $0.open() }
        var base: String?
        for (checkpoint, source) in zip(checkpoints, sources) {
            guard let metadata = TaskVectorMetadata(source) else {
                throw ZooError(
                    .mismatch, "\(checkpoint.label) is no stored task vector",
                    hint: "make one with 'zoo task-vector create BASE FINE-TUNED --to FILE'")
            }
            try TaskSet.checkFinite(source, checkpoint.label)
            if let known = base, let own = metadata.base, known != own, !force {
                throw ZooError(
                    .mismatch, "\(checkpoint.label) belongs to a base with digest \(own), the others to \(known)",
                    hint: "vectors of different bases do not add; --force adds them all the same")
            }
            base = base ?? metadata.base
        }
        let sum = try LinearCombination(sources, names: checkpoints.map(\.label), weights: weights)
        try write(sum, metadata: TaskVectorMetadata.make(base: base, made: made))
        try DerivedModel(
            path: path, role: "task-vector \(made)",
            parents: zip(checkpoints, weights).map { .init(checkpoint: $0, coefficient: $1) }
        ).record(session)
        try report(made: made, zip(checkpoints.map(\.label), weights).map { ($0, $1) }, sum.tensorInfos, base: base)
    }

    /// Vectors carry their base's digest, which safetensors alone has a place for.
    private func checkFormat() throws {
        guard try CheckpointWriters.writer(for: path) == SafetensorsWriter.self else {
            throw ZooError(
                .usage, "cannot store a task vector as \(path)", hint: "use a name that ends in .safetensors")
        }
    }

    private func write(_ source: any TensorSource, metadata: [String: String]) throws {
        let bytes = source.tensorInfos.reduce(0) { $0 + $1.byteCount }
        let progress = session.progress("write", total: bytes, unit: .bytes)
        defer { progress.finish() }
        try CheckpointWriters.write(source, to: path, metadata: metadata, jobs: session.jobs) {
            progress.advance(by: $0)
        }
    }

    private func report(made: String, _ parts: [(String, Double)], _ infos: [TensorInfo], base: String?) throws {
        var table = Table([.init("checkpoint", isPath: true), .init("scale", .double)])
        for part in parts { table.append([.text(part.0), .double(part.1)]) }
        let object: JSONValue = [
            "method": .string(made),
            "scaling": .array(parts.map { ["checkpoint": .string($0.0), "scale": .double($0.1)] }),
            "base": base.map { .string($0) } ?? .null, "tensors": .int(Int64(infos.count)),
            "parameters": .int(Int64(infos.reduce(0) { $0 + ($1.dtype.isFloatingPoint ? $1.shape.elementCount : 0) })),
            "output": .string(path),
        ]
        try session.emit(object, as: table)
        session.note("wrote \(path): \(Quantity.count(infos.count)) tensors")
    }
}
