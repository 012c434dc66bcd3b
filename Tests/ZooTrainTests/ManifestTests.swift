import Foundation
import Testing
import ZooBase
import ZooFormats
import ZooNN
import ZooTensor
import ZooTestSupport
import ZooTrain

/// Manifests of `zoo train`: what they mean, and that everything wrong with one is told at once.
@Suite struct TrainingManifestTests {
    private static let good = """
        id: tiny
        data: {path: digits.safetensors, test: test}
        architecture: {family: small-cnn, channels: [4], hidden: 8, activation: $act}
        optimizer: {name: sgd, lr: 0.1, momentum: 0.9}
        epochs: 2
        """

    @Test func anAxisGoesWhereTheArchitectureRefersToIt() throws {
        let manifest = try TrainingManifest(
            yaml: """
                id: wide
                data: {path: digits.safetensors}
                architecture: {family: mlp, hidden: [$width, $width], activation: relu}
                optimizer: {name: sgd, lr: 0.1}
                epochs: 1
                grid: {width: [2, 3]}
                """, file: "wide.yaml")
        #expect(manifest.trials.map { $0.architecture["hidden"] } == [[2, 2], [3, 3]])
        // The axis is found by its own name in the trial's configuration.
        #expect(manifest.trials.map { $0.config["model::width"] } == [2, 3])
    }

    @Test func gridSeedsAndTrials() throws {
        let manifest = try TrainingManifest(
            yaml: Self.good + """

                grid:
                  act: [tanh, relu]
                  lr: [0.1, 0.01, 0.001]
                seeds: 2
                trials:
                  - {act: gelu, optimizer: {name: adam, lr: 0.5}, seed: 9}
                """, file: "tiny.yaml")
        #expect(manifest.trials.count == 13)
        #expect(manifest.trials[1].seed == 1)
        #expect(manifest.trials[2].optimiser.learningRate == 0.01)
        #expect(manifest.trials[2].optimiser.momentum == 0.9)
        #expect(manifest.trials[6].architecture["activation"] == "relu")
        let last = manifest.trials[12]
        #expect(last.optimiser.kind == .adam && last.optimiser.learningRate == 0.5 && last.seed == 9)
        #expect(last.config["model::nlin"] == "gelu")
    }

    @Test func allProblemsAreToldWithNearestNames() throws {
        let text = """
            id: tiny zoo
            data: {pth: digits.safetensors}
            architecture: {family: small-cn, channels: [4]}
            optimizer: {name: sdg, lr: fast}
            schedule: one-cylce
            epochs: 0
            batchsize: 16
            label_noise: 3
            transform: [rot45]
            grid:
              act: [tanh]
              widht: [1, 2]
            """
        let error = #expect(throws: ZooError.self) { try TrainingManifest(yaml: text, file: "tiny.yaml") }
        let message = error?.message ?? ""
        #expect(error?.code == .usage)
        for part in [
            "id: 'tiny zoo'", "data.pth: unknown key", "data.path: missing", "did you mean 'small-cnn'",
            "did you mean 'sgd'", "optimizer.lr: expected a number", "did you mean 'one-cycle'",
            "epochs: expected a whole number from 1 on", "did you mean 'batch_size'", "label_noise: expected a number",
            "there is no transform 'rot45'", "grid.act: sets nothing", "did you mean 'width'",
        ] { #expect(message.contains(part), "'\(part)' is not in: \(message)") }
    }

    @Test func transformsWithoutSenseAreRefused() throws {
        for value in [["dim": "x"], ["dim": 0.5, "shift": 2], ["shift": 0.5], ["rot90": 3], "dim=x"] as [JSONValue] {
            #expect(throws: ZooError.self) { try InputTransform(value) }
        }
        #expect(try InputTransform(["dim": 0.5]) == .dim(0.5))
        #expect(try InputTransform("shift=-2") == .shift(-2))
        #expect(try InputTransform("noise") == .noise(0.5))
    }

    @Test func seedsAndTrialsHaveLimits() {
        for (lines, word) in [
            ("seeds: 200000", "found 200000"), ("seeds: [0, 0]", "seeds: a seed is listed twice"),
            ("seeds: []", "seeds: expected at least one"), ("seeds: -3", "seeds: expected a whole number from 1 on"),
            ("trials: 5", "trials: expected a list"),
            ("grid: {lr: [0.1, 0.2], act: [relu, tanh]}\nseeds: 50000", "found 200000"),
        ] {
            let text = Self.good.replacing("$act", with: lines.contains("act:") ? "$act" : "relu") + "\n" + lines
            let error = #expect(throws: ZooError.self) { try TrainingManifest(yaml: text, file: "tiny.yaml") }
            #expect(error?.message.contains(word) == true, "\(error?.message ?? "")")
        }
    }

    @Test func shippedManifestsAreGood() throws {
        let folder = Repository.path("manifests/train")
        let names = try FileManager.default.contentsOfDirectory(atPath: folder).filter { $0.hasSuffix(".yaml") }
        #expect(names.count >= 3)
        for name in names {
            let manifest = try TrainingManifest(
                yaml: String(contentsOfFile: "\(folder)/\(name)", encoding: .utf8), file: name)
            #expect("\(manifest.id).yaml" == name)
            let data = try StepTests.data(64)
            for trial in manifest.trials where trial.base == nil {
                _ = try ArchitectureBlueprint(
                    name: trial.architectureName, numbers: trial.architecture, inputShape: data.train.inputShape,
                    classes: 10)
            }
        }
    }

    @Test func theSchemaHasTheDecodersKeys() throws {
        let schema = try JSONParser.parse(Bytes(mapping: Repository.path("manifests/schema.json")))
        let keys = schema["$defs"]?["training"]?["properties"]?.object?.members.map(\.key) ?? []
        #expect(Set(keys) == Set(TrainingManifest.rootKeys))
    }

    /// Names, order and shapes of timm's `VisionTransformer(img_size=8, patch_size=2, in_chans=1, embed_dim=32,
    /// depth=2, num_heads=4, num_classes=10)`; 12 d² + 13 d numbers per block at ratio 4.
    @Test func transformersAreTimms() throws {
        let manifest = try TrainingManifest(
            yaml: """
                id: vit
                data: {path: digits.safetensors}
                architecture: {family: vit, patch: 2, dim: $dim, depth: 2, heads: 4}
                epochs: 1
                grid: {dim: [32], init: [timm, zeros]}
                """, file: "vit.yaml")
        #expect(manifest.trials.map(\.initialiser.kind) == [.timm, .zeros])
        #expect(manifest.trials[0].config["model::heads"] == 4)
        let blueprint = try ArchitectureBlueprint(
            name: "vit", numbers: manifest.trials[0].architecture, inputShape: [1, 8, 8], classes: 10)
        #expect(
            blueprint.tensors.prefix(6).map(\.name) == [
                "cls_token", "pos_embed", "patch_embed.proj.weight", "patch_embed.proj.bias", "blocks.0.norm1.weight",
                "blocks.0.norm1.bias",
            ])
        #expect(blueprint.tensors.map(\.name).suffix(3) == ["norm.bias", "head.weight", "head.bias"])
        let count = blueprint.tensors.reduce(0) { $0 + $1.shape.elementCount }
        #expect(count == 32 + 17 * 32 + 5 * 32 + 2 * (12 * 32 * 32 + 13 * 32) + 64 + 33 * 10)
        for (key, value, word) in [
            ("patch", 3 as JSONValue, "3 does not divide"), ("heads", 5, "5 do not divide"),
            ("depth", 0, "'depth' must"),
            ("mlp_ratio", -1, "'mlp_ratio' must"), ("mlp_ratio", 0.02, "no hidden unit"), ("num_heads", 4, "no number"),
        ] {
            var numbers = manifest.trials[0].architecture
            numbers[key] = value
            let error = #expect(throws: ZooError.self) {
                try ArchitectureBlueprint(name: "vit", numbers: numbers, inputShape: [1, 8, 8], classes: 10)
            }
            #expect(error?.message.contains(word) == true, "\(error?.message ?? "")")
        }
    }

    @Test func blueprintsAreThoseOfTheSampleZoos() throws {
        for (width, count) in [(2, 400), (4, 1382), (8, 5122), (16, 19706), (24, 43762)] {
            let blueprint = try ArchitectureBlueprint(
                name: "r",
                numbers: JSONObject([("family", "resnet"), ("width", .int(Int64(width))), ("blocks", [1, 1])]),
                inputShape: [1, 8, 8], classes: 10)
            let trained = Set(blueprint.graph.trainableNames)
            #expect(
                blueprint.tensors.filter { trained.contains($0.name) }.reduce(0) { $0 + $1.shape.elementCount } == count
            )
        }
    }
}
