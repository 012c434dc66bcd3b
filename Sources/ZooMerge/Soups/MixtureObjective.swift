import ZooAutodiff
import ZooBase
import ZooNN
import ZooTensor

/// Cross-entropy of β · logits over minibatches of labelled samples, with its gradients by the weights and by β: what a
/// learned soup goes downhill on.
final class MixtureObjective {
    /// The tensors that the network reads, in order, with their shapes.
    let names: [String]
    let shapes: [Shape]
    /// Samples per step.
    let batch: Int
    private let samples: Samples
    private let executor: Executor<Float>
    private var inputs: [Float]
    private var labels: [Int32]
    private var weights: [Float]

    /// Compiles loss and gradients.
    ///
    /// - Throws: `mismatch` when graph, weights and samples do not fit together.
    init(_ graph: ArchitectureGraph, tensors: [TensorInfo], samples: Samples, batch: Int) throws {
        self.samples = samples
        // Kernels hold samples in lanes of 16; the rest of a batch is filled up with samples of weight zero.
        self.batch = min(batch, samples.count)
        let padded = (self.batch + 15) / 16 * 16
        let lowered = try LoweredGraph(graph, tensors: tensors, batch: padded)
        let b = lowered.builder
        let logits = try lowered.output("logits", of: graph)
        let classes = logits.shape.dimensions.last ?? 0
        try samples.check(classes: classes, for: "a learned mixture")
        let beta = b.parameter("β", [])
        let scaled = try b.multiply(logits, b.broadcast(beta, to: logits.shape))
        let loss = try b.average(
            b.crossEntropy(scaled, labels: b.indices("labels", [padded])), weights: b.data("weights", [padded]))
        let parameters = lowered.parameters
        let gradient = try b.gradient(of: loss, withRespectTo: [beta] + parameters.map(\.value))
        let outputs = [("loss", loss)] + gradient.enumerated().map { ("gradient \($0)", $1) }
        executor = b.build(outputs).compiled().makeExecutor()
        names = parameters.map(\.name)
        shapes = parameters.map(\.value.shape)
        inputs = [Float](repeating: 0, count: padded * samples.sampleSize)
        labels = [Int32](repeating: 0, count: padded)
        weights = [Float](repeating: 0, count: padded)
    }

    /// Loss and gradients of one minibatch.
    ///
    /// - Parameters:
    ///   - parameters: the weights in the order of `names`.
    ///   - places: the samples, at most `batch`.
    ///   - body: gets the loss, ∂L/∂β, and the gradient by each tensor; pointers are valid during the call.
    func evaluate<R>(
        _ parameters: [UnsafePointer<Float>], temperature: Float, places: ArraySlice<Int>,
        _ body: (_ loss: Double, _ byTemperature: Double, _ gradients: [UnsafeBufferPointer<Float>]) throws -> R
    ) throws -> R {
        fill(places)
        return try withUnsafePointer(to: temperature) { beta in
            try executor.bind(parameters: ordered(parameters, beta))
            try inputs.withUnsafeBufferPointer { x in
                try weights.withUnsafeBufferPointer { w in
                    try labels.withUnsafeBufferPointer { y in
                        guard let x = x.baseAddress, let w = w.baseAddress, let y = y.baseAddress else { return }
                        try executor.run(reals: [x, w], indices: [y])
                    }
                }
            }
            let gradients = names.indices.map { executor.output($0 + 2) }
            return try body(Double(executor.output(0)[0]), Double(executor.output(1)[0]), gradients)
        }
    }

    /// β is declared after the network's parameters.
    private func ordered(
        _ parameters: [UnsafePointer<Float>], _ beta: UnsafePointer<Float>
    ) -> [UnsafePointer<Float>] { parameters + [beta] }

    private func fill(_ places: ArraySlice<Int>) {
        let size = samples.sampleSize
        for (slot, place) in places.enumerated() {
            for index in 0..<size { inputs[slot * size + index] = samples.inputs[place * size + index] }
            labels[slot] = samples.labels[place]
            weights[slot] = 1
        }
        for slot in places.count..<weights.count { weights[slot] = 0 }
    }
}
