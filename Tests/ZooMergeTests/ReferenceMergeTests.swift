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
        guard let text = try? String(contentsOfFile: path, encoding: .utf8), let json = try? JSONParser.parse(text)
        else {
            return .null
        }
        return json["merges"] ?? .null
    }()
    static let names = fixture.object?.map(\.key) ?? []

    /// Where float32 decides: a row's share of 474 for a difference of cosines that rounding moves by 1e-5; one or two
    /// elements of a tensor within rounding of Arcee's threshold.
    private static let relative = ["model_stock_soup4_filter_wise": 2e-5, "arcee_fusion": 1e-4]

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
        var options = MergeOptions()
        // One row of one tensor has no angle; the reference extrapolates there, and Zoo only when asked to imitate it.
        options.imitatesReference = name == "model_stock_soup4_filter_wise"
        let plan = try MergePlan(Recipe(text: try yaml(merge), file: name), options: options) { reference in
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
            let relative = Self.relative[name] ?? 2e-6
            #expect((norm - wanted).magnitude <= relative * max(wanted, 1e-3), "\(tensorName)")
            let sum = values.reduce(0) { $0 + $1.magnitude }
            let absolute = try #require(expected["abs_sum"]?.double)
            #expect((sum - absolute).magnitude <= relative * max(absolute, 1e-3), "\(tensorName)")
        }
    }
}
