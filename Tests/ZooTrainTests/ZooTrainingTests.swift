import Foundation
import Testing
import ZooBase
import ZooFormats
import ZooNN
import ZooTensor
import ZooTestSupport
import ZooTrain

/// Whole zoos: the same bytes whatever the threads, divergence, freezing, transforms, label noise, dropout.
@Suite struct ZooTrainingTests {
    private static let manifest = """
        id: tiny
        data: {path: digits.safetensors}
        architecture:
          {family: small-cnn, channels: [4], kernels: [3], pool: [true], hidden: 8, activation: $act, dropout: 0.1}
        optimizer: {name: adam, lr: 0.01}
        augment: {shift: 1, noise: 0.1, flip: 0.5}
        label_noise: 0.1
        epochs: 3
        batch_size: 24
        grid: {act: [tanh, relu]}
        seeds: 2
        checkpoints: {every: 1, optimizer: all}
        """

    private func training(_ text: String, _ folder: String, count: Int = 100) throws -> ZooTraining {
        let all = try StepTests.data(count)
        return try ZooTraining(
            TrainingManifest(yaml: text, file: "tiny.yaml"),
            data: TrainingData(train: all.train, test: StepTests.data(40).train), into: folder, seed: 0,
            resolver: ArchitectureResolver())
    }

    static func files(_ folder: String) throws -> [String: Data] {
        var files: [String: Data] = [:]
        let root = URL(fileURLWithPath: folder)
        for name in FileManager.default.enumerator(atPath: folder)?.compactMap({ $0 as? String }) ?? [] {
            var isFolder: ObjCBool = false
            let path = root.appendingPathComponent(name).path
            guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder), !isFolder.boolValue else {
                continue
            }
            files[name] = try Data(contentsOf: URL(fileURLWithPath: path))
        }
        return files
    }

    @Test func bytesDoNotDependOnThreads() throws {
        let folder = try TemporaryFolder()
        for jobs in [1, 3] {
            let training = try training(Self.manifest, folder.file("\(jobs)"))
            for outcome in try training.run(jobs: jobs, ended: { _, _ in }) {
                guard case .trained = outcome else { return #expect(Bool(false), "\(outcome)") }
            }
        }
        let one = try Self.files(folder.file("1/tiny")), three = try Self.files(folder.file("3/tiny"))
        #expect(one == three)
        #expect(one.count == 4 * (3 + 4 * 3))
        // Finished trials are left alone.
        let again = try training(Self.manifest, folder.file("1")).run(jobs: 2, ended: { _, _ in })
        #expect(again.allSatisfy { if case .found = $0 { true } else { false } })
        // The same name with other settings is no reason to overwrite.
        let other = try training(
            Self.manifest.replacingOccurrences(of: "lr: 0.01", with: "lr: 0.02"), folder.file("1")
        ).run(jobs: 1, ended: { _, _ in })
        for outcome in other {
            guard case .failed(let error) = outcome else { return #expect(Bool(false), "\(outcome)") }
            #expect(error.code == .mismatch)
        }
    }

    /// Relabelled classes and turned inputs: two logits, a loss that falls far, the same bytes on one thread and on two.
    @Test func transformersLearnTheirTasks() throws {
        let folder = try TemporaryFolder()
        let text = """
            id: sight
            data: {path: digits.safetensors}
            architecture: {family: vit, patch: 4, dim: 16, depth: 1, heads: 4, mlp_ratio: 2}
            optimizer: {name: adam, lr: 0.01}
            epochs: 30
            batch_size: 16
            grid: {classes: [[7, 2], [0, 1]], transform: [[], rot90], relabel: [true]}
            checkpoints: {every: 15, format: safetensors}
            """
        for jobs in [1, 2] {
            let outcomes = try training(text, folder.file("\(jobs)"), count: 200).run(jobs: jobs) { _, _ in }
            for outcome in outcomes {
                guard case .trained = outcome else { return #expect(Bool(false), "\(outcome)") }
            }
        }
        let files = try Self.files(folder.file("1/sight"))
        #expect(try Self.files(folder.file("2/sight")) == files)
        let results = files.filter { $0.key.hasSuffix("result.json") }
        #expect(results.count == 4)
        for (name, bytes) in results {
            let lines = try String(decoding: bytes, as: UTF8.self).split(separator: "\n").map {
                try JSONParser.parse(String($0))
            }
            #expect(abs(try #require(lines.first?["train_loss"]?.double) - 0.693) < 0.1, "\(name)")
            #expect(try #require(lines.last?["train_loss"]?.double) < 0.1, "\(name)")
        }
        let model = try #require(files.keys.first { $0.hasSuffix("checkpoint_000030/model.safetensors") })
        let source = try CheckpointFile.open(folder.file("1/sight/\(model)")).source
        #expect(source.tensorInfos.first { $0.name == "head.weight" }?.shape == [2, 16])
    }

    @Test func divergenceEndsATrialAndKeepsItsLastFiniteEpoch() throws {
        let folder = try TemporaryFolder()
        let text = """
            id: wild
            data: {path: digits.safetensors}
            architecture: {family: mlp, hidden: [16, 16, 16], activation: relu}
            optimizer: {name: sgd, lr: 1.0e+12}
            epochs: 5
            """
        let outcomes = try training(text, folder.path).run(jobs: 1) { _, _ in }
        guard case .diverged(let reason) = outcomes[0] else { return #expect(Bool(false), "\(outcomes)") }
        #expect(reason.contains("diverged"))
        let files = try Self.files(folder.file("wild"))
        let lines = try #require(files.first { $0.key.hasSuffix("result.json") }).value
        let last = try JSONParser.parse(
            String(String(decoding: lines, as: UTF8.self).split(separator: "\n").last ?? ""))
        #expect(last["train_loss"] == .null)
        #expect(last["failure"]?.string?.contains("diverged") == true)
        let checkpoint = try #require(files.first { $0.key.hasSuffix("/checkpoints") })
        #expect(checkpoint.key.contains("checkpoint_000000"))
    }

    @Test func networksLargerThanMemoryAreRefused() throws {
        let folder = try TemporaryFolder()
        let text = """
            id: huge
            data: {path: digits.safetensors}
            architecture: {family: mlp, hidden: [16777216, 16777216], activation: relu}
            epochs: 1
            """
        let error = #expect(throws: ZooError.self) { _ = try training(text, folder.path) }
        #expect(error?.message.contains("too large") == true)
    }

    @Test func aBaseThatIsNotFiniteIsAnError() throws {
        let folder = try TemporaryFolder()
        let start = try CheckpointFile.open(
            Repository.path("Tests/ZooTrainTests/Fixtures/cnn-start.safetensors")
        ).source
        var state = StateDict()
        for info in start.tensorInfos { state[info.name] = try start.tensor(named: info.name) }
        let bias = try #require(state["module_list.11.bias"])
        state["module_list.11.bias"] = Tensor(
            [Float](repeating: .nan, count: bias.shape.elementCount), shape: bias.shape)
        let base = folder.file("broken.safetensors")
        try SafetensorsWriter.write(state, to: base)
        let text = """
            id: broken
            data: {path: digits.safetensors}
            architecture: {family: small-cnn, channels: [8, 6, 4], kernels: [5, 5, 2], padding: [2, 2, 0],
              pool: [true, false, false], hidden: 20, activation: tanh}
            base: \(base)
            epochs: 1
            """
        let outcomes = try training(text, folder.path).run(jobs: 1) { _, _ in }
        guard case .failed(let error) = outcomes[0] else { return #expect(Bool(false), "\(outcomes)") }
        #expect(error.message.contains("broken.safetensors") && error.message.contains("module_list.11.bias"))
    }

    /// Everything that keeps a base from fitting is told before anything is trained.
    @Test func aBaseOfOtherShapesIsToldWhole() throws {
        let folder = try TemporaryFolder()
        let text = """
            id: based
            data: {path: digits.safetensors}
            architecture: {family: small-cnn, channels: [8, 6, 5], kernels: [5, 5, 2], padding: [2, 2, 0],
              pool: [true, false, false], hidden: 24, activation: tanh}
            base: \(Repository.path("Tests/ZooTrainTests/Fixtures/cnn-start.safetensors"))
            epochs: 1
            """
        let error = #expect(throws: ZooError.self) { _ = try training(text, folder.path) }
        for part in [
            "cnn-start.safetensors does not fit",
            "'module_list.6.weight' has shape [4, 6, 2, 2], expected [5, 6, 2, 2]",
            "'module_list.6.bias' has shape [4]", "'module_list.9.weight' has shape [20, 36], expected [24, 45]",
            "'module_list.11.weight' has shape [10, 20], expected [10, 24]",
        ] { #expect(error?.message.contains(part) == true, "\(error?.message ?? "")") }
        #expect(try Self.files(folder.path).isEmpty)
    }

    /// Other samples, another split and another base under the same settings are no trial that is there.
    @Test func otherDataAreNotFound() throws {
        let folder = try TemporaryFolder()
        let text = """
            id: same
            data: {path: digits.safetensors}
            architecture: {family: mlp, hidden: [4], activation: relu}
            epochs: 1
            """
        _ = try training(text, folder.path, count: 60).run(jobs: 1) { _, _ in }
        let again = try training(text, folder.path, count: 60).run(jobs: 1) { _, _ in }
        guard case .found = again[0] else { return #expect(Bool(false), "\(again)") }
        let other = try training(text, folder.path, count: 61).run(jobs: 1) { _, _ in }
        guard case .failed(let error) = other[0] else { return #expect(Bool(false), "\(other)") }
        #expect(error.code == .mismatch && error.message.contains("dataset::train_fingerprint: expected"))
        #expect(!error.message.contains("test_fingerprint"))
    }

    @Test(arguments: [
        ("classes: [1, 12]", "no sample of class 12; its classes are 0, 1, 2"),
        ("transform: [{shift: 8}]", "shift=8: expected fewer than the 8 columns"),
        ("transform: [{occlude: 30}]", "occlude=30: expected fewer than the 8 columns"),
        ("augment: {shift: 8}", "augment.shift: expected fewer than the 8 pixels"),
        ("classes: [1, 1]", "a class is listed twice"),
        ("freeze: [fc9]", "no parameter matches 'fc9'"),
        ("drop_last: true\nclasses: [1]", "batch_size: 32 with drop_last leaves no step of"),
    ])
    func dataThatDoNotFitAreRefused(_ line: String, _ words: String) throws {
        let folder = try TemporaryFolder()
        let text = """
            id: odd
            data: {path: digits.safetensors}
            architecture: {family: mlp, hidden: [4], activation: relu}
            epochs: 1
            \(line)
            """
        let error = #expect(throws: ZooError.self) { _ = try training(text, folder.path) }
        #expect(error?.message.contains(words) == true, "\(error?.message ?? "")")
    }

    /// A label that the training data do not have is told with its split, unless the network is given an output for it.
    @Test func labelsBeyondTheTrainingClassesAreNamed() throws {
        let folder = try TemporaryFolder()
        let train = try StepTests.data(60).train
        var test = try train.labelled(train.labels.enumerated().map { $0.offset == 7 ? 12 : $0.element })
        test.origin = "digits:test"
        func training(_ more: String) throws -> ZooTraining {
            let text = """
                id: odd
                data: {path: digits.safetensors}
                architecture: {family: mlp, hidden: [4], activation: relu\(more)}
                epochs: 1
                """
            return try ZooTraining(
                TrainingManifest(yaml: text, file: "odd.yaml"), data: TrainingData(train: train, test: test),
                into: folder.path, seed: 0, resolver: ArchitectureResolver())
        }
        let error = #expect(throws: ZooError.self) { _ = try training("") }
        #expect(error?.message.contains("digits:test: the label of sample 7: expected a class from 0 to 9") == true)
        #expect(try training(", classes: 13").trials.count == 1)
        let image = try Samples(
            inputs: Tensor([Float](repeating: 0, count: 384), shape: [2, 3, 8, 8]),
            labels: Tensor([Int64(0), 1], shape: [2]))
        let shape = #expect(throws: ZooError.self) {
            _ = try ZooTraining(
                TrainingManifest(
                    yaml: "id: odd\ndata: {path: x}\narchitecture: {family: mlp}\nepochs: 1", file: "odd.yaml"),
                data: TrainingData(train: train, validation: image), into: folder.path, seed: 0,
                resolver: ArchitectureResolver())
        }
        #expect(shape?.message.contains("extents [3, 8, 8]") == true)
    }

    @Test func statesAreWrittenAsCheckpointsAre() throws {
        let folder = try TemporaryFolder()
        var state = StateDict()
        state["b"] = Tensor([Float(1), 2, 3], shape: [3])
        state["a"] = Tensor([Int64(7)], shape: [])
        let plain = folder.file("plain.safetensors"), whole = folder.file("whole.safetensors")
        try SafetensorsWriter.write(state, to: plain, metadata: ["trial": "t"])
        try SafetensorsWriter.writeUninterrupted(state, to: whole, metadata: ["trial": "t"])
        let written = try Data(contentsOf: URL(fileURLWithPath: whole))
        #expect(try Data(contentsOf: URL(fileURLWithPath: plain)) == written)
    }

    @Test func checkpointsOfAnotherRunAreRemoved() throws {
        let folder = try TemporaryFolder()
        let text = """
            id: fresh
            data: {path: digits.safetensors}
            architecture: {family: mlp, hidden: [4], activation: relu}
            epochs: 1
            """
        let training = try self.training(text, folder.path)
        let stale = folder.file(".fresh.growing/\(training.trials[0].name)/checkpoint_000007")
        try FileManager.default.createDirectory(atPath: stale, withIntermediateDirectories: true)
        try Data([1]).write(to: URL(fileURLWithPath: "\(stale)/.checkpoints.1.partial"))
        let outcomes = try training.run(jobs: 1) { _, _ in }
        guard case .trained = outcomes[0] else { return #expect(Bool(false), "\(outcomes)") }
        #expect(try Self.files(folder.file("fresh")).keys.allSatisfy { !$0.contains("checkpoint_000007") })
    }

    @Test func frozenParametersStay() throws {
        let folder = try TemporaryFolder()
        let base = Repository.path("Tests/ZooTrainTests/Fixtures/cnn-start.safetensors")
        let text = """
            id: tuned
            data: {path: digits.safetensors}
            architecture: {family: small-cnn, channels: [8, 6, 4], kernels: [5, 5, 2], padding: [2, 2, 0],
              pool: [true, false, false], hidden: 20, activation: tanh}
            base: \(base)
            freeze: [module_list.11]
            transform: [rot90, {dim: 0.5}]
            epochs: 1
            checkpoints: {format: safetensors}
            """
        let outcomes = try training(text, folder.path).run(jobs: 1) { _, _ in }
        guard case .trained = outcomes[0] else { return #expect(Bool(false), "\(outcomes)") }
        let name = try #require(try Self.files(folder.file("tuned")).keys.first { $0.hasSuffix("model.safetensors") })
        let tuned = try CheckpointFile.open(folder.file("tuned/\(name)")).source
        let start = try CheckpointFile.open(base).source
        for info in start.tensorInfos {
            let isSame = try tuned.tensor(named: info.name).isIdentical(to: start.tensor(named: info.name))
            #expect(isSame == info.name.hasPrefix("module_list.11"), "\(info.name)")
        }
    }

    @Test func transformsAreThoseOfTheSampleTasks() throws {
        let tasks = try CheckpointFile.open(Repository.path("zoos/digits-tasks/data/zoo_c_data.safetensors")).source
        let clean = try Samples(tasks, split: "clean.test")
        let words: [(String, String)] = [
            ("rot90", "rot90"), ("rot180", "rot180"), ("mirror", "mirror"), ("invert", "invert"),
            ("dim", "{dim: 0.25}"),
            ("shift", "{shift: 2}"), ("occlude", "{occlude: 3}"),
        ]
        for (task, word) in words {
            let manifest = try TrainingManifest(
                yaml: "id: t\ndata: {path: x}\narchitecture: {family: mlp}\nepochs: 1\ntransform: [\(word)]", file: "t")
            let data = try TrainingData(train: clean).prepared(manifest.trials[0], base: 0)
            let expected = try Samples(tasks, split: "\(task).test")
            #expect(data.train.inputs == expected.inputs, "\(task)")
        }
    }

    @Test func labelNoiseChangesExactlyItsShare() throws {
        let data = try StepTests.data(200)
        var settings = TrialSettings()
        settings.labelNoise = 0.1
        let noisy = try data.prepared(settings, base: 0)
        #expect(zip(noisy.train.labels, data.train.labels).filter { $0 != $1 }.count == 20)
        #expect(noisy.train.inputs == data.train.inputs)
        settings.seed = 1
        #expect(try data.prepared(settings, base: 0).train.labels != noisy.train.labels)
        settings.labelNoise = 0
        settings.classes = [1, 3]
        #expect(Set(try data.prepared(settings, base: 0).train.labels) == [1, 3])
    }
}
