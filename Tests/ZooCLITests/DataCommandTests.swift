import Testing
import ZooBase
import ZooTestSupport

/// `zoo data` and the data options of `zoo eval`, run as a user runs them.
@Suite struct DataCommandTests {
    private let digits = "zoos/data/digits.safetensors"

    @Test func splitsAreDescribed() throws {
        let run = try ZooProgram.run(["data", "\(digits):test", "--json"])
        #expect(run.status == 0, "\(run.errors)")
        let split = try #require(try JSONParser.parse(run.output)["splits"]?.array?.first)
        #expect(split["samples"] == 500 && split["shape"] == [1, 8, 8] && split["classes"] == 10)
        #expect(split["class_counts"]?.array?.compactMap(\.int).reduce(0, +) == 500)
        #expect(split["sha256"]?.string?.utf8.count == 64)
        let byName = try ZooProgram.run(["data", "digits:test", "--json"])
        let named = try JSONParser.parse(byName.output)["splits"]?.array?.first
        #expect(named?["sha256"] == split["sha256"])
    }

    @Test func aSheetOfPicturesIsDrawn() throws {
        let folder = try TemporaryFolder()
        for ending in ["png", "svg"] {
            let path = folder.file("sheet.\(ending)")
            let run = try ZooProgram.run(["data", "digits:val", "--output", path, "--columns", "3"])
            #expect(run.status == 0, "\(run.errors)")
            #expect(try Bytes(mapping: path).count > 500)
        }
        #expect(try ZooProgram.run(["data", "digits", "--output", "a.gif"]).status == 64)
    }

    @Test func subsetsAreTheSameForTheSameSeed() throws {
        func rows(_ seed: String) throws -> String {
            let run = try ZooProgram.run([
                "eval", "zoos/digits-tasks/pretrained.safetensors", "--data", digits, "--subset", "100", "--seed", seed,
                "--csv",
            ])
            #expect(run.status == 0, "\(run.errors)")
            return run.output
        }
        #expect(try rows("7") == rows("7"))
        #expect(try rows("7").contains(",100"))
    }

    @Test func verboseSaysWhatIsDoneToTheNumbers() throws {
        let folder = try TemporaryFolder()
        let manifest = folder.file("d.yaml")
        let text = """
            id: d
            title: t
            task: classification
            licence: not stated
            files: \(Repository.path(digits))
            normalise: {mean: [0.5], std: [0.25]}

            """
        try AtomicFile.write(manifest, Array(text.utf8))
        let model = "zoos/digits-tasks/pretrained.safetensors"
        let plain = try ZooProgram.run(["eval", model, "--data", digits, "--verbose"])
        #expect(
            plain.errors.contains("digits.safetensors:test: 500 samples of 1×8×8; tensors, taken as they are stored"))
        let prepared = try ZooProgram.run(["eval", model, "--data", "\(manifest):test", "--verbose"])
        #expect(prepared.errors.contains("mean [0.5] taken off, divided by [0.25]"), "\(prepared.errors)")
        let bad = try ZooProgram.run(["eval", model, "--data", digits, "--preparation", "default"])
        #expect(bad.status != 0 && bad.errors.contains("--preparation goes with a data set manifest"))
    }
}
