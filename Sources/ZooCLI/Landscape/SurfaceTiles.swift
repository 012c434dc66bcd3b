import Synchronization
import ZooBase
import ZooLandscape

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// The finished tiles of a surface in a file, so that an interrupted run goes on: JSON, rewritten as a whole by rename
/// after every tile.
final class SurfaceTiles: Sendable {
    private let path: String?
    private let settings: String
    private let state: Mutex<[Int: [LossSurface.Point]]>

    /// Reads what is there.
    ///
    /// - Parameters:
    ///   - path: the file; nil keeps tiles in memory alone.
    ///   - settings: all that points depend on: a file of other settings is refused.
    /// - Throws: `mismatch` for a file of another surface, `corrupt` for something else.
    init(_ path: String?, settings: String, tileSizes: [Int]) throws {
        self.path = path
        self.settings = settings
        guard let path, access(path, F_OK) == 0 else {
            state = Mutex([:])
            return
        }
        let json = try ZooError.locate(path) { try JSONParser.parse(Bytes(mapping: path)) }
        guard let stored = json["settings"]?.string, let tiles = json["tiles"]?.array else {
            throw ZooError(.corrupt, "\(path) is no file of surface tiles", hint: "name another with --tiles")
        }
        guard stored == settings else {
            throw ZooError(
                .mismatch, "\(path) holds tiles of another surface", hint: "remove it, or name another with --tiles")
        }
        var known: [Int: [LossSurface.Point]] = [:]
        for tile in tiles {
            guard let number = tile["tile"]?.int, tileSizes.indices.contains(Int(number)),
                let losses = tile["loss"]?.array, let accuracies = tile["accuracy"]?.array,
                losses.count == tileSizes[Int(number)], accuracies.count == losses.count
            else { throw ZooError(.corrupt, "\(path): a tile does not fit", hint: "remove the file") }
            known[Int(number)] = zip(losses, accuracies).map { .init(loss: $0.double, accuracy: $1.double) }
        }
        state = Mutex(known)
    }

    /// The points of a tile; nil when it has not been done.
    func tile(_ number: Int) -> [LossSurface.Point]? { state.withLock { $0[number] } }

    /// Keeps a tile.
    func keep(_ number: Int, _ points: [LossSurface.Point]) throws {
        try state.withLock { known in
            known[number] = points
            guard let path else { return }
            func numbers(_ values: [Double?]) -> JSONValue { .array(values.map { $0.map { .double($0) } ?? .null }) }
            let tiles = known.sorted { $0.key < $1.key }.map { number, points -> JSONValue in
                [
                    "tile": .int(Int64(number)), "loss": numbers(points.map(\.loss)),
                    "accuracy": numbers(points.map(\.accuracy)),
                ]
            }
            let json: JSONValue = ["settings": .string(settings), "tiles": .array(tiles)]
            try AtomicFile.write(path, Array(json.text().utf8))
        }
    }
}
