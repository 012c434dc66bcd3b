import CZooKernels
import ZooTensor

/// A product of two matrices as the kernel describes it.
struct ProductForm {
    var kernel: zoo_product

    init(_ form: MatmulForm, _ a: Shape, _ b: Shape) {
        let left = matrixExtents(a, form.transposeA), right = matrixExtents(b, form.transposeB)
        kernel = zoo_product(
            rows: left.rows, columns: right.columns, depth: left.columns, transpose_a: form.transposeA,
            transpose_b: form.transposeB, a_stride: a[a.rank - 1], b_stride: b[b.rank - 1], c_stride: right.columns,
            scale: 1)
    }

    /// With a packed right matrix, whose extents follow from the rest.
    init(_ form: MatmulForm, _ a: Shape, columns: Int) {
        let left = matrixExtents(a, form.transposeA)
        self.init(
            form, a, form.transposeB ? [columns, left.columns] : [left.columns, columns])
    }

    init(_ heads: HeadProduct) {
        kernel = zoo_product(
            rows: heads.rows, columns: heads.columns, depth: heads.depth, transpose_a: heads.transposeA,
            transpose_b: heads.transposeB, a_stride: heads.aStride, b_stride: heads.bStride, c_stride: heads.cStride,
            scale: Float(heads.scale))
    }

    func workspaceBytes(isPacked: Bool) -> Int {
        var kernel = kernel
        return zoo_product_workspace_size(&kernel, isPacked)
    }
}

/// Matrix products in rows.
extension FloatKernels {
    /// Products of a batch, or their sum. nil where a library of products is faster than the kernels.
    static func products(_ form: MatmulForm, _ site: Site) -> Lowered? {
        guard zoo_product_is_fast() else { return nil }
        let (aShape, bShape) = (site.operandShapes[0], site.operandShapes[1])
        let product = ProductForm(form, aShape, bShape)
        let batch = broadcastShape(aShape.batch, bShape.batch) ?? []
        let sizes = [aShape, bShape].map { $0[$0.rank - 1] * $0[$0.rank - 2] }
        let offsets = StridedLoop(
            extents: batch.dimensions,
            strides: zip([aShape.batch, bShape.batch], sizes).map { shape, size in
                repeatingStrides(shape, over: batch).map { $0 * size }
            }
        ).offsets(leaving: 0)
        let size = form.sumsBatch ? 0 : product.kernel.rows * product.kernel.columns
        let (a, b, output) = (site.operands[0], site.operands[1], site.output)
        return Lowered(scratchBytes: product.workspaceBytes(isPacked: false)) { buffers, scratch in
            var kernel = product.kernel
            let x: UnsafePointer<Float> = buffers.reals(a)
            let y: UnsafePointer<Float> = buffers.reals(b)
            let z: UnsafeMutablePointer<Float> = buffers.output(output)
            for place in offsets[0].indices {
                zoo_product_run(
                    &kernel, x + offsets[0][place], y + offsets[1][place], false, nil,
                    form.sumsBatch && place > 0 ? UnsafePointer(z) : nil, z + place * size, scratch)
            }
        }
    }

    static func packProduct(_ form: MatmulForm, _ site: Site) -> Lowered {
        let b = site.operandShapes[0]
        let product = ProductForm(
            form, form.transposeA ? [b[form.transposeB ? 1 : 0], 1] : [1, b[form.transposeB ? 1 : 0]], b)
        let (source, packed) = (site.operands[0], site.output)
        return Lowered { buffers, _ in
            var kernel = product.kernel
            zoo_product_pack(&kernel, buffers.reals(source), buffers.output(packed))
        }
    }

    static func heads(_ heads: HeadProduct, _ site: Site) -> Lowered {
        let product = ProductForm(heads)
        let offsets = StridedLoop(extents: heads.batch, strides: [heads.aSteps, heads.bSteps, heads.cSteps])
            .offsets(leaving: 0)
        let (a, b, output) = (site.operands[0], site.operands[1], site.output)
        return Lowered(scratchBytes: product.workspaceBytes(isPacked: false)) { buffers, scratch in
            var kernel = product.kernel
            let x: UnsafePointer<Float> = buffers.reals(a)
            let y: UnsafePointer<Float> = buffers.reals(b)
            let z: UnsafeMutablePointer<Float> = buffers.output(output)
            for place in offsets[0].indices {
                zoo_product_run(
                    &kernel, x + offsets[0][place], y + offsets[1][place], false, nil, nil, z + offsets[2][place],
                    scratch)
            }
        }
    }

    /// A product on top of what is there already: a vector for each row, another matrix, or both.
    static func product(_ form: MatmulForm, _ extras: Fused.Extras, _ isPacked: Bool, _ site: Site) -> Lowered {
        guard zoo_product_is_fast() else { return libraryProduct(form, extras, site) }
        let product = ProductForm(form, site.operandShapes[0], columns: site.shape[1])
        let (a, b, output) = (site.operands[0], site.operands[1], site.output)
        let bias = extras.bias ? site.operands[2] : nil, initial = extras.initial ? site.operands.last : nil
        return Lowered(scratchBytes: product.workspaceBytes(isPacked: isPacked)) { buffers, scratch in
            var kernel = product.kernel
            zoo_product_run(
                &kernel, buffers.reals(a), buffers.reals(b), isPacked, bias.map { buffers.reals($0) },
                initial.map { buffers.reals($0) }, buffers.output(output), scratch)
        }
    }

    private static func libraryProduct(_ form: MatmulForm, _ extras: Fused.Extras, _ site: Site) -> Lowered {
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
