import ZooAutodiff
import ZooBase
import ZooTensor

/// The gradient of the mean loss on a mini-batch in training mode: batch norm normalises with the batch's own
/// statistics, nothing is dropped out. For training things that are not a network of their own: the bend of a curve.
///
/// One compiled program serves any number of models and threads; each thread has a `Stepper`. Vectors of the stepper
/// hold the tensors of `layout` one after the other, each from the start of a cache line on; what lies between is zero.
public final class TrainingGradient: Sendable {
    /// The order of parameters.
    public let layout: ParameterLayout
    /// Samples of a step.
    public let batch: Int
    /// Numbers of a padded vector.
    public let paddedCount: Int
    /// The samples that batches are drawn from.
    public let samples: Samples
    private let starts: [Int]
    private let padded: Int
    private let pool: ExecutorPool<Float>
    private let parameterNames: [String], parameterShapes: [Shape]

    /// Compiles the gradient.
    ///
    /// - Parameters:
    ///   - tensors: names and shapes of the models' weights.
    ///   - batch: samples of a step; all when there are fewer.
    /// - Throws: `mismatch` when graph, weights and samples do not fit together or labels are missing; `unsupported`
    ///   for architectures that read tokens.
    public init(_ graph: ArchitectureGraph, tensors: [TensorInfo], samples: Samples, batch: Int) throws {
        guard let input = graph.inputs.first, graph.inputs.count == 1, input.kind != .tokens else {
            throw ZooError(.unsupported, "architecture '\(graph.name)' reads tokens; batches are of images and vectors")
        }
        try samples.check(shape: input.shape, of: graph.name)
        self.samples = samples
        self.batch = min(max(1, batch), samples.count)
        // Kernels hold samples in lanes of 16; what fills up the last group has weight zero.
        padded = (self.batch + 15) / 16 * 16
        layout = ParameterLayout(graph, tensors: tensors)
        var places: [Int] = [], total = 0
        for entry in layout.entries {
            places.append(total)
            total += (entry.range.count + 15) / 16 * 16
        }
        (starts, paddedCount) = (places, total)
        let lowered = try LoweredGraph(
            graph.withoutDropout, tensors: tensors, batch: padded, isTraining: true, isPadded: padded != self.batch)
        let b = lowered.builder
        let logits = try lowered.output("logits", of: graph)
        try samples.check(classes: logits.shape.dimensions.last ?? 0, for: "training")
        let labels = b.indices("labels", [padded])
        let loss = try b.average(b.crossEntropy(logits, labels: labels), weights: lowered.sampleWeights)
        let values = Dictionary(lowered.parameters.map { ($0.name, $0.value) }, uniquingKeysWith: { first, _ in first })
        let trained = try layout.entries.map { entry in
            guard let value = values[entry.name] else {
                throw ZooError(.internal, "tensor '\(entry.name)' is trained but not read")
            }
            return value
        }
        let gradient = try b.gradient(of: loss, withRespectTo: trained)
        pool = ExecutorPool(b.build([("loss", loss)] + gradient.map { ("gradient", $0) }).compiled())
        let inputs = pool.compiled.program.inputs(.parameter)
        parameterNames = inputs.map(\.name)
        parameterShapes = inputs.map(\.shape)
    }

    /// A flat vector of the layout as a padded one.
    ///
    /// - Throws: `mismatch` when it has another length.
    public func padded(_ flat: [Double]) throws -> [Float] {
        try layout.check(flat)
        var vector = [Float](repeating: 0, count: paddedCount)
        for (entry, start) in zip(layout.entries, starts) {
            for (index, number) in flat[entry.range].enumerated() { vector[start + index] = Float(number) }
        }
        return vector
    }

    /// A padded vector as a flat one.
    public func flat(_ vector: [Float]) -> [Double] {
        zip(layout.entries, starts).flatMap { entry, start in vector[start..<start + entry.range.count].map(Double.init)
        }
    }

    /// What a thread needs to take gradients; `model` has the tensors that are not trained.
    ///
    /// - Throws: what reading the model throws.
    public func stepper(_ model: any TensorSource) throws -> Stepper { try Stepper(self, model) }

    /// One thread's work space: not to be shared.
    public final class Stepper {
        private let owner: TrainingGradient
        private let executor: Executor<Float>
        /// The vector at which the gradient is taken; its memory never moves.
        private let point: UnsafeMutablePointer<Float>
        private let inputs: UnsafeMutablePointer<Float>
        private let labels: UnsafeMutablePointer<Int32>
        private let weights: UnsafeMutablePointer<Float>
        private let others: WeightBlock
        private let parameters: [UnsafePointer<Float>]

        fileprivate init(_ owner: TrainingGradient, _ model: any TensorSource) throws {
            self.owner = owner
            executor = owner.pool.compiled.makeExecutor()
            func floats(_ count: Int) -> UnsafeMutablePointer<Float> {
                let memory = UnsafeMutableRawPointer.allocate(byteCount: max(16, count) * 4, alignment: 64)
                    .bindMemory(to: Float.self, capacity: max(16, count))
                memory.initialize(repeating: 0, count: max(16, count))
                return memory
            }
            point = floats(owner.paddedCount)
            inputs = floats(owner.padded * owner.samples.sampleSize)
            weights = floats(owner.padded)
            labels = .allocate(capacity: owner.padded)
            labels.initialize(repeating: 0, count: owner.padded)
            for place in 0..<owner.batch { weights[place] = 1 }
            let trained = Dictionary(
                zip(owner.layout.entries.map(\.name), owner.starts), uniquingKeysWith: { first, _ in first })
            let fixed = zip(owner.parameterNames, owner.parameterShapes).filter { trained[$0.0] == nil }
            others = try WeightBlock(model, names: fixed.map(\.0), shapes: fixed.map(\.1))
            var next = 0
            var pointers: [UnsafePointer<Float>] = []
            for name in owner.parameterNames {
                if let start = trained[name] {
                    pointers.append(UnsafePointer(point + start))
                } else {
                    pointers.append(others.pointers[next])
                    next += 1
                }
            }
            parameters = pointers
        }

        deinit {
            point.deallocate()
            inputs.deallocate()
            weights.deallocate()
            labels.deallocate()
        }

        /// The mean loss at a padded point on the samples at the given places, and its gradient.
        ///
        /// - Precondition: as many places as `batch`; vectors of `paddedCount` numbers.
        /// - Throws: what running throws.
        public func gradient(
            at vector: UnsafePointer<Float>, samples chosen: ArraySlice<Int>, into gradient: UnsafeMutablePointer<Float>
        ) throws -> Double {
            precondition(chosen.count == owner.batch)
            point.update(from: vector, count: owner.paddedCount)
            gather(chosen)
            try executor.bind(parameters: parameters)
            let reals = [UnsafePointer(inputs)] + (owner.padded != owner.batch ? [UnsafePointer(weights)] : [])
            try executor.run(reals: reals, indices: [UnsafePointer(labels)])
            for (place, start) in owner.starts.enumerated() {
                let values = executor.output(1 + place)
                guard let source = values.baseAddress else { continue }
                (gradient + start).update(from: source, count: values.count)
            }
            return Double(executor.output(0)[0])
        }

        private func gather(_ chosen: ArraySlice<Int>) {
            let size = owner.samples.sampleSize
            owner.samples.inputs.withUnsafeBufferPointer { source in
                guard let source = source.baseAddress else { return }
                for (place, sample) in chosen.enumerated() {
                    (inputs + place * size).update(from: source + sample * size, count: size)
                    labels[place] = owner.samples.labels[sample]
                }
            }
            // What fills up the lanes is a real sample, so that nothing overflows; its weight is zero.
            for place in chosen.count..<owner.padded {
                (inputs + place * size).update(from: inputs, count: size)
                labels[place] = labels[0]
            }
        }
    }
}
