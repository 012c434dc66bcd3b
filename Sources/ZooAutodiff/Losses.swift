import ZooBase
import ZooTensor

/// Losses. Each returns one number per sample unless it says otherwise; `average` makes the scalar.
extension ProgramBuilder {
    /// The mean over samples, or Σ wᵢ xᵢ / Σ wᵢ with a weight per sample (zero for samples that only fill up a batch).
    public func average(_ perSample: Value, weights: Value? = nil) throws -> Value {
        guard let weights else { return try mean(perSample) }
        guard weights.shape == perSample.shape else {
            throw misfit("average", "weights \(weights.shape) for values \(perSample.shape)")
        }
        return try divide(sum(multiply(perSample, weights)), sum(weights))
    }

    /// Cross-entropy of logits [samples, classes] against labels [samples], natural logarithm.
    ///
    /// - Parameter smoothing: the share of the target that is spread evenly over all classes.
    public func crossEntropy(_ logits: Value, labels: Indices, smoothing: Double = 0) throws -> Value {
        guard logits.shape.rank == 2, labels.shape == [logits.shape[0]] else {
            throw misfit("crossEntropy", "logits \(logits.shape) with labels \(labels.shape)")
        }
        let samples = logits.shape[0]
        let total = try logSumExp(logits)
        let column = try reshape(labels, [samples, 1])
        var loss = try subtract(total, take(logits, column, axis: 1))
        if smoothing != 0 {
            let even = try subtract(total, mean(logits, axes: [1], keepingAxes: true))
            loss = try add(affine(loss, scale: 1 - smoothing), affine(even, scale: smoothing))
        }
        return try reshape(loss, [samples])
    }

    /// Cross-entropy of logits against a distribution per sample: −Σ t log softmax(z).
    public func crossEntropy(_ logits: Value, targets: Value) throws -> Value {
        guard logits.shape == targets.shape, logits.shape.rank == 2 else {
            throw misfit("crossEntropy", "logits \(logits.shape) with targets \(targets.shape)")
        }
        return affine(try sum(multiply(targets, logSoftmax(logits)), axes: [1]), scale: -1)
    }

    /// Mean of (x − t)² over all but the first axis; averaged over samples it is PyTorch's MSE.
    public func meanSquaredError(_ x: Value, _ target: Value) throws -> Value {
        guard x.shape == target.shape, x.shape.rank >= 1 else {
            throw misfit("meanSquaredError", "\(x.shape) against \(target.shape)")
        }
        return try mean(square(subtract(x, target)), axes: Array(1..<x.shape.rank))
    }

    /// Σ p (log p − log q) along the last axis, both given as logits.
    public func divergence(from p: Value, to q: Value) throws -> Value {
        let logP = try logSoftmax(p)
        return try sum(multiply(softmax(p), subtract(logP, logSoftmax(q))), axes: [-1])
    }

    /// −Σ p log p along the last axis, of logits.
    public func entropy(_ logits: Value) throws -> Value {
        affine(try sum(multiply(softmax(logits), logSoftmax(logits)), axes: [-1]), scale: -1)
    }

    /// InfoNCE with negatives in the batch: row i of `queries` belongs to row i of `keys` [samples, size].
    ///
    /// Rows are normalised, similarities divided by the temperature; `symmetric` averages both directions (CLIP).
    public func infoNCE(
        queries: Value, keys: Value, temperature: Double, symmetric: Bool = false
    ) throws -> Value {
        guard queries.shape.rank == 2, queries.shape == keys.shape, temperature > 0 else {
            throw misfit("infoNCE", "queries \(queries.shape), keys \(keys.shape), temperature \(temperature)")
        }
        let q = try normalised(queries), k = try normalised(keys)
        let logits = affine(try matmul(q, k, transposeB: true), scale: 1 / temperature)
        let matching = try reshape(sum(multiply(q, k), axes: [1]), [q.shape[0], 1])
        let own = affine(matching, scale: 1 / temperature)
        func loss(_ axis: Int) throws -> Value {
            try subtract(reshape(logSumExp(logits, axis: axis), [-1]), reshape(own, [-1]))
        }
        return symmetric ? affine(try add(loss(1), loss(0)), scale: 0.5) : try loss(1)
    }

    /// Rows of unit length.
    public func normalised(_ x: Value, epsilon: Double = 1e-24) throws -> Value {
        try multiply(x, rsqrt(affine(sum(square(x), axes: [-1], keepingAxes: true), offset: epsilon)))
    }

    /// One per sample whose largest logit (the first on ties) is at its label, else zero.
    public func correct(_ logits: Value, labels: Indices) throws -> Value {
        try reshape(agreement(argmax(logits), labels), [labels.shape.elementCount])
    }
}
