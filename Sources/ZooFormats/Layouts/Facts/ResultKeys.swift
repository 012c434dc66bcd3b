import ZooBase

/// What a key of a result line means.
enum ResultKeyMeaning {
    /// A column, and how preferred this spelling of it is (0 most).
    case column(ResultColumn, rank: UInt8)
    /// The epoch, and how preferred.
    case epoch(rank: UInt8)
    /// `time_total_s`.
    case wallSeconds
    /// Ray's notes: kept of the last line only.
    case bookkeeping
    /// The echo of the settings: skipped.
    case config
    /// A number of another kind: position in the list of names.
    case extra(Int)
}

/// The keys of one result file: their meaning looked up once, then recognised by their place in the line.
package struct ResultKeys {
    /// The most different keys of a file beyond those that are known.
    package static let maximumExtraCount = 4096

    static let bookkeeping: Set<String> = [
        "trial_id", "done", "date", "timestamp", "time_this_iter_s", "time_since_restore", "iterations_since_restore",
        "pid", "hostname", "node_ip", "experiment_id", "experiment_tag", "timesteps_total", "episodes_total",
        "timesteps_since_restore", "should_checkpoint", "warmup_time", "checkpoint_dir_name",
    ]
    static let epochs = ["training_iteration", "epoch", "step", "global_step", "iteration"]

    private static let common: [String: ResultKeyMeaning] = {
        var table: [String: ResultKeyMeaning] = ["time_total_s": .wallSeconds, "config": .config]
        for key in bookkeeping { table[key] = .bookkeeping }
        for (rank, key) in epochs.enumerated() { table[key] = .epoch(rank: UInt8(rank + 1)) }
        for column in ResultColumn.allCases {
            for (rank, key) in column.spellings.enumerated() { table[key] = .column(column, rank: UInt8(rank + 1)) }
        }
        return table
    }()

    private var table: [String: ResultKeyMeaning]
    private(set) var extraNames: [String] = []
    /// Keys in the order of the line before.
    private var line: [(bytes: [UInt8], meaning: ResultKeyMeaning)] = []

    /// - Parameters:
    ///   - columns: keys that a manifest names for columns.
    ///   - epoch: the key that a manifest names for the epoch.
    init(columns: [String: ResultColumn], epoch: String?) {
        table = Self.common
        for (key, column) in columns { table[key] = .column(column, rank: 0) }
        if let epoch { table[epoch] = .epoch(rank: 0) }
    }

    /// The meaning of a key at a place in its line; nil when there are too many different keys.
    mutating func meaning(_ key: UnsafeRawBufferPointer, at place: Int) -> ResultKeyMeaning? {
        if place < line.count, line[place].bytes.count == key.count, line[place].bytes.elementsEqual(key) {
            return line[place].meaning
        }
        guard let meaning = meaning(String(decoding: key, as: UTF8.self)) else { return nil }
        if place < line.count {
            line[place] = (Array(key), meaning)
        } else if place == line.count, place < 256 {
            line.append((Array(key), meaning))
        }
        return meaning
    }

    /// The meaning of a key wherever it is.
    mutating func meaning(_ key: String) -> ResultKeyMeaning? {
        if let known = table[key] { return known }
        guard extraNames.count < Self.maximumExtraCount else { return nil }
        let meaning = ResultKeyMeaning.extra(extraNames.count)
        extraNames.append(key)
        table[key] = meaning
        return meaning
    }
}
