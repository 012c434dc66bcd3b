import Foundation
import Testing
import ZooBase
import ZooFormats
import ZooTestSupport

/// `zoo index` on the sample zoos and on damaged copies of them. Counts are those of `zoos/README.md`.
@Suite struct IndexCommandTests {
    @Test func theSampleZoosHaveTheModelsTheirDescriptionSays() throws {
        let bench = try SampleCatalog.shared.get()
        for (zoo, models, checkpoints) in [("digits-cnn", 76, 452), ("digits-phases", 108, 108)] {
            #expect(try bench.number("SELECT count(*) FROM models WHERE zoo = '\(zoo)'") == models)
            #expect(try bench.number("SELECT count(*) FROM checkpoints WHERE zoo = '\(zoo)'") == checkpoints)
        }
        let files = try bench.rows(
            "sql",
            "SELECT member, parameters, format FROM checkpoints WHERE zoo = 'digits-tasks' AND member NOT LIKE 'data/%'"
        )
        #expect(files.count == 23)
        #expect(files.allSatisfy { $0["parameters"]?.int == 22_954 })
        #expect(files.filter { $0["format"]?.string == "pytorch" }.count == 1)
        #expect(
            try bench.number("SELECT count(DISTINCT parameters) FROM checkpoints WHERE zoo = 'digits-cnn'") == 1)
        // 43,762 trained ones and the means and variances of batch norm.
        #expect(try bench.number("SELECT max(parameters) FROM checkpoints WHERE zoo = 'digits-phases'") == 44_194)
        #expect(try bench.number("SELECT count(*) FROM checkpoint WHERE digest IS NULL") == 0)
    }

    @Test func theTrialsThatWentWrongAreFlagged() throws {
        let bench = try SampleCatalog.shared.get()
        func trials(_ condition: String) throws -> [String] {
            try bench.rows("query", condition, "--from", "models", "--columns", "name").compactMap {
                $0["name"]?.string.map { String($0.dropFirst("NN_tune_trainable_a1f3c_".count).prefix(5)) }
            }.sorted()
        }
        #expect(try trials("diverged") == ["00072", "00073", "00074"])
        #expect(try trials("failed") == ["00075"])
        #expect(try trials("incomplete and zoo = 'digits-cnn'") == ["00075"])
        let unhealthy = try bench.rows("query", "health = 'nan'", "--columns", "model, epoch")
        // The weights themselves say which checkpoints are NaN.
        var expected: [String] = []
        let archive = try SampleZoo.archive()
        for member in archive.members where member.path.hasSuffix("/checkpoints") && member.path.contains("lr=30") {
            let reader = try CheckpointReaders.open(try archive.bytes(of: member), name: member.path)
            let isNaN = try reader.tensorInfos.contains {
                try reader.tensor(named: $0.name).floats().contains { $0.isNaN }
            }
            if isNaN { expected.append(member.path) }
        }
        #expect(expected.count == 13)
        let found = unhealthy.compactMap { row in
            row["model"]?.string.map { "\($0)/\(String(row["epoch"]?.int ?? -1))" }
        }
        let wanted = expected.map { path in
            let parts = path.split(separator: "/")
            return "\(parts[1])/\(Int(parts[2].drop { !$0.isNumber }) ?? -1)"
        }
        #expect(found.sorted() == wanted.sorted())
    }

    @Test func reportsAnObjectAndThenDoesNothing() throws {
        let bench = try Workbench()
        let first = try bench.json("index", SampleZoo.cnn)
        for key in ["source", "models", "checkpoints", "tensors", "parameters", "skipped", "seconds"] {
            #expect(keys(first).contains(key), "\(key)")
        }
        #expect(first["source"] == .string(SampleZoo.cnn))
        #expect(first["models"] == 76)
        #expect(first["checkpoints"] == 452)
        #expect(first["parameters"] == .int(452 * 2464))
        #expect(first["skipped"] == .array([]))
        let before = try bench.dump()
        let second = try bench.json("index", SampleZoo.cnn)
        #expect(second["unchanged"] == true)
        #expect(second["checkpoints"] == 452)
        #expect(second["models"] == 76)
        #expect(try bench.dump() == before)
    }

    @Test(.timeLimit(.minutes(1))) func theCatalogDoesNotDependOnTheThreads() throws {
        let one = try Workbench()
        let two = try Workbench()
        for (bench, jobs) in [(one, "1"), (two, "2")] {
            #expect(try bench.zoo("index", SampleZoo.cnn, SampleZoo.tasks, "--jobs", jobs, "-q").status == 0)
        }
        for (left, right) in zip(try one.dump(), try two.dump()) { #expect(left == right) }
    }

    @Test func aDryRunWritesNothing() throws {
        let bench = try Workbench()
        let report = try bench.json("index", SampleZoo.cnn, "--dry-run")
        #expect(report["models"] == 76)
        #expect(report["checkpoints"] == 452)
        #expect(try FileManager.default.contentsOfDirectory(atPath: bench.folder.path).isEmpty)
    }

    @Test func aChangedFolderIsReadAgain() throws {
        let bench = try Workbench()
        let zoo = bench.file("models")
        try FileManager.default.createDirectory(atPath: zoo, withIntermediateDirectories: true)
        let soup = SampleZoo.tasks + "/soup/variant_0"
        try FileManager.default.copyItem(atPath: soup + "0.safetensors", toPath: zoo + "/a.safetensors")
        #expect(try bench.json("index", zoo)["models"] == 1)
        #expect(try bench.json("index", zoo)["unchanged"] == true)
        try FileManager.default.copyItem(atPath: soup + "1.safetensors", toPath: zoo + "/b.safetensors")
        #expect(try bench.json("index", zoo)["models"] == 2)
        #expect(try bench.number("SELECT count(*) FROM checkpoint") == 2)
        try FileManager.default.removeItem(atPath: zoo + "/a.safetensors")
        #expect(try bench.json("index", zoo)["models"] == 1)
        #expect(try bench.number("SELECT count(*) FROM checkpoint") == 1)
    }
}

/// Sources that are damaged, missing or no zoo.
@Suite struct IndexDamageTests {
    private func refused(_ source: String, _ found: String) throws {
        let bench = try Workbench()
        let run = try bench.zoo("index", source)
        #expect(run.status == 1)
        let errors = lines(run.errors, startingWith: "zoo: ")
        #expect(errors.count == 1)
        #expect(errors.first?.contains(source) == true, "\(run.errors)")
        #expect(errors.first?.contains(found) == true, "\(run.errors)")
        if FileManager.default.fileExists(atPath: bench.catalog) {
            #expect(try bench.number("SELECT count(*) FROM source") == 0)
        }
    }

    @Test func damagedMembersAreListedAndTheOthersIndexed() throws {
        let bench = try Workbench()
        let members = try SampleZoo.archive().members
        let weights = members.filter { $0.path.hasSuffix("/checkpoints") }
        let damaged = [weights[3], weights[200], weights[451]]
        var bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: SampleZoo.cnn)))
        for member in damaged {
            let place = try #require(member.placement)
            for index in 0..<8 { bytes[place.offset + place.byteCount / 2 + index] ^= 0x5A }
        }
        let copy = bench.file("damaged.zip")
        try Data(bytes).write(to: URL(fileURLWithPath: copy))
        let run = try bench.zoo("index", copy, "--json")
        #expect(run.status == 3)
        let report = try JSONParser.parse(run.output)
        #expect(report["models"] == 76)
        #expect(report["checkpoints"] == 449)
        let skipped = try #require(report["skipped"]?.array)
        #expect(Set(skipped.compactMap { $0["member"]?.string }) == Set(damaged.map(\.path)))
        #expect(skipped.allSatisfy { $0["reason"]?.string?.isEmpty == false })
        let failures = lines(run.errors, startingWith: "zoo: failed: ")
        #expect(failures.count == 3)
        for member in damaged {
            #expect(failures.filter { $0.hasPrefix("zoo: failed: \(member.path): ") }.count == 1)
        }
        #expect(run.errors.hasSuffix("zoo: error: 3 of 452 members failed\n"))
        #expect(try bench.number("SELECT count(*) FROM checkpoint") == 449)
        #expect(try bench.number("SELECT count(*) FROM skipped_member") == 3)
    }

    @Test func aTruncatedFileDoesNotHideItsNeighbours() throws {
        let bench = try Workbench()
        let zoo = bench.file("models")
        try FileManager.default.createDirectory(atPath: zoo, withIntermediateDirectories: true)
        let whole = SampleZoo.tasks + "/pretrained.safetensors"
        try FileManager.default.copyItem(atPath: whole, toPath: zoo + "/whole.safetensors")
        try Data(contentsOf: URL(fileURLWithPath: whole)).prefix(50_000).write(
            to: URL(fileURLWithPath: zoo + "/half.safetensors"))
        let run = try bench.zoo("index", zoo, "--json")
        #expect(run.status == 3)
        #expect(try JSONParser.parse(run.output)["checkpoints"] == 1)
        let failures = lines(run.errors, startingWith: "zoo: failed: ")
        #expect(failures.count == 1 && failures[0].contains("half.safetensors"), "\(run.errors)")
    }

    @Test func aTruncatedArchiveIsRefused() throws {
        let folder = try TemporaryFolder()
        let zip = folder.file("half.zip")
        try Data(contentsOf: URL(fileURLWithPath: SampleZoo.cnn)).prefix(3_000_000).write(
            to: URL(fileURLWithPath: zip))
        try refused(zip, "truncated archive")
    }

    @Test func whatIsNoArchiveIsRefused() throws {
        let folder = try TemporaryFolder()
        let text = folder.file("text.zip")
        try Data("hello, this is a text".utf8).write(to: URL(fileURLWithPath: text))
        try refused(text, "not a recognised checkpoint")
        let empty = folder.file("empty.zip")
        try Data().write(to: URL(fileURLWithPath: empty))
        try refused(empty, "empty")
        try refused(folder.file("missing.zip"), "No such file")
        try refused("/dev/null", "device")
    }

    /// The superuser may read everything.
    @Test(.enabled(if: geteuid() != 0)) func unreadableFilesAreRefused() throws {
        let folder = try TemporaryFolder()
        let path = folder.file("closed.zip")
        try FileManager.default.copyItem(atPath: SampleZoo.cnn, toPath: path)
        chmod(path, 0)
        try refused(path, "ermission")
    }

    @Test func aBadSourceDoesNotStopTheOthers() throws {
        let bench = try Workbench()
        let missing = bench.file("missing.zip")
        let run = try bench.zoo("index", missing, SampleZoo.tasks, "--json")
        #expect(run.status == 3)
        #expect(lines(run.errors, startingWith: "zoo: failed: \(missing)").count == 1)
        #expect(try bench.number("SELECT count(*) FROM source WHERE state = 'indexed'") == 1)
    }
}
