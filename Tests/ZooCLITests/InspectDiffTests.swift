import Foundation
import Testing
import ZooBase
import ZooFormats
import ZooTensor
import ZooTestSupport

/// `zoo inspect` and `zoo diff` against the readers and sums computed here.
@Suite struct InspectDiffTests {
    private let pretrained = SampleZoo.tasks + "/pretrained.safetensors"

    @Test func inspectTellsFormatTensorsAndMetadata() throws {
        let bench = try Workbench()
        let reader = try SampleZoo.open(pretrained)
        let report = try bench.json("inspect", pretrained)
        #expect(keys(report).isSuperset(of: ["format", "tensors", "parameters", "metadata"]))
        #expect(report["format"] == "safetensors")
        #expect(report["parameters"] == 22_954)
        let tensors = try #require(report["tensors"]?.array)
        #expect(tensors.count == reader.tensorInfos.count)
        for (tensor, info) in zip(tensors, reader.tensorInfos) {
            #expect(keys(tensor) == ["name", "dtype", "shape", "bytes"])
            #expect(tensor["name"] == .string(info.name))
            #expect(tensor["dtype"] == .string(info.dtype.rawValue))
            #expect(tensor["shape"] == .array(info.shape.dimensions.map { .int(Int64($0)) }))
            #expect(tensor["bytes"]?.int == info.shape.elementCount * 4)
        }
    }

    @Test func digestsAreThoseOfTheBytes() throws {
        let bench = try Workbench()
        for path in [pretrained, SampleZoo.tasks + "/pretrained.pt"] {
            let reader = try SampleZoo.open(path)
            let tensors = try #require(try bench.json("inspect", path, "--digests")["tensors"]?.array)
            for name in ["classifier.weight", "encoder.conv2.bias"] {
                let file = bench.file("tensor.bin")
                try Data(try reader.tensor(named: name).bytes.array).write(to: URL(fileURLWithPath: file))
                let found = tensors.first { $0["name"]?.string == name }?["sha256"]?.string
                #expect(try found == systemDigest(file), "\(path) \(name)")
            }
        }
    }

    /// What the system's own tool says.
    private func systemDigest(_ path: String) throws -> String {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["sha256sum", path]
        let pipe = Pipe()
        process.standardOutput = pipe
        try process.run()
        let text = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        return String(text.prefix { $0 != " " })
    }

    @Test func inspectReadsMembersOfArchives() throws {
        let bench = try Workbench()
        let member = try #require(try SampleZoo.archive().members.first { $0.path.hasSuffix("/checkpoints") })
        let report = try bench.json("inspect", "\(SampleZoo.cnn)!/\(member.path)")
        #expect(report["format"] == "pytorch")
        #expect(report["parameters"] == 2464)
        #expect(report["tensors"]?.array?.count == 10)
        let missing = try bench.zoo("inspect", "\(SampleZoo.cnn)!/nowhere")
        #expect(missing.status == 1)
        #expect(lines(missing.errors, startingWith: "zoo: error: ").count == 1)
    }

    @Test func whatIsNoCheckpointIsRefused() throws {
        let bench = try Workbench()
        for path in ["zoos/README.md", "/dev/null", "nowhere.pt", "zoos"] {
            let run = try bench.zoo("inspect", path)
            #expect(run.status == 1, "\(path)")
            #expect(run.output == "")
            #expect(lines(run.errors, startingWith: "zoo: error: ").count == 1, "\(run.errors)")
        }
    }

    @Test func aFileEqualsItselfAndItsOtherFormat() throws {
        let bench = try Workbench()
        for other in [pretrained, SampleZoo.tasks + "/pretrained.pt"] {
            let report = try bench.json("diff", pretrained, other)
            #expect(report["equal"] == true)
            #expect(report["distance"] == 0.0)
            let tensors = try #require(report["tensors"]?.array)
            #expect(tensors.count == 10)
            #expect(tensors.allSatisfy { $0["change"] == "equal" })
        }
    }

    @Test func differencesAreThoseOfTheNumbers() throws {
        let bench = try Workbench()
        let other = SampleZoo.tasks + "/tasks/rot90.safetensors"
        let report = try bench.json("diff", pretrained, other)
        #expect(report["equal"] == false)
        let (left, right) = (try SampleZoo.open(pretrained), try SampleZoo.open(other))
        for tensor in try #require(report["tensors"]?.array) {
            let name = try #require(tensor["name"]?.string)
            let a = try left.tensor(named: name).doubles()
            let b = try right.tensor(named: name).doubles()
            let difference = zip(a, b).map { $0 - $1 }
            let normA = dot(a, a).squareRoot()
            let normB = dot(b, b).squareRoot()
            let expected: [(String, Double)] = [
                ("norm_a", normA), ("norm_b", normB), ("distance", dot(difference, difference).squareRoot()),
                ("cosine", dot(a, b) / (normA * normB)),
            ]
            for (key, value) in expected {
                let found = try #require(tensor[key]?.double)
                #expect(abs(found - value) <= 1e-9 * max(1, value), "\(name) \(key)")
            }
            // The classifier was frozen.
            #expect((tensor["change"] == "equal") == name.hasPrefix("classifier"), "\(name)")
        }
    }

    private func dot(_ a: [Double], _ b: [Double]) -> Double {
        var sum = 0.0
        for (x, y) in zip(a, b) { sum += x * y }
        return sum
    }

    @Test func otherArchitecturesAndNonNumbersAreTold() throws {
        let bench = try SampleCatalog.shared.get()
        let report = try bench.json("diff", pretrained, "where:failed and epoch = 5")
        #expect(report["equal"] == false)
        #expect(
            Set((report["tensors"]?.array ?? []).compactMap { $0["change"]?.string }) == ["added", "removed"])
        let nan = try bench.json(
            "diff", "where:diverged and epoch = 0 and seed = 1", "where:diverged and epoch = 25 and seed = 1")
        #expect(nan["distance"] == .null)
        #expect(nan["distance_reason"] == "NaN")
        #expect(nan["cosine_reason"] == "NaN")
    }
}
