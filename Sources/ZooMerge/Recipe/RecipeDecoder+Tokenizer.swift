import ZooBase

extension RecipeDecoder {
    func tokenizer(_ node: RecipeNode) -> TokenizerSetting? {
        let names = ["source", "tokens", "pad_to_multiple_of", "keep_vocab_size"]
        guard let keys = node.members(known: names, of: "tokenizer") else { return nil }
        var setting = TokenizerSetting(source: keys["source"].flatMap(tokenizerSource) ?? .union)
        if let given = keys["pad_to_multiple_of"] {
            setting.padding = given.number.flatMap { Int(exactly: $0) }
            if !(setting.padding.map { (1...1 << 20).contains($0) } ?? false) {
                given.complain("'pad_to_multiple_of' takes a whole number from 1 to 1048576")
            }
        }
        if let given = keys["keep_vocab_size"] {
            guard let number = given.number else {
                given.complain("'keep_vocab_size' takes true or false")
                return setting
            }
            setting.keepsRows = number != 0
        }
        if let tokens = keys["tokens"], let entries = tokens.members(known: nil, of: "tokens") {
            setting.tokens = tokens.keys.compactMap { name in
                // An entry without a value only names a token.
                guard let entry = entries[name] else { return .init(token: name, line: tokens.line) }
                return self.entry(name, entry)
            }
        }
        return setting
    }

    func olderTokenizer(_ node: RecipeNode) -> TokenizerSetting? {
        tokenizerSource(node).map { TokenizerSetting(source: $0) }
    }

    private func tokenizerSource(_ node: RecipeNode) -> TokenizerSetting.Source? {
        switch node.scalar {
        case "union": .union
        case "base": .base
        default: reference(node).map { .model($0) }
        }
    }

    private func entry(_ token: String, _ node: RecipeNode) -> TokenizerSetting.Entry? {
        guard let keys = node.members(known: ["source", "force"], of: "token '\(token)'") else { return nil }
        var entry = TokenizerSetting.Entry(token: token, line: node.line)
        if let given = keys["force"] {
            guard let number = given.number else {
                given.complain("'force' takes true or false")
                return nil
            }
            entry.isForced = number != 0
        }
        if let source = keys["source"] {
            guard let found = rowSource(source) else { return nil }
            entry.source = found
        }
        return entry
    }

    /// `source` of a token: a model, `{kind: zero}` or `{kind: model_token, model, token or token_id}`.
    private func rowSource(_ node: RecipeNode) -> TokenizerSetting.RowSource? {
        guard node.isMapping, node.keys.contains("kind") else { return reference(node).map { .model($0) } }
        guard let keys = node.members(known: ["kind", "model", "token", "token_id"], of: "a token's source") else {
            return nil
        }
        switch keys["kind"]?.scalar {
        case "zero"?: return .zero
        case "model_token"?: break
        case let other:
            node.complain("a token's source has the kind '\(other ?? "")'; expected zero or model_token")
            return nil
        }
        guard let model = keys["model"].flatMap({ reference($0) }) else {
            node.complain("a token's source of kind model_token needs 'model'")
            return nil
        }
        switch (keys["token"]?.scalar, keys["token_id"]) {
        case (let token?, nil): return .token(token, of: model)
        case (nil, let row?):
            guard let number = row.number.flatMap({ Int(exactly: $0) }), number >= 0 else {
                row.complain("'token_id' takes a whole number from 0 on")
                return nil
            }
            return .row(number, of: model)
        default:
            node.complain("a token's source of kind model_token needs exactly one of 'token' and 'token_id'")
            return nil
        }
    }
}
