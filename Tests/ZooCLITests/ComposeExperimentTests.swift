import Foundation
import Testing
import ZooBase
import ZooFormats
import ZooTensor
import ZooTestSupport

/// The experiment of `Benchmarks/experiments/atlas_digits.py` with one seed and half the width: four rotations of the
/// digits, a base on thirty images of each, fine-tuned encoders under one frozen head.
@Suite struct ComposeExperimentTests {
    private static let turns = ["r0", "r90", "r180", "r270"]

    /// Turns 8×8 images by quarters.
    private func turned(_ values: [Float], _ quarters: Int) -> [Float] {
        var result = values
        for start in stride(from: 0, to: values.count, by: 64) {
            for y in 0..<8 {
                for x in 0..<8 {
                    var (a, b) = (y, x)
                    for _ in 0..<quarters { (a, b) = (b, 7 - a) }
                    result[start + y * 8 + x] = values[start + a * 8 + b]
                }
            }
        }
        return result
    }

    private func writeData(_ path: String) throws {
        let digits = try SampleZoo.open(Repository.path("zoos/data/digits.safetensors"))
        var state = StateDict()
        var mixture: [Float] = [], labels: [Int64] = []
        for (quarters, name) in Self.turns.enumerated() {
            for split in ["train", "val", "test"] {
                let x = turned(try digits.tensor(named: "x_\(split)").floats(), quarters)
                let y = try digits.tensor(named: "y_\(split)")
                state["\(name).x_\(split)"] = Tensor(x, shape: [x.count / 64, 64])
                state["\(name).y_\(split)"] = y
                if split == "train" {
                    mixture += x[(quarters * 30 * 64)..<((quarters + 1) * 30 * 64)]
                    labels += y.doubles()[(quarters * 30)..<((quarters + 1) * 30)].map { Int64($0) }
                }
            }
        }
        state["mix.x_train"] = Tensor(mixture, shape: [120, 64])
        state["mix.y_train"] = Tensor(labels, shape: [120])
        try SafetensorsWriter.write(state, to: path)
    }

    private func train(_ bench: Workbench, _ name: String, _ split: String, _ body: String) throws -> String {
        let manifest = bench.file("\(name).yaml")
        let text = """
            id: \(name)
            data: {path: \(bench.file("data.safetensors")), train: \(split)}
            architecture: {family: mlp, hidden: [128, 128, 128], activation: relu}
            batch_size: 32
            seeds: [0]
            checkpoints: {format: safetensors}
            \(body)
            """
        try Data(text.utf8).write(to: URL(fileURLWithPath: manifest))
        let run = try bench.zoo("train", manifest, "--to", bench.folder.path)
        #expect(run.status == 0, "\(run.errors)")
        let trial = try #require(
            try FileManager.default.contentsOfDirectory(atPath: bench.file(name)).first { !$0.hasSuffix(".json") })
        let folder = bench.file("\(name)/\(trial)")
        let last = try #require(
            try FileManager.default.contentsOfDirectory(atPath: folder).filter { $0.hasPrefix("checkpoint_") }.max())
        return "\(folder)/\(last)/model.safetensors"
    }

    private func mean(_ report: JSONValue, _ method: String) throws -> Double {
        let row = report["methods"]?.array?.first { ($0["method"]?.string ?? "").hasPrefix(method) }
        return 100 * (try #require(row?["mean_test"]?.double))
    }

    @Test func blockWiseCoefficientsBeatOneScale() throws {
        let bench = try Workbench()
        let data = bench.file("data.safetensors")
        try writeData(data)
        let base = try train(
            bench, "base", "mix.train",
            "init: kaiming_normal\noptimizer: {name: adam, lr: 1.0e-3}\nepochs: 20")
        let head = try #require(
            try SampleZoo.open(base).tensorInfos.first { $0.shape.rank == 2 && $0.shape[0] == 10 }?.name.dropLast(7))
        let tasks = try Self.turns.map { name in
            let path = try train(
                bench, name, "\(name).train",
                "base: \(base)\nfreeze: [\"\(head).*\"]\noptimizer: {name: adam, lr: 2.0e-4}\nepochs: 6")
            return "\(name)=\(path)"
        }
        let report = try bench.json(
            ["compose", base] + tasks + [
                "--data", data + ":{task}.val", "--set", "activation=relu", "--steps", "300", "--rate", "1e-2",
                "--batch",
                "64", "--baselines",
            ])
        let pre = try mean(report, "pre-trained"), search = try mean(report, "task arithmetic")
        let atlas = try mean(report, "aTLAS"), tuned = try mean(report, "fine-tuned")
        #expect(search >= pre + 1, "search \(search), base \(pre)")
        #expect(atlas >= search, "aTLAS \(atlas), search \(search)")
        #expect(tuned >= atlas + 5, "fine-tuned \(tuned), aTLAS \(atlas)")
        #expect(report["methods"]?.array?.count == 10)
    }
}
