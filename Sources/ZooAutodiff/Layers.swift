import ZooBase
import ZooTensor

/// Layers of networks, composed of primitives. Weights have the shapes in which checkpoints hold them.
extension ProgramBuilder {
    /// Batch norm with stored statistics: γ (x − μ) / √(σ² + ε) + β over axis 1. Statistics are inputs like others;
    /// leave them out of `withRespectTo` and they are constants.
    ///
    /// Written as x · slope + shift with both computed once per model, so the gradient in γ is a difference that loses
    /// digits when |μ| is much larger than σ.
    public func batchNorm(
        _ x: Value, weight: Value? = nil, bias: Value? = nil, mean: Value, variance: Value, epsilon: Double = 1e-5
    ) throws -> Value {
        let channels = try channelShape(x, "batchNorm")
        for part in [weight, bias, mean, variance].compactMap({ $0 }) where part.shape.elementCount != x.shape[1] {
            throw misfit("batchNorm", "input \(x.shape) has \(x.shape[1]) channels, a parameter is \(part.shape)")
        }
        let scale = rsqrt(affine(variance, offset: epsilon))
        let slope = try weight.map { try multiply($0, scale) } ?? scale
        let offset = try multiply(mean, slope)
        let shift = try bias.map { try subtract($0, offset) } ?? affine(offset, scale: -1)
        return try add(multiply(x, reshape(slope, channels)), reshape(shift, channels))
    }

    /// Batch norm with the statistics of the batch (biased variance), which are returned for running averages.
    ///
    /// PyTorch keeps the running variance unbiased: multiply `variance` by n / (n − 1), n = samples × pixels.
    ///
    /// - Parameter sampleWeights: `[samples]`, one for real samples and zero for those that fill up the batch, which
    ///   then have no part in the statistics.
    public func batchNormTraining(
        _ x: Value, weight: Value? = nil, bias: Value? = nil, epsilon: Double = 1e-5, sampleWeights: Value? = nil
    ) throws -> (output: Value, mean: Value, variance: Value) {
        let channels = try channelShape(x, "batchNormTraining")
        let axes = (0..<x.shape.rank).filter { $0 != 1 }
        // The mean over real samples: weights and the reciprocal of how many numbers a channel has.
        let share = try sampleWeights.map { weights in
            let pixels = x.shape.dimensions.dropFirst(2).reduce(1, *)
            let count = affine(try sum(weights), scale: Double(pixels))
            return (
                try reshape(weights, [-1] + [Int](repeating: 1, count: x.shape.rank - 1)), reciprocal(count)
            )
        }
        func average(_ y: Value) throws -> Value {
            guard let (weights, scale) = share else { return try self.mean(y, axes: axes) }
            return try multiply(sum(multiply(y, weights), axes: axes), scale)
        }
        let mean = try average(x)
        let centred = try subtract(x, reshape(mean, channels))
        let variance = try average(square(centred))
        let scale = rsqrt(affine(variance, offset: epsilon))
        let slope = try weight.map { try multiply($0, scale) } ?? scale
        let scaled = try multiply(centred, reshape(slope, channels))
        return (try bias.map { try add(scaled, reshape($0, channels)) } ?? scaled, mean, variance)
    }

    private func channelShape(_ x: Value, _ name: String) throws -> [Int] {
        guard x.shape.rank >= 2 else { throw misfit(name, "\(x.shape) has no channel axis") }
        return [-1] + [Int](repeating: 1, count: x.shape.rank - 2)
    }

    /// Layer norm over the last axis: γ (x − mean) / √(variance + ε) + β.
    public func layerNorm(
        _ x: Value, weight: Value? = nil, bias: Value? = nil, epsilon: Double = 1e-5
    ) throws -> Value {
        let centred = try subtract(x, mean(x, axes: [-1], keepingAxes: true))
        let scaled = try rmsNorm(centred, weight: weight, epsilon: epsilon)
        return try bias.map { try add(scaled, $0) } ?? scaled
    }

    /// RMS norm over the last axis: γ x / √(mean x² + ε).
    public func rmsNorm(_ x: Value, weight: Value? = nil, epsilon: Double = 1e-6) throws -> Value {
        let power = try mean(square(x), axes: [-1], keepingAxes: true)
        let scaled = try multiply(x, rsqrt(affine(power, offset: epsilon)))
        return try weight.map { try multiply(scaled, $0) } ?? scaled
    }

    // MARK: Attention

    /// softmax(q kᵀ · scale + mask) v over [batch, heads, tokens, size].
    ///
    /// - Parameters:
    ///   - keys: fewer heads than the queries have is grouped-query attention: each key head serves equally many
    ///     neighbouring query heads.
    ///   - mask: added to the scores, extents of one repeated; −∞ (or a large negative number) hides a key.
    ///   - scale: 1 / √size when nil.
    public func attention(
        queries q: Value, keys k: Value, values v: Value, mask: Value? = nil, scale: Double? = nil
    ) throws -> Value {
        guard q.shape.rank == 4, k.shape.rank == 4, v.shape.rank == 4, k.shape[1] > 0, q.shape[1] % k.shape[1] == 0
        else { throw misfit("attention", "queries \(q.shape), keys \(k.shape), values \(v.shape)") }
        let keys = try repeatHeads(k, q.shape[1]), values = try repeatHeads(v, q.shape[1])
        let factor = scale ?? 1 / Double(q.shape[3]).squareRoot()
        var scores = try matmul(affine(q, scale: factor), keys, transposeB: true)
        if let mask { scores = try add(scores, mask) }
        return try matmul(softmax(scores), values)
    }

    /// Each head several times in a row.
    private func repeatHeads(_ x: Value, _ heads: Int) throws -> Value {
        let times = heads / x.shape[1]
        if times == 1 { return x }
        let (batch, own, tokens, size) = (x.shape[0], x.shape[1], x.shape[2], x.shape[3])
        let spread = try broadcast(reshape(x, [batch, own, 1, tokens, size]), to: [batch, own, times, tokens, size])
        return try reshape(spread, [batch, heads, tokens, size])
    }

    /// [batch, tokens, heads · size] to [batch, heads, tokens, size].
    public func splitHeads(_ x: Value, heads: Int) throws -> Value {
        guard x.shape.rank == 3, heads > 0, x.shape[2] % heads == 0 else {
            throw misfit("splitHeads", "\(x.shape) into \(heads) heads")
        }
        return try transpose(reshape(x, [x.shape[0], x.shape[1], heads, -1]), [0, 2, 1, 3])
    }

    /// [batch, heads, tokens, size] to [batch, tokens, heads · size].
    public func mergeHeads(_ x: Value) throws -> Value {
        guard x.shape.rank == 4 else { throw misfit("mergeHeads", "\(x.shape)") }
        return try reshape(transpose(x, [0, 2, 1, 3]), [x.shape[0], x.shape[2], -1])
    }

    /// A mask [tokens, tokens] that hides later tokens: zero on and below the diagonal, −∞ above.
    public func causalMask(tokens: Int) -> Value {
        let rows = (0..<tokens).flatMap { row in (0..<tokens).map { $0 > row ? -Double.infinity : 0 } }
        return constant(rows, [tokens, tokens])
    }

    /// Rotary position embedding of [batch, heads, tokens, size] by tables [tokens, size / 2] of cosines and sines.
    ///
    /// Pairs are (i, i + size / 2) as in Llama, or neighbours (2i, 2i + 1) when `interleaved`.
    public func rotary(_ x: Value, cosines: Value, sines: Value, interleaved: Bool = false) throws -> Value {
        guard x.shape.rank == 4, x.shape[3] % 2 == 0, cosines.shape == [x.shape[2], x.shape[3] / 2],
            sines.shape == cosines.shape
        else { throw misfit("rotary", "\(x.shape) with tables \(cosines.shape) and \(sines.shape)") }
        let (batch, heads, tokens, half) = (x.shape[0], x.shape[1], x.shape[2], x.shape[3] / 2)
        let pairs = try reshape(x, [batch, heads, tokens] + (interleaved ? [half, 2] : [2, half]))
        let axis = interleaved ? 4 : 3
        func part(_ place: Int) throws -> Value {
            try reshape(slice(pairs, axis: axis, place..<(place + 1)), [batch, heads, tokens, half])
        }
        let (a, b) = (try part(0), try part(1))
        let turned = [
            try subtract(multiply(a, cosines), multiply(b, sines)), try add(multiply(b, cosines), multiply(a, sines)),
        ]
        let shape = [batch, heads, tokens] + (interleaved ? [half, 1] : [1, half])
        return try reshape(concatenate(turned.map { try reshape($0, shape) }, axis: axis), x.shape.dimensions)
    }

    /// Tables of cosines and sines [tokens, size / 2] for `rotary`: angle t · base^(−2i / size).
    public func rotaryTables(tokens: Int, size: Int, base: Double = 10_000) -> (cosines: Value, sines: Value) {
        let angles = (0..<tokens).flatMap { token in
            (0..<(size / 2)).map { index in
                Double(token) * Unary.power(-2 * Double(index) / Double(size)).value(at: base)
            }
        }
        let shape: Shape = [tokens, size / 2]
        return (
            constant(angles.map { Unary.cos.value(at: $0) }, shape),
            constant(angles.map { Unary.sin.value(at: $0) }, shape)
        )
    }
}
