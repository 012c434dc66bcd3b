import Foundation
import Testing
import ZooBase
import ZooFormats
import ZooTensor
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
                "hessian_top", "hessian_top_2", "hessian_trace", "landscape_loss",
            ])
        let values = rows.compactMap { $0["value"]?.double }
        #expect(values.count == 4)
        #expect(values[0] > values[1] && values[2] > values[0])
        #expect(rows[0]["converged"]?.bool == true)
        #expect(rows[2]["error"]?.double ?? 0 > 0)
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
        #expect(first.note.contains("recorded 24 values; 0 were known"))
        let second = try run("hessian_top,sam_sharpness")
        #expect(second.note.contains("recorded 0 values; 24 were known"))
        #expect(second.rows == first.rows)
        // Other settings are other values.
        #expect(try run("hessian_top", ["--seed", "1"]).note.contains("0 were known"))
        // Threads change nothing.
        let one = try run("hessian_top,sam_sharpness", ["--no-record", "--jobs", "1"])
        let three = try run("hessian_top,sam_sharpness", ["--no-record", "--jobs", "3"])
        #expect(one.rows == three.rows)
        #expect(try bench.number("SELECT count(*) FROM metric") == 24)
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

    /// Curves and lines between pairs are recorded, recalled, and do not depend on threads.
    @Test func connectionsAreRecorded() throws {
        let bench = try Workbench()
        #expect(try bench.zoo("index", SampleZoo.tasks + "/soup", "--zoo", "variants").status == 0)
        func run(_ more: [String]) throws -> (rows: String, note: String) {
            let run = try bench.zoo(
                [
                    "landscape", "where:zoo = 'variants' and model LIKE '%variant_0%' and id <= 3", "--data", data,
                    "--subset",
                    "64", "--metrics", "curve,lmc,lmc_aligned,layer_distance", "--curve-epochs", "4", "--curve-batch",
                    "32",
                    "--points", "5", "--csv",
                ] + more)
            #expect(run.status == 0, "\(run.errors)")
            return (run.output, run.errors)
        }
        let first = try run(["--jobs", "1"])
        #expect(first.note.contains("; 0 were known"), "\(first.note)")
        let second = try run(["--jobs", "2"])
        #expect(second.note.contains("recorded 0 values"), "\(second.note)")
        #expect(second.rows == first.rows)
        #expect(try run(["--jobs", "3", "--no-record"]).rows == first.rows)
        let names = Set(
            try bench.rows("sql", "SELECT DISTINCT n.name name FROM metric m JOIN metric_name n ON n.id = m.name_id")
                .compactMap { $0["name"]?.string })
        for name in [
            "curve_mc", "curve_mc_loss", "curve_max_error", "curve_t", "lmc_loss_barrier", "lmc_error_barrier",
        ] {
            #expect(names.contains(name))
        }
        #expect(names.contains("lmc_aligned_error_barrier") && names.contains("layer_distance/classifier.weight"))
    }

    /// Language models on token ids, physics-informed networks on points; what they have not got has a reason.
    @Test func tokensAndPoints() throws {
        let bench = try Workbench()
        let folder = Repository.path("Tests/ZooNNTests/Fixtures/architectures")
        var ids = StateDict()
        ids["x_train"] = Tensor((0..<24).map { Int64($0 % 13) }, shape: [4, 6])
        let file = bench.file("ids.safetensors")
        try CheckpointWriters.write(ids, to: file)
        let rows = try #require(
            try bench.json(
                "landscape", folder + "/gpt2", "--data", file + ":train", "--metrics",
                "loss,accuracy,hessian_top,fisher_trace"
            ).array)
        #expect(
            rows.map { $0["metric"]?.string } == [
                "landscape_loss", "landscape_accuracy", "hessian_top", "fisher_trace",
            ])
        #expect(rows[0]["value"]?.double ?? 0 > 0 && rows[2]["value"]?.double ?? 0 > 0)
        #expect(rows[3]["value"] == .null && rows[3]["value_reason"]?.string?.contains("single samples") == true)
        let points = try #require(
            try bench.json(
                "landscape", folder + "/pinn", "--data", "convection:beta=3,inner=32,initial=8,boundary=8", "--set",
                "activation=tanh", "--metrics", "loss,accuracy,hessian_trace,layer_curvature,full_spectrum"
            ).array)
        func value(_ name: String) -> Double { points.first { $0["metric"]?.string == name }?["value"]?.double ?? .nan }
        #expect(points.first { $0["metric"]?.string == "landscape_accuracy" }?["value"] == .null)
        let error = points.first { $0["metric"]?.string == "hessian_trace" }?["error"]?.double ?? 0
        #expect(abs(value("hessian_trace") - value("full_trace")) <= 4 * error + 1e-3 * abs(value("full_trace")))
        let bad = try bench.zoo("landscape", folder + "/pinn", "--data", "convection:gamma=3")
        #expect(bad.status == 64 && bad.errors.contains("gamma"), "\(bad.errors)")
        let subset = try bench.zoo("landscape", folder + "/pinn", "--data", "convection", "--subset", "5")
        #expect(subset.status == 64 && subset.errors.contains("--subset"), "\(subset.errors)")
        let mixed = try bench.zoo(
            "landscape", folder + "/pinn", folder + "/pinn", "--data", "convection", "--set", "activation=tanh",
            "--metrics", "cka_mixup")
        #expect(mixed.status == 1 && mixed.errors.contains("images and vectors"), "\(mixed.errors)")
    }

    /// Values of other data are not replaced without a word; in tables for people names lose what they share.
    @Test func replacedValuesAndShortNames() throws {
        let bench = try Workbench()
        // A copy without the metrics that lie beside the zoo.
        let archive = bench.file("digits-phases.tar.gz")
        try FileManager.default.copyItem(atPath: Repository.path("zoos/digits-phases.tar.gz"), toPath: archive)
        #expect(try bench.zoo("index", archive).status == 0)
        func run(_ data: String, _ more: String...) throws -> (output: String, errors: String) {
            let run = try bench.zoo(
                [
                    "landscape", "where:model LIKE '%width=2,%batchsize=512%'", "--data",
                    "zoos/data/digits.safetensors:" + data, "--subset", "32", "--metrics", "loss,gradient_norm",
                ] + more)
            #expect(run.status == 0, "\(run.errors)")
            return (run.output, run.errors)
        }
        let first = try run("train")
        #expect(!first.errors.contains("replaced"), "\(first.errors)")
        let names = first.output.split(separator: "\n").dropFirst().map { $0.prefix { $0 != " " } }
        #expect(Set(names) == ["seed=0", "seed=1", "seed=2"], "\(first.output)")
        #expect(first.errors.contains("seed=0 is digits-phases/"), "\(first.errors)")
        let again = try run("train")
        #expect(!again.errors.contains("replaced"), "\(again.errors)")
        let other = try run("test", "--csv")
        #expect(other.errors.contains("6 values of gradient_norm, landscape_loss, measured on zoos/data/"))
        #expect(other.errors.contains("digits.safetensors:train, will be replaced"), "\(other.errors)")
        #expect(other.output.contains("digits-phases/NN_tune_trainable"))
        let unrecorded = try run("train", "--no-record")
        #expect(!unrecorded.errors.contains("replaced"), "\(unrecorded.errors)")
    }

    /// Lines, curves and surfaces of networks on texts and points.
    @Test func pathsAndSurfacesOfTokensAndPoints() throws {
        let bench = try Workbench()
        let folder = Repository.path("Tests/ZooNNTests/Fixtures/architectures")
        var ids = StateDict()
        ids["x_train"] = Tensor((0..<60).map { Int64($0 * 5 % 13) }, shape: [10, 6])
        let file = bench.file("ids.safetensors")
        try CheckpointWriters.write(ids, to: file)
        // Another network of the same kind: all weights a little smaller.
        func shrunk(_ name: String) throws -> String {
            let target = bench.file(name)
            try FileManager.default.createDirectory(atPath: target, withIntermediateDirectories: true)
            for item in try FileManager.default.contentsOfDirectory(atPath: folder + "/" + name) {
                let from = folder + "/" + name + "/" + item, to = target + "/" + item
                guard item.hasSuffix(".safetensors"), item.hasPrefix("model") else {
                    try FileManager.default.copyItem(atPath: from, toPath: to)
                    continue
                }
                var state = try CheckpointFile.open(from).source.stateDict()
                for key in state.names where state[key]?.dtype == .float32 {
                    guard let tensor = state[key] else { continue }
                    state[key] = Tensor(tensor.floats().map { $0 * 0.9 }, shape: tensor.shape)
                }
                try CheckpointWriters.write(state, to: to)
            }
            return target
        }
        let tokens = ["--data", file + ":train"]
        let points = ["--data", "convection:beta=3,inner=32,initial=8,boundary=8", "--set", "activation=tanh"]
        for (name, data, hasError) in [("gpt2", tokens, true), ("pinn", points, false)] {
            let a = folder + "/" + name, b = try shrunk(name)
            let line = try bench.json(["path", a, b, "--points", "3"] + data)
            let measured = try [a, b].map { model in
                try #require(
                    try bench.json(["landscape", model, "--metrics", "loss"] + data).array?[0]["value"]?.double)
            }
            let losses = line["points"]?.array?.compactMap { $0["loss"]?.double } ?? []
            #expect(losses.count == 3)
            #expect(abs(losses[0] - measured[0]) < 1e-5 && abs((losses.last ?? 0) - measured[1]) < 1e-5)
            #expect((line["points"]?.array?[1]["accuracy"]?.double != nil) == hasError)
            let curve = try bench.json(
                ["path", a, b, "--points", "5", "--curve", "bezier", "--curve-epochs", "20", "--curve-lr", "0.001"]
                    + data)
            let along = curve["points"]?.array?.compactMap { $0["loss"]?.double } ?? []
            #expect(along.count == 5 && abs(along[0] - losses[0]) < 1e-6 && abs(along[4] - losses[2]) < 1e-6)
            #expect(curve["steps"]?.int ?? 0 >= 20 && curve["training_loss"]?.double != nil)
            // Training moves the middle of the curve down.
            #expect(along[2] <= losses[1] + 1e-6, "\(along) \(losses)")
            let surface = try bench.json(
                ["surface", a, "--dimensions", "1", "--towards", b, "--range=0,1", "--points", "3"] + data)
            let heights = surface["points"]?.array?.compactMap { $0["loss"]?.double } ?? []
            #expect(heights.count == 3 && zip(heights, losses).allSatisfy { abs($0 - $1) < 1e-5 })
            let plane = try bench.json(["surface", a, "--points", "3"] + data)
            #expect(plane["points"]?.array?.count == 9)
            let pairs = try #require(
                try bench.json(
                    ["landscape", a, b, "--metrics", "lmc,curve", "--points", "3", "--curve-epochs", "2"] + data
                ).array)
            func value(_ name: String) -> JSONValue? { pairs.first { $0["metric"]?.string == name }?["value"] }
            #expect(value("lmc_loss_barrier")?.double ?? -1 >= 0)
            #expect((value("lmc_error_barrier") == .null) == !hasError)
            #expect(value("curve_mc_loss")?.double != nil)
        }
    }

    @Test func surfacesResumeAndDraw() throws {
        let bench = try Workbench()
        let tiles = bench.file("tiles.json"), picture = bench.file("surface.svg")
        let arguments = [
            "surface", model, "--data", data, "--subset", "32", "--points", "7", "--tiles", tiles, "--figure", picture,
        ]
        let first = try bench.json(arguments)
        #expect(first["points"]?.array?.count == 49 && first["missing"]?.int == 0)
        #expect(try bench.json(arguments) == first)
        let center = first["points"]?.array?[24]
        #expect(center?["x"]?.double == 0 && center?["y"]?.double == 0)
        #expect(try String(contentsOfFile: picture, encoding: .utf8).contains("<svg"))
        let other = try bench.zoo(arguments + ["--seed", "2"])
        #expect(other.status == 1 && other.errors.contains("another surface"), "\(other.errors)")
        let line = try bench.json([
            "surface", model, "--data", data, "--subset", "32", "--dimensions", "1", "--points", "5", "--towards",
            SampleZoo.tasks + "/soup/variant_03.safetensors", "--range", "0,1",
        ])
        let path = try bench.json([
            "path", model, SampleZoo.tasks + "/soup/variant_03.safetensors", "--data", data, "--subset", "32",
            "--points", "5",
        ])
        for (a, b) in zip(line["points"]?.array ?? [], path["points"]?.array ?? []) {
            #expect(abs((a["loss"]?.double ?? 0) - (b["loss"]?.double ?? 1)) < 1e-5)
        }
        #expect(try bench.zoo("surface", model, "--data", data, "--pca").status == 64)
        #expect(try bench.zoo("surface", model, "--data", data, "--range", "1,0").status == 64)
    }

    @Test func divergedNetworksHaveAReason() throws {
        let bench = try SampleCatalog.shared.get()
        let rows = try bench.rows(
            "landscape", "where:zoo = 'digits-cnn' and diverged = 1 and epoch = last", "--data",
            "zoos/data/digits.safetensors:train", "--subset", "32", "--metrics",
            "loss,accuracy,hessian_top,full_spectrum", "--no-record")
        #expect(!rows.isEmpty)
        // The names are those of values that are there.
        let names = Set(rows.compactMap { $0["metric"]?.string })
        #expect(
            names.isSuperset(of: [
                "landscape_loss", "landscape_accuracy", "hessian_top", "full_top", "full_participation",
            ])
                && !names.contains("loss") && !names.contains("full_spectrum"), "\(names)")
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
