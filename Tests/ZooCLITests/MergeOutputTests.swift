import Foundation
import Testing
import ZooBase
import ZooFormats
import ZooTensor
import ZooTestSupport

/// What `zoo merge` leaves behind: whole folders or nothing, and rows in the catalog.
@Suite(.serialized) struct MergeOutputTests {
    /// Two model folders of a few megabytes and a recipe over them.
    private func recipe(_ bench: Workbench) throws -> String {
        var paths: [String] = []
        for seed: UInt64 in [0, 1] {
            var state = StateDict()
            var generator = SeededGenerator(seed: seed)
            let block = (0..<1 << 14).map { _ in Float.random(in: -1...1, using: &generator) }
            for layer in 0..<8 {
                state["layers.\(layer).w"] = Tensor(
                    Array((0..<16).map { _ in block }.joined()), shape: [1 << 9, 1 << 9])
            }
            paths.append(bench.file("m\(seed)"))
            try SafetensorsWriter.writeSharded(state, toFolder: paths[Int(seed)])
            for (name, text) in [("config.json", #"{"model_type": "x"}"#), ("tokenizer.json", "{}")] {
                try Data(text.utf8).write(to: URL(fileURLWithPath: paths[Int(seed)] + "/" + name))
            }
        }
        let text = """
            merge_method: ties
            base_model: \(paths[0])
            models: [{model: \(paths[1]), parameters: {weight: 1, density: 0.3}}]
            """
        let path = bench.file("r.yaml")
        try Data(text.utf8).write(to: URL(fileURLWithPath: path))
        return path
    }

    private func names(_ folder: String) -> [String] {
        ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).sorted()
    }

    private func contents(_ folder: String) throws -> [String: Data] {
        var found: [String: Data] = [:]
        // The card names the folder.
        for name in names(folder) where name != "README.md" {
            found[name] = try Data(contentsOf: URL(fileURLWithPath: folder + "/" + name))
        }
        return found
    }

    /// Kills and interrupts at random moments: what is there is whole, and running again equals an undisturbed run.
    @Test(.timeLimit(.minutes(2))) func stopsAtAnyMomentLeaveWholeFoldersOrNone() throws {
        let bench = try Workbench()
        let recipe = try recipe(bench)
        let undisturbed = bench.file("undisturbed")
        let shards = ["--out-shard-size", "3M", "-q"]
        let start = Date()
        #expect(try bench.zoo(["merge", recipe, undisturbed] + shards).status == 0)
        let duration = Date().timeIntervalSince(start)
        let expected = try contents(undisturbed)
        #expect(expected.keys.count { $0.hasPrefix("model-0000") } == 4)
        let parent = bench.file("out"), out = parent + "/merged"
        var random = SeededGenerator(seed: 5)
        for round in 0..<12 {
            let before = names(parent)
            let process = try ZooProgram.start(
                ["merge", recipe, out, "--replace"] + shards, environment: bench.environment)
            usleep(UInt32(duration * Double.random(in: 0...1.1, using: &random) * 1e6))
            if round % 2 == 0 { kill(process.processIdentifier, SIGKILL) } else { process.interrupt() }
            process.waitUntilExit()
            if round % 2 == 1 {
                // A signal that comes before the program has set up its handlers ends it like any other.
                let isEarly = process.terminationReason == .uncaughtSignal && process.terminationStatus == SIGINT
                let isOrderly = process.terminationReason == .exit && [0, 130].contains(process.terminationStatus)
                #expect(isOrderly || isEarly && names(parent) == before)
                // An interrupt takes away what it had begun; older leftovers are of kills.
            }
            #expect(names(parent).allSatisfy { $0 == "merged" || $0.hasPrefix(".merged.") && $0.hasSuffix(".partial") })
            if FileManager.default.fileExists(atPath: out) { #expect(try contents(out) == expected) }
        }
        #expect(try bench.zoo(["merge", recipe, out, "--replace"] + shards).status == 0)
        #expect(try contents(out) == expected)
        #expect(names(parent) == ["merged"])
    }

    /// Files past the process's limit fail as they do on a full disk: one line, nothing left.
    @Test func filesThatCannotBeWrittenLeaveNothing() throws {
        let bench = try Workbench()
        let recipe = try recipe(bench), program = try #require(ZooProgram.path)
        for out in ["out/merged", "out/merged.safetensors"] {
            let process = Process()
            process.executableURL = URL(fileURLWithPath: "/bin/sh")
            // Two megabytes in blocks of 512 bytes; the weights take eight.
            process.arguments = [
                "-c",
                "ulimit -f 4096; exec \"$0\" merge \"$1\" \"$2\" -q", program, recipe, bench.file(out),
            ]
            let errors = Pipe()
            process.standardError = errors
            try process.run()
            let text = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
            process.waitUntilExit()
            #expect(process.terminationReason == .exit && process.terminationStatus == 1, "\(text)")
            #expect(text.split(separator: "\n").count { $0.hasPrefix("zoo: error:") } == 1, "\(text)")
            #expect(text.contains("File too large"), "\(text)")
            #expect(names(bench.file("out")).isEmpty)
        }
    }

    /// A file system of eight megabytes, where the system lets an ordinary user mount one.
    @Test func aFullDiskIsFoundBeforeTheStartAndLeavesNothing() throws {
        let bench = try Workbench()
        let recipe = try recipe(bench)
        let disk = bench.file("disk"), program = try #require(ZooProgram.path)
        try FileManager.default.createDirectory(atPath: disk, withIntermediateDirectories: true)
        // Not enough room at all; then room for the weights but for what another file takes; then enough.
        let script = """
            mount -t tmpfs -o size=6m none "$3" || exit 99
            "$0" merge "$1" "$3/out" -q 2> "$2"; echo "status $?" >> "$2"
            "$0" merge "$1" "$3/out.safetensors" -q 2>> "$2"; echo "status $?" >> "$2"
            mount -o remount,size=8200k "$3"
            dd if=/dev/zero of="$3/other" bs=1k count=4 2> /dev/null
            "$0" merge "$1" "$3/out" -q 2>> "$2"; echo "status $?" >> "$2"
            ls -A "$3" >> "$2"
            rm "$3/other"; mount -o remount,size=20m "$3"
            "$0" merge "$1" "$3/out" -q 2>> "$2"; echo "status $?" >> "$2"
            ls -A "$3" >> "$2"
            """
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        let report = bench.file("report.txt")
        process.arguments = [
            "unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, program, recipe, report,
            disk,
        ]
        process.standardError = FileHandle.nullDevice
        guard (try? process.run()) != nil else { return }
        process.waitUntilExit()
        // No user namespaces here: the limit on file sizes stands in for the full disk.
        guard process.terminationStatus == 0, FileManager.default.fileExists(atPath: report) else { return }
        let lines = try String(contentsOfFile: report, encoding: .utf8).split(separator: "\n").map(String.init)
        #expect(
            lines.filter { $0.hasPrefix("status") } == ["status 1", "status 1", "status 1", "status 0"], "\(lines)")
        #expect(lines.filter { $0.hasPrefix("zoo: error:") && $0.contains("free") }.count >= 2, "\(lines)")
        let first = try #require(lines.firstIndex(of: "other")), last = try #require(lines.lastIndex(of: "out"))
        #expect(lines.last == "out" && last > first && !lines[first - 1].contains("partial"), "\(lines)")
        #expect(!lines.contains { $0.hasSuffix(".partial") && $0.hasPrefix(".") })
    }

    // MARK: The catalog

    @Test func mergesAreCataloguedWithTheirParents() throws {
        let bench = try Workbench()
        #expect(try bench.zoo("index", SampleZoo.tasks + "/tasks", "-q").status == 0)
        let folder = SampleZoo.tasks + "/tasks"
        let ids = try bench.rows("sql", "SELECT id, path FROM checkpoint ORDER BY id")
        func id(_ name: String) throws -> Int {
            try #require(ids.first { $0["path"] == .string(name + ".safetensors") }?["id"]?.int)
        }
        let dim = try id("dim"), shift = try id("shift")
        // One by its id, one by its path, and the base, which is not in the catalog.
        let text = """
            merge_method: ties
            base_model: \(SampleZoo.tasks)/pretrained.safetensors
            models:
            - {model: "\(dim)", parameters: {weight: 0.5, density: 0.4}}
            - {model: \(folder)/shift.safetensors, parameters: {weight: 0.25, density: 0.4}}
            """
        let recipe = bench.file("r.yaml")
        try Data(text.utf8).write(to: URL(fileURLWithPath: recipe))
        for out in ["merged.safetensors", "merged"] {
            let run = try bench.zoo("merge", recipe, bench.file(out))
            #expect(run.status == 0 && run.errors.contains("2 parents"), "\(run.errors)")
            let child = try #require(try bench.number("SELECT max(id) FROM checkpoint"))
            let shown = try bench.json("show", "\(child)")
            let parents = try #require(shown["lineage"]?.array)
            #expect(parents.count == 2 && parents.allSatisfy { $0["role"] == "merge ties" })
            let found = Dictionary(
                uniqueKeysWithValues: parents.map { ($0["parent"]?.int ?? 0, $0["coefficient"]?.double ?? 0) })
            #expect(found == [dim: 0.5, shift: 0.25])
            #expect(try bench.zoo("show", "\(child)").output.contains("merge ties"))
        }
        let command = try bench.rows("sql", "SELECT command FROM run ORDER BY id DESC LIMIT 1")
        #expect(command[0]["command"]?.string?.contains("merge") == true)
    }

    @Test func queriesInRecipesBecomeParents() throws {
        let bench = try Workbench()
        #expect(try bench.zoo("index", SampleZoo.tasks + "/tasks", "-q").status == 0)
        let text = """
            merge_method: linear
            models:
            - {model: "where:epoch = last", parameters: {weight: 1}}
            """
        let recipe = bench.file("r.yaml")
        try Data(text.utf8).write(to: URL(fileURLWithPath: recipe))
        let count = try #require(try bench.number("SELECT count(*) FROM checkpoint"))
        let run = try bench.zoo("merge", recipe, bench.file("mean.safetensors"))
        #expect(run.status == 0, "\(run.errors)")
        #expect(try bench.number("SELECT count(*) FROM lineage WHERE role = 'merge linear'") == count)
        let sum = try bench.rows("sql", "SELECT sum(coefficient) AS s FROM lineage")[0]["s"]?.double ?? 0
        #expect(abs(sum - 1) < 1e-12)
    }

    @Test func alignAndFuseLeaveLineageToo() throws {
        let bench = try Workbench()
        #expect(try bench.zoo("index", SampleZoo.tasks + "/tasks", "-q").status == 0)
        let models = ["dim", "shift"].map { "\(SampleZoo.tasks)/tasks/\($0).safetensors" }
        let data = "\(SampleZoo.tasks)/data/zoo_c_data.safetensors:soup.val"
        let fused = try bench.zoo(
            ["fuse", "fisher"] + models + ["--data", data, "--samples", "40", "--to", bench.file("f.safetensors")])
        #expect(fused.status == 0 && fused.errors.contains("2 parents"), "\(fused.errors)")
        let aligned = try bench.zoo(
            ["align"] + models + ["--data", data, "--points", "3", "--to", bench.file("a.safetensors")])
        #expect(aligned.status == 0 && aligned.errors.contains("2 parents"), "\(aligned.errors)")
        #expect(try bench.number("SELECT count(DISTINCT role) FROM lineage") == 2)
    }
}
