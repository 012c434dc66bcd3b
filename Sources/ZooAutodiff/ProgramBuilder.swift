import ZooBase
import ZooTensor

/// Writes programs: declares inputs, emits operations, takes derivatives, and hands out the finished `Program`.
///
/// Shapes are checked when an operation is emitted; a misfit throws `mismatch` with both shapes. Equal operations on
/// equal operands are emitted once, constants are folded, and what no output needs is dropped by `build`, so callers
/// (and the derivative rules) may write things down plainly.
///
/// ## Topics
/// - Inputs: `parameter`, `data`, `indices`, `direction`, `constant`, `fill`
/// - Arithmetic: `add`, `subtract`, `multiply`, `divide`, `exp`, `tanh`, `gelu`, …
/// - Shapes: `reshape`, `transpose`, `slice`, `pad`, `concatenate`, `broadcast`
/// - Sums: `sum`, `mean`, `maximum(of:axis:)`, `softmax`, `logSumExp`
/// - Networks: `linear`, `conv2d`, `batchNorm`, `layerNorm`, `attention`, `maxPool`, …
/// - Losses: `crossEntropy`, `meanSquaredError`, `infoNCE`, …
/// - Derivatives: `gradient`, `tangents`, `hessianVectorProduct`; `checkpoints` for long networks; per-sample
///   gradients are `Program.mapped` over the gradient of one sample
public final class ProgramBuilder {
    private(set) var instructions: [Instruction] = []
    private(set) var inputs: [ProgramInput] = []
    private(set) var constants: [[Double]] = []
    private var known: [Instruction: Int] = [:]
    /// The generation of what is emitted now; see `Instruction`.
    var generation = 0

    /// An empty program.
    public init() {}

    // MARK: Inputs

    /// Weights of the network, under the checkpoint's own name.
    public func parameter(_ name: String, _ shape: Shape) -> Value { value(input(name, .parameter, shape)) }

    /// Reals that change with every run.
    public func data(_ name: String, _ shape: Shape) -> Value { value(input(name, .data, shape)) }

    /// A tangent direction.
    public func direction(_ name: String, _ shape: Shape) -> Value { value(input(name, .direction, shape)) }

    /// Labels or token ids, `Int32` that change with every run. They are checked against the extents they index
    /// when a run binds them.
    public func indices(_ name: String, _ shape: Shape) -> Indices {
        Indices(id: input(name, .indices, shape), shape: shape)
    }

    /// An array known now: a mask, a table of angles. Precondition: as many values as the shape has elements.
    public func constant(_ values: [Double], _ shape: Shape) -> Value {
        precondition(values.count == shape.elementCount)
        if let first = values.first, values.allSatisfy({ $0 == first }) { return fill(first, shape) }
        let place = constants.firstIndex(of: values) ?? constants.count
        if place == constants.count { constants.append(values) }
        return emit(.constant(place), [], shape)
    }

    /// One number everywhere.
    public func fill(_ number: Double, _ shape: Shape = []) -> Value { emit(.fill(number), [], shape) }

    private func input(_ name: String, _ role: InputRole, _ shape: Shape) -> Int {
        let id = append(
            Instruction(
                operation: .input(inputs.count, isIndex: role == .indices), operands: [], shape: shape))
        inputs.append(ProgramInput(name: name, role: role, shape: shape, id: id))
        return id
    }

    // MARK: Emission

    /// Emits an operation whose shapes have been checked; an equal one emitted before is returned instead.
    func emit(_ operation: Operation, _ operands: [Int], _ shape: Shape) -> Value {
        value(append(Instruction(operation: operation, operands: operands, shape: shape)))
    }

    /// `emit` for operations that yield integers.
    func emitIndices(_ operation: Operation, _ operands: [Int], _ shape: Shape) -> Indices {
        Indices(id: append(Instruction(operation: operation, operands: operands, shape: shape)), shape: shape)
    }

    /// `emit` by numbers, for passes that rewrite finished programs: reshapes that change nothing vanish.
    func emitNumber(_ operation: Operation, _ operands: [Int], _ shape: Shape) -> Int {
        if case .reshape = operation {
            if instructions[operands[0]].shape == shape { return operands[0] }
            switch instructions[operands[0]].operation {
            case .reshape: return emitNumber(.reshape, instructions[operands[0]].operands, shape)
            case .fill(let number): return emitNumber(.fill(number), [], shape)
            default: break
            }
        }
        return append(Instruction(operation: operation, operands: operands, shape: shape))
    }

    /// An input of another program declared again; returns its number.
    func redeclare(_ original: ProgramInput) -> Int { input(original.name, original.role, original.shape) }

    private func append(_ instruction: Instruction) -> Int {
        var instruction = instruction
        instruction.generation = generation
        if let id = known[instruction] { return id }
        instructions.append(instruction)
        known[instruction] = instructions.count - 1
        return instructions.count - 1
    }

    /// The handle of a value by its number.
    func value(_ id: Int) -> Value { Value(id: id, shape: instructions[id].shape) }

    /// The number that a value holds everywhere, when it is known now.
    func fillNumber(_ value: Value) -> Double? {
        if case .fill(let number) = instructions[value.id].operation { number } else { nil }
    }

    // MARK: The result

    /// The program that computes the named values, without whatever they don't need.
    ///
    /// All declared inputs stay, so callers may bind them in order whether or not they matter.
    public func build(_ outputs: [(name: String, value: Value)]) -> Program {
        var needed = [Bool](repeating: false, count: instructions.count)
        for output in outputs { needed[output.value.id] = true }
        for input in inputs { needed[input.id] = true }
        for id in instructions.indices.reversed() where needed[id] {
            for operand in instructions[id].operands { needed[operand] = true }
        }
        var numbers = [Int](repeating: -1, count: instructions.count)
        var kept: [Instruction] = []
        for id in instructions.indices where needed[id] {
            var instruction = instructions[id]
            instruction.operands = instruction.operands.map { numbers[$0] }
            numbers[id] = kept.count
            kept.append(instruction)
        }
        return Program(
            instructions: kept, constants: constants,
            inputs: inputs.map { ProgramInput(name: $0.name, role: $0.role, shape: $0.shape, id: numbers[$0.id]) },
            outputs: outputs.map {
                ProgramOutput(name: $0.name, shape: $0.value.shape, id: numbers[$0.value.id])
            })
    }
}

/// The error of operands that do not fit an operation.
func misfit(_ operation: String, _ what: String, hint: String = "") -> ZooError {
    ZooError(.mismatch, "\(operation): \(what)", hint: hint)
}
