import ZooAutodiff
import ZooBase
import ZooNN
import ZooTensor

/// Losses of a composed network as functions of its coefficients.
package final class CompositionProblem<Scalar: CoefficientScalar> {
    /// Samples of one task in a step, with what each weighs in the loss.
    package struct Part {
        package var task: Int
        package var samples: Samples
        package var places: [Int]
        package var weight: Double

        package init(task: Int, samples: Samples, places: [Int], weight: Double) {
            self.task = task
            self.samples = samples
            self.places = places
            self.weight = weight
        }
    }

    /// Coefficients to weights and back.
    package let space: CoefficientSpace<Scalar>
    private let networks: [ComposedNetwork<Scalar>]
    private let heads: [HeadWeights]
    private let batch: Int

    /// Weights that a task has of its own, and the network that fits them.
    private struct HeadWeights {
        var network: Int
        var places: [Int]
        var block: ScalarBlock<Scalar>?
    }

    /// Compiles networks and opens vectors.
    ///
    /// - Parameters:
    ///   - losses: what gradients are taken of.
    ///   - batch: the most samples of a step.
    ///   - heads: for each task the tensors that it has of its own; empty when all share the base's.
    ///   - followsStatistics: whether running statistics move with the scale of their norm, or stay the base's.
    /// - Throws: `mismatch` when network, weights and vectors do not fit together; what reading throws.
    package init(
        _ graph: ArchitectureGraph, base: any TensorSource, operands: [TaskOperand], groups: CoefficientGroups,
        losses: [SampleLoss], batch: Int, heads: [[String: Tensor]] = [], partition: PartitionHash? = nil,
        storage: VectorStorage = .memory, selection: [Set<Int>]? = nil, jobs: Int = 1, followsStatistics: Bool = true
    ) throws {
        self.batch = batch
        let infos = base.tensorInfos
        let names = try ComposedNetwork<Scalar>.boundNames(graph, tensors: infos)
        let roles = graph.tensorRoles
        let space = try CoefficientSpace<Scalar>(
            names: names, base: base,
            buffers: followsStatistics ? Set(roles.filter { $0.value == .buffer }.keys) : [], operands: operands,
            groups: groups, partition: partition, storage: storage, selection: selection, jobs: jobs)
        self.space = space
        var networks: [ComposedNetwork<Scalar>] = []
        var known: [[TensorInfo]: Int] = [:]
        var weights: [HeadWeights] = []
        for head in heads.isEmpty ? [[:]] : heads {
            let fitted = infos.map {
                TensorInfo(name: $0.name, dtype: $0.dtype, shape: head[$0.name]?.shape ?? $0.shape)
            }
            if known[fitted] == nil {
                let network = try ComposedNetwork<Scalar>(
                    graph, tensors: fitted, batch: batch, jobs: jobs, splits: true)
                for loss in losses {
                    try network.compile(loss) { space.needsGradient($0) && head[names[$0]] == nil }
                }
                known[fitted] = networks.count
                networks.append(network)
            }
            let places = names.indices.filter { head[names[$0]] != nil }
            let block = ScalarBlock<Scalar>(sizes: places.map { head[names[$0]]?.elementCount ?? 0 })
            for (slot, place) in places.enumerated() {
                for (index, value) in (head[names[place]]?.doubles() ?? []).enumerated() {
                    block.pointers[slot][index] = Scalar(value)
                }
            }
            weights.append(
                HeadWeights(network: known[fitted] ?? 0, places: places, block: places.isEmpty ? nil : block))
        }
        self.networks = networks
        self.heads = weights
    }

    /// Whether tasks have weights of their own, so that a batch is of one task.
    package var hasOwnHeads: Bool { heads.count > 1 || heads.contains { $0.block != nil } }

    /// Bytes of arenas, the composed network and the vectors that are held.
    package var byteCount: (arenas: Int, network: Int, vectors: Int, allVectors: Int) {
        (
            networks.reduce(0) { $0 + $1.arenaByteCount }, space.theta.byteCount, space.heldByteCount,
            space.wholeByteCount
        )
    }

    private func head(_ task: Int) -> HeadWeights { heads[heads.count == 1 ? 0 : task] }

    private func pointers(_ head: HeadWeights) -> [UnsafePointer<Scalar>] {
        var pointers = space.theta.pointers.map { UnsafePointer($0) }
        for (slot, place) in head.places.enumerated() {
            if let own = head.block?.pointers[slot] { pointers[place] = UnsafePointer(own) }
        }
        return pointers
    }

    // MARK: Losses

    /// Σ over parts of weight × Σ of its samples' losses, and its gradient by coefficients.
    package func step(_ values: [Double], _ parts: [Part], loss: SampleLoss) throws -> CoefficientLearner.Step {
        try space.compose(values)
        var gradient = [Double](repeating: 0, count: values.count)
        var losses = [Double](repeating: 0, count: parts.count)
        for members in hasOwnHeads ? parts.indices.map({ [$0] }) : [Array(parts.indices)] {
            var batch = ComposeBatch<Scalar>()
            for place in members {
                batch.append(parts[place].samples, parts[place].places, weight: parts[place].weight)
            }
            let found = try run(batch, task: parts[members[0]].task, loss: loss, into: &gradient)
            var start = 0
            for place in members {
                let count = parts[place].places.count
                losses[place] = found[start..<start + count].reduce(0, +) * parts[place].weight
                start += count
            }
        }
        return CoefficientLearner.Step(loss: losses.reduce(0, +), parts: losses, gradient: gradient)
    }

    /// One batch at the composed weights; adds the gradient, returns each sample's loss.
    package func run(
        _ batch: ComposeBatch<Scalar>, task: Int, loss: SampleLoss, into gradient: inout [Double]
    ) throws -> [Double] {
        let head = head(task)
        return try networks[head.network].evaluate(loss, pointers(head), batch) { losses, gradients in
            try space.project(gradients, into: &gradient)
            return losses
        }
    }

    /// The mean gradient at coefficients over whole sets, one pass (method page, 8.3).
    package func meanGradient(_ values: [Double], _ tasks: [(task: Int, samples: Samples)], loss: SampleLoss) throws
        -> [Double]
    {
        var total = [Double](repeating: 0, count: values.count)
        for (task, samples) in tasks {
            for start in stride(from: 0, to: samples.count, by: batch) {
                try Cancellation.check()
                let places = Array(start..<min(samples.count, start + batch))
                let part = Part(task: task, samples: samples, places: places, weight: 1 / Double(samples.count))
                let found = try step(values, [part], loss: loss)
                for place in total.indices { total[place] += found.gradient[place] }
            }
        }
        return total
    }

    // MARK: Evaluation

    /// Loss and accuracy of the composed network on the samples of tasks.
    package func evaluations(_ values: [Double], _ tasks: [Samples]) throws -> [Evaluation] {
        try space.compose(values)
        guard hasOwnHeads else { return try networks[heads[0].network].evaluations(pointers(heads[0]), tasks) }
        return try tasks.enumerated().flatMap { task, samples in
            let head = head(task)
            return try networks[head.network].evaluations(pointers(head), [samples])
        }
    }

    /// Class probabilities at the composed weights, `[samples, classes]`.
    package func probabilities(inputs: [Scalar], count: Int, task: Int = 0) throws -> [[Double]] {
        let head = head(task)
        var rows = [[Double]](repeating: [], count: count)
        try networks[head.network].logits(pointers(head), inputs: inputs, count: count) { place, logits in
            rows[place] = PseudoLabels.softmax(logits.map { Double($0) })
        }
        return rows
    }

    /// Classes of the head of a task.
    package func classes(task: Int = 0) -> Int { networks[head(task).network].classes }
}
