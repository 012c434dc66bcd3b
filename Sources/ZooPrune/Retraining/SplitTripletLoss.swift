import ZooAutodiff
import ZooBase
import ZooNN
import ZooTensor

/// InfoNCE of a batch of triplets and its gradient, computed by several threads.
///
/// Every text of a batch is a column of every row's loss, so a batch cannot be cut into smaller ones. It is computed in
/// three parts instead: the texts, sorted by length, are embedded in a few pieces; the loss of all embeddings together
/// gives what each embedding is pulled by; each piece pulls its share back to the weights from what its first part left
/// in memory. Nothing is computed twice. Pieces depend on the batch alone and their gradients are added in order, so
/// the result has the same bits whatever the number of threads.
///
/// With a teacher (the network before pruning) the loss also holds the mean over the texts of `1 − cos(f(x), teacher(x))`
/// times a weight.
public final class SplitTripletLoss {
    /// The parts of the loss of a batch.
    public struct Loss: Sendable, Hashable {
        /// The mean InfoNCE of the rows.
        public var contrast: Double
        /// The mean of 1 − cosine to the teacher's vectors; zero without a teacher.
        public var distance: Double
    }

    /// Pieces of a batch at most: each holds a gradient of all weights.
    static let pieceCount = 4
    /// Pieces of other shapes that stay in memory for batches to come.
    private static let keptExecutors = 2 * pieceCount

    private let graph: ArchitectureGraph
    private let tensors: [TensorInfo]
    private let layout: StatisticsLayout
    private let weights: ModelWeights
    private let maximumLength: Int
    private let scale: Double
    private var programs: [(shape: PieceShape, program: CompiledProgram<Float>)] = []
    private var executors: [Executor<Float>] = []
    private static let keptPrograms = 16
    private static let pull = "pull"

    private struct PieceShape: Hashable {
        var texts: Int, length: Int
    }

    /// Some texts of a batch, padded to one length.
    private struct Piece: Sendable {
        /// Places of the texts in the batch.
        var members: [Int]
        var tokens: TokenBatch
        var executor: Executor<Float>
        var program: Program { executor.compiled.program }

        /// Lends inputs in the order of the program; `pull` is what the embeddings are pulled by.
        func withInputs(
            pull: [Float], _ body: ([UnsafePointer<Float>], [UnsafePointer<Int32>]) throws -> Void
        ) throws {
            let reals = program.inputs.filter { $0.role == .data || $0.role == .direction }.map {
                $0.role == .direction ? pull : tokens.mask
            }
            let integers = program.inputs(.indices).map { _ in tokens.ids }
            try withPointers(reals) { reals in try withPointers(integers) { try body(reals, $0) } }
        }
    }

    /// Prepares a network.
    ///
    /// - Parameters:
    ///   - layout: the tensors that gradients are wanted of.
    ///   - weights: what is trained; they are read anew in every call.
    ///   - maximumLength: tokens that the network reads.
    /// - Throws: `unsupported` for a network that makes no vectors of texts.
    public init(
        _ graph: ArchitectureGraph, tensors: [TensorInfo], layout: StatisticsLayout, weights: ModelWeights,
        maximumLength: Int, scale: Double = TripletObjective.defaultScale
    ) throws {
        guard graph.inputs.first?.kind == .tokens, graph.node(of: "embedding") != nil else {
            throw ZooError(.unsupported, "architecture '\(graph.name)' does not make vectors of texts")
        }
        self.graph = graph
        self.tensors = tensors
        self.layout = layout
        self.weights = weights
        self.maximumLength = maximumLength
        self.scale = scale
    }

    /// All texts of triplets in the order in which teachers are asked: queries, positives, and the negatives there are.
    public static func texts(_ triplets: [TokenTriplet]) -> [[Int32]] {
        triplets.map(\.query) + triplets.map(\.positive) + triplets.compactMap(\.negative)
    }

    /// Computes the loss of a batch and writes its gradient.
    ///
    /// - Parameters:
    ///   - teacher: unit vectors of `texts(triplets)`; nil for none.
    ///   - distillation: the weight of the distance to the teacher.
    ///   - gradient: as long as the layout.
    /// - Throws: `mismatch` for texts that the network cannot read; `interrupted`.
    public func gradient(
        of triplets: [TokenTriplet], teacher: [[Float]]? = nil, distillation: Double = 0,
        into gradient: UnsafeMutableBufferPointer<Float>, jobs: Int
    ) throws -> Loss {
        precondition(gradient.count == layout.count)
        let texts = Self.texts(triplets), pieces = try self.pieces(of: texts), weights = weights
        // What an embedding is pulled by is not known yet.
        try Parallel.forEach(count: pieces.count, jobs: jobs) { place in
            let piece = pieces[place]
            try piece.executor.bind(parameters: weights.pointers(for: piece.program))
            let size = piece.executor.compiled.program.outputs[0].shape.elementCount
            try piece.withInputs(pull: [Float](repeating: 0, count: size)) {
                try piece.executor.runPrimal(reals: $0, indices: $1)
            }
        }
        var vectors = [[Float]](repeating: [], count: texts.count)
        for piece in pieces {
            let found = piece.executor.output(0), width = found.count / piece.members.count
            for (row, text) in piece.members.enumerated() {
                vectors[text] = Array(found[row * width..<(row + 1) * width])
            }
        }
        var (contrast, pulls) = try self.contrast(vectors, triplets)
        var distance = 0.0
        if let teacher, distillation > 0 {
            let share = distillation / Double(texts.count)
            for text in texts.indices {
                let cosine = zip(vectors[text], teacher[text]).reduce(0) { $0 + Double($1.0) * Double($1.1) }
                distance += (1 - cosine) / Double(texts.count)
                for (place, value) in teacher[text].enumerated() { pulls[text][place] -= Float(share) * value }
            }
        }
        let known = pulls
        try Parallel.forEach(count: pieces.count, jobs: jobs) { place in
            let piece = pieces[place]
            try piece.withInputs(pull: piece.members.flatMap { known[$0] }) {
                try piece.executor.rerun(reals: $0, indices: $1)
            }
        }
        try add(pieces, to: gradient, jobs: jobs)
        return Loss(contrast: contrast, distance: distance)
    }

    /// Adds the pieces' gradients in order, split over threads by tensor.
    private func add(_ pieces: [Piece], to gradient: UnsafeMutableBufferPointer<Float>, jobs: Int) throws {
        let target = Target(gradient.baseAddress), entries = layout.entries
        try Parallel.forEach(count: entries.count, jobs: jobs) { entry in
            guard let sum = target.start.map({ $0 + entries[entry].range.lowerBound }) else { return }
            for (number, piece) in pieces.enumerated() {
                guard let source = piece.executor.output(1 + entry).baseAddress else { continue }
                let count = entries[entry].range.count
                if number == 0 {
                    sum.update(from: source, count: count)
                } else {
                    for place in 0..<count { sum[place] += source[place] }
                }
            }
        }
    }

    /// Memory that threads write in parts of their own.
    private struct Target: @unchecked Sendable {
        let start: UnsafeMutablePointer<Float>?
        init(_ start: UnsafeMutablePointer<Float>?) { self.start = start }
    }

    // MARK: Pieces

    /// The texts by length, in pieces of about as many texts each.
    private func pieces(of texts: [[Int32]]) throws -> [Piece] {
        let order = texts.indices.sorted { (texts[$1].count, $0) < (texts[$0].count, $1) }
        let width = max(1, (order.count + Self.pieceCount - 1) / Self.pieceCount)
        var free = executors
        var used: [Executor<Float>] = []
        var pieces: [Piece] = []
        for start in stride(from: 0, to: order.count, by: width) {
            let members = Array(order[start..<min(start + width, order.count)])
            let longest = members.map { texts[$0].count }.max() ?? 1
            let shape = PieceShape(
                texts: members.count, length: TokenBatch.bucket(longest, limit: maximumLength))
            let compiled = try program(shape)
            let executor: Executor<Float>
            if let place = free.lastIndex(where: { $0.compiled === compiled }) {
                executor = free.remove(at: place)
            } else {
                executor = compiled.makeExecutor()
            }
            used.append(executor)
            pieces.append(
                Piece(
                    members: members, tokens: try TokenBatch(members.map { texts[$0] }, length: shape.length),
                    executor: executor))
        }
        // The ones used last stay.
        executors = Array((free + used).suffix(Self.keptExecutors))
        return pieces
    }

    private func program(_ shape: PieceShape) throws -> CompiledProgram<Float> {
        if let known = programs.first(where: { $0.shape == shape }) { return known.program }
        let lowered = try LoweredGraph(graph, tensors: tensors, batch: shape.texts, sequenceLength: shape.length)
        let b = lowered.builder
        let vectors = try b.normalised(lowered.output("embedding", of: graph))
        guard vectors.shape.rank == 2 else {
            throw ZooError(.mismatch, "output 'embedding' has shape \(vectors.shape), not one vector per text")
        }
        let values = Dictionary(lowered.parameters.map { ($0.name, $0.value) }, uniquingKeysWith: { first, _ in first })
        let trained = try layout.entries.map { entry -> Value in
            guard let value = values[entry.name] else {
                throw ZooError(.internal, "tensor '\(entry.name)' is not read by the loss")
            }
            return value
        }
        let pulled = try b.gradient(
            of: vectors, withRespectTo: trained, seed: b.direction(Self.pull, vectors.shape))
        let made = b.build([("vectors", vectors)] + pulled.map { ("gradient", $0) }).compiled(keepingPrimal: true)
        programs.append((shape, made))
        if programs.count > Self.keptPrograms { programs.removeFirst() }
        return made
    }

    // MARK: The loss of embeddings

    /// The mean InfoNCE and its gradient in every embedding, in double precision.
    private func contrast(
        _ vectors: [[Float]], _ triplets: [TokenTriplet]
    ) throws -> (loss: Double, pulls: [[Float]]) {
        let rows = triplets.count, columns = vectors.count - rows
        let documents = Array(vectors[rows...])
        let texts = triplets.map(\.positive) + triplets.compactMap(\.negative)
        var loss = 0.0
        var pulls = vectors.map { [Double](repeating: 0, count: $0.count) }
        for row in 0..<rows {
            let query = vectors[row]
            let scores = (0..<columns).map { column -> Double in
                // The row's own text once more is no negative.
                if column != row, texts[column] == texts[row] { return -.infinity }
                return scale * zip(query, documents[column]).reduce(0) { $0 + Double($1.0) * Double($1.1) }
            }
            let top = scores.max() ?? 0
            let weights = scores.map { Functions.exponential($0 - top) }
            let total = weights.reduce(0, +)
            loss += (top + Functions.logarithm(total) - scores[row]) / Double(rows)
            for column in 0..<columns {
                let slope = scale * (weights[column] / total - (column == row ? 1 : 0)) / Double(rows)
                guard slope != 0 else { continue }
                for place in query.indices {
                    pulls[row][place] += slope * Double(documents[column][place])
                    pulls[rows + column][place] += slope * Double(query[place])
                }
            }
        }
        return (loss, pulls.map { $0.map { Float($0) } })
    }
}
