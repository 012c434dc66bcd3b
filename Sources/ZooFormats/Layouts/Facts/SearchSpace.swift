import ZooBase

/// What an experiment swept over: the `config.json` of a folder of trials, where a swept setting is written as
/// `{"grid_search": […]}`.
///
/// Other samplers were written as arbitrary text by their authors and count as fixed; the trials' own settings are
/// what is true of them.
public struct SearchSpace: Sendable, Hashable {
    /// Settings with one value.
    public var fixed = JSONObject()
    /// Swept settings with their values, in the order of the file.
    public var swept: [Axis] = []

    /// A swept setting.
    public struct Axis: Sendable, Hashable {
        /// The config key.
        public var key: String
        /// The values tried.
        public var values: [JSONValue]
    }

    /// Reads an experiment's search space; nil when it has no `config.json`.
    ///
    /// - Throws: `corrupt` or `limit` naming the member.
    public static func read(_ experiment: ExperimentListing, from archive: any Archive) throws -> SearchSpace? {
        guard let member = experiment.configMember else { return nil }
        return try ZooError.locate(member.path) {
            let bytes = try archive.bytes(of: member)
            guard bytes.count <= TrialFacts.maximumConfigByteCount else {
                throw ZooError(
                    .limit, "\(bytes.count) bytes of settings; at most \(TrialFacts.maximumConfigByteCount) are read")
            }
            guard let config = try JSONParser.parse(bytes).object else {
                throw ZooError(.corrupt, "expected an object of settings")
            }
            return SearchSpace(config)
        }
    }

    /// Takes a config apart.
    public init(_ config: JSONObject) {
        for (key, value) in config.members {
            if let values = value["grid_search"]?.array {
                swept.append(Axis(key: key, values: values))
            } else {
                fixed[key] = value
            }
        }
    }
}
