import ZooBase

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

extension Tokenizer {
    /// The largest file read.
    static let maximumByteCount = 256 << 20

    /// Reads the tokenizer of a model's folder: `tokenizer.json`, else BERT's `vocab.txt` with `tokenizer_config.json`.
    ///
    /// - Throws: `notFound` when the folder has neither; as `init(json:)`.
    public init(folder: String) throws {
        if access(folder + "/tokenizer.json", F_OK) == 0 {
            let bytes = try Self.read(folder + "/tokenizer.json")
            self = try ZooError.locate(folder + "/tokenizer.json") { try Tokenizer(json: JSONParser.parse(bytes)) }
        } else if access(folder + "/vocab.txt", F_OK) == 0 {
            self = try ZooError.locate(folder + "/vocab.txt") { try Self.bert(folder) }
        } else {
            throw ZooError(
                .notFound, "\(folder) has no tokenizer.json and no vocab.txt", hint: "name a folder with --tokenizer")
        }
    }

    private static func read(_ path: String) throws -> Bytes {
        let bytes = try Bytes(mapping: path)
        guard bytes.count <= maximumByteCount else {
            throw ZooError(.unsupported, "\(path): \(bytes.count) bytes; at most \(maximumByteCount) are read")
        }
        return bytes
    }

    private static func bert(_ folder: String) throws -> Tokenizer {
        let text = String(decoding: try read(folder + "/vocab.txt").array, as: UTF8.self)
        var vocabulary: [(token: String, id: Int32)] = []
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            vocabulary.append((String(line.last == "\r" ? line.dropLast() : line), Int32(vocabulary.count)))
        }
        if vocabulary.last?.token == "" { vocabulary.removeLast() }
        var config = JSONObject()
        if access(folder + "/tokenizer_config.json", F_OK) == 0 {
            config = try JSONParser.parse(read(folder + "/tokenizer_config.json")).object ?? config
        }
        let lowercases = config["do_lower_case"]?.bool ?? true
        let known = Dictionary(vocabulary.map { ($0.token, $0.id) }, uniquingKeysWith: { first, _ in first })
        let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        guard let first = known["[CLS]"], let last = known["[SEP]"] else {
            throw ZooError(.corrupt, "the vocabulary lacks [CLS] or [SEP]")
        }
        return Tokenizer(
            model: .wordPiece(
                try WordPiece(vocabulary, prefix: "##", unknown: "[UNK]", maximumLength: 100)),
            normalizers: [
                .bert(
                    cleans: true, separatesIdeographs: config["tokenize_chinese_chars"]?.bool ?? true,
                    stripsAccents: config["strip_accents"]?.bool ?? lowercases, lowercases: lowercases)
            ],
            scanner: nil, addsPrefixSpace: false, trimsOffsets: false,
            added: AddedTokens(
                special.compactMap { token in
                    known[token].map { AddedTokens.Token(content: Array(token.unicodeScalars), id: $0) }
                }),
            template: Template(first: first, last: last), vocabularySize: vocabulary.count,
            maximumLength: config["model_max_length"]?.int.flatMap { $0 < 1 << 20 ? $0 : nil },
            paddingID: known["[PAD]"] ?? 0)
    }

    /// Takes the content of a `tokenizer.json`.
    ///
    /// - Throws: `unsupported` naming a model, normalizer, pattern or option that is not known; `corrupt` for ids out
    ///   of range, merges of unknown tokens and missing parts.
    public init(json: JSONValue) throws {
        guard let model = json["model"], let entries = model["vocab"]?.object else {
            throw ZooError(.unsupported, "tokenizer: no model with a vocabulary of tokens and ids")
        }
        let vocabulary = try entries.map { token, id in
            guard let id = id.int, id >= 0, id < Int(Int32.max) else {
                throw ZooError(.corrupt, "tokenizer: token '\(token.prefix(40))' has no id")
            }
            return (token: token, id: Int32(id))
        }
        var cutting = Cutting()
        try cutting.read(json["pre_tokenizer"])
        var ending = Ending()
        try ending.read(json["post_processor"])
        let normalizers = try Self.normalizers(json["normalizer"])
        let added = try Self.added(json["added_tokens"], isNormalized: !normalizers.isEmpty)
        // Files written before models named their type hold their fields alone.
        let type = model["type"]?.string ?? (model["merges"] != nil ? "BPE" : "WordPiece")
        switch type {
        case "WordPiece":
            guard cutting.isBERT else {
                throw ZooError(.unsupported, "tokenizer: WordPiece without a BertPreTokenizer is not supported")
            }
            self.model = .wordPiece(
                try WordPiece(
                    vocabulary, prefix: model["continuing_subword_prefix"]?.string ?? "##",
                    unknown: model["unk_token"]?.string ?? "[UNK]",
                    maximumLength: model["max_input_chars_per_word"]?.int ?? 100))
        case "BPE":
            guard cutting.isByteLevel else {
                throw ZooError(.unsupported, "tokenizer: BPE that is not byte-level is not supported")
            }
            self.model = .bytePairs(try Self.bytePairs(model, vocabulary))
        default: throw ZooError(.unsupported, "tokenizer: model '\(type)' is not supported; WordPiece and BPE are")
        }
        self.normalizers = normalizers
        self.added = AddedTokens(added)
        scanner = cutting.scanner
        addsPrefixSpace = cutting.addsPrefixSpace
        trimsOffsets = ending.trimsOffsets
        template = ending.template
        vocabularySize = 1 + Int(max(vocabulary.map(\.id).max() ?? -1, added.map(\.id).max() ?? -1))
        maximumLength = json["truncation"]?["max_length"]?.int
        paddingID = Int32(clamping: json["padding"]?["pad_id"]?.int ?? 0)
    }

    private static func bytePairs(_ model: JSONValue, _ vocabulary: [(token: String, id: Int32)]) throws -> BytePairs {
        for key in ["dropout", "continuing_subword_prefix", "end_of_word_suffix"] {
            if let value = model[key], value != .null, value != "", value.double != 0 {
                throw ZooError(.unsupported, "tokenizer: BPE with '\(key)' is not supported")
            }
        }
        if model["byte_fallback"]?.bool == true {
            throw ZooError(.unsupported, "tokenizer: BPE with 'byte_fallback' is not supported")
        }
        let merges = try (model["merges"]?.array ?? []).enumerated().map { rank, merge -> (String, String) in
            if let pair = merge.array, pair.count == 2, let left = pair[0].string, let right = pair[1].string {
                return (left, right)
            }
            let parts = merge.string?.split(separator: " ", omittingEmptySubsequences: false) ?? []
            guard parts.count == 2 else { throw ZooError(.corrupt, "tokenizer: merge \(rank) is no pair") }
            return (String(parts[0]), String(parts[1]))
        }
        return try BytePairs(vocabulary, merges: merges, ignoresMerges: model["ignore_merges"]?.bool ?? false)
    }

    private static func normalizers(_ json: JSONValue?) throws -> [Normalizer] {
        guard let json, json != .null else { return [] }
        switch json["type"]?.string ?? "" {
        case "Sequence": return try (json["normalizers"]?.array ?? []).flatMap { try normalizers($0) }
        case "NFC": return [.composed]
        case "BertNormalizer":
            let lowercases = json["lowercase"]?.bool ?? true
            return [
                .bert(
                    cleans: json["clean_text"]?.bool ?? true,
                    separatesIdeographs: json["handle_chinese_chars"]?.bool ?? true,
                    stripsAccents: json["strip_accents"]?.bool ?? lowercases, lowercases: lowercases)
            ]
        case let type: throw ZooError(.unsupported, "tokenizer: normalizer '\(type)' is not supported")
        }
    }

    private static func added(_ json: JSONValue?, isNormalized: Bool) throws -> [AddedTokens.Token] {
        try (json?.array ?? []).map { token in
            guard let content = token["content"]?.string, let id = token["id"]?.int, 0..<Int(Int32.max) ~= id else {
                throw ZooError(.corrupt, "tokenizer: an added token lacks its text or id")
            }
            if isNormalized, token["normalized"]?.bool == true {
                throw ZooError(
                    .unsupported, "tokenizer: added token '\(content)' is looked for in normalized text, not supported")
            }
            return AddedTokens.Token(
                content: Array(content.unicodeScalars), id: Int32(id),
                isSingleWord: token["single_word"]?.bool ?? false, stripsLeft: token["lstrip"]?.bool ?? false,
                stripsRight: token["rstrip"]?.bool ?? false)
        }
    }
}

/// What a `pre_tokenizer` says.
private struct Cutting {
    var isBERT = false, isByteLevel = false, addsPrefixSpace = false
    var scanner: WordScanner?

    mutating func read(_ json: JSONValue?) throws {
        guard let json, json != .null else { return }
        switch json["type"]?.string ?? "" {
        case "Sequence": for part in json["pretokenizers"]?.array ?? [] { try read(part) }
        case "BertPreTokenizer": isBERT = true
        case "ByteLevel":
            isByteLevel = true
            addsPrefixSpace = json["add_prefix_space"]?.bool ?? true
            let cuts = json["use_regex"]?.bool ?? true
            guard !(cuts && scanner != nil) else {
                throw ZooError(.unsupported, "tokenizer: two patterns after each other are not supported")
            }
            if cuts { scanner = .gpt2 }
        case "Split":
            guard scanner == nil, !isByteLevel, json["behavior"]?.string == "Isolated",
                json["invert"]?.bool != true, let pattern = json["pattern"]?["Regex"]?.string
            else { throw ZooError(.unsupported, "tokenizer: this Split is not supported: \(json.text().prefix(200))") }
            scanner = try WordScanner(pattern: pattern)
        case let type: throw ZooError(.unsupported, "tokenizer: pre-tokenizer '\(type)' is not supported")
        }
        if addsPrefixSpace, case .modern = scanner {
            throw ZooError(.unsupported, "tokenizer: add_prefix_space after a Split is not supported")
        }
    }
}

/// What a `post_processor` says.
private struct Ending {
    var template = Template()
    var trimsOffsets = false

    mutating func read(_ json: JSONValue?) throws {
        guard let json, json != .null else { return }
        switch json["type"]?.string ?? "" {
        case "Sequence": for part in json["processors"]?.array ?? [] { try read(part) }
        case "ByteLevel": trimsOffsets = json["trim_offsets"]?.bool ?? true
        case "TemplateProcessing": template = try Template(json: json)
        case "BertProcessing":
            guard let first = json["cls"]?.array?.last?.int, let last = json["sep"]?.array?.last?.int else {
                throw ZooError(.corrupt, "tokenizer: BertProcessing lacks 'cls' or 'sep'")
            }
            template = Template(first: Int32(clamping: first), last: Int32(clamping: last))
        case let type: throw ZooError(.unsupported, "tokenizer: post-processor '\(type)' is not supported")
        }
    }
}
