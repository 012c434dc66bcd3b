import ZooAutodiff
import ZooBase
import ZooTensor

/// Names and values of what is learned, in the order in which programs declare them.
public struct LearnedParameters: Sendable {
    /// The names.
    public var names: [String]
    /// The extents.
    public var shapes: [Shape]
    /// The values.
    public var values: [[Float]]

    /// No parameters.
    public init() { (names, shapes, values) = ([], [], []) }

    /// Adds weights drawn uniformly from ±1/√fan.
    mutating func add(_ name: String, _ shape: Shape, fan: Int, _ generator: inout SeededGenerator) {
        let bound = 1 / Float(max(1, fan)).squareRoot()
        names.append(name)
        shapes.append(shape)
        values.append(
            (0..<shape.elementCount).map { _ in
                (Float(generator.next() >> 40) * 0x1p-24 * 2 - 1) * bound
            })
    }

    /// Adds zeros.
    mutating func add(zeros name: String, _ shape: Shape) {
        names.append(name)
        shapes.append(shape)
        values.append([Float](repeating: 0, count: shape.elementCount))
    }

    /// Adds all of another's.
    mutating func add(_ other: LearnedParameters) {
        names += other.names
        shapes += other.shapes
        values += other.values
    }

    /// The values as tensors.
    public var tensors: StateDict {
        var state = StateDict()
        for place in names.indices { state[names[place]] = Tensor(values[place], shape: shapes[place]) }
        return state
    }

    /// Values from stored tensors.
    ///
    /// - Throws: `corrupt` when a tensor has another shape; `notFound` when it is missing.
    func replaced(from source: any TensorSource, prefix: String) throws -> LearnedParameters {
        var copy = self
        for place in names.indices {
            let tensor = try source.tensor(named: prefix + names[place])
            guard tensor.shape == shapes[place] else {
                throw ZooError(
                    .corrupt, "tensor '\(prefix + names[place])' has shape \(tensor.shape), expected \(shapes[place])")
            }
            copy.values[place] = tensor.floats()
            guard copy.values[place].allSatisfy(\.isFinite) else {
                throw ZooError(.corrupt, "tensor '\(prefix + names[place])' holds NaN or infinity")
            }
        }
        return copy
    }

    /// Parameters declared in a program, by name.
    func declare(in b: ProgramBuilder) -> [String: Value] {
        Dictionary(uniqueKeysWithValues: zip(names, shapes).map { ($0, b.parameter($0, $1)) })
    }

    /// FNV-1a over names and bits, in hexadecimal: tells learned things apart.
    public var digest: String {
        var hash = Fingerprint()
        for place in names.indices {
            hash.add(names[place])
            hash.add(values[place])
        }
        return hash.text
    }
}

/// 64 bits that tell equal data from others (FNV-1a); no protection against made-up ones.
struct Fingerprint {
    private var hash: UInt64 = 0xCBF2_9CE4_8422_2325

    mutating func add(_ word: UInt64) { hash = (hash ^ word) &* 0x100_0000_01B3 }
    mutating func add(_ values: [Float]) {
        add(UInt64(values.count))
        for value in values { add(UInt64(value.bitPattern)) }
    }
    mutating func add(_ text: String) {
        for byte in text.utf8 { add(UInt64(byte)) }
        add(0xFF)
    }
    var text: String {
        let digits = String(hash, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}

/// Adam over a program whose first output is the loss and whose further outputs are the gradients of its parameters in
/// their order: the one training loop of feature maps and encoders. Used by one thread.
final class ProgramTraining {
    private let executor: Executor<Float>
    private let weights: AlignedArrays, first: AlignedArrays, second: AlignedArrays
    private let rate: Float
    private var steps = 0
    private let shapes: LearnedParameters

    /// - Parameter rate: of Adam; β 0.9 and 0.999, ε 1e-8, no decay.
    init(_ program: Program, parameters: LearnedParameters, rate: Double) {
        executor = program.compiled().makeExecutor()
        weights = AlignedArrays(parameters.values)
        first = AlignedArrays(parameters.values.map { [Float](repeating: 0, count: $0.count) })
        second = AlignedArrays(parameters.values.map { [Float](repeating: 0, count: $0.count) })
        self.rate = Float(rate)
        shapes = parameters
    }

    /// One step on a batch; returns the loss before it.
    ///
    /// - Throws: `numeric` when the loss leaves the finite numbers.
    func step(_ reals: [[Float]], _ indices: [[Int32]] = []) throws -> Float {
        try executor.bind(parameters: weights.pointers)
        try Self.withPointers(reals) { reals in
            try Self.withPointers(indices) { indices in try executor.run(reals: reals, indices: indices) }
        }
        let loss = executor.output(0)[0]
        guard loss.isFinite else { throw ZooError(.numeric, "the loss of the training is \(loss)") }
        steps += 1
        let correction1 = 1 - Self.power(0.9, steps), correction2 = 1 - Self.power(0.999, steps)
        let size = rate / Float(correction1), root = Float(correction2).squareRoot()
        for place in weights.counts.indices {
            let gradient = executor.output(1 + place)
            let w = weights.mutable(place), m = first.mutable(place), v = second.mutable(place)
            for i in 0..<weights.counts[place] {
                let g = gradient[i]
                m[i] += 0.1 * (g - m[i])
                v[i] += 0.001 * (g * g - v[i])
                w[i] -= size * (m[i] / (v[i].squareRoot() / root + 1e-8))
            }
        }
        return loss
    }

    /// Weights and both moments as they are now.
    var numbers: (weights: [[Float]], first: [[Float]], second: [[Float]]) {
        func all(_ arrays: AlignedArrays) -> [[Float]] { arrays.counts.indices.map { arrays.array($0) } }
        return (all(weights), all(first), all(second))
    }

    /// Goes on from numbers of an earlier training of the same parameters. Precondition: they have the same sizes.
    func restore(_ weights: [[Float]], _ first: [[Float]], _ second: [[Float]], steps: Int) {
        for (arrays, values) in [(self.weights, weights), (self.first, first), (self.second, second)] {
            precondition(values.map(\.count) == arrays.counts)
            for (place, array) in values.enumerated() {
                arrays.mutable(place).update(from: array, count: array.count)
            }
        }
        self.steps = steps
    }

    /// The parameters as they are now.
    var parameters: LearnedParameters {
        var copy = shapes
        for place in copy.values.indices { copy.values[place] = weights.array(place) }
        return copy
    }

    private static func power(_ base: Double, _ exponent: Int) -> Double {
        (0..<exponent).reduce(1.0) { value, _ in value > 1e-300 ? value * base : 0 }
    }

    private static func withPointers<T, R>(_ arrays: [[T]], _ body: ([UnsafePointer<T>]) throws -> R) throws -> R {
        func next(_ place: Int, _ pointers: [UnsafePointer<T>]) throws -> R {
            guard place < arrays.count else { return try body(pointers) }
            return try arrays[place].withUnsafeBufferPointer { buffer in
                guard let base = buffer.baseAddress else { throw ZooError(.internal, "an empty input") }
                return try next(place + 1, pointers + [base])
            }
        }
        return try next(0, [])
    }
}

/// Runs a program for given parameters, as often as wanted. Used by one thread at a time.
final class ProgramRunner {
    private let executor: Executor<Float>
    private let weights: AlignedArrays

    init(_ program: Program, _ parameters: LearnedParameters) throws {
        executor = program.compiled().makeExecutor()
        weights = AlignedArrays(parameters.values)
        try executor.bind(parameters: weights.pointers)
    }

    /// The first output.
    func run(_ reals: [[Float]]) throws -> [Float] {
        func next(_ place: Int, _ pointers: [UnsafePointer<Float>]) throws {
            guard place < reals.count else { return try executor.run(reals: pointers) }
            try reals[place].withUnsafeBufferPointer { buffer in
                guard let base = buffer.baseAddress else { throw ZooError(.internal, "an empty input") }
                try next(place + 1, pointers + [base])
            }
        }
        try next(0, [])
        return Array(executor.output(0))
    }
}
