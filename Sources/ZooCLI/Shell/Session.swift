import ZooBase
import ZooReport

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// What one run of a command works with: where the catalog is, how results leave, who hears about progress.
///
/// Results go to standard output or `--output`, through one renderer; everything else goes to standard error.
package struct Session: Sendable {
    /// The catalog file; it need not exist.
    package let catalogPath: String
    /// The seed of everything random.
    package let seed: UInt64
    /// Threads to use.
    package let jobs: Int
    /// How much is said on standard error; nil for the usual amount.
    package let verbosity: Verbosity?
    /// The format that an option asked for; nil for the default.
    package let format: TableFormat?
    /// The file that results go to; nil for standard output.
    package let outputPath: String?
    private let console: Console

    /// Settles options, environment and defaults.
    package init(_ options: GlobalOptions, outputPath: String? = nil, console: Console = .standardError) {
        catalogPath = options.catalog ?? Terminal.environment("ZOO_CATALOG") ?? "zoos/catalog.sqlite"
        seed = options.seed
        jobs = options.jobs ?? Parallel.processorCount
        verbosity = options.verbosity
        format = options.format.flatMap { TableFormat.named($0.rawValue) }
        self.outputPath = outputPath
        self.console = console
    }

    /// The format that results will have: the option's, else that of the output file's ending, else text.
    package var resultFormat: TableFormat { format ?? outputPath.flatMap(TableFormat.forFile) ?? .text }

    /// Whether results are text for people to read here rather than a file or data for a program.
    package var isForPeople: Bool { outputPath == nil && resultFormat.name == TableFormat.text.name }

    // MARK: Results

    /// Writes a table.
    package func emit(_ table: Table) throws {
        try emit(table.columns, metadata: table.metadata) { append in
            for row in table.rows { try append(row) }
        }
    }

    /// Writes a table row by row, for results that do not fit memory.
    ///
    /// - Parameter rows: calls its argument once per row.
    package func emit(
        _ columns: [Table.Column], metadata: [String: String] = [:],
        rows: (_ append: ([Table.Cell]) throws -> Void) throws -> Void
    ) throws {
        let format = resultFormat
        try withOutput { output, options in
            var options = options
            options.metadata = metadata
            let sink = format.makeSink(output, options)
            try sink.begin(columns.uniquelyNamed)
            try rows { try sink.append($0) }
            try sink.end()
        }
    }

    /// Writes a result that is an object rather than rows: the object with `--json` and `--jsonl`, a table of it
    /// otherwise.
    package func emit(_ object: JSONValue, as table: @autoclosure () -> Table) throws {
        switch resultFormat.name {
        case TableFormat.json.name: try emit(text: object.text(indent: 2) + "\n")
        case TableFormat.jsonl.name: try emit(text: object.text() + "\n")
        default: try emit(table())
        }
    }

    /// Writes text as it is: a generated script, a card.
    package func emit(text: String) throws { try withOutput { output, _ in try output.write(Array(text.utf8)) } }

    private func withOutput(_ body: (any ByteOutput, RenderOptions) throws -> Void) throws {
        if let outputPath {
            let file = try AtomicFile(outputPath)
            try body(file, RenderOptions())
            try file.commit()
            note("wrote \(outputPath) (\(Quantity.bytes(file.byteCount)))")
            return
        }
        guard !resultFormat.isBinary || !Terminal.isTerminal(STDOUT_FILENO) else {
            throw ZooError(
                .usage, "\(resultFormat.name) is not for a terminal",
                hint: "add --output FILE.\(resultFormat.extensions[0])")
        }
        let output = DescriptorOutput(STDOUT_FILENO, name: "standard output")
        let options = RenderOptions(
            width: Terminal.width(STDOUT_FILENO), color: Terminal.allowsColor(STDOUT_FILENO))
        try body(output, options)
    }

    // MARK: Everything else

    /// Says something on standard error, unless `--quiet`.
    package func note(_ text: String) {
        if verbosity != .quiet { console.line(text) }
    }

    /// Says something on standard error with `--verbose` only.
    package func detail(_ text: String) {
        if verbosity == .verbose { console.line(text) }
    }

    /// Warns on standard error, unless `--quiet`.
    package func warn(_ text: String) { note("zoo: warning: \(text)") }

    /// Starts to report the progress of a piece of work; it ends with `finish()` or with the reporter's life.
    package func progress(_ label: String, total: Int?, unit: ProgressReporter.Unit) -> ProgressReporter {
        let style: ProgressReporter.Style
        if verbosity == .quiet {
            style = .silent
        } else if let width = Terminal.width(STDERR_FILENO), Terminal.environment("TERM") != "dumb" {
            style = .bar(width: width, unicode: Terminal.showsUnicode)
        } else {
            style = .lines
        }
        return ProgressReporter(label, total: total, unit: unit, style: style, console: console)
    }
}
