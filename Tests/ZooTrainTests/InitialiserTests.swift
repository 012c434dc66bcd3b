import Testing
import ZooBase
import ZooNN
import ZooTensor
import ZooTrain

/// Initial weights: mean, spread and bounds as `torch.nn.init` defines them.
@Suite struct InitialiserTests {
    private func values(
        _ kind: Initialiser.Kind, _ shape: Shape, op: GraphOperator = .conv2d, role: String = "weight", fanIn: Int = 72,
        seed: Int = 1
    ) -> [Double] {
        var initialiser = Initialiser()
        initialiser.kind = kind
        var generator = CounterGenerator(TrainingSeed(trial: seed), "init", 0)
        let info = TensorInfo(name: "w", dtype: .float32, shape: shape)
        return initialiser.values(info, role: role, op: op, fanIn: fanIn, generator: &generator).map { Double($0) }
    }

    private func moments(_ values: [Double]) -> (mean: Double, deviation: Double) {
        let mean = values.reduce(0, +) / Double(values.count)
        let square = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(values.count)
        return (mean, square.squareRoot())
    }

    /// Fan in 8 · 9 = 72, fan out 500 · 9; 36,000 numbers, so a standard deviation is known to half a percent.
    @Test func spreadIsThatOfTorch() {
        let fanIn = 72.0, both = 4572.0
        spread(.pytorch, (1 / fanIn).squareRoot(), isUniform: true)
        spread(.kaimingUniform, (6 / fanIn).squareRoot(), isUniform: true)
        spread(.kaimingNormal, (2 / fanIn).squareRoot(), isUniform: false)
        spread(.xavierUniform, (6 / both).squareRoot(), isUniform: true)
        spread(.xavierNormal, (2 / both).squareRoot(), isUniform: false)
        spread(.normal, 1, isUniform: false)
    }

    private func spread(_ kind: Initialiser.Kind, _ size: Double, isUniform: Bool) {
        let found = values(kind, [500, 8, 3, 3])
        let (mean, deviation) = moments(found)
        let expected = isUniform ? size / 3.0.squareRoot() : size
        #expect(abs(mean) < 4 * expected / 36000.0.squareRoot())
        #expect(abs(deviation / expected - 1) < 0.02)
        if isUniform { #expect(found.allSatisfy { abs($0) <= size * 1.000_001 }) }
    }

    /// `trunc_normal_` cuts at ±2, not at two standard deviations: at 1 the spread shrinks to 0.8796, at 0.02 not at all.
    @Test func truncatedNormalIsCutAtTwo() {
        let found = values(.truncatedNormal, [500, 72])
        #expect(found.allSatisfy { abs($0) <= 2 })
        #expect(abs(moments(found).deviation - 0.879_63) < 0.01)
    }

    /// timm's `init_weights_vit_timm`: linear 0.02 and zero biases, convolutions as PyTorch made them, the class token
    /// 1e-6, positions 0.02; the tables begin so whatever the kind.
    @Test func transformersBeginAsTimms() {
        #expect(abs(moments(values(.timm, [500, 72], op: .linear)).deviation / 0.02 - 1) < 0.02)
        #expect(values(.timm, [64], op: .linear, role: "bias").allSatisfy { $0 == 0 })
        let patches = values(.timm, [500, 8, 3, 3])
        #expect(abs(moments(patches).deviation * (3 * 72).squareRoot() - 1) < 0.02)
        #expect(patches.allSatisfy { abs($0) <= 1.000_001 / 72.0.squareRoot() })
        #expect(values(.timm, [500], role: "bias").contains { $0 != 0 })
        for kind in [Initialiser.Kind.timm, .zeros, .orthogonal] {
            let positions = values(kind, [1, 200, 72], op: .positionEmbedding)
            #expect(abs(moments(positions).deviation / 0.02 - 1) < 0.03)
            #expect(abs(moments(values(kind, [1, 1, 2000], op: .classToken)).deviation / 1e-6 - 1) < 0.1)
        }
        #expect(values(.timm, [30], op: .layerNorm).allSatisfy { $0 == 1 })
    }

    @Test func uniformIsFromZeroToOne() {
        let found = values(.uniform, [500, 72])
        #expect(found.allSatisfy { $0 >= 0 && $0 <= 1 })
        #expect(abs(moments(found).mean - 0.5) < 0.01)
    }

    @Test(arguments: [Shape([12, 30]), Shape([30, 12]), Shape([8, 2, 3, 3])])
    func orthogonalRowsOrColumns(_ shape: Shape) {
        let found = values(.orthogonal, shape)
        let rows = shape[0], columns = found.count / rows
        let isWide = rows <= columns
        for a in 0..<min(rows, columns) {
            for b in 0..<min(rows, columns) {
                let product = (0..<max(rows, columns)).reduce(0.0) { sum, k in
                    isWide
                        ? sum + found[a * columns + k] * found[b * columns + k]
                        : sum + found[k * columns + a] * found[k * columns + b]
                }
                #expect(abs(product - (a == b ? 1 : 0)) < 1e-6)
            }
        }
    }

    @Test func biasAndNormBeginAsInPyTorch() {
        let bias = values(.kaimingNormal, [3000], role: "bias")
        #expect(bias.allSatisfy { abs($0) <= (1.0 / 72).squareRoot() * 1.000_001 })
        #expect(abs(moments(bias).deviation / (1.0 / 216).squareRoot() - 1) < 0.05)
        #expect(values(.kaimingNormal, [4], op: .batchNorm) == [1, 1, 1, 1])
        #expect(values(.kaimingNormal, [4], op: .batchNorm, role: "bias") == [0, 0, 0, 0])
        #expect(values(.kaimingNormal, [2], op: .batchNorm, role: "running_mean") == [0, 0])
        #expect(values(.kaimingNormal, [2], op: .batchNorm, role: "running_var") == [1, 1])
    }

    @Test func streamsDifferBySeedAndPurpose() {
        #expect(values(.normal, [20]) == values(.normal, [20]))
        #expect(values(.normal, [20]) != values(.normal, [20], seed: 2))
        var first = CounterGenerator(TrainingSeed(trial: 0), "order", 1)
        var second = CounterGenerator(TrainingSeed(trial: 0), "order", 2)
        let order = first.permutation(100)
        #expect(order != second.permutation(100))
        #expect(order.sorted() == Array(0..<100))
    }
}
