import ZooBase
import ZooMerge
import ZooNN
import ZooTensor

/// Composed networks as state dicts: statistics of batch norm made for them, and adapters on their features.
extension ComposeWork {
    /// The network of coefficients.
    func model(_ values: [Double], _ groups: CoefficientGroups, _ partition: PartitionHash?) -> DisplacedModel {
        DisplacedModel(
            base: set.source, operands: set.operands, values: values, groups: groups, buffers: buffers,
            partition: partition)
    }

    /// The network of a problem's coefficients, with statistics of batch norm made on data where that is asked for.
    func composed(
        _ values: [Double], _ problem: CompositionProblem<Float>, statisticsOn sets: [Samples]
    ) throws -> any TensorSource {
        let made = model(values, problem.space.groups, problem.space.parts > 1 ? partition : nil)
        // Zeros are the base, which has statistics of its own.
        guard command.statistics == .recompute, values.contains(where: { $0 != 0 }) else { return made }
        return try recomputed(made, on: sets)
    }

    /// A network with its batch-norm statistics computed on the inputs of data.
    func recomputed(_ model: any TensorSource, on sets: [Samples]) throws -> StateDict {
        try BatchNormStatistics.recomputed(model, graph, on: sets)
    }

    /// Accuracies of a network on every column's samples of a kind.
    func accuracies(_ model: any TensorSource, _ sets: [Samples]) throws -> [Double] {
        try sets.map { samples in
            let evaluator = try Evaluator(graph, tensors: model.tensorInfos, samples: samples)
            return try evaluator.evaluate(count: 1, jobs: 1) { _ in model }[0].get().accuracy
        }
    }

    /// What coefficients are chosen by, on every column's validation data: `--statistics recompute` chooses among networks
    /// with statistics made for them, as the result will have.
    func chooser(
        _ problem: CompositionProblem<Float>, statisticsOn sets: [Samples]? = nil
    ) throws -> ([Double]) throws -> [Evaluation] {
        let validation = data.map(\.validation)
        guard command.statistics == .recompute else { return { try problem.evaluations($0, validation) } }
        let tensors = set.source.tensorInfos, jobs = session.jobs
        let statistics = try BatchNormStatistics.pooled(graph, tensors: tensors, on: sets ?? data.map(\.learning))
        let evaluators = try validation.map { try Evaluator(graph, tensors: tensors, samples: $0) }
        let parts = problem.space.parts > 1 ? partition : nil
        return { values in
            // Zeros are the base, which has statistics of its own.
            guard values.contains(where: { $0 != 0 }) else { return try problem.evaluations(values, validation) }
            let made = try statistics.recalibrated(model(values, problem.space.groups, parts))
            return try evaluators.map { try $0.evaluate(count: 1, jobs: jobs) { _ in made }[0].get() }
        }
    }

    // MARK: Adapters

    /// Rows for the network of coefficients with each adapter that is asked for.
    func adapted(
        _ name: String?, _ values: [Double], _ problem: CompositionProblem<Float>, _ few: Samples
    ) throws -> [MethodScore] {
        guard !command.adapter.isEmpty else { return [] }
        let model = try composed(values, problem, statisticsOn: [few])
        let rows = try (few: features(model, few), validation: features(model, data[0].validation))
        let test = try data[0].test.map { try features(model, $0) }
        return command.adapter.map { kind in
            let label = kind == .tip ? "Tip-Adapter" : "LP++"
            var row = MethodScore(name: name.map { "\($0) + \(label)" } ?? label, parameters: nil)
            switch kind {
            case .tip:
                let adapter = TipAdapter(rows.few, validation: rows.validation)
                row.parameters = 2
                row.validation = [adapter.accuracy(rows.validation)]
                row.test = test.map { [adapter.accuracy($0)] } ?? []
            case .probe:
                let adapter = BlendedProbe(rows.few, validation: rows.validation)
                row.parameters = adapter.weights.reduce(0) { $0 + $1.count } + adapter.blend.count
                row.validation = [adapter.accuracy(rows.validation)]
                row.test = test.map { [adapter.accuracy($0)] } ?? []
            }
            return row
        }
    }

    /// What a network says of samples.
    private func features(_ model: any TensorSource, _ samples: Samples) throws -> FeatureRows {
        let sweep = try ModelSweep(graph, tensors: model.tensorInfos, samples: samples, loss: .entropy)
        let problem = try sweep.problem(model, jobs: session.jobs)
        func rows(_ output: String) throws -> [[Double]] {
            let values = try problem.output(output, at: problem.initial).doubles()
            let size = values.count / samples.count
            return (0..<samples.count).map { Array(values[$0 * size..<($0 + 1) * size]) }
        }
        return FeatureRows(
            features: try rows("features"), logits: try rows("logits"), labels: samples.labels.map { Int($0) })
    }
}

extension BatchNormStatistics {
    /// The passes over the inputs of several data sets together.
    ///
    /// - Throws: `mismatch` when the network has no batch norm.
    static func pooled(
        _ graph: ArchitectureGraph, tensors: [TensorInfo], on sets: [Samples]
    ) throws -> BatchNormStatistics {
        let count = sets.reduce(0) { $0 + $1.count }
        let inputs = Tensor(sets.flatMap(\.inputs), shape: Shape([count] + sets[0].inputShape))
        return try BatchNormStatistics(graph, tensors: tensors, samples: try Samples(inputs: inputs, labels: nil))
    }

    /// A network with its statistics computed on the inputs of several data sets together.
    ///
    /// - Throws: `mismatch` when it has none; what reading throws.
    static func recomputed(
        _ model: any TensorSource, _ graph: ArchitectureGraph, on sets: [Samples]
    ) throws -> StateDict {
        try pooled(graph, tensors: model.tensorInfos, on: sets).recalibrated(model)
    }
}
