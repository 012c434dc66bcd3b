import ZooBase
import ZooCatalog
import ZooLandscape
import ZooNN
import ZooTensor

/// Puts the networks of every cell of a phase diagram to use: averages, ensembles, pruning.
struct DownstreamWork {
    /// What came of one cell.
    struct Cell: Sendable {
        var own: [Double]
        var outcomes: [StudyOutcome]
    }

    let phases: ZooPhases
    let studies: [DownstreamStudy]
    /// Row by row; nil for cells without networks and those that failed.
    private(set) var cells: [Cell?] = []
    private(set) var failures: [PartialFailure.Item] = []

    init(_ phases: ZooPhases, _ studies: [DownstreamStudy]) {
        self.phases = phases
        self.studies = studies
    }

    /// Does the work, cells in parallel.
    ///
    /// - Parameters:
    ///   - train: what batch-norm statistics are recomputed on.
    ///   - last: epochs that are averaged.
    mutating func run(
        train: Samples, test: Samples, last: Int, library: ArchitectureLibrary, _ session: Session
    ) throws {
        let prepared = try prepare(train: train, test: test, library: library, session)
        let progress = session.progress("downstream", total: prepared.count, unit: .items("cells"))
        defer { progress.finish() }
        let studies = studies
        let found = try Parallel.map(count: prepared.count, jobs: session.jobs) { index -> Result<Cell?, ZooError> in
            defer { progress.advance(by: 1) }
            guard let cell = prepared[index] else { return .success(nil) }
            do {
                let result = try cell.run(studies, last: last)
                return .success(Cell(own: result.own, outcomes: result.outcomes))
            } catch let error as ZooError where error.code != .interrupted { return .failure(error) }
        }
        for (place, result) in found.enumerated() {
            switch result {
            case .success(let cell): cells.append(cell)
            case .failure(let error):
                cells.append(nil)
                failures.append(.init(label(place), error))
            }
        }
    }

    private func label(_ place: Int) -> String {
        let grid = phases.grid
        let row = grid.rows[place / grid.columns.count], column = grid.columns[place % grid.columns.count]
        return "\(grid.axes.load.name) \(Quantity.significant(column, digits: 6)), "
            + "\(grid.axes.temperature.name) \(Quantity.significant(row, digits: 6))"
    }

    /// Programs of one architecture, shared by the cells that have it.
    private struct Tools {
        let evaluator: Evaluator
        let sweep: ModelSweep
        let statistics: BatchNormStatistics?
        let spaces: [PermutationSpaces.Space]
    }

    private struct Group: Hashable {
        var graph: ArchitectureGraph
        var tensors: [TensorInfo]
    }

    private func prepare(
        train: Samples, test: Samples, library: ArchitectureLibrary, _ session: Session
    ) throws -> [CellStudy?] {
        try library.loadConfigs(of: phases.grid.checkpoints)
        let catalog = try Catalog(session.catalogPath)
        let resolver = SelectorResolver(catalogPath: session.catalogPath)
        let needsHistory = studies.contains { $0.kind == .epochs }
        var tools: [Group: Tools] = [:]
        return try phases.grid.cells.flatMap { $0 }.map { cell -> CellStudy? in
            guard let first = cell.first else { return nil }
            let tensors = try library.tensors(of: first)
            let graph = try library.architecture(of: first, tensors: tensors, inputShape: test.inputShape).graph
            let group = Group(graph: graph, tensors: tensors)
            let found = try tools[group] ?? makeTools(group, train, test)
            tools[group] = found
            let histories = try cell.map { checkpoint -> [SelectedCheckpoint] in
                guard needsHistory, let row = checkpoint.row else { return [checkpoint] }
                return try catalog.checkpoints(of: row.modelID).filter { ($0.epoch ?? 0) <= (row.epoch ?? 0) }
                    .map(resolver.selected)
            }
            return CellStudy(
                graph: graph, histories: histories, spaces: found.spaces, evaluator: found.evaluator,
                sweep: found.sweep, statistics: found.statistics, test: test, seed: session.seed)
        }
    }

    private func makeTools(_ group: Group, _ train: Samples, _ test: Samples) throws -> Tools {
        Tools(
            evaluator: try Evaluator(group.graph, tensors: group.tensors, samples: test),
            sweep: try ModelSweep(group.graph, tensors: group.tensors, samples: test),
            statistics: BatchNormStatistics.applies(to: group.graph)
                ? try BatchNormStatistics(group.graph, tensors: group.tensors, samples: train) : nil,
            spaces: PermutationSpaces(group.graph, shapes: try GraphShapes(group.graph, tensors: group.tensors)).spaces)
    }

    // MARK: What came of it

    /// A study's mean gain in each cell, row by row.
    func gains(_ study: Int) -> [Double?] { cells.map { $0.flatMap { StudyOutcome.mean($0.outcomes[study].gains) } } }

    /// A study's mean accuracy in each cell, row by row.
    func accuracies(_ study: Int) -> [Double?] {
        cells.map { $0.flatMap { StudyOutcome.mean($0.outcomes[study].accuracies) } }
    }

    /// Mean accuracy of the networks themselves.
    var own: [Double?] { cells.map { $0.flatMap { StudyOutcome.mean($0.own) } } }
}
