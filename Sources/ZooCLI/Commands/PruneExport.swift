import ArgumentParser
import ZooBase
import ZooCatalog
import ZooFormats
import ZooPrune
import ZooReport
import ZooTensor

/// `zoo prune export`: a pruned network in less storage.
package struct PruneExport: ZooCommand {
    package static let configuration = CommandConfiguration(
        commandName: "export",
        abstract: "Write a pruned network as masks and values: less storage, expanded when it is loaded.",
        discussion: """
            Matrices with enough zeros are kept as one bit per weight and the values that are left; everything else as \
            it is. All commands of this tool read the file like any other and get the very same tensors; other \
            programs do not: for them expand it with 'zoo prune export --dense'.

            Example:
              zoo prune export pruned --compact --to pruned-compact
              zoo prune export pruned-compact --dense --to model-for-others
            """)

    @Argument(help: "The network: a folder or a file.")
    package var model: String

    @Flag(help: "As masks and values, or dense.")
    package var form: Form = .compact

    @Option(help: ArgumentHelp("The folder to write.", valueName: "folder"))
    package var to: String

    @Flag(help: "Replace the folder when it is there.")
    package var replace = false

    @OptionGroup package var output: OutputOptions
    @OptionGroup(title: "Common options") package var global: GlobalOptions

    package init() {}

    package var outputPath: String? { output.output }

    /// How tensors are stored.
    package enum Form: String, EnumerableFlag {
        case compact, dense
    }

    package func run(in session: Session) throws {
        let selected = try SelectorResolver(catalogPath: session.catalogPath).resolveOne(model)
        let source = try selected.open()
        let place = selected.place ?? selected.label
        let before = source.tensorInfos.reduce(0) { $0 + $1.byteCount }
        var folder = HuggingFaceFolder()
        folder.jobs = session.jobs
        folder.maximumShardBytes = .max
        if MergeModels.isFolder(place) {
            let names =
                HuggingFaceFolder.companionNames + [
                    "config.json", "modules.json", "sentence_bert_config.json", "config_sentence_transformers.json",
                    "1_Pooling/config.json", "mask.bin", "prune.json",
                ]
            for name in names where MergeModels.isReadable("\(place)/\(name)") {
                folder.files.append((name, .copy(of: "\(place)/\(name)")))
            }
        }
        var stored: any TensorSource = source
        if form == .compact {
            let packed = try CompactStorage.pack(source)
            stored = packed.state
            folder.metadata = folder.metadata.merging(packed.metadata) { _, new in new }
        }
        _ = try folder.write(stored, to: to, replacing: replace)
        let after = stored.tensorInfos.reduce(0) { $0 + $1.byteCount }
        let json = JSONObject([
            ("model", .string(selected.label)), ("form", .string(form.rawValue)), ("output", .string(to)),
            ("dense_bytes", .int(Int64(before))), ("bytes", .int(Int64(after))),
            ("share", .double(Double(after) / Double(max(1, before)))),
        ])
        var table = Table([
            .init("output", isPath: true), .init("dense", .integer, unit: .bytes),
            .init("stored", .integer, unit: .bytes),
            .init("share", .double, digits: 3),
        ])
        table.append([.text(to), .int(before), .int(after), .double(Double(after) / Double(max(1, before)))])
        try session.emit(.object(json), as: table)
    }
}
