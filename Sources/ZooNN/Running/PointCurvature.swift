import Synchronization
import ZooAutodiff
import ZooBase

/// The curvature matrix of a model's mean loss at one point, by its products with directions.
///
/// Large networks keep what does not depend on the directions (activations and their gradients): each batch has an
/// executor of its own that has run once, and a product costs only the tangents, two thirds of the arithmetic. Batches
/// run side by side, and so do directions when there are more threads than batches. Small networks compute several
/// directions in one run instead. Which way is taken, and the order of all sums, depends on the network and the
/// samples alone.
public final class PointCurvature: Sendable {
    /// Which matrix.
    public enum Matrix: Sendable, Hashable {
        /// Second derivatives of the loss.
        case hessian
        /// Jᵀ H_loss J; for cross-entropy the Fisher matrix.
        case gaussNewton
    }

    /// Numbers of a direction.
    public var dimension: Int { sweep.layout.count }
    /// Whether vectors are so long that work on them alone is worth threads.
    public var isLarge: Bool { Self.isLarge(dimension) }
    /// Threads.
    public let jobs: Int
    private let sweep: ModelSweep
    private let base: WeightBlock
    private let matrix: Matrix
    private let point: [Double]
    private let prepared = Mutex<Prepared?>(nil)

    /// From how many parameters on a network is large.
    static func isLarge(_ parameters: Int) -> Bool { parameters >= 1 << 17 }
    /// Bytes that kept executors may take together.
    private static let keptBytes = 3 << 30

    init(_ sweep: ModelSweep, _ base: WeightBlock, _ matrix: Matrix, _ point: [Double], jobs: Int) {
        self.sweep = sweep
        self.base = base
        self.matrix = matrix
        self.point = point
        self.jobs = jobs
    }

    /// The weights at the point, and the executors that keep what they computed.
    private struct Prepared: Sendable {
        let weights: WeightBlock
        let kept: KeptRuns?
    }

    /// The products of several directions, in order.
    ///
    /// - Throws: `mismatch` when a direction has another length; `unsupported` when the network has no such derivative;
    ///   `interrupted`.
    public func products(along directions: [[Double]]) throws -> [[Double]] {
        let prepared = try self.prepared.withLock { known in
            if let known { return known }
            let made = try prepare()
            known = made
            return made
        }
        if let kept = prepared.kept { return try kept.products(along: directions, jobs: jobs) }
        let task = matrix == .hessian ? ModelSweep.hessian : ModelSweep.gaussNewton
        let item = try ModelSweep.Item(prepared.weights, directions, sweep.runner)
        return Array(try sweep.sums(item, task, jobs: jobs).vectors.dropFirst())
    }

    private func prepare() throws -> Prepared {
        let weights = try sweep.programs.weights(at: point, over: base)
        guard isLarge else { return Prepared(weights: weights, kept: nil) }
        let task = NetworkTask.keeping(matrix == .hessian ? .hessianProducts(1) : .gaussNewtonProducts(1))
        let compiled = try sweep.programs.pool(task).compiled
        let isKept = compiled.arenaBytes <= Self.keptBytes / sweep.runner.batches.count
        return Prepared(
            weights: weights, kept: isKept ? KeptRuns(sweep.runner, compiled, weights, most: Self.keptBytes) : nil)
    }
}

/// Executors that have run a batch each at one point, and take further directions there.
///
/// `@unchecked Sendable`: `lock` lets one call in at a time, and each of its threads has executors of its own.
private final class KeptRuns: @unchecked Sendable {
    /// An executor and whether it has run its batch.
    private final class Run {
        let executor: Executor<Float>
        var hasRun = false
        init(_ executor: Executor<Float>) { self.executor = executor }
    }

    /// A stretch of a tensor: work for one thread.
    private struct Piece {
        var output: Int
        var start: Int
        var range: Range<Int>
    }

    private let runner: BatchRunner
    private let compiled: CompiledProgram<Float>
    private let weights: WeightBlock
    private let mostCopies: Int
    private let pieces: [Piece]
    private let lock = Mutex(())
    /// Executors by copy and batch.
    private var copies: [[Run]] = []

    private static let pieceLength = 1 << 16

    init(_ runner: BatchRunner, _ compiled: CompiledProgram<Float>, _ weights: WeightBlock, most bytes: Int) {
        self.runner = runner
        self.compiled = compiled
        self.weights = weights
        mostCopies = max(1, bytes / max(1, compiled.arenaBytes * runner.batches.count))
        let entries = runner.programs.layout.entries
        pieces = entries.enumerated().flatMap { place, entry in
            stride(from: entry.range.lowerBound, to: entry.range.upperBound, by: Self.pieceLength).map { start in
                Piece(
                    output: 1 + entries.count + place, start: start - entry.range.lowerBound,
                    range: start..<min(start + Self.pieceLength, entry.range.upperBound))
            }
        }
    }

    func products(along directions: [[Double]], jobs: Int) throws -> [[Double]] {
        try lock.withLock { _ in
            let batches = runner.batches.count
            let together = max(1, min(directions.count, jobs / batches, mostCopies))
            var products: [[Double]] = []
            for start in stride(from: 0, to: directions.count, by: together) {
                let wave = directions[start..<min(start + together, directions.count)]
                while copies.count < wave.count {
                    copies.append((0..<batches).map { _ in Run(compiled.makeExecutor()) })
                }
                try run(wave, jobs)
                for copy in wave.indices { products.append(try sum(copies[copy - start], jobs)) }
            }
            return products
        }
    }

    private func run(_ wave: ArraySlice<[Double]>, _ jobs: Int) throws {
        let block = try runner.programs.blocks(of: wave, jobs: jobs)
        let entries = runner.programs.layout.entries.count, batches = runner.batches.count
        try Parallel.forEach(count: wave.count * batches, jobs: jobs) { place in
            let (copy, batch) = (place / batches, place % batches)
            let run = copies[copy][batch]
            let pointers = Array(block.pointers[copy * entries..<(copy + 1) * entries])
            if !run.hasRun { try run.executor.bind(parameters: weights.pointers) }
            try runner.run(run.executor, batch, pointers, again: run.hasRun)
            run.hasRun = true
        }
    }

    /// The product of the last run of each batch, added in the order of batches, as a mean over the samples.
    private func sum(_ runs: [Run], _ jobs: Int) throws -> [Double] {
        let count = runner.programs.layout.count, weight = runner.batches.totalWeight
        return try [Double](unsafeUninitializedCapacity: count) { target, filled in
            nonisolated(unsafe) let target = target
            nonisolated(unsafe) let runs = runs
            try Parallel.forEach(count: pieces.count, jobs: jobs) { place in
                let piece = pieces[place]
                let values = UnsafeMutableBufferPointer(rebasing: target[piece.range])
                for (number, run) in runs.enumerated() {
                    let part = UnsafeBufferPointer(rebasing: run.executor.output(piece.output)[piece.start...])
                    if number == 0 {
                        for index in values.indices { values[index] = Double(part[index]) }
                    } else {
                        for index in values.indices { values[index] += Double(part[index]) }
                    }
                }
                for index in values.indices { values[index] /= weight }
            }
            filled = count
        }
    }
}
