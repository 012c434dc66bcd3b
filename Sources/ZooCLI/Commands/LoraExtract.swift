import ArgumentParser
import ZooBase
import ZooCatalog
import ZooFormats
import ZooMerge
import ZooReport
import ZooTensor

/// `zoo lora extract`.
package struct LoraExtract: ZooCommand {
    package static let configuration = CommandConfiguration(
        commandName: "extract",
        abstract: "Extract a LoRA adapter from the difference between a fine-tuned model and its base.",
        discussion: """
            Changes of linear, convolution and (with --embed-lora) embedding weights are decomposed by singular values; \
            norms, embeddings and the head are stored whole under modules_to_save where they differ. Where the rank is \
            far below the matrices' sides a randomised decomposition is used unless --exact says otherwise; the report \
            says which, and the error of each module. The folder is read by PEFT.

            Example:
              zoo lora extract my-finetune/ llama-base/ --rank 32 --to adapter/
              zoo lora extract tuned.safetensors base.safetensors --rank 8 --include-regex 'q_proj|v_proj' --to adapter/
            """)

    @Argument(help: "The fine-tuned model: a file, folder, ARCHIVE!/MEMBER, id, NAME@EPOCH.")
    package var finetuned: String

    @Argument(help: "Its base.")
    package var base: String

    @Option(help: ArgumentHelp("The folder to write.", valueName: "folder"))
    package var to: String

    @Option(help: ArgumentHelp("The largest rank.", valueName: "number"))
    package var rank: Int = 128

    @Option(help: ArgumentHelp("Leave out singular values up to this.", valueName: "number"))
    package var svEpsilon: Double = 0

    @Flag(help: "Give all of the singular values to A instead of their roots to A and B.")
    package var noDistributeScale = false

    @Flag(help: "Decompose embeddings and head too instead of storing them whole.")
    package var embedLora = false

    @Option(help: ArgumentHelp("Store a module whole, by the end of its name; repeatable.", valueName: "name"))
    package var saveModule: [String] = []

    @Option(help: ArgumentHelp("Only modules in whose name this is found; repeatable.", valueName: "re"))
    package var includeRegex: [String] = []

    @Option(help: ArgumentHelp("Not modules in whose name this is found; repeatable.", valueName: "re"))
    package var excludeRegex: [String] = []

    @Flag(help: "Leave out what cannot be decomposed (norms) instead of storing it.")
    package var skipUndecomposable = false

    @Flag(help: "Weights are stored [in, out] as in GPT-2. Default: as the configuration says.")
    package var fanInFanOut = false

    @Flag(help: "Always take the full decomposition.")
    package var exact = false

    @Option(help: ArgumentHelp("Element type of the adapter: float32, float16, bfloat16, float64.", valueName: "name"))
    package var dtype: String = "float32"

    @Flag(help: "Replace a folder that is there, once the new one is complete.")
    package var replace = false

    @OptionGroup package var output: OutputOptions
    @OptionGroup(title: "Common options") package var global: GlobalOptions

    package init() {}

    package var outputPath: String? { output.output }

    package func validate() throws {
        if rank < 1 { throw ValidationError("--rank takes a number from 1 on.") }
        if !(svEpsilon >= 0 && svEpsilon.isFinite) { throw ValidationError("--sv-epsilon takes a number from 0 on.") }
    }

    package func run(in session: Session) throws {
        try HuggingFaceFolder.check(to, replacing: replace)
        let resolver = SelectorResolver(catalogPath: session.catalogPath)
        let (tuned, origin) = (try resolver.resolveOne(finetuned), try resolver.resolveOne(base))
        var options = AdapterExtraction.Options()
        options.rank = rank
        options.svEpsilon = svEpsilon
        options.distributesScale = !noDistributeScale
        options.adaptsEmbeddings = embedLora
        options.saved = saveModule
        options.included = includeRegex
        options.excluded = excludeRegex
        options.skipsUndecomposable = skipUndecomposable
        options.isExact = exact
        options.dtype = try FloatType.named(dtype)
        options.seed = session.seed
        options.jobs = session.jobs
        options.isTransposed = try fanInFanOut || Self.isTransposed(origin, session)
        let progress = session.progress("lora extract", total: nil, unit: .items("modules"))
        let found = try AdapterExtraction(
            tuned: try tuned.open(), base: try origin.open(), baseName: base, options: options
        ) { progress.advance(by: $0) }
        progress.finish()
        for note in found.notes { session.warn(note) }
        if !found.skipped.isEmpty {
            session.warn(
                "\(found.skipped.count) changed modules are left out: "
                    + found.skipped.prefix(3).joined(separator: ", ") + (found.skipped.count > 3 ? ", …" : ""))
        }
        let name = to.split(separator: "/").last.map(String.init) ?? to
        try AdapterCard.write(
            found.adapter, to: to, replacing: replace,
            card: AdapterCard.extracted(name, base: base, tuned: finetuned, found), session)
        try report(found, session)
    }

    /// GPT-2's layers are stored the other way round than everybody else's.
    private static func isTransposed(_ checkpoint: SelectedCheckpoint, _ session: Session) throws -> Bool {
        guard let folder = checkpoint.place, MergeModels.isFolder(folder) else { return false }
        let config = try MergeModels(catalogPath: session.catalogPath).config(inFolder: folder)
        return ["gpt2", "openai-gpt", "imagegpt", "decision_transformer"].contains(config?["model_type"]?.string ?? "")
    }

    private func report(_ found: AdapterExtraction, _ session: Session) throws {
        var table = Table([
            .init("module"), .init("rank", .integer), .init("relative error", .double), .init("exact"),
        ])
        for module in found.modules {
            table.append([
                .text(module.name), .int(module.rank), .double(module.relativeError),
                .text(module.isExact ? "yes" : "no"),
            ])
        }
        let json: JSONValue = [
            "finetuned": .string(finetuned), "base": .string(base), "output": .string(to),
            "rank": .int(Int64(found.modules.map(\.rank).max() ?? 0)),
            "modules": .array(
                found.modules.map {
                    [
                        "module": .string($0.name), "rank": .int(Int64($0.rank)),
                        "relative_error": .double($0.relativeError), "squared_error": .double($0.squaredError),
                        "exact": .bool($0.isExact),
                    ]
                }), "saved": .array(found.saved.map { .string($0) }),
            "skipped": .array(found.skipped.map { .string($0) }), "notes": .array(found.notes.map { .string($0) }),
        ]
        try session.emit(json, as: table)
        session.note(
            "wrote \(to): \(Quantity.count(found.modules.count)) modules, \(Quantity.count(found.saved.count)) whole")
    }
}
