import Foundation
import Testing
import ZooBase
import ZooTensor
import ZooTestSupport

/// `zoo average` against means computed here.
@Suite struct AverageCommandTests {
    private let inputs = (0..<3).map { "\(SampleZoo.tasks)/soup/variant_0\($0).safetensors" }

    /// Compares a result with the weighted sum of the inputs, in double precision.
    private func check(_ output: String, _ weights: [Double], of paths: [String]? = nil) throws {
        let readers = try (paths ?? inputs).map { try SampleZoo.open($0) }
        let result = try SampleZoo.open(output)
        #expect(Set(result.tensorInfos.map(\.name)) == Set(readers[0].tensorInfos.map(\.name)))
        for info in result.tensorInfos {
            #expect(info.dtype == .float32)
            let found = try result.tensor(named: info.name)
            let values = try readers.map { try $0.tensor(named: info.name) }
            #expect(found.shape == values[0].shape)
            var expected = [Double](repeating: 0, count: found.elementCount)
            for (weight, tensor) in zip(weights, values) {
                for (index, value) in tensor.doubles().enumerated() { expected[index] += weight * value }
            }
            let worst = zip(found.doubles(), expected).map { abs($0 - $1) }.max() ?? 0
            #expect(worst <= 1e-6, "\(info.name)")
        }
    }

    @Test(arguments: ["safetensors", "pt", "npz", "h5"])
    func uniformIsTheMean(_ format: String) throws {
        let bench = try Workbench()
        let output = bench.file("mean.\(format)")
        let report = try JSONParser.parse(try bench.zoo(["average"] + inputs + ["--to", output, "--json"]).output)
        #expect(keys(report).isSuperset(of: ["weights", "output"]))
        #expect(report["output"] == .string(output))
        let weights = try #require(report["weights"]?.array)
        #expect(weights.map { $0["checkpoint"]?.string } == inputs)
        #expect(weights.allSatisfy { abs(($0["weight"]?.double ?? 0) - 1.0 / 3) < 1e-15 })
        try check(output, [1, 1, 1].map { $0 / 3.0 })
    }

    @Test(arguments: [
        (["--method", "ema", "--decay", "0.8"], [0.64, 0.16, 0.2]),
        (["--method", "lawa", "--latest", "2"], [0, 0.5, 0.5]),
        (["--method", "weighted", "--weights", "1, 2, 5"], [0.125, 0.25, 0.625]),
    ])
    func methodsChooseTheWeights(_ arguments: [String], _ weights: [Double]) throws {
        let bench = try Workbench()
        let output = bench.file("mean.safetensors")
        let run = try bench.zoo(["average"] + inputs + arguments + ["--to", output, "--json"])
        #expect(run.status == 0, "\(run.errors)")
        let found = try JSONParser.parse(run.output)["weights"]?.array?.compactMap { $0["weight"]?.double } ?? []
        let wanted = weights.filter { $0 > 0 }
        #expect(found.count == wanted.count)
        for (weight, expected) in zip(found, wanted) { #expect(abs(weight - expected) < 1e-12) }
        try check(output, weights)
    }

    @Test func wiseFTInterpolates() throws {
        let bench = try Workbench()
        let pair = [SampleZoo.tasks + "/pretrained.safetensors", inputs[1]]
        let output = bench.file("wise.safetensors")
        let run = try bench.zoo(["average"] + pair + ["--method", "wise-ft", "--alpha", "0.3", "--to", output])
        #expect(run.status == 0, "\(run.errors)")
        try check(output, [0.7, 0.3], of: pair)
        #expect(try bench.zoo(["average"] + inputs + ["--method", "wise-ft", "--to", output]).status == 64)
    }

    @Test func catalogSelectionsAreAveraged() throws {
        let bench = try SampleCatalog.shared.get()
        let own = try Workbench()
        let condition = "zoo = 'digits-cnn' and nlin = 'gelu' and lr = 0.001 and seed = 1 and epoch = last"
        let output = own.file("mean.safetensors")
        #expect(try bench.zoo("average", "where:\(condition)", "--to", output).status == 0)
        let members = try bench.rows("query", condition, "--columns", "id").compactMap { row in
            try bench.rows("sql", "SELECT member FROM checkpoints WHERE id = \(row["id"]?.int ?? 0)")[0]["member"]?
                .string
        }
        #expect(members.count == 3)
        let readers = try members.map { try SampleZoo.checkpoint($0) }
        let result = try SampleZoo.open(output)
        for info in result.tensorInfos {
            let values = try readers.map { try $0.tensor(named: info.name).doubles() }
            for (index, found) in try result.tensor(named: info.name).doubles().enumerated() {
                let sum: Double = values.reduce(0.0) { $0 + $1[index] }
                #expect(abs(found - sum / 3) <= 1e-6)
            }
        }
    }

    @Test func theBytesDoNotDependOnTheThreads() throws {
        let bench = try Workbench()
        let outputs = try ["1", "2"].map { jobs -> Data in
            let output = bench.file("mean\(jobs).safetensors")
            #expect(try bench.zoo(["average"] + inputs + ["--jobs", jobs, "--to", output]).status == 0)
            return try Data(contentsOf: URL(fileURLWithPath: output))
        }
        #expect(outputs[0] == outputs[1])
    }

    @Test func refusalsLeaveNothingBehind() throws {
        let bench = try Workbench()
        let member = try #require(try SampleZoo.archive().members.first { $0.path.hasSuffix("/checkpoints") })
        let output = bench.file("mean.safetensors")
        let other = "\(SampleZoo.cnn)!/\(member.path)"
        let mismatch = try bench.zoo("average", inputs[0], other, "--to", output)
        #expect(mismatch.status == 1)
        #expect(lines(mismatch.errors, startingWith: "zoo: error: the checkpoints do not fit together").count == 1)
        #expect(mismatch.errors.split(separator: "\n").count == 2)
        for wrong in [["--method", "weighted", "--weights", "1"], ["--method", "weighted"], ["--dtype", "int3"]] {
            #expect(try bench.zoo(["average"] + inputs + wrong + ["--to", output]).status == 64, "\(wrong)")
        }
        #expect(try bench.zoo(["average"] + inputs + ["--to", bench.file("mean.xyz")]).status == 64)
        #expect(try bench.zoo("average", inputs[0], bench.file("none.pt"), "--to", output).status == 1)
        #expect(try bench.zoo(["average"] + inputs + ["--to", "/proc/none/mean.npz"]).status == 1)
        #expect(try FileManager.default.contentsOfDirectory(atPath: bench.folder.path).isEmpty)
    }
}
