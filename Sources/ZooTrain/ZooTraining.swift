import Synchronization
import ZooBase
import ZooFormats
import ZooNN
import ZooTensor

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Grows a zoo: the trials of a manifest, in parallel, each on one thread.
///
/// The bytes of a trial depend on manifest, data and seed alone, not on the number of threads, nor on interruptions: a
/// trial goes on from its last saved epoch, and what is finished is left alone.
package struct ZooTraining: Sendable {
    /// A trial that is ready to run.
    package struct Trial: Sendable {
        /// The name of its folder.
        package var name: String
        package var settings: TrialSettings
        package var blueprint: ArchitectureBlueprint
        fileprivate var base: (any TensorSource)?
        /// What tells its data and its base from others: parts of `params.json`.
        fileprivate var identity = JSONObject()
        /// Parameters that the network has, without buffers.
        package var parameterCount: Int
        /// Optimiser steps of the whole trial.
        package var steps: Int
    }

    /// What became of a trial.
    package enum Outcome: Sendable {
        case trained
        /// The loss left the finite numbers; the text says where.
        case diverged(String)
        /// It was there.
        case found
        case failed(ZooError)
    }

    /// The folder of the zoo.
    package let path: String
    /// What is odd and no fault: tensors of bases that the networks do not read.
    package let warnings: [String]
    package let trials: [Trial]
    private let data: TrainingData
    private let seed: UInt64
    private let library = ProgramLibrary()
    /// Seconds between two saved states.
    package var saveInterval = 2.0

    /// Settles the network of every trial and checks what it asks of data and base, before anything is trained.
    ///
    /// - Parameters:
    ///   - data: the samples of the manifest's splits.
    ///   - folder: where the zoo's folder, named after the manifest, will be.
    ///   - seed: of the command; trials add their own.
    ///   - resolver: the known architecture files, for `architecture: file` and `base`.
    /// - Throws: `usage` listing every trial whose settings do not fit together.
    package init(
        _ manifest: TrainingManifest, data: TrainingData, into folder: String, seed: UInt64,
        resolver: ArchitectureResolver
    ) throws {
        path = "\(folder)/\(manifest.id)"
        self.data = data
        self.seed = seed
        try data.check()
        let problems = ManifestProblems()
        var sources: [String: any TensorSource] = [:]
        var fingerprints: [String: String] = [:]
        var warnings: [String] = []
        let identity = data.identity(manifest.data)
        let present = data.all.map { $0.labels.reduce(into: [Int32: Int]()) { $0[$1, default: 0] += 1 } }
        let digits = max(5, String(manifest.trials.count).count)
        trials = try manifest.trials.enumerated().compactMap { index, settings in
            do {
                for path in [settings.base, settings.architecture["like"]?.string].compactMap({ $0 })
                where sources[path] == nil { sources[path] = try CheckpointFile.open(path).source }
                var trial = try Self.trial(manifest.id, index, digits, settings, data, sources, resolver, present)
                trial.identity = identity
                if let path = settings.base, let base = trial.base {
                    if fingerprints[path] == nil {
                        fingerprints[path] = try base.fingerprint()
                        if let text = Self.unread(base, by: trial.blueprint) {
                            warnings.append("base \(path): \(text)")
                        }
                    }
                    trial.identity["training::base_fingerprint"] = fingerprints[path].map { .string($0) }
                }
                return trial
            } catch {
                let wrapped = ZooError.wrap(error)
                if wrapped.code == .interrupted { throw wrapped }
                problems.add(wrapped.description)
                return nil
            }
        }
        self.warnings = warnings
        try problems.check(manifest.id)
    }

    /// Tensors of a base that a network does not read, in words; nil when it reads all.
    private static func unread(_ base: any TensorSource, by blueprint: ArchitectureBlueprint) -> String? {
        let read = Set(blueprint.graph.parameterNames)
        let left = base.tensorInfos.filter { $0.dtype.isFloatingPoint && !read.contains($0.name) }.map(\.name)
        guard !left.isEmpty else { return nil }
        let shown = left.prefix(8).map { "'\($0)'" }.joined(separator: ", ")
        let rest = left.count > 8 ? " and \(left.count - 8) more" : ""
        return "the network does not read \(left.count) tensors: \(shown)\(rest)"
    }

    private static func trial(
        _ id: String, _ index: Int, _ digits: Int, _ settings: TrialSettings, _ data: TrainingData,
        _ sources: [String: any TensorSource], _ resolver: ArchitectureResolver, _ present: [[Int32: Int]]
    ) throws -> Trial {
        try data.check(settings, outputs: outputs(settings, data), present: present)
        let blueprint = try blueprint(settings, data, sources, resolver)
        try checkSize(blueprint.tensors, settings)
        if let path = settings.base, let base = sources[path] {
            let faults = ParameterNames.faults(expected: blueprint.tensors, found: base.tensorInfos)
            guard faults.isEmpty else {
                throw ZooError(
                    .mismatch,
                    "base \(path) does not fit architecture '\(settings.architectureName)': "
                        + faults.joined(separator: "; "))
            }
        }
        let trained = Set(blueprint.graph.trainableNames)
        _ = try Trainer.trained(blueprint.graph, frozen: settings.frozen)
        let count =
            settings.classes.map { $0.reduce(0) { $0 + (present[0][Int32(clamping: $1)] ?? 0) } } ?? data.train.count
        let whole = count / settings.batchSize
        let steps = whole + (count % settings.batchSize > 0 && !settings.dropsLast ? 1 : 0)
        guard steps > 0 else {
            throw ZooError(
                .usage, "batch_size: \(settings.batchSize) with drop_last leaves no step of \(count) samples")
        }
        let number = String(index)
        var name = "\(id)_\(String(repeating: "0", count: digits - number.count))\(number)"
        let axes = settings.axes.map { "\($0.key)=\(label($0.value))" }.joined(separator: ",")
        // Names of folders end at 255 bytes; the number alone tells trials apart.
        if !axes.isEmpty { name += "_" + String(axes.prefix(120)) }
        return Trial(
            name: name, settings: settings, blueprint: blueprint,
            base: settings.base.flatMap { sources[$0] },
            parameterCount: blueprint.tensors.reduce(0) {
                $0 + (trained.contains($1.name) ? $1.shape.elementCount : 0)
            },
            steps: steps * settings.epochs)
    }

    /// The most numbers that the tensors of a network may have.
    private static let elementLimit = 4_000_000_000

    /// Refuses a network that memory cannot hold: allocating it would end the process.
    ///
    /// - Throws: `limit` with the numbers that the network and its optimiser take.
    private static func checkSize(_ tensors: [TensorInfo], _ settings: TrialSettings) throws {
        let copies = 1 + settings.optimiser.momentNames.count
        let room = Machine.memoryByteCount.map { $0 / 4 / copies } ?? elementLimit
        let most = min(room, elementLimit)
        var total = 0
        for tensor in tensors {
            let (sum, overflows) = total.addingReportingOverflow(tensor.shape.elementCount)
            guard !overflows, sum <= most else {
                throw ZooError(
                    .limit,
                    "architecture: the network is too large for this machine: expected at most \(most) numbers, "
                        + "found more by tensor '\(tensor.name)' of shape \(tensor.shape)",
                    hint: "make layers narrower")
            }
            total = sum
        }
    }

    /// A value as a part of a folder's name.
    private static func label(_ value: JSONValue) -> String {
        let text = value.string ?? value.text()
        return String(
            String.UnicodeScalarView(
                text.unicodeScalars.map { scalar in
                    let isPlain =
                        scalar.isASCII
                        && (scalar.properties.isAlphabetic || ("0"..."9").contains(scalar)
                            || "._+-".unicodeScalars.contains(scalar))
                    return isPlain ? scalar : "_"
                }))
    }

    /// The classes that a network made from numbers tells apart; nil where weights tell.
    private static func outputs(_ settings: TrialSettings, _ data: TrainingData) -> Int? {
        guard settings.architecture["family"] != nil else { return nil }
        if let stated = settings.architecture["classes"]?.int { return stated }
        return settings.isRelabelled ? settings.classes?.count ?? data.classCount : data.classCount
    }

    private static func blueprint(
        _ settings: TrialSettings, _ data: TrainingData, _ sources: [String: any TensorSource],
        _ resolver: ArchitectureResolver
    ) throws -> ArchitectureBlueprint {
        if settings.architecture["family"] != nil {
            return try ArchitectureBlueprint(
                name: settings.architectureName, numbers: settings.architecture, inputShape: data.train.inputShape,
                classes: outputs(settings, data) ?? data.classCount)
        }
        guard let path = settings.base ?? settings.architecture["like"]?.string, let source = sources[path] else {
            throw ZooError(
                .usage, "architecture.file does not say the shapes of the weights",
                hint: "add 'like: CHECKPOINT' to the architecture, a 'base', or use a family")
        }
        var stated = settings.architecture
        for key in ["file", "name", "like"] { stated[key] = nil }
        let request = ArchitectureRequest(
            tensors: source.tensorInfos, inputShape: data.train.inputShape, settings: stated)
        let explicit = try settings.architecture["file"]?.string.map { file in
            access(file, F_OK) == 0
                ? try ArchitectureTemplate(json: ArchitectureFiles.json(at: file)) : try resolver.template(named: file)
        }
        let graph = try resolver.choose(request, explicit: explicit).graph
        let read = Set(graph.parameterNames)
        let tensors = source.tensorInfos.filter { read.contains($0.name) }.map { info in
            TensorInfo(
                name: info.name, dtype: info.dtype.isFloatingPoint ? .float32 : .int64, shape: info.shape)
        }
        return ArchitectureBlueprint(graph: graph, tensors: tensors)
    }

    // MARK: Running

    /// Trains what is not there yet.
    ///
    /// - Parameters:
    ///   - warn: told what is odd and was mended, from any thread.
    ///   - ended: told of every trial that ended, from any thread.
    /// - Returns: an outcome per trial, in order.
    /// - Throws: `busy` while another process grows this zoo; `interrupted`: running trials have saved their last whole
    ///   epoch.
    package func run(
        jobs: Int, warn: @escaping @Sendable (String) -> Void = { _ in },
        ended: @escaping @Sendable (Trial, Outcome) -> Void
    ) throws -> [Outcome] {
        try makeFolder(path)
        let lock = try TrainingLock(growing, zoo: path)
        defer {
            lock.release()
            // Only when it is empty: a trial that failed leaves what it has.
            rmdir(growing)
        }
        return try Parallel.map(count: trials.count, jobs: jobs) { index in
            let trial = trials[index]
            let outcome: Outcome
            do { outcome = try run(trial, warn) } catch let error as ZooError where error.code != .interrupted {
                outcome = .failed(error)
            }
            ended(trial, outcome)
            return outcome
        }
    }

    /// Where trials grow: beside the zoo, under a name that no indexer of it looks into.
    private var growing: String {
        let cut = path.lastIndex(of: "/").map { path.index(after: $0) } ?? path.startIndex
        return "\(path[..<cut]).\(path[cut...]).growing"
    }

    private func trainer(_ trial: Trial) throws -> Trainer {
        try Trainer(
            trial.settings, blueprint: trial.blueprint, data: data.prepared(trial.settings, base: seed),
            seed: TrainingSeed(base: seed, trial: trial.settings.seed), base: trial.base, library: library)
    }

    private func run(_ trial: Trial, _ warn: (String) -> Void) throws -> Outcome {
        let folder = TrialFolder(
            name: trial.name, path: "\(path)/\(trial.name)",
            work: "\(growing)/\(trial.name)", settings: trial.settings,
            seed: TrainingSeed(base: seed, trial: trial.settings.seed), identity: trial.identity)
        if try folder.finished() != nil { return .found }
        try makeFolder(folder.work)
        let trainer = try trainer(trial)
        var results = try folder.resume(trainer.block, warn)
        // What the saved state does not know would end up in the zoo beside what is trained now.
        try folder.clean(after: results.isEmpty ? nil : results.count - 1)
        if results.isEmpty { try begin(trainer, folder, &results) }
        var failure = results.last?["failure"]?.string
        var saved = now()
        while failure == nil, results.count <= trial.settings.epochs {
            let snapshot = trainer.block.snapshot()
            let result: EpochResult
            do {
                result = try trainer.epoch(results.count)
                if result.failure != nil {
                    trainer.block.restore(snapshot)
                    // The last finite epoch is kept, whether the plan wanted it or not.
                    try folder.writeCheckpoint(result.epoch - 1, trainer.block, trained: trainer.trained)
                } else if trial.settings.checkpoints.keeps(result.epoch, of: trial.settings.epochs) {
                    try folder.writeCheckpoint(result.epoch, trainer.block, trained: trainer.trained)
                }
            } catch {
                try folder.save(snapshot, trainer.block, results: results)
                throw error
            }
            failure = result.failure
            results.append(
                result.json(trial: trial.name, isLast: failure != nil || result.epoch == trial.settings.epochs))
            if now() - saved > saveInterval {
                try folder.save(trainer.block.snapshot(), trainer.block, results: results)
                saved = now()
            }
        }
        try folder.finish(results)
        return failure.map { .diverged($0) } ?? .trained
    }

    private func begin(_ trainer: Trainer, _ folder: TrialFolder, _ results: inout [JSONObject]) throws {
        let first = try trainer.initialResult()
        if trainer.settings.checkpoints.keeps(0, of: trainer.settings.epochs) {
            try folder.writeCheckpoint(0, trainer.block, trained: trainer.trained)
        }
        results = [first.json(trial: folder.name, isLast: first.failure != nil)]
    }

    private func now() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
    }

    // MARK: Estimates

    /// Seconds that all trials will take on so many threads: one step of every kind is measured.
    package func estimate(jobs: Int) throws -> Double {
        struct Kind: Hashable {
            var blueprint: ArchitectureBlueprint
            var batch: Int
            var optimiser: Optimiser.Kind
        }
        var seconds: [Kind: Double] = [:]
        var total = 0.0
        for trial in trials {
            let kind = Kind(
                blueprint: trial.blueprint, batch: trial.settings.batchSize, optimiser: trial.settings.optimiser.kind)
            if seconds[kind] == nil {
                let trainer = try trainer(trial)
                let places = Array(0..<min(trial.settings.batchSize, data.train.count))
                _ = try trainer.train(places, epoch: 1)
                let start = now()
                for _ in 0..<3 { _ = try trainer.train(places, epoch: 1) }
                let step = (now() - start) / 3
                let evaluation = now()
                _ = try trainer.initialResult()
                // Evaluation of an epoch, spread over its steps.
                seconds[kind] = step + (now() - evaluation) / Double(trainer.stepsPerEpoch)
            }
            total += (seconds[kind] ?? 0) * Double(trial.steps)
        }
        return total / Double(max(1, min(jobs, trials.count)))
    }
}
