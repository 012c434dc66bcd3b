import ZooBase

/// Folders in the form of the Hugging Face hub: weights (`model.safetensors`, `pytorch_model.bin`, whole or in shards
/// with their index) beside a `config.json`, adapters beside an `adapter_config.json`, and training runs with
/// `checkpoint-500` folders.
///
/// A folder counts when its `config.json` names a `model_type`, `architectures` or `_class_name`. In a hub cache
/// (`models--org--name/snapshots/REVISION`) the model is called `org/name` and its revision is a binding. An adapter
/// records its `base_model`. Weights in a second format beside the chosen one are not listed (`WeightFileChoice`).
public struct HuggingFaceLayout: FolderLayout {
    /// The name in manifests.
    public let name = "hugging-face"

    /// The largest config read.
    static let maximumConfigByteCount = 16 << 20

    /// Creates the layout.
    public init() {}

    /// Finds the models; see `ZooLayout`.
    public func listing(of archive: any Archive, rootName: String = "model") throws -> ZooListing {
        try AutomaticLayout(name: name, layouts: [self]).listing(of: archive, rootName: rootName)
    }

    func claim(_ index: inout MemberIndex, from archive: any Archive, into builder: inout ListingBuilder) throws {
        for position in index.folders.indices where !index.folders[position].isClaimed {
            let folder = index.folders[position]
            guard Self.mayBeOne(folder) else { continue }
            try Cancellation.check()
            claim(position, in: &index, from: archive, into: &builder)
        }
    }

    private static func mayBeOne(_ folder: IndexedFolder) -> Bool {
        guard folder.params < 0, folder.result < 0, !folder.hasCheckpointFolders else { return false }
        return folder.hasDashedCheckpointFolders
            || folder.hasWeights && (folder.config >= 0 || folder.adapterConfig >= 0)
    }

    private func claim(
        _ position: Int, in index: inout MemberIndex, from archive: any Archive, into builder: inout ListingBuilder
    ) {
        let folder = index.folders[position]
        let files = index.files(of: position)
        let isAdapter = folder.adapterConfig >= 0
        var model = ModelEntry(
            folder: folder.path, naming: .folder, layout: isAdapter ? "hugging-face-adapter" : "hugging-face")
        model.config = isAdapter ? folder.adapterConfig : folder.config
        if model.config < 0 { model.config = CheckpointFolders.lastConfig(files) }
        guard model.config >= 0 else { return }
        guard var bindings = Self.bindings(index.members[Int(model.config)], isAdapter, archive, &builder) else {
            return
        }
        var checkpoints: [FoundCheckpoint] = []
        if folder.hasDashedCheckpointFolders {
            checkpoints = CheckpointFolders.checkpoints(files.filter { $0.epoch >= 0 }, in: index, &builder)
        }
        let choice = WeightFileChoice(files.filter { $0.epoch < 0 }, in: index)
        // Several files with names of their own are several models (quantised variants): the flat layout lists them.
        if choice.rank == WeightFileChoice.unnamed, !choice.others.isEmpty { return }
        if let weights = choice.weights { checkpoints.append(weights) }
        for optimizer in choice.optimizers {
            checkpoints.append(FoundCheckpoint(optimizer, epoch: -1, kind: .optimizer))
        }
        let path = folder.path.text(in: index.members)
        if let problem = choice.problem { builder.problem(path, problem) }
        builder.ignore("weights beside better known ones", count: choice.others.count)
        if let cached = HubCachePath(path) {
            model.naming = .text(cached.repository)
            bindings.append(("revision", cached.revision))
        }
        index.folders[position].isClaimed = true
        builder.add(model, details: ModelDetails(bindings: bindings), checkpoints: checkpoints)
    }

    /// What the config says; nil when the folder is no Hugging Face folder.
    private static func bindings(
        _ config: ArchiveMember, _ isAdapter: Bool, _ archive: any Archive, _ builder: inout ListingBuilder
    ) -> [(key: String, value: String)]? {
        let value: JSONValue
        do {
            guard config.byteCount <= maximumConfigByteCount else {
                throw ZooError(.limit, "\(config.byteCount) bytes; a config has at most \(maximumConfigByteCount)")
            }
            value = try JSONParser.parse(archive.bytes(of: config))
        } catch {
            builder.problem(config.path, ZooError.wrap(error).message)
            return isAdapter ? [] : nil
        }
        if isAdapter { return value["base_model_name_or_path"]?.string.map { [("base_model", $0)] } ?? [] }
        let architecture = value["architectures"]?.array?.first?.string
        guard let name = architecture ?? value["model_type"]?.string ?? value["_class_name"]?.string else { return nil }
        return [("architecture", name)]
    }
}

/// `…/models--org--name/snapshots/REVISION` taken apart.
struct HubCachePath {
    /// `org/name`.
    var repository: String
    var revision: String

    /// Nil for a path of another form.
    init?(_ path: String) {
        let parts = path.split(separator: "/")
        guard parts.count >= 3, parts[parts.count - 2] == "snapshots", parts[parts.count - 3].hasPrefix("models--")
        else {
            return nil
        }
        repository = String(parts[parts.count - 3].dropFirst("models--".count)).replacing("--", with: "/")
        revision = String(parts[parts.count - 1])
    }
}
