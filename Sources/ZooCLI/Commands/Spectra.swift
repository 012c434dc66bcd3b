import ArgumentParser
import ZooBase
import ZooCatalog
import ZooLandscape
import ZooReport
import ZooTensor

/// `zoo spectra`: data-free metrics of weight matrices.
package struct Spectra: ZooCommand {
    package static let configuration = CommandConfiguration(
        abstract: "Measure spectra of weights without data: power-law exponents, norms, stable ranks, entropy.",
        discussion: """
            WeightWatcher's metrics, per layer: eigenvalues of WᵀW, of a convolution pooled over its kernel positions. \
            An exponent from few eigenvalues means little: 'tail' says how many. --summary gives one row per \
            checkpoint, the means over its layers.

            Example:
              zoo spectra zoos/digits-tasks/pretrained.safetensors
              zoo spectra "where:zoo = 'digits-phases'" --summary --output spectra.csv
            """)

    @Argument(help: "Checkpoints: files, folders, ARCHIVE!/MEMBER, ids, NAME@EPOCH, 'where:…'.")
    package var selectors: [String]

    @Flag(help: "One row per checkpoint: means over layers.")
    package var summary = false

    @Flag(help: "Compare with shuffled weights.")
    package var randomize = false

    @Flag(help: "Take off single large eigenvalues before the fit (WeightWatcher's clip_xmax).")
    package var clipFingers = false

    @Option(help: ArgumentHelp("Leave out layers with fewer eigenvalues.", valueName: "number"))
    package var minEvals: Int = 1

    @OptionGroup package var output: OutputOptions
    @OptionGroup(title: "Common options") package var global: GlobalOptions

    package init() {}

    package var outputPath: String? { output.output }

    package func run(in session: Session) throws {
        let selected = try SelectorResolver(catalogPath: session.catalogPath).resolve(selectors)
        guard !selected.isEmpty else {
            throw ZooError(.notFound, "no checkpoint is selected", hint: "'zoo query' shows what there is")
        }
        let progress = session.progress("spectra", total: selected.count, unit: .items("checkpoints"))
        let found = try Parallel.map(count: selected.count, jobs: session.jobs) { index in
            defer { progress.advance(by: 1) }
            return try spectra(selected[index], session)
        }
        progress.finish()
        var table = Table(SpectrumRows.columns(isSummary: summary))
        var failures: [PartialFailure.Item] = []
        for (checkpoint, result) in zip(selected, found) {
            switch result {
            case .success(let layers):
                if summary {
                    table.append(SpectrumRows.summary(layers, of: checkpoint.label))
                } else {
                    for layer in layers { table.append(SpectrumRows.row(layer, of: checkpoint.label)) }
                }
            case .failure(let error): failures.append(.init(checkpoint.label, error))
            }
        }
        try session.emit(table)
        guard failures.isEmpty else { throw PartialFailure(failures, of: selected.count, kind: "checkpoints") }
    }

    private func spectra(
        _ checkpoint: SelectedCheckpoint, _ session: Session
    ) throws -> Result<[LayerSpectrum], ZooError> {
        var options = LayerSpectrum.Options()
        options.isRandomised = randomize
        options.clipsFingers = clipFingers
        options.leastEigenvalues = minEvals
        options.seed = session.seed
        do {
            let source = try checkpoint.open()
            return .success(
                try source.tensorInfos.filter { $0.dtype.isFloatingPoint && [2, 4].contains($0.shape.rank) }
                    .compactMap { info in
                        try Cancellation.check()
                        do {
                            return try LayerSpectrum(
                                LayerMatrix(source.tensor(named: info.name), name: info.name), options: options)
                        } catch let error as ZooError where error.code == .unsupported {
                            session.detail("\(checkpoint.label): '\(info.name)' is left out: \(error.message)")
                            return nil
                        }
                    })
        } catch let error as ZooError where error.code != .interrupted { return .failure(error) }
    }
}
