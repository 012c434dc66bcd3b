import CZooKernels
import ZooTensor

/// Rows of features: matrices by vectors that repeat over rows, sums over rows or along them, softmax of attention.
extension FloatKernels {
    /// x + v and x · v with a vector v of the last extent, repeated over rows.
    static func rowBinary(_ function: Binary, _ site: Site) -> Lowered? {
        guard function == .add || function == .multiply, let width = site.shape.dimensions.last, width >= 16 else {
            return nil
        }
        let count = site.shape.elementCount, shapes = site.operandShapes
        for (place, other) in [(0, 1), (1, 0)]
        where shapes[place].elementCount == count && isRow(shapes[other], width) {
            let (x, v, y) = (site.operands[place], site.operands[other], site.output)
            let isSum = function == .add
            return Lowered { buffers, _ in
                zoo_column_affine(
                    count / width, width, buffers.reals(x), isSum ? nil : buffers.reals(v),
                    isSum ? buffers.reals(v) : nil, buffers.output(y), 0)
            }
        }
        return nil
    }

    /// x and a number per row: x ∘ v and v ∘ x with v [..., 1].
    static func numberPerRow(_ function: Binary, _ site: Site) -> Lowered? {
        guard let width = site.shape.dimensions.last, width >= 16 else { return nil }
        let rows = site.shape.elementCount / width, numbers = site.shape.replacing(site.shape.rank - 1, by: 1)
        let shapes = site.operandShapes
        guard let place = [0, 1].first(where: { shapes[$0] == site.shape && shapes[1 - $0] == numbers }) else {
            return nil
        }
        let operation: zoo_row_operation
        switch function {
        case .add: operation = ZOO_ROW_ADD
        case .subtract: operation = place == 0 ? ZOO_ROW_SUBTRACT : ZOO_ROW_SUBTRACT_FROM
        case .multiply: operation = ZOO_ROW_MULTIPLY
        default: return nil
        }
        let (x, v, y) = (site.operands[place], site.operands[1 - place], site.output)
        return Lowered { buffers, _ in
            zoo_row_apply(operation, rows, width, buffers.reals(x), buffers.reals(v), buffers.output(y))
        }
    }

    private static func isRow(_ shape: Shape, _ width: Int) -> Bool {
        shape.elementCount == width && shape.dimensions.last == width
    }

    /// Sums over all leading axes, or over all trailing ones.
    static func rowSums(_ site: Site) -> Lowered? {
        let from = site.operandShapes[0]
        guard from.rank == site.shape.rank else { return nil }
        let axes = (0..<from.rank).filter { from[$0] > 1 }
        let isReduced = axes.map { site.shape[$0] == 1 }
        guard let first = isReduced.first, let turn = isReduced.firstIndex(of: !first),
            isReduced[turn...].allSatisfy({ $0 != first })
        else { return nil }
        let rows = axes[..<turn].reduce(1) { $0 * from[$1] }, width = axes[turn...].reduce(1) { $0 * from[$1] }
        let (x, y) = (site.operands[0], site.output)
        if first {
            return Lowered { buffers, _ in
                zoo_column_sums(rows, width, buffers.reals(x), nil, buffers.output(y), 0)
            }
        }
        // Longer rows are summed in blocks, which rounds less.
        guard width >= 16, width <= 4096 else { return nil }
        return Lowered { buffers, _ in zoo_row_sums(rows, width, buffers.reals(x), nil, buffers.output(y), 0) }
    }

    static func maskedSoftmax(_ site: Site) -> Lowered {
        let shape = site.shape, rank = shape.rank
        let (queries, keys) = (shape[rank - 2], shape[rank - 1])
        let strides = repeatingStrides(site.operandShapes[1], over: shape)
        let offsets = StridedLoop(extents: shape.batch.dimensions, strides: [Array(strides.dropLast(2))])
            .offsets(leaving: 0)[0]
        let (x, mask, y, step) = (site.operands[0], site.operands[1], site.output, strides[rank - 2])
        return Lowered { buffers, _ in
            let x: UnsafePointer<Float> = buffers.reals(x)
            let mask: UnsafePointer<Float> = buffers.reals(mask)
            let y: UnsafeMutablePointer<Float> = buffers.output(y)
            for (place, offset) in offsets.enumerated() {
                let start = place * queries * keys
                zoo_softmax_rows(
                    queries, keys, x + start, keys, 1, mask + offset, step, .max, y + start, keys)
            }
        }
    }

    static func softmaxSlope(_ site: Site) -> Lowered {
        let width = site.shape[site.shape.rank - 1], rows = site.shape.elementCount / max(1, width)
        let (p, g, y) = (site.operands[0], site.operands[1], site.output)
        return Lowered { buffers, _ in
            zoo_softmax_rows_gradient(rows, width, buffers.reals(p), buffers.reals(g), 1, buffers.output(y), 0)
        }
    }
}
