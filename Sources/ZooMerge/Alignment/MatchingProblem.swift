import CZooKernels
import ZooAutodiff
import ZooBase
import ZooNN
import ZooTensor

/// The weights of both networks, unfolded along every axis that units move along.
///
/// Unit by unit products are single-precision matrix products over whole spaces; a permutation is accepted only when the
/// objective rises in double precision, so rounding of the products cannot go in circles.
struct MatchingProblem {
    let spaces: [PermutationSpaces.Space]
    let jobs: Int
    /// The terms of each space.
    private let terms: [[UnfoldedPair]]
    /// Spaces that own two axes of one tensor: the assignment's gain is not the objective's there.
    private let isQuadratic: [Bool]
    /// Spaces that share a tensor with each space.
    private let neighbours: [Set<Int>]
    /// One term of each tensor, from which the objective is computed.
    private let whole: [UnfoldedPair]

    /// Rows that one product takes at a time: enough to be fast, and fixed by the size, so that the bits do not depend on
    /// `jobs`.
    private static func rowBlock(_ count: Int) -> Int { count > 256 ? 256 : 128 }

    init(_ spaces: [PermutationSpaces.Space], _ a: any TensorSource, _ b: any TensorSource, jobs: Int) throws {
        let shapes = Dictionary(a.tensorInfos.map { ($0.name, $0.shape) }, uniquingKeysWith: { first, _ in first })
        let others = Dictionary(b.tensorInfos.map { ($0.name, $0.shape) }, uniquingKeysWith: { first, _ in first })
        let found = UnitPermutations.moves(spaces, shapes)
        let names = found.keys.sorted()
        if let odd = names.first(where: { shapes[$0] != others[$0] }) {
            throw ZooError(
                .mismatch,
                "tensor '\(odd)' is \(shapes[odd].map(\.description) ?? "missing") in the first network, "
                    + "\(others[odd].map(\.description) ?? "missing") in the second",
                hint: "alignment takes two networks of one architecture")
        }
        let tensors = try Parallel.map(count: names.count, jobs: jobs) { index in
            let name = names[index]
            return try UnfoldedPair.all(
                a.tensor(named: name), b.tensor(named: name), moves: found[name] ?? [], tensor: index)
        }
        self.spaces = spaces
        self.jobs = jobs
        terms = spaces.indices.map { space in tensors.joined().filter { $0.move.space == space } }
        isQuadratic = spaces.indices.map { space in
            found.values.contains { $0.count { $0.space == space } > 1 }
        }
        neighbours = spaces.indices.map { space in
            let beside = found.values.filter { $0.contains { $0.space == space } }.joined().map(\.space)
            return Set(beside).subtracting([space])
        }
        whole = tensors.compactMap(\.first)
    }

    func search(
        from start: UnitPermutations, maxSweeps: Int, using generator: inout SeededGenerator
    ) throws -> (permutations: UnitPermutations, objectives: [Double]) {
        var permutations = start
        var objective = try self.objective(permutations.orders)
        var objectives = [objective]
        var changed = [Int](repeating: 0, count: spaces.count), solved = [Int](repeating: -1, count: spaces.count)
        var clock = 0
        let arena = MatchingArena(terms.map { $0.reduce(0) { $0 + $1.movedCount } }.max() ?? 0)
        for _ in 0..<maxSweeps {
            var progressed = false
            for space in spaces.indices.shuffled(using: &generator) {
                try Cancellation.check()
                guard solved[space] < 0 || neighbours[space].contains(where: { changed[$0] > solved[space] }) else {
                    continue
                }
                clock += 1
                solved[space] = clock
                let moved = try self.moved(space, permutations.orders, arena)
                let values = try products(space, moved)
                let order = try LinearAssignment.maximum(values, size: spaces[space].unitCount)
                guard let gain = try gain(order, space, moved, permutations.orders, values) else { continue }
                permutations.orders[space] = order
                objective += gain
                changed[space] = clock
                if isQuadratic[space] { solved[space] = -1 }
                progressed = true
            }
            guard progressed else { break }
            objectives.append(objective)
        }
        return (permutations, objectives)
    }

    /// B's unfolded weights of a space with all other axes permuted.
    private func moved(_ space: Int, _ orders: [[Int]], _ arena: MatchingArena) throws -> [UnsafePointer<Float>] {
        let terms = terms[space]
        var places: [Int] = [], used = 0
        for term in terms {
            places.append(used)
            used += term.movedCount
        }
        let starts = places
        nonisolated(unsafe) let base = arena.base
        try Parallel.forEach(count: terms.count, jobs: jobs) { index in
            terms[index].move(orders, into: base + starts[index])
        }
        return starts.map { UnsafePointer(base + $0) }
    }

    /// values[i, j] = Σ over axes of the space of ⟨A's unit i, B's unit j⟩.
    private func products(_ space: Int, _ moved: [UnsafePointer<Float>]) throws -> [Double] {
        let count = spaces[space].unitCount, terms = terms[space]
        var sum = [Float](repeating: 0, count: count * count)
        try sum.withUnsafeMutableBufferPointer { buffer in
            guard let base = buffer.baseAddress else { return }
            nonisolated(unsafe) let (sum, moved) = (base, moved)
            let length = Self.rowBlock(count), blocks = (count + length - 1) / length
            try Parallel.forEach(count: blocks, jobs: jobs) { block in
                let rows = block * length..<min(count, (block + 1) * length)
                for (index, term) in terms.enumerated() {
                    term.a.withPointer { a in
                        DenseAlgebra.multiply(
                            a + rows.lowerBound * term.depth, moved[index], transposeB: true, rows: rows.count,
                            columns: count, depth: term.depth, adding: 1, into: sum + rows.lowerBound * count)
                    }
                }
            }
        }
        return sum.map(Double.init)
    }

    /// How much the objective rises; nil when it does not.
    private func gain(
        _ order: [Int], _ space: Int, _ moved: [UnsafePointer<Float>], _ orders: [[Int]], _ values: [Double]
    ) throws -> Double? {
        let old = orders[space], count = order.count
        let rows = order.indices.filter { order[$0] != old[$0] }
        guard !rows.isEmpty else { return nil }
        var gain = 0.0, scale = 0.0
        for unit in old.indices { scale += values[unit * count + old[unit]].magnitude }
        for (index, term) in terms[space].enumerated() {
            term.a.withPointer { a in
                for row in rows {
                    let left = a + row * term.depth
                    gain += zoo_vector_dot(
                        left, KernelType.float32.rawValue, moved[index] + order[row] * term.depth,
                        KernelType.float32.rawValue, term.depth)
                    gain -= zoo_vector_dot(
                        left, KernelType.float32.rawValue, moved[index] + old[row] * term.depth,
                        KernelType.float32.rawValue, term.depth)
                }
            }
        }
        // Rounding alone must not count as progress.
        guard gain > max(1e-12, 1e-13 * scale) else { return nil }
        guard isQuadratic[space] else { return gain }
        var changed = orders
        changed[space] = order
        let members = Set(terms[space].map(\.tensor))
        let touched = whole.filter { members.contains($0.tensor) }
        let rise = touched.reduce(0) { $0 + $1.inner(changed) } - touched.reduce(0) { $0 + $1.inner(orders) }
        return rise > 1e-12 ? rise : nil
    }

    /// ⟨A, P(B)⟩.
    private func objective(_ orders: [[Int]]) throws -> Double {
        try Parallel.map(count: whole.count, jobs: jobs) { whole[$0].inner(orders) }.reduce(0, +)
    }
}

/// Room for permuted weights, kept over a search.
final class MatchingArena {
    let base: UnsafeMutablePointer<Float>

    init(_ count: Int) { base = .allocate(capacity: max(1, count)) }

    deinit { base.deallocate() }
}
