import ZooBase

/// Measured values of checkpoints outside a catalog: what a zoo is published with, so that nobody measures it again.
///
/// JSON lines, in this order:
///
/// 1. `{"format": "zoo-metrics", "version": 1, "zoo": …, "checkpoints": n, "runs": n, "values": n}`
/// 2. for each run `{"run": number, "command": …, "seed": …, "dataset": …, "tool_version": …, "started": …,
///    "seconds": …, "machine": …, "settings": …}`; what is not known is left out
/// 3. for each checkpoint `{"checkpoint": number, "model": name, "path": folder in the source, "epoch": …, "digest": …}`
/// 4. for each value `{"metric": name, "checkpoint": number, "other": number, "value": …, "error": …, "run": number,
///    "note": …}`; `other` for pairs; `value` is null where there is none, `note` says why
///
/// Numbers refer to lines of the file. Values are in the order of checkpoints and names, so equal catalogs give equal
/// bytes.
public struct MetricFile: Sendable {
    /// A checkpoint as the file names it.
    public struct Checkpoint: Sendable, Hashable {
        /// The model's name.
        public var model: String
        /// The model's folder inside its source.
        public var path: String
        /// The epoch.
        public var epoch: Int?
        /// Hexadecimal digest of the checkpoint's bytes.
        public var digest: String?
    }

    /// A value; numbers count from 0 in `checkpoints` and `runs`.
    public struct Value: Sendable, Hashable {
        /// What was measured.
        public var name: String
        /// On which checkpoint.
        public var checkpoint: Int
        /// The second of a pair.
        public var other: Int?
        /// The value; NaN where there is none.
        public var value: Double
        /// Its standard error.
        public var error: Double?
        /// The run that measured it.
        public var run: Int?
        /// Why there is no value.
        public var note: String?
    }

    /// What file names end in.
    public static let ending = ".metrics.jsonl"
    /// Longer lines and more lines than this are no metrics.
    static let maximumLineBytes = 1 << 20, maximumValues = 20_000_000

    /// The zoo that was measured.
    public var zoo: String
    /// How values were measured.
    public var runs: [RunRecord] = []
    /// What was measured.
    public var checkpoints: [Checkpoint] = []
    /// The values.
    public var values: [Value] = []

    /// The file beside a source that holds its values: `zoo.metrics.jsonl` beside `zoo.tar.gz` or the folder `zoo`.
    static func beside(_ source: String) -> String {
        let folder = source.lastIndex(of: "/").map { String(source[...$0]) } ?? ""
        return folder + OpenedSource.stem(of: source) + ending
    }

    // MARK: Writing

    /// All values of some checkpoints, and of pairs among them.
    ///
    /// - Throws: `notFound` when nothing was measured on them.
    public init(_ ids: [Int64], in catalog: Catalog) throws {
        let rows = try catalog.checkpoints(ids: ids)
        let findings = try catalog.findings(of: ids)
        let places = Dictionary(ids.enumerated().map { ($1, $0) }, uniquingKeysWith: { first, _ in first })
        zoo = rows.first?.zoo ?? ""
        checkpoints = rows.map { row in
            let inside = row.member.hasSuffix("/") ? String(row.member.dropLast()) : row.member
            return Checkpoint(model: row.model, path: inside, epoch: row.epoch, digest: row.digest)
        }
        var numbers: [Int64: Int] = [:]
        for id in Set(findings.compactMap(\.row.run)).sorted() {
            numbers[id] = runs.count
            var run = try catalog.run(id)
            run.command = Self.published(run.command)
            runs.append(run)
        }
        for row in findings.map(\.row) {
            guard let place = places[row.checkpoint], place < rows.count else { continue }
            let other = row.other.flatMap { places[$0] }
            // Half a pair is elsewhere.
            guard row.other == nil || other != nil else { continue }
            values.append(
                Value(
                    name: row.name, checkpoint: place, other: other, value: row.value, error: row.error,
                    run: row.run.flatMap { numbers[$0] }, note: row.note))
        }
        guard !values.isEmpty else {
            throw ZooError(
                .notFound, "nothing was measured on the \(rows.count) checkpoints",
                hint: "'zoo landscape' and 'zoo phases --data' measure")
        }
    }

    /// A command without the options that say where a picture or result was written: places on one machine, which have
    /// no part in what was measured.
    static func published(_ command: String) -> String {
        var words: [Substring] = []
        var skips = false, isQuoted = false
        for word in command.split(separator: " ", omittingEmptySubsequences: false) {
            if skips {
                // A path with spaces is in quotes and ends where they do.
                isQuoted = (isQuoted || word.hasPrefix("'")) && !word.hasSuffix("'")
                skips = isQuoted
            } else if ["--figure", "--output", "-o"].contains(word) {
                skips = true
            } else if !word.hasPrefix("--figure="), !word.hasPrefix("--output=") {
                words.append(word)
            }
        }
        return words.joined(separator: " ")
    }

    /// Writes the lines.
    public func write(to path: String) throws {
        let file = try AtomicFile(path)
        func line(_ members: [(String, JSONValue?)]) throws {
            var object = JSONObject()
            for (key, value) in members { if let value { object[key] = value } }
            try file.write(JSONValue.object(object).text() + "\n")
        }
        func number(_ value: Int) -> JSONValue { .int(Int64(value)) }
        try line([
            ("format", "zoo-metrics"), ("version", 1), ("zoo", .string(zoo)),
            ("checkpoints", number(checkpoints.count)),
            ("runs", number(runs.count)), ("values", number(values.count)),
        ])
        for (place, run) in runs.enumerated() {
            try line([
                ("run", number(place + 1)), ("command", .string(run.command)), ("seed", run.seed.map(number)),
                ("dataset", run.dataset.map { .string($0) }), ("tool_version", .string(run.toolVersion)),
                ("started", .string(run.started)), ("seconds", run.seconds.map { .double($0) }),
                ("machine", run.machine.map { .string($0) }), ("settings", run.settings.map { .string($0) }),
            ])
        }
        for (place, checkpoint) in checkpoints.enumerated() {
            try line([
                ("checkpoint", number(place + 1)), ("model", .string(checkpoint.model)),
                ("path", .string(checkpoint.path)), ("epoch", checkpoint.epoch.map(number)),
                ("digest", checkpoint.digest.map { .string($0) }),
            ])
        }
        for value in values {
            try line([
                ("metric", .string(value.name)), ("checkpoint", number(value.checkpoint + 1)),
                ("other", value.other.map { number($0 + 1) }),
                ("value", value.value.isFinite ? .double(value.value) : .null),
                ("error", value.error.flatMap { $0.isFinite ? .double($0) : nil }),
                ("run", value.run.map { number($0 + 1) }), ("note", value.note.map { .string($0) }),
            ])
        }
        try file.commit()
    }
}
