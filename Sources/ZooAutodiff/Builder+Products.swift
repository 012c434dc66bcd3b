import ZooBase
import ZooTensor

/// Matrix products, convolutions and windows.
extension ProgramBuilder {
    /// The product of the last two axes; the axes before them are a batch, whose extents of one are repeated.
    public func matmul(_ a: Value, _ b: Value, transposeA: Bool = false, transposeB: Bool = false) throws -> Value {
        try matmul(a, b, MatmulForm(transposeA: transposeA, transposeB: transposeB))
    }

    package func matmul(_ a: Value, _ b: Value, _ form: MatmulForm) throws -> Value {
        guard a.shape.rank >= 2, b.shape.rank >= 2 else {
            throw misfit("matmul", "\(a.shape) and \(b.shape) are not both matrices")
        }
        let left = matrixExtents(a.shape, form.transposeA), right = matrixExtents(b.shape, form.transposeB)
        guard left.columns == right.rows, let batch = broadcastShape(a.shape.batch, b.shape.batch) else {
            throw misfit("matmul", "\(describe(a, form.transposeA)) times \(describe(b, form.transposeB))")
        }
        let lead = form.sumsBatch ? [] : batch.dimensions
        let shape = Shape(lead + [left.rows, right.columns])
        if fillNumber(a) == 0 || fillNumber(b) == 0 { return fill(0, shape) }
        // A batch of rows times one matrix is a single product.
        if a.shape.rank > 2, b.shape.rank == 2, !form.transposeA, !form.sumsBatch {
            let rows = try reshape(a, [-1, a.shape[a.shape.rank - 1]])
            return try reshape(matmul(rows, b, form), shape.dimensions)
        }
        return emit(.matmul(form), [a.id, b.id], shape)
    }

    private func describe(_ x: Value, _ transposed: Bool) -> String { "\(x.shape)\(transposed ? " transposed" : "")" }

    /// x wᵀ + b with w [out, in] as checkpoints hold it; x may have any number of axes before the last.
    public func linear(_ x: Value, weight: Value, bias: Value? = nil) throws -> Value {
        guard weight.shape.rank == 2, x.shape.dimensions.last == weight.shape[1] else {
            throw misfit("linear", "input \(x.shape) ends on other than the \(weight.shape) weight's inputs")
        }
        try check(bias, outputs: weight.shape[0], "linear")
        let y = try matmul(x, weight, transposeB: true)
        return try bias.map { try add(y, $0) } ?? y
    }

    private func check(_ bias: Value?, outputs: Int, _ operation: String) throws {
        guard let bias, bias.shape != [outputs] else { return }
        throw misfit(operation, "bias \(bias.shape) for \(outputs) outputs")
    }

    // MARK: Convolution

    /// Cross-correlation of x [batch, channels, height, width] with w [out, channels / groups, rows, columns], plus a
    /// bias per output channel.
    public func conv2d(
        _ x: Value, weight w: Value, bias: Value? = nil, _ geometry: Convolution = Convolution()
    ) throws -> Value {
        guard x.shape.rank == 4, w.shape.rank == 4 else {
            throw misfit("conv2d", "input \(x.shape) and weight \(w.shape) are not both of rank 4")
        }
        guard geometry.groups > 0, w.shape[0] % geometry.groups == 0, w.shape[1] * geometry.groups == x.shape[1] else {
            throw misfit(
                "conv2d",
                "input \(x.shape) has \(x.shape[1]) channels; weight \(w.shape) in \(geometry.groups) groups "
                    + "expects \(w.shape[1] * geometry.groups)")
        }
        try check(bias, outputs: w.shape[0], "conv2d")
        guard [geometry.stride, geometry.padding, geometry.dilation].allSatisfy({ $0.count == 2 }) else {
            throw misfit("conv2d", "stride, padding and dilation need two numbers each, for rows and columns")
        }
        guard (geometry.stride + geometry.dilation).allSatisfy({ $0 > 0 }),
            geometry.padding.allSatisfy({ $0 >= 0 })
        else { throw misfit("conv2d", "stride and dilation must be positive, padding not negative") }
        let form = ConvolutionForm(
            geometry: geometry, imageSize: [x.shape[2], x.shape[3]], kernelSize: [w.shape[2], w.shape[3]])
        guard form.outputExtent(0) > 0, form.outputExtent(1) > 0 else {
            throw misfit("conv2d", "the \(w.shape) kernel does not fit into the padded input \(x.shape)")
        }
        let y = convolution(.output, form, x, w)
        return try bias.map { try add(y, reshape($0, [-1, 1, 1])) } ?? y
    }

    /// A face of the trilinear form, from operands that came out of `conv2d` or its rules.
    func convolution(_ face: ConvolutionFace, _ form: ConvolutionForm, _ a: Value, _ b: Value) -> Value {
        let shape: Shape =
            switch face {
            case .output: [a.shape[0], b.shape[0], form.outputExtent(0), form.outputExtent(1)]
            case .inputGradient: [a.shape[0], b.shape[1] * form.groups, form.imageSize[0], form.imageSize[1]]
            case .weightGradient: [b.shape[1], a.shape[1] / form.groups, form.kernelSize[0], form.kernelSize[1]]
            }
        if fillNumber(a) == 0 || fillNumber(b) == 0 { return fill(0, shape) }
        return emit(.convolution(face, form), [a.id, b.id], shape)
    }

    // MARK: Pooling

    /// The largest element of each window of the last two axes; padding never wins, the first element wins ties.
    public func maxPool(
        _ x: Value, kernel: Int, stride: Int? = nil, padding: Int = 0, roundingUp: Bool = false
    ) throws -> Value {
        let windows = try poolWindows(x, "maxPool", kernel, stride ?? kernel, padding, roundingUp)
        return try maxPool(x, windows)
    }

    /// The largest element of each of `rows` × `columns` windows that cover the last two axes evenly.
    public func adaptiveMaxPool(_ x: Value, rows: Int, columns: Int) throws -> Value {
        try maxPool(x, adaptiveWindows(x, "adaptiveMaxPool", rows, columns))
    }

    private func maxPool(_ x: Value, _ windows: Windows) throws -> Value {
        let places = emitIndices(.windowArgmax(windows), [x.id], windows.outputShape(x.shape))
        return windowTake(x, places, windows)
    }

    func windowTake(_ x: Value, _ places: Indices, _ windows: Windows) -> Value {
        emit(.windowTake(windows), [x.id, places.id], places.shape)
    }

    func windowPut(_ x: Value, _ places: Indices, _ windows: Windows, onto shape: Shape) -> Value {
        emit(.windowPut(windows), [x.id, places.id], shape)
    }

    /// The mean of each window of the last two axes; padding counts as zeros unless `countingPadding` is false.
    public func averagePool(
        _ x: Value, kernel: Int, stride: Int? = nil, padding: Int = 0, countingPadding: Bool = true
    ) throws -> Value {
        let windows = try poolWindows(x, "averagePool", kernel, stride ?? kernel, padding, false)
        if countingPadding { return affine(windowSum(x, windows), scale: 1 / Double(kernel * kernel)) }
        return try windowMean(x, windows)
    }

    /// The mean of each of `rows` × `columns` windows that cover the last two axes evenly.
    public func adaptiveAveragePool(_ x: Value, rows: Int, columns: Int) throws -> Value {
        let windows = try adaptiveWindows(x, "adaptiveAveragePool", rows, columns)
        if rows == 1, columns == 1 { return try mean(x, axes: [-2, -1], keepingAxes: true) }
        return try windowMean(x, windows)
    }

    private func windowMean(_ x: Value, _ windows: Windows) throws -> Value {
        let weights = windows.rows.flatMap { row in windows.columns.map { 1 / Double(row.count * $0.count) } }
        return try multiply(
            windowSum(x, windows), constant(weights, [windows.rows.count, windows.columns.count]))
    }

    func windowSum(_ x: Value, _ windows: Windows) -> Value {
        emit(.windowSum(windows), [x.id], windows.outputShape(x.shape))
    }

    func windowSpread(_ x: Value, _ windows: Windows, onto shape: Shape) -> Value {
        emit(.windowSpread(windows), [x.id], shape)
    }

    private func poolWindows(
        _ x: Value, _ name: String, _ kernel: Int, _ stride: Int, _ padding: Int, _ roundingUp: Bool
    ) throws -> Windows {
        guard x.shape.rank >= 2 else { throw misfit(name, "\(x.shape) has no plane") }
        guard kernel > 0, stride > 0, padding >= 0, padding * 2 <= kernel else {
            throw misfit(name, "kernel \(kernel), stride \(stride), padding \(padding) make no windows")
        }
        let axis = x.shape.rank - 2
        let ranges = (0...1).map {
            Windows.strided(
                extent: x.shape[axis + $0], kernel: kernel, stride: stride, padding: padding, roundingUp: roundingUp)
        }
        guard !ranges[0].isEmpty, !ranges[1].isEmpty else {
            throw misfit(name, "a window of \(kernel) does not fit into \(x.shape)")
        }
        return Windows(axis: axis, rows: ranges[0], columns: ranges[1], uniform: [kernel, stride, padding])
    }

    private func adaptiveWindows(_ x: Value, _ name: String, _ rows: Int, _ columns: Int) throws -> Windows {
        let axis = x.shape.rank - 2
        guard axis >= 0, rows > 0, columns > 0, x.shape[axis] > 0, x.shape[axis + 1] > 0 else {
            throw misfit(name, "\(rows) by \(columns) windows over \(x.shape)")
        }
        return Windows(
            axis: axis, rows: Windows.adaptive(extent: x.shape[axis], count: rows),
            columns: Windows.adaptive(extent: x.shape[axis + 1], count: columns))
    }
}

/// Rows and columns of the last two axes as a product reads them.
func matrixExtents(_ shape: Shape, _ transposed: Bool) -> (rows: Int, columns: Int) {
    let rows = shape[shape.rank - 2], columns = shape[shape.rank - 1]
    return transposed ? (columns, rows) : (rows, columns)
}

extension Shape {
    /// All but the last two extents.
    var batch: Shape { Shape(Array(dimensions.dropLast(2))) }
}
