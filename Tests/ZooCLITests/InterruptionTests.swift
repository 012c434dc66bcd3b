import Foundation
import Testing
import ZooBase
import ZooFormats
import ZooTensor
import ZooTestSupport

/// Kills, interrupts and a second writer, at moments that a seed and the machine choose. What must hold holds at any
/// moment, so the tests do not depend on where the blow falls.
@Suite(.serialized) struct InterruptionTests {
    private static let copies = 5

    /// A folder of 380 trials with two checkpoints each, made of the sample zoo; one checkpoint in each of three trials
    /// is cut short.
    private func makeZoo(_ path: String) throws {
        let archive = try SampleZoo.archive()
        let endings = [
            "/params.json", "/result.json", "/checkpoint_000000/checkpoints", "/checkpoint_000005/checkpoints",
        ]
        for member in archive.members where endings.contains(where: member.path.hasSuffix) {
            let bytes = Data(try archive.bytes(of: member).array)
            for copy in 0..<Self.copies {
                let file = "\(path)/copy_\(copy)/\(member.path)"
                try FileManager.default.createDirectory(
                    atPath: URL(fileURLWithPath: file).deletingLastPathComponent().path,
                    withIntermediateDirectories: true)
                let isCut = copy == 0 && member.path.hasSuffix("000005/checkpoints") && member.path.contains("_0000")
                try (isCut ? bytes.prefix(bytes.count / 2) : bytes).write(to: URL(fileURLWithPath: file))
            }
        }
    }

    /// Waits until a condition holds or the process ends, at most ten seconds.
    private func wait(_ process: Process, until condition: () -> Bool) {
        for _ in 0..<5000 where process.isRunning && !condition() { usleep(2000) }
    }

    private func isLocked(_ bench: Workbench) -> Bool {
        (try? Data(contentsOf: URL(fileURLWithPath: bench.catalog + "-lock")))?.isEmpty == false
    }

    private func files(_ folder: String) -> [String] {
        ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).sorted()
    }

    @Test(.timeLimit(.minutes(1))) func indexingSurvivesKillsAndInterrupts() throws {
        let folder = try TemporaryFolder()
        let zoo = folder.file("zoo")
        try makeZoo(zoo)
        let whole = try Workbench()
        let start = Date()
        #expect(try whole.zoo("index", zoo, "-q").status == 3)
        let duration = Date().timeIntervalSince(start)
        let expected = try whole.dump()
        #expect(try whole.number("SELECT count(*) FROM model") == 76 * Self.copies)
        #expect(try whole.number("SELECT count(*) FROM skipped_member") ?? 0 > 3)

        let killed = try Workbench()
        var random = SeededGenerator(seed: 7)
        for _ in 0..<3 {
            let process = try startIndexing(killed, zoo)
            usleep(UInt32(duration * Double.random(in: 0.1...0.6, using: &random) * 1e6))
            kill(process.processIdentifier, SIGKILL)
            process.waitUntilExit()
            let check = try killed.json("verify", "--quick")
            #expect(check["ok"] == true)
        }
        let interrupted = try Workbench()
        try interrupt(interrupted, zoo)
        for bench in [killed, interrupted] {
            #expect([0, 3].contains(try bench.zoo("index", zoo, "-q").status))
            for (found, wanted) in zip(try bench.dump(), expected) { #expect(found == wanted) }
            let check = try bench.json("verify", "--quick")
            #expect(check["problems"]?.array?.contains { $0["kind"] == "source" } == false)
        }
    }

    /// Starts `zoo index` and waits until it writes to the catalog.
    private func startIndexing(_ bench: Workbench, _ source: String, options: [String] = [], errorFile: String? = nil)
        throws -> Process
    {
        try? FileManager.default.removeItem(atPath: bench.catalog + "-lock")
        let process = try ZooProgram.start(
            ["index", source, "--jobs", "1"] + options, environment: bench.environment, errorFile: errorFile)
        wait(process) { isLocked(bench) }
        return process
    }

    /// SIGINT: status 130 and the way on.
    private func interrupt(_ bench: Workbench, _ zoo: String) throws {
        let errorFile = bench.file("errors.txt")
        let process = try startIndexing(bench, zoo, errorFile: errorFile)
        process.interrupt()
        process.waitUntilExit()
        #expect(process.terminationReason == .exit)
        #expect(process.terminationStatus == 130)
        let errors = try String(contentsOfFile: errorFile, encoding: .utf8)
        #expect(errors == "zoo: interrupted\nhint: run the same command again to go on\n")
    }

    /// A process that was stopped while it had the right to write.
    private func stoppedWriter(_ bench: Workbench) throws -> Process {
        for _ in 0..<20 {
            let process = try startIndexing(bench, SampleZoo.cnn, options: ["--restart"])
            kill(process.processIdentifier, SIGSTOP)
            let descriptor = open(bench.catalog + "-lock", O_RDWR)
            let isFree = flock(descriptor, LOCK_EX | LOCK_NB) == 0
            close(descriptor)
            if !isFree { return process }
            kill(process.processIdentifier, SIGKILL)
            process.waitUntilExit()
        }
        throw ZooError(.internal, "no process was caught writing")
    }

    @Test func aSecondWriterIsToldWhoTheFirstIs() throws {
        let bench = try Workbench()
        #expect(try bench.zoo("index", SampleZoo.tasks + "/soup", "-q").status == 0)
        let first = try stoppedWriter(bench)
        defer { if first.isRunning { kill(first.processIdentifier, SIGKILL) } }
        let second = try bench.zoo("index", SampleZoo.tasks)
        #expect(second.status == 1)
        #expect(lines(second.errors, startingWith: "zoo: error: ").count == 1)
        #expect(
            second.errors.contains("process \(first.processIdentifier) is writing this catalog\nhint: "),
            "\(second.errors)")
        kill(first.processIdentifier, SIGCONT)
        first.waitUntilExit()
        #expect(first.terminationStatus == 0)
        #expect(try bench.zoo("index", SampleZoo.tasks).status == 0)
        #expect(try bench.number("SELECT count(*) FROM source WHERE state = 'indexed'") == 3)
    }

    @Test(.timeLimit(.minutes(1))) func anAverageIsWholeOrAbsent() throws {
        let bench = try Workbench()
        var state = StateDict()
        let values = (0..<4_000_000).map { Float($0 % 1009) }
        for layer in 0..<3 { state["layer\(layer).weight"] = Tensor(values, shape: [2000, 2000]) }
        let input = bench.file("input.safetensors")
        try SafetensorsWriter.write(state, to: input)
        let folder = bench.file("out")
        let output = folder + "/mean.safetensors"
        let command = ["average", input, input, input, "--to", output]
        let start = Date()
        #expect(try bench.zoo(command).status == 0)
        let duration = Date().timeIntervalSince(start)
        let expected = try Data(contentsOf: URL(fileURLWithPath: output))
        try FileManager.default.removeItem(atPath: output)
        var random = SeededGenerator(seed: 11)
        for _ in 0..<5 {
            let process = try ZooProgram.start(command, environment: bench.environment)
            wait(process) { !files(folder).isEmpty }
            usleep(UInt32(duration * Double.random(in: 0...0.5, using: &random) * 1e6))
            kill(process.processIdentifier, SIGKILL)
            process.waitUntilExit()
            guard FileManager.default.fileExists(atPath: output) else { continue }
            #expect(try Data(contentsOf: URL(fileURLWithPath: output)) == expected)
            try FileManager.default.removeItem(atPath: output)
        }
        #expect(try bench.zoo(command).status == 0)
        #expect(try Data(contentsOf: URL(fileURLWithPath: output)) == expected)
        #expect(files(folder).allSatisfy { $0 == "mean.safetensors" || $0.hasPrefix(".") && $0.hasSuffix(".partial") })
    }
}
