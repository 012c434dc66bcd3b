import Foundation
import Testing
import ZooBase
import ZooTensor
import ZooTestSupport

/// `zoo soup` against soups computed with PyTorch in float64 (Tests/ZooMergeTests/Fixtures/zoo_c_soups.json).
@Suite struct SoupCommandTests {
    private let inputs = (0..<12).map {
        SampleZoo.tasks + "/soup/variant_" + ($0 < 10 ? "0\($0)" : "\($0)") + ".safetensors"
    }
    private let data = SampleZoo.tasks + "/data/zoo_c_data.safetensors:soup.val"

    private func golden() throws -> JSONValue {
        try JSONParser.parse(Bytes(mapping: Repository.path("Tests/ZooMergeTests/Fixtures/zoo_c_soups.json")))
    }

    private func check(_ path: String, _ tensors: JSONValue?) throws {
        let found = try SampleZoo.open(path)
        let expected = try #require(tensors?.object)
        #expect(Set(found.tensorInfos.map(\.name)) == Set(expected.map(\.key)))
        for (name, summary) in expected {
            let values = try found.tensor(named: name).doubles()
            let norm = values.reduce(0) { $0 + $1 * $1 }.squareRoot()
            #expect(abs(norm - (summary["norm"]?.double ?? .nan)) <= 1e-6 * norm, "\(name)")
            let first = summary["first"]?.array?.compactMap(\.double) ?? []
            #expect(!first.isEmpty)
            for (value, wanted) in zip(values, first) { #expect(abs(value - wanted) <= 1e-7 * max(1, abs(wanted))) }
        }
    }

    private func check(_ found: JSONValue?, _ expected: JSONValue?) throws {
        let found = try #require(found), expected = try #require(expected)
        #expect(found["n"]?.int == expected["n"]?.int)
        #expect(abs((found["accuracy"]?.double ?? 0) - (expected["acc"]?.double ?? 1)) < 1e-9)
        let loss = expected["loss"]?.double ?? .nan
        #expect(abs((found["loss"]?.double ?? .nan) - loss) < 1e-5 * loss)
    }

    @Test func greedyKeepsWhatTheReferenceKeeps() throws {
        let bench = try Workbench()
        let output = bench.file("soup.safetensors")
        let report = try bench.json(["soup", "greedy"] + inputs + ["--data", data, "--accept", "ge", "--to", output])
        let reference = try golden()
        let expected = try #require(reference["greedy"])
        let order = expected["order"]?.array?.compactMap(\.int) ?? []
        let steps = try #require(report["steps"]?.array)
        #expect(steps.map { $0["candidate"]?.string } == order.map { inputs[$0] })
        let wanted = try #require(expected["steps"]?.array)
        for (step, reference) in zip(steps.dropFirst(), wanted) {
            #expect(step["accepted"]?.bool == reference["kept"]?.bool)
            #expect(abs((step["score"]?.double ?? 0) - (reference["val_acc"]?.double ?? 1)) < 1e-9)
        }
        let kept = expected["kept"]?.array?.compactMap(\.int) ?? []
        #expect(report["ingredients"]?.array?.map { $0["checkpoint"]?.string } == kept.map { inputs[$0] })
        try check(report["held_out"], expected["val"])
        try check(report["test"], expected["test"])
        try check(output, expected["tensors"])
    }

    @Test func uniformIsTheReference() throws {
        let bench = try Workbench()
        let output = bench.file("soup.safetensors")
        let report = try bench.json(["soup", "uniform"] + inputs + ["--data", data, "--to", output])
        let reference = try golden()
        let expected = try #require(reference["uniform"])
        try check(report["held_out"], expected["val"])
        try check(report["test"], expected["test"])
        try check(output, expected["tensors"])
    }

    @Test(arguments: ["tensor", "model"])
    func learnedWeightsLowerTheLoss(_ granularity: String) throws {
        let bench = try Workbench()
        let output = bench.file("soup.safetensors")
        let report = try bench.json(
            ["soup", "learned"] + inputs + ["--data", data, "--weights-per", granularity, "--to", output])
        let losses = try #require(report["losses"]?.array).compactMap(\.double)
        #expect(losses.count == (granularity == "tensor" ? 5 : 3))
        #expect(losses.last ?? 9 < losses.first ?? 0)
        let uniform = try golden()["uniform"]?["val"]?["loss"]?.double ?? 0
        #expect(report["held_out"]?["loss"]?.double ?? 9 < uniform)
        for (_, weights) in try #require(report["tensor_weights"]?.object) {
            let sum = weights.array?.compactMap(\.double).reduce(0, +) ?? 0
            #expect(abs(sum - 1) < 1e-12)
        }
        // The written tensors are the weighted sums that were reported.
        let name = "encoder.conv1.bias"
        let weights = report["tensor_weights"]?[name]?.array?.compactMap(\.double) ?? []
        var expected = [Double](repeating: 0, count: 16)
        for (path, weight) in zip(inputs, weights) {
            for (place, value) in try SampleZoo.open(path).tensor(named: name).doubles().enumerated() {
                expected[place] += weight * value
            }
        }
        let found = try SampleZoo.open(output).tensor(named: name).doubles()
        for (a, b) in zip(found, expected) { #expect(abs(a - b) < 1e-6) }
    }

    @Test(arguments: ["greedy", "learned"])
    func bytesDoNotDependOnThreads(_ kind: String) throws {
        let bench = try Workbench()
        let files = try ["1", "2", "5"].map { jobs in
            let path = bench.file("\(jobs).safetensors")
            let run = try bench.zoo(["soup", kind] + inputs + ["--data", data, "--to", path, "--jobs", jobs])
            #expect(run.status == 0, "\(run.errors)")
            return try Data(contentsOf: URL(fileURLWithPath: path))
        }
        #expect(files[0] == files[1])
        #expect(files[0] == files[2])
    }

    @Test func cataloguedIngredientsBecomeParents() throws {
        let bench = try Workbench()
        #expect(try bench.zoo("index", SampleZoo.tasks + "/soup", "--zoo", "variants").status == 0)
        let output = bench.file("soup.safetensors"), picture = bench.file("soup.svg")
        let report = try bench.json(
            "soup", "greedy", "where:zoo = 'variants'", "--data", data, "--to", output, "--figure", picture)
        let count = try #require(report["ingredients"]?.array?.count)
        #expect(try bench.number("SELECT count(*) FROM lineage WHERE role = 'ingredient'") == count)
        #expect(try bench.number("SELECT count(DISTINCT run_id) FROM lineage") == 1)
        let sum = try bench.rows("sql", "SELECT sum(coefficient) AS s FROM lineage")[0]["s"]?.double ?? 0
        #expect(abs(sum - 1) < 1e-12)
        #expect(try String(contentsOfFile: picture, encoding: .utf8).contains("<svg"))
        let derived = try bench.rows("query", "zoo = 'derived'", "--columns", "id")
        #expect(derived.count == 1)
    }

    @Test func badRequestsAreRefusedBeforeAnythingIsWritten() throws {
        let bench = try Workbench()
        let output = bench.file("soup.safetensors")
        func refuse(_ arguments: [String], _ part: String, status: Int32 = 1) throws {
            let run = try bench.zoo(["soup"] + arguments + ["--to", output])
            #expect(run.status == status, "\(arguments): \(run.errors)")
            #expect(run.errors.contains(part), "\(run.errors)")
            #expect(!FileManager.default.fileExists(atPath: output))
        }
        let other = SampleZoo.tasks + "/data/zoo_c_data.safetensors"
        try refuse(["greedy", inputs[0], other, "--data", data], "have other tensors")
        try refuse(["greedy", inputs[0], "--data", other + ":soup.val,soup.test"], "splits", status: 64)
        try refuse(["greedy", inputs[0], "--data", other + ":nosuch"], "nosuch")
        try refuse(["best", inputs[0], "--data", data], "best", status: 64)
        try refuse(["learned", inputs[0], "--data", data], "at least two", status: 64)
        try refuse(["learned", inputs[0], inputs[1], "--data", data, "--rate", "0"], "--rate", status: 64)
    }

    @Test func wiseFTSweepsOverAlpha() throws {
        let bench = try Workbench()
        let output = bench.file("wise.safetensors")
        let pair = [SampleZoo.tasks + "/pretrained.safetensors", inputs[7]]
        let report = try bench.json(
            ["average"] + pair + ["--method", "wise-ft", "--data", data, "--to", output])
        let reference = try golden()
        let expected = try #require(reference["interpolation_base_7"])
        let sweep = try #require(report["sweep"]?.array)
        let losses = try #require(expected["val_loss"]?.array).compactMap(\.double)
        let accuracies = try #require(expected["val_acc"]?.array).compactMap(\.double)
        #expect(sweep.count == 11)
        for (point, (loss, accuracy)) in zip(sweep, zip(losses, accuracies)) {
            #expect(abs((point["loss"]?.double ?? 0) - loss) < 1e-5 * loss)
            #expect(abs((point["accuracy"]?.double ?? 0) - accuracy) < 1e-9)
        }
        // The best accuracy is that of alpha 1, the fine-tuned model itself.
        #expect(report["weights"]?.array?.map { $0["weight"]?.double } == [0, 1])
        let found = try SampleZoo.open(output).tensor(named: "encoder.fc.bias").doubles()
        let own = try SampleZoo.open(pair[1]).tensor(named: "encoder.fc.bias").doubles()
        #expect(found == own)
    }
}
