import ZooBase
import ZooCatalog
import ZooNN
import ZooPrune
import ZooTensor
import ZooTrain

/// One network in training. `@unchecked Sendable`: one thread at a time takes its steps, which are split over threads
/// inside; results are read afterwards.
final class Retraining: @unchecked Sendable {
    let network: PrunableNetwork
    let target: String
    let isControl: Bool
    let weights: ModelWeights
    /// What must stay zero; nil for a network without zeros.
    let mask: PruneMask?
    private(set) var losses: [Double] = []
    /// Distances to the teacher's vectors, by step.
    private(set) var distances: [Double] = []
    /// The triplets of the step that is next.
    private(set) var triplets: [TokenTriplet] = []
    private let label: String
    private let layout: StatisticsLayout
    private let objectives: [TripletObjective]
    private let loss: SplitTripletLoss
    private let turns: (domain: Int, general: Int)
    private var generators: [SeededGenerator]
    private var orders: [[Int]]
    private let vectors: Vectors
    private let held: [PruneMask.Entry?]
    /// The norm to which gradients are clipped.
    private static let clip = 1.0

    /// The gradient and the optimiser's moments. `@unchecked Sendable`: threads work on tensors of their own.
    private final class Vectors: @unchecked Sendable {
        let gradient, first, second: UnsafeMutableBufferPointer<Float>

        init(_ count: Int) {
            func zeros() -> UnsafeMutableBufferPointer<Float> {
                let memory = UnsafeMutableBufferPointer<Float>.allocate(capacity: count)
                memory.initialize(repeating: 0)
                return memory
            }
            (gradient, first, second) = (zeros(), zeros(), zeros())
        }

        deinit { for memory in [gradient, first, second] { memory.deallocate() } }
    }

    init(
        _ network: PrunableNetwork, target: String, isControl: Bool, data: [[TokenTriplet]], limit: Int,
        _ command: PruneRetrain, _ seed: UInt64
    ) throws {
        self.network = network
        self.target = target
        self.isControl = isControl
        label = network.label
        let graph = network.graph, infos = network.source.tensorInfos
        let roles = graph.tensorRoles
        let layout = try StatisticsLayout(
            names: graph.trainableNames.filter { roles[$0] != .embedding }, tensors: infos)
        self.layout = layout
        weights = try ModelWeights(graph, source: network.source)
        loss = try SplitTripletLoss(graph, tensors: infos, layout: layout, weights: weights, maximumLength: limit)
        objectives = try data.map { triplets in
            try TripletObjective(
                graph, tensors: infos, layout: layout, triplets: triplets, estimator: .microBatch, batch: command.batch,
                seed: seed, maximumLength: limit, sumsInputs: false)
        }
        turns = objectives.count == 1 ? (1, 0) : command.turns ?? (1, 1)
        let mask = isControl ? nil : try Self.mask(network)
        self.mask = mask
        held = layout.entries.map { mask?[$0.name] }
        generators = objectives.indices.map { SeededGenerator(seed: seed &+ 1 &+ UInt64($0)) }
        orders = objectives.map { _ in [] }
        vectors = Vectors(layout.count)
    }

    /// The mask beside the network, else its zeros.
    private static func mask(_ network: PrunableNetwork) throws -> PruneMask? {
        if let folder = network.folder, MergeModels.isReadable(folder + "/mask.bin") {
            let mask = try PruneMask(reading: folder + "/mask.bin")
            for entry in mask.entries {
                let values = try network.source.tensor(named: entry.name)
                guard values.shape == entry.shape else {
                    throw ZooError(.mismatch, "\(folder)/mask.bin is of other shapes than the weights")
                }
                let isHeld = values.withFloats { numbers in
                    numbers.indices.allSatisfy { entry.keeps($0) || numbers[$0] == 0 }
                }
                guard isHeld else {
                    throw ZooError(.mismatch, "\(folder): '\(entry.name)' is not zero everywhere mask.bin says so")
                }
            }
            return mask
        }
        let matrices = try CandidateMatrix.all(
            of: network.graph, tensors: network.source.tensorInfos, layers: .linear)
        let mask = try PruneMask(zerosOf: network.source, matrices: matrices)
        return mask.zeroCount == 0 ? nil : mask
    }

    /// Steps taken.
    var position: Int { losses.count }

    /// The triplets and how they are cut into batches.
    var dataDigest: [UInt64] { objectives.map(\.digest) }

    /// What training starts from: the weights, the mask, the data.
    ///
    /// - Throws: what reading throws.
    func digest() throws -> String {
        let bits = mask.map { ContentDigest.of(Bytes($0.bytes)) } ?? "-"
        return try network.digest(of: weights.names) + bits + dataDigest.map { String($0) }.joined(separator: ",")
    }

    // MARK: Steps

    /// Draws the batch of the step that is next.
    func draw() {
        let (side, batch) = drawn(position)
        triplets = objectives[side].members(of: batch)
    }

    private func drawn(_ step: Int) -> (side: Int, batch: Int) {
        let side = step % (turns.domain + turns.general) < turns.domain ? 0 : 1
        if orders[side].isEmpty { orders[side] = generators[side].permutation(objectives[side].batchCount) }
        return (side, orders[side].removeLast())
    }

    /// Takes the step whose batch was drawn.
    ///
    /// - Parameter teacher: unit vectors of the batch's texts.
    /// - Throws: `numeric` when loss or gradient are not finite; `interrupted`, with nothing changed.
    func take(rate: Double, teacher: [[Float]]?, distillation: Double, jobs: Int) throws {
        let found = try loss.gradient(
            of: triplets, teacher: teacher, distillation: distillation, into: vectors.gradient, jobs: jobs)
        let norm = try maskedNorm(jobs: jobs)
        guard found.contrast.isFinite, found.distance.isFinite, norm.isFinite else {
            throw ZooError(
                .numeric, "\(label): loss or gradient of step \(position + 1) are not finite", hint: "lower --rate")
        }
        try update(rate: rate, factor: norm > Self.clip ? Float(Self.clip / norm) : 1, jobs: jobs)
        losses.append(found.contrast)
        distances.append(found.distance)
    }

    /// Up in a line over the warm-up, then down to zero.
    static func rate(_ rate: Double, step: Int, of steps: Int, warmup: Double) -> Double {
        let rise = Int((warmup * Double(steps)).rounded(.up))
        if step < rise { return rate * Double(step + 1) / Double(rise) }
        return rate * Double(steps - step) / Double(max(1, steps - rise))
    }

    /// Sets the gradient of pruned weights to zero and gives the norm of what is left.
    private func maskedNorm(jobs: Int) throws -> Double {
        let entries = layout.entries, vectors = vectors, held = held
        let squares = try Parallel.map(count: entries.count, jobs: jobs) { place -> Double in
            let range = entries[place].range
            if let held = held[place] {
                for index in 0..<range.count where !held.keeps(index) {
                    vectors.gradient[range.lowerBound + index] = 0
                }
            }
            var sum = 0.0
            for index in range { sum += Double(vectors.gradient[index]) * Double(vectors.gradient[index]) }
            return sum
        }
        return squares.reduce(0, +).squareRoot()
    }

    /// One update of all weights; once begun it is not interrupted.
    private func update(rate: Double, factor: Float, jobs: Int) throws {
        var adamw = Optimiser(.adamw)
        adamw.weightDecay = 0
        let optimiser = adamw, step = position + 1
        let entries = layout.entries, vectors = vectors, held = held
        let memories = Memories(all: try entries.map { try weights.memory(of: $0.name) })
        Parallel.perform(count: entries.count, jobs: jobs) { place in
            let range = entries[place].range, memory = memories.all[place]
            guard let parameters = memory.baseAddress, let g = vectors.gradient.baseAddress,
                let m = vectors.first.baseAddress, let v = vectors.second.baseAddress
            else { return }
            let start = range.lowerBound
            if factor != 1 { for index in range { g[index] *= factor } }
            optimiser.update(
                parameters, g + start, [m + start, v + start], count: range.count, step: step, rate: rate,
                momentum: optimiser.betas[0])
            guard let held = held[place] else { return }
            for index in 0..<memory.count where !held.keeps(index) { memory[index] = 0 }
        }
    }

    /// Tensors that threads change each on its own.
    private struct Memories: @unchecked Sendable {
        var all: [UnsafeMutableBufferPointer<Float>]
    }

    // MARK: Going on after an interrupt

    /// Weights, moments and losses as they are between two steps.
    func saved() throws -> [(name: String, tensor: Tensor)] {
        var tensors = [
            ("first", Tensor(Array(vectors.first), shape: [layout.count])),
            ("second", Tensor(Array(vectors.second), shape: [layout.count])),
            ("losses", Tensor(losses, shape: [losses.count])),
            ("distances", Tensor(distances, shape: [distances.count])),
        ]
        for entry in layout.entries {
            tensors.append(
                ("weights/" + entry.name, Tensor(Array(try weights.memory(of: entry.name)), shape: entry.shape)))
        }
        return tensors
    }

    /// Takes up what `saved` gave; batches are drawn as before.
    ///
    /// - Throws: `mismatch` or `notFound` when it is of another network.
    func restore(_ source: any TensorSource, prefix: String) throws {
        func read(_ name: String, into memory: UnsafeMutableBufferPointer<Float>) throws {
            try source.tensor(named: prefix + name).withFloats { values in
                guard values.count == memory.count else {
                    throw ZooError(
                        .mismatch, "'\(prefix + name)' has \(values.count) numbers, expected \(memory.count)")
                }
                if let base = values.baseAddress { memory.baseAddress?.update(from: base, count: values.count) }
            }
        }
        let losses = try source.tensor(named: prefix + "losses").doubles()
        let distances = try source.tensor(named: prefix + "distances").doubles()
        guard losses.count == distances.count else {
            throw ZooError(.mismatch, "\(losses.count) losses and \(distances.count) distances")
        }
        try read("first", into: vectors.first)
        try read("second", into: vectors.second)
        for entry in layout.entries { try read("weights/" + entry.name, into: try weights.memory(of: entry.name)) }
        for step in losses.indices { _ = drawn(step) }
        (self.losses, self.distances) = (losses, distances)
    }
}
