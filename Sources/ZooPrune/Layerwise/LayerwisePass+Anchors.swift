import Synchronization
import ZooBase
import ZooNN
import ZooTensor

extension LayerwisePass {
    /// Sums over what a linear layer or a convolution reads and should give, one per group of channels.
    ///
    /// - Throws: `internal` when the pass was not given the unpruned network; what running throws.
    func anchors(
        of matrix: CandidateMatrix, at source: String, _ part: [GraphNode], _ jobs: Int
    ) throws -> [LayerAnchors] {
        guard let original, let node = graph.nodes.first(where: { $0.name == matrix.node }),
            node.op == .linear || node.op == .conv2d
        else { throw ZooError(.internal, "'\(matrix.name)' has no unpruned layer to be held against") }
        // A residual connection: the one reader adds the output to something else.
        let readers = graph.nodes.filter { $0.inputs.contains(node.name) }
        let sum = readers.count == 1 && readers[0].op == .add && readers[0].inputs.count == 2 ? readers[0] : nil
        let shape = try boundaryShape(node.name, batches.first?.length ?? 1)
        // What is spread over the output, such as positions, is no residual stream.
        let beside = try sum.flatMap { $0.inputs.first { $0 != node.name } }.flatMap {
            try boundaryShape($0, batches.first?.length ?? 1) == shape ? $0 : nil
        }
        let groups = InputRows.groups(of: node), outputs = matrix.rows / groups
        var totals = (0..<groups).map { _ in LayerAnchors(rows: outputs, columns: matrix.columns) }
        // A few batches at a time, added in order: the sums do not depend on the threads.
        let width = max(1, jobs)
        for start in stride(from: 0, to: batches.count, by: width) {
            let range = start..<min(start + width, batches.count)
            let wave = Array(batches[range]), before = Array(references[range])
            let read = try collect(source, part, wave, weights, jobs)
            var wanted = try collect(
                beside == nil ? node.name : sum?.name ?? node.name, part, before, original, jobs)
            if let beside {
                for (index, other) in try collect(beside, part, wave, weights, jobs).enumerated() {
                    for place in other.values.indices { wanted[index].values[place] -= other.values[place] }
                }
            }
            let targets = wanted
            let parts = try Parallel.map(count: wave.count, jobs: jobs) { index -> [LayerAnchors] in
                let mask = wave[index].mask
                return try (0..<groups).map { group in
                    let x = read[index].rows(mask, node, columns: matrix.columns, group: group)
                    let y = targets[index].outputRows(
                        mask, node, matrix.rows, group * outputs..<(group + 1) * outputs)
                    var own = LayerAnchors(rows: outputs, columns: matrix.columns)
                    try own.add(
                        x, y, weights: Self.rowWeights(mask, wave[index].length, x.count / matrix.columns))
                    return own
                }
            }
            for part in parts { for (group, own) in part.enumerated() { totals[group].add(own) } }
        }
        return totals
    }

    /// One over the tokens of its text for each real token; ones for rows that are no tokens.
    static func rowWeights(_ mask: [Float], _ length: Int, _ count: Int) -> [Float] {
        let lengths = stride(from: 0, to: mask.count, by: length).map { start in
            mask[start..<min(start + length, mask.count)].count { $0 != 0 }
        }
        guard !mask.isEmpty, lengths.reduce(0, +) == count else { return [Float](repeating: 1, count: count) }
        return lengths.flatMap { [Float](repeating: 1 / Float(max(1, $0)), count: $0) }
    }

    /// Values of a node, batch by batch.
    private func collect(
        _ name: String, _ part: [GraphNode], _ wave: [Batch], _ weights: ModelWeights, _ jobs: Int
    ) throws -> [NodeValues] {
        if name == boundary || graph.inputs.contains(where: { $0.name == name }) {
            return try wave.map { batch in
                NodeValues(
                    values: batch.reals[name] ?? [], shape: [batch.rows] + (try boundaryShape(name, batch.length)))
            }
        }
        let found = Slots(count: wave.count), shapes = Mutex([[Int]](repeating: [], count: wave.count))
        try values(of: name, part, wave, weights, jobs) { index, values, shape in
            found.set(index, Array(values))
            shapes.withLock { $0[index] = shape }
        }
        return zip(found.values, shapes.withLock { $0 }).map { NodeValues(values: $0, shape: $1) }
    }
}

/// What a node gives for a batch.
private struct NodeValues: Sendable {
    var values: [Float]
    /// The batch first.
    var shape: [Int]

    /// Rows as a layer reads them.
    func rows(_ mask: [Float], _ node: GraphNode, columns: Int, group: Int) -> [Float] {
        values.withUnsafeBufferPointer {
            InputRows($0, shape: shape, mask: mask, node: node, columns: columns, group: group).values
        }
    }

    /// Rows as a layer gives them, in the order of what it reads: some of the outputs for each real token, or for each
    /// pixel of a convolution.
    func outputRows(_ mask: [Float], _ node: GraphNode, _ count: Int, _ outputs: Range<Int>) -> [Float] {
        guard node.op == .conv2d, shape.count == 4 else { return rows(mask, node, columns: count, group: 0) }
        let channels = shape[1], pixels = shape[2] * shape[3], width = outputs.count
        var result = [Float](repeating: 0, count: shape[0] * pixels * width)
        for sample in 0..<shape[0] {
            for (place, channel) in outputs.enumerated() {
                let plane = (sample * channels + channel) * pixels
                for pixel in 0..<pixels {
                    result[(sample * pixels + pixel) * width + place] = values[plane + pixel]
                }
            }
        }
        return result
    }
}
