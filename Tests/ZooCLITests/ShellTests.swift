import Synchronization
import Testing
import ZooBase
import ZooCLI

/// Gathers what a console was told to print.
final class Transcript: Sendable {
    private let texts = Mutex<[String]>([])

    var console: Console { Console { text in self.texts.withLock { $0.append(text) } } }
    var all: [String] { texts.withLock { $0 } }
}

@Suite struct ErrorReportTests {
    @Test func anErrorIsOneLineAndItsHint() {
        let error = ZooError(.corrupt, "zoo.zip: expected 8 bytes, found 3", hint: "download it again")
        #expect(
            ErrorReport.lines(error, isVerbose: false)
                == ["zoo: error: zoo.zip: expected 8 bytes, found 3", "hint: download it again"])
        #expect(ErrorReport.lines(ZooError(.io, "x"), isVerbose: false) == ["zoo: error: x"])
    }

    @Test func verboseShowsTheChainOfCauses() {
        let inner = ZooError(.io, "read failed", cause: ZooError(.limit, "too large"))
        let lines = ErrorReport.lines(ZooError(.corrupt, "outer", cause: inner), isVerbose: true)
        #expect(lines == ["zoo: error: outer", "code: corrupt", "caused by: read failed", "caused by: too large"])
    }

    @Test func namesFromFilesCannotForgeLines() {
        let lines = ErrorReport.lines(ZooError(.corrupt, "a\nzoo: fine\u{1B}[2J"), isVerbose: false)
        #expect(lines == ["zoo: error: a\\u{a}zoo: fine\\u{1b}[2J"])
    }

    @Test func partialFailuresAreListed() {
        let items = (1...23).map { PartialFailure.Item("m\($0)", ZooError(.corrupt, "bad")) }
        let failure = PartialFailure(items, of: 2000, kind: "members")
        let lines = ErrorReport.lines(failure, isVerbose: false)
        #expect(lines.count == 22)
        #expect(lines[0] == "zoo: failed: m1: bad")
        #expect(lines[20] == "zoo: failed: and 3 more; --verbose lists them all")
        #expect(lines[21] == "zoo: error: 23 of 2,000 members failed")
        #expect(ExitStatus.of(failure) == 3)
    }

    @Test func longReasonsAreSaidOnce() {
        let reason = String(repeating: "x", count: 200)
        let items = ["a", "b", "c"].map { PartialFailure.Item($0, ZooError(.corrupt, $0 == "c" ? "other" : reason)) }
        let lines = ErrorReport.lines(PartialFailure(items, of: 3), isVerbose: false)
        #expect(lines.prefix(3) == ["zoo: failed: a: \(reason)", "zoo: failed: b: as a", "zoo: failed: c: other"])
        let all = ErrorReport.lines(PartialFailure(items, of: 3), isVerbose: true)
        #expect(all.count { $0.hasSuffix(reason) } == 2)
    }

    @Test func hintsOfFailedItemsAreSaidOnce() {
        let items = (1...3).map { PartialFailure.Item("m\($0)", ZooError(.corrupt, "bad", hint: $0 < 3 ? "a" : "b")) }
        let lines = ErrorReport.lines(PartialFailure(items, of: 3), isVerbose: false)
        #expect(lines.filter { $0.hasPrefix("hint: ") } == ["hint: a", "hint: b"])
    }

    @Test(arguments: ZooError.Code.allCases)
    func statuses(_ code: ZooError.Code) {
        let expected: Int32 = code == .usage ? 64 : code == .interrupted ? 130 : 1
        #expect(ExitStatus.of(ZooError(code, "x")) == expected)
    }
}

@Suite struct ConsoleTests {
    @Test func messagesPassAboveTheBar() {
        let transcript = Transcript()
        let console = transcript.console
        console.line("one")
        console.draw("50 %")
        console.line("two")
        console.draw(nil)
        console.draw(nil)
        #expect(
            transcript.all
                == ["one\n", "\r\u{1B}[K50 %", "\r\u{1B}[Ktwo\n50 %", "\r\u{1B}[K"])
    }
}

@Suite struct ProgressReporterTests {
    /// A clock that tests move.
    private final class Clock: Sendable {
        private let now = Mutex(0.0)
        var read: @Sendable () -> Double { { self.now.withLock { $0 } } }
        func pass(_ seconds: Double) { now.withLock { $0 += seconds } }
    }

    private func bars(_ transcript: Transcript) -> [String] {
        transcript.all.map { String($0.dropFirst("\r\u{1B}[K".count)) }
    }

    @Test func drawsABarWithRateAndRest() {
        let transcript = Transcript()
        let clock = Clock()
        let reporter = ProgressReporter(
            "indexing", total: 1000, unit: .items("checkpoints"), style: .bar(width: 100, unicode: false),
            console: transcript.console, clock: clock.read)
        clock.pass(2)
        reporter.advance(by: 500)
        #expect(
            bars(transcript) == [
                "indexing  ###############...............  50 %  500/1,000 checkpoints  250/s  2 s left"
            ])
        clock.pass(0.01)
        reporter.advance()
        #expect(bars(transcript).count == 1)
        reporter.advance(by: 499)
        #expect(bars(transcript).last?.contains("100 %  1,000/1,000") == true)
        reporter.finish()
        #expect(bars(transcript).last == "")
    }

    @Test func neverClaimsMoreThanItKnows() {
        let transcript = Transcript()
        let clock = Clock()
        let reporter = ProgressReporter(
            "reading", total: 200, unit: .bytes, style: .bar(width: 80, unicode: true), console: transcript.console,
            clock: clock.read)
        clock.pass(1)
        reporter.advance(by: 199)
        #expect(bars(transcript).last?.contains("99 %") == true)
        clock.pass(1)
        reporter.advance(by: 801)
        // More was done than there should have been: the total goes, what was done stays.
        #expect(bars(transcript).last == "reading  1.00 kB  237 B/s")
        reporter.setTotal(nil)
        reporter.finish()
        reporter.advance(by: 1)
        #expect(bars(transcript).last == "")
    }

    @Test func barsFitTheTerminal() {
        for width in [5, 20, 40, 60, 200] {
            let transcript = Transcript()
            let clock = Clock()
            let reporter = ProgressReporter(
                "indexing", total: 2_600_000, unit: .items("checkpoints"), style: .bar(width: width, unicode: true),
                console: transcript.console, clock: clock.read)
            clock.pass(1)
            reporter.advance(by: 1_234_567)
            #expect(bars(transcript)[0].count < width)
        }
    }

    @Test func linesComeNowAndThen() {
        let transcript = Transcript()
        let clock = Clock()
        let reporter = ProgressReporter(
            "indexing", total: 100, unit: .items("members"), style: .lines, console: transcript.console,
            clock: clock.read)
        for _ in 0..<50 {
            clock.pass(1)
            reporter.advance()
        }
        reporter.finish()
        #expect(
            transcript.all == [
                "indexing: 20 of 100 members (20 %), 1/s, 1 min 20 s left\n",
                "indexing: 40 of 100 members (40 %), 1/s, 1 min left\n",
            ])
    }

    @Test func quietIsSilent() {
        let transcript = Transcript()
        let clock = Clock()
        let reporter = ProgressReporter(
            "x", total: 1, unit: .bytes, style: .silent, console: transcript.console, clock: clock.read)
        clock.pass(100)
        reporter.advance()
        reporter.finish()
        #expect(transcript.all.isEmpty)
    }

    @Test func countsFromManyThreads() throws {
        let transcript = Transcript()
        let clock = Clock()
        let reporter = ProgressReporter(
            "x", total: 1000, unit: .items("items"), style: .bar(width: 80, unicode: false),
            console: transcript.console, clock: clock.read)
        try Parallel.forEach(count: 1000, jobs: 4) { _ in reporter.advance() }
        #expect(bars(transcript).last?.contains("1,000/1,000 items") == true)
    }
}
