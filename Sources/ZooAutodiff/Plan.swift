import ZooTensor

/// Where every value of a program lives while it runs: one arena, cut by lifetimes.
///
/// Values that depend on parameters alone (reshaped or packed weights) are computed when parameters are bound and stay;
/// the others share space as soon as their last reader has run. An element-by-element operation takes over the space
/// of an operand that nobody needs any more.
struct Plan: Sendable {
    /// What backs a buffer.
    enum Place: Sendable, Hashable {
        /// Bytes of the arena, from an offset.
        case arena(Int)
        /// Memory of the caller, by the input's place.
        case input(Int)
        /// The same bytes as another buffer.
        case alias(Int)
        /// Nowhere: it lives only inside a step of several operations (see `RowCluster`).
        case inside
    }

    /// For each value its place.
    private(set) var places: [Place] = []
    /// For each value the buffer that holds it: itself, or what it is a reshape of.
    let buffers: [Int]
    /// Instructions to run once per set of parameters.
    let prologue: [Int]
    /// What runs each time: single instructions, and neighbours that run together.
    let steps: [[Int]]
    /// How many of the steps come first and depend on no direction; all when the program is not planned to keep them.
    let primalSteps: Int
    /// The size of the arena.
    private(set) var arenaBytes = 0

    /// Space is handed out in steps of a cache line, which is also the widest vector.
    static let alignment = 64

    /// Plans a program; `clusters` lets neighbouring operations on rows run together. With `keepsPrimal` what depends on
    /// directions comes last, and nothing that it reads of the rest is overwritten.
    init(_ program: Program, scalarBytes: Int, clusters: Bool, keepsPrimal: Bool = false) {
        let instructions = program.instructions
        var buffers = Array(instructions.indices)
        let settled = program.settled
        for (id, instruction) in instructions.enumerated() {
            if case .reshape = instruction.operation { buffers[id] = buffers[instruction.operands[0]] }
        }
        self.buffers = buffers
        let working = instructions.indices.filter { !instructions[$0].operation.isFree }
        prologue = working.filter { settled[$0] }
        let body = working.filter { !settled[$0] }
        let directed = keepsPrimal ? program.directed : Array(repeating: false, count: instructions.count)
        func steps(_ body: [Int]) -> [[Int]] {
            clusters ? RowCluster.steps(program, body: body, buffers: buffers) : body.map { [$0] }
        }
        let primal = steps(body.filter { !directed[$0] })
        primalSteps = primal.count
        self.steps = primal + steps(body.filter { directed[$0] })
        assign(program, settled, directed, scalarBytes)
    }

    private mutating func assign(_ program: Program, _ settled: [Bool], _ directed: [Bool], _ scalarBytes: Int) {
        let instructions = program.instructions
        var lastUse = [Int](repeating: -1, count: instructions.count)
        for (place, step) in steps.enumerated() {
            for id in step {
                for buffer in instructions[id].operands.map({ buffers[$0] }) {
                    // What the last steps read of the first ones is read again whenever they run again.
                    let isKept = place >= primalSteps && !directed[buffer]
                    lastUse[buffer] = isKept ? .max : max(lastUse[buffer], id)
                }
            }
        }
        for output in program.outputs { lastUse[buffers[output.id]] = .max }

        func size(_ id: Int) -> Int {
            let bytes = instructions[id].shape.elementCount * (instructions[id].isIndex ? 4 : scalarBytes)
            return max(1, (bytes + Plan.alignment - 1) / Plan.alignment) * Plan.alignment
        }
        var space = Space()
        places = instructions.indices.map { .alias(buffers[$0]) }
        for (place, input) in program.inputs.enumerated() { places[input.id] = .input(place) }
        for (id, instruction) in instructions.enumerated() where settled[id] && buffers[id] == id {
            if case .input = instruction.operation { continue }
            places[id] = .arena(space.take(size(id)))
        }
        for step in steps {
            let grid = RowCluster.grid(program, step)
            let reads = Set(step.flatMap { instructions[$0].operands.map { buffers[$0] } }).subtracting(step)
            var ending = reads.filter { buffer in
                guard case .arena = places[buffer] else { return false }
                return !settled[buffer] && lastUse[buffer] <= step[step.count - 1]
            }
            for (place, id) in step.enumerated() {
                if step.count > 1, lastUse[id] >= 0, lastUse[id] <= step[step.count - 1] {
                    places[id] = .inside
                    continue
                }
                if let heir = heir(instructions, step, place, grid, ending, size) {
                    ending.remove(heir)
                    places[id] = places[heir]
                } else {
                    places[id] = .arena(space.take(size(id)))
                }
                if lastUse[id] < 0 { ending.insert(id) }
            }
            for buffer in ending.sorted() {
                if case .arena(let offset) = places[buffer] { space.give(offset, size(buffer)) }
            }
        }
        arenaBytes = space.end
    }

    /// The buffer whose space the result of an operation may take: it ends with the step, has the same size, and no
    /// later operation of the step reads it.
    private func heir(
        _ instructions: [Instruction], _ step: [Int], _ place: Int, _ grid: RowCluster?, _ ending: Set<Int>,
        _ size: (Int) -> Int
    ) -> Int? {
        let id = step[place], taken = instructions[id].operands.map { buffers[$0] }
        func suits(_ buffer: Int) -> Bool {
            ending.contains(buffer) && size(buffer) == size(id)
                && instructions[buffer].isIndex == instructions[id].isIndex
                && instructions[buffer].shape.elementCount == instructions[id].shape.elementCount
                && !step[(place + 1)...].contains { instructions[$0].operands.contains { buffers[$0] == buffer } }
        }
        let own = instructions[id].overwritable.map { taken[$0] }.first { buffer in
            suits(buffer) && (!instructions[id].readsWhileWriting || taken.filter { $0 == buffer }.count == 1)
        }
        guard own == nil, let grid, grid.form(instructions[id].shape) != .column else { return own }
        // Rows that an earlier operation of the step was the last to read. Columns are read again for every block.
        return ending.sorted().first {
            suits($0) && !taken.contains($0) && instructions[$0].shape == instructions[id].shape
        }
    }
}

extension Program {
    /// For each value whether it depends on parameters alone.
    var settled: [Bool] {
        var settled = [Bool](repeating: false, count: instructions.count)
        for (id, instruction) in instructions.enumerated() {
            if case .input(let place, _) = instruction.operation {
                settled[id] = inputs[place].role == .parameter
            } else {
                settled[id] = instruction.operands.allSatisfy { settled[$0] }
            }
        }
        return settled
    }
}

extension Program {
    /// For each value whether it depends on a direction.
    var directed: [Bool] {
        var directed = [Bool](repeating: false, count: instructions.count)
        for (id, instruction) in instructions.enumerated() {
            if case .input(let place, _) = instruction.operation {
                directed[id] = inputs[place].role == .direction
            } else {
                directed[id] = instruction.operands.contains { directed[$0] }
            }
        }
        return directed
    }
}

extension Instruction {
    /// Whether operands are still read when parts of the result are written: a buffer that is the initial value and
    /// another operand as well cannot be the place of the result.
    var readsWhileWriting: Bool {
        switch operation {
        case .fused(.convolution), .fused(.product): true
        default: false
        }
    }

    /// Operands whose space the result may take when nobody else needs them, the best one first.
    var overwritable: [Int] {
        switch operation {
        case .unary, .softmax, .fused(.maskedSoftmax): [0]
        case .fused(.softmaxSlope): [1]
        case .binary, .fused(.slope): [0, 1]
        case .fused(.convolution(_, _, let extras)), .fused(.product(_, let extras, _)):
            extras.initial ? [operands.count - 1] : []
        case .fused(.channelAffine(_, let extras)): extras.initial ? [operands.count - 1] : [0]
        default: []
        }
    }
}

/// Free space between taken pieces; the smallest piece that fits is cut.
private struct Space {
    private var free: [(offset: Int, size: Int)] = []
    /// One past the highest byte ever taken.
    private(set) var end = 0

    mutating func take(_ size: Int) -> Int {
        if let best = free.indices.filter({ free[$0].size >= size }).min(by: { free[$0].size < free[$1].size }) {
            let offset = free[best].offset
            free[best] = (offset + size, free[best].size - size)
            if free[best].size == 0 { free.remove(at: best) }
            return offset
        }
        if let last = free.last, last.offset + last.size == end {
            free.removeLast()
            end = last.offset + size
            return last.offset
        }
        defer { end += size }
        return end
    }

    mutating func give(_ offset: Int, _ size: Int) {
        let place = free.firstIndex { $0.offset > offset } ?? free.count
        free.insert((offset, size), at: place)
        if place + 1 < free.count, offset + size == free[place + 1].offset {
            free[place].size += free.remove(at: place + 1).size
        }
        if place > 0, free[place - 1].offset + free[place - 1].size == offset {
            free[place - 1].size += free.remove(at: place).size
        }
    }
}
