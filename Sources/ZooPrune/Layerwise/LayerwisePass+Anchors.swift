import ZooBase
import ZooNN
import ZooTensor

extension LayerwisePass {
    /// Sums over what a linear layer reads and should give; nil for other layers.
    func anchors(
        of matrix: CandidateMatrix, at source: String, _ part: [GraphNode], _ jobs: Int
    ) throws -> LayerAnchors? {
        guard let original, let node = graph.nodes.first(where: { $0.name == matrix.node }), node.op == .linear else {
            return nil
        }
        // A residual connection: the one reader adds the output to something else.
        let readers = graph.nodes.filter { $0.inputs.contains(node.name) }
        let sum = readers.count == 1 && readers[0].op == .add && readers[0].inputs.count == 2 ? readers[0] : nil
        let beside = sum.flatMap { $0.inputs.first { $0 != node.name } }
        var total = LayerAnchors(rows: matrix.rows, columns: matrix.columns)
        // A few batches at a time, added in order: the sums do not depend on the threads.
        let width = max(1, jobs)
        for start in stride(from: 0, to: batches.count, by: width) {
            let range = start..<min(start + width, batches.count)
            let wave = Array(batches[range]), before = Array(references[range])
            let read = try collect(source, part, wave, weights, node, matrix.columns, jobs)
            let wanted = try collect(
                beside == nil ? node.name : sum?.name ?? node.name, part, before, original, node, matrix.rows, jobs)
            let other = try beside.map { try collect($0, part, wave, weights, node, matrix.rows, jobs) }
            let parts = try Parallel.map(count: wave.count, jobs: jobs) { index -> LayerAnchors in
                var outputs = wanted[index]
                if let other { for place in outputs.indices { outputs[place] -= other[index][place] } }
                var own = LayerAnchors(rows: matrix.rows, columns: matrix.columns)
                try own.add(
                    read[index], outputs,
                    weights: Self.rowWeights(wave[index].mask, wave[index].length, read[index].count / matrix.columns))
                return own
            }
            for part in parts { total.add(part) }
        }
        return total
    }

    /// One over the tokens of its text for each real token; ones for rows that are no tokens.
    static func rowWeights(_ mask: [Float], _ length: Int, _ count: Int) -> [Float] {
        let lengths = stride(from: 0, to: mask.count, by: length).map { start in
            mask[start..<min(start + length, mask.count)].count { $0 != 0 }
        }
        guard !mask.isEmpty, lengths.reduce(0, +) == count else { return [Float](repeating: 1, count: count) }
        return lengths.flatMap { [Float](repeating: 1 / Float(max(1, $0)), count: $0) }
    }

    /// The rows of a node's values that count, batch by batch.
    private func collect(
        _ name: String, _ part: [GraphNode], _ wave: [Batch], _ weights: ModelWeights, _ node: GraphNode,
        _ columns: Int, _ jobs: Int
    ) throws -> [[Float]] {
        let found = Slots(count: wave.count)
        if name == boundary || graph.inputs.contains(where: { $0.name == name }) {
            for (index, batch) in wave.enumerated() {
                let shape = [batch.rows] + (try boundaryShape(name, batch.length))
                (batch.reals[name] ?? []).withUnsafeBufferPointer {
                    found.set(index, InputRows($0, shape: shape, mask: batch.mask, node: node, columns: columns).values)
                }
            }
        } else {
            try values(of: name, part, wave, weights, jobs) { index, values, shape in
                found.set(
                    index,
                    InputRows(values, shape: shape, mask: wave[index].mask, node: node, columns: columns).values)
            }
        }
        return found.values
    }
}
