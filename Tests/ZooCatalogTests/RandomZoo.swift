import ZooBase
import ZooCatalog
import ZooTensor
import ZooTestSupport

/// A small random catalog and the same rows in memory.
struct RandomZoo {
    /// One checkpoint as the reference sees it.
    struct Row {
        var id: Int64
        var modelID: Int64
        var model: ModelIngest
        var zoo: String
        var checkpoint: CheckpointIngest
        var values: EpochValues
        var extras: [String: Double]
        var isLast: Bool
        var isBest: Bool
        var trace: Double?
    }

    let folder: TemporaryFolder
    let catalog: Catalog
    var rows: [Row] = []

    static let layout = Layout([
        Layout.Entry(info: TensorInfo(name: "fc.weight", dtype: .float32, shape: [2, 3]), offset: 64),
        Layout.Entry(info: TensorInfo(name: "fc.bias", dtype: .float32, shape: [2]), offset: nil),
    ])

    init(seed: UInt64, models: Int) throws {
        var generator = SeededGenerator(seed: seed)
        folder = try TemporaryFolder()
        catalog = try Catalog.openOrCreate(folder.file("catalog.sqlite"))
        let writer = try catalog.writer()
        let zoos = ["alpha", "beta"]
        let zooIDs = try zoos.map { try writer.upsert(ZooRecord(name: $0)) }
        let source = try writer.begin(SourceRecord(path: "zoo.zip", kind: "zip")).id
        for number in 0..<models {
            let zoo = Int.random(in: 0...1, using: &generator)
            let ingest = Self.model(number, zoo: zooIDs[zoo], source: source, &generator)
            let id = try writer.ingest(ingest)
            try writer.commit()
            try add(ingest, id: id, zoo: zoos[zoo], writer, &generator)
        }
        try writer.finish(source)
        try writer.close()
    }

    private static func measured(_ generator: inout SeededGenerator, missing: Int = 8) -> Double? {
        switch Int.random(in: 0..<24, using: &generator) {
        case 0..<(24 / missing): nil
        case 23: .nan
        // Few distinct values make ties, which sorting must break the same way.
        default: Double(Int.random(in: 0...8, using: &generator)) / 8
        }
    }

    private static func model(
        _ number: Int, zoo: Int64, source: Int64, _ generator: inout SeededGenerator
    ) -> ModelIngest {
        var config = JSONObject()
        if Int.random(in: 0...5, using: &generator) > 0 {
            let rates: [JSONValue] = [.double(0.1), .double(0.01), .double(1e-3), .int(1), .string("auto"), .null]
            config["optim::lr"] = rates.randomElement(using: &generator)
        }
        let width = [2, 4, 8].randomElement(using: &generator) ?? 2
        config[Bool.random(using: &generator) ? "model::width" : "width"] = .int(Int64(width))
        config["model::nlin"] = .string(["relu", "tanh", "gelu"].randomElement(using: &generator) ?? "")
        config["mixed"] = Bool.random(using: &generator) ? .string("4") : .double(4.5)
        config["flag"] = .bool(Bool.random(using: &generator))
        var model = ModelIngest(
            zoo: zoo, source: source, name: "m\(number % 7)_\(number)", path: "exp/m\(number)",
            architecture: ["cnn", "mlp", nil].randomElement(using: &generator) ?? nil, config: config)
        if Int.random(in: 0...4, using: &generator) == 0 { model.flags.insert(.diverged) }
        let epochs = Int.random(in: 0...6, using: &generator)
        for epoch in 0..<epochs {
            if Int.random(in: 0...5, using: &generator) > 0 {
                let values = EpochValues(
                    trainLoss: measured(&generator), trainAccuracy: measured(&generator), valLoss: measured(&generator),
                    valAccuracy: measured(&generator), testLoss: measured(&generator),
                    testAccuracy: measured(&generator),
                    wallSeconds: Double(epoch))
                let extra = measured(&generator).map { [(name: "grad_norm", value: $0)] } ?? []
                model.results.append(ResultRow(epoch: epoch, values: values, extras: extra))
            }
            if Int.random(in: 0...3, using: &generator) > 0 {
                let isLone = Int.random(in: 0...9, using: &generator) == 0
                model.checkpoints.append(
                    CheckpointIngest(
                        epoch: isLone ? nil : epoch, path: "checkpoint_\(epoch)/weights", offset: 100 * epoch,
                        storedBytes: 50, encoding: .stored, byteCount: 50 + epoch, format: "pytorch", layout: layout))
            }
        }
        return model
    }

    private mutating func add(
        _ model: ModelIngest, id: Int64, zoo: String, _ writer: CatalogWriter, _ generator: inout SeededGenerator
    ) throws {
        let stored = try catalog.checkpoints(of: id)
        let ordered = model.checkpoints.enumerated().sorted {
            ($0.element.epoch ?? .min, $0.offset) < ($1.element.epoch ?? .min, $1.offset)
        }.map(\.element)
        let best = Self.best(ordered, model)
        for (index, checkpoint) in ordered.enumerated() {
            let result = model.results.first { $0.epoch == checkpoint.epoch }
            guard let found = stored.first(where: { $0.member == "\(model.path)/\(checkpoint.path)" }) else {
                throw ZooError(.internal, "checkpoint \(checkpoint.path) was not stored")
            }
            var row = Row(
                id: found.id, modelID: id, model: model, zoo: zoo, checkpoint: checkpoint,
                values: result?.values ?? EpochValues(), extras: [:], isLast: index == ordered.count - 1,
                isBest: index == best, trace: nil)
            for extra in result?.extras ?? [] { row.extras[extra.name] = extra.value }
            if Int.random(in: 0...2, using: &generator) == 0 {
                let trace = Self.measured(&generator) ?? 3
                row.trace = trace
                try writer.record([MetricRow(checkpoint: found.id, name: "hessian_trace", value: trace)])
            }
            rows.append(row)
        }
    }

    /// The rule of `@best`, written down again: validation accuracy, validation loss, then the same on test data.
    private static func best(_ checkpoints: [CheckpointIngest], _ model: ModelIngest) -> Int? {
        func values(_ index: Int) -> EpochValues {
            model.results.first { $0.epoch == checkpoints[index].epoch }?.values ?? EpochValues()
        }
        let measures: [(EpochValues) -> Double?] = [
            { $0.valAccuracy }, { $0.valLoss.map { -$0 } }, { $0.testAccuracy }, { $0.testLoss.map { -$0 } },
        ]
        for measure in measures {
            let known = checkpoints.indices.compactMap { index in
                measure(values(index)).flatMap { $0.isNaN ? nil : (index, $0) }
            }
            if let top = known.map(\.1).max() { return known.first { $0.1 == top }?.0 }
        }
        return checkpoints.count == 1 ? 0 : nil
    }
}
