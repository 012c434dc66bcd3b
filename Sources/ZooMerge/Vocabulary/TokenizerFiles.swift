import ZooBase

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// The tokenizer of a model as its folder holds it: `tokenizer.json`, else `vocab.json` or `vocab.txt`, with
/// `added_tokens.json` and `tokenizer_config.json`.
struct TokenizerFiles: Sendable {
    /// The folder.
    let folder: String
    /// All tokens with their ids.
    let table: TokenTable
    /// `tokenizer.json`.
    let file: JSONObject?
    /// `tokenizer_config.json`.
    let config: JSONObject?

    /// The largest file read: the vocabularies of today's models take 5 to 40 MB.
    private static let maximumByteCount = 256 << 20
    /// The largest id taken: no vocabulary comes near, and rows are counted in 32 bits.
    private static let maximumID = 1 << 28

    /// Reads a folder.
    ///
    /// - Throws: `notFound` when the folder has no vocabulary; `corrupt` for files that contradict their format;
    ///   `limit` for files that are too large.
    init(folder: String) throws {
        self.folder = folder
        config = try Self.object("\(folder)/tokenizer_config.json")
        file = try Self.object("\(folder)/tokenizer.json")
        var table: TokenTable
        if let file {
            table = try ZooError.locate("\(folder)/tokenizer.json") { try Self.table(file) }
        } else if let vocabulary = try Self.object("\(folder)/vocab.json") {
            table = TokenTable(try ZooError.locate("\(folder)/vocab.json") { try Self.pairs(vocabulary) })
        } else if let lines = try Self.lines("\(folder)/vocab.txt") {
            table = TokenTable(lines.enumerated().map { ($1, $0) })
        } else {
            let isPiece = access("\(folder)/tokenizer.model", R_OK) == 0
            throw ZooError(
                .notFound, "\(folder) has no tokenizer.json, vocab.json or vocab.txt",
                hint: isPiece ? "convert its tokenizer.model to tokenizer.json first" : "")
        }
        for token in try Self.beside(folder, config) { table.add(token) }
        self.table = table
    }

    /// The `type` of the model in `tokenizer.json`; files of old do not name it.
    var modelType: String? {
        guard let model = file?["model"] else { return nil }
        return model["type"]?.string ?? (model["merges"] != nil ? "BPE" : "WordPiece")
    }

    /// The chat template: `chat_template.jinja`, else `chat_template.json`, else the configuration's. Of several with
    /// names the default one.
    static func chatTemplate(inFolder folder: String) throws -> String? {
        if let text = try text("\(folder)/chat_template.jinja") { return text }
        for name in ["chat_template.json", "tokenizer_config.json"] {
            guard let found = try object("\(folder)/\(name)")?["chat_template"] else { continue }
            if let text = found.string { return text }
            if let text = found.object?["default"]?.string { return text }
            let named = found.array?.first { $0["name"]?.string == "default" }
            if let text = named?["template"]?.string { return text }
        }
        return nil
    }

    // MARK: Parts

    private static func table(_ file: JSONObject) throws -> TokenTable {
        guard let model = file["model"] else { throw ZooError(.corrupt, "there is no 'model'") }
        var table: TokenTable
        if let vocabulary = model["vocab"]?.object {
            table = TokenTable(try pairs(vocabulary))
        } else if let pieces = model["vocab"]?.array {
            // Unigram: pieces with scores, the id is the place.
            table = TokenTable(
                try pieces.enumerated().map { place, piece in
                    guard let text = piece.array?.first?.string else {
                        throw ZooError(.corrupt, "piece \(place) of the vocabulary has no text")
                    }
                    return (text, place)
                })
        } else {
            throw ZooError(.corrupt, "the model has no vocabulary")
        }
        for entry in file["added_tokens"]?.array ?? [] {
            guard let id = entry["id"]?.int, (0..<maximumID).contains(id), let token = AddedToken(entry, id: id) else {
                throw ZooError(.corrupt, "an entry of added_tokens lacks 'id' or 'content'")
            }
            table.add(token)
        }
        return table
    }

    private static func pairs(_ vocabulary: JSONObject) throws -> [(String, Int)] {
        try vocabulary.map { token, value in
            guard let id = value.int, (0..<maximumID).contains(id) else {
                throw ZooError(.corrupt, "token '\(token.prefix(40))' has the id \(value.text().prefix(40))")
            }
            return (token, id)
        }
    }

    /// Tokens that only the files beside the vocabulary name.
    private static func beside(_ folder: String, _ config: JSONObject?) throws -> [AddedToken] {
        var found: [AddedToken] = []
        for (key, value) in config?["added_tokens_decoder"]?.object ?? JSONObject() {
            guard let id = Int(key), (0..<maximumID).contains(id), let token = AddedToken(value, id: id) else {
                continue
            }
            found.append(token)
        }
        for (token, value) in try object("\(folder)/added_tokens.json") ?? JSONObject() {
            guard let id = value.int, (0..<maximumID).contains(id) else { continue }
            found.append(AddedToken(plain: token, id: id))
        }
        return found
    }

    // MARK: Reading

    /// A JSON object; nil when there is no such file.
    static func object(_ path: String) throws -> JSONObject? {
        guard let bytes = try bytes(path) else { return nil }
        let json = try ZooError.locate(path) { try JSONParser.parse(bytes) }
        guard let object = json.object else { throw ZooError(.corrupt, "\(path): not a JSON object") }
        return object
    }

    static func text(_ path: String) throws -> String? {
        try bytes(path).map { String(decoding: $0.array, as: UTF8.self) }
    }

    private static func lines(_ path: String) throws -> [String]? {
        guard let bytes = try bytes(path) else { return nil }
        // Bytes, not characters: "\r\n" is one character.
        var lines = bytes.array.split(separator: 0x0A, omittingEmptySubsequences: false).map {
            String(decoding: $0.last == 0x0D ? $0.dropLast() : $0, as: UTF8.self)
        }
        if lines.last == "" { lines.removeLast() }
        return lines
    }

    private static func bytes(_ path: String) throws -> Bytes? {
        guard access(path, R_OK) == 0 else { return nil }
        let bytes = try Bytes(mapping: path)
        guard bytes.count <= maximumByteCount else {
            throw ZooError(.limit, "\(path): \(bytes.count) bytes; at most \(maximumByteCount) are read")
        }
        return bytes
    }
}
