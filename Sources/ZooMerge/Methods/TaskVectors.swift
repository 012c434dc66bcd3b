import CZooKernels
import ZooBase
import ZooTensor

/// How a task vector is thinned before it is merged.
enum Sparsifier: Sendable {
    /// Nothing is dropped.
    case none
    /// The largest magnitudes stay.
    case magnitude(density: Double)
    /// The largest and the smallest magnitudes go.
    case outliers(density: Double, gamma: Double)
    /// Each element stays with a probability.
    case random(density: Double)
    /// Each element stays with a probability that grows with its magnitude's rank in its row.
    case ranked(density: Double, epsilon: Double)
    /// The `keep` largest of every `block` consecutive elements stay.
    case blocks(keep: Int, block: Int)
    /// The elements stay for which the rule holds.
    case given(density: Double, @Sendable (Int) -> Bool)

    /// The probability or share that stays.
    var density: Double {
        switch self {
        case .none: 1
        case .magnitude(let density), .outliers(let density, _), .random(let density), .ranked(let density, _),
            .given(let density, _):
            density
        case .blocks(let keep, let block): Double(keep) / Double(block)
        }
    }

    var isRanked: Bool { if case .ranked = self { true } else { false } }

    /// Ascending ranks that stay, for sparsifiers that cut by magnitude over the whole tensor.
    func keptRanks(_ count: Int, imitatesReference: Bool) throws -> Range<Int>? {
        switch self {
        case .magnitude(let density) where density < 1:
            let kept = Int(density * Double(count))
            guard kept > 0 || !imitatesReference else {
                throw ZooError(.numeric, "density \(density) keeps none of \(count) elements")
            }
            return count - max(1, kept)..<count
        case .outliers(let density, let gamma) where density < 1:
            var top = Int(gamma * Double(count))
            let bottom = count - Int(density * Double(count)) - top
            if bottom < 0 { top += bottom }
            if imitatesReference, top == 0 { return 0..<0 }
            return max(0, bottom)..<max(max(0, bottom), count - top)
        default: return nil
        }
    }
}

/// How the elements of the task vectors that remain are brought back to the size they had together.
enum Rescale: String, Sendable, CaseIterable {
    /// Equal sum of magnitudes, equal norm, equal largest magnitude, or each divided by its probability.
    case l1, l2, linf, inverse
}

/// The task-vector family: differences from the base, thinned, rescaled, weighted, summed with or without an election
/// of signs, and added to the base.
struct TaskVectorMerge: MergeKernel {
    /// How signs are elected.
    enum Consensus: Sendable {
        /// They are not.
        case none
        /// By the sum of the weighted values.
        case sum
        /// By the number of models.
        case count
    }

    var base: Int
    var models: [Int]
    var weights: [Double]
    var sparsifiers: [Sparsifier]
    var keys: [UInt64]
    var rescale: Rescale?
    var consensus: Consensus
    var normalises: Bool
    var lambda: Double
    var shape: Shape
    var imitatesReference: Bool
    /// The threshold of a model by its position, where trims span all tensors of a model; else they span this one.
    var threshold: (@Sendable (_ position: Int, _ jobs: Int) throws -> Selection.Found?)?

    var passCount: Int {
        let isTrimmed = sparsifiers.contains {
            if case .magnitude(let d) = $0 { return d < 1 }
            if case .outliers(let d, _) = $0 { return d < 1 }
            return false
        }
        return (isTrimmed ? 2 : 0) + (needsNorms ? 1 : 0)
    }

    private var needsNorms: Bool {
        guard let rescale, rescale != .inverse else { return false }
        return sparsifiers.contains { $0.density < 1 }
    }

    /// The sum of the weights, as a divisor: 1 when it is nearly zero.
    private var divisor: Double {
        let sum = weights.reduce(0, +)
        return normalises && sum.magnitude >= 1e-8 ? sum : 1
    }

    func prepare(_ stack: TensorStack, jobs: Int) throws -> any PreparedMerge {
        if case .none = consensus, sparsifiers.allSatisfy({ $0.density >= 1 }) {
            var combined = [Double](repeating: 0, count: stack.tensors.count)
            for (position, model) in models.enumerated() { combined[model] += lambda * weights[position] / divisor }
            combined[base] += 1 - lambda * weights.reduce(0, +) / divisor
            return Combination(weights: combined)
        }
        var prepared = PreparedTaskVectors(
            merge: self, trims: try trims(stack, jobs), factors: models.map { _ in 1 }, divisor: divisor)
        if needsNorms { prepared.factors = try factors(prepared, stack, jobs) }
        return prepared
    }

    /// Finds thresholds for all models that are trimmed, in common passes.
    private func trims(_ stack: TensorStack, _ jobs: Int) throws -> [Trim?] {
        var trims = [Trim?](repeating: nil, count: models.count)
        if let threshold {
            for position in models.indices where sparsifiers[position].density < 1 {
                trims[position] = try threshold(position, jobs).map {
                    Trim(lowest: $0, first: nil, keepsEarly: true)
                }
            }
            try countEquals(&trims, stack, jobs)
            return trims
        }
        let count = stack.elementCount
        let kept = try sparsifiers.map { try $0.keptRanks(count, imitatesReference: imitatesReference) }
        let trimmed = models.indices.filter { kept[$0] != nil }
        guard !trimmed.isEmpty, count > 0 else { return trims }
        let wanted = trimmed.map { position -> [Int] in
            let range = kept[position] ?? 0..<count
            return [range.lowerBound, range.upperBound].filter { $0 > 0 && $0 < count }
        }
        let stackBase = base, rows = trimmed.map { models[$0] }
        let found = try Selection.find(wanted, in: stack, jobs: jobs) { block in
            block.subtract(base: stackBase, from: rows)
            return rows.map { block.values[$0] }
        }
        for (place, position) in trimmed.enumerated() {
            guard let range = kept[position] else { continue }
            guard !range.isEmpty else {
                trims[position] = .nothing
                continue
            }
            var keepsEarly = false
            if case .magnitude = sparsifiers[position] { keepsEarly = true }
            trims[position] = Trim(
                lowest: range.lowerBound > 0 ? found[place].first : nil,
                first: range.upperBound < count ? found[place].last : nil, keepsEarly: keepsEarly)
        }
        try countEquals(&trims, stack, jobs)
        return trims
    }

    private func countEquals(_ trims: inout [Trim?], _ stack: TensorStack, _ jobs: Int) throws {
        let divided = trims.indices.filter { trims[$0]?.needsStarts == true }
        guard !divided.isEmpty else { return }
        let ranges = divided.map { trims[$0]?.range ?? zoo_merge_range() }
        let stackBase = base, rows = divided.map { models[$0] }
        let parts = try stack.reduce(jobs: jobs, [UInt64](repeating: 0, count: 2 * rows.count)) { block, counts in
            block.subtract(base: stackBase, from: rows)
            for (index, row) in rows.enumerated() {
                let values = block.values[row]
                counts[2 * index] += zoo_merge_count_bits(block.isWide, block.count, values, ranges[index].low)
                counts[2 * index + 1] += zoo_merge_count_bits(block.isWide, block.count, values, ranges[index].high)
            }
        }
        for (index, position) in divided.enumerated() {
            var low: UInt64 = 0, high: UInt64 = 0
            for part in parts {
                trims[position]?.starts.append((low, high))
                low += part[2 * index]
                high += part[2 * index + 1]
            }
        }
    }

    /// What brings each thinned task vector back to its size.
    private func factors(_ prepared: PreparedTaskVectors, _ stack: TensorStack, _ jobs: Int) throws -> [Double] {
        // Sums are taken piece by piece in order; a state of its own for each piece keeps ties countable.
        let step = TensorStack.chunkLength(unit: prepared.unit)
        let pieces = (stack.elementCount + step - 1) / step
        let parts = try Parallel.map(count: pieces, jobs: jobs) { piece in
            let range = piece * step..<min(stack.elementCount, (piece + 1) * step)
            var sums = [Double](repeating: 0, count: 6 * models.count)
            let thin = try prepared.thinning(from: range.lowerBound, stack)
            try stack.forEachBlock(range, unit: prepared.unit) { block in
                block.subtract(base: base, from: models)
                func measure(_ offset: Int) {
                    sums.withUnsafeMutableBufferPointer { sums in
                        guard let start = sums.baseAddress else { return }
                        for (position, model) in models.enumerated() {
                            zoo_merge_magnitudes(
                                block.isWide, block.count, block.values[model], start + 6 * position + offset)
                        }
                    }
                }
                measure(0)
                thin(block)
                measure(3)
            }
            if stack.elementCount > 1 << 23 { stack.release(range) }
            return sums
        }
        return models.indices.map { position in
            var totals = [Double](repeating: 0, count: 6)
            for part in parts {
                for index in [0, 1, 3, 4] { totals[index] += part[6 * position + index] }
                for index in [2, 5] { totals[index] = max(totals[index], part[6 * position + index]) }
            }
            let (whole, kept) =
                switch rescale {
                case .l2: (totals[1].squareRoot(), totals[4].squareRoot())
                case .linf: (totals[2], totals[5])
                default: (totals[0], totals[3])
                }
            return sparsifiers[position].density >= 1 || whole < 1e-7 || kept < 1e-7 ? 1 : whole / kept
        }
    }
}

extension Trim {
    /// Keeps nothing.
    static var nothing: Trim {
        var trim = Trim(lowest: nil, first: nil, keepsEarly: false)
        trim.range = zoo_merge_range(low: .max - 1, high: .max, low_from: 0, low_to: 0, high_to: 0)
        return trim
    }
}
