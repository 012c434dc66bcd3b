import ZooTensor

extension Kernels {
    static func matmul(_ form: MatmulForm, _ site: Site) -> Kernel {
        let (aShape, bShape) = (site.operandShapes[0], site.operandShapes[1])
        let left = matrixExtents(aShape, form.transposeA), right = matrixExtents(bShape, form.transposeB)
        let batch = broadcastShape(aShape.batch, bShape.batch) ?? []
        let loop = StridedLoop(
            extents: batch.dimensions,
            strides: [aShape.batch, bShape.batch].map { repeatingStrides($0, over: batch) })
        let offsets = loop.offsets(leaving: 0)
        let (rows, columns, depth) = (left.rows, right.columns, left.columns)
        let (aSize, bSize, cSize) = (left.rows * left.columns, right.rows * right.columns, rows * columns)
        let (aStride, bStride) = (aShape[aShape.rank - 1], bShape[bShape.rank - 1])
        let (a, b, output) = (site.operands[0], site.operands[1], site.output)
        return { buffers, _ in
            let x: UnsafePointer<S> = buffers.reals(a)
            let y: UnsafePointer<S> = buffers.reals(b)
            let z: UnsafeMutablePointer<S> = buffers.output(output)
            for place in offsets[0].indices {
                S.gemm(
                    form.transposeA, form.transposeB, rows, columns, depth,
                    x + offsets[0][place] * aSize, aStride, y + offsets[1][place] * bSize, bStride,
                    form.sumsBatch && place > 0 ? 1 : 0, z + (form.sumsBatch ? 0 : place * cSize), columns)
            }
        }
    }

    // MARK: Convolution by columns: the oracle

    static func convolution(_ face: ConvolutionFace, _ form: ConvolutionForm, _ site: Site) -> Lowered {
        let columns = ColumnForm(face, form, site)
        let (a, b, output, count) = (site.operands[0], site.operands[1], site.output, site.shape.elementCount)
        let bytes = columns.depth * columns.pixels * MemoryLayout<S>.stride
        return Lowered(scratchBytes: bytes, usesBLAS: true) { buffers, scratch in
            let first: UnsafePointer<S> = buffers.reals(a)
            let second: UnsafePointer<S> = buffers.reals(b)
            let result: UnsafeMutablePointer<S> = buffers.output(output)
            let table = scratch.assumingMemoryBound(to: S.self)
            if face != .output { result.update(repeating: 0, count: count) }
            for sample in 0..<columns.samples {
                for group in 0..<columns.form.groups {
                    let image = columns.imageOffset(sample, group), map = columns.mapOffset(sample, group)
                    let weight = columns.weightOffset(group)
                    switch face {
                    case .output:
                        columns.gather(first + image, table)
                        S.gemm(
                            false, false, columns.outputs, columns.pixels, columns.depth,
                            second + weight, columns.depth, table, columns.pixels, 0, result + map, columns.pixels)
                    case .inputGradient:
                        S.gemm(
                            true, false, columns.depth, columns.pixels, columns.outputs,
                            second + weight, columns.depth, first + map, columns.pixels, 0, table, columns.pixels)
                        columns.scatter(table, result + image)
                    case .weightGradient:
                        columns.gather(first + image, table)
                        S.gemm(
                            false, true, columns.outputs, columns.depth, columns.pixels,
                            second + map, columns.pixels, table, columns.pixels, 1, result + weight, columns.depth)
                    }
                }
            }
        }
    }
}

/// A convolution as a matrix product: the table has a row per channel and tap, a column per output pixel.
struct ColumnForm: Sendable {
    let form: ConvolutionForm
    let samples: Int
    /// Channels of one group.
    let channels: Int, outputs: Int
    let pixels: Int
    /// Rows of the table.
    let depth: Int

    init(_ face: ConvolutionFace, _ form: ConvolutionForm, _ site: Site) {
        let image = face == .inputGradient ? site.shape : site.operandShapes[0]
        let weight = face == .weightGradient ? site.shape : site.operandShapes[1]
        self.form = form
        samples = image[0]
        channels = weight[1]
        outputs = weight[0] / form.groups
        pixels = form.outputExtent(0) * form.outputExtent(1)
        depth = channels * form.kernelSize[0] * form.kernelSize[1]
    }

    func imageOffset(_ sample: Int, _ group: Int) -> Int {
        (sample * form.groups + group) * channels * form.imageSize[0] * form.imageSize[1]
    }
    func mapOffset(_ sample: Int, _ group: Int) -> Int { (sample * form.groups + group) * outputs * pixels }
    func weightOffset(_ group: Int) -> Int { group * outputs * depth }

    /// Calls `body` for each place of the table with the place of the image it stands for, nil in the padding.
    @inline(__always)
    private func forEachPlace(_ body: (_ place: Int, _ source: Int?) -> Void) {
        var place = 0
        for channel in 0..<channels {
            for tapRow in 0..<form.kernelSize[0] {
                for tapColumn in 0..<form.kernelSize[1] {
                    for row in 0..<form.outputExtent(0) {
                        let y = form.source(0, output: row, tap: tapRow)
                        for column in 0..<form.outputExtent(1) {
                            if let y, let x = form.source(1, output: column, tap: tapColumn) {
                                body(place, (channel * form.imageSize[0] + y) * form.imageSize[1] + x)
                            } else {
                                body(place, nil)
                            }
                            place += 1
                        }
                    }
                }
            }
        }
    }

    func gather<S: KernelScalar>(_ image: UnsafePointer<S>, _ table: UnsafeMutablePointer<S>) {
        forEachPlace { place, source in table[place] = source.map { image[$0] } ?? 0 }
    }

    func scatter<S: KernelScalar>(_ table: UnsafePointer<S>, _ image: UnsafeMutablePointer<S>) {
        forEachPlace { place, source in if let source { image[source] += table[place] } }
    }
}
