import ZooBase

/// Settings that vary in a zoo and cannot be an axis: texts, and numbers that some networks lack.
struct UnusableSettings {
    /// One setting, in words.
    struct Setting {
        var key: String
        /// What is wrong with it.
        var text: String
        /// What to do.
        var hint: String
    }

    /// Longer texts are descriptions rather than settings.
    private static let longestText = 64
    /// No more are told.
    private static let most = 4

    /// Those that lack numbers first, then texts; no more than are worth reading.
    let list: [Setting]

    /// - Parameter configs: one per network, without nested objects.
    init(_ configs: [JSONObject]) {
        var keys: [String] = [], seen: Set<String> = []
        for config in configs {
            for (key, _) in config where seen.insert(key).inserted { keys.append(key) }
        }
        keys = keys.filter { !GridAxes.isBookkeeping($0) && !GridAxes.isRepetition($0) }
        let lacking = keys.compactMap { Self.lacking($0, configs) }
        list = Array((lacking + keys.compactMap { Self.text($0, configs) }).prefix(Self.most))
    }

    /// The setting of a name as `GridAxis.normalised` makes it.
    func described(_ name: String) -> Setting? {
        list.first { GridAxis.normalised(GridAxis.bare($0.key)) == name || GridAxis.normalised($0.key) == name }
    }

    private static func lacking(_ key: String, _ configs: [JSONObject]) -> Setting? {
        let numbers = configs.compactMap { GridAxes.number($0[key]) }
        let missing = configs.count - numbers.count
        guard missing > 0, numbers.count > missing, Set(numbers).count > 1 else { return nil }
        let bare = GridAxis.bare(key)
        return Setting(
            key: key,
            text: "'\(key)' is no number in \(missing) of \(configs.count) networks",
            hint: "--where \"\(bare) > \(Quantity.significant((numbers.min() ?? 0) - 1, digits: 6))\" leaves those out")
    }

    private static func text(_ key: String, _ configs: [JSONObject]) -> Setting? {
        let texts = configs.compactMap { $0[key]?.string }
        let values = Set(texts)
        // Names and paths of single networks are none of their settings.
        guard texts.count == configs.count, values.count > 1, values.count * 2 <= configs.count,
            values.allSatisfy({ $0.utf8.count <= longestText }), texts.contains(where: { Double($0) == nil })
        else { return nil }
        let some = values.sorted().prefix(4).joined(separator: ", ") + (values.count > 4 ? ", …" : "")
        return Setting(
            key: key, text: "'\(key)' is a text (\(some))",
            hint: "axes are numbers: give a number beside '\(GridAxis.bare(key))' in the trials' params.json, "
                + "or fix it with --where; --load \(GridAxes.parameterCount) takes the size of the networks")
    }
}
