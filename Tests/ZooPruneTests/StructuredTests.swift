import Testing
import ZooBase
import ZooNN
import ZooPrune
import ZooTensor

@Suite struct StructuredTests {
    private func layers(_ tiny: TinyEncoder, _ kind: StructuredPruning.Kind) throws -> (
        StructuredPruning, [StructuredPruning.Layer]
    ) {
        let pruning = try StructuredPruning(tiny.graph, tensors: tiny.infos)
        return (pruning, pruning.layers.filter { $0.kind == kind })
    }

    @Test func deletingNeuronsIsZeroingThem() throws {
        let tiny = try TinyEncoder()
        let (pruning, found) = try layers(tiny, .neuron)
        #expect(found.count == 2 && found.allSatisfy { $0.space.unitCount == 40 })
        let units = (0..<40).filter { $0 % 3 != 0 }
        let made = try pruning.remove(from: tiny.source, found.map { ($0, units) })
        #expect(made.state["encoder.layer.0.intermediate.dense.weight"]?.shape == [units.count, 16])
        #expect(made.state["encoder.layer.1.output.dense.weight"]?.shape == [16, units.count])
        // Without the columns that read them, neurons give nothing.
        var zeroed = try tiny.source.stateDict()
        for layer in 0..<2 {
            let name = "encoder.layer.\(layer).output.dense.weight"
            var values = try zeroed.tensor(named: name).floats()
            for place in values.indices where place % 40 % 3 == 0 { values[place] = 0 }
            zeroed[name] = Tensor(values, shape: [16, 40])
        }
        let small = try TinyEncoder(source: made.state).vectors()
        #expect(difference(small, try TinyEncoder(source: zeroed).vectors()) < 1e-6)
        #expect(difference(small, try tiny.vectors()) > 1e-4)
    }

    @Test func aTwinTakesOver() throws {
        // Neuron 5 computes what neuron 2 does: without it, 2 speaks for both.
        let tiny = try TinyEncoder()
        var state = try tiny.source.stateDict()
        let up = "encoder.layer.0.intermediate.dense", down = "encoder.layer.0.output.dense.weight"
        var weights = try state.tensor(named: up + ".weight").floats(),
            bias = try state.tensor(named: up + ".bias").floats()
        for column in 0..<16 { weights[5 * 16 + column] = weights[2 * 16 + column] }
        bias[5] = bias[2]
        state[up + ".weight"] = Tensor(weights, shape: [40, 16])
        state[up + ".bias"] = Tensor(bias, shape: [40])
        let before = try TinyEncoder(source: state).vectors()
        var reading = try state.tensor(named: down).floats()
        for row in 0..<16 { reading[row * 40 + 2] += reading[row * 40 + 5] }
        state[down] = Tensor(reading, shape: [16, 40])
        let (pruning, found) = try layers(try TinyEncoder(source: state), .neuron)
        let made = try pruning.remove(from: state, [(found[0], (0..<40).filter { $0 != 5 })])
        #expect(difference(try TinyEncoder(source: made.state).vectors(), before) < 1e-6)
    }

    @Test func headsGoAsAWholeAndLayersMayDiffer() throws {
        let tiny = try TinyEncoder()
        let (pruning, found) = try layers(tiny, .head)
        #expect(found.count == 2 && found.allSatisfy { $0.space.unitCount == 4 })
        let made = try pruning.remove(from: tiny.source, [(found[0], [0, 3]), (found[1], [1, 2, 3])])
        #expect(made.state["encoder.layer.0.attention.self.query.weight"]?.shape == [8, 16])
        var zeroed = try tiny.source.stateDict()
        for (layer, gone) in [[1, 2], [0]].enumerated() {
            let name = "encoder.layer.\(layer).attention.output.dense.weight"
            var values = try zeroed.tensor(named: name).floats()
            for place in values.indices where gone.contains(place % 16 / 4) { values[place] = 0 }
            zeroed[name] = Tensor(values, shape: [16, 16])
        }
        let small = try TinyEncoder(heads: [2, 3], source: made.state).vectors()
        #expect(difference(small, try TinyEncoder(source: zeroed).vectors()) < 1e-6)
        // Heads that do not add up are refused, as are lists of another length.
        #expect(throws: ZooError.self) { _ = try TinyEncoder(heads: [3, 3], source: made.state).vectors() }
        #expect(throws: ZooError.self) { try TinyEncoder(heads: [2], source: made.state) }
    }

    @Test func theMeanOfRemovedNeuronsIsKept() throws {
        // A neuron that always gives the same is replaced without loss.
        let tiny = try TinyEncoder()
        var state = try tiny.source.stateDict()
        let up = "encoder.layer.1.intermediate.dense"
        var weights = try state.tensor(named: up + ".weight").floats()
        for column in 0..<16 { weights[7 * 16 + column] = 0 }
        state[up + ".weight"] = Tensor(weights, shape: [40, 16])
        var bias = try state.tensor(named: up + ".bias").floats()
        bias[7] = 10
        state[up + ".bias"] = Tensor(bias, shape: [40])
        let (pruning, found) = try layers(try TinyEncoder(source: state), .neuron)
        var means = [Double](repeating: 0, count: 40)
        // GELU of ten is ten.
        means[7] = 10
        let kept = (0..<40).filter { $0 != 7 }
        let made = try pruning.remove(from: state, [(found[1], kept)]) { _ in means }
        let plain = try pruning.remove(from: state, [(found[1], kept)])
        let before = try TinyEncoder(source: state).vectors()
        #expect(made.uncompensated.isEmpty)
        #expect(difference(try TinyEncoder(source: made.state).vectors(), before) < 1e-6)
        #expect(difference(try TinyEncoder(source: plain.state).vectors(), before) > 1e-4)
    }

    @Test func rareBurstsAreNoMean() {
        // One token in 24 gives 24, all others 0: the mean of 1 is what no token gives. The second always gives about -0.1.
        let means = StructuredPruning.steadyMeans([1, -0.1, 0], squares: [24, 0.011, 0])
        #expect(means == [0, -0.1, 0])
    }

    @Test func lowestUnitsGo() {
        let scores = [[3.0, 1, 2, 4], [0.1, 0.2, 0.3, 0.4]]
        #expect(StructuredPruning.kept(scores, share: 0.25, isGlobal: false) == [[0, 2, 3], [1, 2, 3]])
        #expect(StructuredPruning.kept(scores, share: 0.5, isGlobal: true) == [[0, 2, 3], [3]])
        #expect(StructuredPruning.kept([[1.0, 2]], share: 0.9, isGlobal: false) == [[1]])
    }
}
