import ZooBase

/// What a zoo's manifest says about reading trial files; the defaults suit a zoo without one.
public struct TrialOptions: Sendable {
    /// The unit of accuracies; nil decides column by column from the values.
    public var accuracyUnit: AccuracyUnit?
    /// The key of the epoch, before `training_iteration`, `epoch`, `step`.
    public var epochKey: String?
    /// Keys of result columns beyond the usual spellings.
    public var columns: [String: ResultColumn] = [:]
    /// The key of the planned number of epochs, before the usual ones.
    public var plannedEpochsKey: String?

    /// The defaults.
    public init() {}
}

/// What is wrong with a trial.
public struct TrialFlags: OptionSet, Sendable, Hashable {
    /// One bit per flag.
    public let rawValue: UInt16

    /// Flags by their bits.
    public init(rawValue: UInt16) { self.rawValue = rawValue }

    /// The last result lies before the planned end and does not say `done`.
    public static let incomplete = TrialFlags(rawValue: 1)
    /// It left an `error.txt`.
    public static let failed = TrialFlags(rawValue: 2)
    /// A training loss is NaN or infinite.
    public static let diverged = TrialFlags(rawValue: 4)
    /// No result could be read.
    public static let noResult = TrialFlags(rawValue: 8)
    /// No weights are there.
    public static let noCheckpoint = TrialFlags(rawValue: 16)
    /// The last line of its results is cut off.
    public static let truncatedResult = TrialFlags(rawValue: 32)
    /// No settings could be read.
    public static let noConfig = TrialFlags(rawValue: 64)

    private static let all: [(TrialFlags, String)] = [
        (.incomplete, "incomplete"), (.failed, "failed"), (.diverged, "diverged"), (.noResult, "noResult"),
        (.noCheckpoint, "noCheckpoint"), (.truncatedResult, "truncatedResult"), (.noConfig, "noConfig"),
    ]

    /// The flags' names in a fixed order.
    public var names: [String] { Self.all.filter { contains($0.0) }.map(\.1) }
}

/// What a model's own files say about it, beside its weights: settings, results, how the training ended.
public struct TrialFacts: Sendable {
    /// The largest config file read.
    public static let maximumConfigByteCount = 4 << 20

    /// Where the settings come from.
    public enum ConfigSource: String, Sendable {
        /// The config file.
        case file
        /// The echo in the results, because there is no readable config file.
        case results
        /// Nowhere.
        case none
    }

    /// Where the results come from.
    public enum ResultSource: String, Sendable {
        /// `result.json`.
        case lines
        /// `progress.csv`, because there is no readable `result.json`.
        case table
        /// Nowhere.
        case none
    }

    /// The settings verbatim: missing keys, nulls and numbers written as text are left as they are.
    public var config = JSONObject()
    /// Where `config` comes from.
    public var configSource = ConfigSource.none
    /// The results in order of epochs, one row per epoch.
    public var results: [ResultRow] = []
    /// Where `results` come from.
    public var resultSource = ResultSource.none
    /// Ray's bookkeeping and other values that are no numbers, of the last line.
    public var bookkeeping = JSONObject()
    /// How many lines were replaced by a later one of their epoch.
    public var duplicateLineCount = 0
    /// Accuracies that were in percent and were divided by 100.
    public var percentColumns: [ResultColumn] = []
    /// Names of the extra numbers, in order of appearance.
    public var extraNames: [String] = []
    /// What went wrong with the trial.
    public var flags: TrialFlags = []
    /// The beginning and end of `error.txt`.
    public var errorPreview: String?
    /// Members that could not be read as a whole or in part; result lines with their number.
    public var problems: [SkippedMember] = []

    /// The epoch of the last line, which is not the largest after a restart from an earlier checkpoint.
    public var lastReportedEpoch: Int?

    /// Ray's `trial_id`; nil when no result names one.
    public var trialID: String? { bookkeeping["trial_id"]?.string }

    /// The configuration as text that is equal for repetitions; see `ConfigIdentity`.
    public var configIdentity: String { ConfigIdentity.text(of: config) }

    /// Reads the files that a listing names. Files that cannot be read end in `problems`.
    ///
    /// - Throws: `interrupted` only.
    public static func read(
        _ listing: ModelListing, from archive: any Archive, options: TrialOptions = TrialOptions()
    ) throws -> TrialFacts {
        try TrialReader(archive, options: options).facts(of: listing)
    }
}
