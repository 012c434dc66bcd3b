import ArgumentParser
import ZooBase
import ZooCatalog
import ZooFormats
import ZooMerge
import ZooReport
import ZooTensor

/// `zoo lora`: adapters made into models, out of models, and into one.
package struct Lora: ParsableCommand {
    package static let configuration = CommandConfiguration(
        commandName: "lora",
        abstract: "Merge LoRA adapters into their base, extract them from fine-tuned models, combine them.",
        discussion: """
            Adapters are folders as PEFT writes them: adapter_config.json beside adapter_model.safetensors or .bin. \
            Everywhere else a model is meant, BASE+ADAPTER names the base with the adapter merged into it.

            Example:
              zoo lora merge llama-base/ my-adapter/ --to merged/
              zoo eval llama-base/+my-adapter/ --data held-out.jsonl
            """,
        subcommands: [LoraMerge.self, LoraExtract.self, LoraCombine.self])

    package init() {}
}

/// `zoo lora merge`.
package struct LoraMerge: ZooCommand {
    package static let configuration = CommandConfiguration(
        commandName: "merge",
        abstract: "Write a base model with a LoRA adapter merged into it.",
        discussion: """
            W + s·B·A tensor by tensor, in single precision (double where the base is), rounded once to the base's \
            type: rslora, rank_pattern and alpha_pattern, fan_in_fan_out, convolutions, embeddings, biases, DoRA, \
            modules_to_save. A tensor of the adapter that finds no place in the base is an error. OUT is a folder with \
            the base's configuration and tokenizer (the adapter's, where it brings one), or a checkpoint file by its \
            ending.

            Example:
              zoo lora merge llama-base/ my-adapter/ --to merged/
              zoo lora merge base.safetensors adapter/adapter_model.bin --to merged.safetensors --json
            """)

    @Argument(help: "The base: a file, folder, ARCHIVE!/MEMBER, id, NAME@EPOCH.")
    package var base: String

    @Argument(help: "The adapter: a folder, its weights, an ARCHIVE!/MEMBER, or an id.")
    package var adapter: String

    @Option(help: ArgumentHelp("The folder to write, or a file: .safetensors, .pt, .npz, .h5.", valueName: "out"))
    package var to: String

    @Option(help: ArgumentHelp("Largest shard: bytes, or with K, M, B for 10^3, 10^6, 10^9.", valueName: "n"))
    package var outShardSize: String = "5B"

    @Flag(help: "Replace a folder that is there, once the new one is complete.")
    package var replace = false

    @OptionGroup package var output: OutputOptions
    @OptionGroup(title: "Common options") package var global: GlobalOptions

    package init() {}

    package var outputPath: String? { output.output }

    package func run(in session: Session) throws {
        let isFile = (try? CheckpointWriters.writer(for: to)) != nil
        if !isFile { try HuggingFaceFolder.check(to, replacing: replace) }
        let resolver = SelectorResolver(catalogPath: session.catalogPath)
        let found = try resolver.resolve(base, adapter: adapter)
        guard let chosen = found.first, found.count == 1 else {
            throw ZooError(.usage, "'\(base)' names \(found.count) checkpoints; one is needed")
        }
        guard let merged = try chosen.open() as? AdaptedSource else {
            throw ZooError(.internal, "\(chosen.label) is no adapted model")
        }
        let bytes = merged.tensorInfos.reduce(0) { $0 + $1.byteCount }
        let progress = session.progress("lora merge", total: bytes, unit: .bytes)
        let metadata = ["format": "pt", "zoo_method": "lora merge", "zoo_version": ZooVersion.string]
        if isFile {
            try CheckpointWriters.write(merged, to: to, metadata: metadata, jobs: session.jobs) {
                progress.advance(by: $0)
            }
        } else {
            var folder = HuggingFaceFolder()
            folder.jobs = session.jobs
            folder.metadata = metadata
            folder.maximumShardBytes = try Merge.shardSize(outShardSize)
            folder.files = try companions(chosen, merged, session)
            _ = try folder.write(merged, to: to, replacing: replace) { progress.advance(by: $0) }
        }
        progress.finish()
        try DerivedModel(
            path: to, role: "lora merge",
            parents: try resolver.resolve([base]).map { .init(checkpoint: $0, coefficient: nil) }
        ).record(session)
        try report(merged, session)
    }

    private func companions(
        _ chosen: SelectedCheckpoint, _ merged: AdaptedSource, _ session: Session
    ) throws -> [(name: String, file: HuggingFaceFolder.File)] {
        let models = MergeModels(catalogPath: session.catalogPath)
        let base = chosen.place.flatMap { MergeModels.isFolder($0) ? $0 : nil }
        let beside = MergeModels.isFolder(adapter) ? adapter : nil
        var files: [(name: String, file: HuggingFaceFolder.File)] = []
        if let base, let config = try models.config(inFolder: base) {
            let text = JSONValue.object(MergeModels.adapted(config, merged)).text(indent: 2) + "\n"
            files.append(("config.json", .text(text)))
        }
        for name in HuggingFaceFolder.companionNames {
            let folders = [beside, base].compactMap { $0 }
            guard let folder = folders.first(where: { MergeModels.isReadable("\($0)/\(name)") }) else { continue }
            files.append((name, .copy(of: "\(folder)/\(name)")))
        }
        let name = to.split(separator: "/").last.map(String.init) ?? to
        files.append(
            ("README.md", .text(AdapterCard.merged(name, base: base ?? self.base, adapter: adapter))))
        return files
    }

    private func report(_ merged: AdaptedSource, _ session: Session) throws {
        let modules = merged.adapter.modules
        var table = Table([
            .init("module"), .init("rank", .integer), .init("scaling", .double), .init("kind"),
        ])
        for module in modules {
            let kind =
                (module.magnitude == nil ? "lora" : "dora") + (module.isEmbedding ? ", embedding" : "")
                + (module.bias == nil ? "" : ", bias")
            table.append([.text(module.name), .int(module.rank), .double(module.scaling), .text(kind)])
        }
        let json: JSONValue = [
            "base": .string(base), "adapter": .string(adapter), "output": .string(to),
            "tensors": .int(Int64(merged.tensorInfos.count)), "modules": .int(Int64(modules.count)),
            "replaced": .array(merged.adapter.replacements.map { .string($0.name) }),
            "ranks": .object(JSONObject(modules.map { ($0.name, .int(Int64($0.rank))) })),
            "scalings": .object(JSONObject(modules.map { ($0.name, .double($0.scaling)) })),
        ]
        try session.emit(json, as: table)
        session.note("wrote \(to): \(Quantity.count(merged.tensorInfos.count)) tensors")
    }
}
