import Testing
import ZooAutodiff
import ZooBase
import ZooTensor

/// Building, folding, planning, and the errors of misuse.
@Suite struct ProgramTests {
    private func message(_ body: () throws -> Void) -> String {
        do {
            try body()
            return "no error"
        } catch { return String(describing: error) }
    }

    @Test func misfitsAreNamed() {
        let b = ProgramBuilder()
        let images = b.data("x", [8, 3, 32, 32]), matrix = b.parameter("w", [4, 5])
        #expect(
            message { _ = try b.conv2d(images, weight: b.parameter("k", [16, 4, 3, 3])) }
                == "conv2d: input [8, 3, 32, 32] has 3 channels; weight [16, 4, 3, 3] in 1 groups expects 4")
        #expect(
            message { _ = try b.linear(matrix, weight: b.parameter("v", [7, 5]), bias: b.parameter("b", [6])) }
                == "linear: bias [6] for 7 outputs")
        #expect(
            message { _ = try b.take(b.data("t", [4, 3]), b.argmax(matrix), axis: 1) }
                == "take: places among 5 elements for an axis of 3")
        #expect(message { _ = try b.matmul(matrix, matrix) } == "matmul: [4, 5] times [4, 5]")
        #expect(message { _ = try b.add(images, matrix) } == "add: shapes [8, 3, 32, 32] and [4, 5] do not combine")
        #expect(message { _ = try b.reshape(matrix, [3, -1]) } == "reshape: [4, 5] does not divide into [3, -1]")
        #expect(
            message { _ = try b.gradient(of: matrix, withRespectTo: [matrix]) }.hasPrefix(
                "gradient: [4, 5] is no scalar"))
        #expect(message { _ = try b.sum(matrix, axes: [2]) } == "sum: [4, 5] has no axis 2")
        #expect(
            message { _ = try b.maxPool(images, kernel: 40) }
                == "maxPool: a window of 40 does not fit into [8, 3, 32, 32]")
        #expect(message { _ = try b.slice(matrix, axis: 0, 2..<6) } == "slice: 2..<6 lies outside axis 0 of [4, 5]")
        #expect(
            message { _ = try b.attention(queries: images, keys: images, values: matrix) }.hasPrefix(
                "attention: queries"))
    }

    @Test func bindingIsChecked() throws {
        let b = ProgramBuilder()
        let logits = try b.linear(b.data("x", [2, 3]), weight: b.parameter("w", [4, 3]))
        let program = b.build([("loss", try b.crossEntropy(logits, labels: b.indices("y", [2])))])
        let executor = program.compiled().makeExecutor()
        let arrays: [String: [Float]] = ["x": [1, 2, 3, 4, 5, 6], "w": [Float](repeating: 0, count: 12)]
        let loss = try executor.evaluate(arrays, indices: ["y": [0, 3]])
        expectClose(loss[0].map(Double.init), [1.3862943611, 1.3862943611], 1e-6, "log 4")
        #expect(
            message { _ = try executor.evaluate(arrays, indices: ["y": [0, 4]]) }
                == "label or index 4 at position 1; expected 0 to 3")
        #expect(message { _ = try executor.evaluate(["x": arrays["x"] ?? []]) } == "no values for input 'w' [4, 3]")
        #expect(
            message { _ = try executor.evaluate(["x": [1], "w": arrays["w"] ?? []]) }
                == "input 'x': 1 values for shape [2, 3]")
        #expect(message { try executor.run() } == "run: no parameters are bound")
        #expect(message { try executor.bind(parameters: []) } == "bind: 0 arrays for 1 parameters")
    }

    @Test func equalWorkIsDoneOnce() throws {
        let b = ProgramBuilder()
        let x = b.parameter("x", [4])
        let unused = b.cos(x)
        let twice = try b.add(b.exp(x), b.exp(x))
        let same = try b.add(b.multiply(twice, b.fill(1)), b.fill(0, [4]))
        #expect(same == twice)
        #expect(unused != twice)
        #expect(b.build([("y", same)]).operationCount == 2)
        #expect(b.affine(b.affine(x, scale: 2, offset: 1), scale: 3) == b.affine(x, scale: 6, offset: 3))
        let constant = b.exp(b.fill(0, [2]))
        #expect(constant == b.fill(1, [2]))
    }

    /// Further directions cost their own tangents only: gradient and values are shared.
    @Test func directionsShareThePrimal() throws {
        func count(_ directions: Int) throws -> Int {
            let b = ProgramBuilder()
            let w = b.parameter("w", [6, 6])
            let y = try b.mean(b.square(b.tanh(b.linear(b.tanh(b.linear(b.data("x", [3, 6]), weight: w)), weight: w))))
            let gradient = try b.gradient(of: y, withRespectTo: [w])
            let products = try (0..<directions).flatMap {
                try b.tangents(of: gradient, along: [(w, b.direction("v\($0)", [6, 6]))])
            }
            return b.build((gradient + products).map { ("y", $0) }).operationCount
        }
        let counts = [try count(0), try count(1), try count(2), try count(3)]
        #expect(counts[3] - counts[2] == counts[2] - counts[1])
        #expect(counts[2] - counts[1] < counts[1])
    }

    /// A deep chain: space is shared, and keeping only some values shrinks the arena without changing a bit.
    @Test func memoryIsReused() throws {
        func program(_ segments: Int) throws -> Program {
            let b = ProgramBuilder()
            let w = b.parameter("w", [32, 32])
            var x = b.data("x", [64, 32])
            for _ in 0..<24 { x = b.tanh(try b.linear(x, weight: w)) }
            let loss = try b.mean(b.square(x))
            let gradient = try b.gradient(
                of: loss, withRespectTo: [w], checkpoints: b.checkpoints(of: loss, segments: segments))
            return b.build([("loss", loss), ("g", gradient[0])])
        }
        let plain = try program(1), thrifty = try program(5)
        let arrays: [String: [Float]] = [
            "w": (0..<1024).map { Float(($0 * 37) % 101) / 400 - 0.125 }, "x": (0..<2048).map { Float($0 % 13) / 13 },
        ]
        let (first, second) = (plain.compiled(), thrifty.compiled())
        #expect(try first.makeExecutor().evaluate(arrays) == second.makeExecutor().evaluate(arrays))
        #expect(Double(second.arenaBytes) < 0.6 * Double(first.arenaBytes))
        // Forward alone needs a few layers' space, not twenty-four.
        let b = ProgramBuilder()
        var x = b.data("x", [64, 32])
        for _ in 0..<24 { x = b.exp(b.tanh(x)) }
        #expect(b.build([("y", x)]).compiled().arenaBytes <= 3 * 64 * 32 * 4)
    }

    /// Thousands of models, one program: weights are bound by pointer, executors are reused.
    @Test func poolRunsManyModels() throws {
        let b = ProgramBuilder()
        let y = try b.linear(b.data("x", [1, 2]), weight: b.parameter("w", [1, 2]))
        let pool = ExecutorPool(b.build([("y", y)]).compiled())
        let weights = (0..<100).map { [Float($0), 1] }
        let found = try pool.map(count: weights.count, jobs: 2) { index, executor in
            let sample: [Float] = [2, 3]
            return try weights[index].withUnsafeBufferPointer { w in
                try sample.withUnsafeBufferPointer { x in
                    guard let w = w.baseAddress, let x = x.baseAddress else { return Float.nan }
                    try executor.bind(parameters: [w])
                    try executor.run(reals: [x])
                    return executor.output(0)[0]
                }
            }
        }
        #expect(found == (0..<100).map { Float(2 * $0 + 3) })
    }
}
