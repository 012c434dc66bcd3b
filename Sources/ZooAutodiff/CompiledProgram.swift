import ZooBase
import ZooTensor

/// A program with its memory planned and its operations lowered to kernels. Shared by all threads.
public final class CompiledProgram<Scalar: EngineScalar>: Sendable {
    /// The program as it was built.
    public let program: Program
    /// The memory that each executor takes for values, constants and scratch.
    public let arenaBytes: Int
    /// How many kernels run once per set of parameters, and how many each time.
    public let operationCounts: (perModel: Int, perRun: Int)

    /// Whether `Executor.rerun` can do what depends on directions alone.
    public let keepsPrimal: Bool

    let lowered: Program
    let plan: Plan
    let prologue: [Kernel], body: [Kernel]
    let scratchBytes: Int
    /// Whether a kernel calls the library of matrix products.
    let usesBLAS: Bool
    /// For each input of indices the number that they must stay below.
    let indexBounds: [Int: Int]

    init(
        _ program: Program, lowered: Program, scalarBytes: Int, clusters: Bool = false, keepsPrimal: Bool = false,
        lower: (Site) -> Lowered
    ) {
        self.program = program
        self.lowered = lowered
        self.keepsPrimal = keepsPrimal
        let plan = Plan(lowered, scalarBytes: scalarBytes, clusters: clusters, keepsPrimal: keepsPrimal)
        self.plan = plan
        var scratch = 0
        var usesBLAS = false
        func kernel(_ step: [Int]) -> Kernel {
            let result: Lowered
            if let cluster = RowCluster.grid(lowered, step) {
                result = cluster.lower(lowered, step, plan, lower)
            } else {
                let id = step[0], instruction = lowered.instructions[id]
                result = lower(
                    Site(
                        operation: instruction.operation, operands: instruction.operands.map { plan.buffers[$0] },
                        operandShapes: instruction.operands.map { lowered.instructions[$0].shape },
                        output: id, shape: instruction.shape))
            }
            scratch = max(scratch, result.scratchBytes)
            usesBLAS = usesBLAS || result.usesBLAS
            return result.kernel
        }
        prologue = plan.prologue.map { kernel([$0]) }
        body = plan.steps.map { kernel($0) }
        scratchBytes = scratch
        self.usesBLAS = usesBLAS
        arenaBytes = plan.arenaBytes + scratch
        operationCounts = (prologue.count, body.count)
        indexBounds = program.indexBounds
    }

    /// The operations as they run, one per line, after layout and fusion.
    public var listing: String { lowered.listing }

    /// An executor with an arena of its own, for one thread at a time.
    public func makeExecutor() -> Executor<Scalar> { Executor(self) }
}

extension Program {
    /// Plans and lowers the program for Float32: samples in lanes where that suits it, fast kernels, fused operations.
    ///
    /// Lanes hold 16 samples: give convolutional networks and perceptrons batches of whole groups, and fill up the last
    /// one with samples of weight zero (see `average`). Other batch sizes run by columns, several times slower.
    ///
    /// - Parameter keepingPrimal: what does not depend on directions stays in the arena, so that `Executor.rerun` takes
    ///   further directions at the same weights and samples without computing it again. The arena is larger.
    public func compiled(keepingPrimal: Bool = false) -> CompiledProgram<Float> {
        CompiledProgram(
            self, lowered: LaneLayout.apply(to: self), scalarBytes: 4, clusters: true, keepsPrimal: keepingPrimal
        ) {
            Float.special($0) ?? Kernels<Float>.lower($0)
        }
    }

    /// Plans and lowers the program for Float64 with the plain kernels: the reference.
    public func compiledReference(keepingPrimal: Bool = false) -> CompiledProgram<Double> {
        CompiledProgram(self, lowered: self, scalarBytes: 8, keepsPrimal: keepingPrimal) { Kernels<Double>.lower($0) }
    }

    /// For each input of integers (by its place) the smallest extent that it indexes.
    var indexBounds: [Int: Int] {
        var sources: [Int: Int] = [:]
        var bounds: [Int: Int] = [:]
        for (id, instruction) in instructions.enumerated() {
            switch instruction.operation {
            case .input(let place, isIndex: true): sources[id] = place
            case .reshape: sources[id] = sources[instruction.operands[0]]
            case .take, .put, .gatherRows, .scatterRows:
                guard let place = sources[instruction.operands[1]] else { continue }
                let narrow = instructions[instruction.operands[0]].shape
                let extent =
                    switch instruction.operation {
                    case .take(let axis): narrow[axis]
                    case .put(let axis): instruction.shape[axis]
                    case .gatherRows: narrow[0]
                    default: instruction.shape[0]
                    }
                bounds[place] = min(bounds[place] ?? .max, extent)
            default: continue
            }
        }
        return bounds
    }
}
