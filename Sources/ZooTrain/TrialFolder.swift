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
    /// What tells data and base from others, as `params.json` has it.
    let identity: JSONObject

    private var stateFile: String { "\(work)/state.safetensors" }
    /// The state saved before: what is gone on from where the last one was damaged.
    private var formerStateFile: String { "\(work)/state.former.safetensors" }

    /// `params.json`: the settings under the published zoos' keys, and as the manifest has them.
    private var params: JSONObject {
        var params = settings.config
        for (key, value) in identity { params[key] = value }
        params["training::base_seed"] = .int(Int64(bitPattern: seed.base))
        params["training::manifest"] = .string(JSONValue.object(settings.content).text(sortedKeys: true))
        return params
    }

    /// Whether the trial is there already; what it found last.
    ///
    /// - Throws: `mismatch` when a trial of that name has other settings, data or base, naming what differs.
    func finished() throws -> JSONObject? {
        guard access("\(path)/params.json", F_OK) == 0 else { return nil }
        let found = try Self.read("\(path)/params.json")
        guard found.object == params else {
            throw ZooError(
                .mismatch, "\(path) is there and was trained otherwise: \(difference(found.object ?? JSONObject()))",
                hint: "name the zoo differently ('id'), write elsewhere with --to, or remove the folder")
        }
        let lines = try Bytes(mapping: "\(path)/result.json").withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
        return try lines.split(separator: "\n").last.map { try JSONParser.parse(String($0)) }?.object ?? JSONObject()
    }

    /// Where the settings that are found differ from these, in words.
    private func difference(_ found: JSONObject) -> String {
        let wanted = params
        var differences: [String] = []
        for key in wanted.map(\.key) + found.map(\.key).filter({ !wanted.contains($0) }) where found[key] != wanted[key]
        {
            // The manifest's text repeats what the other keys say.
            if key == "training::manifest" { continue }
            func text(_ value: JSONValue?) -> String { value?.text() ?? "nothing" }
            differences.append("\(key): expected \(text(wanted[key])), found \(text(found[key]))")
        }
        guard !differences.isEmpty else {
            return "training::manifest: expected \(wanted["training::manifest"]?.text() ?? ""), found "
                + "\(found["training::manifest"]?.text() ?? "nothing")"
        }
        let rest = differences.count > 5 ? " and \(differences.count - 5) more" : ""
        return differences.prefix(5).joined(separator: "; ") + rest
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
        if access(stateFile, F_OK) == 0, rename(stateFile, formerStateFile) != 0 {
            throw ZooError.system("rename \(stateFile)", errno: errno)
        }
        // Saved above all when the user asks to stop; a writer that heeds the request would save nothing then.
        try SafetensorsWriter.writeUninterrupted(
            block.fullState(), to: stateFile, metadata: ["trial": facts.text()])
    }

    /// Puts a saved state back and returns the results so far; empty when there is none that fits. A damaged state is
    /// thrown away, and the one before it is taken, or the trial begins again: its bytes come out the same.
    ///
    /// - Parameter warn: told of states that are thrown away.
    func resume(_ block: ParameterBlock, _ warn: (String) -> Void) throws -> [JSONObject] {
        let initial = block.snapshot()
        for path in [stateFile, formerStateFile] where access(path, F_OK) == 0 {
            do {
                if let results = try resume(block, from: path) { return results }
                warn("\(path): the saved state has other settings or data and is left out")
            } catch let error as ZooError where error.code != .interrupted {
                warn("\(error.at("\(path): the saved state is damaged and is left out").message)")
            }
            block.restore(initial)
            unlink(path)
        }
        return []
    }

    /// The results of a state; nil when it is one of other settings.
    ///
    /// - Throws: what reading throws; `corrupt` where something is missing.
    private func resume(_ block: ParameterBlock, from path: String) throws -> [JSONObject]? {
        let file = try CheckpointFile.open(path)
        guard let text = file.metadata["trial"]?.string ?? file.metadata["__metadata__"]?["trial"]?.string,
            let facts = try JSONParser.parse(text).object, let results = facts["results"]?.array?.compactMap(\.object),
            let step = facts["step"]?.int, let batches = facts["batches"]?.int
        else { throw ZooError(.corrupt, "it does not say which trial it is of") }
        guard facts["params"]?.object == params else { return nil }
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
        unlink(formerStateFile)
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
