import Foundation
import GRDB
import Testing
import ZooBase
import ZooCatalog
import ZooTestSupport

@Suite struct CatalogFileTests {
    private func code(_ body: () throws -> Void) -> ZooError.Code? {
        do {
            try body()
            return nil
        } catch let error as ZooError {
            #expect(!error.message.contains("\n"))
            return error.code
        } catch {
            Issue.record("\(error)")
            return nil
        }
    }

    @Test func migrationsAreNamedAndAppendOnly() {
        // A released name never changes; new ones are appended.
        #expect(Schema.migrations.map(\.name) == ["v1", "v2"])
    }

    @Test func opensOnlyCatalogs() throws {
        let folder = try TemporaryFolder()
        let path = folder.file("x.sqlite")
        #expect(code { _ = try Catalog(path) } == .notFound)
        try Data("hello".utf8).write(to: URL(fileURLWithPath: path))
        #expect(code { _ = try Catalog(path) } == .corrupt)
        #expect(code { _ = try Catalog.openOrCreate(path) } == .corrupt)
        try FileManager.default.removeItem(atPath: path)
        try DatabaseQueue(path: path).write { try $0.execute(sql: "CREATE TABLE t (a)") }
        let before = try Data(contentsOf: URL(fileURLWithPath: path))
        #expect(code { _ = try Catalog.openOrCreate(path) } == .corrupt)
        #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == before)
    }

    @Test func newerAndUnfinishedSchemasAreTold() throws {
        let folder = try TemporaryFolder()
        let path = folder.file("x.sqlite")
        _ = try Catalog.openOrCreate(path)
        try DatabaseQueue(path: path).write { try $0.execute(sql: "INSERT INTO grdb_migrations VALUES ('v99')") }
        #expect(code { _ = try Catalog(path) } == .unsupported)
        #expect(code { _ = try Catalog.openOrCreate(path) } == .unsupported)
        // A kill between the mark and the tables: opening for writing finishes the work.
        let half = folder.file("half.sqlite")
        try DatabaseQueue(path: half).writeWithoutTransaction {
            try $0.execute(sql: "PRAGMA application_id = \(Schema.applicationID)")
            try $0.execute(sql: "CREATE TABLE grdb_migrations (identifier TEXT NOT NULL PRIMARY KEY)")
        }
        #expect(code { _ = try Catalog(half) } == .unsupported)
        #expect(try Catalog.openOrCreate(half).counts().models == 0)
    }

    @Test func everyPrefixAndManyDamagesAreRefusedOrRead() throws {
        let zoo = try RandomZoo(seed: 1, models: 8)
        let whole = try Data(contentsOf: URL(fileURLWithPath: zoo.catalog.path))
        let path = zoo.folder.file("damaged.sqlite")
        var generator = SeededGenerator(seed: 9)
        for round in 0..<120 {
            var damaged = whole
            if round % 2 == 0 {
                damaged = damaged.prefix(Int.random(in: 0..<whole.count, using: &generator))
            } else {
                for _ in 0..<20 {
                    damaged[Int.random(in: 100..<whole.count, using: &generator)] = UInt8.random(
                        in: 0...255, using: &generator)
                }
            }
            try damaged.write(to: URL(fileURLWithPath: path))
            do {
                let catalog = try Catalog(path)
                _ = try catalog.run(Query(where: "lr < 1", sort: ["test_accuracy"], limit: 5))
                _ = try catalog.run(Query(from: .models))
                _ = try catalog.history(of: 1)
            } catch let error as ZooError {
                #expect([.corrupt, .io, .unsupported, .usage, .internal, .notFound].contains(error.code), "\(error)")
            }
        }
    }

    @Test func secondWriterIsToldWhoWrites() throws {
        let folder = try TemporaryFolder()
        let catalog = try Catalog.openOrCreate(folder.file("c.sqlite"))
        let writer = try catalog.writer()
        do {
            _ = try catalog.writer()
            Issue.record("two writers")
        } catch let error as ZooError {
            #expect(error.code == .busy)
            #expect(error.message.contains("process \(ProcessInfo.processInfo.processIdentifier) "))
        }
        // Readers go on while a transaction is open.
        let zoo = try writer.upsert(ZooRecord(name: "z"))
        #expect(zoo == 1)
        #expect(try catalog.counts().zoos == 0)
        try writer.close()
        #expect(try catalog.counts().zoos == 1)
        try catalog.writer().close()
    }

    @Test func closedWriterGivesTheRightBackEvenWhenForgotten() throws {
        let folder = try TemporaryFolder()
        let catalog = try Catalog.openOrCreate(folder.file("c.sqlite"))
        do { _ = try catalog.writer().upsert(ZooRecord(name: "z")) }
        #expect(try catalog.counts().zoos == 1)
        _ = try catalog.writer()
    }

    @Test func readsFromFoldersThatCannotBeWritten() throws {
        let zoo = try RandomZoo(seed: 2, models: 10)
        let count = try zoo.catalog.run(Query()).rows.count
        let folder = try TemporaryFolder()
        let path = folder.file("c.sqlite")
        try FileManager.default.copyItem(atPath: zoo.catalog.path, toPath: path)
        try FileManager.default.setAttributes([.posixPermissions: 0o444], ofItemAtPath: path)
        try FileManager.default.setAttributes([.posixPermissions: 0o555], ofItemAtPath: folder.path)
        defer { try? FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: folder.path) }
        let catalog = try Catalog(path)
        #expect(try catalog.run(Query()).rows.count == count)
        // Root may write anywhere, so only others see the refusal.
        if getuid() != 0 {
            #expect(catalog.isImmutable)
            #expect(code { _ = try catalog.writer() } == .io)
        }
    }

    @Test func oddPathsWork() throws {
        let folder = try TemporaryFolder()
        for name in ["a b%41?x=1#y.sqlite", "ü/katalog.sqlite"] {
            _ = try Catalog.openOrCreate(folder.file(name))
            #expect(FileManager.default.fileExists(atPath: folder.file(name)))
            #expect(try Catalog(folder.file(name)).counts().zoos == 0)
        }
    }

    @Test func networkFileSystemsGetTheOtherJournal() {
        for kind in ["nfs4", "cifs", "fuse.sshfs", "9p", "lustre"] { #expect(JournalMode.isRemote(kind)) }
        for kind in ["ext4", "xfs", "btrfs", "tmpfs", "overlay", "apfs", "zfs"] { #expect(!JournalMode.isRemote(kind)) }
    }

    @Test func humansCanReadIt() throws {
        let zoo = try RandomZoo(seed: 3, models: 20)
        let queue = try DatabaseQueue(path: zoo.catalog.path)
        let (rows, members) = try queue.read { database in
            (
                try Int.fetchOne(database, sql: "SELECT count(*) FROM checkpoints"),
                try String.fetchAll(database, sql: "SELECT member FROM checkpoints ORDER BY id LIMIT 1")
            )
        }
        #expect(rows == zoo.rows.count)
        #expect(members.first?.hasPrefix("exp/m") == true)
        for view in ["models", "results", "config", "metrics", "tensors"] {
            #expect(try zoo.catalog.sql("SELECT count(*) FROM \(view)").rows[0][0].int ?? 0 > 0)
        }
        #expect(
            try zoo.catalog.sql(
                "SELECT count(*) FROM pragma_foreign_key_check()".replacing("pragma_foreign_key_check()", with: "zoo")
            ).rows[0][0] == .int(2))
        #expect(try queue.read { try Row.fetchAll($0, sql: "PRAGMA foreign_key_check").isEmpty })
        #expect(try queue.read { try String.fetchOne($0, sql: "PRAGMA integrity_check") } == "ok")
    }
}

#if os(Linux)
    /// A second process is killed while it writes; what it committed must be whole.
    @Suite struct KilledWriterTests {
        private static let variable = "ZOO_TEST_KILLED_CATALOG"

        /// The work of the second process: endless, so it must never run by itself.
        @Test(.enabled(if: ProcessInfo.processInfo.environment[variable] != nil)) func childWritesUntilKilled() throws {
            guard let path = ProcessInfo.processInfo.environment[Self.variable] else { return }
            let writer = try Catalog.openOrCreate(path).writer()
            let zoo = try writer.upsert(ZooRecord(name: "z"))
            let source = try writer.begin(SourceRecord(path: "z", kind: "folder")).id
            for number in 0..<10_000_000 {
                try writer.ingest(Self.model(number, zoo: zoo, source: source))
                if number % 20 == 0 { try writer.commit() }
            }
        }

        private static func model(_ number: Int, zoo: Int64, source: Int64) -> ModelIngest {
            ModelIngest(
                zoo: zoo, source: source, name: "m\(number)", path: "m\(number)",
                config: JSONObject([("lr", .double(Double(number)))]),
                results: (0..<10).map { ResultRow(epoch: $0, values: EpochValues(testLoss: Double($0))) },
                checkpoints: (0..<10).map { (epoch: Int) in
                    CheckpointIngest(
                        epoch: epoch, path: "c\(epoch)", offset: 0, storedBytes: 1, encoding: .stored, byteCount: 1,
                        format: "f",
                        layout: RandomZoo.layout)
                })
        }

        @Test(.disabled(if: ProcessInfo.processInfo.environment[variable] != nil)) func leavesWholeModels() throws {
            let folder = try TemporaryFolder()
            let path = folder.file("c.sqlite")
            for round in 0..<3 {
                let child = Process()
                child.executableURL = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
                child.arguments = ["--testing-library", "swift-testing", "--filter", "childWritesUntilKilled"]
                child.environment = ProcessInfo.processInfo.environment.merging([Self.variable: path]) { $1 }
                child.standardOutput = FileHandle.nullDevice
                child.standardError = FileHandle.nullDevice
                try child.run()
                let before = (try? Catalog(path).counts().models) ?? 0
                // Wait for real work of this child, then kill at no particular moment of it.
                for _ in 0..<3000 where child.isRunning {
                    usleep(10_000)
                    if ((try? Catalog(path).counts().models) ?? 0) > before || round > 0 && (try? Catalog(path)) != nil
                    {
                        break
                    }
                }
                usleep(UInt32(7_000 * (round + 1)))
                kill(child.processIdentifier, SIGKILL)
                child.waitUntilExit()
            }
            let catalog = try Catalog.openOrCreate(path)
            let models = try catalog.counts().models
            #expect(models > 0)
            #expect(try catalog.sql("SELECT count(*) FROM checkpoint").rows == [[.int(Int64(10 * models))]])
            #expect(try catalog.sql("SELECT count(*) FROM result").rows == [[.int(Int64(10 * models))]])
            #expect(try catalog.sql("SELECT count(*) FROM config_value").rows == [[.int(Int64(models))]])
            // The dead process's right to write is free, and its work can go on.
            let writer = try catalog.writer()
            let progress = try writer.begin(SourceRecord(path: "z", kind: "folder"))
            #expect(!progress.isComplete && progress.completedModels.count == models)
            try writer.close()
            #expect(
                try DatabaseQueue(path: path).read { try String.fetchOne($0, sql: "PRAGMA integrity_check") } == "ok")
        }
    }
#endif
