import ZooAutodiff
import ZooBase
import ZooTensor

/// How knowledge and queries become vectors.
public enum EncoderKind: String, Sendable, Hashable, CaseIterable {
    /// Sums over classes, whatever their order and number (default).
    case set
    /// Rows by a bidirectional LSTM, then an LSTM over rows, in the manner of the published code.
    case lstm
    /// Linear on outputs for fixed noise, in the manner of TANS (arXiv 2103.15304); for comparison.
    case tans
}

/// What is lost in training.
public enum RetrievalLoss: String, Sendable, Hashable, CaseIterable {
    /// Hardest negative of another task with a margin of 0.2, in both directions.
    case ranking
    /// The published code as it runs: mean_j max(0, max_i S_ij − S_jj), the diagonal among the candidates, no margin.
    case published
    /// As published for graded labels (accuracies y, scaled to 0…1 per query): ½ (1 − cos to the best model) + ½ max(0,
    /// cos to the most similar bad one − 0.2); bad is y ≤ 0.5 and y ≤ y_best − 0.1. Only the best counts, not the order.
    case graded
    /// Cross-entropy between softmax(y / 0.1) and softmax(S / 0.1) over the models of a batch: the whole order counts.
    case listwise

    /// Whether accuracies of every model on every task are needed.
    public var readsGrades: Bool { self == .graded || self == .listwise }
}

/// The sizes of both encoders.
public struct EncoderShape: Sendable, Hashable {
    /// The kind.
    public var kind = EncoderKind.set
    /// Numbers per feature vector d.
    public var dimension: Int
    /// Units H.
    public var hidden = 64
    /// Numbers per vector E.
    public var embedding = 64
    /// Whether boundary points are read, or nodes alone.
    public var usesBoundaries = true
    /// Outputs on noise that `tans` reads: 256 × classes; zero otherwise.
    public var noiseCount = 0

    /// Default sizes.
    public init(_ kind: EncoderKind = .set, dimension: Int) {
        self.kind = kind
        self.dimension = dimension
    }

    /// Fresh weights: uniform in ±1/√fan, biases zero.
    package func initial(_ generator: inout SeededGenerator) -> LearnedParameters {
        var p = LearnedParameters()
        let (d, h, e) = (dimension, hidden, embedding)
        func layer(_ name: String, _ inputs: Int, _ outputs: Int) {
            p.add("\(name).weight", [outputs, inputs], fan: inputs, &generator)
            p.add(zeros: "\(name).bias", [outputs])
        }
        func cell(_ name: String, _ inputs: Int, _ units: Int) {
            p.add("\(name).input", [4 * units, inputs], fan: units, &generator)
            p.add("\(name).state", [4 * units, units], fan: units, &generator)
            p.add(zeros: "\(name).bias", [4 * units])
        }
        switch kind {
        case .set:
            layer("model.a", d, h)
            layer("model.b", h, h)
            layer("model.c", 2 * h, h)
            layer("model.w", h, e)
            layer("query.0", d, h)
            layer("query.1", h, h)
            layer("query.2", h, e)
        case .lstm:
            cell("model.row.forward", d, h)
            cell("model.row.backward", d, h)
            cell("model.rows", 2 * h, e)
            cell("query.forward", d, h)
            cell("query.backward", d, h)
            layer("query.out", 2 * h, e)
        case .tans:
            layer("model.out", noiseCount, e)
            layer("query.out", d, e)
        }
        return p
    }
}

/// The encoders as parts of a program.
package struct EncoderProgram {
    let b: ProgramBuilder
    let p: [String: Value]
    let shape: EncoderShape

    /// The vector u of models before it is normalised `[B, E]`; declares its data inputs in the order of `ModelBatch`.
    func models(batch: Int, classes: Int, rowLength: Int) throws -> Value {
        let d = shape.dimension
        switch shape.kind {
        case .set:
            let nodes = b.data("model.nodes", [batch, classes, d]),
                others = b.data("model.others", [batch, classes, d])
            let weights = b.data("model.weights", [batch, classes])
            let h = b.relu(try layer("model.a", try b.reshape(nodes, [batch * classes, d])))
            let o = b.relu(try layer("model.a", try b.reshape(others, [batch * classes, d])))
            let g = b.relu(try layer("model.b", o))
            let r = b.relu(try layer("model.c", try b.concatenate([h, g], axis: 1)))
            return try layer("model.w", try pooled(r, weights))
        case .lstm:
            let rows = b.data("model.rows", [batch, classes, rowLength, d])
            let rowMask = b.data("model.rowmask", [batch, classes, rowLength])
            let mask = b.data("model.mask", [batch, classes])
            let n = batch * classes
            let states = try bidirectional(
                "model.row", try b.reshape(rows, [n, rowLength, d]), try b.reshape(rowMask, [n, rowLength]),
                units: shape.hidden)
            return try run(
                "model.rows", try b.reshape(states, [batch, classes, 2 * shape.hidden]), mask, units: shape.embedding,
                reversed: false)
        case .tans: return try layer("model.out", b.data("model.noise", [batch, shape.noiseCount]))
        }
    }

    /// The vector of queries before it is normalised `[B, E]`.
    func queries(batch: Int, classes: Int) throws -> Value {
        let d = shape.dimension
        let means = b.data("query.means", [batch, classes, d]), weights = b.data("query.weights", [batch, classes])
        switch shape.kind {
        case .set:
            let h = b.relu(try layer("query.0", try b.reshape(means, [batch * classes, d])))
            return try layer("query.2", try pooled(b.relu(try layer("query.1", h)), weights))
        case .lstm:
            let mask = try b.greater(weights, b.fill(0, weights.shape))
            return try layer("query.out", try bidirectional("query", means, mask, units: shape.hidden))
        case .tans: return try layer("query.out", try pooled(try b.reshape(means, [batch * classes, d]), weights))
        }
    }

    /// Σ_c w_c x_c of `[B·C, n]` with weights `[B, C]`.
    private func pooled(_ x: Value, _ weights: Value) throws -> Value {
        let (batch, classes, n) = (weights.shape[0], weights.shape[1], x.shape[1])
        let wide = try b.reshape(x, [batch, classes, n])
        return try b.sum(try b.multiply(wide, try b.reshape(weights, [batch, classes, 1])), axes: [1])
    }

    func layer(_ name: String, _ x: Value) throws -> Value {
        try b.linear(x, weight: try parameter("\(name).weight"), bias: try parameter("\(name).bias"))
    }

    private func parameter(_ name: String) throws -> Value {
        guard let value = p[name] else { throw ZooError(.internal, "no parameter '\(name)'") }
        return value
    }

    /// Both final states of a bidirectional LSTM `[N, 2H]` over `[N, L, n]`.
    private func bidirectional(_ name: String, _ x: Value, _ mask: Value, units: Int) throws -> Value {
        try b.concatenate(
            [
                try run("\(name).forward", x, mask, units: units, reversed: false),
                try run("\(name).backward", x, mask, units: units, reversed: true),
            ], axis: 1)
    }

    /// The final state of an LSTM from a zero state: z = x Wi + h Wh + b in the order i, f, g, o. Where the mask is
    /// zero the state stays.
    private func run(_ name: String, _ x: Value, _ mask: Value, units: Int, reversed: Bool) throws -> Value {
        let (n, length, width) = (x.shape[0], x.shape[1], x.shape[2])
        let projected = try b.reshape(
            try b.linear(
                try b.reshape(x, [n * length, width]), weight: try parameter("\(name).input"),
                bias: try parameter("\(name).bias")), [n, length, 4 * units])
        var h: Value?, c: Value?
        for t in reversed ? Array((0..<length).reversed()) : Array(0..<length) {
            var z = try b.reshape(try b.slice(projected, axis: 1, t..<t + 1), [n, 4 * units])
            if let h { z = try b.add(z, try b.linear(h, weight: try parameter("\(name).state"))) }
            func gate(_ place: Int) throws -> Value { try b.slice(z, axis: 1, place * units..<(place + 1) * units) }
            let input = try b.multiply(b.sigmoid(try gate(0)), b.tanh(try gate(2)))
            let m = try b.slice(mask, axis: 1, t..<t + 1)
            guard let oldH = h, let oldC = c else {
                c = try b.multiply(input, m)
                h = try b.multiply(try b.multiply(b.sigmoid(try gate(3)), b.tanh(input)), m)
                continue
            }
            let cell = try b.add(try b.multiply(b.sigmoid(try gate(1)), oldC), input)
            let state = try b.multiply(b.sigmoid(try gate(3)), b.tanh(cell))
            c = try b.add(oldC, try b.multiply(m, try b.subtract(cell, oldC)))
            h = try b.add(oldH, try b.multiply(m, try b.subtract(state, oldH)))
        }
        guard let h else { throw ZooError(.internal, "an empty sequence") }
        return h
    }

    // MARK: Losses

    /// Rows of unit length; very short ones are left short.
    func unit(_ u: Value) throws -> Value { try b.normalised(u, epsilon: 1e-16) }

    /// The loss of similarities: `[B, B]`, query i and model i of the same task, for those that read no grades; of any
    /// models for the others, which declare what `GradedBatch` makes.
    package static func loss(_ b: ProgramBuilder, _ s: Value, _ settings: TrainingSettings) throws -> Value {
        switch settings.loss {
        case .ranking, .published: try ranking(b, s, loss: settings.loss, margin: settings.margin)
        case .graded: try graded(b, s)
        case .listwise:
            try b.affine(
                b.mean(
                    b.sum(
                        try b.multiply(
                            b.data("grades.target", s.shape),
                            b.logSoftmax(b.affine(s, scale: 1 / GradedBatch.temperature), axis: 1)), axes: [1])),
                scale: -1)
        }
    }

    private static func graded(_ b: ProgramBuilder, _ s: Value) throws -> Value {
        let n = s.shape[0]
        let best = b.data("grades.best", s.shape), allowed = b.data("grades.bad", s.shape)
        let own = try b.sum(try b.multiply(s, best), axes: [1])
        // Similarities lie in [−1, 1]: what is not bad moves down by 4, and where nothing is bad the term is zero.
        let bad = try b.add(s, b.affine(allowed, scale: 4, offset: -4))
        let hardest = try b.reshape(try b.maximum(of: bad, axis: 1), [n])
        let pull = try b.mean(b.affine(own, scale: -0.5, offset: 0.5))
        let push = try b.mean(b.relu(b.affine(hardest, offset: -GradedBatch.badCosine)))
        return try b.add(pull, b.affine(push, scale: 0.5))
    }

    /// The ranking loss of similarities `[B, B]`, query i and model i of the same task.
    package static func ranking(_ b: ProgramBuilder, _ s: Value, loss: RetrievalLoss, margin: Double) throws -> Value {
        let n = s.shape[0]
        var eye = [Double](repeating: 0, count: n * n)
        for i in 0..<n { eye[i * n + i] = 1 }
        let identity = b.constant(eye, [n, n])
        let own = try b.sum(try b.multiply(s, identity), axes: [1])
        if loss == .published {
            let best = try b.reshape(try b.maximum(of: s, axis: 0), [n])
            return try b.mean(b.relu(try b.subtract(best, own)))
        }
        // Similarities lie in [−1, 1]: the diagonal moved down by 4 is never the largest.
        let others = try b.subtract(s, b.affine(identity, scale: 4))
        func side(_ axis: Int) throws -> Value {
            let hardest = try b.reshape(try b.maximum(of: others, axis: axis), [n])
            return try b.mean(b.relu(b.affine(try b.subtract(hardest, own), offset: margin)))
        }
        return try b.add(try side(1), try side(0))
    }
}
