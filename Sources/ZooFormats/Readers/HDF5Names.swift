import ZooBase

/// Which datasets of an HDF5 file are tensors of the model, under which names, in which order.
struct HDF5Names {
    /// Names and datasets.
    private(set) var tensors: [(name: String, dataset: HDF5Listing.Dataset)] = []
    /// What the file says besides.
    private(set) var metadata = JSONObject()
    /// What is there but not read.
    private(set) var skipped: [(name: String, reason: String)]

    private let listing: HDF5Listing

    init(_ listing: HDF5Listing, includesOptimizer: Bool) {
        self.listing = listing
        skipped = listing.skipped
        addMetadata(of: "")
        let root = ["", "/model_weights"].first { listing.texts("layer_names", of: $0) != nil }
        if let root, let layers = listing.texts("layer_names", of: root) {
            if !root.isEmpty { addMetadata(of: root) }
            addKeras2(root, layers)
            if includesOptimizer { addGroup("/optimizer_weights") }
        } else {
            addPaths(includesOptimizer: includesOptimizer)
        }
    }

    // MARK: Keras 2

    /// Layers in their order, each with its weights in the order of `weight_names`.
    private mutating func addKeras2(_ root: String, _ layers: [String]) {
        let byPath = Dictionary(listing.datasets.map { ($0.path, $0) }) { first, _ in first }
        var found: [(layer: String, weight: String, dataset: HDF5Listing.Dataset)] = []
        for layer in layers {
            let group = "\(root)/\(layer)"
            for weight in listing.texts("weight_names", of: group) ?? [] {
                if let dataset = byPath["\(group)/\(weight)"] {
                    found.append((layer, weight, dataset))
                } else if !skipped.contains(where: { $0.name == HDF5Listing.relative("\(group)/\(weight)") }) {
                    skipped.append((weight, "named by layer '\(layer)', but not in the file"))
                }
            }
        }
        let uses = Dictionary(found.map { ($0.weight, 1) }, uniquingKeysWith: +)
        for item in found {
            let isShared = uses[item.weight, default: 0] > 1
            tensors.append((isShared ? "\(item.layer)/\(item.weight)" : item.weight, item.dataset))
        }
    }

    // MARK: Keras 3 and plain files

    private mutating func addPaths(includesOptimizer: Bool) {
        let isKeras3 =
            listing.datasets.contains { $0.path.contains("/vars/") }
            && listing.groups.contains { $0 == "/layers" || $0 == "/_layer_checkpoint_dependencies" || $0 == "/vars" }
        var datasets = listing.datasets
        if isKeras3 {
            if !includesOptimizer { datasets.removeAll { $0.path.hasPrefix("/optimizer/") } }
            // The library walks by name, which puts `vars/10` before `vars/2`.
            let keys = datasets.map { Self.naturalKey($0.path) }
            let order = datasets.indices.sorted { Self.precedes(keys[$0], keys[$1]) }
            datasets = order.map { datasets[$0] }
        }
        for dataset in datasets { tensors.append((HDF5Listing.relative(dataset.path), dataset)) }
    }

    private mutating func addGroup(_ group: String) {
        for dataset in listing.datasets where dataset.path.hasPrefix(group + "/") {
            tensors.append((HDF5Listing.relative(dataset.path), dataset))
        }
    }

    /// A path cut into texts and numbers, so that numbers compare as such.
    private static func naturalKey(_ path: String) -> [(text: String, number: Int)] {
        var key: [(text: String, number: Int)] = []
        var text = ""
        var digits = ""
        for character in path {
            if character.isASCII, character.isNumber {
                digits.append(character)
                continue
            }
            if !digits.isEmpty {
                key.append((text, Int(digits) ?? .max))
                (text, digits) = ("", "")
            }
            // A path ends before any longer name: `dense/…` comes before `dense_1/…`.
            text.append(character == "/" ? "\u{1}" : character)
        }
        key.append((text, digits.isEmpty ? -1 : Int(digits) ?? .max))
        return key
    }

    private static func precedes(_ left: [(text: String, number: Int)], _ right: [(text: String, number: Int)]) -> Bool
    {
        left.lexicographicallyPrecedes(right) { ($0.text, $0.number) < ($1.text, $1.number) }
    }

    // MARK: Metadata

    private mutating func addMetadata(of group: String) {
        for (name, value) in listing.attributes[group] ?? [] where !Self.isListOfNames(name) {
            metadata[name] = Self.json(value)
        }
    }

    /// Names of layers and weights are in the tensors' names already, and may take megabytes.
    private static func isListOfNames(_ name: String) -> Bool {
        name.hasPrefix("layer_names") || name.hasPrefix("weight_names")
    }

    private static func json(_ value: HDF5Listing.Attribute) -> JSONValue {
        func one(_ values: [JSONValue], _ isScalar: Bool) -> JSONValue {
            isScalar && values.count == 1 ? values[0] : .array(values)
        }
        switch value {
        case .texts(let texts, let isScalar):
            return one(
                texts.map { text in
                    guard text.hasPrefix("{"), let object = try? JSONParser.parse(text) else { return .string(text) }
                    return object
                }, isScalar)
        case .integers(let numbers, let isScalar): return one(numbers.map { .int($0) }, isScalar)
        case .numbers(let numbers, let isScalar): return one(numbers.map { .double($0) }, isScalar)
        }
    }
}
