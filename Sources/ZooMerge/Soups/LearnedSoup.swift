import CZooKernels
import ZooBase
import ZooNN
import ZooTensor

/// The learned soup (arXiv 2203.05482, appendix I): mixing weights trained on held-out data,
/// min over α, β of mean CE(β · f(x; Σᵢ αᵢ θᵢ), y), with α a softmax per model or per tensor.
///
/// The checkpoints stay mapped; a step composes the weights in one pass over them and takes their dot products with the
/// gradient in another.
public struct LearnedSoup: Sendable {
    /// Which weights share a row of α.
    public enum Granularity: String, Sendable, CaseIterable {
        /// One row for the whole network.
        case model
        /// One row per tensor.
        case tensor
    }

    /// How to train.
    public struct Options: Sendable {
        /// Which weights share a row.
        public var granularity: Granularity
        /// AdamW's rate: 0.05 per tensor, 0.1 per model unless given.
        public var rate: Double
        /// Passes over the held-out samples: 5 per tensor, 3 per model unless given.
        public var epochs: Int
        /// Samples per step.
        public var batch = 256
        /// Seed of the order of the samples.
        public var seed: UInt64 = 0
        /// Threads.
        public var jobs = 1

        /// The published settings of a granularity.
        public init(_ granularity: Granularity) {
            self.granularity = granularity
            rate = granularity == .tensor ? 0.05 : 0.1
            epochs = granularity == .tensor ? 5 : 3
        }
    }

    /// Mixing weights by tensor, one per model: every floating-point tensor of the checkpoints.
    public private(set) var weights: [String: [Double]] = [:]
    /// Mean weight of each model over the rows.
    public private(set) var meanWeights: [Double] = []
    /// Mean training loss of each epoch.
    public private(set) var losses: [Double] = []
    /// β at the end; it only scaled logits while learning.
    public private(set) var temperature = 1.0

    /// Learns mixing weights.
    ///
    /// - Parameters:
    ///   - graph: the architecture of all checkpoints.
    ///   - models: the checkpoints.
    ///   - samples: the held-out samples.
    ///   - progress: told each step.
    /// - Throws: `mismatch` when checkpoints, graph and samples do not fit; `numeric` when the loss stops being finite.
    public init(
        _ graph: ArchitectureGraph, models: [any TensorSource], samples: Samples, options: Options,
        progress: (@Sendable (Int) -> Void)? = nil
    ) throws {
        let trainer = try Trainer(graph, models, samples, options)
        var generator = SeededGenerator(seed: options.seed)
        var places = Array(0..<samples.count)
        for _ in 0..<options.epochs {
            generator.shuffle(&places)
            var total = 0.0
            for start in stride(from: 0, to: places.count, by: trainer.objective.batch) {
                try Cancellation.check()
                let batch = places[start..<min(start + trainer.objective.batch, places.count)]
                let loss = try trainer.step(batch)
                guard loss.isFinite else {
                    throw ZooError(
                        .numeric, "the loss of the mixture became \(loss)",
                        hint: "leave out models with NaN weights, or lower --rate")
                }
                total += loss * Double(batch.count)
                progress?(1)
            }
            losses.append(total / Double(places.count))
        }
        let rows = (0..<trainer.mixture.rowCount).map { trainer.mixture.weights(row: $0) }
        let mean = models.indices.map { model in rows.reduce(0) { $0 + $1[model] } / Double(rows.count) }
        for info in models[0].tensorInfos where info.dtype.isFloatingPoint {
            weights[info.name] = trainer.rows[info.name].map { rows[$0] } ?? mean
        }
        meanWeights = mean
        temperature = trainer.mixture.temperature
    }

    /// Steps that training takes.
    public static func stepCount(_ samples: Samples, _ options: Options) -> Int {
        let batch = min(options.batch, samples.count)
        return options.epochs * ((samples.count + batch - 1) / batch)
    }
}

/// The state of training: mapped models, the composed weights, the mixture and its optimiser.
private final class Trainer {
    let objective: MixtureObjective
    /// The row of each tensor that is trained.
    private(set) var rows: [String: Int] = [:]
    /// The same by place.
    private let rowOf: [Int?]
    private(set) var mixture: SoftmaxMixture
    private var optimiser: AdamW
    /// tensors[p][i]: tensor p of model i.
    private let tensors: [[Tensor]]
    private let codes: [[Int32]]
    private let counts: [Int]
    private let places: [Int]
    private let block: UnsafeMutablePointer<Float>
    private let jobs: Int

    init(
        _ graph: ArchitectureGraph, _ models: [any TensorSource], _ samples: Samples, _ options: LearnedSoup.Options
    ) throws {
        guard models.count > 1 else { throw ZooError(.usage, "a learned soup takes at least two checkpoints") }
        var pairing = TensorPairing(models[0].tensorInfos)
        for (index, model) in models.enumerated().dropFirst() { pairing.add(model.tensorInfos, index: index) }
        _ = try pairing.resolve(names: models.indices.map { "checkpoint \($0 + 1)" }, pairing: .strict)
        objective = try MixtureObjective(graph, tensors: models[0].tensorInfos, samples: samples, batch: options.batch)
        let trainable = Set(graph.trainableNames)
        for name in objective.names where trainable.contains(name) {
            rows[name] = options.granularity == .tensor ? rows.count : 0
        }
        rowOf = objective.names.map { [rows] in rows[$0] }
        mixture = SoftmaxMixture(
            rowCount: options.granularity == .tensor ? max(rows.count, 1) : 1, modelCount: models.count)
        optimiser = AdamW(rate: options.rate)
        tensors = try objective.names.map { name in
            try models.map { model in
                let tensor = try model.tensor(named: name)
                return KernelType(tensor.dtype) == nil ? tensor.converted(to: .float32) : tensor
            }
        }
        codes = tensors.map { $0.compactMap { KernelType($0.dtype)?.rawValue } }
        counts = objective.shapes.map(\.elementCount)
        var total = 0
        places = counts.map { count in
            defer { total += (count + 15) / 16 * 16 }
            return total
        }
        block = UnsafeMutableRawPointer.allocate(byteCount: max(total, 1) * 4, alignment: 64)
            .bindMemory(to: Float.self, capacity: max(total, 1))
        block.initialize(repeating: 0, count: max(total, 1))
        // Waking a thread costs more than a small network's whole pass.
        jobs = total * models.count > Self.parallelElements ? options.jobs : 1
    }

    /// Elements read per step from which threads help.
    private static let parallelElements = 1 << 22

    deinit { block.deallocate() }

    /// One step of AdamW on a minibatch; returns its loss.
    func step(_ batch: ArraySlice<Int>) throws -> Double {
        try compose()
        let pointers = places.map { UnsafePointer(block + $0) }
        var gradient = [Double](repeating: 0, count: mixture.values.count)
        let models = mixture.modelCount
        let loss = try objective.evaluate(pointers, temperature: Float(mixture.temperature), places: batch) {
            loss, byTemperature, gradients in
            let products = try dotProducts(gradients)
            var byRow = [[Double]](repeating: [Double](repeating: 0, count: models), count: mixture.rowCount)
            for (p, row) in rowOf.enumerated() {
                guard let row else { continue }
                for i in 0..<models { byRow[row][i] += products[p][i] }
            }
            for (row, byWeights) in byRow.enumerated() {
                for (i, value) in mixture.gradient(row: row, byWeights: byWeights).enumerated() {
                    gradient[row * models + i] = value
                }
            }
            gradient[gradient.count - 1] = byTemperature
            return loss
        }
        optimiser.step(&mixture.values, gradient: gradient)
        return loss
    }

    /// Σᵢ α[p, i] θᵢ[p] for every tensor; buffers that are not trained take the mean of the rows.
    private func compose() throws {
        let rowWeights = (0..<mixture.rowCount).map { mixture.weights(row: $0) }
        let mean = (0..<mixture.modelCount).map { i in
            rowWeights.reduce(0) { $0 + $1[i] } / Double(rowWeights.count)
        }
        let target = Shared(block)
        try Parallel.forEach(count: tensors.count, jobs: jobs) { [tensors, codes, counts, places, rowOf] p in
            let weights = rowOf[p].map { rowWeights[$0] } ?? mean
            withExtendedLifetime(tensors[p]) {
                let inputs = tensors[p].map { $0.bytes.withUnsafeBytes(\.baseAddress) }
                zoo_weighted_sum(
                    inputs, codes[p], weights, inputs.count, counts[p], target.pointer + places[p],
                    KernelType.float32.rawValue, false)
            }
        }
    }

    /// ⟨∂L/∂θ[p], θᵢ[p]⟩ for every trained tensor and model.
    private func dotProducts(_ gradients: [UnsafeBufferPointer<Float>]) throws -> [[Double]] {
        let shared = Shared(gradients)
        return try Parallel.map(count: tensors.count, jobs: jobs) { [tensors, codes, counts, rowOf] p in
            guard rowOf[p] != nil else { return [] }
            return zip(tensors[p], codes[p]).map { tensor, code in
                tensor.bytes.withUnsafeBytes { raw in
                    zoo_vector_dot(
                        shared.pointer[p].baseAddress, KernelType.float32.rawValue, raw.baseAddress, code, counts[p])
                }
            }
        }
    }
}

/// Memory that threads use in parts of their own while its owner waits.
private struct Shared<T>: @unchecked Sendable {
    let pointer: T
    init(_ pointer: T) { self.pointer = pointer }
}
