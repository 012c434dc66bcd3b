import Testing
import ZooBase
import ZooFormats
import ZooTestSupport

@Suite struct RayTuneFactsTests {
    /// The facts of a trial with the given files.
    private func facts(
        _ files: [(String, String)], options: TrialOptions = TrialOptions(), isCheckpointed: Bool = true
    ) throws -> TrialFacts {
        let checkpoint = isCheckpointed ? [("t/checkpoint_000001/checkpoints", "")] : []
        let archive = LayoutTestArchive(files.map { ("t/" + $0.0, $0.1) } + checkpoint)
        let model = try #require(try AutomaticLayout().listing(of: archive).models.first)
        return try TrialFacts.read(model, from: archive, options: options)
    }

    private func results(_ text: String, options: TrialOptions = TrialOptions()) throws -> TrialFacts {
        try facts([("params.json", "{}"), ("result.json", text)], options: options)
    }

    private static let line = """
        {"train_loss": 2.5, "train_acc": 0.1, "test_loss": NaN, "test_acc": 0.2, "val_loss": 1e-3, "val_acc": 0, \
        "done": false, "timesteps_total": null, "training_iteration": 0, "trial_id": "a1_0", "date": "2023-11-14_22-13-20", \
        "time_this_iter_s": 0.5, "time_total_s": 0.75, "pid": 7, "hostname": "h", \
        "config": {"optim::lr": 1e-4, "x": [1, {"y": "}"}]}, "log_hessian_trace": 3.5, "curve": {"mc": {"error": 1.5}}, \
        "list": [1, 2, 3], "note": "text"}

        """

    @Test func aWholeLine() throws {
        let facts = try results(Self.line)
        let row = try #require(facts.results.first)
        #expect(row.epoch == 0 && row.trainLoss == 2.5 && row.trainAccuracy == 0.1 && row.testLoss?.isNaN == true)
        #expect(row.testAccuracy == 0.2 && row.valLoss == 1e-3 && row.valAccuracy == 0 && row.wallSeconds == 0.75)
        #expect(row.extras.map(\.key) == ["log_hessian_trace", "curve/mc/error"])
        #expect(row.extra("log_hessian_trace") == 3.5 && row.extra("curve/mc/error") == 1.5)
        #expect(facts.bookkeeping["pid"] == 7 && facts.bookkeeping["note"] == "text" && facts.trialID == "a1_0")
        #expect(facts.bookkeeping["config"] == nil && facts.bookkeeping["train_loss"] == nil)
        #expect(facts.flags == [] && facts.problems.isEmpty && facts.resultSource == .lines)
        #expect(facts.extraNames == ["log_hessian_trace", "curve/mc/error"])
    }

    @Test func linesJoinOnTheIterationAndTheLaterOneWins() throws {
        let facts = try results(
            """
            {"training_iteration": 1, "train_loss": 1}
            {"training_iteration": 2, "train_loss": 2}
            {"training_iteration": 3, "train_loss": 3}
            {"training_iteration": 2, "train_loss": 20}
            {"training_iteration": 5, "train_loss": 5}
            {"training_iteration": 4, "train_loss": 4}

            """)
        #expect(facts.results.map(\.epoch) == [1, 2, 3, 4, 5])
        #expect(facts.results.map { $0.trainLoss ?? 0 } == [1, 20, 3, 4, 5])
        #expect(facts.duplicateLineCount == 1 && facts.lastReportedEpoch == 4)
    }

    @Test func aCutLastLineIsFlaggedAndABrokenOneInTheMiddleIsAProblem() throws {
        let facts = try results(
            "{\"training_iteration\":0}\n{\"training_itera\n\n{\"training_iteration\":2}\n{\"training_ite")
        #expect(facts.results.map(\.epoch) == [0, 2])
        #expect(facts.flags == .truncatedResult)
        #expect(facts.problems.count == 1 && facts.problems[0].reason.hasPrefix("line 2: "))
        #expect(facts.problems[0].path == "t/result.json")
    }

    @Test func everyPrefixKeepsTheWholeLines() throws {
        let text = Array(
            (0..<3).map { Self.line.replacing("\"training_iteration\": 0", with: "\"training_iteration\": \($0)") }
                .joined().utf8)
        let ends = text.indices.filter { text[$0] == 10 }
        for length in stride(from: 0, through: text.count, by: 3) {
            let facts = try results(String(decoding: text[..<length], as: UTF8.self))
            let whole = ends.filter { $0 <= length }.count
            #expect(facts.results.count == whole && facts.problems.isEmpty)
            #expect(
                facts.flags.contains(.truncatedResult)
                    == !(length == 0 || ends.contains(length - 1) || ends.contains(length)))
        }
    }

    @Test func percentIsDecidedForTheWholeColumn() throws {
        let text = """
            {"training_iteration": 0, "train_acc": 0.9, "test_acc": 0.5, "val_acc": NaN}
            {"training_iteration": 1, "train_acc": 55.5, "test_acc": 1.0, "val_acc": 60}
            """
        let facts = try results(text)
        #expect(facts.percentColumns == [.trainAccuracy, .valAccuracy])
        #expect(facts.results.map { $0.trainAccuracy ?? 0 } == [0.9 / 100, 0.555])
        #expect(facts.results.map { $0.testAccuracy ?? 0 } == [0.5, 1])
        var options = TrialOptions()
        options.accuracyUnit = .percent
        #expect(try results(text, options: options).results.map { $0.testAccuracy ?? 0 } == [0.005, 0.01])
        options.accuracyUnit = .fraction
        #expect(try results(text, options: options).results.map { $0.trainAccuracy ?? 0 } == [0.9, 55.5])
    }

    @Test func otherSpellings() throws {
        let facts = try results(
            """
            {"epoch": 3, "loss": 1, "accuracy": 0.5, "valid_loss": 2, "eval_accuracy": 0.25, "test_accuracy": 0.75}
            {"step": 100, "epoch": 4, "train_loss": "1.5", "loss": 9, "acc": "nan", "validation_loss": null}
            """)
        #expect(facts.results.map(\.epoch) == [3, 4])
        let (first, second) = (facts.results[0], facts.results[1])
        #expect(first.trainLoss == 1 && first.trainAccuracy == 0.5 && first.valLoss == 2)
        #expect(first.valAccuracy == 0.25 && first.testAccuracy == 0.75)
        #expect(second.trainLoss == 1.5 && second.trainAccuracy?.isNaN == true && second.valLoss == nil)
        #expect(second.extra("loss") == 9 && second.extra("step") == 100)
    }

    @Test func aManifestNamesOtherKeys() throws {
        var options = TrialOptions()
        options.epochKey = "tick"
        options.columns = ["metrics/top1": .testAccuracy, "nll": .testLoss]
        let facts = try results(
            #"{"tick": 7, "training_iteration": 1, "nll": 3, "test_loss": 4, "metrics": {"top1": 0.5}}"#,
            options: options)
        #expect(facts.results.map(\.epoch) == [7])
        #expect(facts.results[0].testLoss == 3 && facts.results[0].testAccuracy == 0.5)
        #expect(facts.results[0].extra("test_loss") == 4 && facts.results[0].extra("training_iteration") == 1)
    }

    @Test(arguments: [
        #"{"a": 1}"#, #"{"training_iteration": 1.5}"#, #"{"training_iteration": -1}"#, #"{"training_iteration": null}"#,
    ])
    func lineWithoutAnEpoch(_ line: String) throws {
        let facts = try results(line + "\n")
        #expect(facts.flags == .noResult && facts.problems.count == 1)
    }

    @Test func flags() throws {
        let config = #"{"training::epochs_train": "25"}"#
        let cut = #"{"training_iteration": 7, "train_loss": 1, "done": false}"# + "\n"
        let done = #"{"training_iteration": 7, "train_loss": -Infinity, "done": true}"# + "\n"
        let last = #"{"training_iteration": 25, "train_loss": 1, "done": false}"# + "\n"
        #expect(try facts([("params.json", config), ("result.json", cut)]).flags == .incomplete)
        #expect(try facts([("params.json", config), ("result.json", done)]).flags == .diverged)
        #expect(try facts([("params.json", config), ("result.json", last)]).flags == [])
        #expect(try facts([("params.json", config)], isCheckpointed: false).flags == [.noResult, .noCheckpoint])
        let failed = try facts([
            ("params.json", config), ("error.txt", " Failure\u{1B}[31m\n died \n"), ("result.json", cut),
        ])
        #expect(failed.flags == [.failed, .incomplete] && failed.errorPreview == "Failure[31m\n died")
        #expect(failed.flags.names == ["incomplete", "failed"])
        let broken = try facts([("params.json", "{"), ("error.txt", String(repeating: "é", count: 10_000))])
        #expect(broken.flags == [.noResult, .noConfig, .failed] && broken.problems.map(\.path) == ["t/params.json"])
        #expect((broken.errorPreview?.utf8.count ?? 0) < 1300)
    }

    @Test func theConfigIsKeptVerbatim() throws {
        let text = #"{"b": null, "a": "1e-4", "z": {"grid_search": [1, 2]}, "optim::lr": 0.0001}"#
        #expect(JSONValue.object(try facts([("params.json", text)]).config).text() == text.filter { $0 != " " })
    }

    @Test func withoutAConfigTheEchoStandsIn() throws {
        let facts = try facts([("result.json", Self.line)])
        #expect(facts.configSource == .results && facts.config["optim::lr"] == 1e-4)
    }

    @Test func progressTableIsTheFallback() throws {
        let table =
            "train_loss,test_acc,training_iteration,trial_id,experiment_tag,time_total_s,config/lr,extra\r\n"
            + "2.5,0.5,0,x,\"0_a=1,b=\"\"2\"\"\",1.5,9,4\r\nnan,,1,x,t,2,9,\r\n1,0.5,2,x,\"cut"
        let facts = try facts([("params.json", "{}"), ("progress.csv", table)])
        #expect(facts.resultSource == .table && facts.results.map(\.epoch) == [0, 1])
        #expect(
            facts.results[0].trainLoss == 2.5 && facts.results[0].extra("extra") == 4
                && facts.results[0].wallSeconds == 1.5)
        #expect(facts.results[1].trainLoss?.isNaN == true && facts.results[1].testAccuracy == nil)
        #expect(facts.flags == [.truncatedResult, .diverged] && facts.extraNames == ["extra"])
        let both = try self.facts([("params.json", "{}"), ("progress.csv", table), ("result.json", Self.line)])
        #expect(both.resultSource == .lines && both.results.count == 1)
    }

    @Test func aListOfRowsAndAPrettyPrintedRow() throws {
        #expect(try results("[\n {\"epoch\": 1},\n {\"epoch\": 2}\n]").results.map(\.epoch) == [1, 2])
        let pretty = try results("{\n \"epoch\": 4,\n \"loss\": 2\n}\n")
        #expect(
            pretty.results.map(\.epoch) == [4] && pretty.problems.isEmpty && !pretty.flags.contains(.truncatedResult))
    }

    // MARK: Hostile files

    @Test func sixtyFourMegabytesInOneLine() throws {
        let list = String(repeating: "0.123456,", count: 64 << 20 / 9) + "1"
        let facts = try results("{\"training_iteration\": 0, \"list\": [\(list)], \"train_loss\": 2}\n")
        #expect(facts.results.map { $0.trainLoss ?? 0 } == [2] && facts.extraNames.isEmpty)
    }

    @Test func depthAndGarbage() throws {
        let deep = "{\"training_iteration\": 0, \"x\": " + String(repeating: "[", count: 1_000_000) + "\n"
        let objects =
            "{\"training_iteration\": 1, \"x\": " + String(repeating: "{\"a\":", count: 300) + "1"
            + String(repeating: "}", count: 301) + "\n"
        let garbage = String(repeating: "{\n", count: 5000) + "\u{0}\u{0}\n"
        let facts = try results(deep + objects + garbage + "{\"training_iteration\": 2}\n")
        #expect(facts.results.map(\.epoch) == [2])
        #expect(facts.problems.count == ResultGatherer.maximumProblemCount + 1)
        #expect(facts.problems.last?.reason == "4902 more broken lines")
    }

    @Test func manyKeysAreBounded() throws {
        let keys = (0..<10_000).map { "\"k\($0)\": 1" }.joined(separator: ",")
        let facts = try results("{\"training_iteration\": 0, \(keys)}\n")
        #expect(facts.extraNames.count == ResultKeys.maximumExtraCount && facts.problems.count == 1)
    }

    @Test func aZeroFilledTailIsACutFile() throws {
        let facts = try results("{\"training_iteration\": 0}\n" + String(repeating: "\u{0}", count: 4096))
        #expect(facts.results.count == 1 && facts.flags == .truncatedResult && facts.problems.isEmpty)
    }

    @Test func oversizedConfigsAreRefused() throws {
        let facts = try facts([("params.json", "{\"a\": \"" + String(repeating: "x", count: 5 << 20) + "\"}")])
        #expect(facts.flags.contains(.noConfig) && facts.problems.count == 1)
        let list = try self.facts([("params.json", "[1]")])
        #expect(list.flags.contains(.noConfig) && list.problems.count == 1)
    }

    @Test func anyDamagedByteIsSurvived() throws {
        let text = Array((Self.line + Self.line).utf8)
        var generator = SeededGenerator(seed: 9)
        for _ in 0..<2000 {
            var damaged = text
            damaged[Int.random(in: 0..<text.count, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
            let archive = LayoutTestArchive(bytes: [
                ("t/params.json", damaged), ("t/result.json", damaged), ("t/progress.csv", damaged),
            ])
            let model = try #require(try AutomaticLayout().listing(of: archive).models.first)
            let facts = try TrialFacts.read(model, from: archive)
            #expect(facts.results.count <= 2)
        }
    }

    // MARK: Search spaces

    @Test func searchSpaces() throws {
        let archive = LayoutTestArchive([
            ("e/config.json", #"{"a": 1, "lr": {"grid_search": [0.1, 1e-2]}, "s": "<function>", "n": {"x": 1}}"#),
            ("e/t/params.json", "{}"), ("f/config.json", "["), ("f/t/params.json", "{}"), ("g/t/params.json", "{}"),
        ])
        let experiments = try AutomaticLayout().listing(of: archive).experiments
        #expect(experiments.map(\.path) == ["e", "f", "g"])
        let space = try #require(try SearchSpace.read(experiments[0], from: archive))
        #expect(space.swept.map(\.key) == ["lr"] && space.swept[0].values == [0.1, 0.01])
        #expect(space.fixed == JSONObject([("a", 1), ("s", "<function>"), ("n", ["x": 1])]))
        #expect(throws: ZooError.self) { try SearchSpace.read(experiments[1], from: archive) }
        #expect(try SearchSpace.read(experiments[2], from: archive) == nil)
    }

    // MARK: Identity

    @Test func configurationsThatMeanTheSame() throws {
        func identity(_ text: String) throws -> String {
            ConfigIdentity.text(of: try #require(try JSONParser.parse(text).object))
        }
        let one = try identity(
            #"{"optim::lr": 1e-4, "seed": 1, "cuda": true, "resources": {"cpu": 1}, "trainloader::workers": 4}"#)
        #expect(
            one
                == (try identity(
                    #"{"seed": 1.0, "optim::lr": "0.0001", "dataset::dump": "/a/b", "training::data_path": "."}"#)))
        #expect(one != (try identity(#"{"seed": 2, "optim::lr": 0.0001}"#)))
        #expect(try identity(#"{"a": 9007199254740993}"#) != (try identity(#"{"a": 9007199254740992}"#)))
        #expect(try identity(#"{"a": "tanh"}"#) != (try identity(#"{"a": "relu"}"#)))
        #expect(try identity(#"{"workers": 1}"#) != (try identity(#"{"workers": 2}"#)))
    }

    @Test func theLongerThenTheLaterRunIsPreferred() {
        let runs = [("a", 5, "1"), ("b", 1, "1"), ("a", 7, "1"), ("a", 7, "3"), ("a", 7, "2")].map {
            TrialDuplicates.Candidate(identity: $0.0, resultCount: $0.1, date: $0.2)
        }
        let groups = TrialDuplicates(runs).groups
        #expect(groups.map(\.members) == [[0, 2, 3, 4]] && groups.map(\.preferred) == [3])
    }
}
