import CZooKernels
import ZooTensor

/// Fusion of what stays in rows: products with packed weights, heads read in place, softmax with its mask and its
/// derivative. Patterns of primitives are recognised, whoever emitted them: the rules know nothing of it.
extension LaneLayout {
    /// The fused instruction of an operation in rows, or nil where it is what it is.
    mutating func fusedRows(_ id: Int) -> Int? {
        if let fused = fusedSum(id) ?? fusedProduct(id) ?? slopeInRows(id) { return fused }
        switch old(id).operation {
        case .matmul(let form): return packedProduct(form, id) ?? headProduct(form, id)
        case .transpose(let order): return turnedHeads(order, id)
        case .unary(.affine(let scale, 0)): return scaledHeads(scale, id)
        case .softmax(let axis): return maskedSoftmax(axis, id)
        case .binary(.subtract): return softmaxSlope(id)
        default: return nil
        }
    }

    // MARK: Products

    /// A product with weights: they are packed once per model.
    private mutating func packedProduct(_ form: MatmulForm, _ id: Int) -> Int? {
        let (a, b) = (old(id).operands[0], old(id).operands[1])
        guard zoo_product_is_fast(), old(a).shape.rank == 2, old(b).shape.rank == 2, isSettled[b], !isSettled[a],
            !form.sumsBatch
        else { return nil }
        var product = ProductForm(form, old(a).shape, old(b).shape).kernel
        let generation = self.b.generation
        self.b.generation = 0
        let packed = emit(.fused(.packProduct(form)), [rows(b)], [zoo_product_packed_count(&product)])
        self.b.generation = generation
        return emit(.fused(.product(form, Fused.Extras(), isPacked: true)), [rows(a), packed], old(id).shape)
    }

    /// A batch of products whose matrices lie inside larger arrays: heads of a projection.
    private mutating func headProduct(_ form: MatmulForm, _ id: Int) -> Int? {
        let shape = old(id).shape
        guard zoo_product_is_fast(), shape.rank >= 3, !form.sumsBatch else { return nil }
        let (a, b) = (view(old(id).operands[0]), view(old(id).operands[1]))
        guard let left = a.matrix(form.transposeA), let right = b.matrix(form.transposeB) else { return nil }
        let own = shape.rowMajorStrides
        let left2 = matrixExtents(a.shape, form.transposeA)
        let product = HeadProduct(
            batch: shape.batch.dimensions, rows: left2.rows, columns: shape[shape.rank - 1], depth: left2.columns,
            transposeA: left.isTransposed, transposeB: right.isTransposed, aStride: left.stride, bStride: right.stride,
            cStride: own[shape.rank - 2], aSteps: a.steps(over: shape.batch), bSteps: b.steps(over: shape.batch),
            cSteps: Array(own.dropLast(2)), scale: a.scale * b.scale)
        return emit(.fused(.heads(product)), [rows(a.source), rows(b.source)], shape)
    }

    /// How an operand lies in what it is a scaled transpose of.
    private func view(_ id: Int) -> StridedView {
        var id = id, order = Array(0..<old(id).shape.rank), scale = 1.0
        let shape = old(id).shape
        while true {
            switch old(id).operation {
            case .transpose(let turned): order = order.map { turned[$0] }
            case .unary(.affine(let factor, 0)): scale *= factor
            default:
                let strides = old(id).shape.rowMajorStrides
                return StridedView(source: id, shape: shape, strides: order.map { strides[$0] }, scale: scale)
            }
            id = old(id).operands[0]
        }
    }

    /// The batch of products behind an old value that only one reader has, as long as it lies as it was made.
    private func plainHeads(_ id: Int) -> (HeadProduct, [Int])? {
        guard uses[id] == 1, let number = asRows[id] else { return nil }
        let made = b.instructions[number]
        guard case .fused(.heads(let product)) = made.operation, made.shape == old(id).shape,
            product.cSteps == Array(made.shape.rowMajorStrides.dropLast(2))
        else { return nil }
        return (product, made.operands)
    }

    private func scaledHeads(_ scale: Double, _ id: Int) -> Int? {
        guard let (made, operands) = plainHeads(old(id).operands[0]) else { return nil }
        var product = made
        product.scale *= scale
        return emit(.fused(.heads(product)), operands, old(id).shape)
    }

    /// Products written where a transpose would put them.
    private func turnedHeads(_ order: [Int], _ id: Int) -> Int? {
        guard order.last == order.count - 1, let (made, operands) = plainHeads(old(id).operands[0]) else {
            return nil
        }
        var product = made
        let target = old(id).shape.rowMajorStrides
        var strides = [Int](repeating: 0, count: order.count)
        for (place, axis) in order.enumerated() { strides[axis] = target[place] }
        product.cSteps = Array(strides.dropLast(2))
        product.cStride = strides[order.count - 2]
        return emit(.fused(.heads(product)), operands, old(id).shape)
    }

    // MARK: Softmax

    private mutating func maskedSoftmax(_ axis: Int, _ id: Int) -> Int? {
        let shape = old(id).shape, sum = old(id).operands[0]
        guard shape.rank >= 2, axis == shape.rank - 1, uses[sum] == 1, case .binary(.add) = old(sum).operation else {
            return nil
        }
        let (left, right) = (old(sum).operands[0], old(sum).operands[1])
        for (x, mask) in [(left, right), (right, left)]
        where old(x).shape == shape && old(mask).shape.dimensions.last == shape[axis] {
            return emit(.fused(.maskedSoftmax), [rows(x), rows(mask)], shape)
        }
        return nil
    }

    /// p g − p Σ p g with p a softmax along the last axis.
    private mutating func softmaxSlope(_ id: Int) -> Int? {
        let shape = old(id).shape
        guard let weighted = factors(old(id).operands[0]), let mean = factors(old(id).operands[1]) else { return nil }
        for (p, g) in [(weighted.0, weighted.1), (weighted.1, weighted.0)]
        where old(p).shape == shape && old(g).shape == shape && old(p).operation == .softmax(shape.rank - 1) {
            guard let total = mean.0 == p ? mean.1 : mean.1 == p ? mean.0 : nil,
                old(total).operation == .sum([shape.rank - 1]), old(total).operands == [old(id).operands[0]]
            else { continue }
            return emit(.fused(.softmaxSlope), [rows(p), rows(g)], shape)
        }
        return nil
    }

    private func factors(_ id: Int) -> (Int, Int)? {
        guard case .binary(.multiply) = old(id).operation else { return nil }
        return (old(id).operands[0], old(id).operands[1])
    }
}

/// An array as a scaled transpose of another one.
private struct StridedView {
    let source: Int
    let shape: Shape
    let strides: [Int]
    let scale: Double

    /// How the last two axes are stored: nil when neither's numbers follow each other.
    func matrix(_ isTransposed: Bool) -> (isTransposed: Bool, stride: Int)? {
        let (row, column) = (strides[strides.count - 2], strides[strides.count - 1])
        if column == 1 { return (isTransposed, row) }
        return row == 1 ? (!isTransposed, column) : nil
    }

    /// Strides along the axes of a batch, extents of one repeated.
    func steps(over batch: Shape) -> [Int] {
        let own = shape.batch, lead = batch.rank - own.rank
        return (0..<batch.rank).map { axis in
            axis < lead || (own[axis - lead] == 1 && batch[axis] != 1) ? 0 : strides[axis - lead]
        }
    }
}
