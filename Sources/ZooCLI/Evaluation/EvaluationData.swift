import ZooBase
import ZooFormats
import ZooNN

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// The samples that `--data FILE[:SPLIT,…]` means.
struct EvaluationData {
    /// The splits in the order in which they were asked for.
    let splits: [(name: String, samples: Samples)]

    /// Reads the samples.
    ///
    /// - Throws: `notFound` for a file or split that is not there; what its reader throws.
    init(_ text: String, labels: String?) throws {
        var path = text
        var names = ["test"]
        // A file of that very name wins, so that paths with colons can be given.
        if access(text, F_OK) != 0, let colon = text.lastIndex(of: ":") {
            path = String(text[..<colon])
            names = text[text.index(after: colon)...].split(separator: ",").map(String.init)
        }
        // The part before `!/` is the file of a member inside an archive.
        let file = path.firstRange(of: "!/").map { String(path[..<$0.lowerBound]) } ?? path
        guard access(file, R_OK) == 0 else {
            throw ZooError(.notFound, "\(path): no such file", hint: "--data takes FILE or FILE:SPLIT")
        }
        let source = try CheckpointFile.open(path).source
        guard !names.isEmpty else { throw ZooError(.usage, "--data names no split after the colon") }
        splits = try ZooError.locate(path) {
            try names.map { name in (name, try Samples(source, split: name, labels: labels)) }
        }
    }
}
