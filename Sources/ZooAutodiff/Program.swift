import ZooBase
import ZooTensor

/// A handle on an array of reals inside a program under construction: its number and its shape.
public struct Value: Sendable, Hashable {
    /// The number of the instruction that computes it.
    let id: Int
    /// The extents.
    public let shape: Shape
}

/// A handle on an array of integers inside a program: labels, token ids, arg-max positions. Stored as `Int32`.
public struct Indices: Sendable, Hashable {
    /// The number of the instruction that computes it.
    let id: Int
    /// The extents.
    public let shape: Shape
}

/// One step of a program. Instruction number *i* computes value number *i*; operands have smaller numbers.
struct Instruction: Sendable, Hashable {
    var operation: Operation
    var operands: [Int]
    var shape: Shape
    /// Zero, or which recomputation this is: equal instructions of different generations are kept apart.
    var generation = 0
    /// Whether the result is integers.
    var isIndex: Bool { operation.yieldsIndices }
}

/// What an input of a program stands for; decides when it is read.
public enum InputRole: String, Sendable, Hashable {
    /// Weights of the network. What depends on these alone is computed once per model, when they are bound.
    case parameter
    /// Samples, targets, per-sample weights, masks: real numbers that change with every run.
    case data
    /// Labels and token ids: `Int32` that change with every run.
    case indices
    /// A tangent direction, as long as a parameter; read at every run.
    case direction
}

/// One input of a program.
public struct ProgramInput: Sendable, Hashable {
    /// The name: for parameters the checkpoint's own.
    public let name: String
    /// What it stands for.
    public let role: InputRole
    /// The extents.
    public let shape: Shape
    let id: Int
}

/// One output of a program.
public struct ProgramOutput: Sendable, Hashable {
    /// The name.
    public let name: String
    /// The extents.
    public let shape: Shape
    let id: Int
}

/// A finished network computation: a flat array of operations over numbered buffers of fixed shapes.
///
/// A program is a value. It knows no element type and no memory: `compile` plans one arena for it and lowers each
/// operation to a kernel, for `Float` or for `Double`.
public struct Program: Sendable {
    /// The steps in order.
    let instructions: [Instruction]
    /// Arrays that were known when the program was built, by number.
    let constants: [[Double]]
    /// The inputs in the order in which they were declared.
    public let inputs: [ProgramInput]
    /// The outputs in the order in which they were asked for.
    public let outputs: [ProgramOutput]

    /// How many operations do arithmetic or move data (inputs, constants and reshapes cost nothing).
    public var operationCount: Int { instructions.count { !$0.operation.isFree } }

    /// The inputs of one role, in order.
    public func inputs(_ role: InputRole) -> [ProgramInput] { inputs.filter { $0.role == role } }

    /// One line per instruction, for reading: `%7 = matmul(%3, %5) [32, 10]`.
    public var listing: String {
        instructions.enumerated().map { index, instruction in
            let operands = instruction.operands.map { "%\($0)" }.joined(separator: ", ")
            return "%\(index) = \(instruction.operation)(\(operands)) \(instruction.shape)"
        }.joined(separator: "\n")
    }
}
