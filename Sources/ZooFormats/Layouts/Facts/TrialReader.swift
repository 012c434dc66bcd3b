import Synchronization
import ZooBase

/// Reads the facts of one archive's models; safe to use from several threads.
///
/// Remembers the last config file about many models, so that a table of a thousand models is parsed once.
public final class TrialReader: Sendable {
    private let archive: any Archive
    private let options: TrialOptions
    private let table = Mutex<(path: String, entries: [String: JSONObject])?>(nil)

    private static let plannedEpochKeys = [
        "training::epochs_train", "epochs_train", "training::epochs", "epochs", "num_epochs", "n_epochs", "max_epochs",
        "num_train_epochs",
    ]

    /// Creates a reader of an archive.
    public init(_ archive: any Archive, options: TrialOptions = TrialOptions()) {
        self.archive = archive
        self.options = options
    }

    /// Reads the files that a listing names. Files that cannot be read end in the facts' `problems`.
    ///
    /// - Throws: `interrupted` only.
    public func facts(of listing: ModelListing) throws -> TrialFacts {
        try Cancellation.check()
        var facts = TrialFacts()
        try attempt(listing.configMember, &facts) { try readConfig($0, listing.configEntry, &$1) }
        try attempt(listing.resultMember, &facts) { try readLines($0, &$1) }
        if facts.results.isEmpty { try attempt(listing.progressMember, &facts) { try readTable($0, &$1) } }
        try attempt(listing.errorMember, &facts) { member, facts in
            facts.errorPreview = Self.preview(try archive.bytes(of: member))
        }
        setFlags(listing, &facts)
        return facts
    }

    private func attempt(
        _ member: ArchiveMember?, _ facts: inout TrialFacts, _ body: (ArchiveMember, inout TrialFacts) throws -> Void
    ) throws {
        guard let member else { return }
        do { try body(member, &facts) } catch {
            let error = ZooError.wrap(error)
            if error.code == .interrupted { throw error }
            facts.problems.append(SkippedMember(path: member.path, reason: error.message))
        }
    }

    // MARK: Settings

    private func readConfig(_ member: ArchiveMember, _ entry: ConfigEntry?, _ facts: inout TrialFacts) throws {
        if let entry {
            guard let config = try entries(of: member, key: entry.key)[entry.value] else {
                throw ZooError(.notFound, "nothing is said about '\(entry.value)'")
            }
            facts.config = config
        } else {
            guard let config = try parse(member).object else {
                throw ZooError(.corrupt, "a list or a single value; expected an object of settings")
            }
            facts.config = config
        }
        facts.configSource = .file
    }

    private func parse(_ member: ArchiveMember) throws -> JSONValue {
        guard member.byteCount <= TrialFacts.maximumConfigByteCount else { throw Self.tooLarge(member.byteCount) }
        let bytes = try archive.bytes(of: member)
        guard bytes.count <= TrialFacts.maximumConfigByteCount else { throw Self.tooLarge(bytes.count) }
        return try JSONParser.parse(bytes)
    }

    private static func tooLarge(_ byteCount: Int) -> ZooError {
        ZooError(.limit, "\(byteCount) bytes of settings; at most \(TrialFacts.maximumConfigByteCount) are read")
    }

    /// The models of a config file about many, by name.
    private func entries(of member: ArchiveMember, key: String?) throws -> [String: JSONObject] {
        try table.withLock { cached in
            if let cached, cached.path == member.path { return cached.entries }
            var entries: [String: JSONObject] = [:]
            switch (try parse(member), key) {
            case (.object(let object), nil):
                for (name, value) in object.members { entries[name] = value.object }
            case (.array(let list), let key?):
                for object in list.compactMap(\.object) {
                    entries[object[key]?.string ?? object[key]?.text() ?? ""] = object
                }
            default:
                throw ZooError(
                    .corrupt, "expected \(key.map { "a list of objects with '\($0)'" } ?? "an object of objects")")
            }
            cached = (member.path, entries)
            return entries
        }
    }

    // MARK: Results

    private var keys: ResultKeys { ResultKeys(columns: options.columns, epoch: options.epochKey) }

    private func readLines(_ member: ArchiveMember, _ facts: inout TrialFacts) throws {
        try archive.bytes(of: member).withUnsafeBytes { buffer in
            var lines = ResultLines(keys: keys)
            try lines.read(buffer)
            take(lines.gatherer, lines.isTruncated, .lines, member, &facts)
            if let last = lines.lastLine { facts.bookkeeping = ResultLines.notes(of: last) }
            if facts.configSource == .none, let first = lines.firstLine, let config = ResultLines.config(of: first) {
                facts.config = config
                facts.configSource = .results
            }
        }
    }

    private func readTable(_ member: ArchiveMember, _ facts: inout TrialFacts) throws {
        try archive.bytes(of: member).withUnsafeBytes { buffer in
            var table = ProgressTable(keys: keys)
            try table.read(buffer)
            take(table.gatherer, table.isTruncated, .table, member, &facts)
            facts.bookkeeping = table.notes
        }
    }

    private func take(
        _ gatherer: ResultGatherer, _ isTruncated: Bool, _ source: TrialFacts.ResultSource, _ member: ArchiveMember,
        _ facts: inout TrialFacts
    ) {
        (facts.results, facts.percentColumns) = gatherer.finish(unit: options.accuracyUnit)
        if !facts.results.isEmpty { facts.resultSource = source }
        facts.duplicateLineCount = gatherer.duplicateCount
        facts.extraNames = gatherer.extraNames
        if isTruncated { facts.flags.insert(.truncatedResult) }
        facts.lastReportedEpoch = gatherer.lastEpoch
        for problem in gatherer.problems {
            facts.problems.append(SkippedMember(path: member.path, reason: "line \(problem.line): \(problem.reason)"))
        }
        let more = gatherer.problemCount - gatherer.problems.count
        if more > 0 { facts.problems.append(SkippedMember(path: member.path, reason: "\(more) more broken lines")) }
    }

    // MARK: Flags

    private func setFlags(_ listing: ModelListing, _ facts: inout TrialFacts) {
        if listing.errorMember != nil { facts.flags.insert(.failed) }
        if facts.results.isEmpty { facts.flags.insert(.noResult) }
        if !listing.checkpoints.contains(where: { $0.kind == .weights }) { facts.flags.insert(.noCheckpoint) }
        if facts.configSource == .none { facts.flags.insert(.noConfig) }
        if facts.results.contains(where: { $0.trainLoss?.isFinite == false }) { facts.flags.insert(.diverged) }
        // What `zoo train` says of a trial that it ended: its losses are null, as JSON has no NaN.
        if facts.bookkeeping["failure"]?.string?.hasPrefix("diverged") == true { facts.flags.insert(.diverged) }
        let isDone = facts.bookkeeping["done"]?.bool == true
        if !isDone, let last = facts.lastReportedEpoch, let planned = plannedEpochs(facts.config),
            Double(last) < planned
        {
            facts.flags.insert(.incomplete)
        }
    }

    private func plannedEpochs(_ config: JSONObject) -> Double? {
        for key in (options.plannedEpochsKey.map { [$0] } ?? []) + Self.plannedEpochKeys {
            guard let value = config[key] else { continue }
            return value.double ?? value.string.flatMap { Double($0) }
        }
        return nil
    }

    /// The beginning and end of a text, without control characters.
    static func preview(_ bytes: Bytes) -> String {
        let half = 600
        func text(_ part: Bytes) -> String {
            let scalars = String(decoding: part.array, as: UTF8.self).unicodeScalars
            return String(String.UnicodeScalarView(scalars.filter { $0.value >= 0x20 || $0 == "\n" }))
        }
        guard bytes.count > 2 * half else { return trim(text(bytes)) }
        return trim(text(bytes.prefix(half))) + "\n…\n" + trim(text(bytes.suffix(from: bytes.count - half)))
    }

    private static func trim(_ text: String) -> String {
        let isSpace: (Character) -> Bool = { $0.isWhitespace }
        let start = text.drop(while: isSpace)
        return String(start.reversed().drop(while: isSpace).reversed())
    }
}
