import CZooKernels
import ZooTensor

/// Neighbouring operations that treat the rows of a matrix alike: element by element, with a number per row or per
/// column, sums along rows and down columns. They run together, some rows at a time, so that what lies between them
/// stays in the cache and takes no place in the arena. Layer norm, its derivatives and theirs become one pass over
/// memory, whatever primitives they are made of.
struct RowCluster {
    /// How a value lies over the rows.
    enum Form { case whole, perRow, column }

    let rows: Int, width: Int

    /// Narrower rows and smaller matrices gain nothing.
    private static let leastWidth = 16, leastBytes = 1 << 18
    /// Bytes of a value's rows that are worked on at a time: a dozen values stay in the second cache.
    private static let blockBytes = 1 << 15

    /// Rows that are worked on at a time.
    var block: Int { min(rows, max(8, Self.blockBytes / 4 / width)) }

    /// The grid that an instruction would open.
    private init?(_ program: Program, _ id: Int) {
        let instruction = program.instructions[id]
        var shape = instruction.shape
        if case .sum = instruction.operation { shape = program.instructions[instruction.operands[0]].shape }
        guard let width = shape.dimensions.last, width >= Self.leastWidth, shape.elementCount * 4 >= Self.leastBytes
        else { return nil }
        self.width = width
        rows = shape.elementCount / width
        guard takes(program, id) else { return nil }
    }

    func form(_ shape: Shape) -> Form? {
        let count = shape.elementCount
        if count == rows * width { return shape.dimensions.last == width ? .whole : nil }
        if count == width { return shape.dimensions.last == width ? .column : nil }
        return count == rows && shape.dimensions.last == 1 ? .perRow : nil
    }

    /// The number of floats of some rows of a value.
    func size(_ form: Form, rows: Int) -> Int {
        switch form {
        case .whole: rows * width
        case .perRow: rows
        case .column: width
        }
    }

    func shape(_ form: Form, rows: Int) -> Shape {
        switch form {
        case .whole: [rows, width]
        case .perRow: [rows, 1]
        case .column: [width]
        }
    }

    /// Whether an operation treats the rows alike.
    private func takes(_ program: Program, _ id: Int) -> Bool {
        let instruction = program.instructions[id]
        let forms = instruction.operands.map { form(program.instructions[$0].shape) }
        guard let own = form(instruction.shape), !forms.contains(nil) else { return false }
        switch instruction.operation {
        case .unary: return own != .column
        case .fused(.slope): return own == .whole && forms.allSatisfy { $0 == .whole }
        case .binary(let function):
            // Where both numbers repeat along different axes there is no kernel for rows.
            return own == .whole
                ? forms.contains(.whole) && function != .gate || forms.allSatisfy { $0 == .whole }
                : own == .perRow && forms.allSatisfy { $0 == .perRow }
        case .softmax(let axis): return own == .whole && axis == instruction.shape.rank - 1
        case .fused(.softmaxSlope): return own == .whole && forms.allSatisfy { $0 == .whole }
        case .sum(let axes): return forms[0] == .whole && (own == .perRow || own == .column) && !axes.isEmpty
        default: return false
        }
    }

    /// Whether an operation sums down the columns: its result is complete after the last row.
    func isTotal(_ instruction: Instruction) -> Bool {
        if case .sum = instruction.operation { return form(instruction.shape) == .column }
        return false
    }

    /// The steps of a program: single operations, and clusters of neighbours.
    static func steps(_ program: Program, body: [Int], buffers: [Int]) -> [[Int]] {
        var steps: [[Int]] = [], open: [Int] = [], totals: Set<Int> = []
        var grid: RowCluster?
        func add(_ id: Int, to cluster: RowCluster) {
            open.append(id)
            if cluster.isTotal(program.instructions[id]) { totals.insert(id) }
        }
        func close() {
            steps += open.count > 1 ? [open] : open.map { [$0] }
            (open, totals, grid) = ([], [], nil)
        }
        for id in body {
            let needsTotals = program.instructions[id].operands.contains { totals.contains(buffers[$0]) }
            if let cluster = grid, !needsTotals, cluster.takes(program, id) {
                add(id, to: cluster)
                continue
            }
            close()
            grid = RowCluster(program, id)
            if let cluster = grid { add(id, to: cluster) } else { steps.append([id]) }
        }
        close()
        return steps
    }

    /// The grid of a step of several operations.
    static func grid(_ program: Program, _ step: [Int]) -> RowCluster? {
        step.count > 1 ? RowCluster(program, step[0]) : nil
    }
}

/// One operation of a cluster on some rows.
private enum RowAction: Sendable {
    case kernel(Kernel)
    /// Sums down columns, added to those of the rows before.
    case total(from: Int, to: Int, rows: Int, width: Int)
}

extension RowCluster {
    /// Where a value of the cluster lies while some rows are worked on.
    private struct Slot: Sendable {
        /// A buffer of the executor, or an offset into scratch memory.
        let buffer: Int?, offset: Int
        /// Bytes from one block of rows to the next.
        let step: Int
    }

    /// Lowers a step: each operation for whole blocks of rows, and for the rows that are left.
    func lower(_ program: Program, _ step: [Int], _ plan: Plan, _ lower: (Site) -> Lowered) -> Lowered {
        var slots: [Slot] = [], numbers: [Int: Int] = [:]
        var scratch = Scratch(start: 0)
        let last = lastReads(program, step, plan)
        func slot(_ buffer: Int, _ form: Form) -> Int {
            if let known = numbers[buffer] { return known }
            let isInside = plan.places[buffer] == .inside
            let bytes = size(form, rows: block) * 4
            slots.append(
                Slot(
                    buffer: isInside ? nil : buffer, offset: isInside ? scratch.take(bytes) : 0,
                    step: isInside || form == .column ? 0 : bytes))
            numbers[buffer] = slots.count - 1
            return slots.count - 1
        }
        let left = rows % block
        var actions: [[RowAction]] = [[], []]
        var own = 0, usesBLAS = false
        for (place, id) in step.enumerated() {
            let instruction = program.instructions[id]
            let forms = instruction.operands.map { form(program.instructions[$0].shape) ?? .whole }
            let shaped = form(instruction.shape) ?? .whole
            let operands = zip(instruction.operands, forms).map { slot(plan.buffers[$0], $1) }
            let output = slot(id, shaped)
            for (variant, count) in [block, left].enumerated() where count > 0 {
                if isTotal(instruction) {
                    actions[variant].append(.total(from: operands[0], to: output, rows: count, width: width))
                    continue
                }
                let lowered = lower(
                    Site(
                        operation: instruction.operation.overRows, operands: operands,
                        operandShapes: forms.map { shape($0, rows: count) }, output: output,
                        shape: shape(shaped, rows: count)))
                own = max(own, lowered.scratchBytes)
                usesBLAS = usesBLAS || lowered.usesBLAS
                actions[variant].append(.kernel(lowered.kernel))
            }
            for buffer in Set(instruction.operands.map { plan.buffers[$0] } + [id])
            where last[buffer, default: place] == place && plan.places[buffer] == .inside {
                guard let number = numbers[buffer] else { continue }
                scratch.give(slots[number].offset, slotBytes(program, buffer))
            }
        }
        return run(slots, actions, tableStart: scratch.end, own: own, usesBLAS: usesBLAS)
    }

    private func slotBytes(_ program: Program, _ id: Int) -> Int {
        size(form(program.instructions[id].shape) ?? .whole, rows: block) * 4
    }

    /// For each buffer the place in the step where it is read last.
    private func lastReads(_ program: Program, _ step: [Int], _ plan: Plan) -> [Int: Int] {
        var last: [Int: Int] = [:]
        for (place, id) in step.enumerated() {
            for operand in program.instructions[id].operands { last[plan.buffers[operand]] = place }
        }
        return last
    }

    private func run(_ slots: [Slot], _ actions: [[RowAction]], tableStart: Int, own: Int, usesBLAS: Bool) -> Lowered {
        let tableBytes = (slots.count * MemoryLayout<UnsafeMutableRawPointer>.stride + 63) & ~63
        let ownStart = tableStart + tableBytes, blocks = rows / block
        return Lowered(scratchBytes: ownStart + own, usesBLAS: usesBLAS) { buffers, scratch in
            let table = (scratch + tableStart).bindMemory(to: UnsafeMutableRawPointer.self, capacity: slots.count)
            for (place, slot) in slots.enumerated() {
                (table + place).initialize(to: slot.buffer.map { buffers[$0] } ?? scratch + slot.offset)
            }
            let local = Buffers(table)
            for number in 0..<(blocks + (actions[1].isEmpty ? 0 : 1)) {
                for action in actions[number < blocks ? 0 : 1] {
                    switch action {
                    case .kernel(let kernel): kernel(local, scratch + ownStart)
                    case .total(let x, let y, let rows, let width):
                        zoo_column_sums(
                            rows, width, local.reals(x), nil, local.output(y), number == 0 ? 0 : Int32(ZOO_ADD))
                    }
                }
                for (place, slot) in slots.enumerated() { table[place] += slot.step }
            }
        }
    }
}

extension Operation {
    /// The operation on [rows, width] in place of more axes before the last.
    fileprivate var overRows: Operation {
        switch self {
        case .softmax: .softmax(1)
        case .sum: .sum([1])
        default: self
        }
    }
}

/// Scratch memory handed out and taken back: pieces of one size are used again.
private struct Scratch {
    private var free: [Int: [Int]] = [:]
    private(set) var end: Int

    init(start: Int) { end = start }

    mutating func take(_ bytes: Int) -> Int {
        let size = (bytes + 63) & ~63
        if let known = free[size]?.popLast() { return known }
        defer { end += size }
        return end
    }

    mutating func give(_ offset: Int, _ bytes: Int) { free[(bytes + 63) & ~63, default: []].append(offset) }
}
