import Testing
import ZooBase
import ZooMerge
import ZooNN
import ZooTensor
import ZooTestSupport

/// Permutations that are known are found again, and none changes what a network computes.
@Suite struct WeightMatchingTests {
    private typealias Network = (graph: ArchitectureGraph, state: StateDict)

    private func spaces(_ network: Network) throws -> [PermutationSpaces.Space] {
        let shapes = try GraphShapes(network.graph, tensors: network.state.tensorInfos, sequenceLength: 4)
        return PermutationSpaces(network.graph, shapes: shapes).spaces
    }

    private static let residual =
        "NN_tune_trainable_0ada0_00036_36_model_width=2,optim_lr=0.0500,optim_wd=0.0005,seed=0,training_batchsize=64_2024-03-09_16-13-20"

    private func network(_ name: String) throws -> Network {
        switch name {
        case "perceptron": try SampleNetworks.perceptron(seed: 3)
        case "decoder": try SampleNetworks.decoder(seed: 4)
        case "convolutional": try SampleNetworks.task("pretrained.safetensors")
        default: try SampleNetworks.trial("digits-phases.tar.gz", Self.residual, epoch: 20)
        }
    }

    @Test(arguments: ["perceptron", "decoder", "convolutional", "residual"])
    func noPermutationChangesTheOutputs(_ name: String) throws {
        let network = try network(name)
        let spaces = try spaces(network)
        #expect(!spaces.isEmpty)
        var generator = SeededGenerator(seed: 8)
        for _ in 0..<3 {
            let permutations = UnitPermutations(shuffled: spaces, using: &generator)
            let moved = try permutations.apply(to: network.state)
            #expect(try OutputEquality(network.graph, network.state, moved).relativeDifference < 1e-11)
        }
        var broken = network.state
        let first = try #require(spaces[0].axes.first?.tensor)
        let tensor = try broken.tensor(named: first)
        broken[first] = Tensor(tensor.floats().map { $0 * 1.5 }, shape: tensor.shape)
        #expect(try !OutputEquality(network.graph, network.state, broken).holds)
    }

    @Test(arguments: ["perceptron", "decoder", "convolutional", "residual"])
    func aRandomPermutationIsUndone(_ name: String) throws {
        let network = try network(name)
        let spaces = try spaces(network)
        var generator = SeededGenerator(seed: 21)
        let scrambled = try UnitPermutations(shuffled: spaces, using: &generator).apply(to: network.state).stateDict()
        var options = WeightMatching.Options()
        options.restarts = name == "decoder" || name == "residual" ? 20 : 3
        options.jobs = 2
        let found = try WeightMatching(spaces, a: network.state, b: scrambled, options: options)
        let restored = try found.permutations.apply(to: scrambled)
        for info in network.state.tensorInfos {
            #expect(
                try restored.tensor(named: info.name).isIdentical(to: network.state.tensor(named: info.name)),
                "\(info.name)")
        }
    }

    @Test func theObjectiveNeverFallsAndThreadsDoNotMatter() throws {
        let a = try SampleNetworks.task("soup/variant_00.safetensors")
        var generator = SeededGenerator(seed: 2)
        let spaces = try spaces(a)
        var b = try UnitPermutations(shuffled: spaces, using: &generator).apply(to: a.state).stateDict()
        for info in b.tensorInfos {
            let noisy = try b.tensor(named: info.name).floats().map {
                $0 + Float.random(in: -0.1...0.1, using: &generator)
            }
            b[info.name] = Tensor(noisy, shape: info.shape)
        }
        var options = WeightMatching.Options()
        options.seed = 5
        let one = try WeightMatching(spaces, a: a.state, b: b, options: options)
        for (before, after) in zip(one.objectives, one.objectives.dropFirst()) { #expect(after > before) }
        options.jobs = 3
        #expect(try WeightMatching(spaces, a: a.state, b: b, options: options).permutations == one.permutations)
        let aligned = try one.permutations.apply(to: b)
        let names = a.graph.trainableNames
        let before = try #require(try WeightCosine.between(a.state, b, over: names))
        let after = try #require(try WeightCosine.between(a.state, aligned, over: names))
        #expect(after > before)
    }

    @Test func oneHiddenLayerIsDoneInOneSweep() throws {
        let network = try SampleNetworks.perceptron(seed: 6)
        let all = try spaces(network)
        var generator = SeededGenerator(seed: 1)
        let scrambled = try UnitPermutations(shuffled: [all[0]], using: &generator).apply(to: network.state)
        #expect(try WeightMatching([all[0]], a: network.state, b: scrambled).sweepCount <= 1)
    }

    @Test func headsMoveAsUnits() throws {
        let spaces = try spaces(SampleNetworks.decoder(seed: 1))
        let heads = try #require(spaces.first { $0.name == "q" })
        #expect(heads.unitCount == 2)
        let blocks = Dictionary(uniqueKeysWithValues: heads.axes.map { ("\($0.tensor) \($0.axis)", $0.blockLength) })
        #expect(blocks == ["q.weight 0": 8, "q.bias 0": 8, "k.weight 0": 4, "v.weight 0": 4, "o.weight 1": 8])
    }

    @Test func otherShapesAreRefused() throws {
        let a = try SampleNetworks.perceptron(seed: 6)
        var b = a.state
        b["a.bias"] = Tensor([Float](repeating: 0, count: 9), shape: [9])
        #expect(throws: ZooError.self) { try WeightMatching(spaces(a), a: a.state, b: b) }
        var nan = a.state
        nan["a.bias"] = Tensor([Float](repeating: .nan, count: 8), shape: [8])
        #expect(throws: ZooError.self) { try WeightMatching(spaces(a), a: a.state, b: nan) }
    }
}
