import Foundation
import Testing
import ZooBase
import ZooFormats
import ZooTestSupport

/// Seeded damage of small archives of every kind; `ZOO_FUZZ_ITERATIONS` asks for more than a test run's share.
@Suite struct ArchivesFuzzTests {
    @Test func mutatedArchivesNeverCrash() throws {
        let files = [
            "archives/files.zip", "archives/files-pax.tar", "archives/files-gnu.tar", "archives/files.tar.gz",
            "archives/files.tar.xz", "archives/files.tar.bz2", "archives/files.tar.zst", "archives/files.7z",
            "archives/nested-stored.tar", "archives/nested-deflated.zip", "hostile/quine.zip",
        ]
        let corpus = try files.map { try ArchiveFixture.bytes($0).array }
        let wanted = ProcessInfo.processInfo.environment["ZOO_FUZZ_ITERATIONS"].flatMap { Int($0) } ?? 3_000
        let summary = try MutationFuzzer(seed: 20, corpus: corpus).run(iterations: wanted, ArchiveFixture.readAll)
        #expect(summary.accepted > 0 && summary.refused > 0)
        if wanted > 3_000 { print("fuzz: \(summary)") }
    }

    @Test func theSameSeedGivesTheSameInputs() {
        let corpus: [[UInt8]] = [Array(0..<200), Array(repeating: 7, count: 50)]
        let (one, two) = (MutationFuzzer(seed: 3, corpus: corpus), MutationFuzzer(seed: 3, corpus: corpus))
        let other = MutationFuzzer(seed: 4, corpus: corpus)
        #expect((0..<100).allSatisfy { one.input(iteration: $0) == two.input(iteration: $0) })
        #expect((0..<100).contains { one.input(iteration: $0) != other.input(iteration: $0) })
    }

    @Test func otherErrorsFailTheRun() {
        struct Other: Error {}
        let fuzzer = MutationFuzzer(seed: 1, corpus: [[1, 2, 3]])
        #expect(throws: MutationFuzzer.Failure.self) { try fuzzer.run(iterations: 3) { _ in throw Other() } }
        #expect(throws: MutationFuzzer.Failure.self) {
            try fuzzer.run(iterations: 3) { _ in throw ZooError(.internal, "defect") }
        }
    }
}
