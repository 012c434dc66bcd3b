import Foundation
import Testing
import ZooBase
import ZooMerge
import ZooTensor
import ZooTestSupport

/// What holds for methods whatever the numbers are.
@Suite struct MergeLawTests {
    private static let count = 150_000

    private func kitchen(_ type: DType = .float32, count: Int = count) -> Kitchen {
        let rows = Shape([count / 100, 100])
        let base = noise(1, count)
        func tuned(_ seed: UInt64) -> StateDict {
            model(zip(base, noise(seed, count, scale: 0.01)).map { $0 + $1 }, rows, as: type)
        }
        return Kitchen(models: ["base": model(base, rows, as: type), "A": tuned(2), "B": tuned(3), "C": tuned(4)])
    }

    /// Each method with usable parameters over A and B, or A, B and C.
    static let recipes: [(name: String, yaml: String)] = MergeMethods.all.map { method in
        let weights = "weight: 0.5, density: 0.6, gamma: 0.02, epsilon: 0.1"
        let known = Set(method.parameters.filter(\.isPerModel).map(\.name))
        let given = weights.split(separator: ", ").filter { known.contains(String($0.prefix { $0 != ":" })) }
            .joined(separator: ", ")
        let names = method.models.upperBound == 1 ? ["A"] : method.models == 2...2 ? ["A", "B"] : ["A", "B", "C"]
        let base = [.required, .oneOfTwo].contains(method.base) ? "base" : nil
        var parameters: [String] = []
        if method.parameters.contains(where: { $0.name == "t" }) { parameters.append("t: 0.3") }
        if method.name == "sce" { parameters.append("select_topk: 0.4") }
        if method.name == "wudi" { parameters.append("steps: 2") }
        return (
            method.name,
            recipe(
                method.name, names.map { ($0, given) }, base: base, parameters: parameters.joined(separator: ", "))
        )
    }

    @Test(arguments: recipes.indices) func cutsAndThreadsDoNotMatter(_ index: Int) throws {
        let yaml = Self.recipes[index].yaml
        let merged = try kitchen().merge(yaml)
        let whole = try merged.tensor(named: "w").bytes.array
        let run = try merged.elements(of: "w")
        try run.prepare(jobs: 2)
        var generator = SeededGenerator(seed: 5)
        for _ in 0..<6 {
            let first = Int.random(in: 0..<Self.count, using: &generator)
            let range = first..<Int.random(in: first...min(Self.count, first + 70_000), using: &generator)
            let piece = try Bytes(byteCount: range.count * 4) { output in
                try run.compute(range, into: output)
                return output.count
            }
            #expect(piece.array == Array(whole[first * 4..<range.upperBound * 4]), "\(Self.recipes[index].name)")
        }
    }

    @Test(arguments: recipes.indices) func identicalModelsAreAFixedPoint(_ index: Int) throws {
        let (name, yaml) = Self.recipes[index]
        let same = model(noise(1, 2000), [20, 100], as: .float32)
        let kitchen = Kitchen(models: ["base": same, "A": same, "B": same, "C": same])
        let found = try kitchen.values(yaml)
        #expect(largestDifference(found, same["w"]?.doubles() ?? []) <= 2e-7, "\(name)")
    }

    @Test(arguments: ["linear", "task_arithmetic", "ties", "karcher", "model_stock", "sce", "ram", "iso_c"])
    func orderDoesNotMatter(_ name: String) throws {
        let method = try #require(MergeMethods.named(name))
        let parameter = method.parameters.contains { $0.name == "weight" } ? "weight: 1" : ""
        let base = method.base == .required ? "base" : nil
        let forward = recipe(name, [("A", parameter), ("B", parameter), ("C", parameter)], base: base)
        let backward = recipe(name, [("C", parameter), ("A", parameter), ("B", parameter)], base: base)
        let kitchen = kitchen(.float64, count: 20_000)
        #expect(largestDifference(try kitchen.values(forward), try kitchen.values(backward)) <= 1e-9)
    }

    @Test func slerpIsSymmetric() throws {
        let kitchen = kitchen(.float64, count: 20_000)
        let there = try kitchen.values(recipe("slerp", [("A", ""), ("B", "")], base: "A", parameters: "t: 0.2"))
        let back = try kitchen.values(recipe("slerp", [("A", ""), ("B", "")], base: "B", parameters: "t: 0.8"))
        #expect(largestDifference(there, back) <= 1e-12)
    }

    /// Top-k over several pieces against sorting, with many equal magnitudes.
    @Test(arguments: [DType.float32, .float64, .bfloat16]) func trimsKeepExactlyTheLargest(_ type: DType) throws {
        let count = 200_000
        let values = noise(7, count).map { ($0 * 50).rounded() / 64 }
        let kitchen = Kitchen(models: [
            "base": model([Double](repeating: 0, count: count), [count], as: type),
            "A": model(values, [count], as: type),
        ])
        for density in [0.0001, 0.2, 0.5, 0.77, 1] {
            let yaml = recipe("ties", [("A", "weight: 1")], base: "base", parameters: "density: \(density)")
            let found = try kitchen.values(yaml)
            let order = values.indices.sorted { (-values[$0].magnitude, $0) < (-values[$1].magnitude, $1) }
            let kept = Set(order.prefix(max(1, Int(density * Double(count)))))
            let expected = values.indices.map { kept.contains($0) ? values[$0] : 0 }
            #expect(found == expected, "\(density)")
        }
    }

    @Test func breadcrumbsCutBothEnds() throws {
        let count = 130_000
        let values = noise(8, count).map { ($0 * 40).rounded() / 64 }
        let kitchen = Kitchen(models: [
            "base": model([Double](repeating: 0, count: count), [count], as: .float32),
            "A": model(values, [count], as: .float32),
        ])
        let yaml = recipe(
            "breadcrumbs", [("A", "weight: 1")], base: "base", parameters: "density: 0.5, gamma: 0.1")
        let order = values.indices.sorted { (values[$0].magnitude, $0) < (values[$1].magnitude, $1) }
        let top = Int(0.1 * Double(count)), bottom = count - count / 2 - top
        let kept = Set(order[bottom..<count - top])
        #expect(try kitchen.values(yaml) == values.indices.map { kept.contains($0) ? values[$0] : 0 })
    }

    @Test func droppingKeepsItsShareAndItsSize() throws {
        let count = 100_000
        let values = noise(9, count)
        var kitchen = Kitchen(models: [
            "base": model([Double](repeating: 0, count: count), [count / 100, 100]),
            "A": model(values, [count / 100, 100]),
        ])
        for method in ["dare_linear", "della_linear"] {
            let yaml = recipe(method, [("A", "weight: 1")], base: "base", parameters: "density: 0.3, epsilon: 0.1")
            let found = try kitchen.values(yaml)
            let share = Double(found.count { $0 != 0 }) / Double(count)
            // Four standard deviations of a binomial share.
            #expect((share - 0.3).magnitude < 4 * (0.21 / Double(count)).squareRoot(), "\(method) \(share)")
            let size = found.reduce(0) { $0 + $1.magnitude }, whole = values.reduce(0) { $0 + $1.magnitude }
            #expect((size / whole - 1).magnitude < 1e-9)
            kitchen.options.seed = 1
            #expect(try kitchen.values(yaml) != found)
            kitchen.options.seed = 0
            #expect(try kitchen.values(yaml) == found)
        }
        let inverse = try kitchen.values(
            recipe(
                "dare_linear", [("A", "weight: 1")], base: "base", parameters: "density: 0.5, rescale_norm: inverse"))
        #expect(zip(inverse, values).allSatisfy { $0 == 0 || $0 == 2 * $1 })
    }

    @Test func losslessSingularVectorsOfOneTaskAreTheTask() throws {
        let values = noise(3, 60)
        let kitchen = Kitchen(models: [
            "base": model([Double](repeating: 0, count: 60), [6, 10]), "A": model(values, [6, 10]),
        ])
        let found = try kitchen.values(recipe("tsv", [("A", "")], base: "base", parameters: "lossless: true"))
        #expect(largestDifference(found, values) < 1e-12)
        let cabs = try kitchen.values(recipe("cabs", [("A", "weight: 1, n: 1, m: 3")], base: "base"))
        for block in 0..<20 { #expect(cabs[block * 3..<block * 3 + 3].count { $0 != 0 } == 1) }
    }

    @Test func everyMethodHasItsOwnFile() throws {
        let folder = Repository.path("Sources/ZooMerge/Methods")
        let text = try FileManager.default.contentsOfDirectory(atPath: folder).map {
            try String(contentsOfFile: "\(folder)/\($0)", encoding: .utf8)
        }.joined()
        let declared = text.components(separatedBy: ": MergeMethod {").count - 1
        #expect(declared == MergeMethods.all.count, "a method is not in Methods/Registry.swift")
        #expect(Set(MergeMethods.names).count == MergeMethods.all.count)
    }
}
