import Testing
import ZooBase
import ZooFormats
import ZooNN
import ZooTensor
import ZooTestModels
import ZooTestSupport

/// Recomputed batch-norm statistics against PyTorch (Fixtures/make_batch_norm.py).
@Suite struct BatchNormStatisticsTests {
    private func fixture() throws -> any TensorSource {
        try CheckpointFile.open(Repository.path("Tests/ZooNNTests/Fixtures/batch_norm.safetensors")).source
    }

    private func model() throws -> StateDict {
        let file = try fixture()
        var state = StateDict()
        for info in file.tensorInfos where info.name.hasPrefix("model.") {
            state[String(info.name.dropFirst(6))] = try file.tensor(named: info.name)
        }
        return state
    }

    private func graph(_ state: StateDict) throws -> ArchitectureGraph {
        try ReferenceZoo.resolver().choose(
            ArchitectureRequest(tensors: state.tensorInfos, inputShape: [1, 8, 8], config: .init(), settings: .init()),
            explicit: nil
        ).graph
    }

    @Test(arguments: [("batch32.", 32), ("whole.", 100)])
    func theStatisticsArePyTorchs(_ prefix: String, _ batch: Int) throws {
        let state = try model(), file = try fixture()
        let samples = try Samples(file, split: "train")
        let graph = try graph(state)
        let statistics = try BatchNormStatistics(
            graph, tensors: state.tensorInfos, samples: samples, estimate: .perBatch(batch))
        let found = try statistics.recalibrated(state)
        var compared = 0
        for info in file.tensorInfos where info.name.hasPrefix(prefix) {
            let name = String(info.name.dropFirst(prefix.count))
            let expected = try file.tensor(named: info.name).doubles(), values = try found.tensor(named: name).doubles()
            for (x, y) in zip(values, expected) { #expect(abs(x - y) <= 2e-5 * max(1, abs(y)), "\(name): \(x), \(y)") }
            compared += 1
        }
        #expect(compared == 12)
        #expect(try found.tensor(named: "bn1.num_batches_tracked").doubles() == [0])
        #expect(try found.tensor(named: "fc.weight").isIdentical(to: state.tensor(named: "fc.weight")))
    }

    @Test func exactIsOneBatchOfAll() throws {
        let state = try model()
        let samples = try Samples(fixture(), split: "train")
        let graph = try graph(state)
        let exact = try BatchNormStatistics(graph, tensors: state.tensorInfos, samples: samples).recalibrated(state)
        let whole = try BatchNormStatistics(
            graph, tensors: state.tensorInfos, samples: samples, estimate: .perBatch(100)
        ).recalibrated(state)
        for name in state.names {
            let x = try exact.tensor(named: name).doubles(), y = try whole.tensor(named: name).doubles()
            for (a, b) in zip(x, y) { #expect(abs(a - b) <= 1e-6 * max(1, abs(b)), "\(name)") }
        }
    }

    @Test func pooledMomentsAreThoseOfAllValues() throws {
        let state = try model()
        let samples = try Samples(fixture(), split: "train")
        let graph = try graph(state)
        // The first layer reads the same numbers whatever the batches: its pooled moments must not depend on them.
        func first(_ batch: Int) throws -> Moments? {
            try ChannelMoments(
                graph, tensors: state.tensorInfos, samples: samples, target: .batchNormInputs, batch: batch
            ).pooled(of: state)["bn1"]
        }
        let parts = try #require(try first(16)), whole = try #require(try first(100))
        #expect(parts.count == 6400 && whole.count == 6400)
        for channel in whole.mean.indices {
            #expect(abs(parts.mean[channel] - whole.mean[channel]) < 1e-5)
            #expect(abs(parts.variance[channel] - whole.variance[channel]) < 1e-5 * max(1, whole.variance[channel]))
        }
    }

    @Test func aNetworkWithoutBatchNormIsRefused() throws {
        let graph = try ArchitectureGraph(
            json: JSONParser.parse(
                """
                {"name": "m", "inputs": [{"name": "input", "kind": "features", "shape": [2]}],
                 "nodes": [{"name": "fc", "op": "linear", "parameters": {"weight": "w"}}], "outputs": {"logits": "fc"}}
                """))
        #expect(!BatchNormStatistics.applies(to: graph))
        let samples = try Samples(inputs: Tensor([1, 2] as [Float], shape: [1, 2]), labels: nil)
        #expect(throws: ZooError.self) {
            try BatchNormStatistics(
                graph, tensors: [TensorInfo(name: "w", dtype: .float32, shape: [3, 2])], samples: samples)
        }
    }
}
