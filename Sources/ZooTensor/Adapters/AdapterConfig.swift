import ZooBase

/// What PEFT's `adapter_config.json` says that matters to the weights: ranks, scalings and which way matrices lie.
///
/// Keys that describe training (dropout, initialisation) are kept in `json` and not read; those that change what the
/// stored matrices mean and are not implemented here are refused.
public struct AdapterConfig: Sendable {
    /// The whole object, keys in order.
    public var json: JSONObject
    /// `r`.
    public var rank: Int
    /// `lora_alpha`.
    public var alpha: Double
    /// `use_rslora`: the scaling is alpha/√r instead of alpha/r.
    public var isRankStabilised: Bool
    /// `fan_in_fan_out`: weights are stored `[in, out]` (GPT-2's Conv1D).
    public var isTransposed: Bool
    /// `rank_pattern`: ranks of modules whose dotted name ends with the key.
    public var ranks: [(pattern: String, value: Double)]
    /// `alpha_pattern`.
    public var alphas: [(pattern: String, value: Double)]
    /// `modules_to_save`.
    public var modulesToSave: [String]
    /// `base_model_name_or_path`.
    public var baseModel: String? { json["base_model_name_or_path"]?.string }

    /// The largest configuration read.
    public static let maximumByteCount = 4 << 20

    /// Reads a configuration.
    ///
    /// - Throws: `unsupported` for other methods than LoRA and for options that change what the matrices mean; `corrupt`
    ///   for values of the wrong kind.
    public init(_ json: JSONObject) throws {
        let method = json["peft_type"]?.string ?? "LORA"
        guard method == "LORA" else {
            throw ZooError(
                .unsupported, "the adapter's peft_type is '\(method)'; LORA is read",
                hint: "merge it into its model with the library that made it")
        }
        try Self.refuse(json)
        self.json = json
        guard let rank = (json["r"] ?? 8).int, (1...1_000_000).contains(rank) else {
            throw ZooError(.corrupt, "'r' is no rank: expected a whole number from 1 on")
        }
        guard let alpha = (json["lora_alpha"] ?? 8).double, alpha.isFinite else {
            throw ZooError(.corrupt, "'lora_alpha' is no finite number")
        }
        self.rank = rank
        self.alpha = alpha
        isRankStabilised = json["use_rslora"]?.bool ?? false
        isTransposed = json["fan_in_fan_out"]?.bool ?? false
        ranks = try Self.pattern(json, "rank_pattern")
        alphas = try Self.pattern(json, "alpha_pattern")
        modulesToSave = json["modules_to_save"]?.array?.compactMap(\.string) ?? []
    }

    private static func refuse(_ json: JSONObject) throws {
        // These start from a base whose weights they change, so the stored matrices do not fit the published one.
        if let start = json["init_lora_weights"]?.string?.lowercased(),
            ["pissa", "olora", "corda", "loftq", "lora_ga"].contains(where: start.hasPrefix)
        {
            throw ZooError(
                .unsupported, "init_lora_weights is '\(start)': the adapter belongs to a changed base",
                hint: "store it with PEFT's path_initial_model_for_weight_conversion")
        }
        for key in [
            "layer_replication", "target_parameters", "trainable_token_indices", "use_qalora", "use_bdlora",
            "alora_invocation_tokens", "arrow_config", "kasa_config", "monteclora_config",
        ] {
            switch json[key] {
            case nil, .null?, .bool(false)?: continue
            case .array(let list)? where list.isEmpty: continue
            default: throw ZooError(.unsupported, "adapters with '\(key)' are not read")
            }
        }
    }

    private static func pattern(_ json: JSONObject, _ key: String) throws -> [(pattern: String, value: Double)] {
        guard let value = json[key], value != .null else { return [] }
        guard let object = value.object else { throw ZooError(.corrupt, "'\(key)' is no object") }
        return try object.map { name, value in
            guard let number = value.double, number.isFinite else {
                throw ZooError(.corrupt, "'\(key)' gives no number for '\(name)'")
            }
            return (name, number)
        }
    }

    /// The rank that the configuration states for a module.
    public func rank(of module: String) throws -> Int {
        let value = try Self.value(module, ranks) ?? Double(rank)
        guard let rank = Int(exactly: value), rank > 0 else {
            throw ZooError(.corrupt, "'rank_pattern' gives module '\(module)' the rank \(value)")
        }
        return rank
    }

    /// alpha/r, or alpha/√r.
    public func scaling(of module: String) throws -> Double {
        let rank = Double(try self.rank(of: module))
        let alpha = try Self.value(module, alphas) ?? self.alpha
        return alpha / (isRankStabilised ? rank.squareRoot() : rank)
    }

    /// The value of the first key that is the end of the dotted name; keys are regular expressions.
    private static func value(_ module: String, _ pattern: [(pattern: String, value: Double)]) throws -> Double? {
        try pattern.first { try matches(module, $0.pattern) }?.value
    }

    static func matches(_ module: String, _ pattern: String) throws -> Bool {
        let isPlain = pattern.utf8.allSatisfy {
            0x30...0x39 ~= $0 || 0x41...0x5A ~= $0 || 0x61...0x7A ~= $0 || $0 == 0x5F || $0 == 0x2E || $0 == 0x2D
        }
        if isPlain { return endsLike(Array(module.utf8), Array(pattern.utf8)) }
        do { return try Regex("(.*\\.)?(\(pattern))").wholeMatch(in: module) != nil } catch {
            throw ZooError(.corrupt, "'\(pattern)' is no regular expression", cause: error)
        }
    }

    /// The common case without an expression: letters stand for themselves, a point for any character.
    private static func endsLike(_ module: [UInt8], _ pattern: [UInt8]) -> Bool {
        let point = UInt8(ascii: ".")
        let start = module.count - pattern.count
        guard start == 0 || start > 0 && module[start - 1] == point else { return false }
        return zip(module[start...], pattern).allSatisfy { $0 == $1 || $1 == point }
    }
}
