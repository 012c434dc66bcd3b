import ZooBase
import ZooTensor

extension Samples {
    /// The samples of a split out of named tensors: `x_SPLIT` and `y_SPLIT`, or `TASK.x_SPLIT` and `TASK.y_SPLIT` for
    /// `TASK.SPLIT`.
    ///
    /// - Parameter labels: the name of the labels, when it is another.
    /// - Throws: `notFound` listing the splits there are; what `init(inputs:labels:)` throws.
    public init(_ source: any TensorSource, split: String, labels: String? = nil) throws {
        let dot = split.lastIndex(of: ".")
        let task = dot.map { String(split[...$0]) } ?? ""
        let name = dot.map { String(split[split.index(after: $0)...]) } ?? split
        let known = Set(source.tensorInfos.map(\.name))
        guard known.contains("\(task)x_\(name)") else {
            throw ZooError(
                .notFound, "there is no split '\(split)' (tensor '\(task)x_\(name)')",
                hint: NearestName.hint(split, in: Self.splits(of: source), kind: "splits"))
        }
        let labelName = labels ?? "\(task)y_\(name)"
        guard known.contains(labelName) else {
            throw ZooError(
                .notFound, "there are no labels '\(labelName)'",
                hint: NearestName.hint(labelName, in: known.sorted(), kind: "tensors"))
        }
        try self.init(
            inputs: source.tensor(named: "\(task)x_\(name)"), labels: source.tensor(named: labelName))
    }

    /// The splits that named tensors have, in their order.
    public static func splits(of source: any TensorSource) -> [String] {
        source.tensorInfos.compactMap { info in
            let dot = info.name.lastIndex(of: ".")
            let task = dot.map { info.name[...$0] } ?? ""
            let name = dot.map { info.name[info.name.index(after: $0)...] } ?? info.name[...]
            return name.hasPrefix("x_") ? "\(task)\(name.dropFirst(2))" : nil
        }
    }
}
