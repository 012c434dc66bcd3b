import Testing
import ZooBase
import ZooTestSupport

/// `zoo landscape` and `zoo spectra`: values, recording, recall, and requests that make no sense.
@Suite struct LandscapeCommandTests {
    private let data = SampleZoo.tasks + "/data/zoo_c_data.safetensors:clean.train"
    private let model = SampleZoo.tasks + "/pretrained.safetensors"

    @Test func eigenvaluesAndTraceOfAFile() throws {
        let bench = try Workbench()
        let rows = try #require(
            try bench.json(
                "landscape", model, "--data", data, "--subset", "64", "--metrics", "hessian_top,hessian_trace,loss",
                "--top",
                "2"
            ).array)
        #expect(
            rows.map { $0["metric"]?.string } == [
                "hessian_top", "hessian_top_2", "hessian_min", "hessian_trace", "landscape_loss",
            ])
        let values = rows.compactMap { $0["value"]?.double }
        #expect(values.count == 5)
        #expect(values[0] > values[1] && values[1] > values[2] && values[3] > values[0])
        #expect(rows[0]["converged"]?.bool == true)
        #expect(rows[3]["error"]?.double ?? 0 > 0)
    }

    @Test func whatIsKnownIsNotComputedAgain() throws {
        let bench = try Workbench()
        #expect(try bench.zoo("index", SampleZoo.tasks + "/soup", "--zoo", "variants").status == 0)
        func run(_ metrics: String, _ more: [String] = []) throws -> (rows: String, note: String) {
            let run = try bench.zoo(
                [
                    "landscape", "where:zoo = 'variants'", "--data", data, "--subset", "48", "--metrics", metrics,
                    "--csv",
                ]
                    + more)
            #expect(run.status == 0, "\(run.errors)")
            return (run.output, run.errors)
        }
        let first = try run("hessian_top,sam_sharpness")
        #expect(first.note.contains("recorded 36 values; 0 were known"))
        let second = try run("hessian_top,sam_sharpness")
        #expect(second.note.contains("recorded 0 values; 36 were known"))
        #expect(second.rows == first.rows)
        // Other settings are other values.
        #expect(try run("hessian_top", ["--seed", "1"]).note.contains("0 were known"))
        // Threads change nothing.
        let one = try run("hessian_top,sam_sharpness", ["--no-record", "--jobs", "1"])
        let three = try run("hessian_top,sam_sharpness", ["--no-record", "--jobs", "3"])
        #expect(one.rows == three.rows)
        #expect(try bench.number("SELECT count(*) FROM metric") == 36)
        let best = try bench.rows("query", "sam_sharpness > 0", "--columns", "sam_sharpness", "--sort", "sam_sharpness")
        #expect(!best.isEmpty)
    }

    @Test func pairsAreComparedOnce() throws {
        let bench = try Workbench()
        let soup = (0..<3).map { SampleZoo.tasks + "/soup/variant_0\($0).safetensors" }
        let rows = try #require(
            try bench.json(["landscape"] + soup + ["--data", data, "--subset", "100", "--metrics", "cka,distance"])
                .array)
        #expect(rows.count == 6)
        #expect(rows.allSatisfy { $0["other"]?.string != $0["checkpoint"]?.string })
        for row in rows where row["metric"]?.string == "cka" { #expect(row["value"]?.double ?? 2 <= 1.000001) }
    }

    @Test func divergedNetworksHaveAReason() throws {
        let bench = try SampleCatalog.shared.get()
        let rows = try bench.rows(
            "landscape", "where:zoo = 'digits-cnn' and diverged = 1 and epoch = last", "--data",
            "zoos/data/digits.safetensors:train", "--subset", "32", "--metrics", "hessian_top", "--no-record")
        #expect(!rows.isEmpty)
        for row in rows {
            #expect(row["value"] == .null)
            #expect(row["value_reason"]?.string?.contains("diverged") == true)
        }
    }

    @Test func wrongRequestsSayWhatToDo() throws {
        let bench = try Workbench()
        let wrong = try bench.zoo("landscape", model, "--data", data, "--metrics", "hesian_top")
        #expect(wrong.status == 64 && wrong.errors.contains("hessian_top"), "\(wrong.errors)")
        let lonely = try bench.zoo("landscape", model, "--data", data, "--metrics", "cka", "--pairs", "seeds")
        #expect(lonely.status == 1 && lonely.errors.contains("no pairs"), "\(lonely.errors)")
        let other = try bench.zoo("landscape", model, "--data", "zoos/data/digits.safetensors:nosuch")
        #expect(other.status == 1 && other.errors.contains("nosuch"), "\(other.errors)")
    }

    @Test func spectraPerLayerAndPerModel() throws {
        let bench = try Workbench()
        let rows = try bench.rows("spectra", model)
        let layers = rows.map { $0["layer"]?.string ?? "" }
        #expect(
            layers
                == ["classifier", "encoder.conv1", "encoder.conv2", "encoder.conv3", "encoder.fc"].map {
                    $0 + ".weight"
                })
        // WeightWatcher 0.7.7's exponents (Tests/ZooLandscapeTests/Fixtures/weightwatcher.json).
        let expected = [2.212626802, 5.78948226, 1.661226216, 1.716724698, 2.15461376]
        for (row, alpha) in zip(rows, expected) { #expect(abs((row["alpha"]?.double ?? 0) - alpha) < 1e-3) }
        let summary = try bench.rows("spectra", model, "--summary")
        #expect(summary.count == 1 && summary[0]["layers"]?.int == 5)
        let mean = expected.reduce(0, +) / 5
        #expect(abs((summary[0]["alpha"]?.double ?? 0) - mean) < 1e-3)
    }
}
