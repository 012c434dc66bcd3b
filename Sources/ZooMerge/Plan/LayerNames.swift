/// What tensor names say about layers: the first ".<digits>." of a name is the layer, the text before it the module's
/// prefix. (".experts.3." comes after the layer and is not taken for one.)
public struct LayerNames: Sendable {
    /// A name taken apart.
    public struct Place: Sendable, Hashable {
        /// Everything before the number, with the dot.
        public var prefix: String
        /// The layer.
        public var layer: Int
        /// Everything after the number, with the dot.
        public var suffix: String
    }

    /// The layer of a name; nil for names without one.
    public static func place(of name: String) -> Place? {
        let parts = name.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count > 2 else { return nil }
        for index in 1..<parts.count - 1 {
            let part = parts[index]
            guard !part.isEmpty, part.utf8.allSatisfy({ 0x30...0x39 ~= $0 }), let layer = Int(part) else { continue }
            return Place(
                prefix: parts[..<index].joined(separator: ".") + ".", layer: layer,
                suffix: "." + parts[(index + 1)...].joined(separator: "."))
        }
        return nil
    }

    /// Layers of each prefix: one more than the highest number.
    public static func counts(_ names: some Sequence<String>) -> [String: Int] {
        var counts: [String: Int] = [:]
        for name in names {
            guard let place = place(of: name) else { continue }
            counts[place.prefix] = max(counts[place.prefix] ?? 0, place.layer + 1)
        }
        return counts
    }

    private static let headNames = ["lm_head.weight", "embed_out.weight"]
    private static let embeddingNames = [
        "embed_tokens.weight", "wte.weight", "word_embeddings.weight", "tok_embeddings.weight", "shared.weight",
    ]

    /// Whether rows of the tensor are tokens: an input embedding or an output head.
    public static func isEmbedding(_ name: String) -> Bool { isInput(name) || isHead(name) }

    /// Whether the tensor is an output head.
    public static func isHead(_ name: String) -> Bool {
        headNames.contains { name == $0 || name.hasSuffix("." + $0) } || name == "output.weight"
    }

    static func isInput(_ name: String) -> Bool {
        embeddingNames.contains { name == $0 || name.hasSuffix("." + $0) }
    }

    /// Names of tensors that may have a row per token; whether they do shows in how many rows they have.
    private static let possibleNames = [
        "output.weight", "lm_head.bias", "embed_out.bias", "cls.predictions.bias", "cls.predictions.decoder.weight",
        "cls.predictions.decoder.bias", "predictions.bias", "predictions.decoder.weight", "predictions.decoder.bias",
    ]

    /// Whether the rows of a tensor may be tokens, if there are as many of them as of the input embedding.
    static func mayHaveTokenRows(_ name: String) -> Bool {
        possibleNames.contains { name == $0 || name.hasSuffix("." + $0) }
    }

    /// Whether a tensor outside the layers comes after them: heads and final norms.
    static func isAfterLayers(_ name: String) -> Bool {
        if isHead(name) { return true }
        let last = name.split(separator: ".").dropLast().last.map(String.init) ?? ""
        return ["norm", "ln_f", "final_layer_norm", "final_layernorm", "norm_f", "final_norm", "score", "classifier"]
            .contains(last)
    }

    /// Buffers that can be computed anew, and that models may lack.
    static func isOptional(_ name: String) -> Bool {
        ["rotary_emb.inv_freq", ".attn.bias", ".attn.masked_bias", "position_ids"].contains { name.hasSuffix($0) }
    }
}
