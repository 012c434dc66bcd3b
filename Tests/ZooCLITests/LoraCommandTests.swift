import Foundation
import Testing
import ZooBase
import ZooFormats
import ZooTensor
import ZooTestSupport

/// `zoo lora`, and `BASE+ADAPTER` where a model is meant, as a user runs them.
@Suite struct LoraCommandTests {
    private let fixtures = Repository.path("Tests/ZooFormatsTests/Fixtures/adapters")

    private func distance(_ left: String, _ right: String) throws -> Double {
        let x = try CheckpointFile.open(left).source, y = try CheckpointFile.open(right).source
        #expect(Set(x.tensorInfos.map(\.name)) == Set(y.tensorInfos.map(\.name)))
        return try x.tensorInfos.map { info in
            zip(try x.tensor(named: info.name).doubles(), try y.tensor(named: info.name).doubles())
                .map { abs($0 - $1) }.max() ?? 0
        }.max() ?? .infinity
    }

    @Test func mergesIntoAFileOfTheSameBytesForAnyThreads() throws {
        let bench = try Workbench()
        for jobs in ["1", "3"] {
            let out = bench.file("m\(jobs).safetensors")
            let run = try bench.zoo(
                "lora", "merge", "\(fixtures)/net.safetensors", "\(fixtures)/dora", "--to", out, "--jobs", jobs)
            #expect(run.status == 0, "\(run.errors)")
        }
        let (one, three) = (bench.file("m1.safetensors"), bench.file("m3.safetensors"))
        #expect(try Data(contentsOf: URL(fileURLWithPath: one)) == Data(contentsOf: URL(fileURLWithPath: three)))
        #expect(try distance(one, "\(fixtures)/dora/merged.safetensors") < 4e-7)
        let report = try bench.json(
            "lora", "merge", "\(fixtures)/net.safetensors", "\(fixtures)/plain", "--to", bench.file("p.safetensors"))
        #expect(keys(report).isSuperset(of: ["base", "adapter", "output", "tensors", "modules", "ranks", "scalings"]))
        #expect(report["ranks"]?["conv"]?.int == 4 && report["scalings"]?["block.k"]?.double == 7.0 / 3)
    }

    @Test func aReferenceWithAnAdapterIsAModel() throws {
        let bench = try Workbench()
        let reference = "\(fixtures)/net.safetensors+\(fixtures)/plain"
        let same = try bench.json("diff", reference, "\(fixtures)/plain/merged.safetensors")
        #expect((same["distance"]?.double ?? 1) < 1e-6)
        let recipe = bench.file("r.yaml"), out = bench.file("out.safetensors")
        let text = "merge_method: passthrough\nmodels:\n- model: \(reference)\n"
        try Data(text.utf8).write(to: URL(fileURLWithPath: recipe))
        let run = try bench.zoo("merge", recipe, out)
        #expect(run.status == 0, "\(run.errors)")
        #expect(try distance(out, "\(fixtures)/plain/merged.safetensors") < 4e-7)
        let mapped =
            "merge_method: passthrough\nmodels:\n- model:\n    model: {path: \(fixtures)/net.safetensors}\n"
            + "    lora: {path: \(fixtures)/plain}\n"
        try Data(mapped.utf8).write(to: URL(fileURLWithPath: recipe))
        let again = try bench.zoo("merge", recipe, bench.file("again.safetensors"))
        #expect(again.status == 0, "\(again.errors)")
        #expect(try distance(bench.file("again.safetensors"), out) == 0)
    }

    @Test func whatDoesNotFitIsOneLine() throws {
        let bench = try Workbench()
        let cases = [
            (["\(fixtures)/gpt.safetensors", "\(fixtures)/plain"], "has no tensors for the adapter's"),
            (["\(fixtures)/net.safetensors", "\(fixtures)/pair"], "no adapter"),
            (["\(fixtures)/net.safetensors", "\(fixtures)/net.safetensors"], "adapter_config.json"),
        ]
        for (names, message) in cases {
            let out = bench.file("never.safetensors")
            let run = try bench.zoo(["lora", "merge"] + names + ["--to", out])
            #expect(run.status == 1 && run.errors.contains(message), "\(run.errors)")
            #expect(!FileManager.default.fileExists(atPath: out))
        }
        let many = try bench.zoo("inspect", "\(fixtures)/net.safetensors+\(fixtures)/plain+\(fixtures)/dora")
        #expect(many.status != 0)
        let average = try bench.zoo(
            "average", "\(fixtures)/net.safetensors+\(fixtures)/plain+\(fixtures)/dora", "--to", bench.file("x.pt"))
        #expect(average.status == 64 && average.errors.contains("plus signs"), "\(average.errors)")
    }

    @Test func extractionGivesTheModelBack() throws {
        let bench = try Workbench()
        let (base, tuned) = ("\(fixtures)/net.safetensors", "\(fixtures)/saved/merged.safetensors")
        let folder = bench.file("adapter")
        let report = try bench.json("lora", "extract", tuned, base, "--rank", "8", "--to", folder)
        // Two adapted layers and the head; the norm, and layers of which only the bias was trained, are whole.
        #expect(report["modules"]?.array?.count == 3)
        let saved = report["saved"]?.array?.compactMap(\.string) ?? []
        #expect(saved == ["block.down", "block.norm", "conv", "line", "pointwise"])
        for name in ["adapter_config.json", "adapter_model.safetensors", "README.md"] {
            #expect(FileManager.default.fileExists(atPath: "\(folder)/\(name)"))
        }
        let run = try bench.zoo("lora", "merge", base, folder, "--to", bench.file("back.safetensors"))
        #expect(run.status == 0, "\(run.errors)")
        #expect(try distance(bench.file("back.safetensors"), tuned) < 1e-6)
        let twice = try bench.zoo("lora", "extract", tuned, base, "--to", folder)
        #expect(twice.status == 64 && twice.errors.contains("--replace"))
    }

    @Test func combinationsAreFoldersOfAdapters() throws {
        let bench = try Workbench()
        let adapters = ["\(fixtures)/pair/first", "\(fixtures)/pair/second"]
        let folder = bench.file("both")
        let run = try bench.zoo(
            ["lora", "combine"] + adapters + ["--weights", "0.7,-0.4", "--kind", "cat", "--to", folder])
        #expect(run.status == 0, "\(run.errors)")
        // Exact: the same as one after the other, weighed.
        let merged = bench.file("merged.safetensors")
        #expect(try bench.zoo("lora", "merge", "\(fixtures)/net.safetensors", folder, "--to", merged).status == 0)
        for arguments in [["--kind", "ties"], ["--kind", "cat", "--rank", "3"], ["--weights", "1"]] {
            let wrong = try bench.zoo(["lora", "combine"] + adapters + arguments + ["--to", bench.file("no")])
            #expect(wrong.status == 64, "\(arguments)")
        }
    }
}
