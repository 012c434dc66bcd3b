import ZooBase
import ZooFormats
import ZooMerge
import ZooNN
import ZooReport
import ZooTensor

/// The steps of `zoo compose apply`.
struct ComposeApplyWork {
    private let command: ComposeApply
    private let session: Session

    init(_ command: ComposeApply, _ session: Session) {
        self.command = command
        self.session = session
    }

    func run() throws {
        _ = try CheckpointWriters.writer(for: command.to)
        let learned = try LearnedCoefficients(command.coefficients)
        let set = try TaskSet(base: command.base, tasks: command.tasks, options: command.fitting, session: session)
        let shape = try command.inputShape.map { try NumberList.parse($0, option: "--input-shape").map { Int($0) } }
        let network = try TaskNetwork(
            set, command.network, inputShape: shape ?? learned.file.inputShape, session)
        let fitted = try learned.fitted(set, network.graph, force: command.fitting.force)
        var model = fitted.model(set)
        if !command.bnData.isEmpty {
            let sets = try command.bnData.map { try TaskData.samples($0, labelled: false, session).0 }
            model = try BatchNormStatistics.recomputed(model, network.graph, on: sets)
        } else if learned.file.recomputesStatistics, fitted.values.contains(where: { $0 != 0 }) {
            throw ZooError(
                .usage, "\(command.coefficients): batch-norm statistics were recomputed on data",
                hint: "name the data with --bn-data FILE:SPLIT, once for each set")
        }
        try ComposedOutput.write(
            model, set, means: ComposedOutput.means(fitted.values, vectors: set.tasks.count),
            to: command.to,
            session)
        let object: JSONValue = [
            "coefficients": .string(command.coefficients), "vectors": .int(Int64(set.tasks.count)),
            "output": .string(command.to),
        ]
        var table = Table([.init("task"), .init("mean_coefficient", .double)])
        for (name, mean) in zip(set.names, fitted.means) {
            table.append([.text(name), .double(mean)])
        }
        try session.emit(object, as: table)
    }
}

/// Writes composed networks.
enum ComposedOutput {
    /// The mean coefficient of each vector.
    static func means(_ values: [Double], vectors: Int) -> [Double] {
        let row = values.count / max(1, vectors)
        return (0..<vectors).map { values[$0 * row..<($0 + 1) * row].reduce(0, +) / Double(max(1, row)) }
    }

    /// Writes a network and catalogues it.
    static func write(
        _ model: any TensorSource, _ set: TaskSet, means: [Double], to path: String, dataset: String? = nil,
        _ session: Session
    ) throws {
        try CheckpointWriters.write(
            model, to: path, metadata: ["format": "pt", "zoo_method": "atlas", "zoo_base": set.digest],
            jobs: session.jobs)
        try DerivedModel(path: path, role: "atlas", parents: set.parents(means)).record(session, dataset: dataset)
        session.note("wrote \(path): \(Quantity.count(model.tensorInfos.count)) tensors")
    }
}
