import ZooBase
import ZooNN
import ZooTensor

/// Weight matching (arXiv 2209.04836, algorithm 1): the permutations of B's units that bring its weights nearest to A's.
///
/// Spaces are visited in random order; for each, the unit by unit products of A's and the so far permuted B's weights,
/// summed over every axis of the space, are the values of a linear assignment. A sweep without progress ends the
/// search. ⟨A, P(B)⟩ never falls, so ‖A − P(B)‖² never rises. A space is not solved again while no tensor of it has
/// changed since. Products are in single precision; what a permutation gains is measured in double precision.
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
