import ZooAutodiff
import ZooBase
import ZooNN
import ZooTensor

/// Weight matching (arXiv 2209.04836, algorithm 1): the permutations of B's units that bring its weights nearest to A's.
///
/// Spaces are visited in random order; for each, the unit by unit products of A's and the so far permuted B's weights,
/// summed over every axis of the space, are the values of a linear assignment. A sweep without progress ends the
/// search. ⟨A, P(B)⟩ never falls, so ‖A − P(B)‖² never rises. A space is not solved again while no tensor of it has
/// changed since.
public struct WeightMatching: Sendable {
    /// How to search.
    public struct Options: Sendable {
        /// Seed of the order of spaces and of the starts after the first.
        public var seed: UInt64 = 0
        /// Further searches from random permutations; the best of all is taken.
        public var restarts = 0
        /// Sweeps at most.
        public var maxSweeps = 100
        /// Threads.
        public var jobs = 1

        /// The defaults.
        public init() {}
    }

    /// What moves where.
    public let permutations: UnitPermutations
    /// ⟨A, P(B)⟩ over the tensors that can move, after each sweep of the search that won; the first is before it.
    public let objectives: [Double]
    /// Sweeps of the search that won.
    public var sweepCount: Int { objectives.count - 1 }

    /// Finds the permutations.
    ///
    /// - Throws: `mismatch` when the two have different tensors; `numeric` for weights that are not finite.
    public init(
        _ spaces: [PermutationSpaces.Space], a: any TensorSource, b: any TensorSource, options: Options = Options()
    ) throws {
        try BLASLibrary.load()
        let problem = try MatchingProblem(spaces, a, b, jobs: options.jobs)
        var best: (permutations: UnitPermutations, objectives: [Double])?
        for start in 0...max(0, options.restarts) {
            var generator = SeededGenerator(seed: options.seed &+ UInt64(start) &* 0x9E37_79B9_7F4A_7C15)
            let first =
                start == 0
                ? UnitPermutations(identityOf: spaces) : UnitPermutations(shuffled: spaces, using: &generator)
            let found = try problem.search(from: first, maxSweeps: options.maxSweeps, using: &generator)
            if let known = best, (known.objectives.last ?? 0) >= (found.objectives.last ?? 0) { continue }
            best = found
        }
        permutations = best?.permutations ?? UnitPermutations(identityOf: spaces)
        objectives = best?.objectives ?? [0]
    }
}

/// The weights of both networks, and the axes along which units move.
private struct MatchingProblem {
    typealias Move = (space: Int, axis: Int, blockLength: Int)

    let spaces: [PermutationSpaces.Space]
    let jobs: Int
    private let a: [[Float]]
    private let b: [[Float]]
    private let shapes: [[Int]]
    private let moves: [[Move]]
    /// Tensors of each space.
    private let members: [[Int]]
    /// Spaces that own two axes of one tensor: the assignment's gain is not the objective's there.
    private let isQuadratic: [Bool]

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
        self.spaces = spaces
        self.jobs = jobs
        self.a = try names.map { try a.tensor(named: $0).floats() }
        self.b = try names.map { try b.tensor(named: $0).floats() }
        self.shapes = names.map { shapes[$0]?.dimensions ?? [] }
        let moves = names.map { found[$0] ?? [] }
        self.moves = moves
        members = spaces.indices.map { space in
            names.indices.filter { moves[$0].contains { $0.space == space } }
        }
        isQuadratic = spaces.indices.map { space in
            moves.contains { $0.count { $0.space == space } > 1 }
        }
    }

    func search(
        from start: UnitPermutations, maxSweeps: Int, using generator: inout SeededGenerator
    ) throws -> (permutations: UnitPermutations, objectives: [Double]) {
        var permutations = start
        var objectives = [try objective(permutations.orders)]
        var changed = [Int](repeating: 0, count: spaces.count), solved = [Int](repeating: -1, count: spaces.count)
        var clock = 0
        for _ in 0..<maxSweeps {
            var progressed = false
            for space in spaces.indices.shuffled(using: &generator) {
                try Cancellation.check()
                let neighbours = Set(members[space].flatMap { moves[$0].map(\.space) }).subtracting([space])
                guard solved[space] < 0 || neighbours.contains(where: { changed[$0] > solved[space] }) else { continue }
                clock += 1
                solved[space] = clock
                let values = try products(space, permutations.orders)
                let order = try LinearAssignment.maximum(values, size: spaces[space].unitCount)
                guard try isBetter(order, values, space, permutations.orders) else { continue }
                permutations.orders[space] = order
                changed[space] = clock
                if isQuadratic[space] { solved[space] = -1 }
                progressed = true
            }
            guard progressed else { break }
            objectives.append(try objective(permutations.orders))
        }
        return (permutations, objectives)
    }

    private func isBetter(_ order: [Int], _ values: [Double], _ space: Int, _ orders: [[Int]]) throws -> Bool {
        let count = spaces[space].unitCount
        var gain = 0.0, scale = 0.0
        for (unit, old) in orders[space].enumerated() {
            gain += values[unit * count + order[unit]] - values[unit * count + old]
            scale += values[unit * count + old].magnitude
        }
        // Rounding of the products alone must not count as progress.
        guard gain > max(1e-12, 1e-13 * scale) else { return false }
        guard isQuadratic[space] else { return true }
        var changed = orders
        changed[space] = order
        let members = members[space]
        return members.reduce(0) { $0 + inner($1, changed) } > members.reduce(0) { $0 + inner($1, orders) } + 1e-12
    }

    /// ⟨A, P(B)⟩.
    private func objective(_ orders: [[Int]]) throws -> Double {
        try Parallel.map(count: a.count, jobs: jobs) { inner($0, orders) }.reduce(0, +)
    }

    private func inner(_ tensor: Int, _ orders: [[Int]]) -> Double {
        let moved = permuted(tensor, orders, leaving: nil)
        return zip(a[tensor], moved).reduce(0) { $0 + Double($1.0) * Double($1.1) }
    }

    /// values[i, j] = Σ over axes of the space of ⟨A's unit i, B's unit j⟩, other axes of B permuted.
    private func products(_ space: Int, _ orders: [[Int]]) throws -> [Double] {
        let count = spaces[space].unitCount
        let terms = members[space].flatMap { tensor in
            moves[tensor].filter { $0.space == space }.map { (tensor, $0) }
        }
        var sum = [Double](repeating: 0, count: count * count)
        // In waves, so that no more than `jobs` matrices exist at a time; summed in order, whatever the threads.
        for start in stride(from: 0, to: terms.count, by: max(1, jobs)) {
            let wave = Array(terms[start..<min(start + max(1, jobs), terms.count)])
            let parts = try Parallel.map(count: wave.count, jobs: jobs) { place in
                term(wave[place].0, wave[place].1, orders)
            }
            for part in parts {
                sum.withUnsafeMutableBufferPointer { sum in for place in sum.indices { sum[place] += part[place] } }
            }
        }
        return sum
    }

    private func term(_ tensor: Int, _ move: Move, _ orders: [[Int]]) -> [Double] {
        let shape = shapes[tensor]
        let count = shape[move.axis] / move.blockLength
        let left = Self.unfolded(a[tensor], shape, move)
        let right = Self.unfolded(permuted(tensor, orders, leaving: move.axis), shape, move)
        let depth = left.count / max(1, count)
        return [Double](unsafeUninitializedCapacity: count * count) { output, filled in
            left.withUnsafeBufferPointer { x in
                right.withUnsafeBufferPointer { y in
                    guard let x = x.baseAddress, let y = y.baseAddress, let z = output.baseAddress else { return }
                    DenseAlgebra.multiply(
                        x, y, transposeB: true, rows: count, columns: count, depth: depth, into: z)
                }
            }
            filled = count * count
        }
    }

    /// The tensor of B with all its axes but one permuted.
    private func permuted(_ tensor: Int, _ orders: [[Int]], leaving axis: Int?) -> [Float] {
        var values = b[tensor]
        let shape = shapes[tensor]
        for move in moves[tensor] where move.axis != axis {
            let order = orders[move.space]
            if order.indices.allSatisfy({ order[$0] == $0 }) { continue }
            values = Self.moved(values, shape, move, order)
        }
        return values
    }

    private static func moved(_ values: [Float], _ shape: [Int], _ move: Move, _ order: [Int]) -> [Float] {
        let inner = shape.dropFirst(move.axis + 1).reduce(1, *) * move.blockLength
        let outer = shape.prefix(move.axis).reduce(1, *)
        return [Float](unsafeUninitializedCapacity: values.count) { output, filled in
            values.withUnsafeBufferPointer { input in
                guard let from = input.baseAddress, let to = output.baseAddress else { return }
                for row in 0..<outer {
                    let start = row * order.count * inner
                    for (place, unit) in order.enumerated() {
                        (to + start + place * inner).initialize(from: from + start + unit * inner, count: inner)
                    }
                }
            }
            filled = values.count
        }
    }

    /// `[units, rest]` in double precision: the axis first, all else behind it.
    private static func unfolded(_ values: [Float], _ shape: [Int], _ move: Move) -> [Double] {
        let inner = shape.dropFirst(move.axis + 1).reduce(1, *) * move.blockLength
        let outer = shape.prefix(move.axis).reduce(1, *)
        let count = shape[move.axis] / move.blockLength
        return [Double](unsafeUninitializedCapacity: values.count) { output, filled in
            values.withUnsafeBufferPointer { input in
                for row in 0..<outer {
                    for unit in 0..<count {
                        let from = (row * count + unit) * inner, to = (unit * outer + row) * inner
                        for place in 0..<inner { output[to + place] = Double(input[from + place]) }
                    }
                }
            }
            filled = values.count
        }
    }
}
