import ZooBase
import ZooMerge
import ZooNN
import ZooReport
import ZooTensor

/// The steps of `zoo task-vector disentangle`.
struct DisentangleWork {
    private let command: TaskVectorDisentangle
    private let session: Session
    private let set: TaskSet
    private let samples: [Samples]
    private let network: TaskNetwork

    init(_ command: TaskVectorDisentangle, _ session: Session) throws {
        self.command = command
        self.session = session
        set = try TaskSet(base: command.base, tasks: command.tasks, options: command.fitting, session: session)
        try set.checkZeros(session)
        samples = try TaskData.open(
            command.data, names: set.names, validation: [], test: "none", labelled: false, session: session
        ).map(\.learning)
        network = try TaskNetwork(set, command.network, inputShape: samples[0].inputShape, session)
        guard set.tasks.count > 1 else { throw ZooError(.usage, "one task alone has nothing to disentangle from") }
    }

    func run() throws {
        if command.scale == nil, command.coefficients == nil { try grid() } else { try matrix() }
    }

    private func predictions(_ models: [any TensorSource], _ samples: Samples) throws -> [[Int32]] {
        let predictor = try ClassPredictor(network.graph, tensors: set.source.tensorInfos, samples: samples)
        return try predictor.predictions(count: models.count, jobs: session.jobs) { models[$0] }
    }

    private func moved(_ scales: [Double]) -> any TensorSource {
        DisplacedModel(base: set.source, operands: set.operands, scales: scales)
    }

    private func grid() throws {
        guard set.tasks.count == 2 else {
            throw ZooError(
                .usage, "a grid is over the scales of two tasks, not \(set.tasks.count)",
                hint: "name two, or give --scale or --coefficients for the matrix of all pairs")
        }
        let values =
            try command.grid.map { try NumberList.parse($0, option: "--grid") } ?? (0...12).map { -3 + Double($0) / 2 }
        let pairs = values.flatMap { b in values.map { a in (a, b) } }
        let together = pairs.map { moved([$0.0, $0.1]) }
        let alone = [values.map { moved([$0, 0]) }, values.map { moved([0, $0]) }]
        var xi = [Double](repeating: 0, count: pairs.count)
        for task in 0..<2 {
            let own = try predictions(alone[task], samples[task])
            let both = try predictions(together, samples[task])
            for place in pairs.indices {
                let index = task == 0 ? place % values.count : place / values.count
                xi[place] += DisentanglementError.share(own[index], both[place])
            }
        }
        var table = Table([
            .init("scale_\(set.names[0])", .double), .init("scale_\(set.names[1])", .double), .init("error", .double),
        ])
        for (pair, value) in zip(pairs, xi) { table.append([.double(pair.0), .double(pair.1), .double(value)]) }
        if let figure = command.figure {
            let map = HeatMap(x: values, y: values, values: xi, label: "ξ")
            try Picture.write(
                Figure(
                    [
                        Panel(
                            x: Axis("scale of \(set.names[0])"), y: Axis("scale of \(set.names[1])"),
                            layers: [.heatMap(map)])
                    ], title: "Disentanglement error"), to: figure)
        }
        let object: JSONValue = [
            "tasks": .array(set.names.map { .string($0) }), "grid": .array(values.map { .double($0) }),
            "errors": .array(
                values.indices.map { row in
                    .array(xi[row * values.count..<(row + 1) * values.count].map { .double($0) })
                }),
        ]
        try session.emit(object, as: table)
    }

    private func matrix() throws {
        let model = try displacement()
        let n = set.tasks.count
        var matrix = [[Double]](repeating: [Double](repeating: 0, count: n), count: n)
        for i in 0..<n {
            let models = [model([i])] + (0..<n).filter { $0 != i }.map { model([i, $0]) }
            let found = try predictions(models, samples[i])
            for (slot, j) in (0..<n).filter({ $0 != i }).enumerated() {
                matrix[i][j] = DisentanglementError.share(found[0], found[slot + 1])
            }
        }
        try emit(matrix)
    }

    /// The base moved along the vectors of some tasks.
    private func displacement() throws -> ([Int]) -> any TensorSource {
        guard let path = command.coefficients else {
            let scale = command.scale ?? 1
            return { members in self.moved(self.set.names.indices.map { members.contains($0) ? scale : 0 }) }
        }
        let fitted = try LearnedCoefficients(path).fitted(set, network.graph, force: command.fitting.force)
        return { fitted.model(set, keeping: Set($0)) }
    }

    private func emit(_ matrix: [[Double]]) throws {
        let mean = DisentanglementError.mean(matrix)
        var table = Table([.init("task")] + set.names.map { .init($0, .double) })
        for (name, row) in zip(set.names, matrix) { table.append([.text(name)] + row.map { .double($0) }) }
        if let figure = command.figure {
            let places = set.names.indices.map(Double.init)
            let map = HeatMap(
                x: places, y: places, values: matrix.flatMap { $0 }, label: "ξ", showsValues: set.names.count <= 12)
            try Picture.write(
                Figure(
                    [
                        Panel(
                            x: Axis("added", categories: set.names), y: Axis("data of", categories: set.names),
                            layers: [.heatMap(map)])
                    ], title: "Disentanglement error"), to: figure)
        }
        let object: JSONValue = [
            "tasks": .array(set.names.map { .string($0) }),
            "errors": .array(matrix.map { .array($0.map { .double($0) }) }), "mean": mean.map { .double($0) } ?? .null,
        ]
        try session.emit(object, as: table)
        if let mean { session.note("mean disentanglement error \(Quantity.significant(mean, digits: 3))") }
    }
}
