import Foundation
import Testing
import ZooBase
import ZooFormats
import ZooMerge
import ZooTensor
import ZooTestSupport

/// Merges of the task zoo against those of mergekit on the same files.
@Suite struct ReferenceMergeTests {
    private static let fixture: JSONValue = {
        let path = Repository.path("Tests/ZooMergeTests/Fixtures/zoo_c_merges.json")
        guard let text = try? String(contentsOfFile: path, encoding: .utf8), let json = try? JSONParser.parse(text) else {
            return .null
        }
        return json["merges"] ?? .null
    }()
    static let names = fixture.object?.map(\.key) ?? []

    private func yaml(_ merge: JSONValue) throws -> String {
        let models = try #require(merge["models"]?.array).compactMap(\.string)
        var text = "merge_method: \(merge["method"]?.string ?? "")\ndtype: float32\nmodels:\n"
        for (index, model) in models.enumerated() {
            text += "- model: \(model)\n"
            guard let values = merge["per_model"]?.object else { continue }
            text += "  parameters:\n"
            for (key, value) in values { text += "    \(key): \((value.array?[index] ?? value).text())\n" }
        }
        if let base = merge["base"]?.string { text += "base_model: \(base)\n" }
        if let parameters = merge["parameters"]?.object {
            text += "parameters:\n"
            for (key, value) in parameters { text += "  \(key): \(value.text())\n" }
        }
        return text
    }

    @Test(arguments: names) func agrees(_ name: String) throws {
        let merge = try #require(Self.fixture[name])
        let plan = try MergePlan(Recipe(text: try yaml(merge), file: name)) { reference in
            let path = Repository.path("zoos/digits-tasks/\(reference.path)")
            return [MergeInput(label: reference.path, source: try CheckpointFile.open(path).source)]
        }
        #expect(plan.problems.isEmpty)
        let merged = try MergedModel(plan)
        for (tensorName, expected) in try #require(merge["tensors"]?.object) {
            let tensor = try merged.tensor(named: tensorName)
            let values = tensor.doubles()
            let largest = values.map(\.magnitude).max() ?? 0
            // The reference computes in float32; its values are given to twelve digits.
            let tolerance = 1e-6 * max(largest, 1e-3)
            let first = try #require(expected["first"]?.array).compactMap(\.double)
            let last = try #require(expected["last"]?.array).compactMap(\.double)
            #expect(largestDifference(Array(values.prefix(first.count)), first) <= tolerance, "\(tensorName)")
            #expect(largestDifference(Array(values.suffix(last.count)), last) <= tolerance, "\(tensorName)")
            let norm = values.reduce(0) { $0 + $1 * $1 }.squareRoot()
            let wanted = try #require(expected["norm"]?.double)
            #expect((norm - wanted).magnitude <= 2e-6 * max(wanted, 1e-3), "\(tensorName)")
            let sum = values.reduce(0) { $0 + $1.magnitude }
            let absolute = try #require(expected["abs_sum"]?.double)
            #expect((sum - absolute).magnitude <= 2e-6 * max(absolute, 1e-3), "\(tensorName)")
        }
    }
}
