import ZooBase
import ZooTensor

extension Program {
    /// The program run for `count` samples at once: inputs named in `mapped` gain a first axis of that extent, and so
    /// does every output that depends on them. Others stay shared.
    ///
    /// Per-sample gradients are this, applied to the gradient program of a single sample:
    /// `try b.build([("g", gradient)]).mapped(["x", "y"], count: 64)`.
    /// - Throws: `unsupported` when an operation has no form over samples (a table of embeddings per sample).
    public func mapped(_ mapped: Set<String>, count: Int) throws -> Program {
        var mapping = Mapping(self, mapped, count)
        return try mapping.rewritten()
    }
}

/// The batching rules: how each primitive runs over one more axis in front.
private struct Mapping {
    let program: Program
    let names: Set<String>
    let count: Int
    let b = ProgramBuilder()
    /// For each old value the new one, and whether it has the new axis.
    var values: [(value: Value, isMapped: Bool)] = []

    init(_ program: Program, _ names: Set<String>, _ count: Int) {
        self.program = program
        self.names = names
        self.count = count
    }

    mutating func rewritten() throws -> Program {
        for instruction in program.instructions { values.append(try rewrite(instruction)) }
        return b.build(program.outputs.map { ($0.name, values[$0.id].value) })
    }

    private func rewrite(_ instruction: Instruction) throws -> (Value, Bool) {
        let operands = instruction.operands.map { values[$0] }
        b.generation = instruction.generation
        defer { b.generation = 0 }
        switch instruction.operation {
        case .input(let place, _):
            let input = program.inputs[place]
            let isMapped = names.contains(input.name)
            let shape = isMapped ? wide(input.shape) : input.shape
            return (
                b.value(b.redeclare(ProgramInput(name: input.name, role: input.role, shape: shape, id: 0))), isMapped
            )
        case .constant(let place): return (b.constant(program.constants[place], instruction.shape), false)
        default: break
        }
        guard operands.contains(where: \.isMapped) else {
            let number = b.emitNumber(instruction.operation, operands.map(\.value.id), instruction.shape)
            return (b.value(number), false)
        }
        return (try over(instruction, operands), true)
    }

    private func wide(_ shape: Shape) -> Shape { Shape([count] + shape.dimensions) }

    /// An operand with the new axis first and then extents of one up to a rank; shared operands as they are.
    private func aligned(_ operand: (value: Value, isMapped: Bool), rank: Int) throws -> Value {
        guard operand.isMapped else { return operand.value }
        let own = operand.value.shape.dimensions
        let ones = [Int](repeating: 1, count: max(0, rank - (own.count - 1)))
        return try b.reshape(operand.value, [count] + ones + own.dropFirst())
    }

    /// An operand with the new axis, repeated when it is shared.
    private func repeated(_ operand: (value: Value, isMapped: Bool)) throws -> Value {
        operand.isMapped ? operand.value : try b.broadcast(operand.value, to: wide(operand.value.shape))
    }

    private func over(_ instruction: Instruction, _ operands: [(value: Value, isMapped: Bool)]) throws -> Value {
        let shape = wide(instruction.shape)
        let first = operands[0].value
        func same(_ operation: Operation) throws -> Value {
            let numbers = try operands.map { try repeated($0).id }
            return b.value(b.emitNumber(operation, numbers, shape))
        }
        switch instruction.operation {
        case .unary(let function): return b.unary(function, first)
        case .binary(let function):
            let numbers = try operands.map { try aligned($0, rank: instruction.shape.rank).id }
            return b.value(b.emitNumber(.binary(function), numbers, shape))
        case .sum(let axes): return try b.sum(first, axes: axes.map { $0 + 1 }, keepingAxes: true)
        case .broadcast: return try b.broadcast(aligned(operands[0], rank: instruction.shape.rank), to: shape)
        case .reshape: return b.value(b.emitNumber(.reshape, [first.id], shape))
        case .transpose(let order): return try b.transpose(first, [0] + order.map { $0 + 1 })
        case .slice(let starts): return b.slice(first, starts: [0] + starts, shape)
        case .pad(let starts): return b.pad(first, starts: [0] + starts, shape)
        case .concatenate(let axis): return try same(.concatenate(axis + 1))
        case .softmax(let axis): return try same(.softmax(axis + 1))
        case .logSumExp(let axis): return try same(.logSumExp(axis + 1))
        case .argmax(let axis): return try same(.argmax(axis + 1))
        case .windowSum(let windows): return try same(.windowSum(windows.shifted))
        case .windowSpread(let windows): return try same(.windowSpread(windows.shifted))
        case .windowArgmax(let windows): return try same(.windowArgmax(windows.shifted))
        case .windowTake(let windows): return try same(.windowTake(windows.shifted))
        case .windowPut(let windows): return try same(.windowPut(windows.shifted))
        case .take(let axis) where operands[1].isMapped: return try same(.take(axis + 1))
        case .put(let axis) where operands[1].isMapped: return try same(.put(axis + 1))
        case .gatherRows where !operands[0].isMapped:
            return b.value(b.emitNumber(.gatherRows, operands.map(\.value.id), shape))
        case .agree where operands.allSatisfy(\.isMapped): return try same(.agree)
        case .matmul(let form): return try product(form, operands, instruction)
        case .convolution(let face, let form): return try convolution(face, form, operands, instruction)
        default:
            throw ZooError(
                .unsupported, "mapped: \(instruction.operation) has no form over \(count) samples",
                hint: "run the program for one sample at a time")
        }
    }

    private func product(
        _ form: MatmulForm, _ operands: [(value: Value, isMapped: Bool)], _ instruction: Instruction
    ) throws -> Value {
        let rank = zip(instruction.operands, operands).map { program.instructions[$0.0].shape.rank }.max() ?? 2
        let (a, c) = (try aligned(operands[0], rank: rank), try aligned(operands[1], rank: rank))
        let plain = MatmulForm(transposeA: form.transposeA, transposeB: form.transposeB)
        let left = matrixExtents(a.shape, form.transposeA), right = matrixExtents(c.shape, form.transposeB)
        if left.columns == 1 {
            // Products of columns and rows: element by element, which keeps samples in lanes.
            let column = try b.reshape(a, a.shape.batch.dimensions + [left.rows, 1])
            let row = try b.reshape(c, c.shape.batch.dimensions + [1, right.columns])
            let outer = try b.multiply(column, row)
            return form.sumsBatch ? try b.sum(outer, axes: Array(1..<(rank - 1))) : outer
        }
        let result = try b.matmul(a, c, plain)
        return form.sumsBatch ? try b.sum(result, axes: Array(1..<(rank - 1))) : result
    }

    /// Samples join the batch where the weights are shared, and become groups of channels where they are not.
    private func convolution(
        _ face: ConvolutionFace, _ form: ConvolutionForm, _ operands: [(value: Value, isMapped: Bool)],
        _ instruction: Instruction
    ) throws -> Value {
        let shape = instruction.shape
        if face != .weightGradient, !operands[1].isMapped {
            let images = operands[0].value
            let joined = try b.reshape(images, [-1] + images.shape.dimensions.dropFirst(2))
            let result = b.convolution(face, form, joined, operands[1].value)
            return try b.reshape(result, [count] + shape.dimensions)
        }
        var grouped = form
        grouped.groups *= count
        let a = try asGroups(repeated(operands[0]))
        if face == .weightGradient {
            let result = b.convolution(face, grouped, a, try asGroups(repeated(operands[1])))
            return try b.reshape(result, [count] + shape.dimensions)
        }
        let weights = try repeated(operands[1])
        let joined = try b.reshape(weights, [-1] + weights.shape.dimensions.dropFirst(2))
        let result = b.convolution(face, grouped, a, joined)
        let split = try b.reshape(result, [shape[0], count] + shape.dimensions.dropFirst())
        return try b.transpose(split, [1, 0, 2, 3, 4])
    }

    /// [samples, batch, channels, …] to [batch, samples · channels, …].
    private func asGroups(_ x: Value) throws -> Value {
        let turned = try b.transpose(x, [1, 0, 2, 3, 4])
        return try b.reshape(turned, [turned.shape[0], -1] + turned.shape.dimensions.dropFirst(3))
    }
}

extension Windows {
    /// The same windows where one more axis stands in front.
    fileprivate var shifted: Windows {
        var copy = self
        copy.axis += 1
        return copy
    }
}
