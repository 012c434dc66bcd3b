import ZooBase
import ZooMerge
import ZooNN
import ZooTensor

extension ComposeWork {
    /// Bytes of vectors, before and after a choice, and of the rest.
    private func memory(_ problem: CompositionProblem<Float>) -> JSONObject {
        let bytes = problem.byteCount
        return JSONObject([
            ("vectors_all", .int(Int64(bytes.allVectors))), ("vectors_held", .int(Int64(bytes.vectors))),
            ("network", .int(Int64(bytes.network))), ("arenas", .int(Int64(bytes.arenas))),
        ])
    }

    private func report(_ columns: [String]) -> ComposeReport {
        var report = ComposeReport(
            recipe: command.kind, columns: columns, groups: groups, partitions: command.partitions)
        if command.statistics == .recompute { report.statisticsData = data.map(\.learning) }
        return report
    }

    /// A problem with the vectors of the budget; says what is left out and which vectors are zero.
    private func chosenProblem(_ report: inout ComposeReport) throws -> CompositionProblem<Float> {
        report.selection = try selection()
        let problem = try problem(partition: partition, selection: report.selection)
        report.memory = memory(problem)
        if report.selection == nil, problem.space.isZero.allSatisfy(\.self) { throw TaskSet.allZero }
        for (name, isZero) in zip(set.names, problem.space.isZero) where isZero && report.selection == nil {
            session.warn("the task vector of \(name) is zero on everything that is learned; it has no effect")
        }
        if command.budget != nil {
            let bytes = problem.byteCount
            let held = command.lowMemory ? "streamed" : Quantity.bytes(bytes.vectors)
            session.note("budget: vectors take \(held) instead of \(Quantity.bytes(bytes.allVectors))")
        }
        return problem
    }

    /// Samples of each part of a step.
    private func parts(_ places: [[Int]], signs: [Double]) -> [CompositionProblem<Float>.Part] {
        places.enumerated().map { task, list in
            .init(task: task, samples: data[task].learning, places: list, weight: signs[task] / Double(list.count))
        }
    }

    // MARK: Addition

    func addition() throws -> ComposeReport {
        var report = report(set.names)
        let problem = try chosenProblem(&report)
        report.single = try singles()
        if let place = report.single?.validation.firstIndex(of: 0) {
            throw ZooError(
                .numeric, "the fine-tuned network of \(set.names[place]) has accuracy 0 on its validation data",
                hint: "check that data and task belong together")
        }
        let plan = try BatchPlan(counts: data.map(\.learning.count), batch: command.batch, seed: session.seed)
        let options = options(epochs: 20, rate: 1e-3, schedule: .constant, stepsPerEpoch: plan.stepsPerEpoch)
        let found = try learnAddition("learn", problem, plan, options, report.single?.validation ?? [])
        report.take(found)
        if found.best.allSatisfy({ $0 == 0 }) {
            session.warn("nothing was better than the base on validation data; all coefficients are zero")
        }
        let zeros = [Double](repeating: 0, count: problem.space.count)
        report.methods.append(try score("pre-trained", 0, problem, zeros, report.single))
        if command.baselines { try addBaselines(&report, plan, options) }
        report.methods.append(try score("aTLAS", problem.space.count, problem, found.best, report.single))
        if let single = report.single { report.methods.append(single) }
        return report
    }

    func learnAddition(
        _ label: String, _ problem: CompositionProblem<Float>, _ plan: BatchPlan, _ options: CoefficientOptions,
        _ single: [Double]
    ) throws -> CoefficientState {
        var cursor = BatchCursor(plan)
        let signs = [Double](repeating: 1, count: data.count)
        let chooser = try chooser(problem)
        return try learn(label, problem, options) { number, values in
            try problem.step(values, parts(cursor.places(step: number), signs: signs), loss: .crossEntropy)
        } evaluate: { _, values in
            let accuracies = try chooser(values).map(\.accuracy)
            return RoundScore(
                score: ScalingSearch.normalised(accuracies, single: single),
                metrics: Dictionary(zip(data.map(\.name), accuracies), uniquingKeysWith: { first, _ in first }))
        }
    }

    /// Accuracies of each task's own network on its own data.
    private func singles() throws -> MethodScore {
        var row = MethodScore(name: "fine-tuned", parameters: nil)
        for (place, task) in set.tasks.enumerated() {
            var scales = [Double](repeating: 0, count: set.tasks.count)
            scales[place] = 1
            // A network that lacks tensors of the base is completed with them.
            let whole = task.fineTuned.flatMap { source in
                let names = Set(source.tensorInfos.map(\.name))
                return set.source.tensorInfos.allSatisfy { names.contains($0.name) } ? source : nil
            }
            let model: any TensorSource =
                whole ?? DisplacedModel(base: set.source, operands: set.operands, scales: scales)
            func accuracy(_ samples: Samples) throws -> Double {
                let evaluator = try Evaluator(graph, tensors: model.tensorInfos, samples: samples)
                return try evaluator.evaluate(count: 1, jobs: 1) { _ in model }[0].get().accuracy
            }
            row.validation.append(try accuracy(data[place].validation))
            if let test = data[place].test { row.test.append(try accuracy(test)) }
        }
        if row.test.count < data.count { row.test = [] }
        return row
    }

    /// A method's accuracies: selection on validation data is done, test data is looked at now.
    func score(
        _ name: String, _ parameters: Int?, _ problem: CompositionProblem<Float>, _ values: [Double],
        _ single: MethodScore?, detail: String? = nil, statisticsOn sets: [Samples]? = nil
    ) throws -> MethodScore {
        var row = MethodScore(name: name, parameters: parameters)
        row.detail = detail
        let made =
            command.statistics == .recompute
            ? try composed(values, problem, statisticsOn: sets ?? data.map(\.learning)) : nil
        func accuracies(_ sets: [Samples]) throws -> [Double] {
            try made.map { try self.accuracies($0, sets) } ?? problem.evaluations(values, sets).map(\.accuracy)
        }
        if data.allSatisfy({ !$0.validation.labels.isEmpty }) {
            row.validation = try accuracies(data.map(\.validation))
        }
        let tested = data.compactMap(\.test)
        if tested.count == data.count { row.test = try accuracies(tested) }
        row.relate(to: single)
        return row
    }

    // MARK: Negation

    func negation() throws -> ComposeReport {
        var report = report([data[0].name, "control"])
        let problem = try chosenProblem(&report)
        let plan = try BatchPlan(counts: data.map(\.learning.count), batch: command.batch, seed: session.seed)
        let options = options(epochs: 5, rate: 5e-3, schedule: .constant, stepsPerEpoch: plan.stepsPerEpoch)
        let zeros = [Double](repeating: 0, count: problem.space.count)
        let chooser = try chooser(problem)
        let base = try chooser(zeros).map(\.accuracy)
        var cursor = BatchCursor(plan)
        let found = try learn("negate", problem, options) { number, values in
            try problem.step(
                values, parts(cursor.places(step: number), signs: [-1, command.controlWeight]), loss: .crossEntropy)
        } evaluate: { _, values in
            let now = try chooser(values).map(\.accuracy)
            let keeps = now[1] >= 0.95 * base[1]
            return RoundScore(
                score: -now[0], isEligible: keeps, stops: !keeps, metrics: ["target": now[0], "control": now[1]])
        }
        report.take(found)
        if found.isStopped { session.note("stopped: accuracy on the control data fell below 95 % of the base's") }
        if found.best.allSatisfy({ $0 == 0 }) {
            session.warn("no coefficients lowered the target and kept the control; all are zero")
        }
        report.methods.append(try score("pre-trained", 0, problem, zeros, nil))
        if command.baselines {
            let isotropic = try isotropicProblem()
            let scales = ScalingSearch.grid.map { [Double](repeating: -$0, count: set.tasks.count) }
            let scaled = try self.chooser(isotropic)
            let rows = try scales.map { try scaled($0).map(\.accuracy) }
            let best = ScalingSearch.bestNegation(
                target: rows.map { $0[0] }, control: rows.map { $0[1] }, baseControl: base[1])
            let chosen = best.map { scales[$0] } ?? scales[0]
            report.methods.append(
                try score("search", 1, isotropic, chosen, nil, detail: Quantity.significant(chosen[0], digits: 3)))
        }
        report.methods.append(try score("aTLAS", problem.space.count, problem, found.best, nil))
        return report
    }

    // MARK: Few shots

    func fewShots() throws -> ComposeReport {
        var report = report(["target"])
        let shots = try (command.shots ?? "").split(separator: ",").map { part in
            guard let number = Int(part.filter { $0 != " " }), number > 0 else {
                throw ZooError(.usage, "--shots: '\(part)' is no number of samples")
            }
            return number
        }
        guard !shots.isEmpty else { throw ZooError(.usage, "--shots names no number of samples") }
        let problem = try chosenProblem(&report)
        let zeros = [Double](repeating: 0, count: problem.space.count)
        report.methods.append(try score("zero-shot", 0, problem, zeros, nil))
        if command.baselines {
            let (isotropic, scale) = try searchScale()
            report.methods.append(
                try score("search", 1, isotropic, scale, nil, detail: Quantity.significant(scale[0], digits: 3)))
        }
        for shot in shots {
            var rows: [String: [MethodScore]] = [:], order: [String] = []
            func add(_ row: MethodScore) {
                if rows[row.name] == nil { order.append(row.name) }
                rows[row.name, default: []].append(row)
            }
            for draw in 0..<command.repeats {
                let few = try FewShots.draw(data[0].learning, shots: shot, seed: session.seed &+ UInt64(draw))
                let plan = try BatchPlan(
                    counts: [few.count], batch: command.batch, seed: session.seed &+ UInt64(draw), oversampled: true)
                let options = options(epochs: 10, rate: 1e-1, schedule: .cosine, stepsPerEpoch: plan.stepsPerEpoch)
                if command.baselines {
                    for row in try trained(few, plan, options) { add(row) }
                    for row in try adapted(nil, zeros, problem, few) { add(row) }
                }
                let found = try learnTarget("\(shot) shots, draw \(draw + 1)", problem, few, plan, options)
                report.take(found)
                if command.statistics == .recompute { report.statisticsData = [few] }
                add(try score("aTLAS", problem.space.count, problem, found.best, nil, statisticsOn: [few]))
                for row in try adapted("aTLAS", found.best, problem, few) { add(row) }
            }
            for name in order { report.methods.append(MethodScore.mean(rows[name] ?? [], shots: shot)) }
        }
        return report
    }

    private func learnTarget(
        _ label: String, _ problem: CompositionProblem<Float>, _ samples: Samples, _ plan: BatchPlan,
        _ options: CoefficientOptions
    ) throws -> CoefficientState {
        var cursor = BatchCursor(plan)
        let chooser = try chooser(problem, statisticsOn: [samples])
        return try learn(label, problem, options) { number, values in
            let places = cursor.places(step: number)[0]
            let part = CompositionProblem<Float>.Part(
                task: 0, samples: samples, places: places, weight: 1 / Double(places.count))
            return try problem.step(values, [part], loss: .crossEntropy)
        } evaluate: { _, values in
            let found = try chooser(values)[0]
            return RoundScore(score: found.accuracy, metrics: ["accuracy": found.accuracy, "loss": found.loss])
        }
    }

    // MARK: Adaptation

    func adaptation() throws -> ComposeReport {
        var report = report(["target"])
        let problem = try chosenProblem(&report)
        let samples = data[0].learning
        var evaluate: ((Int, [Double]) throws -> RoundScore)?
        if !command.validation.isEmpty {
            let chooser = try chooser(problem)
            evaluate = { _, values in
                let found = try chooser(values)[0]
                return RoundScore(score: found.accuracy, metrics: ["accuracy": found.accuracy])
            }
        }
        let found: CoefficientState
        if command.objective == .entropy {
            let plan = try BatchPlan(counts: [samples.count], batch: command.batch, seed: session.seed)
            let options = options(epochs: 10, rate: 1e-3, schedule: .cosine, stepsPerEpoch: plan.stepsPerEpoch)
            var cursor = BatchCursor(plan)
            found = try learn(
                "entropy", problem, options,
                gradient: { number, values in
                    try problem.step(values, parts(cursor.places(step: number), signs: [1]), loss: .entropy)
                }, evaluate: evaluate)
        } else {
            found = try pseudoLabels(problem, samples, evaluate)
        }
        report.take(found)
        let zeros = [Double](repeating: 0, count: problem.space.count)
        report.methods.append(try score("zero-shot", 0, problem, zeros, nil))
        report.methods.append(
            try score("aTLAS, \(command.objective.rawValue)", problem.space.count, problem, found.best, nil))
        return report
    }

    private func pseudoLabels(
        _ problem: CompositionProblem<Float>, _ samples: Samples, _ evaluate: ((Int, [Double]) throws -> RoundScore)?
    ) throws -> CoefficientState {
        guard command.batch >= 4 else { throw ZooError(.usage, "ufm takes a --batch of at least 4") }
        let options = options(
            epochs: 10, rate: 1e-3, schedule: .cosine,
            stepsPerEpoch: UnlabelledSteps.stepsPerEpoch(samples, batch: command.batch))
        var settings = UnlabelledSteps.Options()
        settings.batch = command.batch
        settings.exponent = command.ufmExponent
        settings.weak = try SampleViews(command.weak)
        settings.strong = try SampleViews(command.strong)
        settings.trustedLimit = command.trusted
        settings.seed = session.seed
        settings.total = options.stepCount
        var steps = UnlabelledSteps(samples, settings)
        var passed = (count: 0, of: 0)
        let found = try learn(
            "ufm", problem, options,
            gradient: { number, values in
                let step = try steps.step(number, values, problem)
                passed = (passed.count + steps.passed.count, passed.of + steps.passed.of)
                return step
            }, evaluate: evaluate)
        if passed.of > 0 {
            session.note(
                "\(Quantity.count(passed.count)) of \(Quantity.count(passed.of)) pseudo-labels were certain enough")
        }
        return found
    }
}

/// A few samples of every class.
enum FewShots {
    /// `shots` samples of each class, drawn by a seed; ascending.
    ///
    /// - Throws: `usage` for a class that has fewer.
    static func draw(_ samples: Samples, shots: Int, seed: UInt64) throws -> Samples {
        var members: [Int32: [Int]] = [:]
        for (place, label) in samples.labels.enumerated() { members[label, default: []].append(place) }
        var generator = SeededGenerator(seed: seed &* 0x9E37_79B9_7F4A_7C15 &+ UInt64(shots))
        var chosen: [Int] = []
        for label in members.keys.sorted() {
            var own = members[label] ?? []
            guard own.count >= shots else {
                throw ZooError(.usage, "--shots \(shots): class \(label) has \(own.count) samples in the learning data")
            }
            generator.shuffle(&own)
            chosen += own.prefix(shots)
        }
        return samples.selecting(chosen.sorted())
    }
}
