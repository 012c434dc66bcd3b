import ArgumentParser
import ZooBase
import ZooCatalog
import ZooFormats
import ZooReport
import ZooTensor

/// `zoo export`: tables and weights for other programs.
package struct Export: ZooCommand {
    package static let configuration = CommandConfiguration(
        abstract: "Export rows as CSV, JSON lines or Parquet; weights as npz, HDF5 or safetensors.",
        discussion: """
            Tables have one row per checkpoint (or --from models, metrics) and stream, so a catalog of millions is \
            exported with flat memory. npz and HDF5 hold the matrix 'weights' [checkpoints, parameters] with ids, \
            epochs and results beside it, and FILE.index.json says where each tensor lies in a row. safetensors \
            writes each checkpoint as a file of its own into a folder. metrics writes all that was measured on the \
            checkpoints and on pairs of them, with how; 'zoo index' adds such a file to another catalog. notebook writes \
            a folder: an .ipynb with tables and an embedded picture, and the Parquet, CSV and npz files that its cells \
            read.

            Example:
              zoo export "epoch = last" --format parquet --to digits.parquet
              zoo export "zoo = 'digits-cnn' and epoch = 25" --format npz --to weights.npz
              zoo export "test_accuracy > 0.95" --format safetensors --to best/
              zoo export "zoo = 'digits-phases'" --format metrics --to zoos/digits-phases.metrics.jsonl
              zoo export "zoo = 'digits-mlp-phases'" --format notebook --to notebooks-export/digits-mlp-phases
            """)

    @Argument(help: "A condition; without one all rows.")
    package var condition: String?

    @Option(name: .customLong("format"), help: "csv, jsonl, parquet, npz, hdf5, safetensors, metrics, notebook.")
    package var kind: Kind

    @Option(help: ArgumentHelp("The file to write; for safetensors and notebooks a folder.", valueName: "path"))
    package var to: String

    @Option(help: "checkpoints, models or metrics; tables only.")
    package var from: QueryCommand.RowKind = .checkpoints

    @Option(help: ArgumentHelp("Expressions to export, separated by commas; tables only.", valueName: "list"))
    package var columns: String?

    @Option(help: ArgumentHelp("The most rows.", valueName: "number"))
    package var limit: Int?

    @OptionGroup(title: "Common options") package var global: GlobalOptions

    package init() {}

    /// What can be written.
    package enum Kind: String, ExpressibleByArgument, CaseIterable {
        case csv, jsonl, parquet, npz, hdf5, safetensors, metrics, notebook

        var table: TableFormat? { TableFormat.named(rawValue) }
    }

    package func run(in session: Session) throws {
        let catalog = try Catalog(session.catalogPath)
        let files: [String]
        if let format = kind.table {
            files = try exportTable(catalog, format)
        } else {
            guard from == .checkpoints, columns == nil else {
                throw ZooError(.usage, "--from and --columns go with tables; \(kind.rawValue) holds weights")
            }
            files = try exportWeights(catalog, session)
        }
        let table = Table([.init("file", isPath: true)], rows: files.prefix(100).map { [.text($0)] })
        try session.emit(["files": .array(files.map(JSONValue.string))], as: table)
    }

    private func exportTable(_ catalog: Catalog, _ format: TableFormat) throws -> [String] {
        let query = Query(
            from: from.rows, where: condition, columns: ExpressionList.split(columns), limit: limit)
        // What a column holds is known when all its values were seen: the rows pass twice, none is kept.
        var seen = ColumnKinds()
        try catalog.stream(query) { _, types in
            seen = ColumnKinds(types)
        } row: { row in
            try Cancellation.check()
            seen.observe(row)
        }
        let kinds = seen.kinds
        let file = try AtomicFile(to)
        let sink = format.makeSink(file, RenderOptions(metadata: ["generator": "zoo \(ZooVersion.string)"]))
        try catalog.stream(query) { names, _ in
            try sink.begin(zip(names, kinds).map { Table.Column($0, $1) })
        } row: { row in
            try Cancellation.check()
            guard seen.admits(row) else {
                throw ZooError(
                    .busy, "the catalog changed during the export", hint: "run it again when 'zoo index' has ended")
            }
            try sink.append(zip(row, kinds).map { Table.Cell($0, as: $1) })
        }
        try sink.end()
        try file.commit()
        return [to]
    }

    private func exportWeights(_ catalog: Catalog, _ session: Session) throws -> [String] {
        var ids: [Int64] = []
        try catalog.stream(Query(where: condition, columns: ["id"], limit: limit), header: { _, _ in }) { row in
            if case .int(let id) = row[0] { ids.append(id) }
        }
        if kind == .metrics, !ids.isEmpty {
            try MetricFile(ids, in: catalog).write(to: to)
            return [to]
        }
        if kind == .notebook, !ids.isEmpty {
            var notebook = try NotebookExport(ids, to: to, condition: condition, session)
            try notebook.run()
            return notebook.files
        }
        let rows = try catalog.checkpoints(ids: ids)
        guard !rows.isEmpty else { throw ZooError(.notFound, "no checkpoint has \(condition ?? "been cataloged")") }
        let store = WeightStore()
        let progress = session.progress("export", total: rows.count, unit: .items("checkpoints"))
        defer { progress.finish() }
        if kind == .safetensors { return try writeFolder(rows, store, session.jobs, progress) }
        let matrix = try WeightMatrix(rows, in: catalog, store: store, jobs: session.jobs) { progress.advance(by: $0) }
        try CheckpointWriters.write(matrix.arrays, to: to, format: kind.rawValue)
        let index = "\(to).index.json"
        try AtomicFile.write(index, Array((matrix.index.text(indent: 1) + "\n").utf8))
        return [to, index]
    }

    private func writeFolder(
        _ rows: [CheckpointRow], _ store: WeightStore, _ jobs: Int, _ progress: ProgressReporter
    ) throws -> [String] {
        try makeFolder(to)
        return try Parallel.map(count: rows.count, jobs: jobs) { index in
            let row = rows[index]
            let path = "\(to)/\(row.id)_\(Self.fileName(row)).safetensors"
            try SafetensorsWriter.write(
                try store.source(of: row), to: path, metadata: ["zoo": row.zoo, "model": row.model])
            progress.advance()
            return path
        }
    }

    /// A name that every file system takes.
    private static func fileName(_ row: CheckpointRow) -> String {
        let text = row.model + (row.epoch.map { "_epoch\($0)" } ?? "")
        return String(text.map { $0.isLetter || $0.isNumber || "-_=.".contains($0) ? $0 : "_" }.prefix(120))
    }
}
