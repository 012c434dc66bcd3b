import ZooBase

/// A file of the result: text to write, or a file to copy.
public enum CompanionFile: Sendable, Equatable {
    /// Text.
    case text(String)
    /// A file as it is.
    case copy(of: String)
}

/// The tokenizer files of a merged model.
struct TokenizerWriter {
    let vocabulary: OutputVocabulary

    private var donor: TokenizerFiles { vocabulary.donor }

    private func path(_ name: String) -> String { "\(donor.folder)/\(name)" }

    /// The files that differ from the donor's, by name; nil for one that would contradict the vocabulary and is left
    /// out. Files that are not named are copied.
    ///
    /// - Throws: what reading the donor's files throws.
    func changedFiles() throws -> [(name: String, file: CompanionFile?)] {
        guard !vocabulary.isUnchanged else { return [] }
        var files: [(name: String, file: CompanionFile?)] = []
        func put(_ name: String, _ object: JSONObject) {
            files.append((name, .text(JSONValue.object(object).text(indent: 2) + "\n")))
        }
        if let file = donor.file { put("tokenizer.json", tokenizer(file)) }
        if let config = donor.config { put("tokenizer_config.json", configuration(config)) }
        if let known = try TokenizerFiles.object(path("added_tokens.json")) {
            put("added_tokens.json", addedTokens(known))
        } else if donor.file == nil {
            put("added_tokens.json", addedTokens(JSONObject()))
        }
        guard !vocabulary.stripped.isEmpty else { return files }
        if let map = try TokenizerFiles.object(path("special_tokens_map.json")) {
            put("special_tokens_map.json", specialTokens(map))
        }
        if let tokens = try TokenizerFiles.object(path("vocab.json")) {
            put("vocab.json", JSONObject(tokens.filter { !isStripped($0.key) }.map { ($0.key, $0.value) }))
        }
        if let merges = try TokenizerFiles.text(path("merges.txt")) {
            let lines = merges.split(separator: "\n", omittingEmptySubsequences: false)
            files.append(("merges.txt", .text(lines.filter { keepsMerge(String($0)) }.joined(separator: "\n"))))
        }
        if donor.file == nil, let text = try TokenizerFiles.text(path("vocab.txt")) {
            let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
            files.append(("vocab.txt", .text(lines.filter { !isStripped(String($0)) }.joined(separator: "\n"))))
        }
        files.append(("tokenizer.model", nil))
        return files
    }

    private func isStripped(_ token: String) -> Bool { vocabulary.stripped.contains(ExactText(token)) }

    // MARK: tokenizer.json

    private func tokenizer(_ file: JSONObject) -> JSONObject {
        var file = file
        if !vocabulary.stripped.isEmpty, var model = file["model"]?.object {
            if let tokens = model["vocab"]?.object {
                model["vocab"] = .object(
                    JSONObject(tokens.filter { !isStripped($0.key) }.map { ($0.key, $0.value) }))
            } else if let pieces = model["vocab"]?.array {
                // Places are ids, and all that goes lies at the end.
                model["vocab"] = .array(Array(pieces.prefix { !isStripped($0.array?.first?.string ?? "") }))
            }
            if let merges = model["merges"]?.array { model["merges"] = .array(merges.filter(keepsMerge)) }
            file["model"] = .object(model)
        }
        file["added_tokens"] = .array(
            vocabulary.table.added.map { token in
                .object(
                    JSONObject([("id", .int(Int64(token.id))), ("content", .string(token.content))] + token.members))
            })
        return file
    }

    /// Whether a merge of byte pairs neither uses nor makes a token that is gone.
    private func keepsMerge(_ merge: JSONValue) -> Bool {
        if let text = merge.string { return keepsMerge(text) }
        let parts = merge.array?.compactMap(\.string) ?? []
        return !(parts + [parts.joined()]).contains(where: isStripped)
    }

    private func keepsMerge(_ line: String) -> Bool {
        let parts = line.split(separator: " ", omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 2, !line.hasPrefix("#version") else { return true }
        return !(parts + [parts.joined()]).contains(where: isStripped)
    }

    // MARK: Files beside it

    private func configuration(_ config: JSONObject) -> JSONObject {
        var config = config
        if let known = config["added_tokens_decoder"]?.object {
            var decoder = JSONObject()
            for token in vocabulary.table.added {
                let entry =
                    known[String(token.id)]
                    ?? .object(
                        JSONObject([("content", .string(token.content))] + token.members.sorted { $0.0 < $1.0 }))
                decoder[String(token.id)] = entry
            }
            config["added_tokens_decoder"] = .object(decoder)
        }
        guard !vocabulary.stripped.isEmpty else { return config }
        for key in Self.specialKeys { dropStripped(key, &config) }
        return config
    }

    private static let specialKeys = [
        "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token",
        "additional_special_tokens",
    ]

    private func specialTokens(_ map: JSONObject) -> JSONObject {
        var map = map
        for key in Self.specialKeys { dropStripped(key, &map) }
        return map
    }

    /// Removes names of tokens that are gone: programs would add them anew, without rows.
    private func dropStripped(_ key: String, _ object: inout JSONObject) {
        func text(_ value: JSONValue) -> String { value.string ?? value["content"]?.string ?? "" }
        if let list = object[key]?.array {
            object[key] = .array(list.filter { !isStripped(text($0)) })
        } else if let value = object[key], isStripped(text(value)) {
            object[key] = nil
        }
    }

    private func addedTokens(_ known: JSONObject) -> JSONObject {
        var result = JSONObject(known.filter { !isStripped($0.key) }.map { ($0.key, $0.value) })
        for token in vocabulary.additions where token.id > largestOrdinaryID || known.contains(token.content) {
            result[token.content] = .int(Int64(token.id))
        }
        return result
    }

    private var largestOrdinaryID: Int { vocabulary.table.ordinary.last?.id ?? -1 }
}
