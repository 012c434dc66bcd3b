import ZooAutodiff
import ZooBase

/// What a network's outputs are measured by: a number per sample, averaged over the data.
public struct LossFunction: Sendable {
    /// What it is called in messages.
    public let name: String
    /// The output of the architecture that it reads.
    public let output: String
    /// Whether it compares with labels.
    public let readsLabels: Bool
    /// Plain cross-entropy, whose values are computed from the logits in Float64.
    let isCrossEntropy: Bool
    let perSample: @Sendable (ProgramBuilder, Value, Indices?) throws -> Value

    /// A loss of one's own.
    ///
    /// - Parameters:
    ///   - output: the output of the architecture that it reads.
    ///   - perSample: emits one number per sample `[batch]` from that output and the labels `[batch]`.
    public init(
        name: String, output: String = "logits", readsLabels: Bool,
        perSample: @escaping @Sendable (ProgramBuilder, Value, Indices?) throws -> Value
    ) {
        self.init(name, output, readsLabels, isCrossEntropy: false, perSample)
    }

    private init(
        _ name: String, _ output: String, _ readsLabels: Bool, isCrossEntropy: Bool,
        _ perSample: @escaping @Sendable (ProgramBuilder, Value, Indices?) throws -> Value
    ) {
        self.name = name
        self.output = output
        self.readsLabels = readsLabels
        self.isCrossEntropy = isCrossEntropy
        self.perSample = perSample
    }

    /// Cross-entropy of the logits against the labels, natural logarithm.
    ///
    /// - Parameter smoothing: the share of the target that is spread evenly over all classes.
    public static func crossEntropy(smoothing: Double = 0) -> LossFunction {
        LossFunction("cross-entropy", "logits", true, isCrossEntropy: smoothing == 0) { builder, logits, labels in
            guard let labels else { throw ZooError(.mismatch, "cross-entropy needs labels") }
            return try builder.crossEntropy(logits, labels: labels, smoothing: smoothing)
        }
    }

    /// Entropy of the predictions, −Σ p log p: needs no labels.
    public static let entropy = LossFunction(name: "entropy", readsLabels: false) { builder, logits, _ in
        try builder.reshape(builder.entropy(logits), [logits.shape[0]])
    }
}
