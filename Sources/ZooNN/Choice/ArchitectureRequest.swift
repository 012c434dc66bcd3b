import ZooBase
import ZooTensor

/// What is known of a checkpoint when its architecture is asked for.
public struct ArchitectureRequest: Sendable, Hashable {
    /// Names and shapes of its tensors, in the checkpoint's order.
    public var tensors: [TensorInfo]
    /// The extents of one sample of the data: `[C, H, W]`, `[D]`; nil when there are no data.
    public var inputShape: [Int]?
    /// The trial's configuration, or a Hugging Face `config.json`.
    public var config: JSONObject
    /// Numbers and names that the user gave; they win over the configuration.
    public var settings: JSONObject

    /// Creates a request.
    public init(
        tensors: [TensorInfo], inputShape: [Int]? = nil, config: JSONObject = JSONObject(),
        settings: JSONObject = JSONObject()
    ) {
        self.tensors = tensors
        self.inputShape = inputShape
        self.config = config
        self.settings = settings
    }
}

/// An architecture that was chosen, and why.
public struct ChosenArchitecture: Sendable, Hashable {
    /// The network.
    public var graph: ArchitectureGraph
    /// Where it comes from: `file`, `config model::type`, `inferred from the weights`.
    public var reason: String
}

/// Names and shapes of a state dict, asked about by prefix.
struct TensorLayout {
    /// The names in order.
    let names: [String]
    private let shapes: [String: Shape]

    init(_ tensors: [TensorInfo]) {
        names = tensors.map(\.name)
        shapes = Dictionary(tensors.map { ($0.name, $0.shape) }, uniquingKeysWith: { first, _ in first })
    }

    /// The extents of a tensor; nil when it is not there.
    subscript(name: String) -> [Int]? { shapes[name]?.dimensions }

    /// Whether there is such a tensor.
    func has(_ name: String) -> Bool { shapes[name] != nil }

    /// How many of `prefix0.`, `prefix1.`, … there are without a gap.
    func count(_ prefix: String) -> Int {
        var numbers = Set<Int>()
        for name in names where name.hasPrefix(prefix) {
            if let number = name.dropFirst(prefix.count).split(separator: ".").first.flatMap({ Int($0) }) {
                numbers.insert(number)
            }
        }
        var count = 0
        while numbers.contains(count) { count += 1 }
        return count
    }
}

/// Numbers of a network that its weights do not show: from the user, an architecture file, the configuration.
struct FamilyNumbers {
    /// What the user or the file says, by our name.
    var stated: JSONObject
    /// What the trial's configuration says, by its own names.
    var config: JSONObject
    /// The extents of a sample; nil when unknown.
    var inputShape: [Int]?

    /// The names under which configurations have a number, the public zoos' before Hugging Face's.
    private static let aliases: [String: [String]] = [
        "activation": ["model::nlin", "nlin", "activation", "hidden_act", "activation_function"],
        "dropout": ["model::dropout"],
        "padding": ["model::padding"],
        "pool": ["model::pool"],
        "heads": ["model::heads", "num_attention_heads", "n_head", "num_heads"],
        "layer_heads": ["layer_heads"],
        "kv_heads": ["num_key_value_heads"],
        "eps": ["model::eps", "layer_norm_eps", "layer_norm_epsilon", "rms_norm_eps"],
        "rope_theta": ["rope_theta"],
        "pooling": ["pooling"],
    ]

    func value(_ name: String) -> JSONValue? {
        if let value = stated[name] { return value }
        for alias in Self.aliases[name] ?? [] {
            if let value = config[alias] ?? config["rope_parameters"]?[alias], value != .null { return value }
        }
        return nil
    }

    /// Refuses a configuration that asks for more than the family computes.
    ///
    /// - Parameter plain: the values of each key that change nothing.
    /// - Throws: `unsupported` with key and value.
    func refuse(_ family: String, unless plain: [(key: String, values: [JSONValue])]) throws {
        for (key, values) in plain {
            guard let value = config[key], value != .null, !values.contains(value) else { continue }
            throw ZooError(
                .unsupported, "\(family): the configuration's '\(key)' is \(value.text()), which is not supported")
        }
    }

    /// A number, or what every network of the family has.
    ///
    /// - Throws: `mismatch` for something else than a number.
    func number(_ name: String, default fallback: Double) throws -> Double {
        guard let stated = value(name) else { return fallback }
        guard let number = stated.double else {
            throw ZooError(.mismatch, "'\(name)': expected a number, found \(stated.text())")
        }
        return number
    }

    /// One of some words, or what every network of the family has.
    ///
    /// - Throws: `mismatch` with the words for any other.
    func choice(_ name: String, among words: [String]) throws -> String? {
        guard let stated = value(name) else { return nil }
        guard let word = stated.string, words.contains(word) else {
            throw ZooError(
                .mismatch, "'\(name)': expected \(words.joined(separator: " or ")), found \(stated.text())")
        }
        return word
    }

    /// A truth value, or what every network of the family has.
    ///
    /// - Throws: `mismatch` for something else.
    func flag(_ name: String, default fallback: Bool) throws -> Bool {
        guard let stated = value(name) else { return fallback }
        guard let flag = stated.bool else {
            throw ZooError(.mismatch, "'\(name)': expected true or false, found \(stated.text())")
        }
        return flag
    }

    /// A whole number that must be known.
    ///
    /// - Throws: `notFound` saying how to state it; `mismatch` for a number that no network has.
    func integer(_ name: String, of family: String) throws -> Int {
        if let stated = value(name), stated.int.map({ $0 < 1 || $0 > GraphNode.largestAttribute }) ?? true {
            throw ZooError(
                .mismatch,
                "\(family): '\(name)': expected a whole number from 1 to \(GraphNode.largestAttribute), "
                    + "found \(stated.text())")
        }
        guard let number = value(name)?.int else {
            throw ZooError(
                .notFound, "\(family): the number of \(name) cannot be read off the weights",
                hint: "state it with --set \(name)=N, or catalog the model together with its config.json")
        }
        return number
    }

    /// The heads of each layer: a list `layer_heads` after heads were pruned, else the same number everywhere.
    ///
    /// - Throws: as `integer`; `mismatch` for a list that does not fit the layers.
    func layerHeads(_ depth: Int, of family: String) throws -> [Int] {
        guard let stated = value("layer_heads"), stated != .null else {
            return [Int](repeating: try integer("heads", of: family), count: depth)
        }
        let list = stated.array?.compactMap(\.int) ?? []
        guard list.count == stated.array?.count, list.count == depth,
            list.allSatisfy({ $0 > 0 && $0 <= GraphNode.largestAttribute })
        else {
            throw ZooError(
                .mismatch,
                "\(family): 'layer_heads': expected \(depth) whole numbers from 1 on, found \(stated.text())")
        }
        return list
    }

    /// The activation; `fallback` is what every network of the family has, nil where members differ.
    ///
    /// - Throws: `notFound` with the candidates; `corrupt` for an unknown word.
    func activation(of family: String, default fallback: ActivationKind? = nil) throws -> ActivationKind {
        let known = ActivationKind.allCases.map(\.rawValue)
        if let stated = value("activation"), stated.string == nil {
            throw ZooError(
                .mismatch, "'activation': expected a name, found \(stated.text())",
                hint: "the names are \(known.joined(separator: ", "))")
        }
        guard let word = value("activation")?.string else {
            if let fallback { return fallback }
            throw ZooError(
                .notFound, "\(family): the activation cannot be read off the weights",
                hint: "state it with --set activation=NAME; NAME is one of \(known.joined(separator: ", "))")
        }
        guard let kind = ActivationKind(alias: word) else {
            throw ZooError(
                .corrupt, "unknown activation '\(word)'", hint: NearestName.hint(word, in: known, kind: "activations"))
        }
        return kind
    }

    /// The extents of a sample.
    ///
    /// - Throws: `notFound` when neither data nor file says them.
    func input(of family: String) throws -> [Int] {
        if let value = stated["input"], value != .null {
            let extents = value.array?.compactMap(\.int) ?? []
            guard !extents.isEmpty, extents.count == value.array?.count,
                extents.allSatisfy({ $0 > 0 && $0 <= GraphNode.largestAttribute })
            else {
                throw ZooError(
                    .mismatch,
                    "\(family): 'input': expected a list of whole numbers from 1 to \(GraphNode.largestAttribute), "
                        + "found \(value.text())",
                    hint: "state them with --set input=[C,H,W]")
            }
            return extents
        }
        guard let inputShape else {
            throw ZooError(
                .notFound, "\(family): the extents of an input cannot be read off the weights",
                hint: "state them with --set input=[C,H,W]")
        }
        return inputShape
    }
}
