import ZooBase
import ZooTensor

/// Shapes, sums along axes and choices by index. Axes count from zero; negative ones from the end.
extension ProgramBuilder {
    /// The same elements, row-major, under other extents; one extent may be −1 and is worked out.
    public func reshape(_ x: Value, _ extents: [Int]) throws -> Value {
        var extents = extents
        if let free = extents.firstIndex(of: -1) {
            let others = extents.filter { $0 != -1 }.reduce(1, *)
            guard others > 0, x.shape.elementCount % others == 0 else {
                throw misfit("reshape", "\(x.shape) does not divide into \(extents)")
            }
            extents[free] = x.shape.elementCount / others
        }
        guard extents.allSatisfy({ $0 >= 0 }), extents.reduce(1, *) == x.shape.elementCount else {
            throw misfit("reshape", "\(x.shape) has \(x.shape.elementCount) elements, \(extents) asks for others")
        }
        let shape = Shape(extents)
        if shape == x.shape { return x }
        let instruction = instructions[x.id]
        if case .fill(let number) = instruction.operation { return fill(number, shape) }
        if case .reshape = instruction.operation { return try reshape(value(instruction.operands[0]), extents) }
        return emit(.reshape, [x.id], shape)
    }

    /// Everything after the first axis in one axis.
    public func flatten(_ x: Value) throws -> Value { try reshape(x, [x.shape.dimensions.first ?? 1, -1]) }

    /// Extents of one (or missing in front) repeated until the shape is reached.
    public func broadcast(_ x: Value, to shape: Shape) throws -> Value {
        if x.shape == shape { return x }
        guard broadcastShape(x.shape, shape) == shape else {
            throw misfit("broadcast", "\(x.shape) does not extend to \(shape)")
        }
        if let number = fillNumber(x) { return fill(number, shape) }
        if case .broadcast = instructions[x.id].operation {
            return try broadcast(value(instructions[x.id].operands[0]), to: shape)
        }
        return emit(.broadcast, [x.id], shape)
    }

    /// The transpose of `broadcast`: sums over whatever was repeated.
    func sum(_ x: Value, to shape: Shape) throws -> Value {
        let lead = x.shape.rank - shape.rank
        let axes = (0..<x.shape.rank).filter { $0 < lead || (shape[$0 - lead] == 1 && x.shape[$0] != 1) }
        return try reshape(sum(x, axes: axes, keepingAxes: true), shape.dimensions)
    }

    /// Axis *i* of the result is axis `order[i]` of x.
    public func transpose(_ x: Value, _ order: [Int]) throws -> Value {
        guard order.sorted() == Array(0..<x.shape.rank) else {
            throw misfit("transpose", "\(order) is no order of the axes of \(x.shape)")
        }
        let shape = Shape(order.map { x.shape[$0] })
        if order == Array(0..<x.shape.rank) { return x }
        if let number = fillNumber(x) { return fill(number, shape) }
        if case .transpose(let inner) = instructions[x.id].operation {
            return try transpose(value(instructions[x.id].operands[0]), order.map { inner[$0] })
        }
        // Moving axes of extent one past others moves no data.
        if order.filter({ x.shape[$0] != 1 }) == (0..<x.shape.rank).filter({ x.shape[$0] != 1 }) {
            return try reshape(x, shape.dimensions)
        }
        return emit(.transpose(order), [x.id], shape)
    }

    /// The part of x in a range of one axis.
    public func slice(_ x: Value, axis: Int, _ range: Range<Int>) throws -> Value {
        let axis = try place(axis, x.shape, "slice")
        guard range.lowerBound >= 0, range.upperBound <= x.shape[axis] else {
            throw misfit("slice", "\(range) lies outside axis \(axis) of \(x.shape)")
        }
        var starts = [Int](repeating: 0, count: x.shape.rank)
        starts[axis] = range.lowerBound
        return slice(x, starts: starts, x.shape.replacing(axis, by: range.count))
    }

    func slice(_ x: Value, starts: [Int], _ shape: Shape) -> Value {
        if shape == x.shape { return x }
        if let number = fillNumber(x) { return fill(number, shape) }
        return emit(.slice(starts), [x.id], shape)
    }

    /// Zeros put before and after x along one axis.
    public func pad(_ x: Value, axis: Int, before: Int, after: Int) throws -> Value {
        let axis = try place(axis, x.shape, "pad")
        guard before >= 0, after >= 0 else { throw misfit("pad", "negative padding \(before), \(after)") }
        var starts = [Int](repeating: 0, count: x.shape.rank)
        starts[axis] = before
        return pad(x, starts: starts, x.shape.replacing(axis, by: before + x.shape[axis] + after))
    }

    func pad(_ x: Value, starts: [Int], _ shape: Shape) -> Value {
        if shape == x.shape { return x }
        if fillNumber(x) == 0 { return fill(0, shape) }
        return emit(.pad(starts), [x.id], shape)
    }

    /// Arrays one after the other along an axis.
    public func concatenate(_ parts: [Value], axis: Int) throws -> Value {
        guard let first = parts.first else { throw misfit("concatenate", "there is nothing to join") }
        let axis = try place(axis, first.shape, "concatenate")
        for part in parts
        where part.shape.rank != first.shape.rank
            || part.shape.replacing(axis, by: 0) != first.shape.replacing(axis, by: 0)
        {
            throw misfit("concatenate", "\(part.shape) does not continue \(first.shape) along axis \(axis)")
        }
        if parts.count == 1 { return first }
        let extent = parts.map { $0.shape[axis] }.reduce(0, +)
        return emit(.concatenate(axis), parts.map(\.id), first.shape.replacing(axis, by: extent))
    }

    // MARK: Sums

    /// The sum over some axes (all when none are named).
    public func sum(_ x: Value, axes: [Int]? = nil, keepingAxes: Bool = false) throws -> Value {
        let places = try (axes ?? Array(0..<x.shape.rank)).map { try place($0, x.shape, "sum") }
        let kept = Shape(x.shape.dimensions.enumerated().map { places.contains($0) ? 1 : $1 })
        let left = keepingAxes ? kept : Shape((0..<kept.rank).filter { !places.contains($0) }.map { kept[$0] })
        return try reshape(summed(x, places, kept), left.dimensions)
    }

    private func summed(_ x: Value, _ axes: [Int], _ kept: Shape) throws -> Value {
        if kept == x.shape { return x }
        let count = Double(x.shape.elementCount) / Double(max(1, kept.elementCount))
        if let number = fillNumber(x) { return fill(number * count, kept) }
        let instruction = instructions[x.id]
        if case .unary(.affine(let scale, 0)) = instruction.operation {
            return try affine(summed(value(instruction.operands[0]), axes, kept), scale: scale)
        }
        let long = axes.filter { x.shape[$0] != 1 }.sorted()
        return emit(.sum(long), [x.id], kept)
    }

    /// The mean over some axes (all when none are named).
    public func mean(_ x: Value, axes: [Int]? = nil, keepingAxes: Bool = false) throws -> Value {
        let total = try sum(x, axes: axes, keepingAxes: keepingAxes)
        let count = Double(x.shape.elementCount) / Double(max(1, total.shape.elementCount))
        return affine(total, scale: 1 / count)
    }

    /// exp(x) / Σ exp(x) along an axis, without overflow.
    public func softmax(_ x: Value, axis: Int = -1) throws -> Value {
        emit(.softmax(try place(axis, x.shape, "softmax")), [x.id], x.shape)
    }

    /// log Σ exp(x) along an axis, which stays with extent one; without overflow.
    public func logSumExp(_ x: Value, axis: Int = -1) throws -> Value {
        let axis = try place(axis, x.shape, "logSumExp")
        return emit(.logSumExp(axis), [x.id], x.shape.replacing(axis, by: 1))
    }

    /// x − log Σ exp(x) along an axis.
    public func logSoftmax(_ x: Value, axis: Int = -1) throws -> Value { try subtract(x, logSumExp(x, axis: axis)) }

    // MARK: Choices

    /// Place of the largest element along an axis, which stays with extent one; the lowest place on ties.
    public func argmax(_ x: Value, axis: Int = -1) throws -> Indices {
        let axis = try place(axis, x.shape, "argmax")
        return emitIndices(.argmax(axis), [x.id], x.shape.replacing(axis, by: 1))
    }

    /// The largest element along an axis, which stays with extent one; the derivative goes to the first on ties.
    public func maximum(of x: Value, axis: Int = -1) throws -> Value { try take(x, argmax(x, axis: axis), axis: axis) }

    /// out[…, j, …] = x[…, index[…, j, …], …] along an axis; the other extents of x and index agree.
    public func take(_ x: Value, _ index: Indices, axis: Int) throws -> Value {
        let axis = try place(axis, x.shape, "take")
        guard index.shape.rank == x.shape.rank, index.shape.replacing(axis, by: 0) == x.shape.replacing(axis, by: 0)
        else { throw misfit("take", "indices \(index.shape) do not fit \(x.shape) along axis \(axis)") }
        try check(index, below: x.shape[axis], "take")
        return emit(.take(axis), [x.id, index.id], index.shape)
    }

    /// Indices that a program computes are checked when it is written; those it reads, when it runs.
    private func check(_ index: Indices, below bound: Int, _ operation: String) throws {
        var id = index.id
        while case .reshape = instructions[id].operation { id = instructions[id].operands[0] }
        if case .argmax(let axis) = instructions[id].operation {
            let extent = instructions[instructions[id].operands[0]].shape[axis]
            guard extent > bound else { return }
            throw misfit(operation, "places among \(extent) elements for an axis of \(bound)")
        }
        guard case .input = instructions[id].operation else {
            throw misfit(operation, "these indices are places of windows")
        }
    }

    /// The transpose of `take`: zeros of the given extent along the axis, values added at the places of the indices.
    package func put(_ x: Value, _ index: Indices, axis: Int, extent: Int) -> Value {
        emit(.put(axis), [x.id, index.id], x.shape.replacing(axis, by: extent))
    }

    /// Rows of a table [rows, …] by index: the shape is the indices' and then the row's. An embedding.
    public func gatherRows(_ table: Value, _ index: Indices) throws -> Value {
        guard table.shape.rank >= 1 else { throw misfit("gatherRows", "the table is a scalar") }
        try check(index, below: table.shape[0], "gatherRows")
        let shape = Shape(index.shape.dimensions + table.shape.dimensions.dropFirst())
        return emit(.gatherRows, [table.id, index.id], shape)
    }

    /// The transpose of `gatherRows`: a table of zeros to whose rows the values are added.
    package func scatterRows(_ x: Value, _ index: Indices, table: Shape) -> Value {
        emit(.scatterRows, [x.id, index.id], table)
    }

    /// One where two arrays of integers agree, else zero.
    public func agreement(_ a: Indices, _ b: Indices) throws -> Value {
        guard a.shape.elementCount == b.shape.elementCount else {
            throw misfit("agreement", "\(a.shape) against \(b.shape)")
        }
        return emit(.agree, [a.id, b.id], a.shape)
    }

    /// The same integers under other extents.
    public func reshape(_ x: Indices, _ extents: [Int]) throws -> Indices {
        guard extents.allSatisfy({ $0 >= 0 }), extents.reduce(1, *) == x.shape.elementCount else {
            throw misfit("reshape", "\(x.shape) to \(extents)")
        }
        return x.shape.dimensions == extents ? x : emitIndices(.reshape, [x.id], Shape(extents))
    }

    /// An axis counted from the front.
    func place(_ axis: Int, _ shape: Shape, _ operation: String) throws -> Int {
        let place = axis < 0 ? axis + shape.rank : axis
        guard place >= 0, place < shape.rank else { throw misfit(operation, "\(shape) has no axis \(axis)") }
        return place
    }
}

extension Shape {
    /// The same extents but one.
    func replacing(_ axis: Int, by extent: Int) -> Shape {
        var extents = dimensions
        extents[axis] = extent
        return Shape(extents)
    }
}
