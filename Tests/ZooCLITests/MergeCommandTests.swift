import Foundation
import Testing
import ZooBase
import ZooFormats
import ZooTensor
import ZooTestSupport

/// `zoo merge` as a user runs it.
@Suite struct MergeCommandTests {
    private let folder = "\(SampleZoo.tasks)/tasks"

    private func write(_ bench: Workbench, _ name: String, _ text: String) throws -> String {
        let path = bench.file(name)
        try Data(text.utf8).write(to: URL(fileURLWithPath: path))
        return path
    }

    private func ties(_ method: String = "ties") -> String {
        """
        merge_method: \(method)
        base_model: \(SampleZoo.tasks)/pretrained.safetensors
        models:
        - model: \(folder)/dim.safetensors
          parameters: {weight: 0.5, density: 0.4}
        - model: \(folder)/shift.safetensors
          parameters: {weight: 0.5, density: 0.4}
        """
    }

    /// A tiny model folder as Hugging Face writes them.
    private func model(_ bench: Workbench, _ name: String, seed: UInt64) throws -> String {
        var state = StateDict()
        var generator = SeededGenerator(seed: seed)
        func random(_ shape: Shape) -> Tensor {
            Tensor((0..<shape.elementCount).map { _ in Float.random(in: -1...1, using: &generator) }, shape: shape)
        }
        state["model.embed_tokens.weight"] = random([8, 4])
        for layer in 0..<2 { state["model.layers.\(layer).mlp.up_proj.weight"] = random([6, 4]) }
        state["model.norm.weight"] = random([4])
        state["lm_head.weight"] = random([8, 4])
        let path = bench.file(name)
        try SafetensorsWriter.writeSharded(state, toFolder: path, maximumShardBytes: 200)
        let config = #"{"model_type": "llama", "num_hidden_layers": 2, "torch_dtype": "float32", "strange": [1]}"#
        try Data(config.utf8).write(to: URL(fileURLWithPath: path + "/config.json"))
        try Data("{}".utf8).write(to: URL(fileURLWithPath: path + "/tokenizer.json"))
        return path
    }

    @Test func filesAreMergedTheSameWithAnyNumberOfThreads() throws {
        let bench = try Workbench()
        let recipe = try write(bench, "r.yaml", ties("dare_ties"))
        let outputs = try ["1", "2"].map { jobs -> Data in
            let out = bench.file("m\(jobs).safetensors")
            let run = try bench.zoo("merge", recipe, out, "--jobs", jobs, "--seed", "3")
            #expect(run.status == 0, "\(run.errors)")
            return try Data(contentsOf: URL(fileURLWithPath: out))
        }
        #expect(outputs[0] == outputs[1])
        let report = try bench.json("merge", recipe, bench.file("m3.safetensors"))
        #expect(keys(report).isSuperset(of: ["method", "tensors", "bytes", "output"]))
        #expect(report["method"] == "dare_ties" && report["tensors"] == 10)
    }

    @Test func aFolderIsComplete() throws {
        let bench = try Workbench()
        let a = try model(bench, "a", seed: 1), b = try model(bench, "b", seed: 2)
        let text = """
            merge_method: slerp
            base_model: \(a)
            models: [{model: \(a)}, {model: \(b)}]
            parameters: {t: [0, 1]}
            out_dtype: bfloat16
            """
        let recipe = try write(bench, "r.yaml", text)
        let out = bench.file("out/merged")
        let run = try bench.zoo("merge", recipe, out, "--out-shard-size", "100")
        #expect(run.status == 0, "\(run.errors)")
        let names = Set(try FileManager.default.contentsOfDirectory(atPath: out))
        #expect(
            names.isSuperset(of: [
                "model.safetensors.index.json", "config.json", "tokenizer.json", "README.md", "mergekit_config.yml",
            ]))
        #expect(try String(contentsOfFile: out + "/mergekit_config.yml", encoding: .utf8) == text)
        let config = try JSONParser.parse(try String(contentsOfFile: out + "/config.json", encoding: .utf8))
        #expect(config["torch_dtype"] == "bfloat16" && config["strange"] == [1])
        #expect(try String(contentsOfFile: out + "/README.md", encoding: .utf8).contains("base_model:"))
        let merged = try CheckpointFile.open(out).source
        #expect(merged.tensorInfos.allSatisfy { $0.dtype == .bfloat16 })
        // The first layer has t = 0, the last t = 1.
        for (name, path) in [("model.layers.0", a), ("model.layers.1", b)] {
            let name = name + ".mlp.up_proj.weight"
            let expected = try CheckpointFile.open(path).source.tensor(named: name).converted(to: .bfloat16)
            #expect(try merged.tensor(named: name).isIdentical(to: expected))
        }
        #expect(try bench.zoo("merge", recipe, out).status == 64)
        #expect(try bench.zoo("merge", recipe, out, "--replace").status == 0)
        #expect(try FileManager.default.contentsOfDirectory(atPath: bench.file("out")) == ["merged"])
    }

    @Test func dryRunsWriteNothingAndNameEveryProblem() throws {
        let bench = try Workbench()
        let good = try write(bench, "good.yaml", ties())
        let report = try bench.json("merge", good, "--dry-run")
        #expect(report["problems"] == [] && report["output"] == .null && (report["peak_bytes"]?.int ?? 0) > 0)
        let text = ties().replacing("shift.safetensors", with: "none.safetensors")
            .replacing("dim.safetensors", with: "nobody.safetensors")
        let bad = try write(bench, "bad.yaml", text)
        let run = try bench.zoo("merge", bad, bench.file("out"))
        #expect(run.status == 1)
        #expect(run.errors.contains("none.safetensors") && run.errors.contains("nobody.safetensors"))
        let wrong = try bench.zoo("merge", try write(bench, "w.yaml", ties("tyes")), bench.file("out"))
        #expect(wrong.status == 64 && wrong.errors.contains("did you mean 'ties'?"))
        #expect(!FileManager.default.fileExists(atPath: bench.file("out")))
        #expect(try bench.zoo("merge", "--list-methods").output.contains("breadcrumbs_ties"))
        #expect(try bench.zoo("merge").status == 64)
    }

    @Test func queriesNameModels() throws {
        let bench = try SampleCatalog.shared.get()
        let own = try Workbench()
        let text = """
            merge_method: linear
            models:
            - model: "where:zoo = 'digits-cnn' and nlin = 'gelu' and lr = 0.001 and seed = 1 and epoch = last"
              parameters: {weight: 1}
            """
        let recipe = try write(own, "r.yaml", text)
        let out = own.file("m.safetensors"), mean = own.file("mean.safetensors")
        let run = try bench.zoo("merge", recipe, out)
        #expect(run.status == 0, "\(run.errors)")
        let condition = "where:zoo = 'digits-cnn' and nlin = 'gelu' and lr = 0.001 and seed = 1 and epoch = last"
        #expect(try bench.zoo("average", condition, "--to", mean).status == 0)
        let (found, expected) = (try SampleZoo.open(out), try SampleZoo.open(mean))
        for info in expected.tensorInfos {
            let pairs = zip(
                try found.tensor(named: info.name).doubles(), try expected.tensor(named: info.name).doubles())
            #expect(pairs.allSatisfy { abs($0 - $1) <= 1e-6 })
        }
    }

    /// Stopped at moments that the machine chooses, a merge leaves no folder or a whole one, and runs again.
    @Test(.timeLimit(.minutes(1))) func stoppedMergesLeaveNothingThatLooksFinished() throws {
        let bench = try Workbench()
        var paths: [String] = []
        for seed: UInt64 in [0, 1] {
            var state = StateDict()
            var generator = SeededGenerator(seed: seed)
            let block = (0..<1 << 16).map { _ in Float.random(in: -1...1, using: &generator) }
            for layer in 0..<4 {
                state["layers.\(layer).w"] = Tensor(
                    Array((0..<32).map { _ in block }.joined()), shape: [1 << 11, 1 << 10])
            }
            paths.append(bench.file("m\(seed).safetensors"))
            try SafetensorsWriter.write(state, to: paths[Int(seed)])
        }
        let text = """
            merge_method: ties
            base_model: \(paths[0])
            models: [{model: \(paths[1]), parameters: {weight: 1, density: 0.3}}]
            """
        let recipe = try write(bench, "r.yaml", text)
        let out = bench.file("out/merged")
        let delays: [UInt32] = [10_000, 25_000, 40_000, 60_000, 90_000]
        for (round, delay) in delays.enumerated() {
            let process = try ZooProgram.start(["merge", recipe, out, "--replace", "-q"])
            usleep(delay)
            if round % 2 == 0 { kill(process.processIdentifier, SIGKILL) } else { process.interrupt() }
            process.waitUntilExit()
            guard FileManager.default.fileExists(atPath: out) else { continue }
            #expect(try CheckpointFile.open(out).source.tensorInfos.count == 4)
        }
        let other = bench.file("other")
        #expect(try bench.zoo("merge", recipe, out, "--replace").status == 0)
        #expect(try bench.zoo("merge", recipe, other).status == 0)
        #expect(try FileManager.default.contentsOfDirectory(atPath: bench.file("out")) == ["merged"])
        let results = try [out, other].map { try Data(contentsOf: URL(fileURLWithPath: $0 + "/model.safetensors")) }
        #expect(results[0] == results[1])
    }
}
