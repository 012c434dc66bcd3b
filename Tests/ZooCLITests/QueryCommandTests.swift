import Foundation
import Testing
import ZooBase
import ZooTestSupport

/// `zoo query` and `zoo show` against the trials' own `result.json`.
@Suite struct QueryCommandTests {
    @Test func valuesAreThoseOfTheTrials() throws {
        let bench = try SampleCatalog.shared.get()
        let results = try SampleZoo.results()
        #expect(results.count == 76)
        let columns = [
            ("train_loss", "train_loss"), ("train_accuracy", "train_acc"), ("val_loss", "val_loss"),
            ("val_accuracy", "val_acc"), ("test_loss", "test_loss"), ("test_accuracy", "test_acc"),
        ]
        let rows = try bench.rows(
            "query", "zoo = 'digits-cnn'", "--columns",
            "model, epoch, " + columns.map(\.0).joined(separator: ", "))
        #expect(rows.count == 452)
        var nans = 0
        for row in rows {
            let lines = try #require(results[row["model"]?.string ?? ""])
            let epoch = try #require(row["epoch"]?.int)
            let line = try #require(lines.first { $0["training_iteration"]?.int == epoch })
            for (column, key) in columns {
                let expected = try #require(line[key]?.double)
                if expected.isNaN {
                    nans += 1
                    #expect(row[column] == .null)
                    #expect(row["\(column)_reason"] == "NaN")
                } else {
                    #expect(row[column]?.double == expected)
                    #expect(row["\(column)_reason"] == nil)
                }
            }
        }
        #expect(nans > 0)
    }

    @Test func groupsAreMeansOfTheLastResults() throws {
        let bench = try SampleCatalog.shared.get()
        var groups: [String: [Double]] = [:]
        for lines in try SampleZoo.results().values {
            let last = try #require(lines.last)
            let activation = try #require(last["config"]?["model::nlin"]?.string)
            groups[activation, default: []].append(try #require(last["test_acc"]?.double))
        }
        let rows = try bench.rows(
            "query", "zoo = 'digits-cnn'", "--from", "models", "--group-by", "nlin", "--columns",
            "nlin, count, mean(test_accuracy)")
        #expect(rows.count == groups.count)
        for row in rows {
            let values = try #require(groups[row["nlin"]?.string ?? ""])
            #expect(row["count"]?.int == values.count)
            let mean = values.reduce(0, +) / Double(values.count)
            #expect(abs(try #require(row["mean(test_accuracy)"]?.double) - mean) < 1e-12)
        }
    }

    @Test func sortsAndLimits() throws {
        let bench = try SampleCatalog.shared.get()
        let all = try SampleZoo.results().values.flatMap { $0 }.filter { ($0["training_iteration"]?.int ?? 1) % 5 == 0 }
        let losses = all.compactMap { $0["test_loss"]?.double }.filter { !$0.isNaN }.sorted()
        let smallest = try bench.rows("query", "zoo = 'digits-cnn'", "--sort", "test_loss", "--limit", "5")
        #expect(smallest.compactMap { $0["test_loss"]?.double } == Array(losses.prefix(5)))
        let largest = try bench.rows("query", "zoo = 'digits-cnn'", "--sort", "-test_loss", "--limit", "5")
        #expect(largest.compactMap { $0["test_loss"]?.double } == losses.suffix(5).reversed())
        #expect(try bench.rows("query", "--limit", "0").isEmpty)
        let last = try bench.rows("query", "epoch = last and zoo = 'digits-cnn'", "--columns", "model, epoch")
        #expect(last.count == 76)
        #expect(last.filter { $0["epoch"] == 25 }.count == 75)
    }

    @Test func csvHasAHeaderAndQuotes() throws {
        let bench = try SampleCatalog.shared.get()
        let run = try bench.zoo(
            "query", "diverged and epoch = 25 and seed = 2", "--columns", "epoch, model, lr, nlin, test_loss", "--csv")
        #expect(run.status == 0)
        let name = try #require(try SampleZoo.results().keys.first { $0.contains("_00073_") })
        #expect(run.output == "epoch,model,lr,nlin,test_loss\r\n25,\"\(name)\",30.0,relu,NaN\r\n")
    }

    @Test func unknownNamesAreCorrected() throws {
        let bench = try SampleCatalog.shared.get()
        let run = try bench.zoo("query", "test_acuracy > 0.9")
        #expect(run.status == 64)
        #expect(run.output == "")
        #expect(run.errors.hasPrefix("zoo: error: where: unknown name 'test_acuracy'"))
        #expect(run.errors.contains("\nhint: did you mean 'test_accuracy'"))
        for wrong in [["lr = 0.01 and"], ["--sort", "tset_loss"], ["--limit", "many"], ["--from", "modles"]] {
            #expect(try bench.zoo(["query"] + wrong).status == 64, "\(wrong)")
        }
    }

    @Test func sqlOnlyReads() throws {
        let bench = try SampleCatalog.shared.get()
        for statement in ["DELETE FROM checkpoint", "PRAGMA writable_schema = 1", "SELECT 1; DROP TABLE model"] {
            let run = try bench.zoo("sql", statement)
            #expect(run.status == 64, "\(statement): \(run.errors)")
        }
        #expect(try bench.number("SELECT count(*) FROM checkpoint") ?? 0 > 500)
    }

    @Test func showTellsEverythingOfAModel() throws {
        let bench = try SampleCatalog.shared.get()
        let shown = try bench.json("show", "where:diverged and epoch = 25 and seed = 2")
        #expect(keys(shown).isSuperset(of: ["checkpoint", "model", "history", "tensors", "metrics", "lineage"]))
        #expect(shown["model"]?["flags"] == ["diverged"])
        #expect(shown["checkpoint"]?["health"] == "nan")
        #expect(shown["checkpoint"]?["test_loss"] == .null)
        #expect(shown["checkpoint"]?["test_loss_reason"] == "NaN")
        let name = try #require(shown["model"]?["name"]?.string)
        let lines = try #require(try SampleZoo.results()[name])
        let history = try #require(shown["history"]?.array)
        #expect(history.count == lines.count)
        for (entry, line) in zip(history, lines) where line["test_loss"]?.double?.isNaN == false {
            #expect(entry["test_loss"]?.double == line["test_loss"]?.double)
        }
        let (config, expected) = (shown["model"]?["config"], lines.last?["config"])
        #expect(keys(config) == keys(expected) && keys(config).count == 21)
        for key in keys(expected) { #expect(config?[key] == expected?[key], "\(key)") }
        let failed = try bench.json("show", "where:failed and epoch = 5")
        #expect(Set(failed["model"]?["flags"]?.array ?? []) == ["incomplete", "failed"])
    }

    @Test func showNeedsOneModel() throws {
        let bench = try SampleCatalog.shared.get()
        #expect(try bench.zoo("show", "where:epoch = last").status == 64)
        let missing = try bench.zoo("show", "999999")
        #expect(missing.status == 1)
        #expect(missing.errors.contains("there is no checkpoint 999999"))
        #expect(try bench.zoo("show", "pretrained_@last").errors.contains("no model is called"))
    }
}
