import ZooAutodiff
import ZooBase
import ZooNN
import ZooTensor

/// The numbers of one epoch. Training loss and accuracy are running means while the weights move (at epoch zero: of
/// the initial weights), the others those of the weights at the end of the epoch.
package struct EpochResult: Sendable, Hashable {
    package var epoch: Int
    /// Loss and accuracy by split: `train`, `val`, `test`; what is not finite is nil.
    package var splits: [Split]
    /// The rate of the epoch's last step.
    package var learningRate: Double
    /// Why the trial ended here, when it diverged.
    package var failure: String?

    package struct Split: Sendable, Hashable {
        package var name: String
        package var loss: Double?
        package var accuracy: Double?
    }

    /// A line of `result.json`.
    package func json(trial: String, isLast: Bool) -> JSONObject {
        var object = JSONObject()
        for split in splits {
            object["\(split.name)_loss"] = split.loss.map { .double($0) } ?? .null
            object["\(split.name)_acc"] = split.accuracy.map { .double($0) } ?? .null
        }
        object["learning_rate"] = .double(learningRate)
        object["training_iteration"] = .int(Int64(epoch))
        object["done"] = .bool(isLast)
        object["trial_id"] = .string(trial)
        if let failure { object["failure"] = .string(failure) }
        return object
    }
}

/// Trains one network: a step is one run of a compiled program and one update of a block of parameters.
///
/// All randomness comes from counters keyed by seed, epoch and purpose, so an epoch can be computed from the state at
/// its beginning and nothing else.
package final class Trainer {
    let settings: TrialSettings
    let blueprint: ArchitectureBlueprint
    package let block: ParameterBlock
    private let data: TrainingData
    private let seed: TrainingSeed
    let trained: [String]
    private let full: StepProgram
    private let rest: StepProgram?
    private let evaluators: [(name: String, evaluator: Evaluator)]
    private let trainEvaluator: Evaluator
    private var buffers = BatchBuffers()

    /// Optimiser steps of an epoch.
    package let stepsPerEpoch: Int

    /// Prepares a trial: programs, data, initial weights.
    ///
    /// - Parameters:
    ///   - base: weights to begin with; nil to initialise.
    ///   - library: compiled programs, shared by all trials.
    /// - Throws: `mismatch` when data, weights and network do not fit together.
    package init(
        _ settings: TrialSettings, blueprint: ArchitectureBlueprint, data: TrainingData, seed: TrainingSeed,
        base: (any TensorSource)?, library: ProgramLibrary
    ) throws {
        self.settings = settings
        self.blueprint = blueprint
        self.data = data
        self.seed = seed
        trained = try Self.trained(blueprint.graph, frozen: settings.frozen)
        let size = settings.batchSize, count = data.train.count
        let remainder = count % size
        stepsPerEpoch = count / size + (remainder > 0 && !settings.dropsLast ? 1 : 0)
        guard stepsPerEpoch > 0 else {
            throw ZooError(.usage, "batch_size \(size) with drop_last leaves no step of \(count) samples")
        }
        var key = ProgramKey(
            blueprint: blueprint, trained: trained, smoothing: settings.labelSmoothing, samples: min(size, count))
        full = try library.program(key)
        key.samples = remainder
        rest = count > size && remainder > 0 && !settings.dropsLast ? try library.program(key) : nil
        evaluators = try data.evaluated.map { name, samples in
            (name, try Evaluator(blueprint.graph, tensors: blueprint.tensors, samples: samples))
        }
        trainEvaluator = try Evaluator(blueprint.graph, tensors: blueprint.tensors, samples: data.train)
        block = ParameterBlock(blueprint.tensors, momentNames: settings.optimiser.momentNames)
        try fill(base)
    }

    /// The parameters that are not frozen.
    ///
    /// - Throws: `usage` for a pattern that matches none, with the nearest name, and when all are frozen.
    static func trained(_ graph: ArchitectureGraph, frozen patterns: [String]) throws -> [String] {
        let names = graph.trainableNames
        if let unused = patterns.first(where: { pattern in !names.contains { matches($0, pattern) } }) {
            throw ZooError(
                .usage, "freeze: no parameter matches '\(unused)'",
                hint: NearestName.hint(unused, in: names, kind: "parameters"))
        }
        let trained = names.filter { name in !patterns.contains { matches(name, $0) } }
        guard !trained.isEmpty else { throw ZooError(.usage, "freeze: every parameter is frozen") }
        return trained
    }

    /// `classifier` and `classifier.*` mean `classifier.weight` and `classifier.bias`; `*` stands for anything.
    static func matches(_ name: String, _ pattern: String) -> Bool {
        if name == pattern || name.hasPrefix(pattern + ".") { return true }
        let parts = pattern.split(separator: "*", omittingEmptySubsequences: false)
        guard parts.count > 1, name.hasPrefix(parts[0]) else { return false }
        var rest = name.dropFirst(parts[0].count)
        for part in parts.dropFirst().dropLast() {
            guard let found = rest.firstRange(of: part) else { return false }
            rest = rest[found.upperBound...]
        }
        return rest.hasSuffix(parts.last ?? "")
    }

    // MARK: Weights

    private func fill(_ base: (any TensorSource)?) throws {
        if let base {
            for name in block.slots.keys.sorted() { try block.set(name, base.tensor(named: name).floats()) }
            if let name = block.nonFiniteName {
                throw ZooError(
                    .numeric,
                    "base \(settings.base ?? "checkpoint"): tensor '\(name)': expected finite numbers, found NaN or "
                        + "infinite ones",
                    hint: "begin with another checkpoint")
            }
            for info in block.infos where !info.dtype.isFloatingPoint {
                block.batchesTracked = Int64(try base.tensor(named: info.name).doubles().first ?? 0)
            }
            return
        }
        var place = 0
        for node in blueprint.graph.nodes {
            let weight = node.parameter("weight").flatMap { block.slots[$0]?.info.shape.dimensions } ?? [1, 1]
            for parameter in node.parameters {
                guard let slot = block.slots[parameter.name] else { continue }
                var generator = CounterGenerator(seed, "init", place)
                place += 1
                try block.set(
                    parameter.name,
                    settings.initialiser.values(
                        slot.info, role: parameter.role, op: node.op, fanIn: weight.dropFirst().reduce(1, *),
                        generator: &generator))
            }
        }
    }

    // MARK: Epochs

    /// Evaluates the initial weights: epoch zero.
    package func initialResult() throws -> EpochResult {
        var result = EpochResult(epoch: 0, splits: [], learningRate: rate(step: 0).rate)
        let state = block.stateDict()
        for (name, evaluator) in [("train", trainEvaluator)] + evaluators {
            result.splits.append(try Self.split(name, evaluator, state))
        }
        Self.noteDivergence(&result)
        return result
    }

    /// Trains one epoch and evaluates.
    ///
    /// - Throws: `interrupted`; the block is then somewhere inside the epoch.
    package func epoch(_ epoch: Int) throws -> EpochResult {
        var generator = CounterGenerator(seed, "order", epoch)
        let order = generator.permutation(data.train.count)
        var loss = 0.0, right = 0.0, seen = 0
        var last = 0.0
        for start in stride(from: 0, to: stepsPerEpoch * settings.batchSize, by: settings.batchSize) {
            try Cancellation.check()
            let chosen = order[start..<min(start + settings.batchSize, order.count)]
            last = rate(step: block.step).rate
            let step = try train(Array(chosen), epoch: epoch)
            loss += step.loss * Double(chosen.count)
            right += step.right
            seen += chosen.count
            guard step.loss.isFinite else { break }
        }
        var result = EpochResult(
            epoch: epoch,
            splits: [.init(name: "train", loss: loss / Double(seen), accuracy: right / Double(seen))],
            learningRate: last)
        let state = block.stateDict()
        for (name, evaluator) in evaluators { result.splits.append(try Self.split(name, evaluator, state)) }
        Self.noteDivergence(&result)
        // The last step may break weights after its loss was taken, and a loss may stay finite all the same: some
        // activations swallow a NaN.
        if result.failure == nil, let name = block.nonFiniteName {
            result.failure = "diverged: '\(name)' is not finite in epoch \(epoch)"
        }
        return result
    }

    private static func split(
        _ name: String, _ evaluator: Evaluator, _ state: StateDict
    ) throws -> EpochResult.Split {
        let found = try evaluator.evaluate(count: 1, jobs: 1) { _ in state }[0].get()
        return EpochResult.Split(name: name, loss: found.loss, accuracy: found.accuracy)
    }

    private static func noteDivergence(_ result: inout EpochResult) {
        for index in result.splits.indices {
            guard let loss = result.splits[index].loss, !loss.isFinite else { continue }
            result.failure =
                result.failure ?? "diverged: \(result.splits[index].name)_loss is \(loss) in epoch \(result.epoch)"
            result.splits[index].loss = nil
        }
    }

    private func rate(step: Int) -> (rate: Double, momentum: Double) {
        settings.schedule.values(
            step: step, stepsPerEpoch: stepsPerEpoch, epochs: settings.epochs, rate: settings.optimiser.learningRate,
            momentum: settings.optimiser.cycledMomentum)
    }

    // MARK: Steps

    /// One optimiser step on the samples at the given places.
    package func train(_ chosen: [Int], epoch: Int) throws -> (loss: Double, right: Double) {
        let program = chosen.count == full.samples ? full : rest ?? full
        guard chosen.count == program.samples else {
            throw ZooError(.internal, "a batch of \(chosen.count) samples for a program of \(program.samples)")
        }
        gather(chosen, epoch: epoch, program)
        return try program.pool.withExecutor { executor in
            try executor.bind(parameters: program.parameterNames.map { UnsafePointer(try block.pointer($0)) })
            try buffers.withPointers { reals, labels in try executor.run(reals: reals, indices: [labels]) }
            let loss = Double(executor.output(0)[0]), right = Double(executor.output(1)[0])
            if loss.isFinite { update(executor, program) }
            return (loss, right)
        }
    }

    private func gather(_ chosen: [Int], epoch: Int, _ program: StepProgram) {
        buffers.resize(program)
        let size = data.train.sampleSize, shape = data.train.inputShape
        data.train.inputs.withUnsafeBufferPointer { inputs in
            guard let source = inputs.baseAddress else { return }
            for (place, sample) in chosen.enumerated() {
                let target = buffers.reals[0] + place * size
                if settings.augmentation.isEmpty {
                    target.update(from: source + sample * size, count: size)
                } else {
                    var generator = CounterGenerator(seed, "augment", epoch, sample)
                    settings.augmentation.apply(source + sample * size, to: target, shape: shape, &generator)
                }
                buffers.labels[place] = data.train.labels[sample]
            }
            // What fills up the lanes is a real sample, so that nothing overflows; its weight is zero.
            for place in chosen.count..<program.padded {
                (buffers.reals[0] + place * size).update(from: buffers.reals[0], count: size)
                buffers.labels[place] = buffers.labels[0]
            }
        }
        for (place, input) in program.dataInputs.enumerated().dropFirst() { fill(place, input, program) }
    }

    /// Dropout masks and sample weights.
    private func fill(_ place: Int, _ input: ProgramInput, _ program: StepProgram) {
        let target = buffers.reals[place], count = input.shape.elementCount
        if input.name == LoweredGraph.sampleWeightsName {
            for sample in 0..<count { target[sample] = sample < program.samples ? 1 : 0 }
            return
        }
        let node = blueprint.graph.nodes.first { "\($0.name).mask" == input.name }
        let drop = node?.number("probability", default: 0.5) ?? 0.5
        var generator = CounterGenerator(seed, input.name, block.step)
        let kept = Float(1 / (1 - drop))
        for index in 0..<count { target[index] = generator.uniform() < drop ? 0 : kept }
    }

    private func update(_ executor: Executor<Float>, _ program: StepProgram) {
        let (rate, momentum) = rate(step: block.step)
        block.step += 1
        for (index, name) in program.trained.enumerated() {
            guard let slot = block.slots[name], let gradient = executor.output(2 + index).baseAddress else { continue }
            settings.optimiser.update(
                block.pointer(slot), gradient, block.moments(slot), count: slot.count, step: block.step, rate: rate,
                momentum: momentum)
        }
        guard !program.norms.isEmpty else { return }
        block.batchesTracked += 1
        for (index, norm) in program.norms.enumerated() {
            let outputs = 2 + program.trained.count + 2 * index
            let count = Double(program.samples * norm.pixels)
            let share = norm.node.number("momentum", default: 0.1)
            move("running_mean", norm.node, executor.output(outputs), share, scale: 1)
            // The running variance is the unbiased one.
            move("running_var", norm.node, executor.output(outputs + 1), share, scale: count / max(count - 1, 1))
        }
    }

    private func move(
        _ role: String, _ node: GraphNode, _ values: UnsafeBufferPointer<Float>, _ share: Double, scale: Double
    ) {
        guard let slot = node.parameter(role).flatMap({ block.slots[$0] }) else { return }
        let target = block.pointer(slot)
        for place in 0..<slot.count {
            target[place] = Float(1 - share) * target[place] + Float(share) * (values[place] * Float(scale))
        }
    }
}

/// The inputs of a step, allocated once.
private final class BatchBuffers {
    private(set) var reals: [UnsafeMutablePointer<Float>] = []
    private(set) var labels = UnsafeMutablePointer<Int32>.allocate(capacity: 1)
    private var sizes: [Int] = []

    func resize(_ program: StepProgram) {
        let wanted = program.dataInputs.map(\.shape.elementCount)
        guard wanted != sizes else { return }
        free()
        sizes = wanted
        reals = wanted.map { count in
            let memory = UnsafeMutableRawPointer.allocate(byteCount: max(count, 1) * 4, alignment: 64)
                .bindMemory(to: Float.self, capacity: max(count, 1))
            memory.initialize(repeating: 0, count: max(count, 1))
            return memory
        }
        labels = .allocate(capacity: program.padded)
        labels.initialize(repeating: 0, count: program.padded)
    }

    func withPointers<R>(_ body: ([UnsafePointer<Float>], UnsafePointer<Int32>) throws -> R) rethrows -> R {
        try body(reals.map { UnsafePointer($0) }, UnsafePointer(labels))
    }

    private func free() {
        for pointer in reals { pointer.deallocate() }
        labels.deallocate()
    }

    deinit { free() }
}
