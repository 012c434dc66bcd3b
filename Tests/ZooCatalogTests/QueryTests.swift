import Testing
import ZooBase
import ZooCatalog
import ZooTestSupport

@Suite struct ExpressionParserTests {
    @Test(arguments: [
        ("lr < ", 5), ("lr < < 1", 5), ("(lr < 1", 7), ("lr in ()", 7), ("lr ; drop", 3), ("'open", 0), ("lr is", 5),
        ("1 < lr < 2", 7), ("lr = 1x", 6), ("a between 1", 11), ("a = 1 b", 6), ("and", 0), ("lr = 1 or", 9),
    ])
    func faultsPointAtTheirPlace(_ text: String, _ position: Int) {
        do {
            _ = try ExpressionParser.parse(text, what: "where")
            Issue.record("'\(text)' was accepted")
        } catch let error as ZooError {
            let caret = "\n  " + String(repeating: " ", count: position) + "^"
            #expect(error.code == .usage)
            #expect(error.message.hasSuffix(caret), "\(error.message)")
        } catch {
            Issue.record("\(error)")
        }
    }

    @Test func precedence() throws {
        func tree(_ text: String) throws -> String { strip(try ExpressionParser.parse(text, what: "")) }
        #expect(try tree("a = 1 or b = 2 and not c = 3") == tree("(a = 1) or ((b = 2) and (not (c = 3)))"))
        #expect(try tree("a + b * -c < d") == tree("(a + (b * (-c))) < d"))
        #expect(try tree("a - b - c = 0") == tree("((a - b) - c) = 0"))
        #expect(try tree("x not in (1, 2)") == tree("not (x in (1, 2))"))
        #expect(try tree("x = 'a''b'") == tree("x = \"a'b\""))
        #expect(try tree("`odd name/x` = 1").contains("odd name/x"))
        #expect(try tree("optim::lr = resources.cpu").contains("optim::lr"))
    }

    private func strip(_ expression: ZooCatalog.Expression) -> String {
        "\(expression)".replacing(#/position: \d+/#, with: "")
    }

    @Test func depthAndLengthAreBounded() {
        let deep = String(repeating: "(", count: 300) + "1" + String(repeating: ")", count: 300)
        let minus = String(repeating: "-", count: 5000) + "x = 1"
        let long = String(repeating: "a = 1 or ", count: 1000) + "a = 1"
        for text in [deep, minus, long, String(repeating: " ", count: 20_000)] {
            #expect(throws: ZooError.self) { try ExpressionParser.parse(text, what: "where") }
        }
    }

    @Test func randomTextNeverCrashes() {
        var generator = SeededGenerator(seed: 3)
        let pieces = [
            "a", "1", "(", ")", "'", "\"", "and", "not", " ", "<", "=", "!", "~", "::", ".", "@", "é", "`", "in", ",",
            "-", "e",
        ]
        for _ in 0..<20_000 {
            let text = (0..<Int.random(in: 0...12, using: &generator)).map { _ in
                pieces.randomElement(using: &generator) ?? ""
            }.joined()
            _ = try? ExpressionParser.parse(text, what: "where")
        }
    }
}

@Suite struct QueryTests {
    private func small() throws -> (TemporaryFolder, Catalog) {
        let folder = try TemporaryFolder()
        let catalog = try Catalog.openOrCreate(folder.file("c.sqlite"))
        let writer = try catalog.writer()
        let zoo = try writer.upsert(ZooRecord(name: "z", dataset: "mnist"))
        let source = try writer.begin(SourceRecord(path: "z.zip", kind: "zip")).id
        for number in 0..<4 {
            let rate = [0.0001, 0.001, 0.01, 0.1][number]
            var model = ModelIngest(
                zoo: zoo, source: source, name: "trial_\(number)", path: "exp/trial_\(number)", architecture: "cnn",
                config: JSONObject([
                    ("optim::lr", .double(rate)), ("model::type", "CNN"), ("optim::type", .string("sgd")),
                    ("seed", .int(Int64(number))), ("cuda", .bool(number == 0)),
                    ("resources", .object(JSONObject([("cpu", .int(1))]))),
                ]))
            for epoch in [0, 5, 10] {
                let loss: Double? =
                    number == 3 && epoch > 0 ? .nan : number == 2 && epoch == 5 ? nil : Double(10 - epoch)
                model.results.append(
                    ResultRow(
                        epoch: epoch,
                        values: EpochValues(testLoss: loss, testAccuracy: Double(number) / 10 + Double(epoch) / 100)))
                model.checkpoints.append(
                    CheckpointIngest(
                        epoch: epoch, path: "checkpoint_\(epoch)", offset: 0, storedBytes: 1, encoding: .stored,
                        byteCount: 1, format: "pytorch", layout: RandomZoo.layout))
            }
            try writer.ingest(model)
        }
        try writer.finish(source)
        try writer.close()
        return (folder, catalog)
    }

    private func names(_ catalog: Catalog, _ condition: String, sort: [String] = [], limit: Int? = nil) throws
        -> [String]
    {
        try catalog.run(Query(where: condition, columns: ["model", "epoch"], sort: sort, limit: limit)).rows.map {
            "\($0[0].string ?? "-")@\($0[1].int ?? -1)"
        }
    }

    @Test func numbersAreNumbers() throws {
        let (_, catalog) = try small()
        #expect(try names(catalog, "lr = 1e-4 and epoch = last") == ["trial_0@10"])
        #expect(try names(catalog, "optim::lr = 0.00010 and @last") == ["trial_0@10"])
        #expect(try names(catalog, "lr between 1e-3 and 0.01 and epoch = 0") == ["trial_1@0", "trial_2@0"])
        #expect(try names(catalog, "cuda and epoch = 0") == ["trial_0@0"])
        #expect(try names(catalog, "resources.cpu = 1 and cpu = 1 and seed = 2 and epoch = 5") == ["trial_2@5"])
    }

    @Test func missingAndNaNStayApart() throws {
        let (_, catalog) = try small()
        #expect(try names(catalog, "test_loss is nan") == ["trial_3@5", "trial_3@10"])
        #expect(try names(catalog, "test_loss is null") == ["trial_2@5"])
        let rows = try catalog.run(Query(where: "seed >= 2 and epoch = 5", columns: ["test_loss"], sort: ["seed"])).rows
        #expect(rows[0][0] == .null)
        #expect(rows[1][0].double?.isNaN == true)
        #expect(try catalog.history(of: catalog.modelID(named: "trial_3")).last?.values.testLoss?.isNaN == true)
        // Neither is ever part of a comparison, or of its negation.
        #expect(try names(catalog, "test_loss > 0 or not (test_loss > 0)").count == 9)
    }

    @Test func sortsWithNothingLast() throws {
        let (_, catalog) = try small()
        for limit in [nil, 20] {
            let up = try names(catalog, "epoch = 5", sort: ["test_loss", "seed desc"], limit: limit)
            #expect(up == ["trial_1@5", "trial_0@5", "trial_3@5", "trial_2@5"])
            let down = try names(catalog, "epoch = 5", sort: ["-test_loss", "seed"], limit: limit)
            #expect(down == ["trial_0@5", "trial_1@5", "trial_2@5", "trial_3@5"])
        }
    }

    @Test func ambiguityIsReported() throws {
        let (_, catalog) = try small()
        do {
            _ = try catalog.run(Query(where: "type = 'CNN'"))
            Issue.record("'type' was accepted")
        } catch let error as ZooError {
            #expect(error.code == .usage)
            #expect(error.message.contains("'model::type'") && error.message.contains("'optim::type'"))
        }
        #expect(try names(catalog, "model::type = 'CNN' and optim::type = 'sgd' and epoch = 0").count == 4)
    }

    @Test func unknownNamesGetCandidates() throws {
        let (_, catalog) = try small()
        do {
            _ = try catalog.run(Query(where: "test_acuracy > 1"))
            Issue.record("accepted")
        } catch let error as ZooError {
            #expect(error.hint.contains("'test_accuracy'"))
        }
        #expect(throws: ZooError.self) { try catalog.run(Query(where: "architecture = cnn")) }
        #expect(throws: ZooError.self) { try catalog.run(Query(where: "architecture = 1")) }
        #expect(throws: ZooError.self) {
            try catalog.run(Query(where: "lr")).rows.isEmpty ? () : () as Void; throw ZooError(.usage, "")
        }
        #expect(throws: ZooError.self) { try catalog.run(Query(where: "mean(lr) > 1")) }
        #expect(throws: ZooError.self) { try catalog.run(Query(columns: ["lr"], groupBy: ["seed"])) }
    }

    @Test(arguments: [
        "model = 'x''; DROP TABLE model; --'", "model = \"x'; DELETE FROM checkpoint; --\"",
        "`x\"; DROP TABLE zoo` = 1",
        "model ~ '%'' OR 1=1'", "seed in (99, '2); DROP TABLE model; --')", "zoo = '\u{0}'",
        "lr = 1); DELETE FROM model; (1",
        "sqlite_version() = 1", "load_extension('x') = 1", "c.id = 1", "model like '%''%'",
    ])
    func injectionChangesNothing(_ condition: String) throws {
        let (_, catalog) = try small()
        for query in [
            Query(where: condition), Query(columns: [condition]), Query(sort: [condition]), Query(groupBy: [condition]),
            Query(from: .models, where: condition),
        ] {
            if let result = try? catalog.run(query) {
                #expect(result.rows.isEmpty || query.condition == nil)
            }
        }
        #expect(try catalog.run(Query()).rows.count == 12)
        #expect(try catalog.counts().models == 4)
    }

    @Test func bareNamesJoinKeysThatNoModelHasBothOf() throws {
        let zoo = try RandomZoo(seed: 5, models: 40)
        let result = try zoo.catalog.run(Query(where: "width = 4", columns: ["width", "id"]))
        #expect(result.rows.allSatisfy { $0[0] == .int(4) })
        #expect(result.rows.count == zoo.rows.filter { BruteForce.width($0) == 4 }.count)
        #expect(result.notes.count == 1)
        let full = try zoo.catalog.run(Query(where: "config.width = 4", columns: ["id"]))
        #expect(full.rows.count < result.rows.count)
    }

    @Test func modelsAndMetricsAreRowsToo() throws {
        let zoo = try RandomZoo(seed: 6, models: 40)
        let models = try zoo.catalog.run(Query(from: .models, sort: ["-best_test_accuracy", "id"], limit: 5))
        #expect(models.rows.count == 5)
        #expect(models.columns.contains("best_test_accuracy"))
        let metrics = try zoo.catalog.run(Query(from: .metrics, where: "metric = 'hessian_trace' and value is not nan"))
        #expect(metrics.rows.count == zoo.rows.filter { $0.trace.map { !$0.isNaN } ?? false }.count)
        let flags = try zoo.catalog.run(Query(from: .models, where: "diverged", columns: ["diverged", "flag"]))
        #expect(flags.rows.allSatisfy { $0[0] == .bool(true) })
        #expect(flags.types == [.truth, .truth])
    }

    @Test func countsWithoutGroups() throws {
        let (_, catalog) = try small()
        #expect(try catalog.run(Query(columns: ["count", "max(epoch)"])).rows == [[.int(12), .int(10)]])
        #expect(try catalog.run(Query(where: "seed > 1", columns: ["count"])).rows == [[.int(6)]])
        #expect(
            try catalog.run(Query(where: "epoch = 5 and seed = 9", columns: ["count", "mean(lr)"])).rows == [
                [.int(0), .null]
            ])
        #expect(
            try catalog.run(Query(from: .models, columns: ["count", "min(lr)"])).rows == [[.int(4), .double(0.0001)]])
        #expect(throws: ZooError.self) { try catalog.run(Query(columns: ["count", "model"])) }
    }

    @Test func rowsAreFoundByTheirIDs() throws {
        let (_, catalog) = try small()
        let id = try catalog.resolve("trial_2@5")[0].id
        #expect(try names(catalog, "id = \(id)", limit: 20) == ["trial_2@5"])
        #expect(try names(catalog, "id in (\(id), 99999) and epoch = 5", sort: ["model"], limit: 20) == ["trial_2@5"])
        var models: [Int64] = []
        // A call within a call is fine.
        try catalog.stream(Query(where: "epoch = 0", columns: ["model"]), header: { _, _ in }) { row in
            models.append(try catalog.modelID(named: row[0].string ?? ""))
        }
        #expect(models.count == 4)
    }

    @Test func longChainsWork() throws {
        let (_, catalog) = try small()
        for (join, part) in [(" or ", "lr = 0.1"), (" and ", "lr > 0.05")] {
            let text = repeatElement(part, count: 300).joined(separator: join)
            #expect(try catalog.run(Query(where: text)).rows.count == 3)
        }
        let sum = repeatElement("epoch", count: 300).joined(separator: " + ")
        #expect(try names(catalog, sum + " = 1500 and seed = 1") == ["trial_1@5"])
        #expect(try names(catalog, "epoch - 1 - 1 + 2 * 3 / 4 / 5 = 8.3 and seed = 0") == ["trial_0@10"])
    }

    @Test func deepQueriesAreRefusedByName() throws {
        let (_, catalog) = try small()
        var text = "lr = 1"
        for _ in 0..<90 { text = "not (" + text + ")" }
        do {
            _ = try catalog.run(Query(where: text))
            Issue.record("accepted")
        } catch let error as ZooError {
            #expect([.limit, .usage].contains(error.code), "\(error)")
        }
    }

    @Test func streamsInOrder() throws {
        let zoo = try RandomZoo(seed: 7, models: 30)
        var ids: [JSONValue] = []
        var header: [String] = []
        try zoo.catalog.stream(
            Query(columns: ["id"], sort: ["-test_accuracy"]), header: { names, _ in header = names },
            row: { ids.append($0[0]) })
        #expect(header == ["id"])
        #expect(
            ids
                == (try zoo.catalog.run(Query(columns: ["id"], sort: ["-test_accuracy"], limit: 1000)).rows.map {
                    $0[0]
                }))
    }

    @Test func sqlOnlyReads() throws {
        let (_, catalog) = try small()
        let result = try catalog.sql("SELECT count(*) AS n, 'x' FROM checkpoints -- all")
        #expect(result.columns == ["n", "'x'"])
        #expect(result.rows == [[.int(12), .string("x")]])
        #expect(try catalog.sql("WITH a AS (SELECT 1 AS x) SELECT x FROM a;").rows == [[.int(1)]])
        #expect(try catalog.sql("EXPLAIN QUERY PLAN SELECT * FROM models").rows.count > 0)
        for statement in [
            "DELETE FROM model", "PRAGMA query_only = OFF", "ATTACH 'x.sqlite' AS x", "SELECT 1; SELECT 2", "",
            "SELECT ?",
            "SELECT load_extension('x')", "CREATE TEMP TABLE t (a)", "BEGIN", "VACUUM INTO 'x'", "SELECT nothing",
            "SELEC",
            "INSERT INTO zoo (name) VALUES ('x') RETURNING id",
        ] {
            #expect(throws: ZooError.self, "\(statement)") { try catalog.sql(statement) }
        }
        #expect(try catalog.sql("SELECT id FROM checkpoints", rowLimit: 3).rows.count == 3)
        #expect(try catalog.run(Query(limit: 1)).rows.count == 1)
    }

    @Test func sqlStopsAtItsTimeLimit() throws {
        let (_, catalog) = try small()
        do {
            _ = try catalog.sql(
                "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n",
                timeLimit: 0.05)
            Issue.record("an endless statement ended")
        } catch let error as ZooError {
            #expect(error.code == .limit)
        }
        #expect(try catalog.sql("SELECT 1").rows.count == 1)
    }
}

extension BruteForce {
    static func width(_ row: RandomZoo.Row) -> Int? {
        (row.model.config["model::width"] ?? row.model.config["width"])?.int
    }
}
