import ZooBase

/// Transformers: names give family and depth, shapes the extents; the number of heads is in the configuration only.
extension ArchitectureFamily {
    static let visionTransformer = ArchitectureFamily(
        name: "vit", numbers: ["heads", "eps", "activation", "input"],
        matches: { $0.has("patch_embed.proj.weight") && $0.has("blocks.0.attn.qkv.weight") },
        graph: { name, layout, numbers in
            let patches = layout["patch_embed.proj.weight"] ?? []
            guard patches.count == 4, patches[2] == patches[3] else {
                throw ZooError(.mismatch, "vit: 'patch_embed.proj.weight' has shape \(patches), expected [D, C, P, P]")
            }
            return VisionTransformer(
                inputShape: try numbers.input(of: "vit"), patch: patches[2], dim: patches[0],
                depth: layout.count("blocks."), heads: try numbers.integer("heads", of: "vit"),
                hasHead: layout.has("head.weight"), eps: try numbers.number("eps", default: 1e-6),
                activation: try numbers.activation(of: "vit", default: .gelu)
            ).graph(name)
        })

    static let clipVision = ArchitectureFamily(
        name: "clip-vision", numbers: ["heads", "eps", "activation", "input"],
        matches: { $0.has("vision_model.embeddings.patch_embedding.weight") },
        graph: { name, layout, numbers in
            let patches = layout["vision_model.embeddings.patch_embedding.weight"] ?? []
            guard patches.count == 4 else {
                throw ZooError(
                    .mismatch, "clip-vision: the patch embedding has shape \(patches), expected [D, C, P, P]")
            }
            var numbers = numbers
            // A whole CLIP's configuration has its image tower's in an object of its own.
            if let tower = numbers.config["vision_config"]?.object { numbers.config = tower }
            return CLIPVision(
                inputShape: try numbers.input(of: "clip-vision"), patch: patches[2], dim: patches[0],
                depth: layout.count("vision_model.encoder.layers."),
                heads: try numbers.integer("heads", of: "clip-vision"),
                hasProjection: layout.has("visual_projection.weight"),
                activation: try numbers.activation(of: "clip-vision", default: .quickGelu),
                eps: try numbers.number("eps", default: 1e-5)
            ).graph(name)
        })

    static let gpt2 = ArchitectureFamily(
        name: "gpt2", numbers: ["heads", "eps", "activation"],
        matches: { $0.has("wte.weight") || $0.has("transformer.wte.weight") },
        graph: { name, layout, numbers in
            let prefix = layout.has("wte.weight") ? "" : "transformer."
            try numbers.refuse(
                "gpt2",
                unless: [
                    ("scale_attn_by_inverse_layer_idx", [false]), ("scale_attn_weights", [true]),
                    ("add_cross_attention", [false]),
                ])
            let table = "\(prefix)wte.weight"
            return GPT2(
                prefix: prefix, dim: layout[table]?.last ?? 0, depth: layout.count("\(prefix)h."),
                heads: try numbers.integer("heads", of: "gpt2"),
                headWeight: layout.has("lm_head.weight") ? "lm_head.weight" : prefix.isEmpty ? nil : table,
                activation: try numbers.activation(of: "gpt2", default: .geluTanh),
                eps: try numbers.number("eps", default: 1e-5)
            ).graph(name)
        })

    static let bert = ArchitectureFamily(
        name: "bert",
        numbers: ["heads", "layer_heads", "eps", "activation", "pooling", "position_offset", "normalizes"],
        matches: { layout in
            ["", "bert.", "roberta."].contains { layout.has("\($0)embeddings.word_embeddings.weight") }
        },
        graph: { name, layout, numbers in
            let prefix =
                ["", "roberta."].first { layout.has("\($0)embeddings.word_embeddings.weight") } ?? "bert."
            try numbers.refuse(
                "bert", unless: [("position_embedding_type", ["absolute"]), ("is_decoder", [false])])
            let isRoberta = numbers.config["model_type"]?.string.map { $0.contains("roberta") || $0 == "camembert" }
            return BERT(
                prefix: prefix, dim: layout["\(prefix)embeddings.word_embeddings.weight"]?.last ?? 0,
                heads: try numbers.layerHeads(layout.count("\(prefix)encoder.layer."), of: "bert"),
                activation: try numbers.activation(of: "bert", default: .gelu),
                eps: try numbers.number("eps", default: 1e-12),
                pooling: try numbers.choice("pooling", among: ["mean", "cls"]) ?? "mean",
                normalizes: try numbers.flag("normalizes", default: true),
                positionOffset: numbers.value("position_offset")?.int
                    ?? (isRoberta == true ? 1 + (numbers.config["pad_token_id"]?.int ?? 1) : 0)
            ).graph(name)
        })

    static let llama = ArchitectureFamily(
        name: "llama", numbers: ["heads", "layer_heads", "kv_heads", "eps", "rope_theta", "activation", "pooling"],
        matches: { layout in
            ["", "model."].contains {
                layout.has("\($0)embed_tokens.weight") && layout.has("\($0)layers.0.self_attn.q_proj.weight")
            }
        },
        graph: { name, layout, numbers in
            let prefix = layout.has("embed_tokens.weight") ? "" : "model."
            let attention = "\(prefix)layers.0.self_attn"
            let layerHeads = try numbers.layerHeads(layout.count("\(prefix)layers."), of: "llama")
            // The head size is that of the queries, so the shapes tell the key heads.
            let keyHeads = try layerHeads.enumerated().map { layer, heads in
                let queries = layout["\(prefix)layers.\(layer).self_attn.q_proj.weight"]?.first ?? 0
                let keys = layout["\(prefix)layers.\(layer).self_attn.k_proj.weight"]?.first ?? 0
                guard queries % heads == 0, queries > 0, keys % (queries / heads) == 0 else {
                    throw ZooError(
                        .mismatch, "llama: \(heads) heads do not divide \(queries) queries and \(keys) keys")
                }
                return keys / (queries / heads)
            }
            try numbers.refuseDecoderVariants()
            return Llama(
                prefix: prefix, heads: layerHeads, keyValueHeads: keyHeads,
                hasAttentionBias: layout.has("\(attention).q_proj.bias"),
                hasOutputBias: layout.has("\(attention).o_proj.bias"),
                hasPerceptronBias: layout.has("\(prefix)layers.0.mlp.up_proj.bias"),
                hasHeadNorms: layout.has("\(attention).q_norm.weight"),
                ropeTheta: try numbers.number("rope_theta", default: 10_000),
                eps: try numbers.number("eps", default: 1e-6),
                headWeight: layout.has("lm_head.weight")
                    ? "lm_head.weight" : prefix.isEmpty ? nil : "\(prefix)embed_tokens.weight",
                pooling: try numbers.choice("pooling", among: ["mean", "last"]),
                activation: try numbers.activation(of: "llama", default: .silu)
            ).graph(name)
        })
}

extension FamilyNumbers {
    /// Decoders with Llama's names that compute something else.
    private static let otherDecoders = [
        "gemma", "gemma2", "gemma3", "gemma3_text", "granite", "cohere", "cohere2", "smollm3", "olmo2", "exaone4",
    ]

    /// - Throws: `unsupported` naming a scaled rotation, a sliding window or a model type that differs from Llama's.
    func refuseDecoderVariants() throws {
        if let type = config["model_type"]?.string, Self.otherDecoders.contains(type) {
            throw ZooError(.unsupported, "llama: models of type '\(type)' compute something else under the same names")
        }
        for key in ["rope_scaling", "rope_parameters"] {
            let rotation = config[key]
            let kind = rotation?["rope_type"]?.string ?? rotation?["type"]?.string ?? "default"
            guard kind == "default" else {
                throw ZooError(.unsupported, "llama: rotary positions of type '\(kind)' are not supported")
            }
            if let share = rotation?["partial_rotary_factor"]?.double, share != 1 {
                throw ZooError(.unsupported, "llama: rotation of \(share) of each head is not supported")
            }
        }
        try refuse("llama", unless: [("use_sliding_window", [false]), ("partial_rotary_factor", [1, 1.0])])
        let hasWindows = config["layer_types"]?.array?.contains("sliding_attention") ?? false
        let hasWindow = config["use_sliding_window"] == nil && config["sliding_window"]?.int != nil
        guard !hasWindows, !hasWindow else {
            throw ZooError(.unsupported, "llama: attention in a sliding window is not supported")
        }
    }
}
