import CZooKernels
import Synchronization
import ZooBase
import ZooTensor

/// Trims over whole task vectors, as the TIES paper has them: the threshold of a model is one for all its tensors.
///
/// Two counting passes over all tensors find each model's threshold exactly, a third shares out equal magnitudes at it:
/// in the order of the tensors' names and within a tensor in flat order the first stay.
final class ModelTrims: Sendable {
    private let plan: MergePlan
    /// What stands at the threshold, by input and tensor.
    private let found = Mutex<[Int: [String: Selection.Found]]?>(nil)

    init(_ plan: MergePlan) { self.plan = plan }

    /// Whether a tensor is trimmed together with the others of its model.
    static func applies(to call: MergeCall) -> Bool {
        call.info.dtype.isFloatingPoint && call.base != nil && call.parameters.word("trim_scope") == "model"
    }

    /// The threshold of a model as it applies to one tensor: its bits, and which equals stay there.
    func threshold(_ name: String, input: Int, jobs: Int) throws -> Selection.Found? {
        try found.withLock { known in
            if known == nil { known = try search(jobs: jobs) }
            return known?[input]?[name]
        }
    }

    private struct Search {
        var prefix: UInt64 = 0
        var rank: Int
        var equal = 0
        let kept: Int
    }

    private func search(jobs: Int) throws -> [Int: [String: Selection.Found]] {
        let tensors = plan.tensors.filter { Self.applies(to: $0.call) }
        let first = try tensors.first.map { try stack($0).isWide } ?? false
        var sizes: [Int: Int] = [:], densities: [Int: Double] = [:]
        for tensor in tensors {
            for model in Set(tensor.call.others.map { tensor.call.members[$0].model }) {
                sizes[model, default: 0] += tensor.call.info.shape.elementCount
            }
            for position in tensor.call.others {
                let member = tensor.call.members[position]
                densities[member.model] = member.parameters.number("density")
            }
        }
        var searches: [Int: Search] = [:]
        for (model, size) in sizes where size > 0 && (densities[model] ?? 1) < 1 {
            let kept = max(1, Int((densities[model] ?? 1) * Double(size)))
            searches[model] = Search(rank: size - kept, kept: kept)
        }
        guard !searches.isEmpty else { return [:] }
        for (shift, width) in Selection.digits(isWide: first) {
            try descend(&searches, tensors, shift, width, isWide: first, jobs)
        }
        return try share(searches, tensors, jobs)
    }

    private func stack(_ tensor: MergePlan.PlannedTensor) throws -> TensorStack { try plan.stack(of: tensor) }

    /// Models of a tensor that are searched, with their places in its stack.
    private func wanted(_ tensor: MergePlan.PlannedTensor, _ searches: [Int: Search]) -> [(model: Int, place: Int)] {
        var found: [(model: Int, place: Int)] = []
        for position in tensor.call.others {
            let model = tensor.call.members[position].model
            // A model that is listed twice is one.
            guard searches[model] != nil, !found.contains(where: { $0.model == model }) else { continue }
            found.append((model, position))
        }
        return found
    }

    private func descend(
        _ searches: inout [Int: Search], _ tensors: [MergePlan.PlannedTensor], _ shift: Int32, _ width: Int32,
        isWide: Bool, _ jobs: Int
    ) throws {
        let size = 1 << Int(width)
        var bins: [Int: [UInt64]] = searches.mapValues { _ in [UInt64](repeating: 0, count: size) }
        for tensor in tensors {
            try Cancellation.check()
            let models = wanted(tensor, searches)
            guard !models.isEmpty, let base = tensor.call.base else { continue }
            let stack = try stack(tensor)
            guard stack.isWide == isWide else {
                throw tensor.call.fault(
                    .unsupported, "trim_scope: model takes tensors of one precision, found float64 beside others",
                    hint: "set dtype: float32")
            }
            let places = models.map(\.place), prefixes = models.map { searches[$0.model]?.prefix ?? 0 }
            let parts = try stack.accumulate(
                jobs: jobs, [UInt64](repeating: 0, count: size * models.count)
            ) { block, counts in
                block.subtract(base: base, from: places)
                counts.withUnsafeMutableBufferPointer { counts in
                    guard let start = counts.baseAddress else { return }
                    for (index, place) in places.enumerated() {
                        zoo_merge_histogram(
                            block.isWide, block.count, block.values[place], shift, width, prefixes[index],
                            start + index * size)
                    }
                }
            }
            for part in parts {
                for (index, entry) in models.enumerated() {
                    for bin in 0..<size { bins[entry.model]?[bin] += part[index * size + bin] }
                }
            }
        }
        for (model, counts) in bins {
            guard var search = searches[model] else { continue }
            for bin in 0..<size {
                let count = Int(counts[bin])
                if search.rank < count || bin == size - 1 {
                    search.prefix = search.prefix << UInt64(width) | UInt64(bin)
                    search.equal = count
                    break
                }
                search.rank -= count
            }
            searches[model] = search
        }
    }

    /// Shares the equals at each threshold out among the tensors.
    private func share(
        _ searches: [Int: Search], _ tensors: [MergePlan.PlannedTensor], _ jobs: Int
    ) throws -> [Int: [String: Selection.Found]] {
        var result: [Int: [String: Selection.Found]] = [:]
        var left = searches.mapValues { $0.equal - $0.rank }
        for tensor in tensors {
            let models = wanted(tensor, searches)
            guard !models.isEmpty, let base = tensor.call.base else { continue }
            let stack = try stack(tensor)
            let places = models.map(\.place), bits = models.map { searches[$0.model]?.prefix ?? 0 }
            let parts = try stack.accumulate(jobs: jobs, [UInt64](repeating: 0, count: models.count)) { block, counts in
                block.subtract(base: base, from: places)
                for (index, place) in places.enumerated() {
                    counts[index] += zoo_merge_count_bits(block.isWide, block.count, block.values[place], bits[index])
                }
            }
            for (index, entry) in models.enumerated() {
                let equal = parts.reduce(0) { $0 + Int($1[index]) }
                let kept = min(equal, left[entry.model] ?? 0)
                left[entry.model, default: 0] -= kept
                result[entry.model, default: [:]][tensor.call.info.name] = Selection.Found(
                    bits: bits[index], equalBefore: equal - kept, equal: equal)
            }
        }
        return result
    }
}
