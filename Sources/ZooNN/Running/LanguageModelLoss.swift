import ZooAutodiff
import ZooBase
import ZooTensor

extension LoweredGraph {
    /// The cross-entropy of each next token, natural logarithm, `[batch · T]`; zero where there is none to predict.
    ///
    /// It declares two inputs: indices `labels` `[batch · T]`, the token that follows each position, and data
    /// `label_weights` `[batch · T]`, one where that token is real. `TokenBatch` has both.
    /// - Throws: `notFound` when the graph has no `logits`.
    public func nextTokenLosses(of graph: ArchitectureGraph) throws -> (losses: Value, weights: Value) {
        let logits = try output("logits", of: graph)
        guard logits.shape.rank == 3 else {
            throw ZooError(.mismatch, "architecture '\(graph.name)' is no language model: logits \(logits.shape)")
        }
        let positions = logits.shape[0] * logits.shape[1]
        let labels = builder.indices("labels", [positions])
        let weights = builder.data("label_weights", [positions])
        let rows = try builder.reshape(logits, [positions, logits.shape[2]])
        return (try builder.multiply(builder.crossEntropy(rows, labels: labels), weights), weights)
    }

    /// The mean of `nextTokenLosses` over the tokens that are predicted.
    ///
    /// - Throws: as `nextTokenLosses`.
    public func languageModelLoss(of graph: ArchitectureGraph) throws -> Value {
        let (losses, weights) = try nextTokenLosses(of: graph)
        return try builder.divide(builder.sum(losses), builder.sum(weights))
    }
}
