import ZooAutodiff
import ZooBase

/// Loss and derivative sums over samples, in Float64.
struct LossSums: Sendable {
    var loss = 0.0
    /// Gradient first, then products.
    var vectors: [[Double]] = []

    /// Adds sums over further samples.
    mutating func add(_ other: LossSums) {
        loss += other.loss
        if vectors.isEmpty { vectors = other.vectors; return }
        for place in vectors.indices {
            for index in vectors[place].indices { vectors[place][index] += other.vectors[place][index] }
        }
    }

    /// Divides everything.
    mutating func divide(by number: Double) {
        loss /= number
        for place in vectors.indices {
            for index in vectors[place].indices { vectors[place][index] /= number }
        }
    }
}

/// Runs the programs of a network over batches of samples.
struct BatchRunner: Sendable {
    let programs: NetworkPrograms
    let batches: SampleBatches

    /// Sums over some batches in their order.
    func sums(
        _ task: NetworkTask, weights: WeightBlock, directions: WeightBlock?, batches range: Range<Int>
    ) throws -> LossSums {
        let pool = try programs.pool(task)
        let entries = programs.layout.entries
        let vectors = entries.isEmpty ? 0 : (pool.compiled.program.outputs.count - 1) / entries.count
        var sums = LossSums(
            vectors: (0..<vectors).map { _ in [Double](repeating: 0, count: programs.layout.count) })
        try pool.withExecutor { executor in
            try executor.bind(parameters: weights.pointers)
            for batch in range {
                try Cancellation.check()
                try run(executor, task, batch, directions)
                for loss in losses(executor, batch) { sums.loss += loss }
                for vector in 0..<vectors {
                    sums.vectors[vector].withUnsafeMutableBufferPointer { target in
                        for (place, entry) in entries.enumerated() {
                            let values = executor.output(1 + vector * entries.count + place)
                            let start = entry.range.lowerBound
                            for index in values.indices { target[start + index] += Double(values[index]) }
                        }
                    }
                }
            }
        }
        return sums
    }

    /// Binds a batch's inputs and runs.
    func run(
        _ executor: Executor<Float>, _ task: NetworkTask, _ batch: Int, _ directions: WeightBlock? = nil
    ) throws {
        try run(executor, batch, directions?.pointers ?? [])
    }

    /// Binds a batch's inputs and runs; only what depends on directions when the batch has been run before.
    func run(
        _ executor: Executor<Float>, _ batch: Int, _ directions: [UnsafePointer<Float>], again: Bool = false
    ) throws {
        let program = executor.compiled.program
        try batches.withBatch(batch) { inputs in
            let reals = try program.inputs(.data).map { try inputs.real($0.name) } + directions
            let indices = try program.inputs(.indices).map { try inputs.integers($0.name) }
            if again {
                try executor.rerun(reals: reals, indices: indices)
            } else {
                try executor.run(reals: reals, indices: indices)
            }
        }
    }

    /// The losses of a batch's samples from the first output of a run.
    func losses(_ executor: Executor<Float>, _ batch: Int) -> [Double] {
        let range = batches.range(batch), values = executor.output(0)
        if let tokens = batches.tokens {
            let length = tokens.length
            return range.indices.map { sample in
                let start = (sample - range.lowerBound) * length
                return values[start..<start + length].reduce(0.0) { $0 + Double($1) }
            }
        }
        guard case .samples = programs.form, programs.loss.isCrossEntropy else {
            return range.indices.map { Double(values[$0 - range.lowerBound]) }
        }
        let classes = programs.classes
        return range.map { sample in
            let start = (sample - range.lowerBound) * classes
            let row = UnsafeBufferPointer(rebasing: values[start..<start + classes])
            return Evaluator.crossEntropy(
                row, label: Int(batches.samples.labels[sample]), best: Evaluator.argmax(row))
        }
    }

    // MARK: Work over models, groups of batches and directions

    /// Part of a model's work: a group of batches, some of its directions.
    struct Part: Sendable {
        var batches: Range<Int>
        var directions: Range<Int>
    }

    /// Directions that share a run.
    static let directionsPerRun = 4

    /// The parts of a model's work, the same whatever the number of threads; all directions of a group come together.
    func parts(directions: Int) -> [Part] {
        let groups = batches.groups(length: programs.layout.count * (1 + min(directions, Self.directionsPerRun)))
        let starts = directions == 0 ? [0] : Array(stride(from: 0, to: directions, by: Self.directionsPerRun))
        return groups.flatMap { group in
            starts.map { Part(batches: group, directions: $0..<min($0 + Self.directionsPerRun, directions)) }
        }
    }

    /// The sums of a part. The gradient comes with the first directions; further ones bring their products alone.
    func sums(
        _ part: Part, _ task: (Int) -> NetworkTask, weights: WeightBlock, directions: [[Double]]
    ) throws -> LossSums {
        guard !directions.isEmpty else {
            return try sums(task(0), weights: weights, directions: nil, batches: part.batches)
        }
        let block = try programs.blocks(of: directions[part.directions])
        return try sums(task(part.directions.count), weights: weights, directions: block, batches: part.batches)
    }

    /// All parts of a model added in order, as means over the samples; the parts are used up.
    func total(_ sums: inout [LossSums], of parts: [Part]) -> LossSums {
        var total = LossSums(), group = LossSums()
        for (place, part) in parts.enumerated() {
            // Taken out of the list, so that long vectors are changed in place and given back as soon as they are added.
            var sum = LossSums()
            swap(&sum, &sums[place])
            if part.directions.lowerBound == 0 {
                if place > 0 { total.add(group) }
                group = sum
            } else {
                group.vectors += sum.vectors.dropFirst()
            }
        }
        total.add(group)
        group = LossSums()
        total.divide(by: batches.totalWeight)
        return total
    }
}
