import Testing
import ZooBase
import ZooFormats
import ZooTensor
import ZooTestSupport

/// `zoo eval`, run as a user runs it.
@Suite struct EvalTests {
    private let tasks = "zoos/digits-tasks"

    @Test func filesAreEvaluatedByTheNetworkOfAFile() throws {
        let run = try ZooProgram.run([
            "eval", "\(tasks)/pretrained.safetensors", "--data", "\(tasks)/data/zoo_c_data.safetensors:rot90.test",
            "--json",
        ])
        #expect(run.status == 0, "\(run.errors)")
        let row = try #require(try JSONParser.parse(run.output).array?.first)
        #expect(row["accuracy"] == 0.108)
        #expect(row["n"] == 500)
        #expect(abs((row["loss"]?.double ?? 0) - 6.95213224959) < 1e-4)
        #expect(row["split"] == "rot90.test")
    }

    @Test func aCataloguedZooIsEvaluatedByTheConfigurationsOfItsTrials() throws {
        let folder = try TemporaryFolder()
        let catalog = folder.file("c.sqlite")
        #expect(try ZooProgram.run(["index", "zoos/digits-cnn.zip", "--catalog", catalog]).status == 0)
        let run = try ZooProgram.run([
            "eval", "where:epoch >= 0", "--data", "zoos/data/digits.safetensors:test", "--json", "--catalog", catalog,
        ])
        #expect(run.status == 0, "\(run.errors)")
        let rows = try JSONParser.parse(run.output).array ?? []
        #expect(rows.count == 452)
        let diverged = rows.filter { $0["loss"] == .null }
        #expect(!diverged.isEmpty)
        #expect(diverged.allSatisfy { $0["accuracy"] == 0.092 })
    }

    @Test func recordedResultsCanBeQueried() throws {
        let folder = try TemporaryFolder()
        let catalog = folder.file("c.sqlite")
        #expect(try ZooProgram.run(["index", "zoos/digits-cnn.zip", "--catalog", catalog]).status == 0)
        let run = try ZooProgram.run([
            "eval", "where:epoch = last", "--data", "zoos/data/digits.safetensors:val,test", "--json", "--catalog",
            catalog, "--record",
        ])
        #expect(run.status == 0, "\(run.errors)")
        #expect(run.errors.contains("metrics as run 1"))
        let rows = try JSONParser.parse(run.output).array ?? []
        let best = rows.filter { $0["split"] == "test" }.compactMap { $0["accuracy"]?.double }.max()
        let query = try ZooProgram.run([
            "query", "epoch = last", "--columns", "id,eval_test_accuracy,eval_val_loss", "--sort",
            "-eval_test_accuracy", "--limit", "1", "--json", "--catalog", catalog,
        ])
        #expect(query.status == 0, "\(query.errors)")
        let row = try #require(try JSONParser.parse(query.output).array?.first)
        #expect(row["eval_test_accuracy"]?.double == best)
        #expect(row["eval_val_loss"]?.double != nil)
        let file = try ZooProgram.run([
            "eval", "\(tasks)/pretrained.safetensors", "--data", "\(tasks)/data/zoo_c_data.safetensors:rot90.test",
            "--catalog", catalog, "--record",
        ])
        #expect(file.status == 0)
        #expect(file.errors.contains("none of the checkpoints is in the catalog"))
    }

    /// A split that is named twice is evaluated once.
    @Test func splitsAreEvaluatedOnce() throws {
        let run = try ZooProgram.run([
            "eval", "\(tasks)/pretrained.safetensors", "--data", "zoos/data/digits.safetensors:test,val,test", "--json",
        ])
        let rows = try JSONParser.parse(run.output).array ?? []
        #expect(rows.map { $0["split"] } == ["test", "val"])
    }

    /// Labels that the network has no output for are told with file, split and sample.
    @Test func aLabelWithoutAnOutputIsNamed() throws {
        let folder = try TemporaryFolder()
        let digits = try CheckpointFile.open(Repository.path("zoos/data/digits.safetensors")).source
        var labels = try digits.tensor(named: "y_test").doubles().map { Int64($0) }
        labels[5] = 12
        var state = StateDict()
        state["x_test"] = try digits.tensor(named: "x_test")
        state["y_test"] = Tensor(labels, shape: [labels.count])
        let path = folder.file("odd.safetensors")
        try SafetensorsWriter.write(state, to: path)
        let run = try ZooProgram.run(["eval", "\(tasks)/pretrained.safetensors", "--data", path])
        #expect(run.status == 3)
        #expect(run.errors.contains("\(path):test: the label of sample 5"), "\(run.errors)")
        #expect(run.errors.contains("found 12"))
    }

    @Test func modelsThatFailAreListedAndTheOthersEvaluated() throws {
        let run = try ZooProgram.run([
            "eval", "\(tasks)/pretrained.safetensors", "zoos/data/digits.safetensors", "--data",
            "zoos/data/digits.safetensors", "--csv", "--verbose",
        ])
        #expect(run.status == 3)
        #expect(run.output.split(whereSeparator: \.isNewline).count == 2)
        #expect(run.errors.contains("zoo: failed: zoos/data/digits.safetensors on test: no family"))
        #expect(run.errors.contains("samples in batches of 128"))
    }

    @Test(arguments: [
        (["--data", "zoos/data/digits.safetensors:tset"], "did you mean 'test'?"),
        (["--data", "zoos/data/none.npz:test"], "no such file"),
        (
            ["--data", "zoos/data/digits.safetensors", "--architecture", "TaskCNN-16-65"],
            "did you mean 'TaskCNN-16-64'?"
        ),
        (["--data", "zoos/data/digits.safetensors", "--set", "activation"], "expected KEY=VALUE"),
        (["--data", "zoos/data/digits.safetensors", "--set", "activaton=tanh"], "did you mean 'activation'?"),
    ])
    func mistakesGetOneClearLine(_ options: [String], _ words: String) throws {
        let run = try ZooProgram.run(["eval", "\(tasks)/pretrained.safetensors"] + options)
        #expect(run.status != 0)
        #expect(run.errors.contains(words), "\(run.errors)")
        #expect(run.output == "")
    }
}
