import ZooBase

/// What a node of an architecture does. Shapes are per sample.
public enum GraphOperator: String, Sendable, Hashable, CaseIterable {
    /// `[C, H, W]` → `[O, H', W']`; weight `[O, C/groups, kh, kw]`, bias `[O]`; `stride`, `padding`, `dilation`, `groups`.
    case conv2d
    /// `[…, D]` → `[…, O]`; weight `[O, D]` (or `[D, O]` with `transposed`), bias `[O]`.
    case linear
    /// Token ids `[T]` → `[T, D]`; weight `[V, D]`.
    case embedding
    /// `[T, D]` plus the first T rows, from `offset` on, of weight `[P, D]` (or `[1, P, D]`).
    case positionEmbedding = "position_embedding"
    /// `[T, D]` plus row `row` of weight `[R, D]`: token types of single sequences.
    case rowEmbedding = "row_embedding"
    /// `[T, D]` → `[T+1, D]` with the weight (of D elements) in front.
    case classToken = "class_token"
    /// Per channel of `[C, H, W]` or `[C]`: γ(x−μ)/√(σ²+ε)+β; weight, bias, running_mean, running_var; `eps`, `momentum`.
    case batchNorm = "batch_norm"
    /// Over the last axis; weight, bias; `eps`.
    case layerNorm = "layer_norm"
    /// Over the last axis, x/√(mean x²+ε)·(weight+`offset`); `eps`, `offset`.
    case rmsNorm = "rms_norm"
    /// Element by element; `kind` one of `ActivationKind`; `slope` for leaky ReLU.
    case activation
    /// `[C, H, W]`; `kernel`, `stride`, `padding`.
    case maxPool = "max_pool"
    /// `[C, H, W]`; `kernel`, `stride`, `padding`.
    case averagePool = "average_pool"
    /// `[C, H, W]` → `[C]`.
    case globalAveragePool = "global_average_pool"
    /// Any shape → one axis, row-major.
    case flatten
    /// `[C, H, W]` → `[H·W, C]`.
    case tokensFromImage = "tokens_from_image"
    /// The sum of its inputs, of equal shapes.
    case add
    /// The product of its inputs, of equal shapes.
    case multiply
    /// `start`, `length` of the last axis.
    case slice
    /// Inputs one after the other along `axis`, counted per sample (0 for the channels of an image); the last by default.
    case concat
    /// softmax(q kᵀ/√d + mask) v; inputs q `[T, heads·d]`, k and v `[T, kv_heads·d]`, optionally a mask `[T]`; `heads`,
    /// `kv_heads`, `causal`, `rope_theta` (rotary positions on q and k, halves rotated), `scale`; optional weights
    /// `q_norm` and `k_norm` `[d]` of RMS norms over each head before the rotation, with `eps`.
    case attention
    /// Row `index` of `[T, D]` → `[D]`; negative counts from the end.
    case selectToken = "select_token"
    /// The last real row of `[T, D]` → `[D]`; inputs the tokens and a mask `[T]` whose padding comes last.
    case lastToken = "last_token"
    /// The mean over tokens of `[T, D]` → `[D]`, over the real ones when a mask is given.
    case meanTokens = "mean_tokens"
    /// x/‖x‖ over the last axis.
    case normalize
    /// x · `factor`.
    case scale
    /// Zeroes elements while training, with `probability`; nothing in evaluation.
    case dropout

    /// Roles of the tensors it reads: those it must have and those it may have.
    var roles: (required: [String], optional: [String]) {
        switch self {
        case .conv2d, .linear: (["weight"], ["bias"])
        case .embedding, .positionEmbedding, .rowEmbedding, .classToken, .rmsNorm: (["weight"], [])
        case .batchNorm: (["running_mean", "running_var"], ["weight", "bias", "num_batches_tracked"])
        case .layerNorm: ([], ["weight", "bias"])
        case .attention: ([], ["q_norm", "k_norm"])
        default: ([], [])
        }
    }

    /// How many inputs it takes.
    var arity: ClosedRange<Int> {
        switch self {
        case .add, .multiply, .concat: 2...64
        case .attention: 3...4
        case .meanTokens: 1...2
        case .lastToken: 2...2
        default: 1...1
        }
    }

    /// The attributes it knows.
    var attributeNames: Set<String> {
        switch self {
        case .conv2d: ["stride", "padding", "dilation", "groups"]
        case .linear: ["transposed"]
        case .positionEmbedding: ["offset"]
        case .rowEmbedding: ["row"]
        case .batchNorm: ["eps", "momentum"]
        case .layerNorm: ["eps"]
        case .rmsNorm: ["eps", "offset"]
        case .activation: ["kind", "slope"]
        case .maxPool, .averagePool: ["kernel", "stride", "padding"]
        case .slice: ["start", "length"]
        case .concat: ["axis"]
        case .attention: ["heads", "kv_heads", "causal", "rope_theta", "scale", "eps"]
        case .selectToken: ["index"]
        case .scale: ["factor"]
        case .dropout: ["probability"]
        default: []
        }
    }
}

/// Functions applied element by element.
public enum ActivationKind: String, Sendable, Hashable, CaseIterable {
    /// max(x, 0).
    case relu
    /// Hyperbolic tangent.
    case tanh
    /// 1/(1+e⁻ˣ).
    case sigmoid
    /// x Φ(x), exact.
    case gelu
    /// GELU's approximation through tanh.
    case geluTanh = "gelu_tanh"
    /// x σ(1.702 x).
    case quickGelu = "quick_gelu"
    /// x σ(x).
    case silu
    /// x for x > 0, slope·x otherwise.
    case leakyRelu = "leaky_relu"
    /// log(1+eˣ).
    case softplus
    /// Sine.
    case sin
    /// Nothing.
    case identity

    /// The kind a config's word means (`gelu_new`, `swish`, `leakyrelu`), nil for unknown words.
    public init?(alias: String) {
        let word = alias.lowercased()
        switch word {
        case "gelu_new", "gelu_pytorch_tanh", "gelu_fast": self = .geluTanh
        case "swish": self = .silu
        case "leakyrelu": self = .leakyRelu
        case "linear", "none": self = .identity
        default:
            guard let kind = ActivationKind(rawValue: word) else { return nil }
            self = kind
        }
    }
}
