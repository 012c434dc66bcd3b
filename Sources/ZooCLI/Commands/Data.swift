import ArgumentParser
import ZooBase
import ZooCatalog
import ZooData
import ZooNN
import ZooReport
import ZooTensor

/// `zoo data`: what a data set holds.
package struct DataCommand: ZooCommand {
    package static let configuration = CommandConfiguration(
        commandName: "data",
        abstract: "Describe a data set: splits, shapes, classes, mean and deviation of each channel.",
        discussion: """
            Reads files of tensors (safetensors, npz, HDF5), IDX, CIFAR, MATLAB, CSV and PyTorch files, folders and \
            archives of PNG and JPEG pictures, and data set manifests, recognised by content; docs/data.md lists them. \
            Numbers are those that a network would see: after the manifest's preparation, else with bytes divided by \
            255. --output draws a contact sheet of pictures, each class in a row.

            Example:
              zoo data zoos/data/digits.safetensors
              zoo data digits:train,test --json
              zoo data "cifar-10-python.tar.gz:test" --output sheet.png
            """)

    @Argument(
        help: "A file, folder, archive member, data set manifest or its name; after a colon the splits. Default: all.")
    package var path: String

    @Option(help: ArgumentHelp("The tensor or column of the labels.", valueName: "name"))
    package var labels: String?

    @Option(help: ArgumentHelp("A preparation of the data set's manifest.", valueName: "name"))
    package var preparation: String?

    @Option(
        name: .shortAndLong, help: ArgumentHelp("Draw pictures of the first split: .png or .svg.", valueName: "file"))
    package var output: String?

    @Option(help: ArgumentHelp("Pictures of each class on the sheet.", valueName: "number"))
    package var columns: Int = 10

    @OptionGroup(title: "Common options") package var global: GlobalOptions

    package init() {}

    package func validate() throws {
        if columns < 1 || columns > 100 { throw ValidationError("--columns takes a number from 1 to 100.") }
        if let output, !output.hasSuffix(".png"), !output.hasSuffix(".svg") {
            throw ValidationError("cannot tell a picture format from the name \(output); use .png or .svg.")
        }
    }

    package func run(in session: Session) throws {
        let source = try DataSource(path, labels: labels, preparation: preparation, defaultSplit: nil)
        var facts: [SplitFacts] = []
        for name in source.splits {
            try Cancellation.check()
            if let text = source.description(of: name) { session.detail(text) }
            let split = try source.dataset.split(named: name)
            let samples = try source.samples(name, labelled: false)
            if facts.isEmpty, let output { try drawSheet(samples, split, to: output, session) }
            facts.append(SplitFacts(split, samples))
        }
        let object = JSONObject([
            ("name", .string(source.dataset.name)), ("splits", .array(facts.map(\.json))),
        ])
        try session.emit(.object(object), as: SplitFacts.table(facts))
    }

    private func drawSheet(_ samples: Samples, _ split: DatasetSplit, to path: String, _ session: Session) throws {
        let sheet = try ContactSheet(samples, columns: columns, names: split.classNames)
        try AtomicFile.write(path, path.hasSuffix(".png") ? try sheet.png() : Array(try sheet.svg().utf8))
        session.note("wrote \(path)")
    }
}

/// What is known of a split once it is read.
struct SplitFacts {
    private let split: DatasetSplit
    private let samples: Samples
    private let counts: [Int]
    private let channels: [(mean: Double, std: Double)]

    init(_ split: DatasetSplit, _ samples: Samples) {
        self.split = split
        self.samples = samples
        let known = min(split.classCount ?? 0, Samples.labelLimit)
        counts = samples.labels.reduce(into: [Int](repeating: 0, count: known)) { counts, label in
            if Int(label) >= counts.count { counts += Array(repeating: 0, count: Int(label) + 1 - counts.count) }
            counts[Int(label)] += 1
        }
        channels = Self.moments(samples)
    }

    /// Mean and deviation of each channel over all samples and places, in double precision, two passes; of inputs
    /// without channels over all numbers.
    private static func moments(_ samples: Samples) -> [(mean: Double, std: Double)] {
        let channels = samples.inputShape.count == 3 ? samples.inputShape[0] : 1
        let plane = max(1, samples.sampleSize / max(1, channels))
        func sums(_ term: (Int, Float) -> Double) -> [Double] {
            var sums = [Double](repeating: 0, count: channels)
            samples.inputs.withUnsafeBufferPointer { values in
                for start in stride(from: 0, to: values.count, by: plane) {
                    let channel = start / plane % channels
                    var sum = 0.0
                    for index in start..<min(values.count, start + plane) { sum += term(channel, values[index]) }
                    sums[channel] += sum
                }
            }
            return sums
        }
        let count = Double(samples.count * plane)
        let means = sums { Double($1) }.map { $0 / count }
        let squares = sums { channel, value in
            let distance = Double(value) - means[channel]
            return distance * distance
        }
        return zip(means, squares).map { ($0, ($1 / count).squareRoot()) }
    }

    /// SHA-256 of extents, inputs (single precision, little-endian) and labels (32 bits): the same for the same numbers
    /// whatever file they came from.
    private var digest: String {
        let header = Array((samples.inputShape.map(String.init).joined(separator: ",") + "\n").utf8)
        let parts = [
            Bytes(header), samples.inputs.withUnsafeBytes { Bytes(copying: $0) },
            samples.labels.withUnsafeBytes { Bytes(copying: $0) },
        ]
        return ContentDigest.full(parts)
    }

    var json: JSONValue {
        .object(
            JSONObject([
                ("split", .string(split.name)), ("samples", .int(Int64(samples.count))),
                ("shape", .array(samples.inputShape.map { .int(Int64($0)) })),
                ("classes", samples.labels.isEmpty ? .null : .int(Int64(counts.count))),
                ("class_names", .array(split.classNames.map { .string($0) })),
                ("class_counts", .array(counts.map { .int(Int64($0)) })),
                ("mean", .array(channels.map { .double($0.mean) })), ("std", .array(channels.map { .double($0.std) })),
                ("sha256", .string(digest)),
            ]))
    }

    static func table(_ facts: [SplitFacts]) -> Table {
        Table(
            [
                .init("split"), .init("samples", .integer), .init("shape"), .init("classes", .integer),
                .init("per_class"), .init("mean"), .init("std"),
            ], rows: facts.map(\.row))
    }

    private var row: [Table.Cell] {
        let shape = samples.inputShape.map(String.init).joined(separator: "×")
        let few = counts.prefix(20).map(String.init).joined(separator: " ") + (counts.count > 20 ? " …" : "")
        return [
            .text(split.name), .int(samples.count), .text(shape), samples.labels.isEmpty ? .null : .int(counts.count),
            .text(few), .text(Self.text(channels.map(\.mean))), .text(Self.text(channels.map(\.std))),
        ]
    }

    private static func text(_ values: [Double]) -> String {
        values.map { value in
            let scaled = (value * 1e4).rounded() / 1e4
            return JSONValue.double(scaled).text()
        }.joined(separator: " ")
    }
}
