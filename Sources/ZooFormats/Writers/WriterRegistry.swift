import ZooBase
import ZooTensor

/// All writers of checkpoint formats. To add a format, write its writer and add one line to `all`.
public enum CheckpointWriters {
    /// The writers.
    public static let all: [any CheckpointWriter.Type] = [
        SafetensorsWriter.self,
        PyTorchWriter.self,
        NpzWriter.self,
        NpyWriter.self,
        HDF5Writer.self,
    ]

    /// The writer of a format by name, or of a path by its ending.
    ///
    /// - Parameters:
    ///   - path: where the file will be written.
    ///   - format: a format's name; nil takes the path's ending.
    /// - Throws: `usage` naming the formats there are.
    public static func writer(for path: String, format: String? = nil) throws -> any CheckpointWriter.Type {
        let file = path.split(separator: "/").last ?? ""
        let ending = file.lastIndex(of: ".").map { file[file.index(after: $0)...].lowercased() } ?? ""
        let found = all.first { writer in
            format.map { $0 == writer.format } ?? writer.fileExtensions.contains(ending)
        }
        if let found { return found }
        let endings = all.flatMap { $0.fileExtensions.map { ".\($0)" } }.joined(separator: ", ")
        let what = format.map { "no writer for format '\($0)'" } ?? "cannot tell a format from the name \(path)"
        throw ZooError(.usage, what, hint: "use one of \(endings)")
    }

    /// Writes all tensors of a source in the format of the path's ending, atomically.
    ///
    /// - Parameters:
    ///   - jobs: threads, where the format's layout allows several to write (safetensors).
    ///   - progress: told the bytes written, from any thread.
    public static func write(
        _ source: any TensorSource, to path: String, format: String? = nil, metadata: [String: String] = [:],
        jobs: Int = 1, progress: (@Sendable (Int) -> Void)? = nil
    ) throws {
        let writer = try writer(for: path, format: format)
        guard writer == SafetensorsWriter.self else {
            try writer.write(source, to: path, metadata: metadata)
            return
        }
        let complete = metadata.merging(SafetensorsWriter.defaultMetadata) { given, _ in given }
        try SafetensorsWriter.write(
            source, to: path, metadata: complete, order: .reference, jobs: jobs, progress: progress)
    }
}
