import Synchronization
import ZooAutodiff
import ZooBase
import ZooTensor

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Runs a network that reads token ids over any number of texts, in batches of similar length.
///
/// Texts are sorted by length and padded to a bucket; one program is compiled per bucket. Weights are read once and
/// shared by all threads; batches are split over threads and results come back in the order of the texts, the same
/// for every number of threads.
public final class TextEncoder: Sendable {
    /// Texts per run at most.
    public let batch: Int
    /// The longest text that the network's position table (or the caller) allows.
    public let maximumLength: Int
    /// Floating-point tensors that the architecture does not read.
    public let unreadNames: [String]
    private let graph: ArchitectureGraph
    private let tensors: [TensorInfo]
    private let weights: [String: Tensor]
    private let pools = Mutex<[PoolKey: Pool]>([:])

    private struct PoolKey: Hashable {
        var length: Int, batch: Int, isLoss: Bool, output: String
    }

    private struct Pool: Sendable {
        var executors: ExecutorPool<Float>
        var width: Int
    }

    /// Reads the weights.
    ///
    /// - Parameter maximumLength: nil for the rows of the position table, or 8192 without one.
    /// - Throws: `mismatch` when weights and graph do not fit together, or the network does not read tokens.
    public init(
        _ graph: ArchitectureGraph, source: any TensorSource, maximumLength: Int? = nil, batch: Int = 32
    ) throws {
        guard graph.inputs.first?.kind == .tokens else {
            throw ZooError(.unsupported, "architecture '\(graph.name)' does not read text")
        }
        guard batch > 0, maximumLength ?? 1 > 0 else { throw ZooError(.usage, "batch and length must be positive") }
        let infos = source.tensorInfos
        tensors = infos
        unreadNames = try GraphShapes(graph, tensors: infos).unread
        self.graph = graph
        self.batch = batch
        let table = graph.nodes.first { $0.op == .positionEmbedding }
        let rows = table?.parameter("weight").flatMap { name in infos.first { $0.name == name }?.shape.dimensions.first
        }
        let room = rows.map { $0 - (table?.integer("offset", default: 0) ?? 0) } ?? 8192
        self.maximumLength = min(maximumLength ?? room, rows == nil ? .max : room)
        var weights: [String: Tensor] = [:]
        for name in Set(graph.parameterNames) {
            let tensor = try source.tensor(named: name)
            let isAligned = tensor.bytes.withUnsafeBytes { Int(bitPattern: $0.baseAddress) % 16 == 0 }
            // Mapped weights are read where they lie, when kernels can read them there.
            let isUsable = tensor.dtype == .float32 && isAligned
            weights[name] = isUsable ? tensor : Tensor(tensor.floats(), shape: tensor.shape)
        }
        self.weights = weights
    }

    /// Embeds texts given as token ids.
    ///
    /// - Parameter output: the graph's output of one vector per text.
    /// - Returns: a vector per text, in order.
    /// - Throws: `mismatch` for a text that is empty or longer than `maximumLength`, or an id beyond the vocabulary;
    ///   `notFound` for an output that the graph lacks; `interrupted`.
    public func embed(
        _ texts: [[Int32]], output: String = "embedding", jobs: Int = Parallel.processorCount,
        progress: @escaping @Sendable (Int) -> Void = { _ in }
    ) throws -> [[Float]] {
        var vectors = [[Float]](repeating: [], count: texts.count)
        for (members, found) in try run(texts, output: output, jobs: jobs, progress: progress) {
            let width = found.count / max(1, rowCount(members))
            for (row, text) in members.enumerated() { vectors[text] = Array(found[row * width..<(row + 1) * width]) }
        }
        return vectors
    }

    /// The cross-entropy of the next token, summed over each text in double precision, and the tokens predicted.
    ///
    /// - Throws: as `embed`; `notFound` when the network has no logits.
    public func nextTokenLosses(
        _ texts: [[Int32]], jobs: Int = Parallel.processorCount,
        progress: @escaping @Sendable (Int) -> Void = { _ in }
    ) throws -> [(loss: Double, count: Int)] {
        var results = [(loss: Double, count: Int)](repeating: (0, 0), count: texts.count)
        for (members, found) in try run(texts, output: nil, jobs: jobs, progress: progress) {
            let length = found.count / max(1, rowCount(members))
            for (row, text) in members.enumerated() {
                let losses = found[row * length..<(row + 1) * length]
                results[text] = (losses.reduce(0) { $0 + Double($1) }, texts[text].count - 1)
            }
        }
        return results
    }

    /// Mean loss and perplexity over all predicted tokens of texts.
    ///
    /// - Throws: as `nextTokenLosses`; `mismatch` when no token is predicted.
    public func perplexity(_ texts: [[Int32]], jobs: Int = Parallel.processorCount) throws -> LanguageEvaluation {
        let results = try nextTokenLosses(texts, jobs: jobs)
        let count = results.reduce(0) { $0 + $1.count }
        guard count > 0 else { throw ZooError(.mismatch, "no text has a second token to predict") }
        return LanguageEvaluation(loss: results.reduce(0) { $0 + $1.loss } / Double(count), count: count)
    }

    // MARK: Batches

    private func rowCount(_ members: [Int]) -> Int { members.count == 1 ? 1 : batch }

    private func run(
        _ texts: [[Int32]], output: String?, jobs: Int, progress: @escaping @Sendable (Int) -> Void
    ) throws -> [([Int], [Float])] {
        for (place, text) in texts.enumerated() where text.isEmpty || text.count > maximumLength {
            throw ZooError(
                .mismatch, "text \(place) has \(text.count) tokens; expected 1 to \(maximumLength)",
                hint: "truncate it, or split it into pieces")
        }
        var groups: [[Int]] = []
        var width = 0
        // Longest first, so that the last batches are the short ones and threads end together.
        for text in texts.indices.sorted(by: { (texts[$1].count, $0) < (texts[$0].count, $1) }) {
            let own = TokenBatch.bucket(texts[text].count, limit: maximumLength)
            if own == width, groups[groups.count - 1].count < batch {
                groups[groups.count - 1].append(text)
            } else {
                groups.append([text])
                width = own
            }
        }
        let made = groups
        let found = try Parallel.map(count: made.count, jobs: jobs) { index -> [Float] in
            defer { progress(made[index].count) }
            return try self.run(made[index].map { texts[$0] }, rows: self.rowCount(made[index]), output)
        }
        return Array(zip(made, found))
    }

    private func run(_ texts: [[Int32]], rows: Int, _ output: String?) throws -> [Float] {
        let length = TokenBatch.bucket(texts.map(\.count).max() ?? 1, limit: maximumLength)
        let tokens = try TokenBatch(texts, length: length, count: rows)
        let pool = try pool(PoolKey(length: length, batch: rows, isLoss: output == nil, output: output ?? ""))
        let program = pool.executors.compiled.program
        let reals = program.inputs(.data).map { $0.name == "label_weights" ? tokens.labelWeights : tokens.mask }
        let integers = program.inputs(.indices).map { $0.name == "labels" ? tokens.labels : tokens.ids }
        return try pool.executors.withExecutor { executor in
            try withParameters(program) { try executor.bind(parameters: $0) }
            return try Self.withPointers(reals) { real in
                try Self.withPointers(integers) { integer in
                    try executor.run(reals: real, indices: integer)
                    return Array(executor.output(0))
                }
            }
        }
    }

    /// The weights lie in `Tensor`s, which live as long as this object and never move.
    private func withParameters(_ program: Program, _ body: ([UnsafePointer<Float>]) throws -> Void) throws {
        let pointers = try program.inputs(.parameter).map { input -> UnsafePointer<Float> in
            guard let tensor = weights[input.name], tensor.shape == input.shape else {
                throw ZooError(.mismatch, "tensor '\(input.name)' does not have shape \(input.shape)")
            }
            return try tensor.bytes.withUnsafeBytes { raw in
                guard let base = raw.baseAddress else { throw ZooError(.mismatch, "'\(input.name)' is empty") }
                return UnsafePointer(base.assumingMemoryBound(to: Float.self))
            }
        }
        try body(pointers)
    }

    private static func withPointers<T, R>(_ arrays: [[T]], _ body: ([UnsafePointer<T>]) throws -> R) rethrows -> R {
        let copies = arrays.map { array in
            let copy = UnsafeMutablePointer<T>.allocate(capacity: max(1, array.count))
            copy.initialize(from: array, count: array.count)
            return copy
        }
        defer { for copy in copies { copy.deallocate() } }
        return try body(copies.map { UnsafePointer($0) })
    }

    private func pool(_ key: PoolKey) throws -> Pool {
        if let known = pools.withLock({ $0[key] }) { return known }
        let lowered = try LoweredGraph(graph, tensors: tensors, batch: key.batch, sequenceLength: key.length)
        let value =
            try key.isLoss ? lowered.nextTokenLosses(of: graph).losses : lowered.output(key.output, of: graph)
        guard key.isLoss || (value.shape.rank == 2 && value.shape[0] == key.batch) else {
            throw ZooError(.mismatch, "output '\(key.output)' has shape \(value.shape), not one vector per text")
        }
        let compiled = lowered.builder.build([("output", value)]).compiled()
        let made = Pool(
            executors: ExecutorPool(compiled), width: value.shape.elementCount / max(1, key.batch))
        return pools.withLock { pools in
            if let known = pools[key] { return known }
            pools[key] = made
            return made
        }
    }
}

/// Loss of a language model over texts.
public struct LanguageEvaluation: Sendable, Hashable {
    /// Mean cross-entropy per predicted token, natural logarithm.
    public var loss: Double
    /// Tokens predicted.
    public var count: Int

    /// A result.
    public init(loss: Double, count: Int) { (self.loss, self.count) = (loss, count) }

    /// exp(loss).
    public var perplexity: Double { exp(loss) }
}
