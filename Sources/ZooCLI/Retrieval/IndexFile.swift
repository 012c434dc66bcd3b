import ZooBase
import ZooFormats
import ZooRetrieval

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// The file of a retrieval index: safetensors with the header as metadata, written by rename.
enum IndexFile {
    private static let key = "zoo.retrieval"

    /// Beside the catalog, unless a path is given.
    static func path(_ given: String?, _ session: Session) -> String {
        if let given { return given }
        let catalog = session.catalogPath
        let stem = catalog.hasSuffix(".sqlite") ? String(catalog.dropLast(7)) : catalog
        return stem + ".retrieval.safetensors"
    }

    /// The size of a file; nil when there is none.
    static func byteCount(_ path: String) -> Int? {
        var status = stat()
        return stat(path, &status) == 0 ? Int(status.st_size) : nil
    }

    /// When a file was last written, in nanoseconds; nil when there is none.
    static func modified(_ path: String) -> Int? {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        #if canImport(Darwin)
            return status.st_mtimespec.tv_sec * 1_000_000_000 + status.st_mtimespec.tv_nsec
        #else
            return status.st_mtim.tv_sec * 1_000_000_000 + status.st_mtim.tv_nsec
        #endif
    }

    /// Reads an index.
    ///
    /// - Throws: `notFound` with what makes one; `corrupt`, `mismatch` naming the file.
    static func read(_ path: String) throws -> RetrievalIndex {
        guard byteCount(path) != nil else {
            throw ZooError(.notFound, "there is no retrieval index \(path)", hint: "make one with 'zoo retrieve fit'")
        }
        let file = try CheckpointFile.open(path)
        return try ZooError.locate(path) {
            guard let text = file.metadata[key]?.string, let header = try JSONParser.parse(text).object else {
                throw ZooError(.corrupt, "is no retrieval index", hint: "make one with 'zoo retrieve fit'")
            }
            return try RetrievalIndex(header: header, tensors: file.source)
        }
    }

    /// Writes an index in place of the one there.
    static func write(_ index: RetrievalIndex, to path: String) throws {
        try SafetensorsWriter.write(
            index.tensors(), to: path, metadata: ["format": "zoo", key: JSONValue.object(index.header).text()],
            order: .source)
    }
}
