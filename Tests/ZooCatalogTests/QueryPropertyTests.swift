import Testing
import ZooBase
import ZooCatalog
import ZooTestSupport

/// Random conditions and sort keys on random catalogs, against `BruteForce`.
@Suite struct QueryPropertyTests {
    private struct Writer {
        var generator: SeededGenerator

        mutating func pick(_ choices: [String]) -> String { choices.randomElement(using: &generator) ?? "" }

        mutating func number(_ depth: Int) -> String {
            switch Int.random(in: 0..<(depth > 0 ? 10 : 6), using: &generator) {
            case 0: return pick(["0", "1", "0.5", "0.125", "-2", "1e-3", "4.5", ".25", "3"])
            case 1: return pick(["lr", "width", "mixed", "optim::lr"])
            case 2...4:
                return pick([
                    "test_accuracy", "train_accuracy", "test_loss", "val_accuracy", "epoch", "ggap", "bytes",
                    "train_loss",
                ])
            case 5: return pick(["hessian_trace", "grad_norm"])
            case 6: return "-" + "(\(number(depth - 1)))"
            case 7: return "abs(\(number(depth - 1)))"
            default: return "(\(number(depth - 1)) \(pick(["+", "-", "*", "/"])) \(number(depth - 1)))"
            }
        }

        mutating func text() -> String {
            pick([
                "'relu'", "'4'", "\"m1_1\"", "'cnn'", "nlin", "architecture", "zoo", "model", "'beta'", "mixed", "lr",
            ])
        }

        mutating func condition(_ depth: Int) -> String {
            switch Int.random(in: 0..<(depth > 0 ? 16 : 9), using: &generator) {
            case 0...2: return "\(number(1)) \(pick(["=", "==", "!=", "<>", "<", "<=", ">", ">="])) \(number(1))"
            case 3: return "\(text()) \(pick(["=", "!=", "<", ">"])) \(text())"
            case 4: return "\(number(0)) \(pick(["", "not "]))in (\(number(0)), 1, 0.5)"
            case 5: return "\(number(0)) \(pick(["", "not "]))between \(pick(["0", "0.25"])) and \(pick(["0.5", "3"]))"
            case 6: return "\(number(0)) is \(pick(["", "not "]))\(pick(["null", "nan"]))"
            case 7: return pick(["diverged", "@last", "epoch = best", "epoch != last", "flag", "flag = true", "true"])
            case 8:
                return
                    "\(pick(["model", "nlin", "architecture", "mixed"])) \(pick(["~", "!~"])) \(pick(["'1'", "'e'", "'m1_'"]))"
            case 9, 10: return "not (\(condition(depth - 1)))"
            case 11, 12: return "(\(condition(depth - 1)) or \(condition(depth - 1)))"
            default: return "\(condition(depth - 1)) and \(condition(depth - 1))"
            }
        }
    }

    /// The usual way, and each of the others forced.
    private static let limits: [PlannerLimits] = [
        PlannerLimits(), PlannerLimits(chunk: 1), PlannerLimits(modelSet: 0, patience: 0, chunk: 1),
        PlannerLimits(modelSet: 0, patience: 5, lastPatience: 5, chunk: 2), PlannerLimits(modelSet: 0, lastPatience: 0),
        PlannerLimits(modelSet: 0, checkpointSet: 0, chunk: 3), PlannerLimits(modelSet: 3, checkpointSet: 2),
    ]

    private static func key(_ value: BruteForce.Value) -> SQLValue {
        switch value {
        case .unknown: .null
        case .number(let number): .double(number)
        case .text(let text): .text(text)
        case .truth(let truth): .double(truth ? 1 : 0)
        case .config(let json):
            switch json {
            case .string(let text): .text(text)
            case .bool(let truth): .double(truth ? 1 : 0)
            default: json?.double.map { .double($0) } ?? .null
            }
        }
    }

    private static func isBefore(_ left: SQLValue, _ right: SQLValue, isDescending: Bool) -> Bool? {
        switch (left, right) {
        case (.null, .null): return nil
        case (.null, _): return false
        case (_, .null): return true
        case (.double(let a), .double(let b)): return a == b ? nil : (a < b) != isDescending
        case (.text(let a), .text(let b)): return a == b ? nil : (a < b) != isDescending
        case (.double, .text): return !isDescending
        default: return isDescending
        }
    }

    private static func expected(_ zoo: RandomZoo, _ condition: String, _ sort: [(String, Bool)]) throws -> [Int64] {
        let expression = try ExpressionParser.parse(condition, what: "where")
        let keys = try sort.map { (try ExpressionParser.parse($0.0, what: "sort"), $0.1) }
        let rows = zoo.rows.filter { BruteForce(row: $0).holds(expression) }
        let ranked = rows.map { row in (row, keys.map { key(BruteForce(row: row).evaluate($0.0)) }) }
        return ranked.sorted { left, right in
            for index in keys.indices {
                let order = isBefore(left.1[index], right.1[index], isDescending: keys[index].1)
                if let order { return order }
            }
            return (left.0.modelID, left.0.id) < (right.0.modelID, right.0.id)
        }.map(\.0.id)
    }

    @Test(arguments: 0..<12) func sameRowsAsBruteForce(_ seed: Int) throws {
        let zoo = try RandomZoo(seed: UInt64(seed), models: 60)
        var writer = Writer(generator: SeededGenerator(seed: UInt64(1000 + seed)))
        var answered = 0
        for _ in 0..<250 {
            let condition = writer.condition(3)
            let sort = (0..<Int.random(in: 0...2, using: &writer.generator)).map { _ in
                (
                    writer.pick([
                        "test_accuracy", "test_loss", "epoch", "lr", "model", "hessian_trace", "width", "ggap",
                        "grad_norm",
                        "test_loss + epoch", "architecture", "diverged", "mixed", "best_epoch - best_epoch + width",
                    ]), Bool.random(using: &writer.generator)
                )
            }.filter { !$0.0.contains("best_epoch") }
            let limit = [nil, 1, 3, 10, 100].randomElement(using: &writer.generator) ?? nil
            let query = Query(
                where: condition, columns: ["id"], sort: sort.map { $0.0 + ($0.1 ? " desc" : "") }, limit: limit)
            let result: QueryResult
            do {
                result = try zoo.catalog.run(
                    query, limits: Self.limits.randomElement(using: &writer.generator) ?? PlannerLimits())
            } catch let error as ZooError where error.code == .usage {
                // Kinds that do not fit, as a number and a text; the generator does not avoid them.
                continue
            }
            answered += 1
            let all = try Self.expected(zoo, condition, sort)
            let wanted = limit.map { Array(all.prefix($0)) } ?? all
            let got = result.rows.compactMap { if case .int(let id) = $0[0] { id } else { nil } }
            #expect(got == wanted, "where \(condition) sort \(query.sort) limit \(String(describing: limit))")
        }
        #expect(answered > 150)
    }

    @Test(arguments: 0..<4) func sameGroupsAsBruteForce(_ seed: Int) throws {
        let zoo = try RandomZoo(seed: UInt64(50 + seed), models: 60)
        var writer = Writer(generator: SeededGenerator(seed: UInt64(2000 + seed)))
        for _ in 0..<80 {
            let condition = writer.pick([
                "true", "lr < 0.05", "@last", "test_accuracy > 0.3", "epoch = 2", "not diverged",
            ])
            let key = writer.pick(["zoo", "lr", "epoch", "nlin", "diverged", "mixed"])
            let value = writer.pick([
                "test_accuracy", "width", "epoch", "hessian_trace", "train_accuracy - test_accuracy",
            ])
            let result = try zoo.catalog.run(
                Query(
                    where: condition,
                    columns: [
                        key, "count", "count(\(value))", "mean(\(value))", "min(\(value))", "max(\(value))",
                        "sum(\(value))",
                    ],
                    groupBy: [key]))
            let (test, keyTree, tree) = try (
                ExpressionParser.parse(condition, what: ""), ExpressionParser.parse(key, what: ""),
                ExpressionParser.parse(value, what: "")
            )
            let rows = zoo.rows.filter { BruteForce(row: $0).holds(test) }
            let groups = Dictionary(grouping: rows) { Self.key(BruteForce(row: $0).evaluate(keyTree)) }
            #expect(result.rows.count == groups.count, "\(condition) by \(key)")
            for row in result.rows {
                let name: SQLValue =
                    switch row[0] {
                    case .string(let text): .text(text)
                    case .bool(let truth): .double(truth ? 1 : 0)
                    default: row[0].double.map { .double($0) } ?? .null
                    }
                let members = groups[name] ?? []
                let values = members.compactMap { member -> Double? in
                    if case .double(let number) = Self.key(BruteForce(row: member).evaluate(tree)) {
                        number
                    } else {
                        nil
                    }
                }
                #expect(row[1] == .int(Int64(members.count)), "\(condition) by \(key)")
                #expect(row[2] == .int(Int64(values.count)), "\(condition) by \(key) of \(value)")
                let sum = values.reduce(0, +)
                let wanted = values.isEmpty ? nil : sum / Double(values.count)
                #expect(Self.isNear(row[3].double, wanted), "mean \(value) where \(condition) by \(key)")
                #expect(row[4].double == values.min())
                #expect(row[5].double == values.max())
                #expect(Self.isNear(row[6].double, values.isEmpty ? nil : sum))
            }
        }
    }

    /// Sums of eighths and halves are exact up to rounding of the mean.
    private static func isNear(_ left: Double?, _ right: Double?) -> Bool {
        guard let left, let right else { return left == nil && right == nil }
        return abs(left - right) <= 1e-12 * max(1, abs(right))
    }
}
