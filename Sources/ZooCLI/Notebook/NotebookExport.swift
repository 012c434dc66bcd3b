import ZooBase
import ZooCatalog
import ZooFormats
import ZooLandscape
import ZooReport
import ZooTensor

/// Writes a notebook with the files that its cells read, into a folder.
struct NotebookExport {
    private let folder: String
    private let name: String
    private let condition: String?
    private let session: Session
    private let tables: NotebookTables
    private let phases: ZooPhases?
    /// Why there are no phases.
    private let reason: String?
    private(set) var files: [String] = []

    init(_ ids: [Int64], to folder: String, condition: String?, _ session: Session) throws {
        self.folder = folder.hasSuffix("/") ? String(folder.dropLast()) : folder
        name = self.folder.split(separator: "/").last.map(String.init) ?? "zoo"
        self.condition = condition
        self.session = session
        tables = try NotebookTables(ids, Catalog(session.catalogPath))
        do {
            guard let zoo = tables.zoo else { throw ZooError(.mismatch, "the checkpoints are of several zoos") }
            // As 'zoo phases ZOO' would, without further options.
            phases = try ZooPhases(ZooGrid(.parse(["--", zoo]), session), .parse([]), session)
            reason = nil
        } catch let error as ZooError where [.mismatch, .notFound, .usage].contains(error.code) {
            phases = nil
            reason = error.message
        }
    }

    /// Writes everything.
    mutating func run() throws {
        try makeFolder(folder)
        try write(tables.models, "models")
        if !tables.metrics.rows.isEmpty { try write(tables.metrics, "metrics") }
        let picture = try figure.png(scale: 1)
        try write(picture, pictureName)
        if let phases {
            try write(PhaseReport(phases).table, "phases")
            try CheckpointWriters.write(Self.arrays(phases), to: "\(folder)/grid.npz", format: "npz")
            files.append("\(folder)/grid.npz")
        }
        let notebook = NotebookText(
            name: name, condition: condition, tables: tables, phases: phases, reason: reason, picture: pictureName)
        try write(Array(notebook.notebook(picture).text.utf8), "\(name).ipynb")
    }

    private mutating func write(_ bytes: [UInt8], _ file: String) throws {
        try AtomicFile.write("\(folder)/\(file)", bytes)
        files.append("\(folder)/\(file)")
    }

    /// A table twice: Parquet for data frames, CSV for everything else.
    private mutating func write(_ table: Table, _ stem: String) throws {
        for format in [TableFormat.parquet, .csv] {
            let path = "\(folder)/\(stem).\(format.extensions[0])"
            let file = try AtomicFile(path)
            let plain = Table(table.columns.uniquelyNamed, rows: table.rows)
            try plain.write(
                to: format.makeSink(file, RenderOptions(metadata: ["generator": "zoo \(ZooVersion.string)"])))
            try file.commit()
            files.append(path)
        }
    }

    private var pictureName: String { phases == nil ? "results.png" : "phases.png" }

    private var figure: Figure {
        if let phases { return PhaseFigure(phases).figure(title: name) }
        func numbers(_ column: String) -> [Double] {
            guard let place = tables.models.columns.firstIndex(where: { $0.name == column }) else {
                return tables.models.rows.map { _ in .nan }
            }
            return tables.models.rows.map { if case .double(let value) = $0[place] { value } else { .nan } }
        }
        let panel = Panel(
            x: Axis("train_loss", scale: .log10), y: Axis("test_accuracy"),
            layers: [.scatter(Scatter(x: numbers("train_loss"), y: numbers("test_accuracy")))])
        return Figure([panel], title: name)
    }

    /// Phases by number: 0 to 4 for I, II, III, IV-A, IV-B, 5 for IV, −1 for unknown.
    static let order: [Phase] = [.one, .two, .three, .fourA, .fourB, .four]

    /// The grid as arrays [temperatures, loads].
    private static func arrays(_ phases: ZooPhases) throws -> StateDict {
        let shape = try Shape(validating: [phases.grid.rows.count, phases.grid.columns.count])
        var state = StateDict()
        func add(_ name: String, _ values: [Double?]) {
            state[name] = Tensor(values.map { $0 ?? .nan }, shape: shape)
        }
        state["load"] = Tensor(phases.grid.columns, shape: try Shape(validating: [phases.grid.columns.count]))
        state["temperature"] = Tensor(phases.grid.rows, shape: try Shape(validating: [phases.grid.rows.count]))
        state["phase"] = Tensor(phases.phases.map { Int64(order.firstIndex(of: $0) ?? -1) }, shape: shape)
        add("train_loss", phases.values(phases.sources.loss))
        add("sharpness", phases.values(phases.sources.sharpness))
        add("connectivity", phases.values(phases.sources.connectivity))
        add("similarity", phases.values(phases.sources.similarity))
        add("accuracy", phases.accuracies)
        add("confidence", phases.confidence)
        let limits = [
            -phases.diagram.rules.connectivityTolerance, phases.diagram.similarity?.value ?? .nan,
            phases.diagram.side?.value ?? .nan,
        ]
        state["thresholds"] = Tensor(limits, shape: try Shape(validating: [limits.count]))
        return state
    }
}
