import Foundation
import Testing
import ZooBase
import ZooFormats
import ZooTensor
import ZooTestSupport

/// `zoo prune retrain`: interrupts, threads, teachers, controls and wrong requests.
@Suite struct PruneRetrainTests {
    private let desk: PruneCommandTests.Desk
    private var bench: Workbench { desk.bench }
    private let pruned: String

    init() throws {
        desk = try PruneCommandTests.Desk()
        pruned = desk.bench.file("pruned")
        let scored = try desk.score(), to = pruned
        try #require(scored.status == 0, "\(scored.errors)")
        let masked = try desk.bench.zoo(
            "prune", "mask", desk.bench.file("scores"), "--sparsity", "0.6", "--to", to)
        try #require(masked.status == 0, "\(masked.errors)")
    }

    private func arguments(_ more: [String]) -> [String] {
        [
            "prune", "retrain", pruned, "--domain", desk.domain, "--general", desk.general, "--batch", "8", "--rate",
            "0.001",
        ] + more
    }

    private func weights(_ folder: String) throws -> Data {
        try Data(contentsOf: URL(fileURLWithPath: folder + "/model.safetensors"))
    }

    @Test(.timeLimit(.minutes(3))) func interruptedRunsGoOnToTheSameBytes() throws {
        let whole = bench.file("whole"), broken = bench.file("broken"), state = broken + ".state.safetensors"
        let settings = arguments(["--steps", "200", "--control", desk.model, "--distill", "0.5"])
        let started = Date()
        let run = try bench.zoo(settings + ["--to", whole, "--jobs", "2"])
        #expect(run.status == 0, "\(run.errors)")
        let duration = Date().timeIntervalSince(started)
        var interruptions = 0
        for share in [0.3, 0.2, 0.2] where !FileManager.default.fileExists(atPath: broken) {
            let process = try ZooProgram.start(settings + ["--to", broken], environment: bench.environment)
            usleep(UInt32(duration * share * 1e6))
            kill(process.processIdentifier, SIGINT)
            process.waitUntilExit()
            if FileManager.default.fileExists(atPath: state) { interruptions += 1 }
        }
        #expect(interruptions > 0, "no run was interrupted")
        // On a busy machine the last of them may have come to its end.
        if !FileManager.default.fileExists(atPath: broken) {
            let last = try bench.zoo(settings + ["--to", broken, "--jobs", "1"])
            #expect(last.status == 0 && last.errors.contains("going on from"), "\(last.errors)")
        }
        #expect(try weights(whole) == weights(broken))
        #expect(try weights(whole + "-control") == weights(broken + "-control"))
        #expect(!FileManager.default.fileExists(atPath: state))
        // A state of something else is not used.
        try FileManager.default.copyItem(
            atPath: desk.model + "/model.safetensors", toPath: bench.file("other") + ".state.safetensors")
        let anew = try bench.zoo(arguments(["--steps", "2", "--to", bench.file("other")]))
        #expect(anew.status == 0 && anew.errors.contains("other settings"), "\(anew.errors)")
    }

    @Test func threadsChangeNoBit() throws {
        for jobs in ["1", "2", "5"] {
            let run = try bench.zoo(arguments(["--steps", "4", "--to", bench.file("t" + jobs), "--jobs", jobs]))
            #expect(run.status == 0, "\(run.errors)")
        }
        #expect(try weights(bench.file("t1")) == weights(bench.file("t2")))
        #expect(try weights(bench.file("t1")) == weights(bench.file("t5")))
    }

    /// With a heavy teacher the trained network stays nearer to the one before pruning than without.
    @Test func teachersKeepNetworksNear() throws {
        func distance(_ weight: String, _ to: String) throws -> Double {
            let report = try bench.json(
                arguments([
                    "--steps", "40", "--distill", weight, "--teacher", desk.model, "--to", bench.file(to),
                ]))
            #expect(report["teacher"]?.string == desk.model)
            return try #require(report["runs"]?.array?.first?["last_distance"]?.double)
        }
        let light = try distance("0.0001", "light"), heavy = try distance("50", "heavy")
        #expect(heavy < light, "\(heavy) and \(light)")
    }

    /// The control gets the very batches of the pruned network: of two equal networks both become the same.
    @Test func controlsSeeTheSameBatches() throws {
        let to = bench.file("twin")
        let report = try bench.json(
            "prune", "retrain", desk.model, "--control", desk.model, "--domain", desk.domain, "--general", desk.general,
            "--steps", "6", "--batch", "8", "--to", to)
        let runs = try #require(report["runs"]?.array)
        #expect(runs.count == 2 && runs[0]["last_loss"] == runs[1]["last_loss"])
        #expect(try weights(to) == weights(to + "-control"))
        #expect(try weights(to) != weights(desk.model))
    }

    /// What was trained scores the same after it was stored compactly, expanded and read again.
    @Test func storedNetworksScoreTheSame() throws {
        let to = bench.file("trained"), compact = bench.file("compact"), dense = bench.file("dense")
        for arguments in [
            arguments(["--steps", "5", "--to", to]), ["prune", "export", to, "--compact", "--to", compact],
            ["prune", "export", compact, "--dense", "--to", dense],
        ] {
            let run = try bench.zoo(arguments)
            #expect(run.status == 0, "\(run.errors)")
        }
        let old = try CheckpointFile.open(to).source, new = try CheckpointFile.open(dense).source
        for info in old.tensorInfos {
            #expect(try new.tensor(named: info.name).isIdentical(to: old.tensor(named: info.name)), "\(info.name)")
        }
        let rows = try bench.zoo("prune", "evaluate", to, compact, dense, "--retrieval", desk.domain, "--json")
        #expect(rows.status == 0, "\(rows.errors)")
        let report = try JSONParser.parse(rows.output)
        let scores = (report["retrieval"]?.array?.first?["scores"]?.array ?? []).compactMap { $0["ndcg10"]?.double }
        #expect(scores.count == 3 && Set(scores).count == 1, "\(rows.output)")
    }

    @Test func wrongRequestsAreOneLine() throws {
        func fails(_ more: [String], _ wanted: String, status: Int32 = 1) throws {
            let run = try bench.zoo(arguments(more + ["--steps", "2", "--to", bench.file("x")]))
            let lines = run.errors.split(separator: "\n").filter { $0.hasPrefix("zoo: error:") }
            #expect(run.status == status && lines.count == 1 && run.errors.contains(wanted), "\(more): \(run.errors)")
        }
        try fails(["--distill", "1"], "--teacher", status: 64)
        try fails(["--distill=-1"], "from 0 on", status: 64)
        try fails(["--teacher", desk.model], "--distill", status: 64)
        try fails(["--mix", "1"], "--mix", status: 64)
        try fails(["--test", desk.domain], "overlap")
        try fails(["--control", bench.file("nowhere")], "nowhere")
        // A rate that no network survives ends with a line, not with numbers that are none.
        try fails(["--rate", "1e30"], "not finite")
        #expect(!FileManager.default.fileExists(atPath: bench.file("x")))
    }
}
