import ZooBase
import ZooTensor

/// Executors of one program that run parts of a batch with the same weights.
///
/// What depends on weights alone (they are packed for the kernels) is computed once, in the first member's arena, and
/// read by all: a network is not packed once per thread.
public final class ExecutorTeam<Scalar: EngineScalar>: Sendable {
    /// The program that all run.
    public let compiled: CompiledProgram<Scalar>
    /// The executors. Each may be used by one thread at a time; call `bind(parameters:jobs:)` of the team only.
    public let members: [Executor<Scalar>]
    /// Operations of the prologue, those together that read each other's results.
    private let groups: [[Int]]

    /// Makes executors. Precondition: one at least.
    public init(_ compiled: CompiledProgram<Scalar>, count: Int) {
        precondition(count >= 1)
        self.compiled = compiled
        members = (0..<count).map { _ in compiled.makeExecutor() }
        for member in members.dropFirst() { member.share(settledBy: members[0]) }
        groups = Self.groups(compiled)
    }

    /// Binds weights for all members; nobody may be running.
    ///
    /// - Throws: `mismatch` when the number of pointers is not the number of parameters; `unsupported` when the program
    ///   needs OpenBLAS and it is not installed; `interrupted`.
    public func bind(parameters pointers: [UnsafePointer<Scalar>], jobs: Int) throws {
        for member in members { try member.point(parameters: pointers) }
        let workers = max(1, min(jobs, members.count, groups.count))
        try Parallel.forEach(count: workers, jobs: workers) { worker in
            // Results go to the first member's arena; scratch memory is each worker's own.
            for place in stride(from: worker, to: groups.count, by: workers) {
                for kernel in groups[place] { members[0].settle(kernel, scratchOf: members[worker]) }
            }
        }
    }

    private static func groups(_ compiled: CompiledProgram<Scalar>) -> [[Int]] {
        var groupOf: [Int: Int] = [:], groups: [[Int]] = []
        for (kernel, id) in compiled.plan.prologue.enumerated() {
            let read = compiled.lowered.instructions[id].operands.compactMap { groupOf[compiled.plan.buffers[$0]] }
            let target = read.min() ?? groups.count
            if target == groups.count { groups.append([]) }
            for other in Set(read) where other != target {
                groups[target] = (groups[target] + groups[other]).sorted()
                groups[other] = []
                for (key, value) in groupOf where value == other { groupOf[key] = target }
            }
            groups[target].append(kernel)
            groupOf[id] = target
        }
        return groups.filter { !$0.isEmpty }
    }
}

extension Executor {
    /// Reads what depends on weights alone where another executor of the program has it.
    func share(settledBy other: Executor) {
        for (id, isSettled) in compiled.lowered.settled.enumerated() where isSettled {
            if case .input = compiled.lowered.instructions[id].operation { continue }
            table[id] = other.table[id]
        }
    }

    /// Runs one operation of the prologue.
    func settle(_ kernel: Int, scratchOf other: Executor) { compiled.prologue[kernel](table, other.scratch) }
}

extension Program {
    /// Products of two numbers that matrix products and convolutions take in one run: what a run costs, nearly.
    public var multiplicationCount: Int {
        instructions.reduce(0) { total, instruction in
            let shapes = instruction.operands.map { instructions[$0].shape }
            switch instruction.operation {
            case .matmul(let form):
                let batch = form.sumsBatch ? shapes[0].batch.elementCount : 1
                let depth = matrixExtents(shapes[0], form.transposeA).columns
                return total + instruction.shape.elementCount * batch * depth
            case .convolution(let face, _):
                let map = face == .output ? instruction.shape : shapes[face == .inputGradient ? 0 : 1]
                let weight = face == .weightGradient ? instruction.shape : shapes[1]
                return total + map.elementCount * (weight.elementCount / max(1, weight[0]))
            default: return total
            }
        }
    }
}
