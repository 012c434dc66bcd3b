import ZooBase
import ZooNN
import ZooPrune
import ZooTensor

/// What pruning layer by layer shares, whatever it prunes: the pass over the data of the scores, and layers taken from and
/// put back into the weights.
extension ScoredNetwork {
    /// A pass over the calibration data that the scores were taken on.
    ///
    /// - Parameters:
    ///   - weights: the network as it is pruned.
    ///   - anchored: whether layers are held against those of the unpruned network.
    /// - Throws: `corrupt` when the folder of scores holds no data.
    func layerwisePass(
        over weights: ModelWeights, _ matrices: [CandidateMatrix], sides: [CalibrationSide], anchored: Bool
    ) throws -> LayerwisePass {
        let calibration = try folder.calibration()
        let data: LayerwisePass.Data
        if !calibration.triplets.isEmpty {
            let texts = sides.flatMap { calibration.triplets[$0] ?? [] }.flatMap(\.texts)
            let limit = folder.json["data"]?["maximum_length"]?.int ?? 512
            data = .texts(texts, maximumLength: limit)
        } else {
            let samples = sides.compactMap { calibration.samples[$0] }
            guard let first = samples.first else { throw ZooError(.corrupt, "\(folder.path) holds no data") }
            let inputs = samples.flatMap(\.inputs), count = samples.reduce(0) { $0 + $1.count }
            data = .samples(
                try Samples(inputs: Tensor(inputs, shape: Shape([count] + first.inputShape)), labels: nil))
        }
        return try LayerwisePass(
            network.graph, tensors: network.source.tensorInfos, weights: weights,
            original: anchored ? ModelWeights(network.graph, source: network.source) : nil, matrices: matrices,
            data: data)
    }
}

extension ModelWeights {
    /// A layer as methods see it; of a grouped convolution the outputs that read the inputs.
    ///
    /// - Throws: `notFound` for a tensor that the network does not read.
    func problem(
        _ whole: CandidateMatrix, _ inputs: LayerInputs, sparsity: Double, group: PruneGroup, jobs: Int
    ) throws -> LayerProblem {
        let matrix = inputs.outputs.map(whole.outputs) ?? whole, first = inputs.outputs?.lowerBound ?? 0
        let memory = try memory(of: matrix.name)
        var layer = LayerProblem(
            matrix,
            weights: (0..<matrix.rows).flatMap { row in
                (0..<matrix.columns).map { Double(memory[first * matrix.columns + matrix.index(row, $0)]) }
            }, inputs: inputs, sparsity: sparsity, group: group)
        layer.jobs = jobs
        layer.bias = try matrix.bias.map { name in
            try self.memory(of: name)[first..<first + matrix.rows].map(Double.init)
        }
        return layer
    }

    /// Takes over the weights and the bias of a layer, zeros where it is pruned.
    ///
    /// - Parameter pruned: which weights are pruned, as the tensor lies; those of the layer are set.
    /// - Throws: `notFound` for a tensor that the network does not read.
    func take(_ layer: LayerProblem, pruned: inout [Bool]) throws {
        let matrix = layer.matrix, memory = try memory(of: matrix.name)
        let first = layer.inputs.outputs?.lowerBound ?? 0
        if let name = matrix.bias, let changed = layer.bias {
            let bias = try self.memory(of: name)
            for row in changed.indices { bias[first + row] = Float(changed[row]) }
        }
        if pruned.isEmpty { pruned = [Bool](repeating: false, count: memory.count) }
        for row in 0..<matrix.rows {
            for column in 0..<matrix.columns {
                let place = row * matrix.columns + column
                let target = first * matrix.columns + matrix.index(row, column)
                pruned[target] = layer.pruned[place]
                memory[target] = layer.pruned[place] ? 0 : Float(layer.weights[place])
            }
        }
    }
}
