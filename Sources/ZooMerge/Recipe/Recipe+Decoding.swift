import Yams
import ZooBase
import ZooTensor

extension Recipe {
    /// Keys of a recipe's top level.
    static let topKeys = [
        "merge_method", "models", "slices", "modules", "base_model", "parameters", "dtype", "out_dtype",
        "tokenizer_source", "tokenizer", "chat_template", "post_t",
    ]

    /// Reads a recipe.
    ///
    /// - Parameters:
    ///   - text: the YAML.
    ///   - file: its name, for messages.
    /// - Throws: `corrupt` for text that is no YAML; `usage` with everything that is wrong, line by line.
    public init(text: String, file: String) throws {
        let problems = RecipeNode.Problems(file: file)
        let root = try Self.root(text, file, problems)
        let draft = RecipeDecoder(problems: problems).recipe(root, text: text)
        guard problems.list.isEmpty, let draft else {
            throw Self.failure(problems.list, file: file)
        }
        self = draft
        unknownKeys = problems.unknown
    }

    /// One error out of everything that is wrong.
    static func failure(_ problems: [String], file: String) -> ZooError {
        guard problems.count != 1 else { return ZooError(.usage, problems[0]) }
        return ZooError(.usage, "\(file): \(problems.count) problems: \(problems.joined(separator: "; "))")
    }

    private static func root(_ text: String, _ file: String, _ problems: RecipeNode.Problems) throws -> RecipeNode {
        guard text.utf8.count <= RecipeNode.maximumByteCount else {
            throw ZooError(
                .limit, "\(file): \(text.utf8.count) bytes; a recipe has at most \(RecipeNode.maximumByteCount)")
        }
        let depth = text.utf8.reduce(into: (now: 0, most: 0)) { depth, byte in
            if byte == UInt8(ascii: "[") || byte == UInt8(ascii: "{") { depth.now += 1 }
            if byte == UInt8(ascii: "]") || byte == UInt8(ascii: "}") { depth.now -= 1 }
            depth.most = max(depth.most, depth.now)
        }
        guard depth.most <= 64, !text.contains(String(repeating: " ", count: 600)), !text.contains("- - - - - - - - -")
        else { throw ZooError(.limit, "\(file): nested too deep for a recipe") }
        let node: Node?
        do { node = try Yams.compose(yaml: text) } catch {
            let message = "\(error)".split(whereSeparator: \.isNewline).joined(separator: " ").prefix(300)
            throw ZooError(.corrupt, "\(file): not YAML: \(message)", cause: error)
        }
        guard let node else { throw ZooError(.corrupt, "\(file): empty; expected a merge recipe") }
        return RecipeNode(node: node, problems: problems)
    }
}

/// Turns YAML nodes into a recipe, gathering what is wrong.
struct RecipeDecoder {
    let problems: RecipeNode.Problems

    func recipe(_ root: RecipeNode, text: String) -> Recipe? {
        guard let keys = root.members(known: Recipe.topKeys, of: "the recipe") else { return nil }
        var method = ""
        if let node = keys["merge_method"] {
            method = node.text(of: "merge_method") ?? ""
            if !method.isEmpty, MergeMethods.named(method) == nil {
                node.complain(
                    "'\(method)' is no merge method ("
                        + NearestName.hint(method, in: MergeMethods.names, kind: "methods", limit: 40) + ")")
            }
        } else {
            root.complain("'merge_method' is missing")
        }
        let known = MergeMethods.named(method)?.parameters.map(\.name)
        let contents = ["models", "slices", "modules"].filter { keys[$0] != nil }
        if contents.count != 1 {
            root.complain(
                contents.isEmpty
                    ? "one of 'models', 'slices' and 'modules' is needed"
                    : "only one of 'models', 'slices' and 'modules' may be given, found \(contents.joined(separator: " and "))"
            )
        }
        if keys["tokenizer"] != nil, let older = keys["tokenizer_source"] {
            older.complain("'tokenizer_source' and 'tokenizer' exclude each other")
        }
        var endsAfterLayers = false
        if let node = keys["post_t"] {
            endsAfterLayers = node.scalar == "end"
            if node.scalar != "start", !endsAfterLayers { node.complain("'post_t' takes start or end") }
        }
        return Recipe(
            text: text, method: method, modules: modules(keys, known),
            base: keys["base_model"].flatMap { reference($0) }, parameters: parameters(keys["parameters"], known),
            workingType: keys["dtype"].flatMap { type($0, "dtype") },
            outputType: keys["out_dtype"].flatMap { type($0, "out_dtype") },
            tokenizer: keys["tokenizer"].flatMap(tokenizer) ?? keys["tokenizer_source"].flatMap(olderTokenizer),
            chatTemplate: keys["chat_template"].flatMap { $0.text(of: "chat_template") },
            endsAfterLayers: endsAfterLayers, unknownKeys: [])
    }

    private func modules(_ keys: [String: RecipeNode], _ known: [String]?) -> [Recipe.Module] {
        if let node = keys["modules"] {
            guard let members = node.members(known: nil, of: "modules") else { return [] }
            return node.keys.compactMap { name in
                guard let body = members[name],
                    let inner = body.members(known: ["models", "slices", "parameters"], of: "module '\(name)'")
                else { return nil }
                if (inner["models"] == nil) == (inner["slices"] == nil) {
                    body.complain("module '\(name)' needs one of 'models' and 'slices'")
                }
                return Recipe.Module(
                    name: name, slices: slices(inner, known), parameters: parameters(inner["parameters"], known))
            }
        }
        return [Recipe.Module(name: "", slices: slices(keys, known), parameters: ParameterSet())]
    }

    private func slices(_ keys: [String: RecipeNode], _ known: [String]?) -> [Recipe.Slice] {
        if let models = keys["models"] {
            let sources = (models.list(of: "models") ?? []).compactMap { source($0, known, layered: false) }
            if sources.isEmpty { models.complain("'models' is empty") }
            return [Recipe.Slice(sources: sources, base: nil, parameters: ParameterSet())]
        }
        guard let list = keys["slices"]?.list(of: "slices") else { return [] }
        if list.isEmpty { keys["slices"]?.complain("'slices' is empty") }
        return list.compactMap { node in
            let names = ["sources", "base_model", "residual_weight", "parameters"]
            guard let inner = node.members(known: names, of: "a slice") else { return nil }
            guard let sources = inner["sources"]?.list(of: "sources"), !sources.isEmpty else {
                node.complain("a slice needs 'sources'")
                return nil
            }
            return Recipe.Slice(
                sources: sources.compactMap { source($0, known, layered: true) },
                base: inner["base_model"].flatMap { reference($0) }, parameters: parameters(inner["parameters"], known))
        }
    }

    private func source(_ node: RecipeNode, _ known: [String]?, layered: Bool) -> Recipe.Source? {
        let names = layered ? ["model", "layer_range", "parameters"] : ["model", "parameters"]
        guard let keys = node.members(known: names, of: layered ? "a source" : "an entry of models") else { return nil }
        guard let model = keys["model"].flatMap({ reference($0) }) else {
            if keys["model"] == nil { node.complain("'model' is missing") }
            return nil
        }
        var layers: Range<Int>?
        if layered {
            let bounds = keys["layer_range"]?.elements?.compactMap { $0.scalar.flatMap { Int($0) } }
            if let bounds, bounds.count == 2, bounds[0] >= 0, bounds[1] > bounds[0] {
                layers = bounds[0]..<bounds[1]
            } else {
                (keys["layer_range"] ?? node).complain("'layer_range' takes [start, end] with 0 ≤ start < end")
            }
        }
        return Recipe.Source(
            model: model, layers: layers, parameters: parameters(keys["parameters"], known), line: node.line)
    }

    /// A model: a text, or a mapping {model: {path, revision?} or text, lora?, override_architecture?}.
    func reference(_ node: RecipeNode) -> ModelReference? {
        guard node.isMapping else { return node.text(of: "a model").flatMap { split($0, node) } }
        let names = ["model", "path", "revision", "lora", "override_architecture"]
        guard let keys = node.members(known: names, of: "a model reference") else { return nil }
        let adapter = keys["lora"].flatMap { $0.isMapping ? path($0) : $0.text(of: "lora") }
        if keys["revision"] != nil { node.complain("'revision' needs a hub; name the local folder of that revision") }
        guard let model = keys["model"] ?? keys["path"] else {
            node.complain("a model reference needs 'model'")
            return nil
        }
        return (model.isMapping ? path(model) : model.text(of: "model")).map { ModelReference($0, adapter: adapter) }
    }

    private func path(_ node: RecipeNode) -> String? {
        guard let keys = node.members(known: ["path", "revision"], of: "a model path") else { return nil }
        return keys["path"].flatMap { $0.text(of: "path") }
    }

    /// `path+adapter`. Queries keep their plus signs.
    private func split(_ text: String, _ node: RecipeNode) -> ModelReference? {
        guard !text.hasPrefix("where:") else { return ModelReference(text) }
        let parts = text.split(separator: "+", omittingEmptySubsequences: false).map(String.init)
        guard parts.count <= 2, parts.allSatisfy({ !$0.isEmpty }) else {
            node.complain(
                "'\(text)' is no model: at most one '+', between a model and its adapter (a path with '+' is "
                    + "written {model: {path: …}})")
            return nil
        }
        return ModelReference(parts[0], adapter: parts.count == 2 ? parts[1] : nil)
    }

    func type(_ node: RecipeNode, _ key: String) -> DType? {
        guard let text = node.text(of: key) else { return nil }
        let name = text.hasPrefix("torch.") ? String(text.dropFirst(6)) : text
        let types = ["float64", "float32", "float16", "bfloat16"]
        guard types.contains(name), let type = DType(rawValue: name) else {
            node.complain(
                "\(key) '\(text)' is no floating-point type ("
                    + NearestName.hint(name, in: types, kind: "types") + ")")
            return nil
        }
        return type
    }

    // MARK: Parameters

    private func parameters(_ node: RecipeNode?, _ known: [String]?) -> ParameterSet {
        var result = ParameterSet()
        guard let node, let keys = node.members(known: nil, of: "parameters") else { return result }
        for name in node.keys {
            guard let value = keys[name] else { continue }
            if let known, !known.contains(name) {
                let hint = known.isEmpty ? "it takes none" : NearestName.hint(name, in: known, kind: "parameters")
                problems.addUnknown("the method has no parameter '\(name)' (\(hint))", line: value.line)
            }
            if let setting = setting(value, name) { result.settings[name] = (setting, value.line) }
        }
        return result
    }

    private func setting(_ node: RecipeNode, _ name: String) -> Setting? {
        if let number = node.number { return .number(number) }
        if let text = node.scalar { return .text(text) }
        if node.isMapping { return condition(node, name).map { .conditional([$0]) } }
        guard let elements = node.elements, !elements.isEmpty else {
            node.complain("parameter '\(name)' is an empty list; expected numbers or {filter, value} entries")
            return nil
        }
        if elements[0].isMapping {
            let conditions = elements.compactMap { condition($0, name) }
            return conditions.count == elements.count ? .conditional(conditions) : nil
        }
        let numbers = elements.compactMap(\.number)
        guard numbers.count == elements.count else {
            node.complain("parameter '\(name)' has an element that is no number")
            return nil
        }
        return .gradient(numbers)
    }

    private func condition(_ node: RecipeNode, _ name: String) -> Setting.Condition? {
        guard let keys = node.members(known: ["filter", "value"], of: "an entry of '\(name)'") else { return nil }
        guard let value = keys["value"] else {
            node.complain("an entry of '\(name)' has no 'value'")
            return nil
        }
        return setting(value, name).map {
            Setting.Condition(filter: keys["filter"].flatMap { $0.text(of: "filter") }, value: $0)
        }
    }
}
