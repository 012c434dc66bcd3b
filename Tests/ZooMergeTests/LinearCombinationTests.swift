import Testing
import ZooBase
import ZooMerge
import ZooTensor
import ZooTestSupport

@Suite struct LinearCombinationTests {
    private func state(_ seed: UInt64, _ types: [DType] = [.float32], count: Int = 5000) -> StateDict {
        var generator = SeededGenerator(seed: seed)
        var state = StateDict()
        for (index, type) in types.enumerated() {
            let values = (0..<count).map { _ in Double.random(in: -3...3, using: &generator) }
            state["t\(index)"] = Tensor(values, shape: [count]).converted(to: type)
        }
        return state
    }

    @Test(arguments: [1, 2, 3, 8, 17])
    func meansMatchDoublePrecision(_ count: Int) throws {
        let types: [DType] = [.float32, .float64, .float16, .bfloat16]
        let states = (0..<count).map { state(UInt64($0), types) }
        let weights = AverageWeights.uniform(count: count)
        let mean = try LinearCombination(states, names: states.indices.map { "m\($0)" }, weights: weights)
        // Half a unit in the last place of the stored type, relative to the largest operand, plus accumulation.
        let tolerance: [Double] = [3e-7 * Double(count), 1e-15 * Double(count), 1e-3, 8e-3]
        for (index, type) in types.enumerated() {
            let found = try mean.tensor(named: "t\(index)")
            #expect(found.dtype == type)
            let inputs = states.map { $0["t\(index)"]?.doubles() ?? [] }
            for (place, value) in found.doubles().enumerated() {
                let truth = inputs.reduce(0) { $0 + $1[place] } / Double(count)
                #expect((value - truth).magnitude <= tolerance[index] * 3)
            }
        }
    }

    @Test func valuesDoNotDependOnHowATensorIsCut() throws {
        let states = (0..<5).map { state(UInt64($0), count: 10_007) }
        let mean = try LinearCombination(
            states, names: ["a", "b", "c", "d", "e"], weights: [0.1, -0.2, 0.4, 0.5, 0.2])
        let run = try mean.elements(of: "t0")
        let whole = try mean.tensor(named: "t0")
        var generator = SeededGenerator(seed: 9)
        for _ in 0..<50 {
            let first = Int.random(in: 0..<10_000, using: &generator)
            let range = first..<Int.random(in: first...10_007, using: &generator)
            let piece = try Bytes(byteCount: range.count * 4) { output in
                try run.compute(range, into: output)
                return output.count
            }
            #expect(try piece.array == whole.bytes.slice(first * 4, range.count * 4).array)
        }
    }

    @Test func oneModelIsItself() throws {
        let only = state(1, [.float32, .float16, .bfloat16, .float64])
        let mean = try LinearCombination([only], names: ["a"], weights: [1])
        for name in only.names {
            let truth = try only.tensor(named: name)
            #expect(try mean.tensor(named: name).isIdentical(to: truth))
        }
    }

    @Test func integersAreCopiedAndDifferencesTold() throws {
        var a = state(1), b = state(2)
        a["steps"] = Tensor([Int64(7)], shape: [])
        b["steps"] = Tensor([Int64(9)], shape: [])
        let mean = try LinearCombination([a, b], names: ["a", "b"], weights: [0.5, 0.5])
        #expect(try mean.tensor(named: "steps").doubles() == [7])
        #expect(try mean.differingBuffers() == ["steps"])
        var options = LinearCombination.Options()
        options.strictBuffers = true
        let strict = try LinearCombination([a, b], names: ["a", "b"], weights: [0.5, 0.5], options: options)
        #expect(throws: ZooError.self) { try strict.tensor(named: "steps") }
    }

    @Test func misfitsAreReportedTogether() throws {
        var a = state(1, [.float32, .float32]), b = state(2)
        a["only"] = Tensor([Float(1)], shape: [1])
        b["t1"] = Tensor([Float](repeating: 0, count: 4), shape: [2, 2])
        let error = #expect(throws: ZooError.self) {
            try LinearCombination([a, b], names: ["a", "b"], weights: [0.5, 0.5])
        }
        #expect(error?.message.contains("'only' is missing in b") == true)
        #expect(error?.message.contains("'t1' has shape [2, 2]") == true)
        var options = LinearCombination.Options()
        options.pairing = .intersection
        b["t1"] = nil
        let common = try LinearCombination([a, b], names: ["a", "b"], weights: [0.5, 0.5], options: options)
        #expect(common.tensorInfos.map(\.name) == ["t0"])
        options.pairing = .union
        let all = try LinearCombination([a, b], names: ["a", "b"], weights: [0.5, 0.5], options: options)
        #expect(try all.tensor(named: "only").doubles() == [1])
    }

    @Test func overflowToHalfIsAnErrorAndNaNIsInherited() throws {
        var a = StateDict(), b = StateDict()
        a["x"] = Tensor([Float(60000), 1], shape: [2]).converted(to: .float16)
        b["x"] = Tensor([Float(60000), 2], shape: [2]).converted(to: .float16)
        let sum = try LinearCombination([a, b], names: ["a", "b"], weights: [1, 1])
        #expect(throws: ZooError.self) { try sum.tensor(named: "x") }
        a["x"] = Tensor([Float.nan, 1], shape: [2])
        b["x"] = Tensor([Float(1), 2], shape: [2])
        let mean = try LinearCombination([a, b], names: ["a", "b"], weights: [0.5, 0.5])
        let values = try mean.tensor(named: "x").floats()
        #expect(values[0].isNaN && values[1] == 1.5)
    }
}
