import Testing
import ZooAutodiff
import ZooBase
import ZooTensor
import ZooTestSupport

/// The Float32 program (lanes, fusion, fast kernels) against the Float64 reference, on whole networks.
@Suite struct LoweringTests {
    /// A network: inputs are declared inside; returns per-sample losses' mean.
    struct Network: Sendable, CustomTestStringConvertible {
        let name: String
        let tolerance: Double
        let loss: @Sendable (Sketch) throws -> Value
        var testDescription: String { name }

        init(_ name: String, tolerance: Double = 3e-5, _ loss: @escaping @Sendable (Sketch) throws -> Value) {
            self.name = name
            self.tolerance = tolerance
            self.loss = loss
        }
    }

    /// Declares inputs with random values.
    final class Sketch {
        let b = ProgramBuilder()
        var trained: [Value] = []
        var reals: [String: [Double]] = [:]
        var integers: [String: [Int32]] = [:]
        private var generator = SeededGenerator(seed: 3)

        func random(_ count: Int, _ range: ClosedRange<Double>) -> [Double] {
            (0..<count).map { _ in Double(Float(Double.random(in: range, using: &generator))) }
        }

        func weight(_ shape: Shape, _ range: ClosedRange<Double> = -0.5...0.5) -> Value {
            let value = b.parameter("w\(trained.count)", shape)
            reals["w\(trained.count)"] = random(shape.elementCount, range)
            trained.append(value)
            return value
        }

        func data(_ name: String, _ shape: Shape) -> Value {
            reals[name] = random(shape.elementCount, -1...1)
            return b.data(name, shape)
        }

        func labels(_ count: Int, below bound: Int) -> Indices {
            integers["labels"] = (0..<count).map { Int32($0 * 7 % bound) }
            return b.indices("labels", [count])
        }
    }

    static func convolutional(_ batch: Int) -> Network {
        Network("convolutional, batch \(batch)") { s in
            let b = s.b
            var x = s.data("x", [batch, 2, 9, 8])
            x = b.tanh(
                try b.conv2d(
                    x, weight: s.weight([4, 2, 3, 3]), bias: s.weight([4]), Convolution(stride: 1, padding: 1)))
            x = b.gelu(
                try b.conv2d(
                    x, weight: s.weight([6, 2, 3, 3]), bias: s.weight([6]),
                    Convolution(stride: 2, padding: 1, groups: 2)))
            let (left, right) = (try b.slice(x, axis: 1, 0..<2), try b.slice(x, axis: 1, 2..<6))
            x = try b.concatenate(
                [b.maxPool(right, kernel: 2, stride: 1), b.averagePool(left, kernel: 2, stride: 1)], axis: 1)
            x = try b.conv2d(b.silu(x), weight: s.weight([5, 6, 1, 1]))
            x = try b.linear(b.flatten(x), weight: s.weight([7, 5 * 4 * 3]), bias: s.weight([7]))
            return try b.average(
                b.crossEntropy(x, labels: s.labels(batch, below: 7), smoothing: 0.1),
                weights: s.data("sample", [batch]).squared(b))
        }
    }

    static func residual(training: Bool) -> Network {
        Network("residual, \(training ? "batch" : "stored") statistics", tolerance: 1e-4) { s in
            let b = s.b
            func norm(_ x: Value) throws -> Value {
                let (scale, shift) = (s.weight([x.shape[1]], 0.5...1.5), s.weight([x.shape[1]]))
                if training { return try b.batchNormTraining(x, weight: scale, bias: shift).output }
                let mean = s.weight([x.shape[1]]), variance = s.weight([x.shape[1]], 0.5...2)
                return try b.batchNorm(x, weight: scale, bias: shift, mean: mean, variance: variance)
            }
            let images = s.data("x", [32, 3, 6, 6])
            let plain = Convolution(stride: 1, padding: 1)
            let x = b.softplus(try norm(b.conv2d(images, weight: s.weight([4, 3, 3, 3]), plain)))
            let y = b.softplus(try norm(b.conv2d(x, weight: s.weight([4, 4, 3, 3]), plain)))
            let z = b.relu(try b.add(norm(b.conv2d(y, weight: s.weight([4, 4, 3, 3]), plain)), x))
            let pooled = try b.mean(b.adaptiveAveragePool(z, rows: 2, columns: 3), axes: [2, 3])
            let logits = try b.linear(pooled, weight: s.weight([5, 4]), bias: s.weight([5]))
            return try b.average(b.crossEntropy(logits, labels: s.labels(32, below: 5)))
        }
    }

    static let perceptron = Network("perceptron") { s in
        let b = s.b
        let x = try b.flatten(b.affine(s.data("x", [48, 1, 3, 4]), scale: 2, offset: 0.1))
        let hidden = b.sigmoid(try b.linear(x, weight: s.weight([16, 12]), bias: s.weight([16])))
        let wide = b.geluTanhOrSame(try b.matmul(hidden, s.weight([16, 48])))
        let out = try b.linear(wide, weight: s.weight([3, 48]), bias: s.weight([3]))
        let target = try b.softmax(s.data("t", [48, 3]))
        return try b.average(b.add(b.crossEntropy(out, targets: target), b.entropy(out)))
    }

    static let transformer = Network("transformer block", tolerance: 1e-4) { s in
        let b = s.b
        let (batch, tokens, width, heads) = (2, 5, 8, 2)
        s.integers["tokens"] = (0..<(batch * tokens)).map { Int32($0 * 5 % 11) }
        let ids = b.indices("tokens", [batch, tokens])
        var x = try b.add(b.gatherRows(s.weight([11, width]), ids), s.weight([tokens, width]))
        let y = try b.layerNorm(x, weight: s.weight([width], 0.5...1.5), bias: s.weight([width]))
        func head(_ x: Value, _ heads: Int) throws -> Value {
            try b.splitHeads(
                b.linear(x, weight: s.weight([heads * 4, width]), bias: s.weight([heads * 4])), heads: heads)
        }
        let tables = b.rotaryTables(tokens: tokens, size: 4)
        let q = try b.rotary(head(y, heads), cosines: tables.cosines, sines: tables.sines)
        let k = try b.rotary(head(y, 1), cosines: tables.cosines, sines: tables.sines)
        let mixed = try b.attention(queries: q, keys: k, values: head(y, 1), mask: b.causalMask(tokens: tokens))
        x = try b.add(x, b.linear(b.mergeHeads(mixed), weight: s.weight([width, width])))
        let z = try b.rmsNorm(x, weight: s.weight([width], 0.5...1.5))
        x = try b.add(
            x, b.linear(b.quickGelu(b.linear(z, weight: s.weight([12, width]))), weight: s.weight([width, 12])))
        let pooled = try b.mean(x, axes: [1])
        return try b.average(b.infoNCE(queries: pooled, keys: b.tanh(pooled), temperature: 0.5))
    }

    /// Products added to what they are computed from, and to each other; rows wide enough for the kernels of rows.
    static let rows = Network("rows") { s in
        let b = s.b
        var x = try b.multiply(s.data("x", [3, 7, 24]), s.weight([24]))
        for _ in 0..<2 {
            x = try b.add(x, b.linear(x, weight: s.weight([24, 24]), bias: s.weight([24])))
            x = try b.add(b.linear(x, weight: s.weight([24, 24])), b.linear(x, weight: s.weight([24, 24])))
            let flat = try b.reshape(x, [21, 24])
            x = try b.reshape(b.add(b.matmul(flat, s.weight([24, 24])), flat), [3, 7, 24])
        }
        return try b.mean(b.tanh(b.mean(b.square(x), axes: [2])))
    }

    /// A convolution added to the image it reads, which nobody reads afterwards.
    static let skips = Network("skips") { s in
        let b = s.b
        var x = b.affine(s.data("x", [32, 4, 6, 6]), scale: 2)
        for _ in 0..<2 {
            let kernel = s.weight([4, 4, 3, 3])
            x = b.tanh(try b.add(b.conv2d(x, weight: kernel, Convolution(stride: 1, padding: 1)), x))
        }
        return try b.mean(b.square(x))
    }

    /// The forward pass alone, where buffers are given back soonest.
    @Test(arguments: [rows, skips]) func valuesAloneAgreeWithFloat64(_ network: Network) throws {
        let s = Sketch()
        let program = s.b.build([("loss", try network.loss(s))])
        let truth = try program.compiledReference().makeExecutor().evaluate(s.reals)
        let found = try program.compiled().makeExecutor().evaluate(s.reals.mapValues { $0.map { Float($0) } })
        #expect(abs(Double(found[0][0]) - truth[0][0]) <= 1e-5 * abs(truth[0][0]))
    }

    @Test(arguments: [
        convolutional(32), convolutional(5), residual(training: false), residual(training: true), perceptron,
        transformer, rows, skips,
    ])
    func float32AgreesWithFloat64(_ network: Network) throws {
        let s = Sketch()
        let loss = try network.loss(s)
        let directions = s.trained.enumerated().map { index, value in
            s.reals["v\(index)"] = s.random(value.shape.elementCount, -1...1)
            return s.b.direction("v\(index)", value.shape)
        }
        let result = try s.b.hessianVectorProduct(of: loss, withRespectTo: s.trained, along: directions)
        let program = s.b.build(
            [("loss", loss)] + result.gradient.map { ("g", $0) } + result.product.map { ("h", $0) })
        let truth = try program.compiledReference().makeExecutor().evaluate(s.reals, indices: s.integers)
        let executor = program.compiled().makeExecutor()
        let reals = s.reals.mapValues { $0.map { Float($0) } }
        let first = try executor.evaluate(reals, indices: s.integers)
        for (place, (found, expected)) in zip(first, truth).enumerated() {
            let scale = max(1e-3, expected.map(\.magnitude).max() ?? 1)
            expectClose(
                found.map { Double($0) / scale }, expected.map { $0 / scale }, network.tolerance,
                "output \(place) \(program.outputs[place].name) \(program.outputs[place].shape)")
        }
        // Running again in the same arena gives the same bytes.
        #expect(try executor.evaluate(reals, indices: s.integers) == first)
    }

    /// Further directions with the rest kept give the bytes of whole runs, in both precisions.
    @Test(arguments: [
        convolutional(32), convolutional(5), residual(training: false), residual(training: true), perceptron,
        transformer, rows, skips,
    ])
    func keptRunsAgreeWithWholeOnes(_ network: Network) throws {
        let s = Sketch()
        let loss = try network.loss(s)
        let directions = s.trained.enumerated().map { s.b.direction("v\($0)", $1.shape) }
        let result = try s.b.hessianVectorProduct(of: loss, withRespectTo: s.trained, along: directions)
        let program = s.b.build(
            [("loss", loss)] + result.gradient.map { ("g", $0) } + result.product.map { ("h", $0) })
        let choices = (0..<2).map { _ in s.trained.map { s.random($0.shape.elementCount, -1...1) } }
        let whole = try choices.map { choice in
            var reals = s.reals
            for (place, numbers) in choice.enumerated() { reals["v\(place)"] = numbers }
            return try (
                program.compiled().makeExecutor().evaluate(
                    reals.mapValues { $0.map { Float($0) } }, indices: s.integers),
                program.compiledReference().makeExecutor().evaluate(reals, indices: s.integers)
            )
        }
        let single = try kept(program.compiled(keepingPrimal: true), s, choices)
        let double = try kept(program.compiledReference(keepingPrimal: true), s, choices)
        for (place, choice) in [0, 1, 0].enumerated() {
            #expect(single[place] == whole[choice].0, "run \(place)")
            #expect(double[place] == whole[choice].1, "run \(place)")
        }
    }

    /// The outputs of a run with the first directions, a second run with others, and a third with the first again.
    private func kept<S: EngineScalar>(
        _ compiled: CompiledProgram<S>, _ s: Sketch, _ choices: [[[Double]]]
    ) throws -> [[[S]]] {
        let executor = compiled.makeExecutor()
        var blocks: [UnsafeMutablePointer<S>] = []
        defer { for block in blocks { block.deallocate() } }
        func lend(_ numbers: [Double]) -> UnsafePointer<S> {
            let block = UnsafeMutablePointer<S>.allocate(capacity: max(1, numbers.count))
            block.initialize(from: numbers.map { S($0) }, count: numbers.count)
            blocks.append(block)
            return UnsafePointer(block)
        }
        func values(_ role: InputRole) -> [UnsafePointer<S>] {
            compiled.program.inputs(role).map { lend(s.reals[$0.name] ?? []) }
        }
        let integers = s.integers.values.first ?? []
        let data = values(.data)
        let start = UnsafeMutablePointer<Int32>.allocate(capacity: max(1, integers.count))
        defer { start.deallocate() }
        start.initialize(from: integers, count: integers.count)
        let indices = compiled.program.inputs(.indices).map { _ in UnsafePointer(start) }
        #expect(throws: ZooError.self) { try executor.rerun(reals: data, indices: indices) }
        try executor.bind(parameters: values(.parameter))
        return try [0, 1, 0].enumerated().map { place, choice in
            let reals = data + choices[choice].map(lend)
            if place == 0 {
                try executor.run(reals: reals, indices: indices)
            } else {
                try executor.rerun(reals: reals, indices: indices)
            }
            return compiled.program.outputs.indices.map { Array(executor.output($0)) }
        }
    }

    /// Gradients of single samples: the mapped program against one sample at a time, in both precisions.
    @Test func perSampleGradients() throws {
        func write(_ b: ProgramBuilder, _ batch: Int) throws -> (loss: Value, parameters: [Value]) {
            let w = [
                b.parameter("w0", [3, 2, 3, 3]), b.parameter("w1", [3]), b.parameter("w2", [4, 12]),
                b.parameter("w3", [4]),
            ]
            let x = b.data("x", [batch, 2, 4, 4])
            let y = b.tanh(try b.conv2d(x, weight: w[0], bias: w[1], Convolution(stride: 1, padding: 1)))
            let logits = try b.linear(b.flatten(b.maxPool(y, kernel: 2)), weight: w[2], bias: w[3])
            return (try b.average(b.crossEntropy(logits, labels: b.indices("y", [batch]))), w)
        }
        let count = 16
        let b = ProgramBuilder()
        let (loss, parameters) = try write(b, 1)
        let gradient = try b.gradient(of: loss, withRespectTo: parameters)
        let single = b.build(gradient.map { ("g", $0) })
        let many = try single.mapped(["x", "y"], count: count)
        #expect(many.outputs.map(\.shape) == [[16, 3, 2, 3, 3], [16, 3], [16, 4, 12], [16, 4]])

        var generator = SeededGenerator(seed: 5)
        func random(_ count: Int) -> [Double] { (0..<count).map { _ in Double.random(in: -1...1, using: &generator) } }
        var arrays = ["x": random(count * 32)]
        for (place, value) in parameters.enumerated() { arrays["w\(place)"] = random(value.shape.elementCount) }
        let labels = (0..<count).map { Int32($0 % 4) }
        let together = try many.compiledReference().makeExecutor().evaluate(arrays, indices: ["y": labels])
        let fast = try many.compiled().makeExecutor().evaluate(
            arrays.mapValues { $0.map { Float($0) } }, indices: ["y": labels])
        let executor = single.compiledReference().makeExecutor()
        for sample in 0..<count {
            var one = arrays
            one["x"] = Array((arrays["x"] ?? [])[(sample * 32)..<(sample * 32 + 32)])
            let alone = try executor.evaluate(one, indices: ["y": [labels[sample]]])
            for (place, expected) in alone.enumerated() {
                let range = (sample * expected.count)..<((sample + 1) * expected.count)
                expectClose(Array(together[place][range]), expected, 1e-13, "sample \(sample), parameter \(place)")
                expectClose(fast[place][range].map(Double.init), expected, 1e-5, "sample \(sample), parameter \(place)")
            }
        }
    }
}

extension Value {
    fileprivate func squared(_ b: ProgramBuilder) -> Value { b.square(self) }
}

extension ProgramBuilder {
    /// GELU by tanh; the composition can't fail on one operand.
    fileprivate func geluTanhOrSame(_ x: Value) -> Value { (try? geluTanh(x)) ?? x }
}
