import ZooBase
import ZooMerge
import ZooNN
import ZooTensor

/// What composition is compared with, on the same data.
extension ComposeWork {
    /// One coefficient per vector.
    func isotropicProblem() throws -> CompositionProblem<Float> {
        let groups = CoefficientGroups(
            graph, tensors: set.source.tensorInfos, granularity: .model, excluded: command.ownHeads)
        return try problem(groups: groups)
    }

    /// The shared scale of the grid that is best on validation data.
    func searchScale(_ single: [Double]? = nil) throws -> (CompositionProblem<Float>, [Double]) {
        let isotropic = try isotropicProblem()
        let chooser = try chooser(isotropic)
        let choices = ScalingSearch.grid.map { [Double](repeating: $0, count: set.tasks.count) }
        let scores = try choices.map { values in
            let found = try chooser(values).map(\.accuracy)
            return single.map { ScalingSearch.normalised(found, single: $0) } ?? found.reduce(0, +)
                / Double(found.count)
        }
        return (isotropic, choices[ScalingSearch.best(scores) ?? 0])
    }

    /// The rows between the base and aTLAS.
    func addBaselines(_ report: inout ComposeReport, _ plan: BatchPlan, _ options: CoefficientOptions) throws {
        let single = report.single?.validation ?? [], tasks = set.tasks.count
        let (isotropic, scale) = try searchScale(single)
        let average = [Double](repeating: 1 / Double(tasks), count: tasks)
        report.methods.append(try score("average", 0, isotropic, average, report.single))
        report.methods.append(
            try score(
                "task arithmetic", 1, isotropic, scale, report.single, detail: Quantity.significant(scale[0], digits: 3)
            ))
        let learned = try learnAddition("isotropic", isotropic, plan, options, single)
        report.methods.append(try score("isotropic", tasks, isotropic, learned.best, report.single))
        if heads.isEmpty {
            try addAdaMerging(&report)
            let sets = data.map(\.learning)
            for scope in [WeightTraining.Scope.probe, .full] {
                report.methods.append(try trained(scope, sets, plan, options, report.single))
            }
        } else {
            session.note("AdaMerging and training of weights share one head and are left out with --own-heads")
        }
    }

    /// AdaMerging on the learning data without its labels.
    private func addAdaMerging(_ report: inout ComposeReport) throws {
        // Statistics move with the vectors only where they do in what is held against them.
        let staying = command.statistics == .follow ? [] : self.statistics
        for granularity in [AdaMerging.Granularity.task, .layer] {
            var options = AdaMerging.Options()
            options.granularity = granularity
            options.rate = 5e-3
            options.steps = 400
            options.seed = session.seed
            let tasks = set.tasks.indices.map { place in
                var scales = [Double](repeating: 0, count: set.tasks.count)
                scales[place] = 1
                let model = DisplacedModel(base: set.source, operands: set.operands, scales: scales, keeping: staying)
                return (model: model as any TensorSource, samples: data[place].learning)
            }
            let progress = session.progress("adamerging", total: options.steps, unit: .items("steps"))
            let merged: AdaMerging
            do {
                defer { progress.finish() }
                merged = try AdaMerging(graph, base: set.source, tasks: tasks, options: options) {
                    progress.advance(by: $0)
                }
            } catch let error as ZooError where error.code == .numeric {
                // Many tasks at the published start of 0.3 are far from the base; what is learned does not depend on it.
                session.warn("AdaMerging, \(granularity.rawValue)-wise, is left out: \(error.message)")
                continue
            }
            var row = MethodScore(
                name: "AdaMerging, \(granularity.rawValue)-wise",
                parameters: merged.coefficients.reduce(0) { $0 + $1.count })
            var state = merged.state
            if command.statistics == .recompute {
                let statistics = try BatchNormStatistics.pooled(
                    graph, tensors: set.source.tensorInfos, on: data.map(\.learning))
                state = try statistics.recalibrated(state)
            }
            try fill(&row, state, report.single)
            report.methods.append(row)
        }
    }

    /// Fills a row with a network's accuracies.
    private func fill(_ row: inout MethodScore, _ state: StateDict, _ single: MethodScore?) throws {
        row.validation = try accuracies(state, data.map(\.validation))
        let tested = data.compactMap(\.test)
        if tested.count == data.count { row.test = try accuracies(state, tested) }
        row.relate(to: single)
    }

    /// Training of weights on the same batches.
    private func trained(
        _ scope: WeightTraining.Scope, _ sets: [Samples], _ plan: BatchPlan, _ options: CoefficientOptions,
        _ single: MethodScore?
    ) throws -> MethodScore {
        var own = options
        own.rate = scope == .probe ? 1e-2 : 1e-3
        own.weightDecay = 0
        let training = try WeightTraining(
            graph, base: set.source, tasks: sets, plan: plan, scope: scope, options: own
        ) { state in
            let found = try accuracies(state, data.map(\.validation))
            return single.map { ScalingSearch.normalised(found, single: $0.validation) }
                ?? found.reduce(0, +) / Double(found.count)
        }
        var row = MethodScore(
            name: scope == .probe ? "linear probe" : "full fine-tuning", parameters: training.parameterCount)
        try fill(&row, training.state, single)
        return row
    }

    /// Both trainings on few samples.
    func trained(_ few: Samples, _ plan: BatchPlan, _ options: CoefficientOptions) throws -> [MethodScore] {
        try [WeightTraining.Scope.probe, .full].map { try trained($0, [few], plan, options, nil) }
    }
}
