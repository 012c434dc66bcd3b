import CZooKernels
import ZooAutodiff
import ZooBase
import ZooNN
import ZooTensor

/// What one side of calibration says of a network.
public struct SideStatistics: Sendable {
    /// Means of squared gradients, in the order of the layout.
    public var fisher: [Float]
    /// The mean gradient.
    public var gradient: [Float]
    /// Mean of each input of each matrix of `layout.summed`, over real tokens or samples.
    public var inputMeans: [String: [Float]] = [:]
    /// Mean square of each input.
    public var inputSquares: [String: [Float]] = [:]
    /// The mean of the batches' losses.
    public var loss: Double
    /// Batches and samples that counted.
    public var batches: Int, samples: Int
    /// Batches left out because loss or gradient were not finite.
    public var skippedBatches: Int
    /// The share of batches whose gradient of a matrix points away from the other side's mean; empty without another.
    public var conflicts: [String: Double] = [:]
    /// The cosine of the mean gradients of the two halves of the batches by matrix: what sampling noise leaves of 1.
    public var halves: [String: Double] = [:]

    /// Means over batches.
    public init(
        fisher: [Float], gradient: [Float], loss: Double, batches: Int, samples: Int, skippedBatches: Int
    ) {
        self.fisher = fisher
        self.gradient = gradient
        self.loss = loss
        self.batches = batches
        self.samples = samples
        self.skippedBatches = skippedBatches
    }
}

/// Sums of gradients and of their squares over the batches of one side, in one pass that can be interrupted and taken
/// up again.
///
/// Batches run in Float32, as many at a time as there are threads; sums are in Float64 and added batch by batch in
/// order, so they do not depend on the threads. In memory are the sums of gradients and squares, and, for the second
/// side, the first side's mean gradient and the sum of the first half.
public final class CalibrationPass {
    /// The most batches that run at once: each has an arena.
    private static let widest = 16
    /// The share of batches that may be left out.
    private static let tolerance = 0.01

    private let objective: any CalibrationObjective
    private let layout: StatisticsLayout
    private let weights: ModelWeights
    private let reference: [Float]?
    private var gradient: [Double], squares: [Double]
    private var firstHalf: [Float] = []
    private var inputs: [[Double]], inputSquares: [[Double]], inputRows: [Int]
    private var conflicts: [Int]
    private var loss = 0.0, counted = 0, samples = 0, skipped = 0
    /// The next batch.
    public private(set) var position = 0
    private var executors: [Executor<Float>] = []

    /// Starts at the first batch.
    ///
    /// - Parameter reference: the other side's mean gradient, for the rate of conflicts; with it the halves are compared.
    public init(
        _ objective: any CalibrationObjective, layout: StatisticsLayout, weights: ModelWeights,
        reference: [Float]? = nil
    ) {
        self.objective = objective
        self.layout = layout
        self.weights = weights
        self.reference = reference
        gradient = [Double](repeating: 0, count: layout.count)
        squares = gradient
        inputs = layout.summed.map { [Double](repeating: 0, count: $0.columns) }
        inputSquares = inputs
        inputRows = [Int](repeating: 0, count: inputs.count)
        conflicts = [Int](repeating: 0, count: layout.matrices.count)
    }

    /// Works on all batches that are left.
    ///
    /// - Parameter afterWave: called with the samples of each few batches; what it throws stops the pass between two
    ///   batches, so that it can be saved.
    /// - Throws: `numeric` when more than 1 % of the batches are not finite; `interrupted`.
    public func run(jobs: Int, afterWave: (Int) throws -> Void) throws {
        let width = max(1, min(jobs, Self.widest))
        while position < objective.batchCount {
            try Cancellation.check()
            var wave = Array(position..<min(position + width, objective.batchCount))
            // The sum of the first half is kept at its end.
            let middle = objective.batchCount / 2
            if position < middle { wave.removeAll { $0 >= middle } }
            try runBatches(wave, jobs: jobs)
            let members = wave.reduce(0) { $0 + objective.sampleCount(of: $1) }
            position += wave.count
            if position == middle, reference != nil { firstHalf = gradient.map { Float($0) } }
            executors.removeSubrange(min(executors.count, width)...)
            try afterWave(members)
        }
        try checkSkipped(of: objective.batchCount)
    }

    private func checkSkipped(of count: Int) throws {
        guard Double(skipped) <= Self.tolerance * Double(count) else {
            throw ZooError(
                .numeric,
                "loss or gradient are not finite in \(skipped) of \(count) batches; expected at most 1 %",
                hint: "look for NaN in the weights with 'zoo inspect', or lower --batch")
        }
    }

    private func runBatches(_ wave: [Int], jobs: Int) throws {
        let programs = try wave.map { try objective.program(of: $0) }
        for (slot, program) in programs.enumerated() {
            if slot == executors.count {
                executors.append(program.makeExecutor())
            } else if executors[slot].compiled !== program {
                executors[slot] = program.makeExecutor()
            }
        }
        let used = Array(executors.prefix(wave.count))
        let work = Wave(executors: used, batches: wave, objective: objective, weights: weights)
        let gradients = layout.entries.count
        let isFinite = try Parallel.map(count: wave.count, jobs: jobs) { try work.run($0, outputs: 1 + gradients) }
        for (slot, batch) in wave.enumerated() {
            guard isFinite[slot] else {
                skipped += 1
                continue
            }
            counted += 1
            samples += objective.sampleCount(of: batch)
            loss += Double(used[slot].output(0)[0])
            for (place, matrix) in layout.summed.enumerated() {
                let start = 1 + gradients + 2 * place
                add(used[slot], start, to: &inputs[place])
                add(used[slot], start + 1, to: &inputSquares[place])
                inputRows[place] += objective.inputRows(of: batch, matrix)
            }
        }
        // A network without one finite batch is told of at once, not after all of them.
        if counted == 0, skipped >= 8 { try checkSkipped(of: skipped) }
        try accumulate(used.indices.filter { isFinite[$0] }.map { used[$0] }, jobs: jobs)
    }

    /// Batches that run at the same time.
    private struct Wave: Sendable {
        var executors: [Executor<Float>]
        var batches: [Int]
        var objective: any CalibrationObjective
        var weights: ModelWeights

        /// Runs a batch and says whether its first outputs are finite.
        func run(_ slot: Int, outputs: Int) throws -> Bool {
            let executor = executors[slot], program = executor.compiled.program
            try executor.bind(parameters: weights.pointers(for: program))
            try objective.withInputs(of: batches[slot], program) { reals, indices in
                try executor.run(reals: reals, indices: indices)
            }
            for output in 0..<outputs {
                let values = executor.output(output)
                if let base = values.baseAddress, zoo_count_nonfinite(base, 0, values.count) > 0 { return false }
            }
            return true
        }
    }

    private func add(_ executor: Executor<Float>, _ output: Int, to sums: inout [Double]) {
        // Without sums over inputs the program has no such outputs.
        guard output < executor.compiled.program.outputs.count else { return }
        let values = executor.output(output)
        for place in sums.indices { sums[place] += Double(values[place]) }
    }

    /// Adds gradients and squares, split over threads by tensor.
    private func accumulate(_ executors: [Executor<Float>], jobs: Int) throws {
        let entries = layout.entries, reference = reference
        let matrices = Dictionary(
            uniqueKeysWithValues: layout.matrices.enumerated().map { ($0.element.name, $0.offset) })
        let isMatrix = entries.map { matrices[$0.name] != nil }
        let found = try gradient.withUnsafeMutableBufferPointer { gradient in
            try squares.withUnsafeMutableBufferPointer { squares in
                let sums = Sums(gradient: gradient.baseAddress, squares: squares.baseAddress)
                return try Parallel.map(count: entries.count, jobs: jobs) { place in
                    sums.add(executors, output: 1 + place, at: entries[place].range)
                    return isMatrix[place] ? Self.opposed(executors, 1 + place, reference, entries[place].range) : 0
                }
            }
        }
        for (entry, opposed) in zip(entries, found) {
            if let place = matrices[entry.name] { conflicts[place] += opposed }
        }
    }

    /// Memory that threads write in parts of their own.
    private struct Sums: @unchecked Sendable {
        var gradient: UnsafeMutablePointer<Double>?
        var squares: UnsafeMutablePointer<Double>?

        func add(_ executors: [Executor<Float>], output: Int, at range: Range<Int>) {
            guard let gradient, let squares else { return }
            let g = gradient + range.lowerBound, s = squares + range.lowerBound
            for executor in executors {
                guard let source = executor.output(output).baseAddress else { continue }
                for i in 0..<range.count {
                    let number = Double(source[i])
                    g[i] += number
                    s[i] += number * number
                }
            }
        }
    }

    /// How many batches' gradients point away from the reference.
    private static func opposed(
        _ executors: [Executor<Float>], _ output: Int, _ reference: [Float]?, _ range: Range<Int>
    ) -> Int {
        guard let reference else { return 0 }
        return reference.withUnsafeBufferPointer { other in
            guard let other = other.baseAddress else { return 0 }
            return executors.count { executor in
                executor.output(output).baseAddress.map {
                    zoo_inner(range.count, $0, other + range.lowerBound, nil) < 0
                }
                    ?? false
            }
        }
    }

    /// The means over the batches so far.
    ///
    /// - Throws: `numeric` when no batch counted.
    public func statistics() throws -> SideStatistics {
        guard counted > 0 else { throw ZooError(.numeric, "no batch has a finite loss and gradient") }
        let share = 1 / Double(counted)
        var result = SideStatistics(
            fisher: squares.map { Float($0 * share) }, gradient: gradient.map { Float($0 * share) },
            loss: loss * share, batches: counted, samples: samples, skippedBatches: skipped)
        for (place, matrix) in layout.summed.enumerated() where inputRows[place] > 0 {
            let rows = Double(inputRows[place])
            result.inputMeans[matrix.name] = inputs[place].map { Float($0 / rows) }
            result.inputSquares[matrix.name] = inputSquares[place].map { Float($0 / rows) }
        }
        guard reference != nil else { return result }
        for (place, matrix) in layout.matrices.enumerated() {
            result.conflicts[matrix.name] = Double(conflicts[place]) * share
            guard !firstHalf.isEmpty, let range = layout.entries.first(where: { $0.name == matrix.name })?.range else {
                continue
            }
            let first = range.map { Double(firstHalf[$0]) }
            let second = range.map { gradient[$0] - Double(firstHalf[$0]) }
            result.halves[matrix.name] = Agreement.cosine(first, second)
        }
        return result
    }

    // MARK: Going on after an interrupt

    /// The sums so far as tensors, and the counts.
    public func saved() -> (tensors: [(name: String, tensor: Tensor)], counts: JSONObject) {
        var tensors = [
            ("gradient", Tensor(gradient, shape: [layout.count])), ("squares", Tensor(squares, shape: [layout.count])),
        ]
        if !firstHalf.isEmpty { tensors.append(("first_half", Tensor(firstHalf, shape: [layout.count]))) }
        for (place, matrix) in layout.summed.enumerated() {
            tensors.append(("inputs/\(matrix.name)", Tensor(inputs[place], shape: [matrix.columns])))
            tensors.append(("input_squares/\(matrix.name)", Tensor(inputSquares[place], shape: [matrix.columns])))
        }
        func list(_ numbers: [Int]) -> JSONValue { .array(numbers.map { .int(Int64($0)) }) }
        let counts = JSONObject([
            ("position", .int(Int64(position))), ("counted", .int(Int64(counted))), ("samples", .int(Int64(samples))),
            ("skipped", .int(Int64(skipped))), ("loss", .double(loss)), ("input_rows", list(inputRows)),
            ("conflicts", list(conflicts)),
        ])
        return (tensors, counts)
    }

    /// Takes up what `saved` gave.
    ///
    /// - Throws: `mismatch` or `notFound` when it is of another pass.
    public func restore(_ source: any TensorSource, prefix: String, counts: JSONObject) throws {
        func read(_ name: String, _ count: Int) throws -> [Double] {
            let numbers = try source.tensor(named: prefix + name).doubles()
            guard numbers.count == count else {
                throw ZooError(
                    .mismatch, "the saved state has \(numbers.count) numbers in '\(name)', expected \(count)")
            }
            return numbers
        }
        let rows = counts["input_rows"]?.array?.compactMap(\.int) ?? []
        let opposed = counts["conflicts"]?.array?.compactMap(\.int) ?? []
        guard let position = counts["position"]?.int, let counted = counts["counted"]?.int,
            let samples = counts["samples"]?.int, let skipped = counts["skipped"]?.int,
            let loss = counts["loss"]?.double, rows.count == inputRows.count, opposed.count == conflicts.count,
            (0...objective.batchCount).contains(position)
        else { throw ZooError(.mismatch, "the saved state is of another pass") }
        gradient = try read("gradient", layout.count)
        squares = try read("squares", layout.count)
        if source.tensorInfos.contains(where: { $0.name == prefix + "first_half" }) {
            firstHalf = try read("first_half", layout.count).map { Float($0) }
        }
        for (place, matrix) in layout.summed.enumerated() {
            inputs[place] = try read("inputs/\(matrix.name)", matrix.columns)
            inputSquares[place] = try read("input_squares/\(matrix.name)", matrix.columns)
        }
        (self.position, self.counted, self.samples, self.skipped, self.loss) = (
            position, counted, samples, skipped, loss
        )
        (inputRows, conflicts) = (rows, opposed)
    }
}
