import Synchronization
import ZooAutodiff
import ZooBase
import ZooNN
import ZooTensor

/// A triplet as token ids.
public struct TokenTriplet: Sendable, Hashable {
    /// What is asked.
    public var query: [Int32]
    /// What answers it.
    public var positive: [Int32]
    /// What does not; nil leaves the positives of the batch's other triplets.
    public var negative: [Int32]?

    /// A triplet.
    public init(query: [Int32], positive: [Int32], negative: [Int32]? = nil) {
        self.query = query
        self.positive = positive
        self.negative = negative
    }

    /// All its texts.
    public var texts: [[Int32]] { [query, positive] + (negative.map { [$0] } ?? []) }
}

/// InfoNCE over batches of triplets: `S = scale · E_q [E_p ; E_n]ᵀ`, the mean over rows of `logsumexp(S_i) − S_ii`
/// (GAPrune's loss, arXiv 1807.03748 with hard negatives).
///
/// A column whose text equals the row's own positive is left out of the row's sum: it would be a false negative.
/// Batches are drawn by a seed and then worked on in the order of their lengths, so that few programs are in memory.
public final class TripletObjective: CalibrationObjective {
    /// The temperature's inverse of GAPrune's code: cosines times 20.
    public static let defaultScale = 20.0
    /// Negatives that all samples of a group share in the per-sample estimate, and samples of a group.
    static let sharedNegatives = 7, sharingGroup = 8
    /// Lengths are padded to a multiple of so many tokens: few programs serve all batches, and short texts have little
    /// padding to go through. Sixteen took a sixth longer on pairs of five and thirty tokens, one had too many programs.
    private static let paddingStep = 4

    /// The triplets.
    public let triplets: [TokenTriplet]
    private let batches: [Batch]
    private let graph: ArchitectureGraph
    private let tensors: [TensorInfo]
    private let layout: StatisticsLayout
    private let scale: Double
    private let sumsInputs: Bool
    private let keptPrograms: Int
    private let cache = Mutex<[(shape: ProgramShape, program: CompiledProgram<Float>)]>([])

    private struct ProgramShape: Sendable, Hashable, Comparable {
        var queries: Int, queryLength: Int, documents: Int, documentLength: Int, fixed: Int

        static func < (a: ProgramShape, b: ProgramShape) -> Bool {
            (a.documentLength, a.queryLength, a.queries, a.documents) < (
                b.documentLength, b.queryLength, b.queries, b.documents
            )
        }
    }

    private struct Batch: Sendable {
        var members: [Int]
        var shape: ProgramShape
        /// Embeddings of shared negatives `[fixed, size]`, and their texts.
        var negatives: [Float] = []
        var negativeTexts: [[Int32]] = []
    }

    /// Prepares the batches.
    ///
    /// - Parameters:
    ///   - estimator: with `perSample` a batch is one triplet beside seven negatives of other triplets, whose
    ///     embeddings are constants; `weights` is needed for them.
    ///   - batch: triplets of a micro-batch.
    ///   - maximumLength: tokens that the network reads.
    ///   - keptPrograms: programs of different shapes that are kept compiled.
    /// - Throws: `mismatch` when the network gives no vector per text, or without triplets; `usage` for too few
    ///   triplets to share negatives.
    public init(
        _ graph: ArchitectureGraph, tensors: [TensorInfo], layout: StatisticsLayout, triplets: [TokenTriplet],
        estimator: FisherEstimator, batch: Int, seed: UInt64, maximumLength: Int, scale: Double = defaultScale,
        sumsInputs: Bool = true, keptPrograms: Int = 2, encoder: TextEncoder? = nil, jobs: Int = 1
    ) throws {
        self.keptPrograms = max(2, keptPrograms)
        guard !triplets.isEmpty else { throw ZooError(.mismatch, "there are no triplets to calibrate with") }
        guard graph.inputs.first?.kind == .tokens, graph.node(of: "embedding") != nil else {
            throw ZooError(
                .unsupported, "architecture '\(graph.name)' does not make vectors of texts",
                hint: "triplets calibrate embedding models; networks for images take --domain DATA:split")
        }
        self.graph = graph
        self.tensors = tensors
        self.layout = layout
        self.triplets = triplets
        self.scale = scale
        self.sumsInputs = sumsInputs
        var generator = SeededGenerator(seed: seed)
        let order = generator.permutation(triplets.count)
        let width = estimator == .perSample ? 1 : max(1, batch)
        func padded(_ longest: Int) -> Int {
            TokenBatch.bucket(longest, limit: maximumLength, finest: Self.paddingStep)
        }
        func shape(_ members: [Int], fixed: Int) -> ProgramShape {
            let chosen = members.map { triplets[$0] }
            let documents = chosen.flatMap { [$0.positive] + ($0.negative.map { [$0] } ?? []) }
            let hasNegatives = chosen.contains { $0.negative != nil }
            return ProgramShape(
                queries: members.count,
                queryLength: padded(chosen.map(\.query.count).max() ?? 1),
                documents: hasNegatives ? 2 * members.count : members.count,
                documentLength: padded(documents.map(\.count).max() ?? 1),
                fixed: fixed)
        }
        var made: [Batch] = []
        if estimator == .perSample {
            made = try Self.singles(triplets, order, &generator, encoder, jobs: jobs).map { place, texts, vectors in
                Batch(
                    members: [place], shape: shape([place], fixed: texts.count), negatives: vectors,
                    negativeTexts: texts)
            }
        } else {
            for start in stride(from: 0, to: order.count, by: width) {
                let members = Array(order[start..<min(start + width, order.count)])
                made.append(Batch(members: members, shape: shape(members, fixed: 0)))
            }
        }
        // The longest first; equal shapes in the order in which they were drawn.
        batches = made.indices.sorted { (made[$1].shape, $0) < (made[$0].shape, $1) }.map { made[$0] }
    }

    /// Single triplets with the negatives that their group shares.
    private static func singles(
        _ triplets: [TokenTriplet], _ order: [Int], _ generator: inout SeededGenerator, _ encoder: TextEncoder?,
        jobs: Int
    ) throws -> [(Int, [[Int32]], [Float])] {
        guard triplets.count >= sharingGroup + sharedNegatives, let encoder else {
            throw ZooError(
                .usage,
                "the per-sample estimate needs \(sharingGroup + sharedNegatives) triplets; there are \(triplets.count)",
                hint: "use --fisher micro-batch")
        }
        var groups: [(members: [Int], texts: [[Int32]])] = []
        for start in stride(from: 0, to: order.count, by: sharingGroup) {
            let members = Array(order[start..<min(start + sharingGroup, order.count)])
            var others: [[Int32]] = []
            while others.count < sharedNegatives {
                let place = generator.below(order.count)
                if (start..<start + members.count).contains(place) { continue }
                let triplet = triplets[order[place]]
                others.append(triplet.negative ?? triplet.positive)
            }
            groups.append((members, others))
        }
        let vectors = try encoder.embed(groups.flatMap(\.texts), jobs: jobs)
        return groups.enumerated().flatMap { number, group in
            let own = vectors[number * sharedNegatives..<(number + 1) * sharedNegatives].flatMap { $0 }
            return group.members.map { ($0, group.texts, own) }
        }
    }

    /// Batches.
    public var batchCount: Int { batches.count }

    /// The triplets of a batch.
    package func members(of batch: Int) -> [TokenTriplet] { batches[batch].members.map { triplets[$0] } }

    /// Triplets of a batch.
    public func sampleCount(of batch: Int) -> Int { batches[batch].members.count }

    /// Real tokens of a batch, for matrices that read tokens.
    public func inputRows(of batch: Int, _ matrix: CandidateMatrix) -> Int {
        documents(batches[batch]).reduce(0) { $0 + $1.count }
            + batches[batch].members.reduce(0) { $0 + triplets[$1].query.count }
    }

    /// A number that changes with the triplets and their order.
    public var digest: UInt64 {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        func add(_ number: Int32) { hash = (hash ^ UInt64(UInt32(bitPattern: number))) &* 0x100_0000_01B3 }
        for batch in batches {
            for member in batch.members {
                for text in triplets[member].texts {
                    add(Int32(text.count))
                    for id in text { add(id) }
                }
            }
            for text in batch.negativeTexts { for id in text { add(id) } }
        }
        return hash
    }

    /// The documents of a batch: positives, then negatives; a positive stands where a negative is missing and is
    /// hidden there.
    private func documents(_ batch: Batch) -> [[Int32]] {
        let positives = batch.members.map { triplets[$0].positive }
        guard batch.shape.documents > positives.count else { return positives }
        return positives + batch.members.map { triplets[$0].negative ?? triplets[$0].positive }
    }

    /// The program of a batch's shape. The last few are kept.
    public func program(of batch: Int) throws -> CompiledProgram<Float> {
        let shape = batches[batch].shape
        if let known = cache.withLock({ $0.first { $0.shape == shape }?.program }) { return known }
        let made = try compiled(shape)
        cache.withLock { cache in
            cache.append((shape, made))
            if cache.count > keptPrograms { cache.removeFirst() }
        }
        return made
    }

    private func compiled(_ shape: ProgramShape) throws -> CompiledProgram<Float> { try program(shape).compiled() }

    /// The program of a batch, before it is lowered: tests run it in double precision.
    package func plainProgram(of batch: Int) throws -> Program { try program(batches[batch].shape) }

    private func program(_ shape: ProgramShape) throws -> Program {
        let queries = try LoweredGraph(
            graph, tensors: tensors, batch: shape.queries, sequenceLength: shape.queryLength, prefix: "query.")
        let documents = try LoweredGraph(
            graph, tensors: tensors, batch: shape.documents, sequenceLength: shape.documentLength, beside: queries,
            prefix: "document.")
        let b = queries.builder
        let q = try b.normalised(queries.output("embedding", of: graph))
        var d = try b.normalised(documents.output("embedding", of: graph))
        guard q.shape.rank == 2 else {
            throw ZooError(.mismatch, "output 'embedding' has shape \(q.shape), not one vector per text")
        }
        if shape.fixed > 0 { d = try b.concatenate([d, b.data("negatives", [shape.fixed, q.shape[1]])], axis: 0) }
        let columns = shape.documents + shape.fixed
        let hidden = b.data("hidden", [shape.queries, columns])
        let loss = try InfoNCE.loss(b, queries: q, documents: d, hidden: hidden, scale: scale)
        let mask = graph.inputs.first { $0.kind == .mask }?.name
        let outputs = try layout.outputs(
            of: loss,
            through: [queries, documents].map { lowered in (lowered, mask.flatMap { lowered.values[$0] }) }, of: graph,
            sumsInputs: sumsInputs)
        return b.build(outputs)
    }

    /// Lends token ids, masks and what is hidden.
    public func withInputs(
        of batch: Int, _ program: Program,
        _ body: ([UnsafePointer<Float>], [UnsafePointer<Int32>]) throws -> Void
    ) throws {
        let batch = batches[batch], shape = batch.shape
        let queries = try TokenBatch(batch.members.map { triplets[$0].query }, length: shape.queryLength)
        let documents = try TokenBatch(documents(batch), length: shape.documentLength)
        let hidden = hidden(batch)
        let reals = try program.inputs(.data).map { input -> [Float] in
            switch input.name {
            case "hidden": hidden
            case "negatives": batch.negatives
            case _ where input.name.hasPrefix("query."): queries.mask
            case _ where input.name.hasPrefix("document."): documents.mask
            default: throw ZooError(.internal, "no values for input '\(input.name)'")
            }
        }
        let integers = program.inputs(.indices).map { $0.name.hasPrefix("query.") ? queries.ids : documents.ids }
        try withPointers(reals) { reals in try withPointers(integers) { try body(reals, $0) } }
    }

    /// A large negative number wherever a column is no negative of the row: its own text again, or a place without one.
    private func hidden(_ batch: Batch) -> [Float] {
        let texts = documents(batch) + batch.negativeTexts
        let rows = batch.members.count
        return (0..<rows).flatMap { row in
            texts.indices.map { column -> Float in
                guard column != row else { return 0 }
                let isMissing =
                    (rows..<2 * rows).contains(column) && column < batch.shape.documents
                    && triplets[batch.members[column - rows]].negative == nil
                return isMissing || texts[column] == texts[row] ? -1e9 : 0
            }
        }
    }
}

/// The loss of retrieval with negatives in the batch.
public enum InfoNCE {
    /// The mean over rows of `logsumexp_k(S_ik + hidden_ik) − S_ii`, `S = scale · queries documentsᵀ`.
    ///
    /// - Parameters:
    ///   - queries: unit vectors `[rows, size]`.
    ///   - documents: unit vectors `[columns, size]`; the first ones are the rows' positives.
    ///   - hidden: what is added to the scores `[rows, columns]`.
    /// - Throws: `mismatch` for shapes that do not fit.
    public static func loss(
        _ b: ProgramBuilder, queries: Value, documents: Value, hidden: Value? = nil, scale: Double
    ) throws -> Value {
        let rows = queries.shape[0]
        let scores = b.affine(try b.matmul(queries, documents, transposeB: true), scale: scale)
        let positives = try b.slice(documents, axis: 0, 0..<rows)
        let own = b.affine(try b.sum(b.multiply(queries, positives), axes: [1]), scale: scale)
        let total = try b.reshape(b.logSumExp(hidden.map { try b.add(scores, $0) } ?? scores), [rows])
        return try b.mean(b.subtract(total, own))
    }
}

/// Lends arrays as pointers that stay valid meanwhile.
func withPointers<T, R>(_ arrays: [[T]], _ body: ([UnsafePointer<T>]) throws -> R) rethrows -> R {
    let copies = arrays.map { array in
        let copy = UnsafeMutablePointer<T>.allocate(capacity: max(1, array.count))
        copy.initialize(from: array, count: array.count)
        return copy
    }
    defer { for copy in copies { copy.deallocate() } }
    return try body(copies.map { UnsafePointer($0) })
}
