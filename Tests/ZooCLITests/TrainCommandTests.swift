import Foundation
import Testing
import ZooBase
import ZooFormats
import ZooTestSupport

/// `zoo train` as a user runs it: a zoo in the catalog, interruption and resumption, archives, bad manifests.
@Suite(.serialized) struct TrainCommandTests {
    private static let networks = [
        "resnet": "{family: resnet, width: $width, blocks: [1, 1]}",
        "vit": "{family: vit, patch: 4, dim: $width, depth: 1, heads: 2}",
    ]

    private func manifest(_ bench: Workbench, epochs: Int, _ network: String = "resnet") throws -> String {
        let path = bench.file("tiny.yaml")
        let text = """
            id: tiny
            data: {path: \(Repository.path("zoos/data/digits.safetensors")), test: test}
            architecture: \(try #require(Self.networks[network]))
            optimizer: {name: sgd, lr: 0.05, momentum: 0.9, weight_decay: 5.0e-4}
            schedule: one-cycle
            label_noise: 0.1
            augment: {shift: 1, noise: 0.05}
            epochs: \(epochs)
            batch_size: 50
            grid: {width: [2, 4]}
            seeds: 2
            checkpoints: {every: 3, optimizer: last}
            """
        try Data(text.utf8).write(to: URL(fileURLWithPath: path))
        return path
    }

    private func files(_ folder: String) throws -> [String: Data] {
        var files: [String: Data] = [:]
        for name in FileManager.default.enumerator(atPath: folder)?.compactMap({ $0 as? String }) ?? [] {
            let url = URL(fileURLWithPath: folder + "/" + name)
            if let values = try? url.resourceValues(forKeys: [.isRegularFileKey]), values.isRegularFile == true {
                files[name] = try Data(contentsOf: url)
            }
        }
        return files
    }

    @Test(.timeLimit(.minutes(2)), arguments: ["resnet", "vit"])
    func anInterruptedRunGoesOnToTheSameBytes(_ network: String) throws {
        let bench = try Workbench()
        let manifest = try manifest(bench, epochs: 12, network)
        let whole = try bench.zoo("train", manifest, "--to", bench.file("whole"), "--jobs", "1", "-q")
        #expect(whole.status == 0, "\(whole.errors)")
        let arguments = ["train", manifest, "--to", bench.file("cut"), "--jobs", "2", "-q"]
        // Two interrupts and a kill, each a little later; what was saved is gone on from.
        for (signal, delay) in [(SIGINT, 250_000), (SIGKILL, 300_000), (SIGINT, 350_000)] {
            let process = try ZooProgram.start(arguments, environment: bench.environment)
            usleep(UInt32(delay))
            kill(process.processIdentifier, signal)
            process.waitUntilExit()
            if signal == SIGINT { #expect([0, 130].contains(process.terminationStatus)) }
        }
        let last = try bench.zoo(arguments)
        #expect(last.status == 0, "\(last.errors)")
        let expected = try files(bench.file("whole/tiny")), found = try files(bench.file("cut/tiny"))
        #expect(expected.count == 4 * (3 + 5 * 2 + 1))
        #expect(Set(expected.keys) == Set(found.keys))
        for (name, bytes) in expected { #expect(found[name] == bytes, "\(name)") }
    }

    /// While a zoo grows a second run is refused; an interrupt catalogs what is finished; a damaged state is thrown away
    /// and the one before it gone on from, or the trial begun again, to the same bytes.
    @Test(.timeLimit(.minutes(3))) func runsKeepOutOfEachOthersWayAndSurviveDamage() throws {
        let bench = try Workbench()
        let manifest = try manifest(bench, epochs: 120)
        let whole = try bench.zoo("train", manifest, "--to", bench.file("whole"), "--no-index", "-q")
        #expect(whole.status == 0, "\(whole.errors)")
        let arguments = ["train", manifest, "--to", bench.file("cut"), "--jobs", "1"]
        let growing = bench.file("cut/.tiny.growing"), zoo = bench.file("cut/tiny")
        func names(_ folder: String) -> [String] {
            (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        }
        func states() -> [String] {
            names(growing).map { "\(growing)/\($0)/state.safetensors" }.filter(FileManager.default.fileExists)
        }
        /// Starts a run, waits and interrupts it.
        func interrupt(when isTime: () throws -> Bool) throws {
            let process = try ZooProgram.start(arguments, environment: bench.environment)
            for _ in 0..<6000 {
                if try isTime() || !process.isRunning { break }
                usleep(5_000)
            }
            process.interrupt()
            process.waitUntilExit()
            #expect(process.terminationStatus == 130)
        }
        func cut(_ path: String) throws {
            let bytes = try Data(contentsOf: URL(fileURLWithPath: path))
            try bytes.prefix(bytes.count / 2).write(to: URL(fileURLWithPath: path))
        }
        var wasRefused = false
        try interrupt {
            if !wasRefused, FileManager.default.fileExists(atPath: growing + "/.lock") {
                let second = try bench.zoo(arguments)
                #expect(second.status == 1 && second.errors.contains("is growing this zoo"), "\(second.errors)")
                wasRefused = true
            }
            return names(zoo).count >= 1 && names(growing).contains { $0 != ".lock" }
        }
        #expect(wasRefused && !FileManager.default.fileExists(atPath: growing + "/.lock"))
        #expect(try bench.number("SELECT count(*) FROM model") == names(zoo).count)
        /// Interrupts a run in a trial: later and later, since one that is only setting up has nothing to save.
        func interruptInTrial(after damaged: Data? = nil) throws -> String {
            for attempt in 1...10 {
                let start = Date()
                try interrupt { Date().timeIntervalSince(start) > 0.2 * Double(attempt) }
                let state = try states().first { try Data(contentsOf: URL(fileURLWithPath: $0)) != damaged }
                if let state { return state }
            }
            return try #require(nil as String?, "no state was saved")
        }
        // The first state is cut: there is none before it.
        let first = try states().first ?? interruptInTrial()
        try cut(first)
        let second = try interruptInTrial(after: Data(contentsOf: URL(fileURLWithPath: first)))
        let former = second.replacingOccurrences(of: "state.safetensors", with: "state.former.safetensors")
        let again = Date()
        try interrupt { Date().timeIntervalSince(again) > 0.2 }
        let hasFormer = FileManager.default.fileExists(atPath: former)
        if hasFormer { try cut(second) }
        let last = try bench.zoo(arguments)
        #expect(last.status == 0, "\(last.errors)")
        #expect(last.errors.contains("the saved state is damaged") == hasFormer, "\(last.errors)")
        let expected = try files(bench.file("whole/tiny")), found = try files(zoo)
        #expect(Set(expected.keys) == Set(found.keys))
        for (name, bytes) in expected { #expect(found[name] == bytes, "\(name)") }
    }

    @Test func theZooIsInTheCatalogAndPacked() throws {
        let bench = try Workbench()
        let manifest = try manifest(bench, epochs: 3)
        let plan = try bench.json("train", manifest, "--to", bench.file("zoos"), "--dry-run")
        #expect(plan["trials"]?.array?.count == 4)
        #expect(!FileManager.default.fileExists(atPath: bench.file("zoos")))
        let report = try bench.json("train", manifest, "--to", bench.file("zoos"), "-q")
        #expect(report["models"] == 4 && report["checkpoints"] == 8 && report["trained"] == 4)
        #expect(report["skipped"]?.array?.isEmpty == true)
        let rows = try bench.rows(
            "query", "zoo = 'tiny' and epoch = last", "--columns", "width, seed, test_accuracy, train_loss")
        #expect(rows.count == 4 && rows.allSatisfy { $0["test_accuracy"]?.double ?? 0 > 0.1 })
        let evaluated = try bench.rows(
            "eval", "where:zoo = 'tiny' and epoch = last", "--data", Repository.path("zoos/data/digits.safetensors"))
        #expect(Set(evaluated.map { $0["accuracy"]?.double }) == Set(rows.map { $0["test_accuracy"]?.double }))
        for kind in ["zip", "tar.gz"] {
            let other = try Workbench()
            let run = try other.zoo("train", manifest, "--to", bench.file("zoos"), "--archive", kind, "-q")
            #expect(run.status == 0, "\(run.errors)")
            #expect(try other.number("SELECT count(*) FROM checkpoint") == 8)
        }
    }

    /// What the catalog knows of a transformer (heads, eps) runs it again as it was trained.
    @Test func aTransformerIsEvaluatedAsItWasTrained() throws {
        let bench = try Workbench()
        let path = bench.file("sight.yaml"), digits = Repository.path("zoos/data/digits.safetensors")
        let text = """
            id: sight
            data: {path: \(digits), test: test}
            architecture: {family: vit, patch: 4, dim: 16, depth: $depth, heads: 4, mlp_ratio: 2, eps: 1.0e-4}
            optimizer: {name: adam, lr: 0.01}
            init: xavier_uniform
            epochs: 5
            grid: {depth: [1, 2]}
            """
        try Data(text.utf8).write(to: URL(fileURLWithPath: path))
        #expect(try bench.json("train", path, "--to", bench.file("zoos"), "-q")["trained"] == 2)
        let rows = try bench.rows(
            "query", "zoo = 'sight' and epoch = last", "--columns", "depth, test_accuracy, test_loss", "--sort", "depth"
        )
        #expect(rows.map { $0["depth"] } == [1, 2] && rows.allSatisfy { $0["test_accuracy"]?.double ?? 0 > 0.6 })
        let evaluated = try bench.rows("eval", "where:zoo = 'sight' and epoch = last", "--data", digits)
        #expect(evaluated.map { $0["accuracy"] } == rows.map { $0["test_accuracy"] })
        for (row, other) in zip(evaluated, rows) {
            let loss = try #require(row["loss"]?.double), expected = try #require(other["test_loss"]?.double)
            #expect(abs(loss - expected) <= 1e-6 * expected)
        }
    }

    @Test func divergedTrialsAreFlaggedAndNoFailure() throws {
        let bench = try Workbench()
        let report = try bench.json(
            "train", Repository.path("manifests/train/digits-demo.yaml"), "--to", bench.file("zoos"), "-q")
        #expect(report["trained"] == 4 && report["diverged"]?.array?.count == 1)
        #expect(try bench.number("SELECT count(*) FROM model WHERE diverged") == 1)
    }

    @Test func allFaultsOfAManifestAreListed() throws {
        let bench = try Workbench()
        let path = bench.file("bad.yaml")
        try Data("id: bad\ndata: {path: x}\nepochs: many\noptimiser: sgd\n".utf8).write(to: URL(fileURLWithPath: path))
        let run = try bench.zoo("train", path)
        #expect(run.status == 64)
        for part in ["did you mean 'optimizer'", "epochs: expected", "'architecture' is missing"] {
            #expect(run.errors.contains(part), "\(run.errors)")
        }
    }
}
