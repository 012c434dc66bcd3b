import ZooAutodiff
import ZooBase
import ZooNN
import ZooTensor

/// Goes through a network layer by layer: hands out what each candidate matrix reads on calibration data, with all
/// matrices before it as they were left.
///
/// The graph is cut wherever one value alone carries everything on. What crosses a cut is kept for all data, so every
/// part runs once for each of its layers and once more to get to the next cut; nothing before it runs again.
public final class LayerwisePass {
    /// The data: token ids, or samples.
    public enum Data: Sendable {
        /// Texts of at most so many tokens.
        case texts([[Int32]], maximumLength: Int)
        /// Inputs as the network reads them.
        case samples(Samples)
    }

    let graph: ArchitectureGraph
    private let tensors: [TensorInfo]
    let weights: ModelWeights
    /// The network before anything is pruned; nil when nobody asks what it gives.
    let original: ModelWeights?
    private let matrices: [CandidateMatrix]
    var batches: [Batch]
    /// The same data in the network before anything is pruned.
    var references: [Batch]
    /// The node whose values the batches hold; nil for the network's own inputs.
    private(set) var boundary: String?
    private static let textsPerBatch = 32, samplesPerBatch = 64

    struct Batch: Sendable {
        var rows: Int
        var length: Int
        /// Values by the name of the graph's input or of the boundary.
        var reals: [String: [Float]]
        var tokens: [String: [Int32]]
        /// One for real tokens, `[rows, length]`; empty for samples.
        var mask: [Float]
    }

    /// Prepares a pass.
    ///
    /// - Parameter original: the weights before, for `needsAnchors`; they must not change.
    /// - Throws: `mismatch` for data that the network does not read.
    public init(
        _ graph: ArchitectureGraph, tensors: [TensorInfo], weights: ModelWeights, original: ModelWeights? = nil,
        matrices: [CandidateMatrix], data: Data
    ) throws {
        self.graph = graph
        self.tensors = tensors
        self.weights = weights
        self.original = original
        self.matrices = matrices
        batches = try Self.batches(graph, data)
        references = original == nil ? [] : batches
    }

    private static func batches(_ graph: ArchitectureGraph, _ data: Data) throws -> [Batch] {
        guard let input = graph.inputs.first else { return [] }
        switch data {
        case .texts(let texts, let limit):
            guard input.kind == .tokens else {
                throw ZooError(.unsupported, "architecture '\(graph.name)' does not read text")
            }
            guard !texts.isEmpty else { throw ZooError(.mismatch, "there are no texts to calibrate with") }
            let order = texts.indices.sorted { (texts[$1].count, $0) < (texts[$0].count, $1) }
            var groups: [(length: Int, members: [Int])] = []
            for text in order {
                let length = TokenBatch.bucket(texts[text].count, limit: limit)
                if let last = groups.last, last.length == length, last.members.count < textsPerBatch {
                    groups[groups.count - 1].members.append(text)
                } else {
                    groups.append((length, [text]))
                }
            }
            let mask = graph.inputs.first { $0.kind == .mask }?.name
            return try groups.map { length, members in
                let tokens = try TokenBatch(members.map { texts[$0] }, length: length)
                return Batch(
                    rows: members.count, length: length, reals: mask.map { [$0: tokens.mask] } ?? [:],
                    tokens: [input.name: tokens.ids], mask: tokens.mask)
            }
        case .samples(let samples):
            guard input.kind != .tokens, input.shape == samples.inputShape else {
                throw ZooError(
                    .mismatch,
                    "architecture '\(graph.name)' reads inputs of shape \(input.shape), the data set has "
                        + "\(samples.inputShape)")
            }
            return stride(from: 0, to: samples.count, by: samplesPerBatch).map { start in
                let end = min(start + samplesPerBatch, samples.count)
                let values = Array(samples.inputs[start * samples.sampleSize..<end * samples.sampleSize])
                return Batch(rows: end - start, length: 1, reals: [input.name: values], tokens: [:], mask: [])
            }
        }
    }

    /// Visits the matrices in the order of the graph.
    ///
    /// - Parameters:
    ///   - needsGram: whether products of inputs are summed besides squares.
    ///   - needsAnchors: whether inputs are given as `LayerInputs.anchors`, and neither squares nor products.
    ///   - visit: may change the matrix in the weights that the pass was given. A grouped convolution is visited group
    ///     by group (`LayerInputs.outputs`).
    /// - Throws: what visiting and running throw; `interrupted`.
    public func run(
        needsGram: Bool, needsAnchors: Bool = false, jobs: Int, visit: (CandidateMatrix, LayerInputs) throws -> Void
    ) throws {
        let byNode = Dictionary(grouping: matrices, by: \.node)
        guard let last = graph.nodes.lastIndex(where: { byNode[$0.name] != nil }) else { return }
        var start = 0
        for end in cuts(before: last) + [graph.nodes.count] {
            let part = Array(graph.nodes[start..<end])
            // Layers that read the same value are visited together.
            var stages: [(input: String, isLinear: Bool, matrices: [CandidateMatrix])] = []
            for node in part {
                guard let found = byNode[node.name], let input = node.inputs.first else { continue }
                // Convolutions of one value may look at it through different windows.
                if stages.last?.input == input, node.op == .linear, stages.last?.isLinear == true {
                    stages[stages.count - 1].matrices += found
                } else {
                    stages.append((input, node.op == .linear, found))
                }
            }
            for stage in stages {
                try Cancellation.check()
                if needsAnchors {
                    for matrix in stage.matrices {
                        for (inputs, anchors) in zip(
                            emptyInputs(matrix, needsGram: false), try anchors(of: matrix, at: stage.input, part, jobs))
                        {
                            var inputs = inputs
                            inputs.anchors = anchors
                            try visit(matrix, inputs)
                        }
                    }
                    continue
                }
                let inputs = try inputs(of: stage.matrices[0], at: stage.input, part, needsGram, jobs)
                for matrix in stage.matrices { for part in inputs { try visit(matrix, part) } }
            }
            guard end <= last else { return }
            try advance(part, jobs)
            start = end
        }
    }

    /// Places behind nodes that alone carry everything to what follows.
    private func cuts(before last: Int) -> [Int] {
        var lastUse: [String: Int] = [:]
        for (place, node) in graph.nodes.enumerated() { for input in node.inputs { lastUse[input] = place } }
        var live = Set<String>()
        var cuts: [Int] = []
        for (place, node) in graph.nodes.enumerated().prefix(last) {
            live.insert(node.name)
            live = live.filter { lastUse[$0, default: -1] > place }
            if live == [node.name] { cuts.append(place + 1) }
        }
        return cuts
    }

    // MARK: Running parts of the graph

    /// Values of a node of a part, for every batch in order.
    func values(
        of node: String, _ part: [GraphNode], _ batches: [Batch], _ weights: ModelWeights, _ jobs: Int,
        _ body: @Sendable (Int, UnsafeBufferPointer<Float>, [Int]) throws -> Void
    ) throws {
        var pools: [[Int]: ExecutorPool<Float>] = [:]
        for batch in batches where pools[[batch.rows, batch.length]] == nil {
            pools[[batch.rows, batch.length]] = ExecutorPool(try program(node, part, batch))
        }
        let ready = pools
        try Parallel.forEach(count: batches.count, jobs: jobs) { index in
            let batch = batches[index]
            guard let pool = ready[[batch.rows, batch.length]] else { return }
            try pool.withExecutor { executor in
                let program = pool.compiled.program
                try executor.bind(parameters: weights.pointers(for: program))
                let reals = try program.inputs(.data).map { input in
                    guard let values = batch.reals[input.name] else {
                        throw ZooError(.internal, "no values for input '\(input.name)'")
                    }
                    return values
                }
                let integers = program.inputs(.indices).map { batch.tokens[$0.name] ?? [] }
                try withPointers(reals) { reals in
                    try withPointers(integers) { integers in
                        try executor.run(reals: reals, indices: integers)
                        // While the inputs are there: the output of a part that only reshapes is its input.
                        try body(index, executor.output(0), program.outputs[0].shape.dimensions)
                    }
                }
            }
        }
    }

    private func program(_ node: String, _ part: [GraphNode], _ batch: Batch) throws -> CompiledProgram<Float> {
        // Nothing behind the node is needed.
        let end = part.firstIndex { $0.name == node }.map { $0 + 1 } ?? part.count
        let nodes = Array(part[..<end])
        let read = Set(nodes.flatMap(\.inputs))
        var inputs = graph.inputs.filter { read.contains($0.name) }
        if let boundary, read.contains(boundary) {
            let shape = try boundaryShape(boundary, batch.length)
            inputs.append(GraphInput(name: boundary, kind: .features, shape: shape))
        }
        let piece = ArchitectureGraph(
            name: graph.name, inputs: inputs, nodes: nodes, outputs: [GraphOutput(name: "value", node: node)])
        let lowered = try LoweredGraph(piece, tensors: tensors, batch: batch.rows, sequenceLength: batch.length)
        return lowered.builder.build([("value", try lowered.output("value", of: piece))]).compiled()
    }

    func boundaryShape(_ node: String, _ length: Int) throws -> [Int] {
        try GraphShapes(graph, tensors: tensors, sequenceLength: length).shapes[node] ?? []
    }

    /// Runs a part and keeps what crosses its end.
    private func advance(_ part: [GraphNode], _ jobs: Int) throws {
        guard let node = part.last?.name else { return }
        try advance(&batches, weights, to: node, part, jobs)
        if let original { try advance(&references, original, to: node, part, jobs) }
        boundary = node
    }

    private func advance(
        _ batches: inout [Batch], _ weights: ModelWeights, to node: String, _ part: [GraphNode], _ jobs: Int
    ) throws {
        let results = Slots(count: batches.count)
        try values(of: node, part, batches, weights, jobs) { index, values, _ in results.set(index, Array(values)) }
        for (index, found) in results.values.enumerated() {
            if let boundary { batches[index].reals[boundary] = nil }
            batches[index].reals[node] = found
        }
    }

    /// Nothing seen yet, one per group of channels.
    private func emptyInputs(_ matrix: CandidateMatrix, needsGram: Bool) -> [LayerInputs] {
        let groups = graph.nodes.first { $0.name == matrix.node }.map(InputRows.groups) ?? 1
        let outputs = matrix.rows / groups
        return (0..<groups).map { group in
            var own = LayerInputs(columns: matrix.columns, needsGram: needsGram)
            if groups > 1 { own.outputs = group * outputs..<(group + 1) * outputs }
            return own
        }
    }

    /// Sums over what a layer reads, one per group of channels.
    private func inputs(
        of matrix: CandidateMatrix, at source: String, _ part: [GraphNode], _ needsGram: Bool, _ jobs: Int
    ) throws -> [LayerInputs] {
        guard let node = graph.nodes.first(where: { $0.name == matrix.node }) else { return [] }
        var totals = emptyInputs(matrix, needsGram: needsGram)
        let groups = totals.count
        // A few batches at a time, added in order: the sums do not depend on the threads.
        let width = max(1, jobs)
        for start in stride(from: 0, to: batches.count, by: width) {
            let wave = Array(batches[start..<min(start + width, batches.count)])
            let sums = PartSums(count: wave.count)
            @Sendable func add(_ index: Int, _ values: UnsafeBufferPointer<Float>, _ shape: [Int]) throws {
                sums.set(
                    index,
                    try (0..<groups).map { group in
                        try InputRows(
                            values, shape: shape, mask: wave[index].mask, node: node, columns: matrix.columns,
                            group: group
                        ).sums(needsGram: needsGram)
                    })
            }
            if source == boundary || graph.inputs.contains(where: { $0.name == source }) {
                let length = wave.map(\.length)
                let shapes = try length.map { try boundaryShape(source, $0) }
                try Parallel.forEach(count: wave.count, jobs: jobs) { index in
                    let batch = wave[index]
                    try (batch.reals[source] ?? []).withUnsafeBufferPointer {
                        try add(index, $0, [batch.rows] + shapes[index])
                    }
                }
            } else {
                try values(of: source, part, wave, weights, jobs, add)
            }
            for parts in sums.values { for (group, sum) in parts.enumerated() { totals[group].add(sum) } }
        }
        return totals
    }
}

extension LayerInputs {
    mutating func add(_ part: InputRows.Sums) {
        rows += part.rows
        for place in squares.indices { squares[place] += part.squares[place] }
        for place in products.indices { products[place] += Double(part.products[place]) }
    }
}
