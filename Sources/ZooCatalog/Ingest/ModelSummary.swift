/// What `model_summary` says of one model, computed from its results and checkpoints.
struct ModelSummary {
    var checkpoints: [CheckpointIngest]
    var results: [Int: EpochValues]
    /// The index of the checkpoint of the last epoch.
    var last: Int?
    /// The index of the best checkpoint.
    var best: Int?

    /// - Parameter checkpoints: in the order of their epochs.
    init(checkpoints: [CheckpointIngest], results: [Int: EpochValues]) {
        self.checkpoints = checkpoints
        self.results = results
        last = checkpoints.isEmpty ? nil : checkpoints.count - 1
        best = nil
        best = findBest()
    }

    /// The results of a checkpoint's epoch.
    func values(_ index: Int) -> EpochValues {
        checkpoints[index].epoch.flatMap { results[$0] } ?? EpochValues()
    }

    /// Highest validation accuracy; without one, lowest validation loss; then the same on the test data. The first of
    /// equals. A lone checkpoint is its own best.
    private func findBest() -> Int? {
        let measures: [(EpochValues) -> Double?] = [
            { $0.valAccuracy }, { $0.valLoss.map { -$0 } }, { $0.testAccuracy }, { $0.testLoss.map { -$0 } },
        ]
        for measure in measures {
            var found: (index: Int, value: Double)?
            for index in checkpoints.indices {
                guard let value = measure(values(index)), !value.isNaN else { continue }
                if found.map({ value > $0.value }) ?? true { found = (index, value) }
            }
            if let found { return found.index }
        }
        return checkpoints.count == 1 ? 0 : nil
    }

    /// The lowest and highest value over the checkpoints; nil when none has one.
    func range(_ column: ZonedColumn) -> (lowest: Double, highest: Double)? {
        var range: (lowest: Double, highest: Double)?
        for index in checkpoints.indices {
            guard let value = column.value(values(index), epoch: checkpoints[index].epoch), !value.isNaN else {
                continue
            }
            range = range.map { (min($0.lowest, value), max($0.highest, value)) } ?? (value, value)
        }
        return range
    }
}
