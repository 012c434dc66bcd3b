import Testing
import ZooBase
import ZooFormats
import ZooTestSupport

extension ModelListing {
    /// The model in short: `name @path [epoch:file …]`, optimiser states with `!`, shards with their number.
    var summary: String {
        let files = checkpoints.map { checkpoint -> String in
            let file = checkpoint.member.path.split(separator: "/").last.map(String.init) ?? ""
            let kind = checkpoint.kind == .optimizer ? "!" : ""
            let shards = checkpoint.shardMembers.isEmpty ? "" : "x\(checkpoint.shardMembers.count)"
            return (checkpoint.epoch.map { "\($0):" } ?? "") + file + kind + shards
        }
        return "\(name) @\(path) [\(files.joined(separator: " "))]"
    }
}

@Suite struct LayoutRayTuneTests {
    private func list(_ paths: [String]) throws -> ZooListing {
        try AutomaticLayout().listing(of: LayoutTestArchive(paths: paths), rootName: "zoo")
    }

    private let trial = [
        "params.json", "params.pkl", "result.json", "progress.csv", "events.out.tfevents.17.host",
        "checkpoint_000000/checkpoints", "checkpoint_000000/.is_checkpoint", "checkpoint_000000/.tune_metadata",
        "checkpoint_000010/checkpoints", "checkpoint_000010/optimizer", "checkpoint_000010/.is_checkpoint",
    ]

    @Test(arguments: ["", "exp/", "a/b/c/exp/", "weird name,x=1/"])
    func findsTrialsAtAnyDepth(_ prefix: String) throws {
        let archive = trial.map { prefix + "NN_tune_trainable_c0371_00000_0_seed=1_2021-07-01_16-59-53/" + $0 }
        let listing = try list(archive + [prefix + "config.json", prefix + "dataset.pt", prefix + "tuner.pkl"])
        let folder = prefix + "NN_tune_trainable_c0371_00000_0_seed=1_2021-07-01_16-59-53"
        #expect(listing.models.count == 1)
        let model = try #require(listing.models.first)
        #expect(
            model.summary == "NN_tune_trainable_c0371_00000_0_seed=1_2021-07-01_16-59-53 @\(folder) "
                + "[0:checkpoints 10:checkpoints 10:optimizer!]")
        #expect(model.layout == "ray-tune")
        #expect(model.configMember?.path == folder + "/params.json")
        #expect(model.resultMember?.path == folder + "/result.json")
        #expect(model.progressMember?.path == folder + "/progress.csv")
        #expect(model.errorMember == nil)
        #expect(listing.experiments.map(\.path) == [String(prefix.dropLast())])
        #expect(listing.experiments.first?.configMember?.path == prefix + "config.json")
        #expect(listing.datasetMembers.map(\.path) == [prefix + "dataset.pt"])
        #expect(listing.ignored == ["training notes": 6, "data sets": 1])
        #expect(listing.problems.isEmpty && listing.weightCount == 2)
    }

    @Test func theArchiveOfOneTrialTakesTheArchivesName() throws {
        let listing = try list(trial)
        #expect(listing.models.map(\.summary) == ["zoo @ [0:checkpoints 10:checkpoints 10:optimizer!]"])
        #expect(listing.experiments.isEmpty)
    }

    @Test func orderAndScatterDoNotMatter() throws {
        let paths = (0..<20).flatMap { number in trial.map { "e/t\(number)/" + $0 } }
        var generator = SeededGenerator(seed: 5)
        let expected = Set(try list(paths).models.map(\.summary))
        #expect(expected.count == 20)
        for _ in 0..<5 { #expect(Set(try list(paths.shuffled(using: &generator)).models.map(\.summary)) == expected) }
    }

    @Test func unpaddedAndPaddedNumbersAreEpochs() throws {
        let listing = try list(["t/params.json", "t/checkpoint_5/checkpoints", "t/checkpoint_000012/checkpoints"])
        #expect(listing.models.map(\.summary) == ["t @t [5:checkpoints 12:checkpoints]"])
    }

    @Test func oneEpochTwiceIsAProblemNotTwoCheckpoints() throws {
        let listing = try list(["t/checkpoint_5/checkpoints", "t/checkpoint_000005/checkpoints"])
        #expect(listing.models.map(\.summary) == ["t @t [5:checkpoints]"])
        #expect(listing.models[0].checkpoints[0].member.path == "t/checkpoint_000005/checkpoints")
        #expect(listing.problems.map(\.path) == ["t/checkpoint_5/checkpoints"])
    }

    @Test(arguments: [
        "model.pt", "weights.pth", "pytorch_model.bin", "last.ckpt", "model.safetensors", "m.h5", "m.weights.h5",
        "m.keras", "m.npz", "m.gguf", "checkpoint", "model", "M.PT", "x.pth.tar", "deeper/model.pt",
    ])
    func spellingsOfWeightFiles(_ name: String) throws {
        let listing = try list(["t/checkpoint_7/\(name)", "t/checkpoint_7/optimizer.pt", "t/checkpoint_7/notes.txt"])
        #expect(listing.weightCount == 1)
        #expect(listing.models[0].checkpoints.map(\.epoch) == [7, 7])
        #expect(listing.models[0].checkpoints.map(\.kind) == [.weights, .optimizer])
    }

    @Test func theBestKnownNameWins() throws {
        let listing = try list([
            "t/checkpoint_1/other.pt", "t/checkpoint_1/checkpoints", "t/checkpoint_2/b.pt", "t/checkpoint_2/a.pt",
        ])
        #expect(listing.models.map(\.summary) == ["t @t [1:checkpoints 2:a.pt]"])
        #expect(listing.ignored["weights beside better known ones"] == 1)
        #expect(listing.problems.map(\.path) == ["t/checkpoint_2/b.pt"])
    }

    @Test func visionTransformerZoo() throws {
        let listing = try list([
            "ds/pretraining/m1/checkpoint_000010/checkpoints", "ds/pretraining/m1/config.json",
            "ds/pretraining/m1/result.json", "ds/finetuning/m1/f1/checkpoint_000002/checkpoints",
            "ds/finetuning/m1/f1/config.json", "ds/finetuning/m1/f1/result.json",
        ])
        #expect(
            listing.models.map(\.summary) == [
                "m1 @ds/pretraining/m1 [10:checkpoints]", "f1 @ds/finetuning/m1/f1 [2:checkpoints]",
            ])
        #expect(
            listing.models.map { $0.configMember?.path } == [
                "ds/pretraining/m1/config.json", "ds/finetuning/m1/f1/config.json",
            ])
    }

    @Test func trialsWithoutCheckpointsAndCheckpointsWithoutResults() throws {
        let listing = try list([
            "e/a/params.json", "e/b/config.json", "e/b/result.json", "e/c/checkpoint_3/checkpoints", "e/d/result.json",
            "e/f/result.json", "e/f/best.pt", "e/config.json", "e/g/params.json", "e/g/error.txt",
        ])
        #expect(
            listing.models.map(\.summary) == [
                "a @e/a []", "b @e/b []", "c @e/c [3:checkpoints]", "f @e/f [best.pt]", "g @e/g []",
            ])
        #expect(listing.models.last?.errorMember?.path == "e/g/error.txt")
        #expect(listing.ignored["not part of a zoo"] == 1)
    }

    @Test func filesBesideTheResultsTakeTheEpochOfTheirName() throws {
        let listing = try list([
            "t/params.json", "t/net_epoch3.pt", "t/net_epoch_12.pt", "t/best.pt", "t/optimizer_epoch3.pt",
        ])
        #expect(
            listing.models.map(\.summary) == [
                "t @t [3:net_epoch3.pt 3:optimizer_epoch3.pt! 12:net_epoch_12.pt best.pt]"
            ])
    }

    @Test func namesThatOnlyLookLikeCheckpointFoldersAreNone() throws {
        let listing = try list([
            "t/checkpoint_best/checkpoints", "t/checkpoint_/checkpoints",
            "t/checkpoint_99999999999999999999/checkpoints",
            "t/checkpoint_1a/checkpoints", "checkpoint_5x/a.txt", "._params.json", "__MACOSX/t/._result.json",
        ])
        #expect(listing.models.allSatisfy { $0.layout == "flat" } && listing.models.count == 4)
    }

    @Test(arguments: [
        "", "/", "//", "a//checkpoint_1//checkpoints", "checkpoint_1", "checkpoint_1/", "/checkpoint_1/checkpoints",
        "é/😀/params.json", "a\u{0}b/params.json", "\n/result.json", ".", "..", "params.json/params.json", ".pt", "x.",
        "checkpoint_1/checkpoint_2/checkpoint_3/checkpoints",
    ])
    func strangePathsDoNoHarm(_ path: String) throws {
        let listing = try list([path, path, "t/params.json"])
        #expect(listing.models.contains { $0.path == "t" })
        for model in listing.models { _ = model.summary }
    }

    @Test func randomTreesListEveryCheckpointOnce() throws {
        var generator = SeededGenerator(seed: 11)
        let parts = [
            "a", "checkpoint_1", "checkpoint-2", "params.json", "config.json", "result.json", "checkpoints", "m.pt",
            "model-00001-of-00002.safetensors", "m_epoch1.pt", "optimizer.pt", "x.json", "models--o--n", "snapshots",
        ]
        for _ in 0..<300 {
            let paths = Set(
                (0..<30).map { _ in
                    (0..<Int.random(in: 1...5, using: &generator)).map { _ in
                        parts.randomElement(using: &generator) ?? "a"
                    }
                    .joined(separator: "/")
                }
            ).sorted()
            let listing = try list(paths)
            let members = listing.models.flatMap { $0.checkpoints.flatMap { [$0.member] + $0.shardMembers } }.map(
                \.path)
            #expect(members.filter { !$0.hasSuffix(".index.json") }.count >= Set(members).count)
            let whole = listing.models.flatMap { $0.checkpoints.filter { $0.shardMembers.isEmpty }.map(\.member.path) }
            #expect(Set(whole).count == whole.count)
            #expect(Set(listing.models.map { $0.path + "\0" + $0.name }).count == listing.models.count)
        }
    }

    @Test func aMillionMembersAreListedInOnePass() throws {
        var members: [ArchiveMember] = []
        for number in 0..<20_000 {
            let folder = "experiment/NN_tune_trainable_c0371_\(number)_\(number)_seed=\(number)_2021-07-01_16-59-53/"
            members.append(ArchiveMember(path: folder + "params.json", byteCount: 1, placement: nil))
            members.append(ArchiveMember(path: folder + "result.json", byteCount: 1, placement: nil))
            for epoch in 0..<50 {
                members.append(
                    ArchiveMember(path: folder + "checkpoint_\(epoch)/checkpoints", byteCount: 1, placement: nil))
            }
        }
        let listing = try AutomaticLayout().listing(of: NamesOnly(members: members))
        #expect(listing.models.count == 20_000 && listing.weightCount == 1_000_000)
        #expect(listing.models[19_999].checkpoints.map(\.epoch) == Array(0..<50))
    }

    private struct NamesOnly: Archive {
        let kind = "names"
        let members: [ArchiveMember]
        let skipped: [SkippedMember] = []
        func bytes(of member: ArchiveMember) throws -> Bytes { .empty }
    }
}
