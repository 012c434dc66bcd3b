import Foundation
import Testing
import ZooBase
import ZooFormats
import ZooTensor
import ZooTestSupport

/// `zoo task-vector` and `zoo compose` on `zoos/digits-tasks`.
@Suite struct ComposeCommandTests {
    private let base = SampleZoo.tasks + "/pretrained.safetensors"
    private let data = SampleZoo.tasks + "/data/zoo_c_data.safetensors"
    private func task(_ name: String) -> String { SampleZoo.tasks + "/tasks/\(name).safetensors" }
    private func bytes(_ path: String) throws -> Data { try Data(contentsOf: URL(fileURLWithPath: path)) }

    /// Options of a quick run over two tasks.
    private var quick: [String] {
        [
            "compose", base, task("dim"), task("noise"), "--data", data + ":{task}.val", "--steps", "30", "--rate",
            "1e-2", "--batch", "32", "--evaluate-every", "10",
        ]
    }

    // MARK: Task vectors

    @Test func divergedTasksAreRefused() throws {
        let bench = try Workbench()
        var broken = try SampleZoo.open(task("dim")).stateDict()
        let bias = try #require(broken["classifier.bias"])
        broken["classifier.bias"] = Tensor(
            [Double](repeating: .nan, count: bias.elementCount), shape: bias.shape
        ).converted(to: .float32)
        let path = bench.file("broken.safetensors")
        try SafetensorsWriter.write(broken, to: path)
        let run = try bench.zoo("task-vector", "create", base, path, "--to", bench.file("tau.safetensors"))
        #expect(run.status == 1, "\(run.errors)")
        #expect(run.errors.contains("broken.safetensors: tensor 'classifier.bias' has"), "\(run.errors)")
    }

    @Test func storedVectorsThatAreNotFiniteAreRefused() throws {
        let bench = try Workbench()
        let tau = bench.file("dim.tau.safetensors"), broken = bench.file("broken.tau.safetensors")
        _ = try bench.json("task-vector", "create", base, task("dim"), "--to", tau)
        var state = try SampleZoo.open(tau).stateDict()
        let bias = try #require(state["classifier.bias"])
        state["classifier.bias"] = Tensor(
            [Double](repeating: .infinity, count: bias.elementCount), shape: bias.shape
        ).converted(to: .float32)
        try SafetensorsWriter.write(state, to: broken, metadata: ["kind": "task-vector", "format": "pt"])
        let out = bench.file("out.tau.safetensors")
        for arguments in [["add", tau, broken], ["negate", broken], ["analogy", tau, broken, tau]] {
            let run = try bench.zoo(["task-vector"] + arguments + ["--to", out])
            #expect(run.status == 1 && run.errors.contains("'classifier.bias' has 10 elements"), "\(run.errors)")
            #expect(!FileManager.default.fileExists(atPath: out))
        }
    }

    @Test func adaptersCombineWithFewShots() throws {
        let bench = try Workbench()
        let found = try bench.json(
            "compose", base, task("dim"), task("noise"), "--data", data + ":mirror.train", "--validation",
            data + ":mirror.val", "--shots", "2,8", "--rate", "1e-2", "--baselines", "--adapter", "tip",
            "--adapter", "lp++", "--steps", "20", "--evaluate-every", "10")
        let methods = found["methods"]?.array ?? []
        func score(_ name: String, _ shots: Int64) -> Double? {
            methods.first { $0["method"]?.string == name && $0["shots"]?.int == Int(shots) }?["mean_validation"]?.double
        }
        for shots in [2, 8] as [Int64] {
            let plain = try #require(score("aTLAS", shots))
            for name in ["aTLAS + Tip-Adapter", "aTLAS + LP++"] {
                // The network alone is what an adapter has to beat.
                #expect(try #require(score(name, shots)) >= plain, "\(name)")
            }
            #expect(score("Tip-Adapter", shots) != nil && score("LP++", shots) != nil)
        }
        #expect(found["score"]?.double == score("aTLAS", 8))
        #expect(
            try bench.zoo("compose", base, task("dim"), "--data", data + ":dim.val", "--adapter", "tip").status == 64)
    }

    @Test func batchNormIsRecomputed() throws {
        let bench = try Workbench()
        let archive = Repository.path("zoos/digits-phases.tar.gz")
        let digits = Repository.path("zoos/data/digits.safetensors")
        let members = try Archives.open(path: archive).members.map(\.path).filter {
            $0.contains("width=4,") && $0.contains("batchsize=64_") && $0.hasSuffix("/checkpoints")
        }.sorted()
        let pair = ["start=" + archive + "!/" + members[0], "end=" + archive + "!/" + members[1]]
        let start = String(pair[0].dropFirst("start=".count))
        let coefficients = bench.file("c.json")
        let made = bench.file("made.safetensors"), again = bench.file("again.safetensors")
        let common = ["--data", digits + ":val", "--rate", "0.01", "--steps", "10", "--evaluate-every", "1"]
        let run = try bench.zoo(
            ["compose", start, pair[1]] + common
                + ["--statistics", "recompute", "--to", made, "--coefficients", coefficients])
        // Where all coefficients are zero there is nothing to recompute.
        #expect(run.status == 0 && !run.errors.contains("zero"), "\(run.errors)")
        try chosenWithItsStatistics(bench, start, pair[1], digits)
        let refused = try bench.zoo(["compose", "apply", coefficients, start, pair[1], "--to", again])
        #expect(refused.status == 64 && refused.errors.contains("--bn-data"), "\(refused.errors)")
        let applied = try bench.zoo([
            "compose", "apply", coefficients, start, pair[1], "--to", again, "--bn-data", digits + ":val",
        ])
        #expect(applied.status == 0, "\(applied.errors)")
        let a = try SampleZoo.open(made), b = try SampleZoo.open(again)
        for info in a.tensorInfos {
            #expect(try a.tensor(named: info.name).isIdentical(to: b.tensor(named: info.name)), "\(info.name)")
        }
        let plain = try bench.zoo(quick + ["--statistics", "recompute"])
        #expect(plain.status == 64 && plain.errors.contains("no batch norm"), "\(plain.errors)")
    }

    /// Task vectors that take more than all of a variance away: AdaMerging, whose coefficients start at 0.3 each, keeps
    /// variances at zero or above, and leaves them alone where aTLAS does.
    @Test func adaMergingKeepsVariances() throws {
        let bench = try Workbench()
        let archive = Repository.path("zoos/digits-phases.tar.gz")
        let members = try Archives.open(path: archive).members.map(\.path).filter {
            $0.contains("width=4,") && $0.contains("batchsize=64_") && $0.hasSuffix("/checkpoints")
        }.sorted()
        let base = bench.file("base.safetensors"), task = bench.file("task.safetensors")
        let network = archive + "!/" + members[0]
        #expect(try bench.zoo("average", network, network, "--to", base).status == 0)
        var state = try SampleZoo.open(base).stateDict()
        for info in state.tensorInfos where info.name.hasSuffix("running_var") {
            let small = try state.tensor(named: info.name).doubles().map { 0.05 * $0 }
            state[info.name] = Tensor(small, shape: info.shape).converted(to: info.dtype)
        }
        // A vector must have something that is learned.
        let bias = try #require(state.tensorInfos.first { $0.name.hasSuffix("bias") })
        let moved = try state.tensor(named: bias.name).doubles().map { $0 + 1e-6 }
        state[bias.name] = Tensor(moved, shape: bias.shape).converted(to: bias.dtype)
        try SafetensorsWriter.write(state, to: task)
        let names = ["a", "b", "c", "d", "e"].map { "\($0)=\(task)" }
        let data = names.flatMap { _ in ["--data", Repository.path("zoos/data/digits.safetensors") + ":val"] }
        for statistics in ["follow", "base", "recompute"] {
            let run = try bench.zoo(
                ["compose", base] + names + data + ["--steps", "1", "--evaluate-every", "1", "--baselines", "--json"]
                    + ["--statistics", statistics])
            #expect(run.status == 0 && !run.errors.contains("left out"), "\(statistics): \(run.errors)")
            let report = try JSONParser.parse(Bytes(Array(run.output.utf8)))
            let rows = report["methods"]?.array?.filter { $0["method"]?.string?.hasPrefix("AdaMerging") == true }
            #expect(rows?.count == 2)
            guard statistics == "base" else { continue }
            // Hardly anything but variances differs, so the network predicts what it did.
            let before = report["methods"]?.array?.first { $0["method"]?.string == "pre-trained" }
            #expect(rows?.allSatisfy { $0["mean_validation"] == before?["mean_validation"] } == true)
        }
    }

    /// Coefficients are chosen by the network that is written: its score in the log is the one that is reported, and the
    /// base stays where nothing beats it.
    private func chosenWithItsStatistics(
        _ bench: Workbench, _ start: String, _ end: String, _ digits: String
    ) throws {
        let recompute = ["--statistics", "recompute", "--rate", "0.01"]
        func method(_ report: JSONValue, _ name: String) -> JSONValue? {
            report["methods"]?.array?.first { $0["method"]?.string == name }
        }
        func chosen(_ report: JSONValue, _ run: String) -> Double? {
            report["history"]?.array?.last { $0["run"]?.string == run && $0["kept"]?.bool == true }?["score"]?.double
        }
        let added = try bench.json(
            ["compose", start, end, "--data", digits + ":val", "--steps", "30", "--evaluate-every", "1", "--baselines"]
                + recompute)
        let base = try #require(method(added, "pre-trained")?["relative_validation"]?.double)
        for (run, name) in [("learn", "aTLAS"), ("isotropic", "isotropic")] {
            let found = try #require(method(added, name)?["relative_validation"]?.double)
            let score = try #require(chosen(added, run))
            #expect(abs(found - score) < 1e-12 && found >= base, "\(name): \(found), chosen by \(score)")
        }
        // The grid holds zero, the base.
        #expect(try #require(method(added, "task arithmetic")?["relative_validation"]?.double) >= base)
        let few = try bench.json(
            ["compose", start, end, "--data", digits + ":train", "--validation", digits + ":val", "--shots", "4"]
                + ["--epochs", "3"] + recompute)
        let found = try #require(method(few, "aTLAS")?["mean_validation"]?.double)
        let first = try #require(method(few, "zero-shot")?["mean_validation"]?.double)
        let score = try #require(chosen(few, "4 shots, draw 1"))
        #expect(abs(found - score) < 1e-12 && found >= first, "few shots: \(found), chosen by \(score)")
    }

    @Test func vectorsAreStoredAppliedAndCombined() throws {
        let bench = try Workbench()
        let tau = bench.file("rot90.tau.safetensors"), other = bench.file("dim.tau.safetensors")
        let made = try bench.json("task-vector", "create", base, task("rot90"), "--to", tau)
        #expect(made["tensors"]?.int == 10 && made["base"]?.string?.count == 32)
        _ = try bench.json("task-vector", "create", base, task("dim"), "--to", other)
        let metadata = try CheckpointFile.open(tau).metadata
        #expect(metadata["kind"]?.string == "task-vector" && metadata["base"]?.string == made["base"]?.string)
        // Applied at one it is the fine-tuned network up to a rounding; at zero the base to the bit.
        let applied = bench.file("applied.safetensors")
        _ = try bench.json("task-vector", "apply", base, tau, "--to", applied)
        let zero = bench.file("zero.safetensors")
        _ = try bench.json("task-vector", "apply", base, tau, "--scale", "0", "--to", zero)
        let start = try SampleZoo.open(base), tuned = try SampleZoo.open(task("rot90"))
        for info in start.tensorInfos {
            let wanted = try tuned.tensor(named: info.name).floats(),
                origin = try start.tensor(named: info.name).floats()
            let found = try SampleZoo.open(applied).tensor(named: info.name).floats()
            let isNear = wanted.indices.allSatisfy {
                abs(wanted[$0] - found[$0]) <= 0x1.001p-24 * (abs(wanted[$0] - origin[$0]) + abs(found[$0]))
            }
            #expect(isNear, "\(info.name)")
            #expect(try SampleZoo.open(zero).tensor(named: info.name).isIdentical(to: start.tensor(named: info.name)))
        }
        let negated = bench.file("neg.tau.safetensors"), twice = bench.file("twice.tau.safetensors")
        _ = try bench.json("task-vector", "negate", tau, "--to", negated)
        _ = try bench.json("task-vector", "negate", negated, "--to", twice)
        let analogy = bench.file("analogy.tau.safetensors"), sum = bench.file("sum.tau.safetensors")
        _ = try bench.json("task-vector", "analogy", tau, tau, other, "--to", analogy)
        _ = try bench.json("task-vector", "add", tau, other, "--weights", "1,-0.5", "--to", sum)
        for info in start.tensorInfos {
            func values(_ path: String) throws -> [Float] { try SampleZoo.open(path).tensor(named: info.name).floats() }
            #expect(try values(twice) == values(tau))
            let (a, b, c, d) = (try values(tau), try values(other), try values(analogy), try values(sum))
            #expect(zip(b, c).allSatisfy { abs($0 - $1) < 3e-8 })
            #expect(a.indices.allSatisfy { abs(a[$0] - 0.5 * b[$0] - d[$0]) < 3e-8 })
        }
    }

    @Test func vectorsOfOtherBasesAreRefused() throws {
        let bench = try Workbench()
        let tau = bench.file("tau.safetensors"), moved = bench.file("moved.safetensors")
        _ = try bench.json("task-vector", "create", base, task("rot90"), "--to", tau)
        _ = try bench.json("task-vector", "apply", base, tau, "--scale", "0.5", "--to", moved)
        let wrong = try bench.zoo("task-vector", "apply", moved, tau, "--to", bench.file("x.safetensors"))
        #expect(wrong.status == 1 && wrong.errors.contains("digest") && wrong.errors.contains("--force"))
        #expect(!FileManager.default.fileExists(atPath: bench.file("x.safetensors")))
        let forced = try bench.zoo("task-vector", "apply", moved, tau, "--force", "--to", bench.file("x.safetensors"))
        #expect(forced.status == 0, "\(forced.errors)")
        let second = bench.file("second.safetensors")
        _ = try bench.json("task-vector", "create", moved, task("dim"), "--to", second)
        let mixed = try bench.zoo("task-vector", "add", tau, second, "--to", bench.file("y.safetensors"))
        #expect(mixed.status == 1 && mixed.errors.contains("base"))
        let plain = try bench.zoo("task-vector", "negate", base, "--to", bench.file("y.safetensors"))
        #expect(plain.status == 1 && plain.errors.contains("no stored task vector"))
    }

    @Test func derivedVectorsHaveLineage() throws {
        let bench = try Workbench()
        #expect(try bench.zoo("index", SampleZoo.tasks).status == 0)
        let id = try #require(try bench.number("SELECT id FROM checkpoint WHERE path LIKE '%rot90.safetensors'"))
        let start = try #require(
            try bench.number("SELECT id FROM checkpoint WHERE path LIKE '%pretrained.safetensors'"))
        let tau = bench.file("tau.safetensors")
        _ = try bench.json("task-vector", "create", "\(start)", "\(id)", "--to", tau)
        #expect(try bench.number("SELECT count(*) FROM lineage WHERE role = 'task-vector'") == 2)
        #expect(
            try bench.number("SELECT parent_id FROM lineage WHERE role = 'task-vector' AND coefficient = 1") == id)
        let composed = bench.file("composed.safetensors")
        _ = try bench.json(
            "compose", "\(start)", "\(id)", "--data", data + ":rot90.val", "--steps", "20", "--to", composed)
        #expect(try bench.number("SELECT count(*) FROM lineage WHERE role = 'atlas'") == 2)
    }

    @Test func searchFindsTheReferenceScale() throws {
        let bench = try Workbench()
        let reference = try JSONParser.parse(
            Bytes(mapping: Repository.path("Tests/ZooMergeTests/Fixtures/zoo_c_task_arithmetic.json")))
        let expected = try #require(reference["four"])
        let names = (expected["tasks"]?.array ?? []).compactMap(\.string)
        let picture = bench.file("scales.svg")
        let found = try bench.json(
            ["task-vector", "search", base] + names.map(task) + [
                "--data", data + ":{task}.val", "--metric", "accuracy", "--figure", picture,
            ])
        #expect(found["scale"]?.double == expected["best_scale"]?.double)
        #expect(abs((found["score"]?.double ?? 0) - (expected["best_val_mean"]?.double ?? 1)) < 1e-9)
        let test = names.compactMap { found["test"]?[$0]?.double }
        #expect(abs(test.reduce(0, +) / 4 - (expected["best_test_mean"]?.double ?? 1)) < 1e-9)
        #expect(try bytes(picture).count > 1000)
        let own = try bench.json(
            ["task-vector", "search", base] + names.map(task) + [
                "--data", data + ":{task}.val", "--per-task", "--grid", "0,0.2,0.4,0.6",
            ])
        #expect(own["score"]?.double ?? 0 >= 0)
        let negated = try bench.json(
            "task-vector", "search", base, task("subset"), "--data", data + ":subset.val", "--control",
            data + ":clean.val")
        #expect(negated["scale"]?.double ?? 1 < 0)
    }

    @Test func forgettingKeepsTheControl() throws {
        let bench = try Workbench()
        let negate = [
            "compose", base, task("dim"), "--data", data + ":dim.val", "--control", data + ":clean.val", "--steps",
            "60",
            "--rate", "2e-2", "--batch", "32", "--evaluate-every", "5", "--seed", "3",
        ]
        func row(_ report: JSONValue, _ name: String) throws -> (target: Double, control: Double) {
            let found = report["methods"]?.array?.first { $0["method"]?.string == name }
            let scores = try #require(found?["validation"])
            return (try #require(scores["dim"]?.double), try #require(scores["control"]?.double))
        }
        var coefficients: [JSONValue?] = []
        for weight in ["1", "3"] {
            let report = try bench.json(negate + ["--control-weight", weight])
            let before = try row(report, "pre-trained"), after = try row(report, "aTLAS")
            #expect(after.target < before.target && after.control >= 0.95 * before.control, "weight \(weight)")
            coefficients.append(report["coefficients"])
        }
        #expect(coefficients[0] != nil && coefficients[0] != coefficients[1])
        // The weight that the paper has is the default.
        #expect(try bench.json(negate)["coefficients"] == coefficients[0])
        for wrong in [quick + ["--control-weight", "2"], negate + ["--control-weight", "0"]] {
            let run = try bench.zoo(wrong)
            #expect(run.status == 64 && run.errors.contains("--control-weight"), "\(run.errors)")
        }
    }

    @Test func cosinesAndDisentanglement() throws {
        let bench = try Workbench()
        let picture = bench.file("cosines.png")
        let stats = try bench.json(
            "task-vector", "stats", base, task("dim"), "again=" + task("dim"), task("invert"), "--figure", picture)
        let told = try bench.zoo("task-vector", "stats", base, task("dim"), "a=" + task("dim"), "b=" + task("dim"))
        #expect(told.errors.contains("large cosines: dim and a 1, dim and b 1, a and b 1;"), "\(told.errors)")
        let cosines = try #require(stats["cosines"]?.array)
        #expect(abs((cosines[0].array?[1].double ?? 0) - 1) < 1e-12)
        #expect(abs(cosines[0].array?[2].double ?? 1) < 0.1)
        #expect(stats["tasks"]?.array?.compactMap { $0["name"]?.string } == ["dim", "again", "invert"])
        let grid = try bench.json(
            "task-vector", "disentangle", base, task("dim"), task("noise"), "--data", data + ":{task}.val", "--grid",
            "0,1")
        // Without the other's vector nothing changes.
        #expect(grid["errors"]?.array?[0].array?[0].double == 0)
        #expect(grid["errors"]?.array?[1].array?[1].double ?? 0 > 0)
        let matrix = try bench.json(
            "task-vector", "disentangle", base, task("dim"), task("noise"), "--data", data + ":{task}.val", "--scale",
            "1")
        let errors = matrix["errors"]?.array?.map { $0.array?.compactMap(\.double) ?? [] } ?? []
        #expect(errors[0][0] == 0 && errors[1][1] == 0)
        let both = (grid["errors"]?.array?[1].array?[1].double ?? 0)
        #expect(abs(both - errors[0][1] - errors[1][0]) < 1e-12)
    }

    // MARK: Composition

    @Test func bytesDoNotDependOnThreadsOrMemory() throws {
        let bench = try Workbench()
        var files: [Data] = [], models: [Data] = []
        for (place, more) in [["--jobs", "1"], ["--jobs", "4"], ["--low-memory"], ["--low-memory", "--jobs", "3"]]
            .enumerated()
        {
            let path = bench.file("\(place).json"), model = bench.file("\(place).safetensors")
            let run = try bench.zoo(quick + ["--coefficients", path, "--to", model] + more)
            #expect(run.status == 0, "\(run.errors)")
            files.append(try bytes(path))
            models.append(try bytes(model))
            #expect(!FileManager.default.fileExists(atPath: path + ".state"))
        }
        #expect(Set(files).count == 1 && Set(models).count == 1)
        // Applying the file makes the same network, whatever the order of the tasks.
        let again = bench.file("again.safetensors")
        _ = try bench.json("compose", "apply", bench.file("0.json"), base, task("noise"), task("dim"), "--to", again)
        for info in try SampleZoo.open(base).tensorInfos {
            let a = try SampleZoo.open(bench.file("0.safetensors")).tensor(named: info.name)
            #expect(try SampleZoo.open(again).tensor(named: info.name).isIdentical(to: a))
        }
        let short = try bench.zoo("compose", "apply", bench.file("0.json"), base, task("dim"), "--to", again)
        #expect(short.status == 1 && short.errors.contains("noise"))
        let other = try bench.zoo(
            "compose", "apply", bench.file("0.json"), base, task("dim"), task("shift"), "--to", again)
        #expect(other.status == 1 && other.errors.contains("--force"))
        let wrong = try bench.zoo(
            "compose", "apply", bench.file("0.json"), task("dim"), task("dim"), task("noise"), "--to", again)
        #expect(wrong.status == 1 && wrong.errors.contains("digest"))
    }

    @Test(.timeLimit(.minutes(3))) func interruptedRunsGoOn() throws {
        let bench = try Workbench()
        let whole = bench.file("whole.json"), broken = bench.file("broken.json")
        let arguments = [
            "compose", base, task("dim"), task("noise"), "--data", data + ":{task}.val", "--steps", "600", "--rate",
            "1e-2", "--batch", "32", "--evaluate-every", "10", "--partitions", "2", "--coefficients",
        ]
        let started = Date()
        #expect(try bench.zoo(arguments + [whole]).status == 0)
        let duration = Date().timeIntervalSince(started)
        var interruptions = 0
        for share in [0.4, 0.5, 0.6] {
            let process = try ZooProgram.start(arguments + [broken], environment: bench.environment)
            usleep(UInt32(duration * share * 1e6))
            kill(process.processIdentifier, SIGINT)
            process.waitUntilExit()
            if FileManager.default.fileExists(atPath: broken + ".state") { interruptions += 1 }
        }
        #expect(interruptions > 0, "no run was interrupted")
        let last = try bench.zoo(arguments + [broken])
        #expect(last.status == 0, "\(last.errors)")
        #expect(try bytes(whole) == bytes(broken))
        #expect(!FileManager.default.fileExists(atPath: broken + ".state"))
        // A state of other settings is not used.
        try Data(#"{"settings": "x", "runs": {}}"#.utf8).write(to: URL(fileURLWithPath: broken + ".state"))
        let anew = try bench.zoo(quick + ["--coefficients", broken])
        #expect(anew.status == 0 && anew.errors.contains("other settings"))
    }

    @Test func budgetsHoldFewerVectors() throws {
        let bench = try Workbench()
        for select in ["random", "gradient-whole", "gradient-blockwise"] {
            let report = try bench.json(quick + ["--budget", "1", "--select", select])
            let all = report["memory"]?["vectors_all"]?.int ?? 0, held = report["memory"]?["vectors_held"]?.int ?? .max
            #expect(held * 2 <= all + 16, "\(select): \(held) of \(all)")
        }
        let features = try bench.json(
            quick + ["--budget", "1", "--select", "features", "--task-data", data + ":{task}.val"])
        #expect(features["selection"]?.object?.count == 2)
        let full = try bench.json(quick), whole = try bench.json(quick + ["--budget", "2"])
        #expect(full["coefficients"] == whole["coefficients"])
    }

    @Test func ownHeadsAndOtherGroups() throws {
        let bench = try Workbench()
        let shared = try bench.json(quick + ["--keep", "classifier*"])
        let own = try bench.json(quick + ["--own-heads", "classifier*"])
        // The heads of this zoo are all the base's.
        for (task, row) in try #require(shared["coefficients"]?.object) {
            for (name, value) in try #require(row.object) {
                let other = own["coefficients"]?[task]?[name]?.double ?? .nan
                #expect(abs((value.double ?? 0) - other) < 1e-4, "\(task) \(name)")
            }
        }
        for (groups, count) in [("model", 2), ("layer", 10), ("matrices", 10), ("module", 4)] {
            let report = try bench.json(quick + ["--groups", groups])
            let rows = try #require(report["coefficients"]?.object)
            #expect(rows.reduce(0) { $0 + ($1.value.object?.count ?? 0) } == count, "\(groups)")
        }
        let parts = try bench.json(quick + ["--partitions", "5"])
        #expect(parts["coefficients"]?["dim"]?["encoder.fc.weight"]?.array?.count == 5)
        #expect(Set(parts["coefficients"]?["dim"]?["encoder.fc.weight"]?.array?.compactMap(\.double) ?? []).count == 5)
    }

    @Test func adaptersArePEFTFolders() throws {
        let bench = try Workbench()
        let folder = bench.file("adapter")
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        var state = StateDict()
        var random = SeededGenerator(seed: 3)
        func noise(_ count: Int) -> [Double] { (0..<count).map { _ in Double.random(in: -0.2...0.2, using: &random) } }
        state["base_model.model.encoder.fc.lora_A.weight"] = Tensor(noise(256), shape: [2, 128]).converted(to: .float32)
        state["base_model.model.encoder.fc.lora_B.weight"] = Tensor(noise(128), shape: [64, 2]).converted(to: .float32)
        try SafetensorsWriter.write(state, to: folder + "/adapter_model.safetensors")
        let bare = try bench.zoo(
            "task-vector", "apply", base, folder, "--to", bench.file("x.safetensors"))
        #expect(bare.status == 1 && bare.errors.contains("adapter_config.json"))
        try Data(#"{"peft_type": "LORA", "r": 2, "lora_alpha": 6}"#.utf8).write(
            to: URL(fileURLWithPath: folder + "/adapter_config.json"))
        _ = try bench.json("task-vector", "apply", base, folder, "--to", bench.file("x.safetensors"))
        let name = "encoder.fc.weight"
        let moved = try SampleZoo.open(bench.file("x.safetensors")).tensor(named: name).floats()
        let start = try SampleZoo.open(base).tensor(named: name).floats()
        let a = try state.tensor(named: state.names[0]).floats(), b = try state.tensor(named: state.names[1]).floats()
        for place in [0, 77, 8191] {
            let (row, column) = (place / 128, place % 128)
            let delta = 3 * (b[row * 2] * a[column] + b[row * 2 + 1] * a[128 + column])
            #expect(abs(moved[place] - start[place] - delta) < 1e-6)
        }
        let report = try bench.json(
            "compose", base, folder, task("dim"), "--recipe", "fewshot", "--shots", "2", "--data",
            data + ":shift.train",
            "--validation", data + ":shift.val", "--epochs", "2")
        #expect(report["coefficients"]?["adapter"]?["encoder.conv1.weight"]?.double == 0)
    }

    // MARK: Bad input

    @Test func badInputHasOneClearLine() throws {
        let bench = try Workbench()
        func refused(_ arguments: [String], status: Int32 = 1, _ words: String...) throws {
            let run = try bench.zoo(arguments)
            #expect(run.status == status, "\(arguments): \(run.errors)")
            let lines = run.errors.split(separator: "\n").filter { $0.hasPrefix("zoo: error:") }
            #expect(lines.count == 1, "\(run.errors)")
            for word in words { #expect(run.errors.contains(word), "\(run.errors) lacks \(word)") }
        }
        let val = data + ":dim.val"
        // Another architecture.
        var other = StateDict()
        other["encoder.conv1.weight"] = Tensor([Double](repeating: 1, count: 9), shape: [1, 1, 3, 3])
        try SafetensorsWriter.write(other, to: bench.file("other.safetensors"))
        try refused(["compose", base, bench.file("other.safetensors"), "--data", val], "does not fit the base: ")
        // A missing block.
        var missing = try SampleZoo.open(task("dim")).stateDict()
        missing["encoder.fc.bias"] = nil
        try SafetensorsWriter.write(missing, to: bench.file("missing.safetensors"))
        try refused(
            ["compose", base, bench.file("missing.safetensors"), "--data", val], "'encoder.fc.bias'", "--ignore-missing"
        )
        // Without it the base's is taken, in the task's own network too.
        let completed = try bench.zoo(
            "compose", base, bench.file("missing.safetensors"), "--data", val, "--ignore-missing", "--steps", "4")
        #expect(completed.status == 0 && completed.errors.contains("lacks 1 tensor: "), "\(completed.errors)")
        // A task vector of zeros: the only one, or one of two.
        try refused(["compose", base, "zeros=" + base, "--data", val], "every task vector is zero")
        try refused(["task-vector", "search", base, "zeros=" + base, "--data", val], "every task vector is zero")
        let zero = bench.file("zero.tau.safetensors")
        let made = try bench.zoo("task-vector", "create", base, base, "--to", zero)
        #expect(made.status == 0 && made.errors.contains("warning: the task vector is zero"), "\(made.errors)")
        try refused(
            ["task-vector", "disentangle", base, zero, "again=" + zero, "--data", val, "--data", val],
            "every task vector is zero")
        let one = try bench.zoo(
            "task-vector", "search", base, zero, task("dim"), "--data", val, "--data", val, "--grid", "0,1")
        #expect(one.status == 0 && one.errors.contains("warning: the task vector of zero is zero"), "\(one.errors)")
        // Tied weights.
        var tied = try SampleZoo.open(base).stateDict(), tuned = try SampleZoo.open(task("dim")).stateDict()
        tied["copy.weight"] = tied["encoder.fc.weight"]
        tuned["copy.weight"] = tuned["encoder.fc.weight"]
        try SafetensorsWriter.write(tied, to: bench.file("tied.safetensors"))
        try SafetensorsWriter.write(tuned, to: bench.file("tuned.safetensors"))
        try refused(
            [
                "compose", bench.file("tied.safetensors"), bench.file("tuned.safetensors"), "--data", val,
                "--architecture", "TaskCNN-16-64",
            ],
            "tied", "--tied shared")
        // Integer buffers: kept from the base, and said.
        var counted = try SampleZoo.open(base).stateDict(), later = try SampleZoo.open(task("dim")).stateDict()
        counted["steps"] = Tensor([Int64(1)], shape: [1])
        later["steps"] = Tensor([Int64(9)], shape: [1])
        try SafetensorsWriter.write(counted, to: bench.file("counted.safetensors"))
        try SafetensorsWriter.write(later, to: bench.file("later.safetensors"))
        let kept = try bench.zoo(
            "task-vector", "apply", bench.file("counted.safetensors"), bench.file("later.safetensors"), "--to",
            bench.file("kept.safetensors"))
        #expect(kept.status == 0 && kept.errors.contains("integer tensor 'steps'"))
        #expect(try SampleZoo.open(bench.file("kept.safetensors")).tensor(named: "steps").doubles() == [1])
        // Data that is not there, or does not fit.
        var empty = StateDict()
        empty["x_val"] = Tensor([Double](), shape: [0, 1, 8, 8]).converted(to: .float32)
        empty["y_val"] = Tensor([Int64](), shape: [0])
        try SafetensorsWriter.write(empty, to: bench.file("empty.safetensors"))
        try refused(["compose", base, task("dim"), "--data", bench.file("empty.safetensors")], "no samples")
        try refused(["compose", base, task("dim"), "--data", data + ":nothing"], "nothing")
        try refused(["compose", base, task("dim"), task("noise"), "--data", val], status: 64, "{task}")
        try refused(
            ["compose", base, task("dim"), "--data", data + ":dim.train", "--validation", val, "--shots", "900"],
            status: 64, "class 0")
        try refused(["compose", base, task("dim"), "--exclude", "dmi", "--data", val], "dmi")
        try refused(["compose", base, task("dim"), "--budget", "3", "--data", val], status: 64, "--budget 3")
        try refused(
            ["compose", base, task("dim"), "--objective", "entropy", "--recipe", "addition", "--data", val], status: 64)
        try Data("{".utf8).write(to: URL(fileURLWithPath: bench.file("broken.json")))
        try refused(
            ["compose", "apply", bench.file("broken.json"), base, task("dim"), "--to", bench.file("z.safetensors")],
            "broken.json", "--coefficients")
        let absent = try bench.zoo(
            ["compose", "apply", "absent.json", base, task("dim"), "--to", bench.file("z.safetensors")])
        #expect(absent.status == 1 && absent.errors.components(separatedBy: "absent").count == 2, "\(absent.errors)")
    }
}
