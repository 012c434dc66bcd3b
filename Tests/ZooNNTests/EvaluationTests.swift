import Testing
import ZooBase
import ZooFormats
import ZooNN
import ZooTensor
import ZooTestModels
import ZooTestSupport

/// Losses and accuracies of all sample zoos against PyTorch's.
@Suite struct EvaluationTests {
    private func check(
        _ models: [ReferenceZoo.Model], _ splits: [(name: String, samples: Samples)],
        expected: (ReferenceZoo.Model, String) -> ReferenceZoo.Expected?
    ) throws -> [String] {
        let resolver = try ReferenceZoo.resolver()
        var faults: [String] = []
        for (split, samples) in splits {
            var groups: [ArchitectureGraph: [ReferenceZoo.Model]] = [:]
            for model in models {
                let request = ArchitectureRequest(
                    tensors: model.source.tensorInfos, inputShape: samples.inputShape, config: model.config)
                groups[try resolver.choose(request).graph, default: []].append(model)
            }
            for (graph, group) in groups {
                for alike in Dictionary(grouping: group, by: { $0.source.tensorInfos }).values {
                    let evaluator = try Evaluator(graph, tensors: alike[0].source.tensorInfos, samples: samples)
                    let results = try evaluator.evaluate(count: alike.count, jobs: 2) { alike[$0].source }
                    for (model, result) in zip(alike, results) {
                        let name = "\(model.trial)@\(model.epoch) \(split)"
                        guard let wanted = expected(model, split) else {
                            faults.append("\(name): no reference")
                            continue
                        }
                        if let fault = ReferenceZoo.difference(result, wanted, name) { faults.append(fault) }
                    }
                }
            }
        }
        return faults
    }

    @Test func everySmallCNNHasTheLossThatPyTorchComputes() throws {
        let models = try ReferenceZoo.models("digits-cnn.zip")
        #expect(models.count == 452)
        let reference = try ReferenceZoo.expected("a")
        let splits = try ["train", "val", "test"].map { ($0, try ReferenceZoo.samples("data/digits.safetensors", $0)) }
        let faults = try check(models, splits) { ReferenceZoo.Expected(reference[$0.trial]?["\($0.epoch)"]?[$1]) }
        #expect(faults == [])
    }

    @Test func everyResidualNetworkHasTheLossThatPyTorchComputes() throws {
        let models = try ReferenceZoo.models("digits-phases.tar.gz")
        #expect(models.count == 108)
        let reference = try ReferenceZoo.expected("b")
        let file = "data/digits.safetensors"
        let splits = [
            ("train", try ReferenceZoo.samples(file, "train", labels: "y_train_noisy")),
            ("val", try ReferenceZoo.samples(file, "val")), ("test", try ReferenceZoo.samples(file, "test")),
        ]
        let faults = try check(models, splits) { ReferenceZoo.Expected(reference[$0.trial]?[$1]) }
        #expect(faults == [])
    }

    @Test func aNetworkSpelledOutInAFileHasTheLossThatPyTorchComputes() throws {
        let reference = try ReferenceZoo.expected("c")
        let data = try CheckpointFile.open(Repository.path("zoos/digits-tasks/data/zoo_c_data.safetensors")).source
        for (name, tasks) in reference.object?.members ?? [] {
            let model = ReferenceZoo.Model(
                trial: name, epoch: 0, config: JSONObject(),
                source: try CheckpointFile.open(Repository.path("zoos/digits-tasks/\(name).safetensors")).source)
            let splits = try (tasks.object?.members ?? []).flatMap { task, splits in
                try (splits.object?.members ?? []).map { split, _ in
                    ("\(task).\(split)", try Samples(data, split: "\(task).\(split)"))
                }
            }
            #expect(!splits.isEmpty)
            let faults = try check([model], splits) { _, split in
                let parts = split.split(separator: ".").map(String.init)
                return ReferenceZoo.Expected(tasks[parts[0]]?[parts[1]])
            }
            #expect(faults == [])
        }
    }

    @Test func resultsDoNotDependOnThreadsOrBatch() throws {
        let models = Array(try ReferenceZoo.models("digits-cnn.zip").prefix(5))
        let samples = try ReferenceZoo.samples("data/digits.safetensors", "val")
        let request = ArchitectureRequest(
            tensors: models[0].source.tensorInfos, inputShape: samples.inputShape, config: models[0].config)
        let graph = try ReferenceZoo.resolver().choose(request).graph
        var found: [[Evaluation]] = []
        for (batch, jobs) in [(128, 1), (128, 3), (16, 2), (1000, 1), (7, 1)] {
            let evaluator = try Evaluator(graph, tensors: request.tensors, samples: samples, batch: batch)
            found.append(
                try evaluator.evaluate(count: models.count, jobs: jobs) { models[$0].source }.map { try $0.get() })
        }
        #expect(found[0] == found[1])
        for other in found[2...] {
            #expect(other.map(\.correctCount) == found[0].map(\.correctCount))
            for (a, b) in zip(other, found[0]) { #expect(abs(a.loss - b.loss) <= 1e-6 * abs(b.loss)) }
        }
    }

    /// Fewer models than threads: batches are split as well, and not a bit of a result changes.
    @Test func batchesAreSplitWhenThereAreFewModels() throws {
        let models = Array(try ReferenceZoo.models("digits-cnn.zip").prefix(2))
        let samples = try ReferenceZoo.samples("data/digits.safetensors", "val")
        let request = ArchitectureRequest(
            tensors: models[0].source.tensorInfos, inputShape: samples.inputShape, config: models[0].config)
        let evaluator = try Evaluator(
            ReferenceZoo.resolver().choose(request).graph, tensors: request.tensors, samples: samples, batch: 32)
        let alone = try evaluator.evaluate(count: 2, jobs: 1) { models[$0].source }.map { try $0.get() }
        #expect(evaluator.split(count: 2, jobs: 1).batchGroups == 1)
        for jobs in [3, 4, 7, 1000] {
            let split = evaluator.split(count: 2, jobs: jobs)
            #expect(split.batchGroups == min((samples.count + 31) / 32, (jobs + 1) / 2) && split.threads <= jobs)
            let found = try evaluator.evaluate(count: 2, jobs: jobs) { models[$0].source }
            #expect(try found.map { try $0.get() } == alone)
        }
        let some = try evaluator.evaluate(count: 2, jobs: 8) { index in
            if index == 0 { throw ZooError(.io, "gone") }
            return models[index].source
        }
        #expect(throws: ZooError.self) { try some[0].get() }
        #expect(try some[1].get() == alone[1])
        #expect("\(evaluator.split(count: 1, jobs: 2))" == "1 model × 2 batch groups on 2 threads")
    }

    @Test func aModelThatCannotBeReadHasItsErrorAndTheOthersTheirResults() throws {
        let model = try #require(try ReferenceZoo.models("digits-cnn.zip").first)
        let samples = try ReferenceZoo.samples("data/digits.safetensors", "val")
        let request = ArchitectureRequest(
            tensors: model.source.tensorInfos, inputShape: samples.inputShape, config: model.config)
        let evaluator = try Evaluator(
            ReferenceZoo.resolver().choose(request).graph, tensors: request.tensors, samples: samples)
        let results = try evaluator.evaluate(count: 3, jobs: 2) { index in
            if index == 1 { throw ZooError(.io, "gone") }
            return model.source
        }
        #expect(try results[0].get() == results[2].get())
        #expect(throws: ZooError.self) { try results[1].get() }
    }

    @Test func labelsAndInputsThatDoNotFitAreRefused() throws {
        let model = try #require(try ReferenceZoo.models("digits-cnn.zip").first)
        let infos = model.source.tensorInfos
        func evaluator(_ samples: Samples) throws -> Evaluator {
            let request = ArchitectureRequest(tensors: infos, inputShape: [1, 8, 8], config: model.config)
            return try Evaluator(ReferenceZoo.resolver().choose(request).graph, tensors: infos, samples: samples)
        }
        let inputs = Tensor([Float](repeating: 0.5, count: 128), shape: [2, 1, 8, 8])
        var samples = try Samples(inputs: inputs, labels: Tensor([Int64(3), 10], shape: [2]))
        samples.origin = "d.npz:val"
        let label = #expect(throws: ZooError.self) { try evaluator(samples.selecting([1, 0])) }
        #expect(label?.message.hasPrefix("d.npz:val: the label of sample 0: expected one of the network's 10") == true)
        samples = try Samples(inputs: inputs.reshaped([1, 2, 8, 8]), labels: Tensor([Int64(3)], shape: [1]))
        samples.origin = "d.npz:val"
        let channels = #expect(throws: ZooError.self) { try evaluator(samples) }
        #expect(channels?.message.hasPrefix("d.npz:val: ") == true)
        #expect(channels?.message.contains("(1 and 2 channels of 8×8)") == true)
        #expect(throws: ZooError.self) { try Samples(inputs: inputs, labels: Tensor([Int64(3), -1], shape: [2])) }
        #expect(throws: ZooError.self) { try Samples(inputs: inputs, labels: Tensor([Int64(3)], shape: [1])) }
        // A table of all classes up to this one would not fit into memory.
        let huge = #expect(throws: ZooError.self) {
            try Samples(inputs: inputs, labels: Tensor([Int64(3), 2_000_000_000], shape: [2]))
        }
        #expect(huge?.message.contains("sample 1") == true && huge?.message.contains("2000000000") == true)
        #expect(throws: ZooError.self) {
            try Samples(inputs: Tensor([Float.nan], shape: [1, 1]), labels: Tensor([Int64(0)], shape: [1]))
        }
        #expect(throws: ZooError.self) { try Samples(inputs: Tensor([Float](), shape: [0, 4]), labels: nil) }
    }
}
