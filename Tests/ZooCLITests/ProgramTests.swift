import Foundation
import Testing
import ZooBase
import ZooTestSupport

/// The built program, run as a user runs it.
@Suite struct ProgramTests {
    @Test func doctorReportsAnObject() throws {
        let run = try ZooProgram.run(["doctor", "--json"])
        #expect(run.status == 0)
        #expect(run.errors == "")
        let object = try JSONParser.parse(run.output)
        #expect(object["ok"] == .bool(true))
        #expect(object["build"]?["version"] == .string(ZooVersion.string))
        #expect((object["machine"]?["memory_bytes"]?.int ?? 0) > 0)
        #expect(object["libraries"]?["hdf5"]?.string?.hasPrefix("1.") == true)
        #expect(object["problems"]?.array != nil)
    }

    @Test func doctorFindsAnUnusableCatalogFolder() throws {
        let run = try ZooProgram.run(["doctor", "--json", "--catalog", "/proc/zoos/catalog.sqlite"])
        #expect(run.status == 1)
        #expect(try JSONParser.parse(run.output)["ok"] == .bool(false))
        #expect(
            run.errors.hasPrefix(
                "zoo: error: catalog folder: /proc/zoos (proc, not writable)\nhint: give --catalog FILE"))
    }

    @Test func theEnvironmentNamesTheCatalogUnlessAnOptionDoes() throws {
        let folder = try TemporaryFolder()
        let variables = ["ZOO_CATALOG": folder.file("a/c.sqlite")]
        let fromEnvironment = try ZooProgram.run(["doctor", "--json"], environment: variables)
        #expect(
            try JSONParser.parse(fromEnvironment.output)["storage"]?["catalog_folder"] == .string(folder.file("a")))
        let fromOption = try ZooProgram.run(
            ["doctor", "--json", "--catalog", folder.file("b/c.sqlite")], environment: variables)
        #expect(try JSONParser.parse(fromOption.output)["storage"]?["catalog_folder"] == .string(folder.file("b")))
    }

    @Test(arguments: ["text", "jsonl", "csv", "markdown", "parquet"])
    func everyFormatGoesToAPipe(_ format: String) throws {
        let run = try ZooProgram.run(["doctor", "--\(format)"])
        #expect(run.status == 0)
        #expect(run.errors == "")
        #expect(format == "parquet" ? run.output.hasPrefix("PAR1") : run.output.contains("libarchive"))
    }

    @Test func resultsGoToAFileWhoseEndingPicksTheFormat() throws {
        let folder = try TemporaryFolder()
        let path = folder.file("deep/result.csv")
        let run = try ZooProgram.run(["doctor", "-o", path])
        #expect(run.status == 0)
        #expect(run.output == "")
        #expect(run.errors.hasPrefix("wrote \(path)"))
        #expect(try String(contentsOfFile: path, encoding: .utf8).hasPrefix("topic,what,status,found,remedy\r\n"))
        let quiet = try ZooProgram.run(["doctor", "--quiet", "--json", "-o", folder.file("x.txt")])
        #expect(quiet.errors == "")
        #expect(try JSONParser.parse(String(contentsOfFile: folder.file("x.txt"), encoding: .utf8))["ok"] != nil)
    }

    @Test(arguments: [
        (["docter"], "zoo: error: there is no command 'docter'\nhint: did you mean 'doctor'?\n"),
        (["doctor", "--jsn"], "zoo: error: Unknown option '--jsn'"),
        (["doctor", "--jobs", "0"], "zoo: error: --jobs takes a number from 1 on, not 0.\n"),
        (["doctor", "--seed", "x"], "zoo: error: The value 'x' is invalid for '--seed <number>'\n"),
        (["doctor", "extra"], "zoo: error: Unexpected argument 'extra'\nhint: zoo doctor --help"),
        (["doctor", "--json", "--csv"], "zoo: error: Value to be set with flag '--csv'"),
        (["doctor", "--quiet", "--verbose"], "zoo: error: "), (["--frobnicate"], "zoo: error: Unknown option"),
    ])
    func wrongUsageIsStatus64(_ arguments: [String], _ message: String) throws {
        let run = try ZooProgram.run(arguments)
        #expect(run.status == 64)
        #expect(run.output == "")
        #expect(run.errors.hasPrefix(message), "\(run.errors)")
        #expect(run.errors.split(separator: "\n").count == 2)
    }

    @Test func helpAndVersionGoToStandardOutput() throws {
        for arguments in [[], ["--help"], ["help"], ["doctor", "--help"], ["help", "doctor"]] {
            let run = try ZooProgram.run(arguments)
            #expect(run.status == 0)
            #expect(run.errors == "")
            #expect(run.output.hasPrefix("OVERVIEW: "))
        }
        #expect(try ZooProgram.run(["--version"]).output == "zoo \(ZooVersion.string)\n")
    }

    @Test func aReaderThatLeavesEarlyIsNoFailure() throws {
        let program = try #require(ZooProgram.path)
        let shell = Process()
        shell.executableURL = URL(fileURLWithPath: "/bin/sh")
        // `true` closes the pipe without reading; the program's own status comes out through the third descriptor.
        shell.arguments = ["-c", "{ { sleep 0.2; \"$0\" doctor 2>&3; echo $? >&3; } | true; } 3>&1", program]
        let pipe = Pipe()
        shell.standardOutput = pipe
        try shell.run()
        let text = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        shell.waitUntilExit()
        #expect(text == "0\n")
    }

    #if os(Linux)
        @Test func theSecondInterruptEndsTheProgramAtOnce() throws {
            // The program hangs in a write to a full pipe, which the first interrupt does not end.
            let pipe = Pipe()
            let descriptor = pipe.fileHandleForWriting.fileDescriptor
            _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
            let block = [UInt8](repeating: 0, count: 4096)
            while write(descriptor, block, block.count) > 0 {}
            _ = fcntl(descriptor, F_SETFL, 0)
            let process = Process()
            process.executableURL = URL(fileURLWithPath: try #require(ZooProgram.path))
            // The file that doctor tries a folder with is left when the program ends at once.
            let folder = try TemporaryFolder()
            process.arguments = ["doctor", "--catalog", folder.file("catalog.sqlite")]
            process.standardOutput = pipe
            try process.run()
            let identifier = process.processIdentifier
            defer { if process.isRunning { kill(identifier, SIGKILL) } }
            try wait(for: identifier, field: "SigCgt") { $0 & 1 << UInt64(SIGINT - 1) != 0 }
            kill(identifier, SIGINT)
            try wait(for: identifier, field: "ShdPnd") { $0 == 0 }
            #expect(process.isRunning)
            kill(identifier, SIGINT)
            for _ in 0..<1000 where process.isRunning { usleep(10_000) }
            try #require(!process.isRunning)
            #expect(process.terminationReason == .exit)
            #expect(process.terminationStatus == 130)
        }

        /// Waits until a signal mask in the process's status is as wanted, at most ten seconds.
        private func wait(for process: Int32, field: String, _ isReached: (UInt64) -> Bool) throws {
            for _ in 0..<1000 {
                let status = try String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8)
                let line = status.split(separator: "\n").first { $0.hasPrefix(field) }
                let mask = line?.split(separator: "\t").last.flatMap { UInt64($0, radix: 16) }
                if let mask, isReached(mask) { return }
                usleep(10_000)
            }
            Issue.record("\(field) was not as expected within ten seconds")
        }
    #endif
}
