import Testing
import ZooAutodiff
import ZooTensor
import ZooTestSupport

/// A function under test: inputs with their range of values, integers, and how to write it.
struct DerivativeCase: Sendable, CustomTestStringConvertible {
    var name: String
    var shapes: [Shape]
    var range: ClosedRange<Double> = -2...2
    var indices: [(values: [Int32], shape: Shape)] = []
    /// Whether the function has kinks that second derivatives must stay away from (it is then piecewise smooth, and
    /// the random points are not near a kink).
    var body: @Sendable (ProgramBuilder, [Value], [Indices]) throws -> Value

    var testDescription: String { name }

    init(
        _ name: String, _ shapes: [Shape], range: ClosedRange<Double> = -2...2,
        indices: [(values: [Int32], shape: Shape)] = [],
        _ body: @escaping @Sendable (ProgramBuilder, [Value], [Indices]) throws -> Value
    ) {
        self.name = name
        self.shapes = shapes
        self.range = range
        self.indices = indices
        self.body = body
    }
}

/// Derivatives of a case against central differences and against each other, in Float64.
struct DerivativeCheck {
    let executor: ReferenceExecutor
    let test: DerivativeCase
    var generator: SeededGenerator
    private var arrays: [String: [Double]] = [:]
    private let integers: [String: [Int32]]
    private let program: Program

    init(_ test: DerivativeCase) throws {
        self.test = test
        generator = SeededGenerator(seed: 7)
        let b = ProgramBuilder()
        let xs = test.shapes.enumerated().map { b.parameter("x\($0)", $1) }
        let ds = test.shapes.enumerated().map { b.direction("d\($0)", $1) }
        let es = test.shapes.enumerated().map { b.direction("e\($0)", $1) }
        let integers = test.indices.enumerated().map { b.indices("i\($0)", $1.shape) }
        let y = try test.body(b, xs, integers)
        let seed = b.data("seed", y.shape)
        let along = Array(zip(xs, ds))
        let tangent = try b.tangents(of: [y], along: along)
        let gradient = try b.gradient(of: y, withRespectTo: xs, seed: seed)
        let second = try b.tangents(of: gradient, along: along)
        let other = try b.tangents(of: gradient, along: Array(zip(xs, es)))
        let third = try b.tangents(of: second, along: along)
        let groups = [("y", [y]), ("t", tangent), ("g", gradient), ("h", second), ("o", other), ("k", third)]
        program = b.build(groups.flatMap { name, values in values.enumerated().map { ("\(name)\($0)", $1) } })
        executor = program.compiledReference().makeExecutor()
        var generator = SeededGenerator(seed: 11)
        for (index, shape) in test.shapes.enumerated() {
            arrays["x\(index)"] = (0..<shape.elementCount).map { _ in Double.random(in: test.range, using: &generator) }
            for kind in ["d", "e"] {
                arrays["\(kind)\(index)"] = (0..<shape.elementCount).map { _ in
                    Double.random(in: -1...1, using: &generator)
                }
            }
        }
        arrays["seed"] = (0..<y.shape.elementCount).map { _ in Double.random(in: -1...1, using: &generator) }
        self.integers = Dictionary(
            uniqueKeysWithValues: test.indices.enumerated().map { ("i\($0)", $1.values) })
    }

    /// All outputs at x + step · d, grouped by the first letter of their names.
    private func values(step: Double = 0) throws -> [Character: [Double]] {
        var moved = arrays
        for index in test.shapes.indices {
            moved["x\(index)"] = zip(arrays["x\(index)"] ?? [], arrays["d\(index)"] ?? []).map { $0 + step * $1 }
        }
        var result: [Character: [Double]] = [:]
        for (output, values) in zip(program.outputs, try executor.evaluate(moved, indices: integers)) {
            result[output.name.first ?? "?", default: []] += values
        }
        return result
    }

    func run() throws {
        let step = 1e-5
        let here = try values(), up = try values(step: step), down = try values(step: -step)
        func differences(_ group: Character) -> [Double] {
            zip(up[group] ?? [], down[group] ?? []).map { ($0 - $1) / (2 * step) }
        }
        func direction(_ letter: String) -> [Double] { test.shapes.indices.flatMap { arrays["\(letter)\($0)"] ?? [] } }
        func dot(_ a: [Double], _ b: [Double]) -> Double { zip(a, b).map { $0 * $1 }.reduce(0, +) }

        let y = here["y"] ?? []
        #expect(y.allSatisfy(\.isFinite) && !y.isEmpty)
        expectClose(here["t"] ?? [], differences("y"), 1e-7, "tangent against differences")
        expectClose(here["h"] ?? [], differences("g"), 1e-6, "second derivative against differences")
        expectClose(here["k"] ?? [], differences("h"), 1e-5, "third derivative against differences")
        let forward = dot(arrays["seed"] ?? [], here["t"] ?? [])
        let backward = dot(here["g"] ?? [], direction("d"))
        #expect(abs(forward - backward) <= 1e-11 * max(1, abs(forward)), "push and pull are transposes")
        let left = dot(here["h"] ?? [], direction("e")), right = dot(here["o"] ?? [], direction("d"))
        #expect(abs(left - right) <= 1e-10 * max(1, abs(left)), "the Hessian is symmetric")
    }
}

/// Equal up to a tolerance relative to the larger of one and the largest expected value.
func expectClose(
    _ found: [Double], _ expected: [Double], _ tolerance: Double, _ what: String,
    sourceLocation: SourceLocation = #_sourceLocation
) {
    #expect(found.count == expected.count, "\(what)", sourceLocation: sourceLocation)
    let scale = max(1, expected.map(\.magnitude).max() ?? 1)
    let worst = zip(found, expected).map { ($0 - $1).magnitude }.max() ?? 0
    #expect(worst <= tolerance * scale, "\(what): off by \(worst) of \(scale)", sourceLocation: sourceLocation)
}
