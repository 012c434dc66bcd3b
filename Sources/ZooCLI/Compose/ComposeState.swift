import ZooBase
import ZooCatalog
import ZooMerge

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Where learning goes on after an interrupt: a file beside the results, written by rename and removed at the end.
final class ComposeState {
    private let path: String?
    private let settings: String
    private var runs = JSONObject()
    private var savedAt = 0.0

    /// Seconds between two writes.
    private static let interval = 1.0

    /// Finds what an interrupted run has left.
    ///
    /// - Parameters:
    ///   - output: the result's path; nil keeps no state.
    ///   - settings: everything that results follow from; a state of other settings is not used.
    init(output: String?, settings: JSONObject, session: Session) throws {
        path = output.map { $0 + ".state" }
        self.settings = ContentDigest.of(Bytes(Array(JSONValue.object(settings).text().utf8)))
        guard let path, MergeModels.isReadable(path) else { return }
        let json = try ZooError.locate(path) { try JSONParser.parse(try Bytes(mapping: path)) }
        guard json["settings"]?.string == self.settings, let runs = json["runs"]?.object else {
            session.warn("\(path) is of a run with other settings; it is started anew")
            return
        }
        self.runs = runs
        session.note("going on from \(path)")
    }

    /// The state of a run; nil to begin.
    func state(of label: String, count: Int) throws -> CoefficientState? {
        try runs[label].map { json in
            try ZooError.locate(path ?? label) { try CoefficientState(json: json, count: count) }
        }
    }

    /// Keeps the state of a run.
    func save(_ state: CoefficientState, of label: String, now: Bool = false) throws {
        guard let path else { return }
        runs[label] = .object(state.json)
        let time = ProgressReporter.monotonicSeconds()
        guard now || time - savedAt >= Self.interval else { return }
        savedAt = time
        let object = JSONObject([("settings", .string(settings)), ("runs", .object(runs))])
        try AtomicFile.write(path, Array((JSONValue.object(object).text() + "\n").utf8))
    }

    /// Nothing is left to go on with.
    func remove() {
        guard let path, MergeModels.isReadable(path) else { return }
        unlink(path)
    }
}
