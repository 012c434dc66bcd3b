import ZooBase
import ZooCatalog

extension EvaluationRun {
    /// Writes the results of catalogued checkpoints into the catalog, as metrics `eval_SPLIT_loss` and
    /// `eval_SPLIT_accuracy` of a run; says how many there are.
    ///
    /// - Parameter settings: what the values depend on beside the checkpoints; nil when that is not kept.
    func record(data: String, settings: String? = nil) throws {
        let catalogued = results.filter { $0.checkpoint.row != nil }
        guard !catalogued.isEmpty else {
            session.warn("--record: none of the checkpoints is in the catalog")
            return
        }
        let catalog = try Catalog(session.catalogPath)
        try warnOfReplacement(catalog, data, settings)
        let writer = try catalog.writer(patience: 5)
        let recorder = try MetricRecorder(
            writer, .now(command: CommandLineTool.text, seed: session.seed, dataset: data, settings: settings))
        for result in catalogued {
            guard let id = result.checkpoint.row?.id else { continue }
            let prefix = Self.metricPrefix(result.split)
            try recorder.record("\(prefix)_loss", of: id, value: result.evaluation.loss)
            try recorder.record("\(prefix)_accuracy", of: id, value: result.evaluation.accuracy)
        }
        try recorder.finish()
        try writer.close()
        session.note("recorded \(Quantity.count(recorder.count)) metrics as run \(recorder.run)")
    }

    /// Values of splits of the same name that were measured on other data are replaced.
    private func warnOfReplacement(_ catalog: Catalog, _ data: String, _ settings: String?) throws {
        let ids = results.compactMap { $0.checkpoint.row?.id }
        let names = Set(
            results.flatMap { result in
                ["loss", "accuracy"].map { Self.metricPrefix(result.split) + "_" + $0 }
            })
        let replaced = try catalog.findings(of: ids, named: names).filter { finding in
            finding.dataset != data || settings != nil && finding.settings != nil && finding.settings != settings
        }
        ReplacedValues(replaced, by: data, samples: settings.flatMap { MetricFinding.samples(in: $0) }).warn(session)
    }

    /// What the names of a split's metrics begin with.
    static func metricPrefix(_ split: String) -> String {
        "eval_" + split.map { $0.isLetter || $0.isNumber ? String($0) : "_" }.joined()
    }
}
