import Foundation
import Testing
import ZooBase
import ZooTestSupport

/// Metrics as a file beside a zoo: written, read back, and files that make no sense.
@Suite struct MetricFileTests {
    private static let zoo = "digits-mlp-phases"

    @Test func exportIsTheFileBesideTheZoo() throws {
        let bench = try PhaseCatalog.shared.get()
        let path = bench.file("again.metrics.jsonl")
        let run = try bench.zoo("export", "zoo = '\(Self.zoo)'", "--format", "metrics", "--to", path)
        #expect(run.status == 0, "\(run.errors)")
        let shipped = try String(contentsOfFile: Repository.path("zoos/\(Self.zoo).metrics.jsonl"), encoding: .utf8)
        #expect(try String(contentsOfFile: path, encoding: .utf8) == shipped)
    }

    private func bareZoo(_ bench: Workbench) throws {
        let copy = bench.file("\(Self.zoo).tar.gz")
        try FileManager.default.copyItem(atPath: Repository.path("zoos/\(Self.zoo).tar.gz"), toPath: copy)
        let run = try bench.zoo("index", copy)
        #expect(run.status == 0, "\(run.errors)")
        #expect(try bench.number("SELECT count(*) FROM metric") == 0)
    }

    @Test func importsOnceAndKeepsOwnValues() throws {
        let bench = try Workbench()
        try bareZoo(bench)
        let own = try bench.zoo(
            "landscape", "where:width = 2 and batchsize = 4", "--data", "digits-standard:train", "--subset", "50",
            "--metrics", "loss")
        #expect(own.status == 0, "\(own.errors)")
        let sql = "SELECT round(sum(value), 9) FROM metrics WHERE metric = 'landscape_loss'"
        let before = try bench.rows("sql", sql).first
        let file = Repository.path("zoos/\(Self.zoo).metrics.jsonl")
        let first = try bench.zoo("index", file)
        #expect(first.status == 0 && first.errors.contains("3 were known"), "\(first.errors)")
        let count = try bench.number("SELECT count(*) FROM metric"), runs = try bench.number("SELECT count(*) FROM run")
        let second = try bench.zoo("index", file)
        #expect(second.errors.contains(" 0 metrics added"), "\(second.errors)")
        #expect(try bench.number("SELECT count(*) FROM metric") == count)
        #expect(try bench.number("SELECT count(*) FROM run") == runs)
        #expect(try bench.rows("sql", sql).first != before)
        let mine = try bench.rows(
            "sql",
            "SELECT count(*) AS n FROM metrics x JOIN run r ON r.id = x.run_id WHERE x.metric = 'landscape_loss' AND "
                + "r.command LIKE '%--subset%'")
        #expect(mine.first?["n"]?.int == 3)
    }

    @Test func otherCheckpointsGetNothing() throws {
        let bench = try Workbench()
        try bareZoo(bench)
        let lines = try String(contentsOfFile: Repository.path("zoos/\(Self.zoo).metrics.jsonl"), encoding: .utf8)
        // Another digest is another network, whatever it is called.
        let path = bench.file("other.metrics.jsonl")
        let changed = lines.replacing(try Regex("\"digest\":\"[0-9a-f]{4}"), with: "\"digest\":\"beef")
        try Data(changed.utf8).write(to: URL(fileURLWithPath: path))
        let run = try bench.zoo("index", path)
        #expect(run.status == 1 && run.errors.contains("none of its 144 checkpoints"), "\(run.errors)")
        let named = try bench.zoo("index", Repository.path("zoos/\(Self.zoo).metrics.jsonl"), "--zoo", "nosuch")
        #expect(named.status == 1 && named.errors.contains("--zoo"), "\(named.errors)")
    }

    @Test func badLinesAreNamed() throws {
        let bench = try Workbench()
        try bareZoo(bench)
        let head = #"{"format":"zoo-metrics","version":1,"zoo":"digits-mlp-phases"}"#
        for (text, problem) in [
            ("", "empty"), ("{}", "line 1: no metrics"), ("[1]", "line 1: expected a JSON object"),
            (#"{"format":"zoo-metrics","version":9}"#, "version 9"),
            (head + "\n{\"metric\":\"a\",\"checkpoint\":1,\"value\":1}", "line 2: 'checkpoint' is 1; 0 of them"),
            (head + "\n{\"checkpoint\":2,\"model\":\"m\"}", "line 2: checkpoint 2, expected 1"),
            (
                head + "\n{\"checkpoint\":1,\"model\":\"m\"}\n{\"metric\":\"a\",\"checkpoint\":1,\"value\":\"x\"}",
                "line 3"
            ),
            (head + "\n{\"checkpoint\":1,", "line 2"), (head + "\n{\"what\":1}", "line 2: expected 'metric'"),
        ] {
            let path = bench.file("bad.metrics.jsonl")
            try Data(text.utf8).write(to: URL(fileURLWithPath: path))
            let run = try bench.zoo("index", path)
            #expect(run.status == 1 && run.errors.contains(problem), "\(text): \(run.errors)")
        }
    }
}
