import Testing
import ZooBase
import ZooReport
import ZooTestSupport

/// One table with every kind of cell, in every text format, against committed files.
@Suite struct RendererTests {
    static let everything = Table(
        [
            .init("id", .integer), .init("member", isPath: true), .init("test_accuracy", .double),
            .init("hessian_trace", .double, digits: 3), .init("size", .integer, unit: .bytes),
            .init("parameters", .integer, unit: .count), .init("wall", .double, unit: .seconds),
            .init("sparsity", .double, unit: .fraction), .init("best", .bool), .init("config", .json),
        ],
        rows: [
            [
                .int(1), .text("zoo.zip!/trial_00001/checkpoint_000050/checkpoints"), .double(0.91234),
                .double(123.456),
                .int(1_234_567), .int(2_464), .double(3.25), .double(0.5), .bool(true),
                .json(["lr": 0.01, "act": "relu"]),
            ],
            [
                .int(2), .text("quotes \" and, commas\nand lines | bars_*"), .double(0.5), .double(.nan), .int(12),
                .int(999), .double(185), .double(0.987), .bool(false), .json([]),
            ],
            [
                .int(3), .text("größe/模型/🐼"), .missing(reason: "no test split"), .double(-.infinity), .null, .null,
                .null,
                .null, .null, .null,
            ],
            [
                .int(4), .text(""), .integer(1), .double(1.5e-9), .int(0), .int(0), .double(0), .double(0), .bool(true),
                .json(.string("text")),
            ],
        ],
        metadata: ["zoo.command": "query"])

    @Test(arguments: ["text", "json", "jsonl", "csv", "markdown"])
    func rendersAsCommitted(_ name: String) throws {
        let format = try #require(TableFormat.named(name))
        let text = try Self.everything.rendered(as: format)
        #expect(Golden.difference(text, "Tests/ZooReportTests/Fixtures/everything.\(format.extensions[0])") == nil)
    }

    @Test(arguments: ["text", "json", "jsonl", "csv", "markdown"])
    func rendersNoRows(_ name: String) throws {
        let format = try #require(TableFormat.named(name))
        let expected = [
            "text": "a  b (ms)\n", "json": "[]\n", "jsonl": "", "csv": "a,b\r\n",
            "markdown": "| a | b (ms) |\n| --- | ---: |\n",
        ]
        let table = Table([.init("a"), .init("b", .double, unit: .named("ms"))])
        #expect(try table.rendered(as: format) == expected[name])
    }

    @Test func jsonIsReadBackWithReasons() throws {
        let rows = try #require(JSONParser.parse(Self.everything.rendered(as: .json)).array)
        #expect(rows.count == 4)
        #expect(rows[0]["test_accuracy"] == .double(0.91234))
        #expect(rows[0]["test_accuracy_reason"] == nil)
        #expect(rows[1]["hessian_trace"] == .null)
        #expect(rows[1]["hessian_trace_reason"] == "NaN")
        #expect(rows[2]["test_accuracy_reason"] == "no test split")
        #expect(rows[2]["size"] == .null)
        #expect(rows[2]["size_reason"] == nil)
        let lines = try Self.everything.rendered(as: .jsonl).split(separator: "\n")
        #expect(try lines.map { try JSONParser.parse(String($0)) } == rows)
    }

    @Test func everyFormatHasANameAndEndingsOfItsOwn() {
        #expect(Set(TableFormat.all.map(\.name)).count == TableFormat.all.count)
        let endings = TableFormat.all.flatMap(\.extensions)
        #expect(Set(endings).count == endings.count)
        for format in TableFormat.all {
            #expect(TableFormat.forFile("a.b/x.\(format.extensions[0])")?.name == format.name)
        }
        #expect(TableFormat.forFile("results") == nil)
        #expect(TableFormat.forFile("results.CSV")?.name == "csv")
    }

    @Test func repeatedNamesAreToldApart() {
        let columns = [Table.Column("id"), .init("id"), .init("id_2"), .init("id")]
        #expect(columns.uniquelyNamed.map(\.name) == ["id", "id_2", "id_2_2", "id_3"])
    }
}

@Suite struct TextLayoutTests {
    private let path = "archives/zoo.zip!/trial_00012/checkpoint_000050/checkpoints"

    @Test func narrowTerminalsCutPathsInTheMiddle() throws {
        let table = Table(
            [.init("id", .integer), .init("member", isPath: true), .init("note")],
            rows: [[.int(1), .text(path), .text("fine")]])
        let text = try table.rendered(as: .text, RenderOptions(width: 40))
        let lines = text.split(separator: "\n").map(String.init)
        #expect(lines.allSatisfy { $0.count <= 40 })
        #expect(lines[1].contains("archives/zo…"))
        #expect(lines[1].contains("checkpoints  fine"))
        #expect(try table.rendered(as: .text).contains(path))
    }

    @Test func numbersAreNeverCut() throws {
        let table = Table([.init("n", .integer), .init("t")], rows: [[.integer(.max), .text("abcdefghijklmnop")]])
        let text = try table.rendered(as: .text, RenderOptions(width: 10))
        #expect(text.contains("9223372036854775807"))
        #expect(text.contains("abcdefg…"))
    }

    @Test func decimalPointsLineUp() throws {
        var table = Table([.init("loss", .double)])
        for value in [2.3012, 0.5, 0.0123] { table.append([.double(value)]) }
        #expect(try table.rendered(as: .text) == " loss\n2.301\n0.500\n0.012\n")
        table.append([.double(1e-9)])
        #expect(try table.rendered(as: .text) == "  loss\n 2.301\n   0.5\n0.0123\n 1e-09\n")
    }

    @Test func wideCharactersTakeTwoColumns() throws {
        let table = Table(
            [.init("name"), .init("x")], rows: [[.text("模型"), .text("1")], [.text("e\u{301}t"), .text("2")]])
        #expect(try table.rendered(as: .text) == "name  x\n模型  1\ne\u{301}t    2\n")
    }

    @Test func escapesFromFilesNeverReachTheTerminal() throws {
        let table = Table([.init("name")], rows: [[.text("a\u{1B}[31mb\u{202E}c")]])
        #expect(try table.rendered(as: .text) == "name\na\u{FFFD}[31mb\u{FFFD}c\n")
    }

    @Test func headingsAreBoldInColor() throws {
        let table = Table([.init("name")], rows: [[.text("x")]])
        #expect(try table.rendered(as: .text, RenderOptions(color: true)) == "\u{1B}[1mname\u{1B}[0m\nx\n")
    }

    @Test func widthsOfTheFirstRowsHoldForTheRest() throws {
        var table = Table([.init("name"), .init("n", .integer)])
        for number in 0..<1500 { table.append([.text(number < 1200 ? "ab" : "a longer one"), .int(number)]) }
        let lines = try table.rendered(as: .text).split(separator: "\n")
        #expect(lines.count == 1501)
        #expect(lines[1000] == "ab    999")
        #expect(lines[1201] == "a longer one  1200")
    }
}
