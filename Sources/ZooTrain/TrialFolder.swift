import ZooBase
import ZooFormats
import ZooTensor

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// The files of one trial, as Ray Tune lays them out. They grow in a folder beside the zoo and move into it by one
/// rename when the trial has ended, so a zoo holds whole trials only.
struct TrialFolder {
    /// The trial's name.
    let name: String
    /// Where the trial will be.
    let path: String
    /// Where it grows.
    let work: String
    let settings: TrialSettings
    let seed: TrainingSeed

    private var stateFile: String { "\(work)/state.safetensors" }

    /// `params.json`: the settings under the published zoos' keys, and as the manifest has them.
    private var params: JSONObject {
        var params = settings.config
        params["training::base_seed"] = .int(Int64(bitPattern: seed.base))
        params["training::manifest"] = .string(JSONValue.object(settings.content).text(sortedKeys: true))
        return params
    }

    /// Whether the trial is there already; what it found last.
    ///
    /// - Throws: `mismatch` when a trial of that name has other settings.
    func finished() throws -> JSONObject? {
        guard access("\(path)/params.json", F_OK) == 0 else { return nil }
        let found = try Self.read("\(path)/params.json")
        guard found.object == params else {
            throw ZooError(
                .mismatch, "\(path) is there and has other settings than the manifest",
                hint: "name the zoo differently ('id'), write elsewhere with --to, or remove the folder")
        }
        let lines = try Bytes(mapping: "\(path)/result.json").withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
        return try lines.split(separator: "\n").last.map { try JSONParser.parse(String($0)) }?.object ?? JSONObject()
    }

    private static func read(_ path: String) throws -> JSONValue {
        try ZooError.locate(path) {
            try JSONParser.parse(Bytes(mapping: path).withUnsafeBytes { String(decoding: $0, as: UTF8.self) })
        }
    }

    // MARK: Resuming

    /// Saves what the next epoch begins from: weights, moments, counters, the results so far.
    func save(_ snapshot: BlockSnapshot, _ block: ParameterBlock, results: [JSONObject]) throws {
        let now = block.snapshot()
        block.restore(snapshot)
        defer { block.restore(now) }
        let facts: JSONValue = [
            "params": .object(params), "step": .int(Int64(block.step)), "batches": .int(block.batchesTracked),
            "results": .array(results.map { .object($0) }),
        ]
        // Saved above all when the user asks to stop; a writer that heeds the request would save nothing then.
        try SafetensorsWriter.writeUninterrupted(
            block.fullState(), to: stateFile, metadata: ["trial": facts.text()])
    }

    /// Puts a saved state back and returns the results so far; empty when there is none that fits.
    func resume(_ block: ParameterBlock) throws -> [JSONObject] {
        guard access(stateFile, F_OK) == 0 else { return [] }
        let file = try CheckpointFile.open(stateFile)
        guard let text = file.metadata["trial"]?.string ?? file.metadata["__metadata__"]?["trial"]?.string,
            let facts = try JSONParser.parse(text).object, facts["params"]?.object == params,
            let results = facts["results"]?.array?.compactMap(\.object), let step = facts["step"]?.int,
            let batches = facts["batches"]?.int
        else { return [] }
        try block.load(full: file.source)
        block.step = step
        block.batchesTracked = Int64(batches)
        return results
    }

    /// Removes what an earlier run left beside the saved state: everything when there is none, else checkpoints after
    /// its epoch and files that were not finished.
    ///
    /// - Parameter epoch: the epoch of the state; nil for no state.
    func clean(after epoch: Int?) throws {
        for name in Self.names(in: work) {
            let path = "\(work)/\(name)"
            guard let epoch else {
                try Self.remove(path)
                continue
            }
            let prefix = "checkpoint_"
            let number = name.hasPrefix(prefix) ? Int(name.dropFirst(prefix.count)) : nil
            if name.hasSuffix(".partial") {
                try Self.remove(path)
            } else if let number {
                if number > epoch { try Self.remove(path) }
                for left in Self.names(in: path) where left.hasSuffix(".partial") { try Self.remove("\(path)/\(left)") }
            }
        }
    }

    /// The entries of a folder; none when it cannot be read.
    private static func names(in folder: String) -> [String] {
        guard let stream = opendir(folder) else { return [] }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) { raw in
                String(decoding: raw.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    /// Removes a file, or a folder with everything in it; links are removed, not followed.
    private static func remove(_ path: String) throws {
        var status = stat()
        guard lstat(path, &status) == 0 else { return }
        if status.st_mode & S_IFMT == S_IFDIR {
            for name in names(in: path) { try remove("\(path)/\(name)") }
            guard rmdir(path) == 0 else { throw ZooError.system("remove folder \(path)", errno: errno) }
        } else {
            guard unlink(path) == 0 else { throw ZooError.system("remove \(path)", errno: errno) }
        }
    }

    // MARK: Writing

    func writeCheckpoint(_ epoch: Int, _ block: ParameterBlock, trained: [String]) throws {
        let digits = String(epoch)
        let folder = "\(work)/checkpoint_\(String(repeating: "0", count: max(0, 6 - digits.count)))\(digits)"
        try makeFolder(folder)
        let state = block.stateDict()
        switch settings.checkpoints.format {
        case .pytorch: try PyTorchWriter.write(state, to: "\(folder)/checkpoints")
        case .safetensors: try SafetensorsWriter.write(state, to: "\(folder)/model.safetensors")
        }
        try AtomicFile.write("\(folder)/.is_checkpoint", [])
        let wanted = settings.checkpoints.optimizer
        if wanted == .all || (wanted == .last && epoch == settings.epochs) {
            try PyTorchOptimizerWriter.write(
                state: moments(block, trained), group: group(block), to: "\(folder)/optimizer")
        }
    }

    private func moments(_ block: ParameterBlock, _ trained: [String]) -> [[(name: String, tensor: Tensor)]] {
        let full = block.fullState()
        guard block.step > 0 else { return trained.map { _ in [] } }
        return trained.map { name in
            var entries: [(name: String, tensor: Tensor)] = []
            if settings.optimiser.kind != .sgd { entries.append(("step", Tensor([Float(block.step)], shape: []))) }
            for moment in settings.optimiser.momentNames {
                if let tensor = full["\(moment)/\(name)"] { entries.append((moment, tensor)) }
            }
            return entries
        }
    }

    private func group(_ block: ParameterBlock) -> JSONObject {
        let optimiser = settings.optimiser
        var group = JSONObject([("lr", .double(optimiser.learningRate))])
        if optimiser.kind == .sgd {
            group["momentum"] = .double(optimiser.momentum)
            group["dampening"] = .double(optimiser.dampening)
            group["nesterov"] = .bool(optimiser.isNesterov)
        } else {
            group["betas"] = .array(optimiser.betas.map { .double($0) })
            group["eps"] = .double(optimiser.epsilon)
            group["amsgrad"] = false
        }
        group["weight_decay"] = .double(optimiser.weightDecay)
        group["maximize"] = false
        group["foreach"] = .null
        group["differentiable"] = false
        return group
    }

    /// Writes settings and results, and moves the trial into the zoo.
    func finish(_ results: [JSONObject]) throws {
        try AtomicFile.write("\(work)/params.json", Array((JSONValue.object(params).text(indent: 2) + "\n").utf8))
        let lines = results.map { JSONValue.object($0).text() + "\n" }.joined()
        try AtomicFile.write("\(work)/result.json", Array(lines.utf8))
        try AtomicFile.write("\(work)/progress.csv", Array(Self.csv(results).utf8))
        unlink(stateFile)
        guard rename(work, path) == 0 else { throw ZooError.system("rename to \(path)", errno: errno) }
    }

    private static func csv(_ results: [JSONObject]) -> String {
        var keys: [String] = []
        for result in results { for (key, _) in result where !keys.contains(key) { keys.append(key) } }
        let rows = results.map { result in
            keys.map { key -> String in
                guard let value = result[key], value != .null else { return "" }
                let text = value.string ?? value.text()
                let needsQuotes = text.contains { ",\"\n".contains($0) }
                return needsQuotes
                    ? "\"" + text.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"")
                        + "\"" : text
            }.joined(separator: ",")
        }
        return ([keys.joined(separator: ",")] + rows).joined(separator: "\n") + "\n"
    }
}
