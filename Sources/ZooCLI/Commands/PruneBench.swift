import ArgumentParser
import ZooBase
import ZooReport

/// `zoo prune bench`: what pruning gains in time, measured.
package struct PruneBench: ZooCommand {
    package static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract: "Measure networks against the first one: texts or samples, the feed-forward layer, sparse products.",
        discussion: """
            Times are medians of runs on one thread, of random tokens: embedding batches of 1 and 32 texts, the first \
            feed-forward layer for 32 and 256 tokens, and for networks with zeros the layer's first product dense and \
            as compressed sparse rows. Sparse rows are slower than dense products below about nine zeros in ten. Of \
            networks for images batches of 1 and 64 samples are measured.

            Example:
              zoo prune bench all-MiniLM-L6-v2 smaller pruned
              zoo prune bench cnn.safetensors smaller-cnn --set 'input=[1,28,28]'
            """)

    @Argument(help: "Networks; the first is what others are compared with.")
    package var models: [String]

    @Option(help: ArgumentHelp("Tokens of a text.", valueName: "number"))
    package var length: Int = 64

    @Option(help: ArgumentHelp("Seconds per measurement, about.", valueName: "seconds"))
    package var seconds: Double = 1

    @Option(help: ArgumentHelp("An architecture file, or the name of a known architecture.", valueName: "name"))
    package var architecture: String?

    @Option(help: ArgumentHelp("A number that the weights do not show: heads=12.", valueName: "key=value"))
    package var set: [String] = []

    @OptionGroup package var output: OutputOptions
    @OptionGroup(title: "Common options") package var global: GlobalOptions

    package init() {}

    package var outputPath: String? { output.output }

    package func validate() throws {
        if models.isEmpty { throw ValidationError("Name at least one network.") }
        if !(1...8192).contains(length) { throw ValidationError("--length takes a number from 1 to 8192.") }
        if !(seconds > 0 && seconds <= 600) { throw ValidationError("--seconds takes a number up to 600.") }
    }

    package func run(in session: Session) throws {
        var rows: [BenchRow] = []
        for model in models {
            rows += try BenchWork(self, model, session).run()
        }
        var table = Table([
            .init("network", isPath: true), .init("work"), .init("size", .integer),
            .init("milliseconds", .double, digits: 4),
            .init("times_faster", .double, digits: 3),
        ])
        for row in rows {
            let base = rows.first { $0.work == row.reference && $0.size == row.size }
            table.append([
                .text(row.network), .text(row.work), .int(row.size), .double(row.seconds * 1000),
                .init(base.map { $0.seconds / row.seconds }),
            ])
        }
        try session.emit(table)
    }
}
