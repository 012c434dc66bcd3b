import ZooBase
import ZooTensor

extension MergePlan {
    /// The model whose configuration and tokenizer the result takes: the base, else the first that has one.
    public var donor: MergeInput? {
        if let base, inputs[base].config != nil { return inputs[base] }
        return inputs.first { $0.config != nil }
    }

    /// The result's `config.json`: the donor's, unknown keys and order kept, with the element type, the number of
    /// layers, per-layer lists, vocabulary size and tied-embedding flag of the result. nil when no model has one.
    public var config: JSONObject? {
        guard var config = donor?.config else { return nil }
        let type = recipe.outputType ?? recipe.workingType
        if let type {
            let isNewer = config.contains("dtype")
            if !isNewer || config.contains("torch_dtype") { config["torch_dtype"] = .string(type.rawValue) }
            if isNewer { config["dtype"] = .string(type.rawValue) }
        }
        if let layers = layerCounts.values.max() { setLayers(layers, &config) }
        if let rows = newVocabularySize {
            if config.contains("vocab_size") {
                config["vocab_size"] = .int(Int64(rows))
            } else if var text = config["text_config"]?.object, text.contains("vocab_size") {
                text["vocab_size"] = .int(Int64(rows))
                config["text_config"] = .object(text)
            }
        }
        if unties, tensors.contains(where: { LayerNames.isHead($0.call.info.name) }) {
            config["tie_word_embeddings"] = .bool(false)
        }
        return config
    }

    private func setLayers(_ layers: Int, _ config: inout JSONObject) {
        let keys = ["num_hidden_layers", "n_layer", "n_layers", "num_layers"]
        guard let key = keys.first(where: { config.contains($0) }), let old = config[key]?.int else { return }
        config[key] = .int(Int64(layers))
        // Lists with one entry per layer follow the layers.
        for (name, value) in config {
            guard let list = value.array, list.count == old, name.contains("layer"), layerOrigins.count == layers,
                layerOrigins.allSatisfy({ $0 < list.count })
            else { continue }
            config[name] = .array(layerOrigins.map { list[$0] })
        }
    }

    /// The model card: lineage for the hub in the front matter, method, models and the recipe.
    public func card(name: String) -> String {
        var text = "---\n"
        if !inputs.isEmpty {
            text += "base_model:\n" + inputs.map { "- \(JSONValue.string($0.label).text())\n" }.joined()
        }
        text += "library_name: transformers\ntags:\n- zoo\n- merge\n---\n\n# \(name)\n\n"
        text +=
            "A merge of \(inputs.count) model\(inputs.count == 1 ? "" : "s") made with zoo \(ZooVersion.string).\n\n"
        text += "## Method\n\n`\(method.name)`: \(method.summary) (\(method.source)).\n"
        if let base { text += "Base model: `\(inputs[base].label)`.\n" }
        text += "\n## Models\n\n"
        for (index, input) in inputs.enumerated() where index != base { text += "- `\(input.label)`\n" }
        return text + "\n## Recipe\n\n```yaml\n\(recipe.text.hasSuffix("\n") ? recipe.text : recipe.text + "\n")```\n"
    }

    /// What headers and index say of the merge.
    public var metadata: [String: String] {
        ["zoo_version": ZooVersion.string, "zoo_method": "merge \(method.name)", "zoo_seed": String(options.seed)]
    }
}
