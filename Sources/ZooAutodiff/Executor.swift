import ZooBase
import ZooTensor

/// The Float64 executor of plain kernels: the oracle.
public typealias ReferenceExecutor = Executor<Double>

/// Runs a compiled program in an arena of its own: nothing is allocated while it runs.
///
/// Bind a model's weights, then run as many batches as wanted; thousands of models share one program and one executor.
/// Results stay in the arena until the next run.
///
/// `@unchecked Sendable`: an executor may move between threads but must be used by one at a time; it owns its memory
/// and reads the caller's only inside `bind` and `run`.
public final class Executor<Scalar: EngineScalar>: @unchecked Sendable {
    /// The program that this runs.
    public let compiled: CompiledProgram<Scalar>
    private let arena: UnsafeMutableRawPointer
    let table: UnsafeMutablePointer<UnsafeMutableRawPointer>
    let scratch: UnsafeMutableRawPointer
    private let parameters: [Int], reals: [Int], indices: [(id: Int, count: Int, bound: Int?)]
    private let aliases: [(id: Int, buffer: Int)]
    private var isBound = false
    /// Whether a run has filled the arena since the weights were bound.
    private var hasRun = false

    init(_ compiled: CompiledProgram<Scalar>) {
        self.compiled = compiled
        let program = compiled.lowered, plan = compiled.plan
        let planned = plan.arenaBytes
        arena = .allocate(byteCount: max(planned + compiled.scratchBytes, 1), alignment: Plan.alignment)
        scratch = arena + planned
        table = .allocate(capacity: max(1, program.instructions.count))
        table.initialize(repeating: arena, count: max(1, program.instructions.count))
        for (id, place) in plan.places.enumerated() {
            if case .arena(let offset) = place { table[id] = arena + offset }
        }
        aliases = plan.places.indices.compactMap { id in
            if case .alias(let buffer) = plan.places[id] { (id, buffer) } else { nil }
        }
        let inputs = program.inputs
        parameters = inputs.filter { $0.role == .parameter }.map(\.id)
        reals = inputs.filter { $0.role == .data || $0.role == .direction }.map(\.id)
        indices = inputs.enumerated().filter { $0.element.role == .indices }.map {
            ($0.element.id, $0.element.shape.elementCount, compiled.indexBounds[$0.offset])
        }
        fillConstants()
    }

    deinit {
        table.deallocate()
        arena.deallocate()
    }

    private func fillConstants() {
        let program = compiled.lowered
        for (id, instruction) in program.instructions.enumerated() {
            let target = table[id].assumingMemoryBound(to: Scalar.self)
            switch instruction.operation {
            case .fill(let number):
                target.initialize(repeating: Scalar(number), count: instruction.shape.elementCount)
            case .constant(let place):
                for (index, number) in program.constants[place].enumerated() { target[index] = Scalar(number) }
            default: continue
            }
        }
        for (id, buffer) in aliases { table[id] = table[buffer] }
    }

    /// Binds weights in the order of the program's parameters and computes what depends on them alone.
    ///
    /// The memory must stay valid and unchanged until the last run with it; it is only read.
    /// - Throws: `mismatch` when the number of pointers is not the number of parameters; `unsupported` when the program
    ///   needs OpenBLAS and it is not installed.
    public func bind(parameters pointers: [UnsafePointer<Scalar>]) throws {
        try point(parameters: pointers)
        for kernel in compiled.prologue { kernel(table, scratch) }
    }

    /// Binds weights without computing what depends on them.
    func point(parameters pointers: [UnsafePointer<Scalar>]) throws {
        if compiled.usesBLAS { try BLASLibrary.load() }
        guard pointers.count == parameters.count else {
            throw misfit("bind", "\(pointers.count) arrays for \(parameters.count) parameters")
        }
        for (id, pointer) in zip(parameters, pointers) { table[id] = UnsafeMutableRawPointer(mutating: pointer) }
        isBound = true
        hasRun = false
    }

    /// Runs the program on one batch: `reals` are the data and direction inputs in order, `indices` the integers.
    ///
    /// - Throws: `usage` when no parameters are bound; `mismatch` when a number of pointers is wrong or an index lies
    ///   outside what it indexes.
    public func run(reals pointers: [UnsafePointer<Scalar>] = [], indices integers: [UnsafePointer<Int32>] = []) throws
    {
        guard isBound || parameters.isEmpty else { throw ZooError(.usage, "run: no parameters are bound") }
        if !isBound { try bind(parameters: []) }
        try set(pointers, integers)
        for kernel in compiled.body { kernel(table, scratch) }
        hasRun = true
    }

    /// Runs only what depends on no direction; `rerun` then does the rest, as often as there are directions. What the
    /// directions are to be may follow from the outputs of this part.
    ///
    /// - Throws: `usage` when the program was not compiled to keep this part; what `run` throws.
    public func runPrimal(
        reals pointers: [UnsafePointer<Scalar>] = [], indices integers: [UnsafePointer<Int32>] = []
    ) throws {
        guard compiled.keepsPrimal else { throw ZooError(.usage, "runPrimal: the program keeps nothing") }
        guard isBound || parameters.isEmpty else { throw ZooError(.usage, "run: no parameters are bound") }
        if !isBound { try bind(parameters: []) }
        try set(pointers, integers)
        for kernel in compiled.body[..<compiled.plan.primalSteps] { kernel(table, scratch) }
        hasRun = true
    }

    /// Runs once more what depends on directions, on the samples of the last run and with the same weights: the arrays
    /// must hold the same numbers as then, but for those of the directions.
    ///
    /// - Throws: `usage` when the program was not compiled to keep the rest, or nothing has run since the weights were
    ///   bound; what `run` throws.
    public func rerun(
        reals pointers: [UnsafePointer<Scalar>] = [], indices integers: [UnsafePointer<Int32>] = []
    ) throws {
        guard compiled.keepsPrimal, hasRun else {
            throw ZooError(
                .usage, compiled.keepsPrimal ? "rerun: nothing has run yet" : "rerun: the program keeps nothing")
        }
        try set(pointers, integers)
        for kernel in compiled.body[compiled.plan.primalSteps...] { kernel(table, scratch) }
    }

    private func set(_ pointers: [UnsafePointer<Scalar>], _ integers: [UnsafePointer<Int32>]) throws {
        guard pointers.count == reals.count, integers.count == indices.count else {
            throw misfit(
                "run",
                "\(pointers.count) real and \(integers.count) integer arrays; the program reads "
                    + "\(reals.count) and \(indices.count)")
        }
        for (id, pointer) in zip(reals, pointers) { table[id] = UnsafeMutableRawPointer(mutating: pointer) }
        for (input, pointer) in zip(indices, integers) {
            if let bound = input.bound { try check(pointer, input.count, below: bound) }
            table[input.id] = UnsafeMutableRawPointer(mutating: pointer)
        }
    }

    private func check(_ pointer: UnsafePointer<Int32>, _ count: Int, below bound: Int) throws {
        for place in 0..<count where pointer[place] < 0 || Int(pointer[place]) >= bound {
            throw ZooError(
                .mismatch, "label or index \(pointer[place]) at position \(place); expected 0 to \(bound - 1)")
        }
    }

    /// The values of an output, valid until the next run.
    public func output(_ place: Int) -> UnsafeBufferPointer<Scalar> {
        let output = compiled.lowered.outputs[place]
        let start = table[compiled.plan.buffers[output.id]].assumingMemoryBound(to: Scalar.self)
        return UnsafeBufferPointer(start: start, count: output.shape.elementCount)
    }

    /// Runs every operation once more by itself, on the inputs of the last run, and lists the slowest first.
    ///
    /// - Precondition: the inputs of the last run are still valid.
    public func profile(rows: Int = 40) -> String {
        let clock = ContinuousClock()
        let times = zip(compiled.plan.steps, compiled.body).map { step, kernel in
            (step, clock.measure { kernel(table, scratch) })
        }
        let total = times.map(\.1).reduce(.zero, +)
        return times.sorted { $0.1 > $1.1 }.prefix(rows).map { step, time in
            let instruction = compiled.lowered.instructions[step[0]]
            let shapes = instruction.operands.map { compiled.lowered.instructions[$0].shape.description }
            let others = step.count > 1 ? " and \(step.count - 1) more on the same rows" : ""
            return "\(time) \(instruction.operation)(\(shapes.joined(separator: ", "))) \(instruction.shape)\(others)"
        }.joined(separator: "\n") + "\n\(total) in all"
    }

    /// Binds and runs with arrays by name, and returns all outputs in order: for tests and small work.
    ///
    /// - Throws: `notFound` when an input is missing, `mismatch` when its size is wrong.
    public func evaluate(_ arrays: [String: [Scalar]], indices integers: [String: [Int32]] = [:]) throws -> [[Scalar]] {
        func pointers<T>(_ roles: [InputRole], _ values: [String: [T]]) throws -> [UnsafeMutablePointer<T>] {
            try compiled.lowered.inputs.filter { roles.contains($0.role) }.map { input in
                guard let array = values[input.name] else {
                    throw ZooError(.notFound, "no values for input '\(input.name)' \(input.shape)")
                }
                guard array.count == input.shape.elementCount else {
                    throw misfit(
                        "input '\(input.name)'", "\(array.count) values for shape \(input.shape)")
                }
                let copy = UnsafeMutablePointer<T>.allocate(capacity: max(1, array.count))
                copy.initialize(from: array, count: array.count)
                return copy
            }
        }
        let weights = try pointers([.parameter], arrays)
        defer { for pointer in weights { pointer.deallocate() } }
        let data = try pointers([.data, .direction], arrays)
        defer { for pointer in data { pointer.deallocate() } }
        let labels = try pointers([.indices], integers)
        defer { for pointer in labels { pointer.deallocate() } }
        // The weights are gone when this returns: the next run must bind its own.
        defer { isBound = false }
        try bind(parameters: weights.map { UnsafePointer($0) })
        try run(reals: data.map { UnsafePointer($0) }, indices: labels.map { UnsafePointer($0) })
        return compiled.lowered.outputs.indices.map { Array(output($0)) }
    }
}
