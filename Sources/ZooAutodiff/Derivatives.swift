import ZooBase
import ZooTensor

/// Derivatives as further instructions of the same program. They nest: a gradient has tangents, a tangent gradients.
extension ProgramBuilder {
    /// The gradient of a scalar (or, with `seed`, of ⟨seed, y⟩) in each of `inputs`, which may be any values.
    ///
    /// - Parameter checkpoints: values to keep from the forward pass; what lies between two of them is computed again
    ///   when the backward pass gets there, which saves its memory. See `checkpoints(of:segments:)`.
    /// - Throws: `mismatch` when y is no scalar and no seed is given, or the seed has another shape.
    public func gradient(
        of y: Value, withRespectTo inputs: [Value], seed: Value? = nil, checkpoints: [Value] = []
    ) throws -> [Value] {
        guard let seed = seed ?? (y.shape.elementCount == 1 ? fill(1, y.shape) : nil), seed.shape == y.shape else {
            throw misfit("gradient", "\(y.shape) is no scalar", hint: "sum or average it, or give a seed of its shape")
        }
        var active = [Bool](repeating: false, count: y.id + 1)
        for input in inputs where input.id <= y.id { active[input.id] = true }
        for id in 0...y.id where !active[id] { active[id] = instructions[id].operands.contains { active[$0] } }
        var copies = Recomputation(cuts: checkpoints.map(\.id).filter { $0 < y.id })
        var cotangents: [Int: Value] = [y.id: seed]
        for id in stride(from: y.id, through: 0, by: -1) where active[id] {
            guard let cotangent = cotangents[id] else { continue }
            let operands = instructions[id].operands
            guard operands.contains(where: { active[$0] }) else { continue }
            for (operand, map) in zip(operands, try rule(of: copies.copy(of: id, in: self))) where active[operand] {
                guard let share = try map?.pull(cotangent) else { continue }
                cotangents[operand] = try cotangents[operand].map { try add($0, share) } ?? share
            }
        }
        return inputs.map { cotangents[$0.id] ?? fill(0, $0.shape) }
    }

    /// Values that cut the computation of y into `segments` of about equal memory, at places where one value alone
    /// carries everything across. Empty when there are no such places.
    public func checkpoints(of y: Value, segments: Int) -> [Value] {
        var lastUse = [Int](repeating: -1, count: y.id + 1)
        for id in 0...y.id { for operand in instructions[id].operands { lastUse[operand] = id } }
        var crossing = 0, total = 0
        var ending: [Int: Int] = [:]
        var candidates: [(id: Int, before: Int)] = []
        for id in 0..<y.id where !instructions[id].operands.isEmpty {
            total += instructions[id].operation.isFree ? 0 : instructions[id].shape.elementCount
            crossing -= ending[id] ?? 0
            guard lastUse[id] > id else { continue }
            crossing += 1
            ending[lastUse[id], default: 0] += 1
            if crossing == 1 { candidates.append((id, total)) }
        }
        guard segments > 1, !candidates.isEmpty else { return [] }
        let places = (1..<segments).compactMap { part in
            let wanted = total * part / segments
            return candidates.min { ($0.before - wanted).magnitude < ($1.before - wanted).magnitude }?.id
        }
        return Set(places).sorted().map { value($0) }
    }

    /// How values change along a direction: the tangents of `values` when each first value of `along` moves by the
    /// second, all else held still.
    ///
    /// Several directions share the primal values: call it once for each, equal operations are emitted once.
    /// - Throws: `mismatch` when a direction has another shape than what it moves.
    public func tangents(of values: [Value], along directions: [(Value, Value)]) throws -> [Value] {
        var moved: [Int: Value] = [:]
        for (input, direction) in directions {
            guard input.shape == direction.shape else {
                throw misfit("tangents", "a direction \(direction.shape) for a value \(input.shape)")
            }
            moved[input.id] = direction
        }
        let last = values.map(\.id).max() ?? -1
        var needed = [Bool](repeating: false, count: last + 1)
        for value in values { needed[value.id] = true }
        for id in stride(from: last, through: 0, by: -1) where needed[id] && moved[id] == nil {
            for operand in instructions[id].operands { needed[operand] = true }
        }
        for id in stride(from: 0, through: last, by: 1) where needed[id] && moved[id] == nil {
            let operands = instructions[id].operands
            guard operands.contains(where: { moved[$0] != nil }) else { continue }
            for (operand, map) in zip(operands, try rule(of: id)) {
                guard let tangent = moved[operand], let share = try map?.push(tangent) else { continue }
                moved[id] = try moved[id].map { try add($0, share) } ?? share
            }
        }
        return values.map { moved[$0.id] ?? fill(0, $0.shape) }
    }

    /// Gradient and Hessian-vector product of a scalar: the tangent of the gradient (forward over reverse).
    public func hessianVectorProduct(
        of y: Value, withRespectTo inputs: [Value], along directions: [Value]
    ) throws -> (gradient: [Value], product: [Value]) {
        let gradient = try gradient(of: y, withRespectTo: inputs)
        return (gradient, try tangents(of: gradient, along: Array(zip(inputs, directions))))
    }

    /// The Gauss-Newton product Jᵀ H J v: J the Jacobian of `output` in `inputs`, H the Hessian of the loss y in
    /// `output`, on which y must depend through `output` alone. Equal to the Hessian-vector product where `output` is
    /// linear in the inputs; positive semi-definite for cross-entropy and squared error.
    public func gaussNewtonProduct(
        of y: Value, through output: Value, withRespectTo inputs: [Value], along directions: [Value]
    ) throws -> [Value] {
        let moved = try tangents(of: [output], along: Array(zip(inputs, directions)))
        let slope = try gradient(of: y, withRespectTo: [output])
        let bent = try tangents(of: slope, along: [(output, moved[0])])
        return try gradient(of: output, withRespectTo: inputs, seed: bent[0])
    }
}

/// Copies of forward instructions for the backward pass: what lies between two kept values is computed again.
private struct Recomputation {
    /// Ascending.
    let cuts: [Int]
    private var copies: [Int: Int] = [:]

    init(cuts: [Int]) { self.cuts = Array(Set(cuts)).sorted() }

    /// The instruction to read in place of an old one: itself when it is kept or lies after the last cut.
    mutating func copy(of id: Int, in b: ProgramBuilder) -> Int {
        guard let segment = cuts.firstIndex(where: { $0 >= id }) else { return id }
        return recomputed(id, after: segment > 0 ? cuts[segment - 1] : -1, segment, b)
    }

    private mutating func recomputed(_ id: Int, after start: Int, _ segment: Int, _ b: ProgramBuilder) -> Int {
        var instruction = b.instructions[id]
        guard id > start, !instruction.operands.isEmpty else { return id }
        if let copy = copies[id] { return copy }
        instruction.operands = instruction.operands.map {
            cuts.contains($0) ? $0 : recomputed($0, after: start, segment, b)
        }
        if instruction.operands == b.instructions[id].operands, cuts.contains(id) { return id }
        b.generation = segment + 1
        defer { b.generation = 0 }
        let copy = b.emitNumber(instruction.operation, instruction.operands, instruction.shape)
        copies[id] = copy
        return copy
    }
}
