import ArgumentParser
import ZooBase
import ZooCatalog
import ZooFormats
import ZooReport
import ZooTensor

/// `zoo inspect`: the header of any checkpoint file.
package struct Inspect: ZooCommand {
    package static let configuration = CommandConfiguration(
        abstract: "Show what a checkpoint file holds: format, tensors, metadata.",
        discussion: """
            Reads safetensors, PyTorch, HDF5 and Keras, npz, GGUF; a file, a member of an archive, or a Hugging Face \
            folder. Only the table of contents is read unless --digests asks for the data. No code in the file runs.

            Example:
              zoo inspect model.safetensors
              zoo inspect 'zoo.zip!/trial_3/checkpoint_000050/checkpoints' --json
              zoo inspect pytorch_model.bin --digests
            """)

    @Argument(help: "A checkpoint: file, Hugging Face folder, ARCHIVE!/MEMBER, catalog id, NAME@EPOCH.")
    package var file: String

    @Flag(help: "Add the SHA-256 of each tensor's bytes (row-major, little-endian).")
    package var digests = false

    @Flag(help: "List the tensors of optimiser states too.")
    package var optimizer = false

    @OptionGroup package var output: OutputOptions
    @OptionGroup(title: "Common options") package var global: GlobalOptions

    package init() {}

    package var outputPath: String? { output.output }

    /// The file, or where the catalog says that a checkpoint lies.
    private func place(_ session: Session) throws -> String {
        let isID = file.allSatisfy(\.isWholeNumber)
        guard !SelectorResolver.isPlace(file), isID || file.contains("@") || file.hasPrefix("where:") else {
            return file
        }
        let selected = try SelectorResolver(catalogPath: session.catalogPath).resolveOne(file)
        return selected.row?.location ?? file
    }

    package func run(in session: Session) throws {
        var options = ReaderOptions()
        options.includesOptimizer = optimizer
        let checkpoint = try CheckpointFile.open(try place(session), options: options)
        if let names = checkpoint.metadata["unexecuted"]?.array?.compactMap(\.string), !names.isEmpty {
            session.warn("the file asks to call \(names.prefix(5).joined(separator: ", ")); nothing was called")
        }
        let inspection = try Inspection(checkpoint, digests: digests)
        try session.emit(inspection.json, as: inspection.table)
        session.note(inspection.summary)
        for (name, reason) in checkpoint.skipped { session.warn("tensor '\(name)' is not read: \(reason)") }
    }
}

/// What a checkpoint file holds.
struct Inspection {
    private let checkpoint: CheckpointFile
    private let infos: [TensorInfo]
    private let digests: [String?]

    init(_ checkpoint: CheckpointFile, digests: Bool) throws {
        self.checkpoint = checkpoint
        infos = checkpoint.source.tensorInfos
        self.digests = try infos.map { info in
            digests ? ContentDigest.full(try checkpoint.source.tensor(named: info.name).bytes) : nil
        }
    }

    private var byteCount: Int { infos.reduce(0) { $0 + $1.byteCount } }

    var json: JSONValue {
        let tensors = zip(infos, digests).map { info, digest -> JSONValue in
            var object = JSONObject([
                ("name", .string(info.name)), ("dtype", .string(info.dtype.rawValue)),
                ("shape", .array(info.shape.dimensions.map { .int(Int64($0)) })),
                ("bytes", .int(Int64(info.byteCount))),
            ])
            if let digest { object["sha256"] = .string(digest) }
            return .object(object)
        }
        return [
            "file": .string(checkpoint.path), "format": .string(checkpoint.format), "tensors": .array(tensors),
            "parameters": .int(Int64(checkpoint.source.parameterCount)), "bytes": .int(Int64(byteCount)),
            "metadata": .object(checkpoint.metadata),
            "skipped": .array(checkpoint.skipped.map { ["name": .string($0.name), "reason": .string($0.reason)] }),
        ]
    }

    var table: Table {
        var columns: [Table.Column] = [
            .init("name"), .init("dtype"), .init("shape", .json), .init("bytes", .integer, unit: .bytes),
        ]
        let hasDigests = digests.contains { $0 != nil }
        if hasDigests { columns.append(.init("sha256")) }
        var table = Table(columns)
        for (info, digest) in zip(infos, digests) {
            let shape = JSONValue.array(info.shape.dimensions.map { .int(Int64($0)) })
            let cells: [Table.Cell] = [
                .text(info.name), .text(info.dtype.rawValue), .json(shape), .int(info.byteCount),
            ]
            table.append(hasDigests ? cells + [Table.Cell(digest)] : cells)
        }
        return table
    }

    var summary: String {
        "\(checkpoint.format): \(Quantity.count(infos.count)) tensors, "
            + "\(Quantity.count(checkpoint.source.parameterCount)) parameters, \(Quantity.bytes(byteCount))"
    }
}
