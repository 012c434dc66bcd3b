import Synchronization
import ZooBase
import ZooFormats
import ZooNN
import ZooRetrieval
import ZooTensor

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// What an interrupted `fit` or `add` leaves beside its index, so that the same command goes on: captured models, the
/// learned map, the state of the training. A folder `INDEX.partial`, each file written by rename, removed at the end.
final class FitFolder: Sendable {
    private struct State {
        var pending: [(key: String, result: Capture.Result)] = []
        var shards: Int
        var savedAt = ProgressReporter.monotonicSeconds()
    }

    private let folder: String
    private let session: Session
    private let state: Mutex<State>

    /// Seconds between two writes.
    private static let interval = 1.0
    private static let key = "zoo.partial"

    /// Looks for what is left of an earlier run.
    init(index: String, _ session: Session) {
        folder = index + ".partial"
        self.session = session
        var count = 0
        while MergeModels.isReadable(Self.shard(folder, count)) { count += 1 }
        state = Mutex(State(shards: count))
    }

    private static func shard(_ folder: String, _ number: Int) -> String { "\(folder)/captured-\(number).safetensors" }
    private var mapPath: String { "\(folder)/map.safetensors" }
    private var trainingPath: String { "\(folder)/training.safetensors" }

    // MARK: Captured models

    /// Captured models of an earlier run with the same probes, map and settings, by key.
    ///
    /// - Throws: `corrupt` naming the file.
    func captured(_ capture: Capture) throws -> [String: Capture.Result] {
        var known: [String: Capture.Result] = [:], others = 0
        for number in 0..<state.withLock({ $0.shards }) {
            let (header, source) = try read(Self.shard(folder, number))
            try located(Self.shard(folder, number)) {
                guard let found = try capture.results(header: header, tensors: source) else { return others += 1 }
                known.merge(found) { _, later in later }
            }
        }
        if others > 0 { session.warn("\(folder) is of a run with other probes or settings; its models are asked anew") }
        return known
    }

    /// Keeps a captured model, on disk at the latest a second after the last ones.
    func keep(_ result: Capture.Result, key: String, _ capture: Capture) throws {
        try state.withLock { state in
            state.pending.append((key, result))
            guard ProgressReporter.monotonicSeconds() - state.savedAt >= Self.interval else { return }
            try write(&state, capture)
        }
    }

    /// Puts everything captured on disk and says so: the user interrupts, or something failed.
    func keepAll(_ capture: Capture) throws {
        try state.withLock { try write(&$0, capture) }
        guard MergeModels.isReadable(folder) else { return }
        session.note("captured models are kept in \(folder); the same command goes on from there")
    }

    private func write(_ state: inout State, _ capture: Capture) throws {
        guard !state.pending.isEmpty else { return }
        let (header, tensors) = capture.stored(state.pending)
        try save(header, tensors, to: Self.shard(folder, state.shards))
        state.shards += 1
        state.pending = []
        state.savedAt = ProgressReporter.monotonicSeconds()
    }

    // MARK: The map

    /// The map that an earlier run has learned, else a new one, kept.
    func map(_ kind: FeatureMap.Kind, digest: String, inputShape: [Int], learn: () throws -> FeatureMap) throws
        -> FeatureMap
    {
        if MergeModels.isReadable(mapPath) {
            let (header, source) = try read(mapPath)
            if header["map"]?.string == digest {
                return try located(mapPath) {
                    try FeatureMap(kind: kind, inputShape: inputShape, from: source, prefix: "")
                }
            }
        }
        let start = ProgressReporter.monotonicSeconds()
        let map = try learn()
        // A map that is learned in no time is learned again as fast.
        if ProgressReporter.monotonicSeconds() - start >= Self.interval {
            try save(JSONObject([("map", .string(digest))]), map.parameters.tensors, to: mapPath)
        }
        return map
    }

    // MARK: The training

    /// Where an earlier run of the same training has come to.
    func state(of training: EncoderTraining) throws -> EncoderTraining.State? {
        guard MergeModels.isReadable(trainingPath) else { return nil }
        let (header, source) = try read(trainingPath)
        let found = try located(trainingPath) { try training.state(header: header, tensors: source) }
        if let found { session.note("going on from step \(found.step) of the training") }
        return found
    }

    /// Keeps the state of a training, once a second or when it is the last.
    func keep(_ found: EncoderTraining.State, of training: EncoderTraining, isLast: Bool) throws {
        let isDue = state.withLock { state in
            let now = ProgressReporter.monotonicSeconds()
            guard isLast || now - state.savedAt >= Self.interval else { return false }
            state.savedAt = now
            return true
        }
        guard isDue else { return }
        let (header, tensors) = training.stored(found)
        try save(header, tensors, to: trainingPath)
        if isLast { session.note("step \(found.step) is kept in \(folder); the same command goes on from there") }
    }

    // MARK: Files

    private func save(_ header: JSONObject, _ tensors: StateDict, to path: String) throws {
        try SafetensorsWriter.writeUninterrupted(
            tensors, to: path, metadata: [Self.key: JSONValue.object(header).text()])
    }

    private func read(_ path: String) throws -> (JSONObject, any TensorSource) {
        try located(path) {
            let file = try CheckpointFile.open(path)
            guard let text = file.metadata[Self.key]?.string, let header = try JSONParser.parse(text).object else {
                throw ZooError(.corrupt, "holds nothing of an interrupted fit")
            }
            return (header, file.source)
        }
    }

    private func located<R>(_ path: String, _ body: () throws -> R) throws -> R {
        do { return try ZooError.locate(path, body) } catch var error as ZooError {
            if error.hint.isEmpty { error.hint = "remove \(folder) to begin anew" }
            throw error
        }
    }

    /// Nothing is left to go on with: the index is written.
    func remove() {
        for number in 0..<state.withLock({ $0.shards }) { unlink(Self.shard(folder, number)) }
        unlink(mapPath)
        unlink(trainingPath)
        rmdir(folder)
    }
}
