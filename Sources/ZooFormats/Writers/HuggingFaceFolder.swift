import Foundation
import ZooBase
import ZooTensor

/// Writes a complete model folder: weights in shards with their index, configuration, tokenizer, card.
///
/// Everything is written into a folder with a temporary name beside the target and verified there; the target appears
/// by one rename. A stop at any moment leaves no folder that looks finished, and what a killed writer left is removed
/// by the next one of the same name.
public struct HuggingFaceFolder: Sendable {
    /// A file beside the weights.
    public enum File: Sendable {
        /// Text to write.
        case text(String)
        /// Bytes to write.
        case bytes([UInt8])
        /// Tensors to write as safetensors.
        case tensors(StateDict)
        /// A file to copy.
        case copy(of: String)
    }

    /// Files beside the weights by name.
    public var files: [(name: String, file: File)] = []
    /// The most tensor bytes in one shard.
    public var maximumShardBytes = 5_000_000_000
    /// The header of every shard.
    public var metadata = SafetensorsWriter.defaultMetadata
    /// The name of the weights without its ending: `model`, or `adapter_model` for adapters.
    public var stem = "model"
    /// Threads.
    public var jobs = 1

    /// A folder of weights alone.
    public init() {}

    /// Names of files that belong to a tokenizer or preprocessor and are taken along as they are.
    public static let companionNames = [
        "tokenizer_config.json", "special_tokens_map.json", "tokenizer.json", "tokenizer.model", "added_tokens.json",
        "merges.txt", "vocab.json", "vocab.txt", "chat_template.jinja", "chat_template.json",
        "generation_config.json", "preprocessor_config.json", "processor_config.json",
        "video_preprocessor_config.json",
    ]

    /// Writes the folder.
    ///
    /// - Parameter replacing: removes a folder that is there once the new one is complete.
    /// - Returns: the file names.
    /// - Throws: `usage` for a target that is there and not empty; what writing and verifying throw.
    public func write(
        _ source: any TensorSource, to target: String, replacing: Bool = false,
        progress: (@Sendable (Int) -> Void)? = nil
    ) throws -> [String] {
        let target = target.hasSuffix("/") ? String(target.dropLast()) : target
        try Self.check(target, replacing: replacing)
        try checkSpace(for: source.tensorInfos, at: target)
        let parent = target.lastIndex(of: "/").map { String(target[..<$0]) } ?? "."
        let name = target.split(separator: "/").last.map(String.init) ?? target
        if !parent.isEmpty { try makeFolder(parent) }
        Self.removeLeftovers(of: name, in: parent.isEmpty ? "/" : parent)
        let temporary = "\(parent)/.\(name).\(getpid()).partial"
        var isDone = false
        defer { if !isDone { try? FileManager.default.removeItem(atPath: temporary) } }
        try makeFolder(temporary)
        var names = try SafetensorsWriter.writeSharded(
            source, toFolder: temporary, maximumShardBytes: maximumShardBytes, metadata: metadata, jobs: jobs,
            indexMetadata: metadata.filter { $0.key != "format" }, stem: stem, progress: progress)
        try Self.verify(source, temporary, names)
        for (name, file) in files {
            switch file {
            case .text(let text): try AtomicFile.write("\(temporary)/\(name)", Array(text.utf8))
            case .bytes(let bytes): try AtomicFile.write("\(temporary)/\(name)", bytes)
            case .tensors(let state): try SafetensorsWriter.write(state, to: "\(temporary)/\(name)")
            case .copy(let path):
                let bytes = try Bytes(mapping: path)
                let copy = try AtomicFile("\(temporary)/\(name)")
                try copy.write(bytes)
                try copy.commit()
            }
            names.append(name)
        }
        try Cancellation.check()
        try place(temporary, at: target)
        isDone = true
        syncFolder(of: target)
        return names
    }

    /// Gives the finished folder its name. A folder that is there changes places with it, so that the name leads to a
    /// whole folder at any moment, and is removed then.
    private func place(_ finished: String, at target: String) throws {
        if FileManager.default.fileExists(atPath: target) {
            let old = try exchangeFolders(finished, target) ? finished : target
            do { try FileManager.default.removeItem(atPath: old) } catch {
                throw ZooError(.io, "cannot remove \(old)", cause: error)
            }
            if old == finished { return }
        }
        guard rename(finished, target) == 0 else { throw ZooError.system("rename to \(target)", errno: errno) }
    }

    /// The bytes that the folder will take: tensors, headers, files.
    public func byteCount(of tensors: [TensorInfo]) -> Int {
        // A header names every tensor, and so does the index.
        let weights = tensors.reduce(0) { $0 + $1.byteCount + 2 * ($1.name.utf8.count + 128) }
        return files.reduce(weights) { sum, entry in
            switch entry.file {
            case .text(let text): return sum + text.utf8.count
            case .bytes(let bytes): return sum + bytes.count
            case .tensors(let state): return sum + state.tensorInfos.reduce(0) { $0 + $1.byteCount + 192 }
            case .copy(let path):
                let attributes = try? FileManager.default.attributesOfItem(atPath: path)
                return sum + ((attributes?[.size] as? Int) ?? 0)
            }
        }
    }

    /// Looks whether there is room before anything is written.
    ///
    /// - Throws: `io` with what is needed and what is free.
    public func checkSpace(for tensors: [TensorInfo], at target: String) throws {
        let needed = byteCount(of: tensors)
        let system = try ZooBase.FileSystem(of: target)
        guard needed > system.freeByteCount else { return }
        throw ZooError(
            .io, "cannot write \(target): it takes \(needed) bytes, \(system.freeByteCount) are free on its disk",
            hint: "free disk space or write elsewhere; --dry-run shows the size")
    }

    /// - Throws: `usage` when the target must not be overwritten.
    public static func check(_ target: String, replacing: Bool) throws {
        var isFolder: ObjCBool = false
        guard FileManager.default.fileExists(atPath: target, isDirectory: &isFolder) else { return }
        guard isFolder.boolValue else { throw ZooError(.usage, "\(target) is a file; a folder is to be written") }
        let contents = (try? FileManager.default.contentsOfDirectory(atPath: target)) ?? []
        guard contents.isEmpty || replacing else {
            throw ZooError(
                .usage, "\(target) is there already and holds \(contents.count) files",
                hint: "choose another folder, or add --replace")
        }
    }

    /// Opens what was written and compares it with what was to be written.
    private static func verify(_ source: any TensorSource, _ folder: String, _ names: [String]) throws {
        let main = names.first { $0.hasSuffix(".index.json") } ?? names.first ?? ""
        // As it was written: compact storage is not expanded here.
        let written: any TensorSource =
            main.hasSuffix(".index.json")
            ? try CheckpointFile.open("\(folder)/\(main)").source
            : try SafetensorsReader(Bytes(mapping: "\(folder)/\(main)"), name: main)
        let found = Dictionary(written.tensorInfos.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        for info in source.tensorInfos where found[info.name] != info {
            throw ZooError(
                .io, "\(folder): tensor '\(info.name)' was not written as planned",
                hint: "check the disk and run the command again")
        }
    }

    /// Removes temporary folders of the same name whose writers no longer run.
    private static func removeLeftovers(of name: String, in folder: String) {
        for found in (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? [] {
            guard found.hasPrefix(".\(name)."), found.hasSuffix(".partial"),
                let writer = pid_t(found.dropFirst(name.count + 2).dropLast(".partial".count)), writer > 0,
                kill(writer, 0) != 0, errno == ESRCH
            else { continue }
            try? FileManager.default.removeItem(atPath: "\(folder)/\(found)")
        }
    }
}
