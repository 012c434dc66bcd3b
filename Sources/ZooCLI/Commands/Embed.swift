import ArgumentParser
import ZooBase
import ZooCatalog
import ZooFormats
import ZooNN
import ZooReport
import ZooTensor

/// `zoo embed`: vectors of texts.
package struct Embed: ZooCommand {
    package static let configuration = CommandConfiguration(
        abstract: "Embed texts with a BERT, MiniLM, Llama or Qwen folder.",
        discussion: """
            The folder holds the weights, config.json and a tokenizer (tokenizer.json or vocab.txt). Texts are sorted \
            by length, embedded in batches and written in the order of the file. Texts longer than the model reads are \
            cut. Vectors have unit length. Decoders take the last token unless the folder or --set pooling=mean says \
            otherwise.

            Example:
              zoo embed all-MiniLM-L6-v2 --text "This is an example sentence" --text "Each sentence is converted" --json
              zoo embed all-MiniLM-L6-v2 --data texts.jsonl --to vectors.safetensors
            """)

    @Argument(help: "The model: a folder, a file, an id or NAME@EPOCH.")
    package var model: String

    @Option(help: ArgumentHelp("A text. May be repeated.", valueName: "text"))
    package var text: [String] = []

    @Option(help: ArgumentHelp("Texts: JSON lines (.jsonl) or plain lines (.txt).", valueName: "file"))
    package var data: String?

    @Option(help: ArgumentHelp("The field of JSON lines that holds the text.", valueName: "name"))
    package var field: String = "text"

    @Option(
        help: ArgumentHelp("The vectors as 'embeddings' [texts, size]: .npz, .safetensors, .h5.", valueName: "file"))
    package var to: String?

    @Option(help: ArgumentHelp("The folder of the tokenizer. Default: the model's.", valueName: "folder"))
    package var tokenizer: String?

    @Option(help: ArgumentHelp("An architecture file, or the name of a known architecture.", valueName: "name"))
    package var architecture: String?

    @Option(
        help: ArgumentHelp("A number that the weights do not show: heads=12. May be repeated.", valueName: "key=value"))
    package var set: [String] = []

    @Option(help: ArgumentHelp("Texts per run of the program.", valueName: "number"))
    package var batch: Int = 32

    @OptionGroup package var output: OutputOptions
    @OptionGroup(title: "Common options") package var global: GlobalOptions

    package init() {}

    package var outputPath: String? { output.output }

    package func validate() throws {
        if text.isEmpty == (data == nil) { throw ValidationError("Give either --text or --data.") }
        if batch < 1 || batch > 1 << 16 { throw ValidationError("--batch takes a number from 1 to 65536.") }
    }

    package func run(in session: Session) throws {
        let texts = try data.map { try TextFile.read($0, field: field) } ?? text
        guard !texts.isEmpty else { throw ZooError(.mismatch, "\(data ?? "") has no texts") }
        let selected = try SelectorResolver(catalogPath: session.catalogPath).resolve([model])
        guard selected.count == 1, let checkpoint = selected.first else {
            throw ZooError(.usage, "'\(model)' means \(selected.count) checkpoints; embed takes one")
        }
        let opened = try TextModel(
            checkpoint, architecture: architecture, settings: set, tokenizer: tokenizer, batch: batch, session,
            defaults: JSONObject([("pooling", .string(Self.isDecoder(checkpoint) ? "last" : "mean"))]))
        let progress = session.progress("embed", total: texts.count, unit: .items("texts"))
        let tokens = try opened.tokens(texts, jobs: session.jobs)
        let vectors = try opened.encoder.embed(tokens, jobs: session.jobs) { progress.advance(by: $0) }
        progress.finish()
        let size = vectors.first?.count ?? 0
        if let to {
            var state = StateDict()
            state["embeddings"] = Tensor(vectors.flatMap { $0 }, shape: [vectors.count, size])
            try CheckpointWriters.write(state, to: to, metadata: ["zoo_model": opened.label], jobs: session.jobs) { _ in
            }
            session.note("wrote \(to): \(Quantity.count(vectors.count)) vectors of \(size)")
        }
        try report(opened, texts, tokens, vectors, session)
    }

    private static func isDecoder(_ checkpoint: SelectedCheckpoint) throws -> Bool {
        try checkpoint.open().tensorInfos.contains { $0.name.hasSuffix("embed_tokens.weight") }
    }

    private func report(
        _ model: TextModel, _ texts: [String], _ tokens: [[Int32]], _ vectors: [[Float]], _ session: Session
    ) throws {
        let size = vectors.first?.count ?? 0
        var table = Table([.init("text"), .init("tokens", .integer), .init("vector")])
        for place in texts.indices.prefix(to == nil ? texts.count : 3) {
            let start = vectors[place].prefix(4).map { "\($0)" }.joined(separator: " ")
            table.append([.text(texts[place]), .int(tokens[place].count), .text(start + " …")])
        }
        var json = JSONObject([
            ("model", .string(model.label)), ("texts", .int(Int64(texts.count))), ("size", .int(Int64(size))),
            ("tokens", .array(tokens.map { .int(Int64($0.count)) })),
        ])
        if let to {
            json["output"] = .string(to)
        } else {
            json["vectors"] = .array(vectors.map { .array($0.map { .double(Double($0)) }) })
        }
        try session.emit(.object(json), as: table)
    }
}
