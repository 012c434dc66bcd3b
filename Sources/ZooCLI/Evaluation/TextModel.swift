import ZooBase
import ZooCatalog
import ZooFormats
import ZooNN
import ZooReport
import ZooTensor
import ZooTokenizers

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Texts in a file: JSON lines with a field `text` (or another), or plain lines.
enum TextFile {
    /// Whether a path means texts.
    static func isText(_ path: String) -> Bool { path.hasSuffix(".jsonl") || path.hasSuffix(".txt") }

    /// Reads the texts in order; empty lines are left out.
    ///
    /// - Throws: `corrupt` for a line without the field, with its number.
    static func read(_ path: String, field: String = "text") throws -> [String] {
        let bytes = try Bytes(mapping: path)
        return try bytes.withUnsafeBytes { buffer in
            var texts: [String] = []
            for (number, line) in buffer.split(separator: 10, omittingEmptySubsequences: false).enumerated() {
                guard line.contains(where: { $0 > 32 }) else { continue }
                if number % 1024 == 0 { try Cancellation.check() }
                let bare = line.last == 13 ? line.dropLast() : line
                guard path.hasSuffix(".jsonl") else {
                    texts.append(String(decoding: bare, as: UTF8.self))
                    continue
                }
                let value = try ZooError.locate("\(path): line \(number + 1)") {
                    try JSONParser.parse(UnsafeRawBufferPointer(rebasing: bare))
                }
                guard let text = value.string ?? value[field]?.string else {
                    throw ZooError(.corrupt, "\(path): line \(number + 1) has no text in '\(field)'")
                }
                texts.append(text)
            }
            return texts
        }
    }
}

/// A model that reads text, with its tokenizer.
struct TextModel {
    let label: String
    let encoder: TextEncoder
    let tokenizer: Tokenizer
    let graph: ArchitectureGraph
    /// The most tokens per text: the model's, or what its folder states.
    let maximumLength: Int

    /// Opens a checkpoint and the files beside it.
    ///
    /// - Throws: `notFound` without a tokenizer; what the architecture's choice throws.
    init(
        _ checkpoint: SelectedCheckpoint, architecture: String?, settings: [String], tokenizer: String?, batch: Int,
        _ session: Session, defaults: JSONObject = JSONObject()
    ) throws {
        let path = checkpoint.label
        let folder = Self.folder(checkpoint.place ?? path)
        var config = try folder.map { try Self.object($0 + "/config.json") } ?? JSONObject()
        let pooling = try folder.map { try Self.object($0 + "/1_Pooling/config.json") } ?? JSONObject()
        let stated = try Self.pooling(pooling, path)
        if let stated { config["pooling"] = .string(stated) }
        for (key, value) in defaults where config[key] == nil { config[key] = value }
        let source = try checkpoint.open()
        let known = try ArchitectureLibrary(session, explicit: architecture, settings: settings)
        graph = try known.architecture(of: checkpoint, tensors: source.tensorInfos, inputShape: [], beside: config)
            .graph
        if let stated, let op = Self.poolingOperators[stated], !graph.nodes.contains(where: { $0.op == op }) {
            throw ZooError(
                .unsupported,
                "\(path): architecture '\(graph.name)' has no pooling '\(stated)' of 1_Pooling/config.json")
        }
        guard let place = tokenizer ?? folder else {
            throw ZooError(
                .notFound, "\(path) has no folder with a tokenizer", hint: "name one with --tokenizer FOLDER")
        }
        self.tokenizer = try Tokenizer(folder: place)
        let sentence = try folder.map { try Self.object($0 + "/sentence_bert_config.json") } ?? JSONObject()
        let longest = sentence["max_seq_length"]?.int ?? config["max_position_embeddings"]?.int
        encoder = try TextEncoder(
            graph, source: source, maximumLength: longest.flatMap { $0 > 0 ? $0 : nil }, batch: batch)
        maximumLength = encoder.maximumLength
        label = path
    }

    private static let poolingOperators: [String: GraphOperator] = [
        "cls": .selectToken, "mean": .meanTokens, "last": .lastToken,
    ]

    /// What `1_Pooling/config.json` asks for: `pooling_mode` as a word, or a flag for each way; nil when it says nothing.
    private static func pooling(_ config: JSONObject, _ path: String) throws -> String? {
        let flags = [
            ("pooling_mode_cls_token", "cls"), ("pooling_mode_lasttoken", "lasttoken"),
            ("pooling_mode_mean_tokens", "mean"), ("pooling_mode_max_tokens", "max"),
            ("pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len_tokens"),
            ("pooling_mode_weightedmean_tokens", "weightedmean"),
        ]
        let stated = config["pooling_mode"]?.string.map { [$0] }
        let asked = stated ?? flags.filter { config[$0.0]?.bool == true }.map { $0.1 }
        guard let mode = asked.first else { return nil }
        let known = ["cls": "cls", "lasttoken": "last", "mean": "mean"]
        guard asked.count == 1, let name = known[mode] else {
            throw ZooError(
                .unsupported,
                "\(path): 1_Pooling/config.json › pooling › expected mean, cls or lasttoken › found "
                    + asked.joined(separator: " and "))
        }
        return name
    }

    private static func folder(_ path: String) -> String? {
        if access(path + "/config.json", F_OK) == 0 { return path }
        guard access(path, F_OK) == 0 else { return nil }
        let parent = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
        return access(parent + "/config.json", F_OK) == 0 ? parent : nil
    }

    /// What `config.json` in a checkpoint's folder says; empty without one.
    ///
    /// - Throws: `corrupt` when it is no JSON.
    static func configuration(beside path: String) throws -> JSONObject {
        try folder(path).map { try object($0 + "/config.json") } ?? JSONObject()
    }

    private static func object(_ path: String) throws -> JSONObject {
        guard access(path, F_OK) == 0 else { return JSONObject() }
        return try ZooError.locate(path) { try JSONParser.parse(Bytes(mapping: path)).object ?? JSONObject() }
    }

    /// Token ids of texts, shortened to what the model reads.
    func tokens(_ texts: [String], jobs: Int) throws -> [[Int32]] {
        try tokenizer.encode(texts, maximumLength: maximumLength, jobs: jobs).map(\.ids)
    }
}

/// `zoo eval` on texts: loss and perplexity of language models.
enum TextEvaluation {
    static func run(
        _ selectors: [String], data: String, architecture: String?, settings: [String], batch: Int, _ session: Session
    ) throws {
        let texts = try TextFile.read(data)
        guard !texts.isEmpty else { throw ZooError(.mismatch, "\(data) has no texts") }
        var failures: [PartialFailure.Item] = []
        var table = Table(
            [
                .init("checkpoint", isPath: true), .init("split"), .init("loss", .double, digits: 6),
                .init("perplexity", .double, digits: 6), .init("n", .integer),
            ])
        let selected = try SelectorResolver(catalogPath: session.catalogPath).resolve(selectors)
        guard !selected.isEmpty else {
            throw ZooError(.notFound, "no checkpoint is selected", hint: "'zoo query' shows what there is")
        }
        for checkpoint in selected {
            do {
                let model = try TextModel(
                    checkpoint, architecture: architecture, settings: settings, tokenizer: nil, batch: min(batch, 16),
                    session)
                let tokens = try model.tokens(texts, jobs: session.jobs).filter { $0.count > 1 }
                let found = try model.encoder.perplexity(tokens, jobs: session.jobs)
                table.append([
                    .text(checkpoint.label), .text(data), .double(found.loss), .double(found.perplexity),
                    .int(found.count),
                ])
            } catch {
                let wrapped = ZooError.wrap(error)
                if wrapped.code == .interrupted { throw wrapped }
                failures.append(.init(checkpoint.label, wrapped))
            }
        }
        try session.emit(table)
        guard failures.isEmpty else { throw PartialFailure(failures, of: selected.count, kind: "evaluations") }
    }
}
