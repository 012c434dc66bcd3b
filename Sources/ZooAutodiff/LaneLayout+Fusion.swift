import ZooTensor

/// Fusion: several primitives done in one pass over memory, where nobody else reads what lies between them.
extension LaneLayout {
    /// The new instruction behind an old value that only one reader has, past reshapes; nil for other operations.
    private func producer(_ id: Int) -> (number: Int, instruction: Instruction)? {
        guard uses[id] == 1, let number = asLanes[id] else { return nil }
        return (source(number), b.instructions[source(number)])
    }

    /// A new number past reshapes.
    private func source(_ number: Int) -> Int {
        var number = number
        while case .reshape = b.instructions[number].operation { number = b.instructions[number].operands[0] }
        return number
    }

    /// Whether an operand is a number per channel of a result, to be repeated over samples and pixels.
    private func isPerChannel(_ id: Int, of shape: Shape) -> Bool {
        let own = old(id).shape
        guard shape.rank >= 2, asLanes[id] == nil, own.elementCount == shape[1] else { return false }
        let place = own.rank - (shape.rank - 1)
        return place >= 0 && own.rank > 0 && own[place] == shape[1]
    }

    /// Sums that a convolution or a channel-wise product can take along: + bias per channel, + another array; and
    /// products with a number per channel.
    mutating func fusedAffine(_ id: Int) -> Int? {
        let instruction = old(id)
        guard case .binary(let function) = instruction.operation, instruction.shape.rank >= 2,
            instruction.shape[0] == batch
        else { return nil }
        let (left, right) = (instruction.operands[0], instruction.operands[1])
        for (x, other) in [(left, right), (right, left)] where isSampled(x) && old(x).shape == instruction.shape {
            if isPerChannel(other, of: instruction.shape) {
                if function == .multiply { return channelAffine(x, scale: other) }
                if function == .add, let result = extended(x, by: channel(other), isBias: true) { return result }
            } else if function == .add, isSampled(other), old(other).shape == instruction.shape,
                let result = extended(x, by: lanes(other), isBias: false)
            {
                return result
            }
        }
        return nil
    }

    private mutating func channel(_ id: Int) -> Int { emit(.reshape, [rows(id)], [old(id).shape.elementCount]) }

    private mutating func channelAffine(_ x: Int, scale: Int) -> Int {
        emit(
            .fused(.channelAffine(scales: true, Fused.Extras())), [lanes(x), channel(scale)], laneShape(old(x).shape))
    }

    /// The operation behind x with one more thing added, where it has room for it.
    private mutating func extended(_ x: Int, by addend: Int, isBias: Bool) -> Int? {
        guard let (_, made) = producer(x), case .fused(let fused) = made.operation else { return nil }
        guard var extras = fused.extras, !extras.clamps, !extras.initial, !(isBias && extras.bias) else { return nil }
        // A face that has no room for a bias in its kernel.
        if isBias, case .convolution(let face, _, _) = fused, face != .output { return nil }
        if isBias { extras.bias = true } else { extras.initial = true }
        let target = laneShape(old(x).shape)
        let addend = isBias ? addend : emit(.reshape, [addend], made.shape)
        return emit(.reshape, [emit(.fused(fused.with(extras)), made.operands + [addend], made.shape)], target)
    }

    /// g · φ′(x) where nobody else reads φ′(x).
    func fusedSlope(_ instruction: Instruction, _ numbers: [Int]) -> Int? {
        guard case .binary(.multiply) = instruction.operation else { return nil }
        let shape = laneShape(instruction.shape)
        for place in 0...1 {
            guard let (number, made) = producer(instruction.operands[place]),
                case .unary(let function) = made.operation,
                number == numbers[place], FloatKernels.named(function) != nil,
                numbers.allSatisfy({ b.instructions[$0].shape == shape })
            else { continue }
            return emit(.fused(.slope(function)), [made.operands[0], numbers[1 - place]], shape)
        }
        return nil
    }

    /// The same where both lie in rows.
    mutating func slopeInRows(_ id: Int) -> Int? {
        let instruction = old(id)
        guard case .binary(.multiply) = instruction.operation else { return nil }
        for place in 0...1 {
            let (x, g) = (instruction.operands[place], instruction.operands[1 - place])
            guard uses[x] == 1, old(x).shape == instruction.shape, old(g).shape == instruction.shape,
                case .unary(let function) = old(x).operation, FloatKernels.named(function) != nil
            else { continue }
            return emit(.fused(.slope(function)), [rows(old(x).operands[0]), rows(g)], instruction.shape)
        }
        return nil
    }

    /// The sum of two weight gradients: the second kernel adds to what the first one left.
    mutating func fusedSum(_ id: Int) -> Int? {
        let operands = old(id).operands
        guard case .binary(.add) = old(id).operation, old(operands[0]).shape == old(operands[1]).shape else {
            return nil
        }
        for (x, other) in [(operands[0], operands[1]), (operands[1], operands[0])] where uses[x] == 1 {
            let made = b.instructions[source(rows(x))]
            guard case .fused(.convolution(.weightGradient, let form, var extras)) = made.operation, !extras.initial
            else { continue }
            extras.initial = true
            let initial = emit(.reshape, [rows(other)], made.shape)
            let sum = emit(
                .fused(.convolution(.weightGradient, form, extras)), made.operands + [initial], made.shape)
            return emit(.reshape, [sum], old(id).shape)
        }
        return nil
    }

    /// Whether an operation takes the largest elements of its windows and their places are read by nobody else.
    func isPlainMaximum(_ id: Int, _ windows: Windows) -> Bool {
        let operands = old(id).operands
        guard windows.axis > 0, windows.uniform != nil, uses[operands[1]] == 1,
            old(id).shape.rank == windows.axis + 2
        else { return false }
        return old(operands[1]).operation == .windowArgmax(windows) && old(operands[1]).operands == [operands[0]]
    }

    /// A matrix product plus a vector for each row or plus another matrix: the product is added to what is there.
    mutating func fusedProduct(_ id: Int) -> Int? {
        guard case .binary(.add) = old(id).operation else { return nil }
        let operands = old(id).operands, shape = old(id).shape
        for (x, other) in [(operands[0], operands[1]), (operands[1], operands[0])]
        where old(x).shape == shape && isUsedOnce(x) && asLanes[x] == nil && asLanes[other] == nil {
            let made = b.instructions[source(rows(x))]
            guard let (form, known, isPacked) = made.product, let width = made.shape.dimensions.last else { continue }
            var extras = known
            func sum() -> Operation { .fused(.product(form, extras, isPacked: isPacked)) }
            let own = old(other).shape
            if own == shape, !known.initial {
                extras.initial = true
                let whole = emit(.reshape, [rows(other)], made.shape)
                return emit(.reshape, [emit(sum(), made.operands + [whole], made.shape)], shape)
            }
            guard own.elementCount == width, own.dimensions.last == width, !known.bias, !known.initial else { continue }
            extras.bias = true
            let row = emit(.reshape, [rows(other)], [width])
            return emit(.reshape, [emit(sum(), made.operands + [row], made.shape)], shape)
        }
        return nil
    }

    /// Whether one reader alone has a value, past reshapes.
    private func isUsedOnce(_ id: Int) -> Bool {
        var id = id
        while uses[id] == 1 {
            guard case .reshape = old(id).operation else { return true }
            id = old(id).operands[0]
        }
        return false
    }

    mutating func fusedClamp(_ id: Int) -> Int? {
        let x = old(id).operands[0]
        guard let (_, made) = producer(x), case .fused(let fused) = made.operation, var extras = fused.extras,
            !extras.clamps
        else { return nil }
        if case .convolution(let face, _, _) = fused, face != .output { return nil }
        extras.clamps = true
        return emit(.reshape, [emit(.fused(fused.with(extras)), made.operands, made.shape)], laneShape(old(x).shape))
    }

    /// Σ over samples and pixels of a product of two arrays of one shape.
    mutating func channelTotal(_ id: Int) -> Int? {
        guard case .sum(let axes) = old(id).operation else { return nil }
        let operand = old(id).operands[0]
        let shape = old(operand).shape
        let others = (0..<shape.rank).filter { $0 != 1 }
        guard shape.rank >= 2, shape[1] > 1, others.allSatisfy({ axes.contains($0) || shape[$0] == 1 }),
            !axes.contains(1), let (_, made) = producer(operand), case .binary(.multiply) = made.operation,
            b.instructions[made.operands[0]].shape == made.shape, b.instructions[made.operands[1]].shape == made.shape
        else { return nil }
        return emit(.fused(.channelDots), made.operands, [shape[1]])
    }
}

extension Instruction {
    /// The form of a product of two matrices and what is added to it already.
    fileprivate var product: (MatmulForm, Fused.Extras, isPacked: Bool)? {
        guard shape.rank == 2 else { return nil }
        switch operation {
        case .matmul(let form) where !form.sumsBatch: return (form, Fused.Extras(), false)
        case .fused(.product(let form, let extras, let isPacked)): return (form, extras, isPacked)
        default: return nil
        }
    }
}

extension Fused {
    /// What may be added to the operation, when it can take anything along.
    var extras: Extras? {
        switch self {
        case .convolution(let face, _, let extras): face == .weightGradient ? nil : extras
        case .channelAffine(_, let extras): extras
        default: nil
        }
    }

    func with(_ extras: Extras) -> Fused {
        switch self {
        case .convolution(let face, let form, _): .convolution(face, form, extras)
        case .channelAffine(let scales, _): .channelAffine(scales: scales, extras)
        default: self
        }
    }
}
