import CZooKernels
import ZooTensor

/// Rows of features: matrices by vectors that repeat over rows, sums over rows or along them, products with additions.
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

    /// A product on top of what is there already: a vector for each row, another matrix, or both.
    static func product(_ form: MatmulForm, _ extras: Fused.Extras, _ site: Site) -> Lowered {
        let (left, right) = (site.operandShapes[0], site.operandShapes[1])
        let (rows, columns) = (site.shape[0], site.shape[1]), depth = left[form.transposeA ? 0 : 1]
        let (a, b, output) = (site.operands[0], site.operands[1], site.output)
        let bias = extras.bias ? site.operands[2] : nil, initial = extras.initial ? site.operands.last : nil
        return Lowered(usesBLAS: true) { buffers, _ in
            let y: UnsafeMutablePointer<Float> = buffers.output(output)
            if let initial, let bias {
                zoo_column_affine(rows, columns, buffers.reals(initial), nil, buffers.reals(bias), y, 0)
            } else if let initial {
                if buffers[initial] != buffers[output] {
                    y.update(from: buffers.reals(initial, Float.self), count: rows * columns)
                }
            } else if let bias {
                let row: UnsafePointer<Float> = buffers.reals(bias)
                for index in 0..<rows { (y + index * columns).update(from: row, count: columns) }
            }
            Float.gemm(
                form.transposeA, form.transposeB, rows, columns, depth, buffers.reals(a), left[1], buffers.reals(b),
                right[1], 1, y, columns)
        }
    }
}
