import Foundation
import ZooBase
import ZooMerge
import ZooTensor
import ZooTestSupport

/// Model folders made at run time, by name, with tokenizer files on the disk and tensors in memory.
final class ModelFolders {
    let folder: TemporaryFolder
    private var tensors: [String: StateDict] = [:]
    private var configs: [String: JSONObject] = [:]
    var options = MergeOptions()

    init() throws { folder = try TemporaryFolder() }

    func path(_ name: String) -> String { folder.file(name) }

    /// Adds a model.
    func add(_ name: String, _ state: StateDict, files: [String: String], config: JSONObject = JSONObject()) throws {
        try FileManager.default.createDirectory(atPath: path(name), withIntermediateDirectories: true)
        for (file, text) in files {
            try Data(text.utf8).write(to: URL(fileURLWithPath: path(name) + "/" + file))
        }
        tensors[name] = state
        configs[name] = config
    }

    /// Adds a model with a byte-pair tokenizer of the given tokens; row r of the embedding is r + `offset` everywhere.
    func add(
        _ name: String, tokens: [String], merges: [String] = [], added: [String] = [], rows: Int? = nil,
        vocabularySize: Int? = nil, offset: Double = 0, width: Int = 3, more: [String: String] = [:]
    ) throws {
        let vocabulary = JSONObject(tokens.enumerated().map { ($1, .int(Int64($0))) })
        let flags: [(String, JSONValue)] = [
            ("single_word", false), ("lstrip", false), ("rstrip", false), ("normalized", false), ("special", true),
        ]
        let entries: [JSONValue] = added.enumerated().map { place, token in
            let id = tokens.firstIndex(of: token) ?? tokens.count + place
            return .object(JSONObject([("id", .int(Int64(id))), ("content", .string(token))] + flags))
        }
        let file: JSONValue = [
            "version": "1.0", "added_tokens": .array(entries),
            "model": [
                "type": "BPE", "vocab": .object(vocabulary), "merges": .array(merges.map { .string($0) }),
            ],
        ]
        let count = rows ?? tokens.count + added.filter { !tokens.contains($0) }.count
        try add(
            name, Self.embedding(count, width, offset),
            files: ["tokenizer.json": file.text()].merging(more) { _, last in last },
            config: JSONObject([("model_type", "llama"), ("vocab_size", .int(Int64(vocabularySize ?? count)))]))
    }

    static func embedding(_ rows: Int, _ width: Int, _ offset: Double) -> StateDict {
        var state = StateDict()
        let values = (0..<rows * width).map { Float(Double($0 / width) + offset) }
        state["model.embed_tokens.weight"] = Tensor(values, shape: [rows, width])
        return state
    }

    /// Plans a recipe that names models.
    func plan(_ yaml: String) throws -> MergePlan {
        try MergePlan(Recipe(text: yaml, file: "r.yaml"), options: options) { reference in
            guard let state = tensors[reference.path] else {
                throw ZooError(.notFound, "no model '\(reference.path)'")
            }
            return [
                MergeInput(
                    label: reference.path, source: state, config: configs[reference.path], folder: path(reference.path))
            ]
        }
    }

    /// The text of a file of the result.
    func file(_ name: String, of plan: MergePlan) throws -> String? {
        let names = [
            "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json",
            "merges.txt", "vocab.txt", "tokenizer.model", "chat_template.jinja", "chat_template.json",
        ]
        switch try plan.companionFiles(names).files.first(where: { $0.name == name })?.file {
        case .text(let text)?: return text
        case .copy(let path)?: return try String(contentsOfFile: path, encoding: .utf8)
        case nil: return nil
        }
    }

    /// The tokens of a result's `tokenizer.json` by id.
    func vocabulary(of plan: MergePlan) throws -> [ExactText: Int] {
        let json = try JSONParser.parse(try file("tokenizer.json", of: plan) ?? "{}")
        var found: [ExactText: Int] = [:]
        for (token, id) in json["model"]?["vocab"]?.object ?? JSONObject() { found[ExactText(token)] = id.int }
        for (place, piece) in (json["model"]?["vocab"]?.array ?? []).enumerated() {
            found[ExactText(piece.array?.first?.string ?? "")] = place
        }
        for entry in json["added_tokens"]?.array ?? [] {
            found[ExactText(entry["content"]?.string ?? "")] = entry["id"]?.int
        }
        return found
    }

    /// The first value of each row of the result's embedding.
    func rows(_ plan: MergePlan, _ name: String = "model.embed_tokens.weight") throws -> [Double] {
        let tensor = try MergedModel(plan).tensor(named: name)
        let width = tensor.elementCount / max(1, tensor.shape[0])
        let values = tensor.doubles()
        return stride(from: 0, to: values.count, by: width).map { values[$0] }
    }
}
