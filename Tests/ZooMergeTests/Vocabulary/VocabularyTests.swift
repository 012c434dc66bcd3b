import Foundation
import Testing
import ZooBase
import ZooMerge
import ZooTensor
import ZooTestSupport

/// Vocabularies of merges in small numbers: row r of a model's embedding is r plus the model's offset.
@Suite struct VocabularyTests {
    private func recipe(_ models: [String], _ tokenizer: String, base: String? = nil) -> String {
        "merge_method: linear\nmodels:\n"
            + models.map { "- {model: \($0), parameters: {weight: 1}}\n" }.joined()
            + (base.map { "base_model: \($0)\n" } ?? "") + tokenizer + "\n"
    }

    private func pair() throws -> ModelFolders {
        let models = try ModelFolders()
        try models.add("A", tokens: ["x", "y", "z"], offset: 0)
        try models.add("B", tokens: ["z", "x", "w"], added: ["<e>"], offset: 100)
        return models
    }

    @Test func rowsFollowTokens() throws {
        let models = try pair()
        let plan = try models.plan(recipe(["A", "B"], "tokenizer: {source: union}"))
        #expect(plan.problems.isEmpty && plan.warnings.isEmpty, "\(plan.problems) \(plan.warnings)")
        // x, y, z, w, <e>: 0 and 101; 1 alone; 2 and 100; 102 alone; 103 alone.
        #expect(try models.rows(plan) == [50.5, 1, 51, 102, 103])
        #expect(plan.config?["vocab_size"] == 5)
        let vocabulary = try models.vocabulary(of: plan)
        #expect(vocabulary[ExactText("w")] == 3 && vocabulary[ExactText("<e>")] == 4)
        let json = try JSONParser.parse(try #require(try models.file("tokenizer.json", of: plan)))
        // An ordinary token of another model is matched after normalization; an added one keeps its flags.
        let added = json["added_tokens"]?.array ?? []
        #expect(added.count == 2 && added[0]["normalized"] == true && added[0]["special"] == false)
        #expect(added[1]["normalized"] == false && added[1]["special"] == true)
    }

    @Test func otherSourcesTakeTheirTokens() throws {
        let models = try pair()
        #expect(try models.rows(models.plan(recipe(["A", "B"], "tokenizer_source: base"))) == [50.5, 1, 51])
        #expect(try models.rows(models.plan(recipe(["B", "A"], "tokenizer: {source: base}"))) == [51, 50.5, 102, 103])
        #expect(try models.rows(models.plan(recipe(["A", "B"], "tokenizer: {source: B}"))) == [51, 50.5, 102, 103])
        // A model that only lends its tokenizer has no rows of its own.
        let lender = try ModelFolders()
        try lender.add("L", tokens: ["z", "new"])
        let plan = try models.plan(recipe(["A", "B"], "tokenizer: {source: \"\(lender.path("L"))\"}"))
        #expect(try models.rows(plan) == [51, 0])
        #expect(plan.warnings.contains { $0.contains("get zeros") && $0.contains("'new'") })
    }

    @Test func tokensMissingSomewhereFollowTheRules() throws {
        let models = try pair()
        try models.add("C", tokens: ["x", "w"], offset: 1000)
        // w is in B (102) and C (1001): without a base their mean for A; with a base that has it the base's row.
        let mean = try models.plan(recipe(["A", "B", "C"], "tokenizer: {source: union}"))
        #expect(abs(try models.rows(mean)[3] - (551.5 + 102 + 1001) / 3) < 1e-3)
        let based = try models.plan(recipe(["A", "B", "C"], "tokenizer: {source: union}", base: "B"))
        let place = try #require(try models.vocabulary(of: based)[ExactText("w")])
        #expect(abs(try models.rows(based)[place] - (102 + 102 + 1001) / 3) < 1e-3)
    }

    @Test func entriesOfTokensNameTheirRows() throws {
        let models = try pair()
        let tokens = """
            tokenizer:
              source: union
              tokens:
                x: {source: B, force: true}
                "y": {source: {kind: zero}, force: true}
                w: {source: {kind: model_token, model: A, token: z}}
                q: {source: {kind: model_token, model: B, token_id: 3}}
                r: {source: {kind: zero}}
                s:
            """
        let plan = try models.plan(recipe(["A", "B"], tokens))
        #expect(plan.problems.isEmpty, "\(plan.problems)")
        let vocabulary = try models.vocabulary(of: plan), rows = try models.rows(plan)
        func row(_ token: String) throws -> Double { rows[try #require(vocabulary[ExactText(token)])] }
        #expect(try row("x") == 101 && row("y") == 0 && row("w") == (2.0 + 102) / 2)
        #expect(try row("q") == 103 && row("r") == 0 && row("s") == 0 && row("z") == 51)
        #expect(plan.warnings.contains { $0.contains("1 token of the result") && $0.contains("'s'") })
    }

    @Test func whatDoesNotFitIsAProblem() throws {
        let models = try pair()
        func problems(_ entry: String) throws -> [String] {
            try models.plan(recipe(["A", "B"], "tokenizer: {source: union, tokens: {\(entry)}}")).problems
        }
        #expect(try problems("y: {source: B, force: true}").contains { $0.contains("no such token") })
        #expect(
            try problems("t: {source: {kind: model_token, model: A, token: nothing}}").contains {
                $0.contains("'nothing'")
            })
        #expect(
            try problems("t: {source: {kind: model_token, model: A, token_id: 3}}").contains { $0.contains("3 rows") })
        #expect(try problems("t: {source: C}").contains { $0.contains("not part of the merge") })
        for (wrong, part) in [
            ("tokenizer: {tokens: {t: {source: {kind: other}}}}", "kind 'other'"),
            ("tokenizer: {tokens: {t: {source: {kind: model_token, model: A}}}}", "exactly one of"),
            ("tokenizer: {tokens: {t: {source: {kind: model_token, model: A, token: x, token_id: 1}}}}", "exactly one"),
            ("tokenizer: {tokens: {t: {source: {kind: model_token, token: x}}}}", "needs 'model'"),
            ("tokenizer: {tokens: {t: {force: perhaps}}}", "'force'"),
            ("tokenizer: {pad_to_multiple_of: 0}", "pad_to_multiple_of"),
            ("tokenizer: {source: base}\ntokenizer_source: base", "exclude each other"),
        ] {
            let error = #expect(throws: ZooError.self) { try Recipe(text: recipe(["A"], wrong), file: "r.yaml") }
            #expect(error?.message.contains(part) == true, "\(error?.message ?? "")")
        }
        // Widths still have to fit.
        try models.add("wide", tokens: ["x"], width: 4)
        #expect(
            try models.plan(recipe(["A", "wide"], "tokenizer: {source: union}")).problems.contains {
                $0.contains("different shapes")
            })
    }

    @Test func paddingIsTheMeanOfTheTokens() throws {
        let models = try pair()
        let plan = try models.plan(recipe(["A", "B"], "tokenizer: {source: union, pad_to_multiple_of: 8}"))
        let rows = try models.rows(plan)
        #expect(rows.count == 8 && plan.config?["vocab_size"] == 8)
        // A in the new order: 0 1 2 102 103, B: 101 1 100 102 103.
        let mean = (208.0 / 5 + 407.0 / 5) / 2
        #expect(rows[5...].allSatisfy { abs($0 - mean) < 1e-4 })
    }

    @Test func rowsPastTheTokensStayWhenAsked() throws {
        let models = try ModelFolders()
        try models.add("A", tokens: ["x", "y"], rows: 6)
        try models.add("B", tokens: ["x", "y"], rows: 5, offset: 10)
        #expect(try models.rows(models.plan(recipe(["A", "B"], "tokenizer: {source: base}"))) == [5, 6])
        let kept = try models.plan(recipe(["A", "B"], "tokenizer: {source: base, keep_vocab_size: true}"))
        // Row 5 is only A's; B's part is the mean of its rows.
        #expect(try models.rows(kept) == [5, 6, 7, 8, 9, (5 + 12) / 2])
        #expect(kept.config?["vocab_size"] == 6)
        let padded = try models.plan(
            recipe(["A", "B"], "tokenizer: {source: base, keep_vocab_size: true, pad_to_multiple_of: 4}"))
        #expect(try models.rows(padded).count == 8)
    }

    @Test func tokensBeyondTheRowsAreLeftOut() throws {
        let models = try ModelFolders()
        let config = #"{"added_tokens_decoder": {"4": {"content": "<u>", "special": true}}, "pad_token": "<u>"}"#
        try models.add(
            "A", tokens: ["a", "b", "ab", "abb"], merges: ["a b", "ab b"], added: ["<u>"], rows: 3, vocabularySize: 3,
            more: [
                "tokenizer_config.json": config, "special_tokens_map.json": #"{"pad_token": "<u>", "eos_token": "b"}"#,
                "vocab.json": #"{"a": 0, "b": 1, "ab": 2, "abb": 3}"#, "merges.txt": "#version: 0.2\na b\nab b\n",
                "tokenizer.model": "binary",
            ])
        let plan = try models.plan(recipe(["A"], "tokenizer: {source: base}"))
        #expect(plan.warnings.contains { $0.contains("2 tokens lie beyond the 3 rows") })
        let json = try JSONParser.parse(try #require(try models.file("tokenizer.json", of: plan)))
        #expect(json["model"]?["vocab"]?.object?.count == 3 && json["added_tokens"] == [])
        // "ab b" makes a token that is gone.
        #expect(json["model"]?["merges"] == ["a b"])
        let written = try JSONParser.parse(try #require(try models.file("tokenizer_config.json", of: plan)))
        #expect(written["added_tokens_decoder"] == [:] && written["pad_token"] == nil)
        let map = try JSONParser.parse(try #require(try models.file("special_tokens_map.json", of: plan)))
        #expect(map["pad_token"] == nil && map["eos_token"] == "b")
        #expect(try models.file("merges.txt", of: plan) == "#version: 0.2\na b\n")
        #expect(try JSONParser.parse(try #require(try models.file("vocab.json", of: plan))).object?.count == 3)
        #expect(try models.file("tokenizer.model", of: plan) == nil)
        #expect(try plan.companionFiles(["tokenizer.model"]).warnings.contains { $0.contains("left out") })
    }

    /// "é" and "e" with an accent are one text to Swift and two tokens to a vocabulary.
    @Test func tokensDifferByTheirBytes() throws {
        let models = try ModelFolders()
        try models.add("A", tokens: ["\u{E9}", "e\u{301}", "k"])
        try models.add("B", tokens: ["k", "e\u{301}"], offset: 10)
        let plan = try models.plan(recipe(["A", "B"], "tokenizer: {source: union}"))
        #expect(try models.rows(plan) == [0, 6, 6])
        #expect(try models.vocabulary(of: plan).count == 3)
    }

    @Test func otherKindsOfVocabularies() throws {
        let models = try ModelFolders()
        let unigram = """
            {"added_tokens": [], "model": {"type": "Unigram", "vocab": [["<unk>", 0], ["a", -1.5], ["b", -2.5]]}}
            """
        try models.add(
            "unigram", ModelFolders.embedding(2, 2, 0), files: ["tokenizer.json": unigram],
            config: JSONObject([("vocab_size", 2)]))
        try models.add("lines", ModelFolders.embedding(3, 2, 10), files: ["vocab.txt": "a\r\n<unk>\r\nc\r\n"])
        let plan = try models.plan(recipe(["unigram", "lines"], "tokenizer: {source: union}"))
        #expect(plan.problems.isEmpty, "\(plan.problems)")
        // "b" has no row and goes; "c" comes.
        #expect(try models.rows(plan) == [5.5, 5.5, 12])
        let vocabulary = try models.vocabulary(of: plan)
        #expect(vocabulary == [ExactText("<unk>"): 0, ExactText("a"): 1, ExactText("c"): 2])
        // Without tokenizer.json new tokens go into added_tokens.json.
        let lines = try models.plan(recipe(["lines", "unigram"], "tokenizer: {source: union, tokens: {q: }}"))
        #expect(try models.rows(lines) == [5.5, 5.5, 12, 0])
        let added = try JSONParser.parse(try #require(try models.file("added_tokens.json", of: lines)))
        #expect(added == ["q": 3])
    }

    @Test func aModelWithoutTokenizerIsTakenToHaveTheBases() throws {
        let models = try pair()
        try models.add("bare", ModelFolders.embedding(3, 3, 30), files: [:])
        let plan = try models.plan(recipe(["A", "bare"], "tokenizer: {source: base}"))
        #expect(plan.problems.isEmpty && plan.warnings.contains { $0.contains("taken to have the tokenizer of A") })
        #expect(try models.rows(plan) == [15, 16, 17])
        let none = try models.plan(recipe(["bare", "A"], "tokenizer: {source: base}"))
        #expect(none.problems.contains { $0.contains("tokenizer of bare") })
        try models.add("broken", ModelFolders.embedding(3, 3, 0), files: ["tokenizer.json": "{\"model\": {}}"])
        let broken = try models.plan(recipe(["A", "broken"], "tokenizer: {source: base}"))
        #expect(broken.problems.contains { $0.contains("tokenizer.json") && $0.contains("no vocabulary") })
    }

    @Test func headsAndTheirBiasesFollow() throws {
        let models = try pair()
        for (name, rows, offset) in [("A", 3, 0.0), ("B", 4, 100.0)] {
            var state = ModelFolders.embedding(rows, 3, offset)
            state["output.weight"] = Tensor((0..<rows * 2).map { Float(Double($0 / 2) + offset) }, shape: [rows, 2])
            state["lm_head.bias"] = Tensor((0..<rows).map { Float(Double($0) + offset) }, shape: [rows])
            let file = try String(contentsOfFile: models.path(name) + "/tokenizer.json", encoding: .utf8)
            try models.add(
                name, state, files: ["tokenizer.json": file], config: JSONObject([("vocab_size", .int(Int64(rows)))]))
        }
        let plan = try models.plan(recipe(["A", "B"], "tokenizer: {source: union}"))
        for name in ["output.weight", "lm_head.bias"] {
            #expect(try models.rows(plan, name) == [50.5, 1, 51, 102, 103], "\(name)")
        }
    }

    @Test func chatTemplates() throws {
        let models = try ModelFolders()
        let common = "{{ messages[0]['content'] }}"
        let config = #"{"chat_template": [{"name": "tools", "template": "x"}, {"name": "default", "template": "T"}]}"#
        try models.add("A", tokens: ["x"], more: ["tokenizer_config.json": config])
        try models.add("B", tokens: ["x"], more: ["chat_template.jinja": common + "\n"])
        try models.add("C", tokens: ["x"], more: ["chat_template.jinja": common])
        func template(_ models: ModelFolders, _ names: [String], _ text: String) throws -> String? {
            try models.plan(recipe(names, "chat_template: \(text)")).chatTemplate
        }
        #expect(try template(models, ["A", "B", "C"], "auto") == common)
        // Equally frequent: the first.
        #expect(try template(models, ["A", "B"], "auto") == "T")
        #expect(try template(models, ["A"], "chatml")?.contains("<|im_start|>") == true)
        let literal = "'{% for m in messages %}{{ m }}{% endfor %}'"
        let plan = try models.plan(recipe(["A"], "chat_template: \(literal)"))
        #expect(plan.chatTemplate == "{% for m in messages %}{{ m }}{% endfor %}")
        #expect(try models.file("chat_template.jinja", of: plan) == plan.chatTemplate)
        let written = try JSONParser.parse(try #require(try models.file("tokenizer_config.json", of: plan)))
        #expect(written["chat_template"]?.string == plan.chatTemplate)
        let wrong = try models.plan(recipe(["A"], "chat_template: chatmll")).problems
        #expect(wrong.contains { $0.contains("did you mean 'chatml'?") })
        try models.add("D", tokens: ["x"])
        let none = try models.plan(recipe(["D"], "chat_template: auto"))
        #expect(none.problems.isEmpty && none.warnings.contains { $0.contains("finds no template") })
    }
}
