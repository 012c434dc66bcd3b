import Testing
import ZooBase
import ZooFormats
import ZooTensor
import ZooTestSupport

/// `zoo align`, `zoo fuse`, and recomputed batch-norm statistics in `zoo average` and `zoo soup`.
@Suite struct AlignCommandTests {
    private let digits = Repository.path("zoos/data/digits.safetensors")
    private let tasks = SampleZoo.tasks + "/data/zoo_c_data.safetensors"
    private let phases = Repository.path("zoos/digits-phases.tar.gz")

    /// Two seeds of one cell of the zoo with batch norm.
    private func seeds() throws -> [String] {
        let archive = try Archives.open(path: phases)
        let members = archive.members.map(\.path).filter {
            $0.contains("width=8,") && $0.contains("batchsize=64_") && $0.hasSuffix("/checkpoints")
        }
        return members.sorted().prefix(2).map { phases + "!/" + $0 }
    }

    @Test func seedsMeetWhenTheyAreAligned() throws {
        let bench = try Workbench()
        let (aligned, mean) = (bench.file("b.safetensors"), bench.file("mean.safetensors"))
        let pair = try seeds()
        let arguments = [
            "align", pair[0], pair[1], "--data", digits + ":test", "--bn-data", digits + ":train", "--to", aligned,
            "--merge-to", mean, "--figure", bench.file("paths.svg"),
        ]
        let report = try bench.json(arguments)
        let cosines = (report["cosine_before"]?.double ?? 9, report["cosine_after"]?.double ?? -9)
        #expect(cosines.1 > cosines.0)
        let barriers = (report["barrier_before"]?.double ?? -9, report["barrier_after"]?.double ?? 9)
        #expect(barriers.1 < barriers.0)
        #expect((report["equality"]?["relative_difference"]?.double ?? 1) < 1e-10)
        #expect(report["batch_norm"]?.string == "recompute")
        #expect(report["path_after"]?["points"]?.array?.count == 11)
        for (_, order) in try #require(report["permutations"]?.object) {
            let units = order.array?.compactMap(\.int) ?? []
            #expect(units.sorted() == Array(units.indices))
        }
        // The permuted network is evaluated like the one it came from.
        let rows = try bench.rows("eval", pair[1], aligned, mean, "--data", digits + ":test")
        #expect(rows[0]["accuracy"]?.double == rows[1]["accuracy"]?.double)
        #expect(abs((rows[0]["loss"]?.double ?? 0) - (rows[1]["loss"]?.double ?? 1)) < 1e-5)
        #expect(abs((rows[2]["loss"]?.double ?? 0) - (report["merged"]?["loss"]?.double ?? 1)) < 1e-6)
        let again = try bench.json(["align", pair[0], pair[1], "--set", "input=[1,8,8]", "--jobs", "1"])
        #expect(again["permutations"] == report["permutations"])
        #expect(again["barrier_before"] == .null)
        let blind = try bench.zoo("align", pair[0], pair[1])
        #expect(blind.status == 1 && blind.errors.contains("--set 'input=[C,H,W]'"))
    }

    @Test func anAverageIsWrittenWithRecomputedStatistics() throws {
        let bench = try Workbench()
        let (plain, fresh) = (bench.file("plain.safetensors"), bench.file("fresh.safetensors"))
        let pair = try seeds()
        _ = try bench.json(["average"] + pair + ["--to", plain])
        _ = try bench.json(
            ["average"] + pair + ["--to", fresh, "--bn", "recompute", "--bn-data", digits + ":train"])
        let (a, b) = (try SampleZoo.open(plain), try SampleZoo.open(fresh))
        for info in a.tensorInfos where info.dtype.isFloatingPoint {
            let same = try a.tensor(named: info.name).isIdentical(to: b.tensor(named: info.name))
            #expect(same == !info.name.contains("running_"), "\(info.name)")
        }
        let soup = bench.file("soup.safetensors")
        let report = try bench.json(
            ["soup", "uniform"] + pair
                + ["--to", soup, "--data", digits + ":val", "--bn", "recompute", "--bn-data", digits + ":train"])
        let found = try SampleZoo.open(soup)
        for info in b.tensorInfos where info.name.contains("running_") {
            let x = try found.tensor(named: info.name).doubles(), y = try b.tensor(named: info.name).doubles()
            for (u, v) in zip(x, y) { #expect(abs(u - v) <= 1e-6 * max(1, abs(v))) }
        }
        #expect(report["held_out"]?["n"]?.int == 297)
        #expect(try bench.zoo(["average"] + pair + ["--to", plain, "--bn", "recompute"]).status == 64)
    }

    @Test(arguments: ["fisher", "regmean", "adamerging"])
    func fusedNetworksKnowBothTasks(_ method: String) throws {
        let bench = try Workbench()
        let output = bench.file("fused.safetensors")
        let base = SampleZoo.tasks + "/pretrained.safetensors"
        let models = ["shift", "dim"].map { SampleZoo.tasks + "/tasks/\($0).safetensors" }
        let inputs = method == "adamerging" ? [base] + models : models
        let report = try bench.json(
            ["fuse", method] + inputs
                + ["--data", tasks + ":shift.val", "--data", tasks + ":dim.val", "--samples", "64", "--to", output]
                + (method == "adamerging" ? ["--steps", "20"] : []))
        #expect(report["weights"]?.array?.count == inputs.count)
        for task in ["shift", "dim"] {
            let rows = try bench.rows("eval", base, output, "--data", tasks + ":\(task).test")
            #expect((rows[1]["accuracy"]?.double ?? 0) > (rows[0]["accuracy"]?.double ?? 1), "\(task)")
        }
        #expect(try bench.zoo(["fuse", method] + inputs + ["--data", tasks + ":nothing", "--to", output]).status == 1)
    }
}
