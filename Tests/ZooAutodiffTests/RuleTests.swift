import Testing
import ZooAutodiff
import ZooBase
import ZooTensor
import ZooTestSupport

/// Every primitive and every layer: first, second and third derivatives.
@Suite struct RuleTests {
    @Test(arguments: elementwise + shapes + products + windows + layers + losses)
    func derivatives(_ test: DerivativeCase) throws { try DerivativeCheck(test).run() }

    static func smooth(
        _ name: String, range: ClosedRange<Double> = -2...2,
        _ function: @escaping @Sendable (ProgramBuilder, Value) throws -> Value
    ) -> DerivativeCase {
        DerivativeCase(name, [[2, 5]], range: range) { b, x, _ in try function(b, x[0]) }
    }

    static let elementwise: [DerivativeCase] = [
        smooth("exp") { $0.exp($1) }, smooth("log", range: 0.5...3) { $0.log($1) },
        smooth("tanh") { $0.tanh($1) }, smooth("sigmoid") { $0.sigmoid($1) },
        smooth("softplus") { $0.softplus($1) }, smooth("relu") { $0.relu($1) },
        smooth("leaky relu") { try $0.leakyRelu($1, slope: 0.1) }, smooth("abs") { $0.abs($1) },
        smooth("sqrt", range: 0.5...3) { $0.sqrt($1) }, smooth("rsqrt", range: 0.5...3) { $0.rsqrt($1) },
        smooth("reciprocal", range: 0.5...3) { $0.reciprocal($1) }, smooth("square") { $0.square($1) },
        smooth("power", range: 0.5...3) { $0.power($1, 2.5) }, smooth("erf") { $0.erf($1) },
        smooth("sin") { $0.sin($1) }, smooth("cos") { $0.cos($1) },
        smooth("affine") { $0.exp($0.affine($1, scale: -0.3, offset: 0.7)) },
        smooth("gelu") { $0.gelu($1) }, smooth("gelu tanh") { try $0.geluTanh($1) },
        smooth("quick gelu") { $0.quickGelu($1) }, smooth("silu") { $0.silu($1) },
        DerivativeCase("add, repeated", [[2, 3, 4], [3, 1]]) { b, x, _ in b.sin(try b.add(x[0], x[1])) },
        DerivativeCase("subtract, repeated", [[4], [2, 1, 4]]) { b, x, _ in b.exp(try b.subtract(x[0], x[1])) },
        DerivativeCase("multiply, repeated both ways", [[2, 1, 4], [3, 1]]) { b, x, _ in try b.multiply(x[0], x[1]) },
        DerivativeCase("multiply by scalar", [[2, 3], []]) { b, x, _ in try b.multiply(x[1], x[0]) },
        DerivativeCase("divide", [[2, 3], [3]], range: 0.5...2) { b, x, _ in try b.divide(x[0], x[1]) },
        DerivativeCase("maximum", [[3, 4], [3, 4]]) { b, x, _ in b.square(try b.maximum(x[0], x[1])) },
        DerivativeCase("gate", [[3, 4], [3, 4]]) { b, x, _ in b.exp(try b.gate(x[0], by: x[1])) },
    ]

    static let shapes: [DerivativeCase] = [
        DerivativeCase("sum", [[2, 3, 4]]) { b, x, _ in b.square(try b.sum(x[0], axes: [0, 2])) },
        DerivativeCase("sum keeping", [[2, 3, 4]]) { b, x, _ in b.square(try b.sum(x[0], axes: [1], keepingAxes: true))
        },
        DerivativeCase("mean", [[2, 3, 4]]) { b, x, _ in b.exp(try b.mean(x[0], axes: [-1])) },
        DerivativeCase("broadcast", [[3, 1]]) { b, x, _ in b.exp(try b.broadcast(b.square(x[0]), to: [2, 3, 4])) },
        DerivativeCase("reshape, transpose", [[2, 3, 4]]) { b, x, _ in
            b.square(try b.transpose(b.reshape(b.sin(x[0]), [4, 2, 3]), [2, 0, 1]))
        },
        DerivativeCase("slice", [[3, 5]]) { b, x, _ in b.exp(try b.slice(x[0], axis: 1, 1..<4)) },
        DerivativeCase("pad", [[3, 2]]) { b, x, _ in b.exp(try b.pad(b.sin(x[0]), axis: 1, before: 1, after: 2)) },
        DerivativeCase("concatenate", [[2, 3], [2, 1], [2, 2]]) { b, x, _ in
            b.square(try b.concatenate([x[0], b.exp(x[1]), x[2]], axis: 1))
        },
        DerivativeCase("softmax", [[3, 4]]) { b, x, _ in try b.softmax(x[0]) },
        DerivativeCase("softmax, inner axis", [[2, 4, 3]]) { b, x, _ in try b.softmax(x[0], axis: 1) },
        DerivativeCase("log-sum-exp", [[3, 4]]) { b, x, _ in try b.logSumExp(x[0]) },
        DerivativeCase("log softmax", [[2, 4, 3]]) { b, x, _ in try b.logSoftmax(x[0], axis: 1) },
        DerivativeCase("maximum of", [[2, 4, 3]]) { b, x, _ in b.square(try b.maximum(of: x[0], axis: 1)) },
        DerivativeCase("take", [[3, 4]], indices: [([1, 0, 3, 3, 2, 2], [3, 2])]) { b, x, i in
            b.exp(try b.take(b.sin(x[0]), i[0], axis: 1))
        },
        DerivativeCase("put", [[3, 2]], indices: [([1, 0, 3, 3, 2, 2], [3, 2])]) { b, x, i in
            b.exp(b.put(b.sin(x[0]), i[0], axis: 1, extent: 4))
        },
        DerivativeCase("gather rows", [[5, 3]], indices: [([4, 1, 1, 0], [2, 2])]) { b, x, i in
            b.exp(try b.gatherRows(b.sin(x[0]), i[0]))
        },
        DerivativeCase("scatter rows", [[2, 2, 3]], indices: [([4, 1, 1, 0], [2, 2])]) { b, x, i in
            b.exp(b.scatterRows(b.sin(x[0]), i[0], table: [5, 3]))
        },
    ]

    static let products: [DerivativeCase] = [
        DerivativeCase("matmul", [[3, 4], [4, 2]]) { b, x, _ in b.tanh(try b.matmul(x[0], x[1])) },
        DerivativeCase("matmul, left transposed", [[4, 3], [4, 2]]) { b, x, _ in
            b.tanh(try b.matmul(x[0], x[1], transposeA: true))
        },
        DerivativeCase("matmul, right transposed", [[3, 4], [2, 4]]) { b, x, _ in
            b.tanh(try b.matmul(x[0], x[1], transposeB: true))
        },
        DerivativeCase("matmul, both transposed", [[4, 3], [2, 4]]) { b, x, _ in
            b.tanh(try b.matmul(x[0], x[1], transposeA: true, transposeB: true))
        },
        DerivativeCase("matmul, batches", [[2, 3, 4], [2, 4, 2]]) { b, x, _ in b.tanh(try b.matmul(x[0], x[1])) },
        DerivativeCase("matmul, batches repeated", [[2, 1, 3, 4], [5, 2, 4]]) { b, x, _ in
            b.tanh(try b.matmul(x[0], x[1], transposeB: true))
        },
        DerivativeCase("matmul, one left matrix", [[3, 4], [5, 4, 2]]) { b, x, _ in b.tanh(try b.matmul(x[0], x[1])) },
        DerivativeCase("matmul summed over the batch", [[5, 3, 4], [5, 2, 4]]) { b, x, _ in
            b.tanh(try b.matmul(x[0], x[1], MatmulForm(transposeB: true, sumsBatch: true)))
        },
        DerivativeCase("linear", [[2, 3, 4], [5, 4], [5]]) { b, x, _ in
            b.tanh(try b.linear(x[0], weight: x[1], bias: x[2]))
        },
        DerivativeCase("convolution", [[2, 3, 5, 4], [2, 3, 3, 2], [2]]) { b, x, _ in
            b.tanh(try b.conv2d(x[0], weight: x[1], bias: x[2]))
        },
        DerivativeCase("convolution: stride, padding", [[2, 2, 6, 5], [3, 2, 3, 3]]) { b, x, _ in
            b.tanh(try b.conv2d(x[0], weight: x[1], Convolution(stride: 2, padding: 1)))
        },
        DerivativeCase("convolution: dilation, uneven", [[1, 2, 7, 6], [2, 2, 2, 3]]) { b, x, _ in
            b.tanh(
                try b.conv2d(
                    x[0], weight: x[1], Convolution(stride: [2, 1], padding: [1, 2], dilation: [2, 1])))
        },
        DerivativeCase("convolution: groups", [[2, 4, 4, 4], [6, 2, 3, 3]]) { b, x, _ in
            b.tanh(try b.conv2d(x[0], weight: x[1], Convolution(stride: 1, padding: 1, groups: 2)))
        },
    ]

    static let windows: [DerivativeCase] = [
        DerivativeCase("max pool", [[2, 2, 4, 4]]) { b, x, _ in b.exp(try b.maxPool(x[0], kernel: 2)) },
        DerivativeCase("max pool: overlap, padding", [[1, 2, 5, 5]]) { b, x, _ in
            b.exp(try b.maxPool(x[0], kernel: 3, stride: 2, padding: 1))
        },
        DerivativeCase("max pool, rounding up", [[1, 1, 5, 5]]) { b, x, _ in
            b.exp(try b.maxPool(x[0], kernel: 2, stride: 2, roundingUp: true))
        },
        DerivativeCase("adaptive max pool", [[1, 2, 5, 7]]) { b, x, _ in
            b.exp(try b.adaptiveMaxPool(x[0], rows: 2, columns: 3))
        },
        DerivativeCase("average pool", [[2, 2, 4, 4]]) { b, x, _ in b.exp(try b.averagePool(x[0], kernel: 2)) },
        DerivativeCase("average pool, padding not counted", [[1, 2, 5, 5]]) { b, x, _ in
            b.exp(try b.averagePool(x[0], kernel: 3, stride: 2, padding: 1, countingPadding: false))
        },
        DerivativeCase("adaptive average pool", [[1, 2, 5, 7]]) { b, x, _ in
            b.exp(try b.adaptiveAveragePool(x[0], rows: 2, columns: 3))
        },
        DerivativeCase("global average pool", [[2, 3, 4, 4]]) { b, x, _ in
            b.exp(try b.adaptiveAveragePool(x[0], rows: 1, columns: 1))
        },
    ]

    static let layers: [DerivativeCase] = [
        DerivativeCase("batch norm, stored statistics", [[2, 3, 2, 2], [3], [3], [3]]) { b, x, _ in
            b.tanh(
                try b.batchNorm(
                    x[0], weight: x[1], bias: x[2], mean: x[3], variance: b.constant([0.5, 1, 2], [3])))
        },
        DerivativeCase("batch norm, batch statistics", [[4, 3, 2, 2], [3], [3]]) { b, x, _ in
            b.tanh(try b.batchNormTraining(x[0], weight: x[1], bias: x[2]).output)
        },
        DerivativeCase("layer norm", [[3, 5], [5], [5]]) { b, x, _ in
            b.tanh(try b.layerNorm(x[0], weight: x[1], bias: x[2]))
        },
        DerivativeCase("RMS norm", [[3, 5], [5]]) { b, x, _ in b.tanh(try b.rmsNorm(x[0], weight: x[1])) },
        DerivativeCase("attention, causal", [[2, 2, 3, 4], [2, 2, 3, 4], [2, 2, 3, 4]]) { b, x, _ in
            try b.attention(queries: x[0], keys: x[1], values: x[2], mask: b.causalMask(tokens: 3))
        },
        DerivativeCase("attention, grouped queries", [[1, 4, 3, 2], [1, 2, 3, 2], [1, 2, 3, 2]]) { b, x, _ in
            try b.attention(queries: x[0], keys: x[1], values: x[2])
        },
        DerivativeCase("rotary", [[1, 2, 3, 4]]) { b, x, _ in
            let tables = b.rotaryTables(tokens: 3, size: 4)
            return b.exp(try b.rotary(x[0], cosines: tables.cosines, sines: tables.sines))
        },
        DerivativeCase("rotary, interleaved", [[1, 2, 3, 4]]) { b, x, _ in
            let tables = b.rotaryTables(tokens: 3, size: 4)
            return b.exp(try b.rotary(x[0], cosines: tables.cosines, sines: tables.sines, interleaved: true))
        },
    ]

    static let losses: [DerivativeCase] = [
        DerivativeCase("cross-entropy", [[3, 4]], indices: [([1, 0, 3], [3])]) { b, x, i in
            try b.crossEntropy(x[0], labels: i[0])
        },
        DerivativeCase(
            "cross-entropy, smoothed, weighted", [[3, 4], [3]], range: 0.5...2, indices: [([1, 0, 3], [3])]
        ) {
            b, x, i in try b.average(b.crossEntropy(x[0], labels: i[0], smoothing: 0.1), weights: x[1])
        },
        DerivativeCase("cross-entropy, soft targets", [[3, 4], [3, 4]]) { b, x, _ in
            try b.crossEntropy(x[0], targets: b.softmax(x[1]))
        },
        DerivativeCase("mean squared error", [[3, 4], [3, 4]]) { b, x, _ in try b.meanSquaredError(x[0], x[1]) },
        DerivativeCase("divergence", [[3, 4], [3, 4]]) { b, x, _ in try b.divergence(from: x[0], to: x[1]) },
        DerivativeCase("entropy", [[3, 4]]) { b, x, _ in try b.entropy(x[0]) },
        DerivativeCase("InfoNCE", [[3, 4], [3, 4]]) { b, x, _ in
            try b.infoNCE(queries: x[0], keys: x[1], temperature: 0.5, symmetric: true)
        },
    ]
}

/// `Program.mapped`: every primitive over samples at once against one sample at a time.
@Suite struct MappedTests {
    @Test(
        arguments: RuleTests.elementwise + RuleTests.shapes + RuleTests.products + RuleTests.windows + RuleTests.layers
            + RuleTests.losses)
    func samplesAtOnce(_ test: DerivativeCase) throws {
        let b = ProgramBuilder()
        let xs = test.shapes.enumerated().map { b.data("x\($0)", $1) }
        let integers = test.indices.enumerated().map { b.indices("i\($0)", $1.shape) }
        let y = try test.body(b, xs, integers)
        let seed = b.constant((0..<y.shape.elementCount).map { Double($0 % 5) - 1.7 }, y.shape)
        let gradient = try b.gradient(of: y, withRespectTo: xs, seed: seed)
        let program = b.build(([y] + gradient).map { ("y", $0) })

        var generator = SeededGenerator(seed: 9)
        let count = 3
        var arrays: [String: [Double]] = [:]
        var places: [String: [Int32]] = [:]
        for (index, shape) in test.shapes.enumerated() {
            // The last input of several is shared by all samples, where there is one.
            let samples = index > 0 && index == test.shapes.count - 1 ? 1 : count
            arrays["x\(index)"] = (0..<(samples * shape.elementCount)).map { _ in
                Double.random(in: test.range, using: &generator)
            }
        }
        for (index, entry) in test.indices.enumerated() {
            places["i\(index)"] = (0..<count).flatMap { _ in entry.values }
        }
        let shared = "x\(test.shapes.count - 1)"
        let names = Set(arrays.keys).union(places.keys).subtracting(test.shapes.count > 1 ? [shared] : [])
        let mapped: Program
        do { mapped = try program.mapped(names, count: count) } catch let error as ZooError {
            // Tables of rows per sample are the one thing that has no form over samples.
            #expect(error.code == .unsupported && test.name.hasSuffix("rows"))
            return
        }
        let together = try mapped.compiledReference().makeExecutor().evaluate(arrays, indices: places)
        let executor = program.compiledReference().makeExecutor()
        for sample in 0..<count {
            var one = arrays
            for name in names.intersection(arrays.keys) {
                let all = arrays[name] ?? []
                let size = all.count / count
                one[name] = Array(all[(sample * size)..<((sample + 1) * size)])
            }
            var chosen: [String: [Int32]] = [:]
            for (index, entry) in test.indices.enumerated() { chosen["i\(index)"] = entry.values }
            for (place, expected) in try executor.evaluate(one, indices: chosen).enumerated() {
                let start = together[place].count == expected.count ? 0 : sample * expected.count
                expectClose(
                    Array(together[place][start..<(start + expected.count)]), expected, 1e-12, "output \(place)")
            }
        }
    }
}
