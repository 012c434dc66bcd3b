import ZooBase

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

extension MergePlan {
    /// Whether the recipe says something about the tokenizer, which then is written in any case.
    public var setsTokenizer: Bool { vocabulary != nil || chatTemplate != nil }

    /// Files that make up a tokenizer; the others that are taken along belong to the model.
    private static let tokenizerNames: Set<String> = [
        "tokenizer_config.json", "special_tokens_map.json", "tokenizer.json", "tokenizer.model", "added_tokens.json",
        "merges.txt", "vocab.json", "vocab.txt", "chat_template.jinja", "chat_template.json",
    ]

    /// The files of tokenizer and preprocessor that go beside the result's weights.
    ///
    /// Files are copied where the vocabulary is a model's own, and written where tokens came or went or the recipe sets
    /// the chat template.
    ///
    /// - Parameter names: names of files that are taken along.
    /// - Returns: the files by name, and what the user should know.
    public func companionFiles(_ names: [String]) throws -> (
        files: [(name: String, file: CompanionFile)], warnings: [String]
    ) {
        let folder = donor?.folder
        let source = vocabulary?.vocabulary.donor.folder ?? folder
        var files: [(name: String, file: CompanionFile)] = []
        for name in names {
            guard let folder = Self.tokenizerNames.contains(name) ? source : folder else { continue }
            let path = "\(folder)/\(name)"
            if access(path, R_OK) == 0 { files.append((name, .copy(of: path))) }
        }
        var warnings: [String] = []
        func put(_ name: String, _ file: CompanionFile) {
            if let place = files.firstIndex(where: { $0.name == name }) {
                files[place].file = file
            } else {
                files.append((name, file))
            }
        }
        if let vocabulary = vocabulary?.vocabulary {
            for (name, file) in try TokenizerWriter(vocabulary: vocabulary).changedFiles() {
                if let file {
                    put(name, file)
                } else if files.contains(where: { $0.name == name }) {
                    files.removeAll { $0.name == name }
                    warnings.append("\(name) is left out: it has tokens that the result lacks")
                }
            }
        }
        if let template = chatTemplate {
            if source == nil { warnings.append("the chat template is written without a tokenizer: no model has one") }
            files.removeAll { $0.name == "chat_template.json" }
            put("chat_template.jinja", .text(template))
            if let config = try configuration(files) {
                put("tokenizer_config.json", .text(JSONValue.object(config).text(indent: 2) + "\n"))
            }
        }
        return (files, warnings)
    }

    /// `tokenizer_config.json` with the chat template, for programs that do not look for the file of its own.
    private func configuration(_ files: [(name: String, file: CompanionFile)]) throws -> JSONObject? {
        guard let found = files.first(where: { $0.name == "tokenizer_config.json" }), let template = chatTemplate else {
            return nil
        }
        var config: JSONObject?
        switch found.file {
        case .copy(let path): config = try TokenizerFiles.object(path)
        case .text(let text): config = try JSONParser.parse(text).object
        }
        config?["chat_template"] = .string(template)
        return config
    }
}
