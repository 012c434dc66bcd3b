import Foundation
import Testing
import ZooBase
import ZooTestSupport

/// `zoo retrieve` as a user runs it, over a small zoo grown for it.
@Suite(.serialized) struct RetrieveCommandTests {
    private static let digits = Repository.path("zoos/data/digits.safetensors")

    /// Six tasks (two sets of classes under three transforms), two small perceptrons each, and an index of the first.
    private func grown() throws -> Workbench {
        let bench = try Workbench()
        for (name, hidden) in [("first", "[16]"), ("second", "[24]")] {
            let text = """
                id: \(name)
                data: {path: \(Self.digits), test: val}
                architecture: {family: mlp, hidden: \(hidden), activation: relu}
                optimizer: {name: adam, lr: 0.01}
                epochs: 12
                relabel: true
                grid: {classes: [[1, 0, 2], [3, 4, 5]], transform: [[], rot90, invert]}
                """
            try Data(text.utf8).write(to: URL(fileURLWithPath: bench.file("\(name).yaml")))
            let run = try bench.zoo("train", bench.file("\(name).yaml"), "--to", bench.file("zoos"), "-q")
            #expect(run.status == 0, "\(run.errors)")
        }
        return bench
    }

    private func fit(_ bench: Workbench, _ options: String...) throws -> ZooProgram.Result {
        try bench.zoo(
            [
                "retrieve", "fit", "where:zoo = 'first' and epoch = last", "--probes", "\(Self.digits):val",
                "--queries",
                "\(Self.digits):train", "--steps", "300", "--index", bench.file("i.retrieval.safetensors"), "--json",
            ] + options)
    }

    @Test(.timeLimit(.minutes(3))) func fitAddQueryEvaluate() throws {
        let bench = try grown()
        let index = bench.file("i.retrieval.safetensors")
        let fitted = try fit(bench)
        #expect(fitted.status == 0, "\(fitted.errors)")
        let summary = try JSONParser.parse(fitted.output)
        #expect(summary["models"]?.int == 6 && summary["trained_tasks"]?.int == 6)
        // 891 probes under three transforms, then 6 draws × 6 ordered pairs × 10 halvings.
        #expect(summary["model_queries"]?.int == 6 * (891 + 360))
        let bytes = try Data(contentsOf: URL(fileURLWithPath: index))
        // The same bytes again, whatever the threads.
        #expect(try fit(bench, "--jobs", "1").status == 0)
        #expect(try Data(contentsOf: URL(fileURLWithPath: index)) == bytes)

        let added = try bench.json("retrieve", "add", "where:zoo = 'second' and epoch = last", "--index", index)
        #expect(added["models"]?.int == 12 && added["added"]?.int == 6)
        let again = try bench.zoo("retrieve", "add", "where:zoo = 'second' and epoch = last", "--index", index)
        #expect(again.status == 64 && again.errors.contains("and 5 more are in the index already"))

        let data = ["--data", "\(Self.digits):test", "--index", index]
        let found = try bench.json(["retrieve", "query", "--classes", "0,1,2", "--shots", "5"] + data)
        #expect(found["model_passes"]?.int == 0)
        #expect(found["ranking"]?.array?.first?["task"]?.string == "identity:0,1,2")
        let meanings = try #require(found["score_meaning"]?.object)
        #expect(meanings["surrogate"]?.string?.contains("0 to 1") == true)
        #expect(found["ranking"]?.array?.first?["score_of"]?.string == "surrogate")
        #expect(found["ranking"]?.array?.first?["score"] == found["ranking"]?.array?.first?["surrogate"])
        #expect((0...1).contains(found["margin"]?.double ?? -1))
        // The first models list their classes as 1, 0, 2.
        #expect(found["ranking"]?.array?.first?["classes"]?["0"]?.int == 1)
        let hybrid = try bench.json(
            [
                "retrieve", "query", "--classes", "3,4,5", "--shots", "5", "--rerank", "leep", "--where",
                "zoo = 'second'",
            ]
                + data)
        #expect(hybrid["model_passes"]?.int == 5 && hybrid["models"]?.int == 6)
        let scores = try #require(hybrid["ranking"]?.array).map { $0["score"]?.double ?? 1 }
        #expect(scores == scores.sorted(by: >) && scores.allSatisfy { $0 <= 0 }, "\(scores)")
        #expect(hybrid["margin"]?.double == scores[0] - scores[1])
        // The last of six was not shown the samples: its score is another's, and it is said of which.
        let all = try bench.zoo(
            [
                "retrieve", "query", "--classes", "3,4,5", "--shots", "5", "--rerank", "leep", "--where",
                "zoo = 'second'",
                "--top", "6",
            ] + data)
        #expect(all.output.contains("leep") && all.output.contains("surrogate"))
        #expect(all.errors.contains("score of leep: mean log-likelihood"))
        #expect(all.errors.contains("score of surrogate: share"))
        #expect(hybrid["ranking"]?.array?.first?["model"]?.string?.hasPrefix("second/") == true)

        let rows = try #require(
            try bench.json(
                [
                    "retrieve", "evaluate", index, "--data", "\(Self.digits):test", "--where", "zoo = 'second'",
                    "--rankings", "surrogate,know2vec,know2vec+leep,leep,logme,random", "--figure",
                    bench.file("f.svg"),
                ]
            ).array)
        func row(_ name: String) -> JSONValue? { rows.first { $0["ranking"]?.string == name } }
        #expect(row("surrogate")?["acc1"]?.double ?? 0 >= 0.9)
        #expect(row("surrogate")?["passes"]?.double == 0 && row("know2vec")?["passes"]?.double == 0)
        #expect(row("know2vec+leep")?["passes"]?.double == 5 && row("leep")?["passes"]?.double == 6)
        #expect(row("know2vec")?["acc1"]?.double ?? 0 > row("random")?["acc1"]?.double ?? 1)
        #expect(FileManager.default.fileExists(atPath: bench.file("f.svg")))
        try compared(bench)
    }

    /// TANS-style vectors of the same models beside ours, on the same queries.
    private func compared(_ bench: Workbench) throws {
        let index = bench.file("i.retrieval.safetensors"), tans = bench.file("t.retrieval.safetensors")
        let fitted = try fit(bench, "--encoder", "tans", "--index", tans)
        #expect(fitted.status == 0, "\(fitted.errors)")
        let missing = try bench.zoo(
            "retrieve", "evaluate", index, "--data", "\(Self.digits):test", "--compare", "tans=\(tans)")
        #expect(missing.status == 1 && missing.errors.contains("--compare tans: second/"), "\(missing.errors)")
        #expect(try bench.zoo("retrieve", "add", "where:zoo = 'second' and epoch = last", "--index", tans).status == 0)
        let rows = try #require(
            try bench.json(
                "retrieve", "evaluate", index, "--data", "\(Self.digits):test", "--where", "zoo = 'second'",
                "--rankings",
                "know2vec,surrogate,random", "--compare", "tans=\(tans)", "--against", "surrogate"
            ).array)
        #expect(rows.compactMap { $0["ranking"]?.string } == ["know2vec", "surrogate", "random", "tans"])
        let ours = try #require(rows[1]["acc1"]?.double)
        for row in rows where row["ranking"]?.string != "surrogate" {
            let behind = try #require(row["behind"]?.double), acc = try #require(row["acc1"]?.double)
            #expect(abs(behind - (ours - acc)) < 1e-12)
            #expect(row["behind_low"]?.double ?? 9 <= behind && row["behind_high"]?.double ?? -9 >= behind)
            #expect(row["p"]?.double != nil)
        }
        #expect(rows[1]["p"] == .null && rows[2]["p"]?.double ?? 1 < 0.05)
        let unknown = try bench.zoo(
            "retrieve", "evaluate", index, "--data", "\(Self.digits):test", "--against", "tans")
        #expect(unknown.status == 64 && unknown.errors.contains("--against tans is not among the rankings"))
        // A training on accuracies asks every model about every task's samples.
        let graded = try fit(bench, "--loss", "listwise", "--index", bench.file("g.retrieval.safetensors"))
        #expect(graded.status == 0, "\(graded.errors)")
        let summary = try JSONParser.parse(graded.output)
        #expect(summary["validation_tau"]?.double ?? 0 > 0.3)
        #expect(summary["model_queries"]?.int ?? 0 > 6 * (891 + 360))
    }

    /// Interrupted amid boxes that are slow: captured ones are not asked again, and the index is that of an undisturbed run.
    @Test(.timeLimit(.minutes(3))) func interruptedCapturesGoOn() throws {
        let bench = try grown()
        let index = bench.file("i.retrieval.safetensors"), whole = bench.file("w.retrieval.safetensors")
        #expect(try fit(bench, "--map", "pca").status == 0)
        try FileManager.default.copyItem(atPath: index, toPath: whole)
        let before = try Data(contentsOf: URL(fileURLWithPath: index))
        let count = bench.file("asked")
        func boxes(_ wait: String) throws -> String {
            let script =
                "echo x >> \(count); sleep \(wait); awk -F, '{ if ($10 + $20 > 0.5) print \"[0,9]\"; else print \"[9,0]\" }'"
            let lines = ["one", "two", "three"].map {
                "  - {name: \($0), classes: 2, command: [sh, -c, \(JSONValue.string(script).text())]}"
            }
            let path = bench.file("boxes.yaml")
            try Data(("boxes:\n" + lines.joined(separator: "\n") + "\n").utf8).write(to: URL(fileURLWithPath: path))
            return path
        }
        func asked() throws -> Int { try String(contentsOfFile: count, encoding: .utf8).split(separator: "\n").count }
        let arguments = ["retrieve", "add", "--boxes", try boxes("0.12"), "--jobs", "1", "--index"]
        #expect(try bench.zoo(arguments + [whole]).status == 0)
        let each = try asked() / 3
        try FileManager.default.removeItem(atPath: count)
        let process = try ZooProgram.start(arguments + [index], environment: bench.environment)
        // Into the second box.
        for _ in 0..<600 where (try? asked()) ?? 0 < each + 3 { usleep(50_000) }
        kill(process.processIdentifier, SIGINT)
        process.waitUntilExit()
        #expect(process.terminationStatus == 130)
        #expect(try Data(contentsOf: URL(fileURLWithPath: index)) == before)
        #expect(FileManager.default.fileExists(atPath: index + ".partial/captured-0.safetensors"))
        let first = try asked()
        #expect(first < 3 * each)
        let last = try bench.zoo(arguments + [index])
        #expect(last.status == 0 && last.errors.contains("1 model was captured before"), "\(last.errors)")
        #expect(try asked() - first == 2 * each)
        #expect(
            try Data(contentsOf: URL(fileURLWithPath: index)) == Data(contentsOf: URL(fileURLWithPath: whole)))
        #expect(!FileManager.default.fileExists(atPath: index + ".partial"))
    }

    @Test(.timeLimit(.minutes(3))) func badInputIsOneClearLine() throws {
        let bench = try grown()
        let index = bench.file("i.retrieval.safetensors")
        let none = try bench.zoo("retrieve", "query", "--data", "\(Self.digits):test", "--index", index)
        #expect(none.status == 1 && none.errors.contains("there is no retrieval index"))
        #expect(try fit(bench, "--map", "pca", "--hold-out", "2").status == 0)
        let bytes = try Data(contentsOf: URL(fileURLWithPath: index))
        let one = try bench.zoo(
            "retrieve", "query", "--data", "\(Self.digits):test", "--classes", "3", "--index", index)
        #expect(one.status == 1 && one.errors.contains("samples of one class only"))
        let many = try bench.zoo(
            "retrieve", "query", "--data", "\(Self.digits):test", "--shots", "5000", "--index", index)
        #expect(many.status == 1 && many.errors.contains("samples; 5000 are asked for"))
        let nleep = try bench.zoo(
            "retrieve", "query", "--data", "\(Self.digits):test", "--classes", "0,1", "--shots", "3", "--method",
            "nleep",
            "--index", index)
        #expect(nleep.status == 1 && nleep.errors.contains("needs 40 samples for 2 classes"))
        let absent = try bench.zoo(
            "retrieve", "query", "--data", "\(Self.digits):test", "--classes", "3,11,12", "--index", index)
        #expect(absent.status == 1 && absent.errors.contains("the data have no samples of class 11, 12"))
        let unknown = try bench.zoo(
            "retrieve", "query", "--data", "\(Self.digits):test", "--method", "lepe", "--index", index)
        #expect(unknown.status == 64 && unknown.errors.contains("leep"))
        // Wider inputs than the index reads.
        let head = "label," + (0..<9).map { "x\($0)" }.joined(separator: ",")
        let csv = head + "\n0,1,2,3,4,5,6,7,8,9\n1,9,8,7,6,5,4,3,2,1\n"
        try Data(csv.utf8).write(to: URL(fileURLWithPath: bench.file("wide.csv")))
        let wide = try bench.zoo("retrieve", "query", "--data", bench.file("wide.csv"), "--index", index)
        #expect(wide.status == 1 && wide.errors.contains("the index reads [1, 8, 8]"), "\(wide.errors)")
        // Boxes: one that answers rubbish, one that is fine; the good one is added, the bad one is told.
        let boxes = """
            boxes:
              - {name: bad, classes: 3, command: [sh, -c, "sed 's/.*/[1,2]/'"]}
              - {name: deaf, classes: 2, command: [sh, -c, "sed 's/.*/[1,2]/'"]}
              - {name: lots, classes: 4, scores: labels, command: [sh, -c, "awk -v s=$(od -An -N3 -tu4 /dev/urandom) '{ if (!n++) srand(s); print int(4 * rand()) }'"]}
              - {name: good, classes: 2, command: [awk, -F, "[][,]", "{ if ($10 + $20 > 0.5) print \\"[0,9]\\"; else print \\"[9,0]\\" }"]}
            """
        try Data(boxes.utf8).write(to: URL(fileURLWithPath: bench.file("boxes.yaml")))
        let mixed = try bench.zoo("retrieve", "add", "--boxes", bench.file("boxes.yaml"), "--index", index, "--json")
        #expect(mixed.status == 3, "\(mixed.errors)")
        #expect(mixed.errors.contains("zoo: failed: bad: the answer to input 0 has 2 scores; expected 3"))
        #expect(mixed.errors.contains("zoo: failed: deaf: answers the same on all"))
        #expect(try JSONParser.parse(mixed.output)["added"]?.int == 1)
        try Data(bytes).write(to: URL(fileURLWithPath: index))
        let onlyBad = "boxes:\n  - {name: bad, classes: 3, command: [sh, -c, exit 4]}\n"
        try Data(onlyBad.utf8).write(to: URL(fileURLWithPath: bench.file("boxes.yaml")))
        let failed = try bench.zoo("retrieve", "add", "--boxes", bench.file("boxes.yaml"), "--index", index)
        #expect(failed.status == 1 && failed.errors.contains("ended with status 4"))
        // Nothing was indexed half.
        #expect(try Data(contentsOf: URL(fileURLWithPath: index)) == bytes)
        // A file that is something else.
        let other = try bench.zoo("retrieve", "query", "--data", "\(Self.digits):test", "--index", Self.digits)
        #expect(other.status == 1 && other.errors.contains("is no retrieval index"))
    }

    @Test func rankersRunOnFiles() throws {
        let bench = try Workbench()
        let zoo = Repository.path("zoos/digits-tasks")
        let rows = try #require(
            try bench.json(
                "retrieve", "rank", "\(zoo)/tasks/rot90.safetensors", "\(zoo)/tasks/invert.safetensors", "--data",
                "\(zoo)/data/zoo_c_data.safetensors:invert.test", "--ranker",
                "leep,fewshot,nce,logme,hscore,hscore-reg,transrate,gbc,sfda,nleep,parameters,random", "--shots", "20"
            ).array)
        #expect(rows.first?["model"]?.string?.hasSuffix("invert.safetensors") == true)
        for name in ["fewshot", "nce", "logme", "hscore-reg", "sfda"] {
            let scores = rows.compactMap { $0[name]?.double }
            #expect(scores.count == 2 && scores[0] > scores[1], "\(name)")
        }
        let files = [
            "retrieve", "rank", "\(zoo)/tasks/rot90.safetensors", "\(zoo)/tasks/invert.safetensors", "--data",
            "\(zoo)/data/zoo_c_data.safetensors:invert.test", "--shots", "5", "--ranker",
        ]
        let few = try bench.zoo(files + ["nleep"])
        #expect(few.status == 1 && few.output.isEmpty)
        #expect(few.errors.hasPrefix("zoo: error: nleep needs 200 samples for 10 classes, the query has 50\n"))
        let part = try bench.zoo(files + ["nleep,leep", "--json"])
        #expect(part.status == 0 && part.errors.contains("nleep: 2 of 2 models have no score: nleep needs"))
        #expect(
            try JSONParser.parse(part.output).array?.first?["model"]?.string?.hasSuffix("invert.safetensors") == true)
        let stored = try bench.zoo(
            "retrieve", "rank", "\(zoo)/tasks/rot90.safetensors", "--data",
            "\(zoo)/data/zoo_c_data.safetensors:invert.test", "--ranker", "surrogate")
        #expect(stored.status == 64 && stored.errors.contains("--method surrogate"))
    }
}
