import ZooBase
import ZooFormats

/// One axis of a grid: the setting, its values from one side of a picture to the other.
struct GridAxis: Sendable, Hashable {
    /// The config key.
    var key: String
    /// The values in picture order: load from high to low, temperature from hot to cold.
    var values: [Double] = []
    /// Whether values grow in that order.
    var ascends = true

    /// The key's last component: `width` of `model::width`.
    var name: String { Self.bare(key) }

    static func bare(_ key: String) -> String {
        key.split { $0 == ":" || $0 == "." || $0 == "/" }.last.map(String.init) ?? key
    }

    /// `batch_size`, `batchsize` and `Batch-Size` are one name.
    static func normalised(_ name: String) -> String { String(name.lowercased().filter { $0 != "_" && $0 != "-" }) }
}

/// Which settings span the grid of a zoo: options first, then the zoo's manifest, then what varies.
struct GridAxes {
    private(set) var load: GridAxis
    private(set) var temperature: GridAxis
    /// nil when networks of a cell are not told apart by a setting.
    private(set) var repetition: String?
    /// How the axes were found, in words.
    private(set) var origin: String

    private static let loadWords = [
        "width", "dim", "depth", "hidden", "channel", "units", "param", "density", "load", "beta", "samples",
        "trainsize",
        "layers", "heads", "capacity",
    ]
    private static let temperatureWords = [
        "batch", "lr", "learningrate", "wd", "decay", "momentum", "epochs", "temperature", "dropout", "noise", "steps",
        "rho",
    ]
    /// Settings in which more means more load.
    private static let loading = ["load", "beta", "samples", "trainsize"]
    /// Settings in which more means a colder training.
    private static let cooling = ["batch", "epochs", "steps"]
    /// Bookkeeping that varies without meaning anything.
    private static let ignored = [
        "cuda", "resources", "workers", "path", "dump", "gpu", "cpu", "manifest", "base_seed", "verbosity",
        "output_epoch",
    ]

    /// - Parameters:
    ///   - configs: one per network.
    /// - Throws: `usage` with the command that names the axes; `notFound` for a key that no network has.
    init(_ options: GridOptions, configs: [JSONObject], manifest: Manifest.Grid?) throws {
        let zoo = options.zoo
        let keys = Self.scalarKeys(configs)
        func key(_ name: String) throws -> String { try Self.key(name, in: keys, configs, zoo) }
        // A manifest describes the zoo of its name only when the zoo has those settings.
        let known = manifest.flatMap { grid in
            keys.contains(grid.load.axis.key) && keys.contains(grid.temperature.axis.key) ? grid : nil
        }
        repetition =
            try options.repetition.map(key) ?? known?.repetition.map(\.key) ?? Self.repetition(among: keys, configs)
        var loadKey = try options.load.map(key), temperatureKey = try options.temperature.map(key)
        origin = loadKey != nil && temperatureKey != nil ? "options" : "the settings that vary"
        if let known, loadKey == nil, temperatureKey == nil {
            (loadKey, temperatureKey) = (known.load.axis.key, known.temperature.axis.key)
            origin = "the manifest"
        }
        if loadKey == nil || temperatureKey == nil {
            let varying = Self.varying(keys, configs, except: repetition)
            (loadKey, temperatureKey) = try Self.guess(
                varying, loadKey, temperatureKey, zoo, others: UnusableSettings(configs))
        }
        guard let loadKey, let temperatureKey, loadKey != temperatureKey else {
            throw ZooError(.usage, "zoo '\(zoo)': load and temperature are the same setting")
        }
        load = GridAxis(key: loadKey)
        temperature = GridAxis(key: temperatureKey)
        let stated = known.flatMap { $0.load.axis.key == loadKey ? $0.load.increases : nil }
        let statedHeat = known.flatMap { $0.temperature.axis.key == temperatureKey ? $0.temperature.increases : nil }
        let isLoading = options.loadOrder.map { $0 == .load } ?? stated ?? Self.has(loadKey, Self.loading)
        let isHeating =
            options.heatOrder.map { $0 == .temperature } ?? statedHeat
            ?? !Self.has(temperatureKey, Self.cooling)
        load.ascends = !isLoading
        temperature.ascends = !isHeating
        load.values = try Self.values(load, configs, zoo)
        temperature.values = try Self.values(temperature, configs, zoo)
        guard load.values.count > 1, temperature.values.count > 1 else {
            let single = load.values.count > 1 ? temperatureKey : loadKey
            throw ZooError(
                .mismatch, "zoo '\(zoo)' has no grid: '\(single)' has one value only",
                hint:
                    "a phase diagram takes networks of several loads and temperatures; --load and --temperature name them"
            )
        }
    }

    /// A setting as a number; texts that are numbers count.
    static func number(_ value: JSONValue?) -> Double? {
        guard let number = value?.double ?? value?.string.flatMap(Double.init), number.isFinite else { return nil }
        return number
    }

    // MARK: Keys

    /// The key under which a configuration holds its network's number of parameters: a load where no setting is one.
    static let parameterCount = "parameters"

    /// Bookkeeping that varies without meaning anything.
    static func isBookkeeping(_ key: String) -> Bool { ignored.contains { key.lowercased().contains($0) } }

    /// Whether a setting tells repetitions of one training apart, by its name.
    static func isRepetition(_ key: String) -> Bool {
        let name = GridAxis.normalised(GridAxis.bare(key))
        return name.hasSuffix("seed") || ["rng", "repetition", "repeat", "replicate", "replica", "run"].contains(name)
    }

    /// The seed, else the first setting that is called like one and varies.
    private static func repetition(among keys: [String], _ configs: [JSONObject]) -> String? {
        keys.first { GridAxis.normalised(GridAxis.bare($0)) == "seed" }
            ?? keys.first { isRepetition($0) && !isBookkeeping($0) && partition($0, configs).contains { $0 > 0 } }
    }

    /// Settings without objects in them, keys of nested ones joined by points as in the catalog.
    static func flattened(_ config: JSONObject) -> JSONObject {
        var flat: [(String, JSONValue)] = []
        func walk(_ object: JSONObject, _ prefix: String) {
            for (key, value) in object {
                if case .object(let inner) = value {
                    walk(inner, prefix + key + ".")
                } else {
                    flat.append((prefix + key, value))
                }
            }
        }
        walk(config, "")
        return flat.reduce(into: JSONObject()) { $0[$1.0] = $1.1 }
    }

    private static func has(_ key: String, _ words: [String]) -> Bool {
        let name = GridAxis.normalised(GridAxis.bare(key))
        return words.contains { name.contains($0) }
    }

    /// Keys that every network has with a number.
    private static func scalarKeys(_ configs: [JSONObject]) -> [String] {
        guard let first = configs.first else { return [] }
        return first.map(\.key).filter { key in configs.allSatisfy { number($0[key]) != nil } }
    }

    private static func key(
        _ name: String, in keys: [String], _ configs: [JSONObject], _ zoo: String
    ) throws -> String {
        if keys.contains(name) { return name }
        let wanted = GridAxis.normalised(name)
        let found = keys.filter { GridAxis.normalised(GridAxis.bare($0)) == wanted }
        if found.count == 1 { return found[0] }
        guard found.isEmpty else {
            throw ZooError(
                .usage, "zoo '\(zoo)': '\(name)' could be \(found.joined(separator: " or "))", hint: "write it out")
        }
        if let other = UnusableSettings(configs).described(wanted) {
            throw ZooError(.mismatch, "zoo '\(zoo)': \(other.text)", hint: other.hint)
        }
        throw ZooError(
            .notFound, "zoo '\(zoo)': not every network has a number for '\(name)'",
            hint: NearestName.hint(name, in: keys, kind: "settings"))
    }

    /// Settings with several values; of those that divide the networks in the same way only the first.
    private static func varying(_ keys: [String], _ configs: [JSONObject], except repetition: String?) -> [String] {
        var seen: Set<[Int]> = []
        // A setting that follows from the repetition repeats it.
        if let repetition { seen.insert(partition(repetition, configs)) }
        let ordered =
            keys.filter { has($0, loadWords + temperatureWords) }
            + keys.filter { !has($0, loadWords + temperatureWords) }
        // Last: of settings that divide the networks alike the zoo's own is taken.
        let sized = ordered.filter { $0 != parameterCount } + ordered.filter { $0 == parameterCount }
        let found = sized.filter { key in
            guard key != repetition, !isRepetition(key), !isBookkeeping(key) else { return false }
            let parts = partition(key, configs)
            return parts.contains { $0 > 0 } && seen.insert(parts).inserted
        }
        // The size of the networks follows from their settings: it stands in where none of these is a load.
        return found.contains { $0 != parameterCount && has($0, loadWords) }
            ? found.filter { $0 != parameterCount } : found
    }

    /// For each network the first one that has the same value.
    private static func partition(_ key: String, _ configs: [JSONObject]) -> [Int] {
        var first: [Double: Int] = [:]
        return configs.enumerated().map { place, config in
            let value = number(config[key]) ?? .infinity
            if let known = first[value] { return known }
            first[value] = place
            return place
        }
    }

    private static func guess(
        _ varying: [String], _ load: String?, _ temperature: String?, _ zoo: String, others: UnusableSettings
    ) throws -> (String, String) {
        let open = varying.filter { $0 != load && $0 != temperature && !(load != nil && $0 == parameterCount) }
        let command = "zoo phases \(zoo) --load KEY --temperature KEY"
        if let load {
            guard open.count == 1 else { throw fault(zoo, "the temperature", open, command) }
            return (load, open[0])
        }
        if let temperature {
            guard open.count == 1 else { throw fault(zoo, "the load", open, command) }
            return (open[0], temperature)
        }
        guard open.count > 1 else {
            throw ZooError(
                .mismatch,
                "zoo '\(zoo)' has no grid: "
                    + (open.isEmpty ? "no number varies but the seed" : "only '\(open[0])' varies beside the seed")
                    + others.list.map { "; \($0.text)" }.joined(),
                hint: (others.list.first.map { $0.hint + "; " } ?? "")
                    + "a phase diagram takes networks of several loads and temperatures; "
                    + "'zoo train manifests/train/digits-mlp-phases.yaml' grows some")
        }
        guard open.count == 2 else { throw fault(zoo, "load and temperature", open, command) }
        let isLoad = open.map { has($0, loadWords) }, isTemperature = open.map { has($0, temperatureWords) }
        if isLoad[0] != isLoad[1] { return isLoad[0] ? (open[0], open[1]) : (open[1], open[0]) }
        if isTemperature[0] != isTemperature[1] { return isTemperature[1] ? (open[0], open[1]) : (open[1], open[0]) }
        throw fault(zoo, "load and temperature", open, command)
    }

    private static func fault(_ zoo: String, _ what: String, _ keys: [String], _ command: String) -> ZooError {
        ZooError(
            .usage,
            "zoo '\(zoo)': cannot tell \(what) from what varies: "
                + (keys.isEmpty ? "nothing else" : keys.joined(separator: ", ")),
            hint: "name them: \(command)"
                + (keys.count > 2 ? " (--where fixes the others; --repetition names what is a seed)" : ""))
    }

    private static func values(_ axis: GridAxis, _ configs: [JSONObject], _ zoo: String) throws -> [Double] {
        let found = Set(configs.compactMap { number($0[axis.key]) }).sorted()
        return axis.ascends ? found : found.reversed()
    }
}
