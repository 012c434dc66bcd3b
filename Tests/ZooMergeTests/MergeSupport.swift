import Foundation
import ZooBase
import ZooFormats
import ZooMerge
import ZooTensor
import ZooTestSupport

/// Merges given in code: models by name, the recipe as YAML.
struct Kitchen {
    var models: [String: any TensorSource] = [:]
    var configs: [String: JSONObject] = [:]
    var options = MergeOptions()

    func plan(_ yaml: String) throws -> MergePlan {
        try MergePlan(Recipe(text: yaml, file: "recipe.yaml"), options: options) { reference in
            guard let model = models[reference.path] else { throw ZooError(.notFound, "no model '\(reference.path)'") }
            return [MergeInput(label: reference.path, source: model, config: configs[reference.path])]
        }
    }

    func merge(_ yaml: String) throws -> MergedModel { try MergedModel(plan(yaml)) }

    /// The values of one tensor of the result.
    func values(_ yaml: String, _ name: String = "w") throws -> [Double] {
        try merge(yaml).tensor(named: name).doubles()
    }
}

/// A state dict with the one tensor `w`.
func model(_ values: [Double], _ shape: Shape, as type: DType = .float64) -> StateDict {
    var state = StateDict()
    state["w"] = Tensor(values, shape: shape).converted(to: type)
    return state
}

/// Random values of some size.
func noise(_ seed: UInt64, _ count: Int, scale: Double = 1) -> [Double] {
    var generator = SeededGenerator(seed: seed)
    return (0..<count).map { _ in scale * Double.random(in: -1...1, using: &generator) }
}

/// A recipe out of parts.
func recipe(
    _ method: String, _ models: [(String, String)], base: String? = nil, parameters: String = "", more: String = ""
) -> String {
    var text = "merge_method: \(method)\nmodels:\n"
    for (name, values) in models {
        text += "- model: \(name)\n" + (values.isEmpty ? "" : "  parameters: {\(values)}\n")
    }
    if let base { text += "base_model: \(base)\n" }
    if !parameters.isEmpty { text += "parameters: {\(parameters)}\n" }
    return text + more
}

func largestDifference(_ left: [Double], _ right: [Double]) -> Double {
    left.count == right.count ? zip(left, right).map { ($0 - $1).magnitude }.max() ?? 0 : .infinity
}
