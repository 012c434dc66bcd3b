import ZooBase
import ZooFormats
import ZooRetrieval

/// Black boxes outside the catalog, in a YAML file.
///
///     boxes:
///       - name: private-1
///         command: [python3, classify.py]     # or http: http://127.0.0.1:8000/predict
///         classes: 4
///         scores: logits                      # or probabilities, labels
///         input: json                         # or float32, for programs
///         timeout: 60
///         task: rot90:1,3,5,7
struct BoxManifest {
    /// Boxes ready to be captured, in their order.
    private(set) var items: [CaptureItem] = []

    /// Reads a manifest.
    ///
    /// - Throws: `usage` with the file and the place.
    init(_ path: String, inputShape: [Int]) throws {
        let text = try Bytes(mapping: path).withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
        let root = try ManifestNode(text: text, file: path).json()
        guard let rows = root["boxes"]?.array, root.object?.count == 1 else {
            throw ZooError(
                .usage, "\(path): expected one key, 'boxes', with a list", hint: "docs/retrieval.md shows one")
        }
        var names = Set<String>()
        for (place, row) in rows.enumerated() {
            try ZooError.locate("\(path): boxes[\(place)]") {
                let (box, task) = try Self.box(row.object ?? JSONObject(), inputShape)
                guard names.insert(box.name).inserted else {
                    throw ZooError(.usage, "the name '\(box.name)' is there twice")
                }
                items.append(try CaptureItem(box, task: task, identity: row.text()))
            }
        }
    }

    private static func box(_ object: JSONObject, _ inputShape: [Int]) throws -> (any BlackBox, String?) {
        let known = ["name", "command", "http", "classes", "scores", "input", "timeout", "task"]
        for (key, _) in object where !known.contains(key) {
            throw ZooError(.usage, "unknown key '\(key)'", hint: NearestName.hint(key, in: known, kind: "keys"))
        }
        guard let name = object["name"]?.string, !name.isEmpty else { throw ZooError(.usage, "'name' is missing") }
        guard let classes = object["classes"]?.int, (2...100_000).contains(classes) else {
            throw ZooError(.usage, "'classes' is how many the box knows, from 2 on")
        }
        func choice<T: RawRepresentable & CaseIterable>(_ key: String, _ value: T) throws -> T
        where T.RawValue == String {
            guard let word = object[key]?.string else { return value }
            guard let found = T(rawValue: word) else {
                throw ZooError(
                    .usage, "'\(key)' is not '\(word)'",
                    hint: NearestName.hint(word, in: T.allCases.map(\.rawValue), kind: "values"))
            }
            return found
        }
        let kind = try choice("scores", ScoreKind.logits)
        let timeout = object["timeout"]?.double ?? 60
        guard timeout > 0, timeout <= 86_400 else { throw ZooError(.usage, "'timeout' is seconds, above 0") }
        let task = object["task"]?.string
        if let url = object["http"]?.string, object["command"] == nil {
            return (
                try LoopbackBox(
                    name: name, url: url, inputShape: inputShape, classCount: classes, kind: kind, timeout: timeout),
                task
            )
        }
        let words = object["command"]?.array?.compactMap(\.string) ?? []
        guard !words.isEmpty, object["http"] == nil else {
            throw ZooError(.usage, "either 'command', a list of words, or 'http' says how the box is asked")
        }
        return (
            CommandBox(
                name: name, arguments: words, inputShape: inputShape, classCount: classes, kind: kind,
                input: try choice("input", BoxInput.json), timeout: timeout), task
        )
    }
}
