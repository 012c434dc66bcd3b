import ZooBase

/// Knowledge and queries as the data inputs of encoder programs, padded to common sizes.
struct ModelBatch {
    let shape: EncoderShape
    /// Classes that all are padded to.
    let classes: Int
    /// Length of a row of the lstm encoder.
    let rowLength: Int
    private(set) var arrays: [[Float]]

    init(_ shape: EncoderShape, classes: Int, rowLength: Int) {
        self.shape = shape
        self.classes = classes
        self.rowLength = rowLength
        arrays = [[Float]](repeating: [], count: shape.kind == .tans ? 1 : 3)
    }

    /// The length of a model's rows: its node and its boundary points.
    static func rowLength(_ shape: EncoderShape, _ knowledge: Knowledge) -> Int {
        shape.usesBoundaries ? knowledge.width + 1 : 1
    }

    /// Adds one draw of a model, its live classes in the given order.
    mutating func add(_ knowledge: Knowledge, draw t: Int, order: [Int]) {
        switch shape.kind {
        case .set: addSet(knowledge, t, order)
        case .lstm: addRows(knowledge, t, order)
        case .tans:
            arrays[0] += knowledge.noise
        }
    }

    private mutating func addSet(_ knowledge: Knowledge, _ t: Int, _ order: [Int]) {
        let d = shape.dimension
        for c in order {
            arrays[0] += knowledge.node(t, c)
            guard shape.usesBoundaries else {
                arrays[1] += knowledge.node(t, c)
                continue
            }
            var mean = [Float](repeating: 0, count: d)
            for w in 0..<knowledge.width {
                for (k, value) in knowledge.boundary(t, c, w).enumerated() { mean[k] += value / Float(knowledge.width) }
            }
            arrays[1] += mean
        }
        let padding = [Float](repeating: 0, count: (classes - order.count) * d)
        arrays[0] += padding
        arrays[1] += padding
        arrays[2] += order.map { _ in 1 / Float(order.count) } + [Float](repeating: 0, count: classes - order.count)
    }

    private mutating func addRows(_ knowledge: Knowledge, _ t: Int, _ order: [Int]) {
        let d = shape.dimension
        for c in order {
            var row: [ArraySlice<Float>] = []
            let partners = (0..<knowledge.width).map { knowledge.partners[c * knowledge.width + $0] }
            if !shape.usesBoundaries {
                row = [knowledge.node(t, c)]
            } else if knowledge.width == order.count - 1 {
                row = order.map { other in
                    partners.firstIndex(of: other).map { knowledge.boundary(t, c, $0) } ?? knowledge.node(t, c)
                }
            } else {
                row = [knowledge.node(t, c)] + partners.indices.map { knowledge.boundary(t, c, $0) }
            }
            for vector in row { arrays[0] += vector }
            arrays[0] += [Float](repeating: 0, count: (rowLength - row.count) * d)
            arrays[1] += row.map { _ in 1 } + [Float](repeating: 0, count: rowLength - row.count)
        }
        let missing = classes - order.count
        arrays[0] += [Float](repeating: 0, count: missing * rowLength * d)
        arrays[1] += [Float](repeating: 0, count: missing * rowLength)
        arrays[2] += order.map { _ in 1 } + [Float](repeating: 0, count: missing)
    }
}

/// Class means of queries, padded.
struct QueryBatch {
    let classes: Int
    private(set) var arrays: [[Float]] = [[], []]

    init(classes: Int) { self.classes = classes }

    /// Adds the class means `[C, d]` of a query in the given order.
    mutating func add(_ means: Matrix, order: [Int]) {
        for c in order { arrays[0] += means.row(c).map(Float.init) }
        arrays[0] += [Float](repeating: 0, count: (classes - order.count) * means.columns)
        arrays[1] += order.map { _ in 1 / Float(order.count) } + [Float](repeating: 0, count: classes - order.count)
    }
}
