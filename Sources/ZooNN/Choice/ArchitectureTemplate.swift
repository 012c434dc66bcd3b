import ZooBase

/// An architecture file: a whole graph, or a family with the numbers that weights do not show.
///
/// Values that start with `$` stand for a key of the trial's configuration (`activation: $model::nlin`).
///
///     name: CNN-s-8x8
///     family: small-cnn
///     input: [1, 8, 8]
///     padding: [2, 2, 0]
///     pool: [true, false, false]
///     activation: $model::nlin
public struct ArchitectureTemplate: Sendable, Hashable {
    /// Its name, as configurations and `--architecture` say it.
    public let name: String
    let content: JSONObject

    /// Takes a file's content.
    ///
    /// - Throws: `corrupt` when it has no name, is neither a graph nor of a family, or states a number that the
    ///   family does not have; a graph without references to configurations is checked now.
    public init(json: JSONValue) throws {
        guard let object = json.object, let name = object["name"]?.string else {
            throw ZooError(.corrupt, "an architecture must be a mapping with a 'name'")
        }
        self.name = name
        content = object
        if let family = object["family"] {
            let numbers = try ArchitectureFamily.named(family.string ?? "").numbers
            let known = ["name", "family", "description"] + numbers
            for (key, _) in object where !known.contains(key) {
                throw ZooError(
                    .corrupt, "architecture '\(name)': unknown key '\(key)'",
                    hint: NearestName.hint(key, in: known, kind: "keys"))
            }
        } else if Self.references(json).isEmpty {
            _ = try ArchitectureGraph(json: json)
        }
    }

    /// The graph for a checkpoint.
    ///
    /// - Throws: `notFound` for a reference to a key that the configuration lacks; what the family throws.
    public func graph(_ request: ArchitectureRequest) throws -> ArchitectureGraph {
        guard let resolved = try resolve(.object(content), request).object else {
            throw ZooError(.internal, "a mapping stays a mapping")
        }
        guard let family = resolved["family"]?.string else { return try ArchitectureGraph(json: .object(resolved)) }
        var stated = resolved
        for (key, value) in request.settings { stated[key] = value }
        return try ArchitectureFamily.named(family).graph(
            name, TensorLayout(request.tensors),
            FamilyNumbers(stated: stated, config: request.config, inputShape: request.inputShape))
    }

    private func resolve(_ value: JSONValue, _ request: ArchitectureRequest) throws -> JSONValue {
        switch value {
        case .string(let text) where text.hasPrefix("$"):
            let key = String(text.dropFirst())
            // `--set activation=tanh` also serves `$model::nlin` where the file says `activation: $model::nlin`.
            let attribute = content.first { $0.value == value }?.key
            if let found = request.settings[key] ?? attribute.flatMap({ request.settings[$0] }) ?? request.config[key] {
                return found
            }
            throw ZooError(
                .notFound, "architecture '\(name)' refers to '\(key)', which the configuration does not have",
                hint: "state it with --set \(attribute ?? key)=VALUE")
        case .array(let elements): return .array(try elements.map { try resolve($0, request) })
        case .object(let object):
            return .object(JSONObject(try object.map { ($0.key, try resolve($0.value, request)) }))
        default: return value
        }
    }

    static func references(_ value: JSONValue) -> [String] {
        switch value {
        case .string(let text): text.hasPrefix("$") ? [text] : []
        case .array(let elements): elements.flatMap(references)
        case .object(let object): object.flatMap { references($0.value) }
        default: []
        }
    }
}
