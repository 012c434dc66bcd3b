import ZooBase
import ZooReport

/// Writes figures in the format of a file's ending.
enum Picture {
    /// Writes SVG or PNG.
    ///
    /// - Throws: `usage` for another ending; `io` when the system refuses.
    static func write(_ figure: Figure, to path: String) throws {
        if path.hasSuffix(".svg") {
            try AtomicFile.write(path, Array(figure.svg.utf8))
        } else if path.hasSuffix(".png") {
            try AtomicFile.write(path, try figure.png(scale: 2))
        } else {
            throw ZooError(.usage, "cannot tell a picture format from the name \(path)", hint: "use .svg or .png")
        }
    }
}
