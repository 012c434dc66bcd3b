import Testing
import ZooBase
import ZooFormats

@Suite struct LayoutTreeTests {
    @Test func patterns() throws {
        func match(_ pattern: String, _ path: String) throws -> [String]? { try PathPattern(pattern).match(path) }
        #expect(try match("a/{model}/checkpoint_{epoch}/w.pt", "a/m 1/checkpoint_007/w.pt") == ["m 1", "007"])
        #expect(try match("a/{model}/w.pt", "a/b/c/w.pt") == nil)
        #expect(try match("**/{model}.pt", "x/y/z.pt") == ["z"])
        #expect(try match("**/{model}.pt", "z.pt") == ["z"])
        #expect(try match("{model}_epoch{epoch}.pt", "a_epoch_epoch3.pt") == ["a_epoch", "3"])
        #expect(try match("{model}_{seed}.pt", "a_b_c.pt") == ["a", "b_c"])
        #expect(try match("e{epoch}.pt", "ex.pt") == nil)
        #expect(try match("a/**", "a/b/c") == [])
        #expect(try match("a/*.pt", "a/.pt") == [])
        #expect(try match("a/*.pt", "a/b/c.pt") == nil)
        #expect(try match("{model}", "") == nil)
        #expect(try match("ü/{model}", "ü/é") == ["é"])
    }

    @Test(arguments: ["", "/a", "{", "{}", "{a b}", "{a}{b}", "{a}*", "**", "{a}/{a}", "*{x}"])
    func nonsenseIsRefused(_ text: String) {
        if text == "**" {
            #expect(throws: Never.self) { try PathPattern(text) }
        } else {
            #expect(throws: ZooError.self) { try PathPattern(text) }
        }
    }

    @Test func backtrackingStaysPolynomial() throws {
        let pattern = try PathPattern("{a}a{b}a{c}a{d}a{e}a{f}b")
        #expect(pattern.match(String(repeating: "a", count: 3000) + "c") == nil)
        #expect(pattern.match(String(repeating: "a", count: 400) + "cb") != nil)
    }

    private func layout(_ group: TreeGroup, ignored: [String] = []) throws -> TreeLayout {
        TreeLayout(groups: [group], ignored: try ignored.map { try PathPattern($0) })
    }

    @Test func seedsEpochsConfigsAndResults() throws {
        let group = try TreeGroup(
            checkpoints: [PathPattern("runs/{model}/seed{seed}/epoch_{epoch}.pt")],
            optimizers: [PathPattern("runs/{model}/seed{seed}/optim_{epoch}.pt")],
            config: PathPattern("runs/{model}/settings.json"), results: PathPattern("runs/{model}/seed{seed}/log.jsonl")
        )
        let listing = try layout(group, ignored: ["**/old/**"]).listing(
            of: LayoutTestArchive(paths: [
                "runs/a/seed2/epoch_10.pt", "runs/a/settings.json", "runs/a/seed1/epoch_2.pt",
                "runs/a/seed2/epoch_9.pt",
                "runs/a/seed2/optim_10.pt", "runs/a/seed2/log.jsonl", "runs/b/seed1/log.jsonl",
                "runs/old/seed1/epoch_1.pt",
                "x.txt",
            ]))
        #expect(
            listing.models.map(\.summary) == [
                "a @runs/a/seed2 [9:epoch_9.pt 10:epoch_10.pt 10:optim_10.pt!]", "a @runs/a/seed1 [2:epoch_2.pt]",
            ])
        #expect(listing.models.map { $0.binding("seed") } == ["2", "1"])
        #expect(listing.models.map { $0.configMember?.path } == ["runs/a/settings.json", "runs/a/settings.json"])
        #expect(listing.models.map { $0.resultMember?.path } == ["runs/a/seed2/log.jsonl", nil])
        #expect(listing.problems.map(\.path) == ["runs/b/seed1/log.jsonl"])
        #expect(listing.ignored == ["ignored by the manifest": 1, "not part of a zoo": 1])
    }

    @Test func placeholdersInTheFileNameTellModelsApart() throws {
        let group = try TreeGroup(checkpoints: [PathPattern("{model}_s{seed}_e{epoch}.pt")])
        let listing = try layout(group).listing(
            of: LayoutTestArchive(paths: ["a_s1_e1.pt", "a_s2_e1.pt", "a_s1_e2.pt"]))
        #expect(
            listing.models.map(\.summary) == ["a,seed=1 @ [1:a_s1_e1.pt 2:a_s1_e2.pt]", "a,seed=2 @ [1:a_s2_e1.pt]"])
    }

    @Test func aTableOfSettings() throws {
        let archive = LayoutTestArchive([
            ("soup/a.safetensors", ""), ("soup/b.safetensors", ""), ("soup/c.safetensors", ""),
            ("soup/h.json", #"[{"file": "a.safetensors", "lr": 1}, {"file": "b.safetensors", "lr": 2}]"#),
        ])
        let group = try TreeGroup(
            checkpoints: [PathPattern("soup/{model}.safetensors")], config: PathPattern("soup/h.json"),
            configKey: "file",
            configValue: "{model}.safetensors")
        let listing = try layout(group).listing(of: archive)
        let reader = TrialReader(archive)
        let facts = try listing.models.map(reader.facts)
        #expect(facts.map { $0.config["lr"] } == [1, 2, nil])
        #expect(facts[2].problems.map(\.reason) == ["nothing is said about 'c.safetensors'"])
    }

    @Test func otherPlaceholdersAreRefused() {
        #expect(throws: ZooError.self) { try TreeGroup(checkpoints: []) }
        #expect(throws: ZooError.self) { try TreeGroup(checkpoints: [PathPattern("{a}.pt"), PathPattern("{b}.pt")]) }
        #expect(throws: ZooError.self) {
            try TreeGroup(checkpoints: [PathPattern("{a}.pt")], config: PathPattern("{b}.json"))
        }
    }

    @Test func repeatsAreAProblem() throws {
        let group = try TreeGroup(checkpoints: [PathPattern("{model}/{epoch}.pt"), PathPattern("{model}/{epoch}.pth")])
        let listing = try layout(group).listing(of: LayoutTestArchive(paths: ["m/1.pt", "m/1.pth", "m/01.pt"]))
        #expect(listing.weightCount == 1 && listing.problemCount == 2)
    }
}
