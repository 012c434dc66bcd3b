import ZooBase

/// Gathers everything that is wrong with a manifest, so that all of it can be told at once.
final class ManifestProblems {
    private(set) var list: [String] = []

    func add(_ text: String) { if !list.contains(text) { list.append(text) } }

    /// - Throws: `usage` with all problems.
    func check(_ file: String) throws {
        guard let first = list.first else { return }
        throw ZooError(
            .usage,
            list.count == 1 ? "\(file): \(first)" : "\(file): \(list.count) problems\n" + list.joined(separator: "\n"),
            hint: "docs/train.md lists the keys")
    }
}

/// A mapping of a manifest: reads values by key, and notes those that are missing, unknown or of another kind.
struct ManifestSection {
    let object: JSONObject
    let path: String
    let problems: ManifestProblems

    init(_ value: JSONValue, path: String, _ problems: ManifestProblems) {
        if value.object == nil, value != .null { problems.add("\(path): expected a mapping") }
        object = value.object ?? JSONObject()
        self.path = path
        self.problems = problems
    }

    func place(_ key: String) -> String { path.isEmpty ? key : "\(path).\(key)" }

    func fault(_ key: String, _ text: String) { problems.add("\(place(key)): \(text)") }

    /// Notes keys that are none of `known`, with the nearest that is.
    func allow(_ known: [String]) {
        for (key, _) in object where !known.contains(key) {
            fault(key, "unknown key (\(NearestName.hint(key, in: known, kind: "keys")))")
        }
    }

    func section(_ key: String) -> ManifestSection {
        ManifestSection(object[key] ?? .null, path: place(key), problems)
    }

    func text(_ key: String) -> String? {
        guard let value = object[key], value != .null else { return nil }
        guard let text = value.string, !text.isEmpty else {
            fault(key, "expected a text")
            return nil
        }
        return text
    }

    func number(_ key: String, in range: ClosedRange<Double> = -1e30...1e30) -> Double? {
        guard let value = object[key], value != .null else { return nil }
        guard let number = value.double, range.contains(number) else {
            let ends = range.upperBound < 1e30 ? " from \(range.lowerBound) to \(range.upperBound)" : ""
            let from = range.upperBound >= 1e30 && range.lowerBound > -1e30 ? " from \(range.lowerBound) on" : ends
            fault(key, "expected a number\(from)")
            return nil
        }
        return number
    }

    func count(_ key: String, minimum: Int = 0) -> Int? {
        guard let value = object[key], value != .null else { return nil }
        guard let number = value.int, number >= minimum, number <= 1 << 31 else {
            fault(key, "expected a whole number from \(minimum) on")
            return nil
        }
        return number
    }

    func counts(_ key: String) -> [Int]? {
        guard let value = object[key], value != .null else { return nil }
        guard let list = value.array, list.allSatisfy({ ($0.int ?? -1) >= 0 }) else {
            fault(key, "expected a list of whole numbers")
            return nil
        }
        return list.compactMap(\.int)
    }

    func texts(_ key: String) -> [String]? {
        guard let value = object[key], value != .null else { return nil }
        if let text = value.string { return [text] }
        guard let list = value.array, list.allSatisfy({ $0.string != nil }) else {
            fault(key, "expected a list of texts")
            return nil
        }
        return list.compactMap(\.string)
    }

    func flag(_ key: String) -> Bool? {
        guard let value = object[key], value != .null else { return nil }
        if value.bool == nil { fault(key, "expected true or false") }
        return value.bool
    }

    func choice<T: RawRepresentable & CaseIterable>(_ key: String, _ type: T.Type) -> T? where T.RawValue == String {
        guard let word = text(key) else { return nil }
        if let value = T(rawValue: word) { return value }
        let names = T.allCases.map(\.rawValue)
        fault(key, "'\(word)' is not known (\(NearestName.hint(word, in: names, kind: "names")))")
        return nil
    }
}
