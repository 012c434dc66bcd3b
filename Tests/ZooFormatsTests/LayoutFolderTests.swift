import Testing
import ZooBase
import ZooFormats

@Suite struct LayoutHuggingFaceTests {
    private func list(_ files: [(String, String)]) throws -> ZooListing {
        try AutomaticLayout().listing(of: LayoutTestArchive(files), rootName: "zoo")
    }

    private let bert = #"{"model_type": "bert", "architectures": ["BertModel"]}"#

    @Test func oneFileWithItsConfig() throws {
        let listing = try list([("m/config.json", bert), ("m/model.safetensors", ""), ("m/tokenizer.json", "{}")])
        #expect(listing.models.map(\.summary) == ["m @m [model.safetensors]"])
        #expect(listing.models[0].layout == "hugging-face")
        #expect(listing.models[0].binding("architecture") == "BertModel")
        #expect(listing.models[0].configMember?.path == "m/config.json")
    }

    @Test func shardsWithTheirIndex() throws {
        let listing = try list([
            ("config.json", bert), ("model-00002-of-00002.safetensors", ""), ("model-00001-of-00002.safetensors", ""),
            ("model.safetensors.index.json", "{}"), ("pytorch_model.bin", ""),
        ])
        #expect(listing.models.map(\.summary) == ["zoo @ [model.safetensors.index.jsonx2]"])
        #expect(
            listing.models[0].checkpoints[0].shardMembers.map(\.path) == [
                "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
            ])
        #expect(listing.ignored["weights beside better known ones"] == 1 && listing.problems.isEmpty)
    }

    @Test func missingShardsAreAProblem() throws {
        let listing = try list([
            ("m/config.json", bert), ("m/pytorch_model-00001-of-00003.bin", ""),
            ("m/pytorch_model.bin.index.json", "{}"),
        ])
        #expect(listing.models.map(\.summary) == ["m @m [pytorch_model.bin.index.jsonx1]"])
        #expect(listing.problems.map(\.reason) == ["1 of 3 shards are there"])
    }

    @Test func hubCache() throws {
        let folder = "hub/models--sentence-transformers--all-MiniLM/snapshots/abc123/"
        let listing = try list([(folder + "config.json", bert), (folder + "model.safetensors", "")])
        let model = try #require(listing.models.first)
        #expect(model.name == "sentence-transformers/all-MiniLM" && model.binding("revision") == "abc123")
    }

    @Test func adaptersNameTheirBase() throws {
        let listing = try list([
            ("a/adapter_config.json", #"{"base_model_name_or_path": "org/base", "r": 8}"#),
            ("a/adapter_model.safetensors", ""),
        ])
        #expect(listing.models.map(\.summary) == ["a @a [adapter_model.safetensors]"])
        #expect(
            listing.models[0].layout == "hugging-face-adapter" && listing.models[0].binding("base_model") == "org/base")
    }

    @Test func trainingRunsWithDashedFolders() throws {
        let listing = try list([
            ("run/checkpoint-500/model.safetensors", ""), ("run/checkpoint-500/config.json", bert),
            ("run/checkpoint-500/optimizer.pt", ""), ("run/checkpoint-1000/model.safetensors", ""),
            ("run/checkpoint-1000/config.json", bert), ("run/checkpoint-500/rng_state.pth", ""),
        ])
        #expect(
            listing.models.map(\.summary) == [
                "run @run [500:model.safetensors 500:optimizer.pt! 1000:model.safetensors]"
            ]
        )
        #expect(listing.models[0].configMember?.path == "run/checkpoint-1000/config.json")
    }

    @Test func aFolderWithAnotherConfigIsFlat() throws {
        let listing = try list([("m/config.json", #"{"lr": 0.1}"#), ("m/net.pt", "")])
        #expect(listing.models.map(\.summary) == ["net @m [net.pt]"])
        #expect(listing.models[0].layout == "flat" && listing.models[0].configMember?.path == "m/config.json")
    }

    @Test func aBrokenConfigIsAProblemAndTheWeightsStay() throws {
        let listing = try list([("m/config.json", "{"), ("m/model.safetensors", "")])
        #expect(listing.models.count == 1 && listing.problems.map(\.path) == ["m/config.json"])
    }

    @Test func quantisedVariantsAreModelsOfTheirOwn() throws {
        let listing = try list([("m/config.json", bert), ("m/net-q4.gguf", ""), ("m/net-q8.gguf", "")])
        #expect(listing.models.map(\.summary) == ["net-q4 @m [net-q4.gguf]", "net-q8 @m [net-q8.gguf]"])
    }
}

@Suite struct LayoutFlatTests {
    private func list(_ paths: [String]) throws -> [String] {
        try AutomaticLayout().listing(of: LayoutTestArchive(paths: paths), rootName: "zoo").models.map(\.summary)
    }

    @Test func everyFileIsAModel() throws {
        #expect(
            try list(["b/variant_01.safetensors", "b/variant_00.safetensors", "readme.txt", "resnet18.pt"]) == [
                "variant_00 @b [variant_00.safetensors]", "variant_01 @b [variant_01.safetensors]",
                "resnet18 @ [resnet18.pt]",
            ])
    }

    @Test func markedSiblingsAreEpochs() throws {
        #expect(
            try list(["net_epoch10.pt", "net_epoch3.pt", "other_epoch3.pt", "net.pt"]) == [
                "net.pt @ [net.pt]", "net @ [3:net_epoch3.pt 10:net_epoch10.pt]", "other @ [3:other_epoch3.pt]",
            ])
        #expect(try list(["m.pt", "m.safetensors"]) == ["m.pt @ [m.pt]", "m.safetensors @ [m.safetensors]"])
    }

    @Test func stepsAndBothMarkers() throws {
        #expect(
            try list(["r/step_1000.safetensors", "r/step_500.safetensors"]) == [
                "model @r [500:step_500.safetensors 1000:step_1000.safetensors]"
            ])
        #expect(
            try list(["epoch=0-step=100.ckpt", "epoch=1-step=200.ckpt"]) == [
                "model @ [0:epoch=0-step=100.ckpt 1:epoch=1-step=200.ckpt]"
            ])
        #expect(
            try list(["epoch=0-step=100.ckpt", "epoch=0-step=200.ckpt"]) == [
                "model @ [100:epoch=0-step=100.ckpt 200:epoch=0-step=200.ckpt]"
            ])
    }

    @Test func whatIsNotSureStaysAModelPerFile() throws {
        #expect(
            try list(["m_epoch3.pt", "m_epoch03.pt"]) == ["m_epoch03 @ [3:m_epoch03.pt]", "m_epoch3 @ [3:m_epoch3.pt]"])
        #expect(try list(["m_epoch1.pt", "m_epoch2.pth"]).count == 2)
    }

    @Test func sidecarsAreConfigs() throws {
        let listing = try AutomaticLayout().listing(
            of: LayoutTestArchive(paths: ["a.pt", "a.json", "b_epoch1.pt", "b_epoch2.pt", "b.json", "c.pt"]))
        #expect(listing.models.map { $0.configMember?.path } == ["a.json", "b.json", nil])
    }

    @Test func shardsOfAFlatFile() throws {
        #expect(
            try list(["big-00001-of-00002.safetensors", "big-00002-of-00002.safetensors"]) == [
                "big @ [big-00001-of-00002.safetensorsx2]"
            ])
    }

    @Test(arguments: [
        ("net_epoch3", [3]), ("Epoch-12", [12]), ("ep.4", [4]), ("checkpoint_000050", [50]), ("iter 7", [7]),
        ("e3", []),
        ("deep5", []), ("step", []), ("step_", []), ("epoch3b", []), ("variant_07", []), ("epoch__3", []),
        ("epoch99999999999", []), ("x_epoch=1-step=2", [1, 2]), ("résumé_epoch1", [1]), ("éepoch1", []),
    ])
    func markers(_ stem: String, _ expected: [Int32]) {
        #expect(EpochMarker.all(in: stem).map(\.number) == expected)
    }
}
