import Yams
import ZooBase

/// A place in a recipe's YAML, with its line; what is wrong is gathered, not thrown, so that all of it is reported
/// together.
struct RecipeNode {
    /// Gathers what is wrong with a recipe.
    final class Problems {
        private(set) var list: [String] = []
        private(set) var unknown: [String] = []
        private let file: String

        init(file: String) { self.file = file }

        func add(_ text: String, line: Int) { list.append("\(file):\(line): \(text)") }

        func addUnknown(_ text: String, line: Int) { unknown.append("\(file):\(line): \(text)") }
    }

    /// The largest recipe read.
    static let maximumByteCount = 1 << 20

    let node: Node
    let problems: Problems

    var line: Int { node.mark?.line ?? 1 }

    func complain(_ text: String) { problems.add(text, line: line) }

    private func child(_ node: Node) -> RecipeNode { RecipeNode(node: node, problems: problems) }

    var kind: String {
        switch node {
        case .mapping: "a mapping"
        case .sequence: "a list"
        case .scalar: "a single value"
        case .alias: "an alias"
        }
    }

    /// Whether nothing is written here.
    var isEmpty: Bool {
        guard case .scalar(let scalar) = node, scalar.style == .plain || scalar.style == .any else { return false }
        return ["", "~", "null"].contains(scalar.string)
    }

    /// The members of a mapping; unknown keys are noted. nil and a complaint for anything else.
    func members(known: [String]?, of what: String) -> [String: RecipeNode]? {
        guard case .mapping(let mapping) = node else {
            complain("\(what) is \(kind); expected a mapping")
            return nil
        }
        var result: [String: RecipeNode] = [:]
        for (key, value) in mapping {
            guard case .scalar(let scalar) = key else {
                child(key).complain("\(what) has a key that is no text")
                continue
            }
            let name = scalar.string
            if let known, !known.contains(name) {
                let hint = NearestName.find(name, in: known).map { " (did you mean '\($0)'?)" } ?? ""
                problems.addUnknown("\(what) has the unknown key '\(name)'\(hint)", line: key.mark?.line ?? line)
                continue
            }
            guard result.updateValue(child(value), forKey: name) == nil else {
                child(key).complain("\(what) has the key '\(name)' twice")
                continue
            }
        }
        return result.filter { !$0.value.isEmpty }
    }

    /// The keys of a mapping in their order.
    var keys: [String] {
        guard case .mapping(let mapping) = node else { return [] }
        return mapping.compactMap { $0.key.scalar?.string }
    }

    func list(of what: String) -> [RecipeNode]? {
        guard case .sequence(let sequence) = node else {
            complain("\(what) is \(kind); expected a list")
            return nil
        }
        return sequence.map(child)
    }

    func text(of what: String) -> String? {
        guard case .scalar(let scalar) = node, !scalar.string.isEmpty else {
            complain("\(what) is \(kind); expected a text")
            return nil
        }
        return scalar.string
    }

    /// Elements of a list, nil without a complaint for anything else.
    var elements: [RecipeNode]? { if case .sequence(let sequence) = node { sequence.map(child) } else { nil } }

    var isMapping: Bool { if case .mapping = node { true } else { false } }

    var scalar: String? { if case .scalar(let scalar) = node { scalar.string } else { nil } }

    /// A number: YAML's, a text that reads as one ("1e-4" is a text in YAML 1.1), or a truth value as 1 or 0.
    var number: Double? {
        guard let text = scalar else { return nil }
        switch text.lowercased() {
        case "true", "yes", "on": return 1
        case "false", "no", "off": return 0
        default: break
        }
        guard text.utf8.allSatisfy({ $0 &- 0x30 < 10 || ".eE+-_".utf8.contains($0) }), !text.isEmpty else { return nil }
        let digits = text.filter { $0 != "_" }
        guard let value = Double(digits), value.isFinite else { return nil }
        return value
    }
}
