import ZooBase

/// Vision transformers with timm's names (arXiv 2010.11929): `patch_embed.proj`, `blocks.N.attn.qkv`, `norm`, `head`.
struct VisionTransformer {
    var inputShape: [Int]
    var patch: Int
    var dim: Int
    var depth: Int
    var heads: Int
    /// Whether there is a classifier; without one the class token is the last thing computed.
    var hasHead = true
    var eps = 1e-6
    var activation = ActivationKind.gelu

    func graph(_ name: String) -> ArchitectureGraph {
        var builder = GraphBuilder(GraphInput(name: "image", kind: .image, shape: inputShape))
        builder.layer(.conv2d, "patch_embed.proj", with: [("stride", .int(Int64(patch)))])
        builder.add(.tokensFromImage, "patches")
        builder.add(.classToken, "cls", tensors: [("weight", "cls_token")])
        builder.add(.positionEmbedding, "pos", tensors: [("weight", "pos_embed")])
        for layer in 0..<depth {
            let prefix = "blocks.\(layer)"
            let input = builder.last
            builder.layer(.layerNorm, "\(prefix).norm1", with: [("eps", .double(eps))])
            let packed = builder.layer(.linear, "\(prefix).attn.qkv")
            builder.packedAttention("\(prefix).attn", packed, dim: dim, heads: heads)
            builder.layer(.linear, "\(prefix).attn.proj")
            let middle = builder.add(.add, "\(prefix).add1", [input, builder.last])
            builder.layer(.layerNorm, "\(prefix).norm2", with: [("eps", .double(eps))])
            builder.layer(.linear, "\(prefix).mlp.fc1")
            builder.activation(activation, "\(prefix).mlp.act")
            builder.layer(.linear, "\(prefix).mlp.fc2")
            builder.add(.add, "\(prefix).add2", [middle, builder.last])
        }
        builder.layer(.layerNorm, "norm", with: [("eps", .double(eps))])
        builder.output("tokens")
        builder.add(.selectToken, "cls_out", with: [("index", 0)])
        builder.output("features")
        guard hasHead else { return builder.graph(name) }
        builder.layer(.linear, "head", isHead: true)
        builder.output("logits")
        return builder.graph(name)
    }
}

/// The image tower of CLIP with the names of transformers' `CLIPVisionModelWithProjection` (arXiv 2103.00020).
struct CLIPVision {
    var inputShape: [Int]
    var patch: Int
    var dim: Int
    var depth: Int
    var heads: Int
    var hasProjection: Bool
    var activation = ActivationKind.quickGelu
    var eps = 1e-5

    func graph(_ name: String) -> ArchitectureGraph {
        var builder = GraphBuilder(GraphInput(name: "image", kind: .image, shape: inputShape))
        let eps: [(String, JSONValue)] = [("eps", .double(eps))]
        let root = "vision_model"
        builder.layer(
            .conv2d, "\(root).embeddings.patch_embedding", bias: false, with: [("stride", .int(Int64(patch)))])
        builder.add(.tokensFromImage, "patches")
        builder.add(.classToken, "cls", tensors: [("weight", "\(root).embeddings.class_embedding")])
        builder.add(
            .positionEmbedding, "pos", tensors: [("weight", "\(root).embeddings.position_embedding.weight")])
        builder.layer(.layerNorm, "\(root).pre_layrnorm", with: eps)
        for layer in 0..<depth {
            let prefix = "\(root).encoder.layers.\(layer)"
            let input = builder.last
            let norm = builder.layer(.layerNorm, "\(prefix).layer_norm1", with: eps)
            builder.attention(
                "\(prefix).self_attn", norm, names: ["q_proj", "k_proj", "v_proj"],
                with: [("heads", .int(Int64(heads)))])
            builder.layer(.linear, "\(prefix).self_attn.out_proj")
            let middle = builder.add(.add, "\(prefix).add1", [input, builder.last])
            builder.layer(.layerNorm, "\(prefix).layer_norm2", with: eps)
            builder.layer(.linear, "\(prefix).mlp.fc1")
            builder.activation(activation, "\(prefix).mlp.act")
            builder.layer(.linear, "\(prefix).mlp.fc2")
            builder.add(.add, "\(prefix).add2", [middle, builder.last])
        }
        builder.output("tokens")
        builder.add(.selectToken, "cls_out", with: [("index", 0)])
        builder.layer(.layerNorm, "\(root).post_layernorm", with: eps)
        builder.output("features")
        if hasProjection { builder.layer(.linear, "visual_projection", bias: false, isHead: true) }
        builder.output("embedding")
        return builder.graph(name)
    }
}

/// GPT-2 with transformers' names; its linear weights are stored `[in, out]`.
struct GPT2 {
    /// `transformer.` for a language model with head, empty for the bare model.
    var prefix: String
    var dim: Int
    var depth: Int
    var heads: Int
    /// Where the head's weight is: the token embedding when tied.
    var headWeight: String?
    var activation = ActivationKind.geluTanh
    var eps = 1e-5

    func graph(_ name: String) -> ArchitectureGraph {
        var builder = GraphBuilder(GraphInput(name: "tokens", kind: .tokens, shape: [0]))
        let eps: [(String, JSONValue)] = [("eps", .double(eps))]
        let stored: [(String, JSONValue)] = [("transposed", true)]
        builder.add(.embedding, "\(prefix)wte", tensors: [("weight", "\(prefix)wte.weight")])
        builder.add(.positionEmbedding, "\(prefix)wpe", tensors: [("weight", "\(prefix)wpe.weight")])
        for layer in 0..<depth {
            let block = "\(prefix)h.\(layer)"
            let input = builder.last
            builder.layer(.layerNorm, "\(block).ln_1", with: eps)
            let packed = builder.layer(.linear, "\(block).attn.c_attn", with: stored)
            builder.packedAttention("\(block).attn", packed, dim: dim, heads: heads, with: [("causal", true)])
            builder.layer(.linear, "\(block).attn.c_proj", with: stored)
            let middle = builder.add(.add, "\(block).add1", [input, builder.last])
            builder.layer(.layerNorm, "\(block).ln_2", with: eps)
            builder.layer(.linear, "\(block).mlp.c_fc", with: stored)
            builder.activation(activation, "\(block).mlp.act")
            builder.layer(.linear, "\(block).mlp.c_proj", with: stored)
            builder.add(.add, "\(block).add2", [middle, builder.last])
        }
        builder.layer(.layerNorm, "\(prefix)ln_f", with: eps)
        builder.output("tokens")
        if let headWeight {
            builder.add(.linear, "lm_head", tensors: [("weight", headWeight)], isHead: true)
            builder.output("logits")
        }
        return builder.graph(name)
    }
}

/// BERT and MiniLM encoders with transformers' names (arXiv 1810.04805), post-norm; `embedding` is the mean of the
/// real tokens, normalised, as sentence-transformers pools it.
struct BERT {
    /// Empty for the bare encoder, `bert.` inside a task model.
    var prefix: String
    var dim: Int
    /// Heads of each layer: as many everywhere, unless some were pruned.
    var heads: [Int]
    var activation = ActivationKind.gelu
    var eps = 1e-12
    /// Sentence pooling: `mean` or `cls`.
    var pooling = "mean"
    var normalizes = true
    /// Rows of the position table that come before position zero (RoBERTa's padding offset).
    var positionOffset = 0

    func graph(_ name: String) -> ArchitectureGraph {
        var builder = GraphBuilder(
            GraphInput(name: "tokens", kind: .tokens, shape: [0]), GraphInput(name: "mask", kind: .mask, shape: [0]))
        let eps: [(String, JSONValue)] = [("eps", .double(eps))]
        let root = "\(prefix)embeddings"
        builder.add(.embedding, "words", tensors: [("weight", "\(root).word_embeddings.weight")])
        builder.add(
            .positionEmbedding, "positions", tensors: [("weight", "\(root).position_embeddings.weight")],
            with: [("offset", .int(Int64(positionOffset)))])
        builder.add(
            .rowEmbedding, "types", tensors: [("weight", "\(root).token_type_embeddings.weight")], with: [("row", 0)])
        builder.layer(.layerNorm, "\(root).LayerNorm", with: eps)
        for layer in heads.indices {
            let block = "\(prefix)encoder.layer.\(layer)"
            let input = builder.last
            builder.attention(
                "\(block).attention.self", input, names: ["query", "key", "value"], mask: "mask",
                with: [("heads", .int(Int64(heads[layer])))])
            builder.layer(.linear, "\(block).attention.output.dense")
            builder.add(.add, "\(block).add1", [input, builder.last])
            let middle = builder.layer(.layerNorm, "\(block).attention.output.LayerNorm", with: eps)
            builder.layer(.linear, "\(block).intermediate.dense")
            builder.activation(activation, "\(block).act")
            builder.layer(.linear, "\(block).output.dense")
            builder.add(.add, "\(block).add2", [middle, builder.last])
            builder.layer(.layerNorm, "\(block).output.LayerNorm", with: eps)
        }
        builder.output("tokens")
        if pooling == "cls" {
            builder.add(.selectToken, "pooled", with: [("index", 0)])
        } else {
            builder.add(.meanTokens, "pooled", [builder.last, "mask"])
        }
        builder.output("features")
        if normalizes { builder.add(.normalize, "normalized") }
        builder.output("embedding")
        return builder.graph(name)
    }
}

/// Llama- and Qwen-style decoders with transformers' names: RMS norm, rotary positions, grouped-query attention,
/// SwiGLU (arXiv 2302.13971, 2407.10671).
struct Llama {
    /// `model.` for a language model, empty for the bare decoder.
    var prefix: String
    /// Heads of each layer: as many everywhere, unless some were pruned.
    var heads: [Int]
    /// Heads of keys and values of each layer.
    var keyValueHeads: [Int]
    var hasAttentionBias: Bool
    var hasOutputBias = false
    var hasPerceptronBias = false
    /// RMS norms over each head of queries and keys (Qwen3).
    var hasHeadNorms = false
    var ropeTheta = 10_000.0
    var eps = 1e-6
    var headWeight: String?
    /// Embedding models take the last real token; the head is left out.
    var pooling: String?
    var isCausal = true
    var activation = ActivationKind.silu

    func graph(_ name: String) -> ArchitectureGraph {
        var builder = GraphBuilder(
            GraphInput(name: "tokens", kind: .tokens, shape: [0]), GraphInput(name: "mask", kind: .mask, shape: [0]))
        builder.add(.embedding, "embed", tensors: [("weight", "\(prefix)embed_tokens.weight")])
        for layer in heads.indices { block(&builder, layer) }
        builder.norm("\(prefix)norm", eps)
        builder.output("tokens")
        if let headWeight {
            builder.add(.linear, "lm_head", tensors: [("weight", headWeight)], isHead: true)
            builder.output("logits")
        }
        if let pooling {
            let tokens = "\(prefix)norm"
            if pooling == "mean" {
                builder.add(.meanTokens, "pooled", [tokens, "mask"])
            } else {
                builder.add(.lastToken, "pooled", [tokens, "mask"])
            }
            builder.output("features")
            builder.add(.normalize, "normalized")
            builder.output("embedding")
        }
        return builder.graph(name)
    }

    private func block(_ builder: inout GraphBuilder, _ layer: Int) {
        let prefix = "\(self.prefix)layers.\(layer)"
        let input = builder.last
        let norm = builder.norm("\(prefix).input_layernorm", eps)
        builder.attention(
            "\(prefix).self_attn", norm, names: ["q_proj", "k_proj", "v_proj"], mask: "mask", bias: hasAttentionBias,
            tensors: hasHeadNorms
                ? [("q_norm", "\(prefix).self_attn.q_norm.weight"), ("k_norm", "\(prefix).self_attn.k_norm.weight")]
                : [],
            with: [
                ("eps", .double(eps)), ("heads", .int(Int64(heads[layer]))),
                ("kv_heads", .int(Int64(keyValueHeads[layer]))),
                ("causal", .bool(isCausal)),
                ("rope_theta", .double(ropeTheta)),
            ])
        builder.layer(.linear, "\(prefix).self_attn.o_proj", bias: hasOutputBias)
        let middle = builder.add(.add, "\(prefix).add1", [input, builder.last])
        let second = builder.norm("\(prefix).post_attention_layernorm", eps)
        builder.layer(.linear, "\(prefix).mlp.gate_proj", second, bias: hasPerceptronBias)
        let gate = builder.activation(activation, "\(prefix).mlp.act")
        let up = builder.layer(.linear, "\(prefix).mlp.up_proj", second, bias: hasPerceptronBias)
        builder.add(.multiply, "\(prefix).mlp.gated", [gate, up])
        builder.layer(.linear, "\(prefix).mlp.down_proj", bias: hasPerceptronBias)
        builder.add(.add, "\(prefix).add2", [middle, builder.last])
    }
}

extension GraphBuilder {
    /// Three projections of one input and attention over them.
    @discardableResult
    mutating func attention(
        _ prefix: String, _ input: String, names: [String], mask: String? = nil, bias: Bool = true,
        tensors: [(String, String)] = [], with attributes: [(String, JSONValue)]
    ) -> String {
        let projected = names.map { layer(.linear, "\(prefix).\($0)", input, bias: bias) }
        return add(
            .attention, "\(prefix).attention", projected + (mask.map { [$0] } ?? []), tensors: tensors, with: attributes
        )
    }

    /// Attention over queries, keys and values that lie side by side in one projection.
    @discardableResult
    mutating func packedAttention(
        _ prefix: String, _ packed: String, dim: Int, heads: Int, with attributes: [(String, JSONValue)] = []
    ) -> String {
        let parts = ["q", "k", "v"].enumerated().map { index, part in
            add(
                .slice, "\(prefix).\(part)", [packed],
                with: [("start", .int(Int64(index * dim))), ("length", .int(Int64(dim)))])
        }
        return add(.attention, "\(prefix).attention", parts, with: [("heads", .int(Int64(heads)))] + attributes)
    }

    /// A root-mean-square norm.
    @discardableResult
    mutating func norm(_ prefix: String, _ eps: Double) -> String {
        add(.rmsNorm, prefix, tensors: [("weight", "\(prefix).weight")], with: [("eps", .double(eps))])
    }
}
