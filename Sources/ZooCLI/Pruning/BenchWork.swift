import CZooKernels
import ZooAutodiff
import ZooBase
import ZooNN
import ZooPrune
import ZooTensor

/// One measurement.
struct BenchRow {
    var network: String
    var work: String
    /// The work of the first network that it is compared with.
    var reference: String
    /// Texts, or tokens.
    var size: Int
    var seconds: Double
}

/// The measurements of one network, on one thread.
struct BenchWork {
    let command: PruneBench
    let network: PrunableNetwork

    init(_ command: PruneBench, _ model: String, _ session: Session) throws {
        self.command = command
        network = try PrunableNetwork(
            model, architecture: command.architecture, settings: command.set, inputShape: nil, session)
        let output = readsText ? "embedding" : "logits"
        guard network.graph.inputs.count == 1 || readsText, network.graph.node(of: output) != nil else {
            throw ZooError(
                .unsupported, "\(model) gives neither vectors of texts nor classes of samples",
                hint: "'zoo prune bench' measures such networks")
        }
    }

    private var readsText: Bool { network.graph.inputs.first?.kind == .tokens }

    func run() throws -> [BenchRow] { readsText ? try texts() : try samples() }

    /// Whole batches through a network for samples: what removed channels gain.
    private func samples() throws -> [BenchRow] {
        let weights = try ModelWeights(network.graph, source: network.source)
        let size = network.graph.inputs[0].shape.reduce(1, *)
        return try [1, 64].map { count in
            let lowered = try LoweredGraph(network.graph, tensors: network.source.tensorInfos, batch: count)
            let compiled = lowered.builder.build([("logits", try lowered.output("logits", of: network.graph))])
                .compiled()
            let executor = compiled.makeExecutor()
            try executor.bind(parameters: weights.pointers(for: compiled.program))
            let numbers = (0..<count * size).map { Float($0 % 17) / 17 - 0.5 }
            return row(
                "samples", count,
                try numbers.withUnsafeBufferPointer { numbers in
                    guard let start = numbers.baseAddress else { return 0 }
                    return try median { try executor.run(reals: [start]) }
                })
        }
    }

    private func texts() throws -> [BenchRow] {
        var rows: [BenchRow] = []
        let encoder = try TextEncoder(network.graph, source: network.source, batch: 32)
        let words = network.graph.nodes.first { $0.op == .embedding }?.parameter("weight")
        let vocabulary = network.source.tensorInfos.first { $0.name == words }?.shape.dimensions.first ?? 2
        var generator = SeededGenerator(seed: 1)
        let length = min(command.length, encoder.maximumLength)
        for count in [1, 32] {
            let texts = (0..<count).map { _ in (0..<length).map { _ in Int32(generator.below(vocabulary)) } }
            rows.append(
                row("texts", count, try median { _ = try encoder.embed(texts, jobs: 1) }))
        }
        guard let layer = try feedForward() else { return rows }
        for tokens in [32, 256] { rows.append(row("feed-forward", tokens, try time(layer.nodes, layer.input, tokens))) }
        let matrix = layer.matrix
        let values = try network.source.tensor(named: matrix.name).floats()
        let zeros = values.count { $0 == 0 }
        for tokens in [32, 256] {
            rows.append(row("product", tokens, try dense(matrix, values, tokens)))
            if zeros * 20 >= values.count {
                let share = 100 * zeros / values.count
                rows.append(
                    BenchRow(
                        network: network.label, work: "product, sparse rows (\(share) % zeros)", reference: "product",
                        size: tokens, seconds: try sparse(matrix, values, tokens)))
            }
        }
        return rows
    }

    private func row(_ work: String, _ size: Int, _ seconds: Double) -> BenchRow {
        BenchRow(network: network.label, work: work, reference: work, size: size, seconds: seconds)
    }

    /// The median time of a call, after one that warms up.
    private func median(_ body: () throws -> Void) throws -> Double {
        try body()
        var times: [Double] = []
        let start = ProgressReporter.monotonicSeconds()
        while times.count < 5 || ProgressReporter.monotonicSeconds() - start < command.seconds {
            try Cancellation.check()
            let before = ProgressReporter.monotonicSeconds()
            try body()
            times.append(ProgressReporter.monotonicSeconds() - before)
            if times.count >= 100_000 { break }
        }
        return times.sorted()[times.count / 2]
    }

    /// The nodes of the first feed-forward layer, what they read, and their first matrix.
    private func feedForward() throws -> (nodes: [GraphNode], input: String, matrix: CandidateMatrix)? {
        let graph = network.graph, infos = network.source.tensorInfos
        let list = try CandidateMatrix.all(of: graph, tensors: infos, layers: .mlp)
        let pruning = try StructuredPruning(graph, tensors: infos)
        guard let first = list.first, let layer = pruning.layers.first(where: { $0.kind == .neuron }),
            let start = graph.nodes.firstIndex(where: { $0.name == first.node }),
            let reader = layer.readers.last,
            let end = graph.nodes.firstIndex(where: { $0.name == reader.node }), end > start,
            let input = graph.nodes[start].inputs.first
        else { return nil }
        return (Array(graph.nodes[start...end]), input, first)
    }

    private func time(_ nodes: [GraphNode], _ input: String, _ tokens: Int) throws -> Double {
        let infos = network.source.tensorInfos
        // The layer alone may read more tokens than the network has positions for.
        var shape = try GraphShapes(network.graph, tensors: infos).shapes[input] ?? []
        if shape.count == 2 { shape[0] = tokens }
        let piece = ArchitectureGraph(
            name: network.graph.name, inputs: [GraphInput(name: input, kind: .features, shape: shape)], nodes: nodes,
            outputs: [GraphOutput(name: "value", node: nodes.last?.name ?? input)])
        let lowered = try LoweredGraph(piece, tensors: infos, batch: 1, sequenceLength: tokens)
        let compiled = lowered.builder.build([("value", try lowered.output("value", of: piece))]).compiled()
        let weights = try ModelWeights(piece, source: network.source)
        let executor = compiled.makeExecutor()
        try executor.bind(parameters: weights.pointers(for: compiled.program))
        let numbers = UnsafeMutablePointer<Float>.allocate(capacity: shape.reduce(1, *))
        defer { numbers.deallocate() }
        for place in 0..<shape.reduce(1, *) { numbers[place] = Float(place % 17) / 17 - 0.5 }
        return try median { try executor.run(reals: [UnsafePointer(numbers)]) }
    }

    private func dense(_ matrix: CandidateMatrix, _ values: [Float], _ tokens: Int) throws -> Double {
        try BLASLibrary.load()
        let x = [Float](repeating: 0.5, count: matrix.columns * tokens)
        var y = [Float](repeating: 0, count: matrix.rows * tokens)
        return try median {
            y.withUnsafeMutableBufferPointer { y in
                values.withUnsafeBufferPointer { w in
                    x.withUnsafeBufferPointer { x in
                        guard let w = w.baseAddress, let x = x.baseAddress, let y = y.baseAddress else { return }
                        DenseAlgebra.multiply(
                            w, x, transposeA: matrix.isTransposed, rows: matrix.rows, columns: tokens,
                            depth: matrix.columns, into: y)
                    }
                }
            }
        }
    }

    /// The product with compressed sparse rows: each stored weight adds a row of inputs.
    private func sparse(_ matrix: CandidateMatrix, _ values: [Float], _ tokens: Int) throws -> Double {
        var starts = [0], columns: [Int32] = [], stored: [Float] = []
        for row in 0..<matrix.rows {
            for column in 0..<matrix.columns {
                let value = values[matrix.index(row, column)]
                if value != 0 {
                    columns.append(Int32(column))
                    stored.append(value)
                }
            }
            starts.append(columns.count)
        }
        let x = [Float](repeating: 0.5, count: matrix.columns * tokens)
        var y = [Float](repeating: 0, count: matrix.rows * tokens)
        return try median {
            y.withUnsafeMutableBufferPointer { y in
                x.withUnsafeBufferPointer { x in
                    guard let x = x.baseAddress, let y = y.baseAddress else { return }
                    for row in 0..<matrix.rows {
                        let target = y + row * tokens
                        target.update(repeating: 0, count: tokens)
                        for place in starts[row]..<starts[row + 1] {
                            zoo_axpby(tokens, stored[place], x + Int(columns[place]) * tokens, 1, target)
                        }
                    }
                }
            }
        }
    }
}
