import ZooBase
import ZooMerge
import ZooNN
import ZooTensor

/// A coefficient file that is used again.
struct LearnedCoefficients {
    let file: CoefficientFile
    private let path: String

    /// Reads a file.
    ///
    /// - Throws: `corrupt` naming what is wrong.
    init(_ path: String) throws {
        self.path = path
        let bytes = try Bytes(mapping: path)
        file = try ZooError.locate(path) {
            let json: JSONValue
            do { json = try JSONParser.parse(bytes) } catch let error as ZooError {
                throw ZooError(
                    error.code, "no coefficient file: \(error.message)",
                    hint: "'zoo compose … --coefficients FILE' writes them")
            }
            return try CoefficientFile(json: json)
        }
    }

    /// Coefficients in the order of a set's tasks.
    struct Fitted {
        var values: [Double]
        /// The set's tasks in the order in which they were learned: sums are then the same to the bit.
        var order: [Int]
        var groups: CoefficientGroups
        var buffers: Set<String>
        var partition: PartitionHash?

        /// The mean coefficient of each of the set's tasks.
        var means: [Double] {
            let found = ComposedOutput.means(values, vectors: order.count)
            return order.indices.map { task in found[order.firstIndex(of: task) ?? task] }
        }

        /// The composed network, of some tasks or all.
        func model(_ set: TaskSet, keeping: Set<Int>? = nil, dtype: DType? = nil) -> any TensorSource {
            let row = max(1, values.count / max(1, order.count))
            let kept = values.indices.map { keeping?.contains(order[$0 / row]) ?? true ? values[$0] : 0 }
            return DisplacedModel(
                base: set.source, operands: order.map { set.operands[$0] }, values: kept, groups: groups,
                buffers: buffers,
                partition: partition, dtype: dtype)
        }
    }

    /// Matches the file with a base and tasks by their digests; tasks may come in any order.
    ///
    /// - Throws: `mismatch` when a digest or the blocks differ; `--force` goes by names instead.
    func fitted(_ set: TaskSet, _ graph: ArchitectureGraph, force: Bool) throws -> Fitted {
        if file.base != set.digest, !force {
            throw ZooError(
                .mismatch, "\(path): learned for a base with digest \(file.base); \(set.base.label) has \(set.digest)",
                hint: "give the base it was learned for, or --force")
        }
        var rows: [Int] = []
        for task in set.tasks {
            let digests = [task.digest, task.fineTunedDigest].compactMap(\.self)
            let place =
                file.vectors.firstIndex { digests.contains($0.digest) && $0.name == task.name }
                ?? file.vectors.firstIndex { digests.contains($0.digest) }
                ?? (force ? file.vectors.firstIndex { $0.name == task.name } : nil)
            guard let place else {
                throw ZooError(
                    .mismatch,
                    "\(path): has no coefficients for \(task.checkpoint.label) (digest \(task.digest))",
                    hint:
                        "it was learned for \(file.vectors.map(\.name).joined(separator: ", ")); --force goes by names")
            }
            rows.append(place)
        }
        guard Set(rows).count == rows.count, rows.count == file.vectors.count else {
            let missing = file.vectors.indices.filter { !rows.contains($0) }.map { file.vectors[$0].name }
            throw ZooError(
                .mismatch, "\(path): learned for \(file.vectors.count) task vectors, \(rows.count) are given",
                hint: missing.isEmpty ? "name each once" : "also name \(missing.joined(separator: ", "))")
        }
        let ties = file.ties == .shared ? try CoefficientGroups.ties(set.source, operands: set.operands) : []
        let groups = CoefficientGroups(
            graph, tensors: set.source.tensorInfos, granularity: file.granularity, excluded: file.excluded, ties: ties)
        guard Set(groups.names) == Set(file.blocks), groups.names.count == file.blocks.count else {
            throw ZooError(
                .mismatch, "\(path): its \(file.blocks.count) blocks are not the \(groups.names.count) of this network")
        }
        let places = Dictionary(file.blocks.enumerated().map { ($1, $0) }, uniquingKeysWith: { first, _ in first })
        let k = file.partitions
        let order = rows.indices.sorted { rows[$0] < rows[$1] }
        let values = order.map { rows[$0] }.flatMap { row in
            groups.names.flatMap { name -> ArraySlice<Double> in
                let first = (row * file.blocks.count + (places[name] ?? 0)) * k
                return file.values[first..<first + k]
            }
        }
        return Fitted(
            values: values, order: order, groups: groups,
            buffers: file.keepsStatistics ? [] : Set(graph.tensorRoles.filter { $0.value == .buffer }.keys),
            partition: k > 1 ? PartitionHash(count: k, seed: file.seed, isSharedByShape: file.isSharedByShape) : nil)
    }
}
