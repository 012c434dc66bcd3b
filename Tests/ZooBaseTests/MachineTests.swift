import Testing
import ZooBase
import ZooTestSupport

@Suite struct MachineTests {
    @Test func knowsTheMachine() {
        #expect(!Machine.processorName.isEmpty)
        #expect((Machine.memoryByteCount ?? 0) > 1 << 28)
        #expect(Machine.loadedLibraryText("no_such_function_anywhere") == nil)
    }

    @Test func looksAtTheNearestFolderThatExists() throws {
        let folder = try TemporaryFolder()
        let system = try FileSystem(of: folder.file("not/yet/made"))
        #expect(system.folder == folder.path)
        #expect(system.isWritable)
        #expect(system.freeByteCount > 0)
        #expect(try FileSystem(of: "no-such-folder/x").folder == ".")
    }

    @Test func localFoldersAllowAWriteAheadLog() throws {
        let system = try FileSystem(of: "/proc")
        #expect(system.kind == "proc")
        #expect(!system.allowsWriteAheadLog)
    }

    @Test func everyCheckFindsSomethingUnderItsOwnKey() {
        let places = SystemCheck.Places(catalogPath: "zoos/catalog.sqlite", temporaryFolder: "/tmp")
        for check in MachineChecks.all {
            let findings = check.run(places)
            #expect(!findings.isEmpty)
            #expect(Set(findings.map(\.key)).count == findings.count)
            for finding in findings where finding.status == .problem { #expect(!finding.remedy.isEmpty) }
        }
    }

    @Test func aFolderThatCannotBeWrittenIsAProblem() {
        let places = SystemCheck.Places(catalogPath: "/proc/catalog.sqlite", temporaryFolder: "/tmp")
        let findings = MachineChecks.all.flatMap { $0.run(places) }
        #expect(findings.first { $0.key == "catalog_folder" }?.status == .problem)
    }
}
