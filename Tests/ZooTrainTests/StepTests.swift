import Foundation
import Testing
import ZooBase
import ZooFormats
import ZooNN
import ZooTensor
import ZooTestSupport
import ZooTrain

/// Twenty-four steps from the same weights on the same batches as PyTorch (see `Fixtures/make_training_oracles.py`):
/// losses, weights, running statistics and counters.
@Suite struct StepTests {
    private static let fixtures = Repository.path("Tests/ZooTrainTests/Fixtures")

    static func data(_ count: Int) throws -> TrainingData {
        let source = try CheckpointFile.open(Repository.path("zoos/data/digits.safetensors")).source
        let samples = try Samples(source, split: "train")
        let size = samples.sampleSize
        return TrainingData(
            train: try Samples(
                inputs: Tensor(Array(samples.inputs.prefix(count * size)), shape: Shape([count] + samples.inputShape)),
                labels: Tensor(samples.labels.prefix(count).map { Int64($0) }, shape: [count])))
    }

    static func blueprint(_ name: String) throws -> ArchitectureBlueprint {
        let numbers: JSONObject =
            switch name {
            case "cnn", "cnn-padded":
                JSONObject([
                    ("family", "small-cnn"), ("channels", [8, 6, 4]), ("kernels", [5, 5, 2]), ("padding", [2, 2, 0]),
                    ("pool", [true, false, false]), ("hidden", 20), ("activation", "tanh"),
                ])
            case "vit":
                JSONObject([
                    ("family", "vit"), ("patch", 2), ("dim", 12), ("depth", 2), ("heads", 3), ("mlp_ratio", 2),
                ])
            case "vit-padded":
                JSONObject([
                    ("family", "vit"), ("patch", 4), ("dim", 16), ("depth", 1), ("heads", 4), ("mlp_ratio", 1.5),
                ])
            default: JSONObject([("family", "resnet"), ("width", 6), ("blocks", [1, 1])])
            }
        return try ArchitectureBlueprint(name: name, numbers: numbers, inputShape: [1, 8, 8], classes: 10)
    }

    private func settings(_ name: String, batch: Int, smoothing: Double) -> TrialSettings {
        var settings = TrialSettings()
        switch name {
        case "cnn":
            settings.optimiser = Optimiser(.adam)
            settings.optimiser.weightDecay = 1e-4
        case "cnn-padded":
            settings.optimiser.learningRate = 0.05
            settings.optimiser.momentum = 0.9
            settings.optimiser.isNesterov = true
        case "resnet":
            settings.optimiser.learningRate = 0.01
            settings.optimiser.momentum = 0.9
            settings.optimiser.weightDecay = 5e-4
        case "vit-padded":
            settings.optimiser.learningRate = 0.02
            settings.optimiser.momentum = 0.9
        case "vit":
            settings.optimiser = Optimiser(.adamw)
            settings.optimiser.weightDecay = 0.05
            settings.optimiser.epsilon = 1e-4
        default:
            settings.optimiser = Optimiser(.adamw)
            settings.optimiser.epsilon = 1e-4
        }
        settings.batchSize = batch
        settings.labelSmoothing = smoothing
        settings.epochs = 100
        return settings
    }

    @Test(arguments: ["cnn", "cnn-padded", "resnet", "resnet-padded", "vit", "vit-padded"])
    func stepsEqualThoseOfTorch(_ name: String) throws {
        struct Oracle: Decodable {
            var losses: [Double]
            var batch, samples: Int
            var smoothing: Double
        }
        let file = URL(fileURLWithPath: "\(Self.fixtures)/\(name).json")
        let oracle = try JSONDecoder().decode(Oracle.self, from: Data(contentsOf: file))
        let start = try CheckpointFile.open("\(Self.fixtures)/\(name)-start.safetensors").source
        let end = try CheckpointFile.open("\(Self.fixtures)/\(name)-end.safetensors").source
        let blueprint = try Self.blueprint(name)
        let shapes = { (tensors: [TensorInfo]) in
            Dictionary(uniqueKeysWithValues: tensors.map { ($0.name, $0.shape) })
        }
        #expect(shapes(blueprint.tensors) == shapes(start.tensorInfos))
        let trainer = try Trainer(
            settings(name, batch: oracle.batch, smoothing: oracle.smoothing), blueprint: blueprint,
            data: Self.data(oracle.samples), seed: TrainingSeed(trial: 0), base: start, library: ProgramLibrary())
        var losses: [Double] = []
        while losses.count < oracle.losses.count {
            for first in stride(from: 0, to: oracle.samples, by: oracle.batch) {
                let places = Array(first..<min(first + oracle.batch, oracle.samples))
                losses.append(try trainer.train(places, epoch: 1).loss)
            }
        }
        for (found, expected) in zip(losses, oracle.losses) { #expect(abs(found - expected) <= 2e-5) }
        let state = trainer.block.stateDict()
        for info in end.tensorInfos {
            // What 24 steps leave as it was would pass whatever the gradients were.
            if info.dtype.isFloatingPoint {
                #expect(try !end.tensor(named: info.name).isIdentical(to: start.tensor(named: info.name)))
            }
            let found = try state.tensor(named: info.name).doubles()
            let expected = try end.tensor(named: info.name).doubles()
            let worst = zip(found, expected).map { abs($0 - $1) }.max() ?? 0
            #expect(worst <= 1e-5, "\(name): '\(info.name)' is off by \(worst)")
        }
    }
}
