import CZooKernels
import ZooTensor

/// Rewrites a program so that samples lie in lanes: a value [batch, …] becomes [batch / 16, …, 16], and every operation
/// is vector code whatever the size of the image. Convolutional networks and perceptrons gain most of their speed here.
///
/// Weights and results keep their rows; what crosses over is converted once. Shapes say it all: the rewritten program
/// is an ordinary one over the new shapes, with a few fused operations.
struct LaneLayout {
    private let program: Program
    /// The number of samples, −1 when nothing goes into lanes: no extent is equal to it.
    let batch: Int
    let b = ProgramBuilder()
    /// For each old value its number in the new program, as rows and as lanes, where it exists in that form.
    private(set) var asRows: [Int?], asLanes: [Int?]
    let uses: [Int]
    /// Whether a value depends on parameters alone.
    let isSettled: [Bool]

    static let lanes = Int(ZOO_LANES)

    /// The program in lanes and fused; only fused, in rows, when lanes do not suit it: no whole groups of samples, or
    /// it mixes samples' axes freely (attention, embeddings).
    static func apply(to program: Program) -> Program {
        var layout = LaneLayout(program, program.laneBatch ?? -1)
        return layout.rewritten()
    }

    private init(_ program: Program, _ batch: Int) {
        self.program = program
        self.batch = batch
        asRows = Array(repeating: nil, count: program.instructions.count)
        asLanes = asRows
        var uses = [Int](repeating: 0, count: program.instructions.count)
        for instruction in program.instructions { for operand in instruction.operands { uses[operand] += 1 } }
        for output in program.outputs { uses[output.id] += 1 }
        self.uses = uses
        isSettled = program.settled
    }

    private mutating func rewritten() -> Program {
        for id in program.instructions.indices {
            b.generation = old(id).generation
            if let lanes = inLanes(id) {
                asLanes[id] = lanes
            } else if asRows[id] == nil {
                asRows[id] = fusedRows(id) ?? inRows(id)
            }
        }
        b.generation = 0
        var outputs: [(name: String, value: Value)] = []
        for output in program.outputs {
            outputs.append((output.name, Value(id: rows(output.id), shape: output.shape)))
        }
        return b.build(outputs)
    }

    // MARK: Forms of a value

    func old(_ id: Int) -> Instruction { program.instructions[id] }

    func laneShape(_ shape: Shape) -> Shape {
        Shape([shape[0] / LaneLayout.lanes] + shape.dimensions.dropFirst() + [LaneLayout.lanes])
    }

    func emit(_ operation: Operation, _ operands: [Int], _ shape: Shape) -> Int {
        b.emitNumber(operation, operands, shape)
    }

    mutating func rows(_ id: Int) -> Int {
        if let number = asRows[id] { return number }
        let shape = old(id).shape
        let number = asLanes[id].map { crossed($0, shape, to: shape, .fromLanes) } ?? 0
        asRows[id] = number
        return number
    }

    mutating func lanes(_ id: Int) -> Int {
        if let number = asLanes[id] { return number }
        let shape = old(id).shape
        let number =
            if case .fill = old(id).operation { emit(old(id).operation, [], laneShape(shape)) } else {
                crossed(rows(id), shape, to: laneShape(shape), .toLanes)
            }
        asLanes[id] = number
        return number
    }

    /// A change of layout; with one number per sample both layouts are the same.
    private func crossed(_ number: Int, _ shape: Shape, to target: Shape, _ direction: Fused) -> Int {
        let isFree = shape.elementCount == shape[0]
        return emit(isFree ? .reshape : .fused(direction), [number], target)
    }

    /// Whether a value has a number or more per sample: it lies in lanes already or is an input that should.
    func isSampled(_ id: Int) -> Bool {
        let instruction = old(id)
        guard instruction.shape.rank > 0, instruction.shape[0] == batch else { return false }
        if asLanes[id] != nil { return true }
        guard case .input(let place, _) = instruction.operation else { return false }
        return program.inputs[place].role == .data || program.inputs[place].role == .indices
    }

    /// A value per channel (or position) as it is repeated over lanes: a trailing extent of one is added.
    private mutating func repeated(_ id: Int) -> Int {
        emit(.reshape, [rows(id)], Shape(old(id).shape.dimensions + [1]))
    }

    private mutating func inRows(_ id: Int) -> Int {
        let instruction = old(id)
        switch instruction.operation {
        case .input(let place, _): return b.redeclare(program.inputs[place])
        case .constant(let place): return b.constant(program.constants[place], instruction.shape).id
        default: return emit(instruction.operation, instruction.operands.map { rows($0) }, instruction.shape)
        }
    }

    // MARK: Operations in lanes

    /// The instruction emitted over lanes, or nil where rows are the place for it.
    private mutating func inLanes(_ id: Int) -> Int? {
        let instruction = old(id)
        let operands = instruction.operands
        switch instruction.operation {
        case .convolution(let face, let form): return convolution(face, form, id)
        case .matmul(let form): return matmul(form, id)
        case .binary: return fusedAffine(id) ?? binary(id)
        case .unary(.relu):
            // What no lane operation makes (odd batches, weights) is an ordinary function below.
            if let clamped = fusedClamp(id) { return clamped }
        case .broadcast: return broadcast(id)
        case .agree where operands.contains(where: { asLanes[$0] != nil }):
            return emit(.agree, operands.map { lanes($0) }, laneShape(instruction.shape))
        case .concatenate(let axis) where axis > 0 && operands.contains(where: { asLanes[$0] != nil }):
            return emit(instruction.operation, operands.map { lanes($0) }, laneShape(instruction.shape))
        default: break
        }
        guard let first = operands.first, operands.contains(where: { isSampled($0) }) else { return nil }
        switch instruction.operation {
        case .sum(let axes) where axes.contains(0):
            let total = channelTotal(id) ?? laneTotal(axes, first)
            asRows[id] = emit(.reshape, [total], instruction.shape)
            return nil
        case .reshape:
            return instruction.shape.rank > 0 && instruction.shape[0] == batch ? simple(id) : nil
        case .transpose(let order) where order[0] == 0:
            return emit(.transpose(order + [order.count]), [lanes(first)], laneShape(instruction.shape))
        case .slice(let starts) where instruction.shape[0] == batch:
            return emit(.slice(starts + [0]), [lanes(first)], laneShape(instruction.shape))
        case .pad(let starts) where instruction.shape[0] == batch:
            return emit(.pad(starts + [0]), [lanes(first)], laneShape(instruction.shape))
        case .unary, .sum: return simple(id)
        case .windowTake(let windows) where isPlainMaximum(id, windows):
            return emit(.fused(.maxPool(windows)), [lanes(first)], laneShape(instruction.shape))
        case .windowSum(let windows), .windowSpread(let windows), .windowArgmax(let windows), .windowTake(let windows),
            .windowPut(let windows):
            return windows.axis > 0 ? simple(id) : nil
        case .softmax(let axis), .logSumExp(let axis), .argmax(let axis), .take(let axis), .put(let axis):
            return axis > 0 ? simple(id) : nil
        default: return nil
        }
    }

    /// The same operation with all operands in lanes: axes after the first keep their numbers.
    private mutating func simple(_ id: Int) -> Int {
        emit(old(id).operation, old(id).operands.map { lanes($0) }, laneShape(old(id).shape))
    }

    private mutating func binary(_ id: Int) -> Int? {
        let instruction = old(id)
        guard instruction.operands.contains(where: { isSampled($0) }), instruction.shape[0] == batch else { return nil }
        var numbers: [Int] = []
        for operand in instruction.operands {
            let shape = old(operand).shape
            if shape.rank == instruction.shape.rank, shape[0] == batch {
                numbers.append(lanes(operand))
            } else if shape.rank < instruction.shape.rank || shape[0] == 1 {
                numbers.append(repeated(operand))
            } else {
                return nil
            }
        }
        return fusedSlope(instruction, numbers) ?? emit(instruction.operation, numbers, laneShape(instruction.shape))
    }

    private mutating func broadcast(_ id: Int) -> Int? {
        let (operand, target) = (old(id).operands[0], old(id).shape)
        let shape = old(operand).shape
        guard target.rank > 0, target[0] == batch else { return nil }
        if shape.rank == target.rank, shape[0] == batch {
            return isSampled(operand) ? emit(.broadcast, [lanes(operand)], laneShape(target)) : nil
        }
        return emit(.broadcast, [repeated(operand)], laneShape(target))
    }

    private mutating func laneTotal(_ axes: [Int], _ operand: Int) -> Int {
        let shape = laneShape(old(operand).shape)
        let all = axes + [shape.rank - 1]
        return emit(.sum(all), [lanes(operand)], Shape(shape.dimensions.enumerated().map { all.contains($0) ? 1 : $1 }))
    }

    // MARK: Convolutions and products

    private mutating func convolution(_ face: ConvolutionFace, _ form: ConvolutionForm, _ id: Int) -> Int? {
        let operands = old(id).operands
        if face == .weightGradient, let gradients = sampleGradients(form, id) {
            asRows[id] = gradients
            return nil
        }
        guard old(operands[0]).shape[0] == batch else { return nil }
        if face == .weightGradient {
            guard old(operands[1]).shape[0] == batch else { return nil }
            asRows[id] = emit(
                .fused(.convolution(face, form, Fused.Extras())), operands.map { lanes($0) }, old(id).shape)
            return nil
        }
        return laneConvolution(
            face, form, operands[0], weight: rows(operands[1]), old(operands[1]).shape, old(id).shape)
    }

    /// A weight gradient whose groups are the samples (see `Program.mapped`): one gradient for each of them.
    private mutating func sampleGradients(_ form: ConvolutionForm, _ id: Int) -> Int? {
        let operands = old(id).operands.map { oldSource($0) }
        let (image, map) = (old(old(id).operands[0]).shape, old(old(id).operands[1]).shape)
        guard batch > 0, image[0] == 1, form.groups % batch == 0, operands.allSatisfy({ isSampled($0) }) else {
            return nil
        }
        var form = form
        form.groups /= batch
        let group = batch / LaneLayout.lanes
        let numbers = zip(operands, [image, map]).map { operand, shape in
            emit(
                .reshape, [lanes(operand)],
                [group, shape[1] / batch, shape[2], shape[3], LaneLayout.lanes])
        }
        let shape = old(id).shape
        let each = [batch, shape[0] / batch, shape[1], shape[2], shape[3]]
        let gradients = emit(.fused(.sampleGradients(form)), numbers, laneShape(Shape(each)))
        return emit(.reshape, [emit(.fused(.fromLanes), [gradients], Shape(each))], shape)
    }

    /// An old number past reshapes, as long as the result has the samples first.
    func oldSource(_ id: Int) -> Int {
        var id = id
        while case .reshape = old(id).operation { id = old(id).operands[0] }
        return id
    }

    private mutating func laneConvolution(
        _ face: ConvolutionFace, _ form: ConvolutionForm, _ image: Int, weight: Int, _ weightShape: Shape,
        _ shape: Shape
    ) -> Int {
        let packed = packed(weight, face, form, weightShape)
        return emit(.fused(.convolution(face, form, Fused.Extras())), [lanes(image), packed], laneShape(shape))
    }

    /// Weights in the order in which a kernel reads them: once per model, however often they are used.
    private func packed(_ weight: Int, _ face: ConvolutionFace, _ form: ConvolutionForm, _ shape: Shape) -> Int {
        var kernel = LaneConvolution(form, outputs: shape[0], inputs: shape[1] * form.groups).kernel
        let generation = b.generation
        defer { b.generation = generation }
        b.generation = 0
        return emit(.fused(.packWeights(face, form)), [weight], [zoo_conv2d_packed_count(&kernel)])
    }

    /// A product with weights is a convolution of 1 × 1 images.
    private mutating func matmul(_ form: MatmulForm, _ id: Int) -> Int? {
        let (a, b) = (old(id).operands[0], old(id).operands[1])
        let (aShape, bShape) = (old(a).shape, old(b).shape)
        guard aShape.rank == 2, bShape.rank == 2 else { return nil }
        let point = ConvolutionForm.point
        if form.transposeA, !form.transposeB, isSampled(a), isSampled(b) {
            let gradient = emit(
                .fused(.convolution(.weightGradient, point, Fused.Extras())), [pointImage(b), pointImage(a)],
                [aShape[1], bShape[1], 1, 1])
            asRows[id] = emit(.reshape, [gradient], old(id).shape)
            return nil
        }
        guard !form.transposeA, isSampled(a), !isSampled(b) else { return nil }
        let weight = emit(.reshape, [rows(b)], [bShape[0], bShape[1], 1, 1])
        let face: ConvolutionFace = form.transposeB ? .output : .inputGradient
        let packed = packed(weight, face, point, bShape)
        let target = laneShape(old(id).shape)
        let product = emit(
            .fused(.convolution(face, point, Fused.Extras())), [pointImage(a), packed],
            [target[0], target[1], 1, 1, target[2]])
        return emit(.reshape, [product], target)
    }

    /// [samples, features] in lanes as images of one pixel.
    private mutating func pointImage(_ id: Int) -> Int {
        let shape = laneShape(old(id).shape)
        return emit(.reshape, [lanes(id)], [shape[0], shape[1], 1, 1, shape[2]])
    }
}

extension Program {
    /// The number of samples of a program that suits lanes.
    fileprivate var laneBatch: Int? {
        let extents = inputs.filter { $0.role == .data || $0.role == .indices }.compactMap(\.shape.dimensions.first)
        guard let batch = extents.first, batch > 0, batch % LaneLayout.lanes == 0 else { return nil }
        var hasProducts = false
        for instruction in instructions {
            switch instruction.operation {
            case .gatherRows, .scatterRows: return nil
            case .matmul:
                if instruction.shape.rank != 2 { return nil }
                hasProducts = true
            case .convolution: hasProducts = true
            default: continue
            }
        }
        return hasProducts ? batch : nil
    }
}

/// A convolution over lanes as the kernels describe it.
struct LaneConvolution {
    var kernel: zoo_conv2d

    init(_ form: ConvolutionForm, outputs: Int, inputs: Int) {
        kernel = zoo_conv2d(
            in_channels: Int32(inputs), in_height: Int32(form.imageSize[0]), in_width: Int32(form.imageSize[1]),
            out_channels: Int32(outputs), out_height: Int32(form.outputExtent(0)),
            out_width: Int32(form.outputExtent(1)), kernel_height: Int32(form.kernelSize[0]),
            kernel_width: Int32(form.kernelSize[1]), stride_y: Int32(form.geometry.stride[0]),
            stride_x: Int32(form.geometry.stride[1]),
            padding_y: Int32(form.geometry.padding[0]), padding_x: Int32(form.geometry.padding[1]),
            dilation_y: Int32(form.geometry.dilation[0]), dilation_x: Int32(form.geometry.dilation[1]),
            channel_groups: Int32(form.groups))
    }
}
