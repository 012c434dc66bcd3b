import ZooAutodiff
import ZooBase
import ZooTensor

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// The training loss of a physics-informed network u(x, t) for 1-D convection: u_t + β u_x = 0 on x ∈ [0, 2π] with a
/// periodic boundary and u(x, 0) given (Krishnapriyan et al., arXiv 2109.01050).
///
///     loss = w_r mean (u_t + β u_x)² + w_i mean (u(x, 0) − u₀)² + w_b mean (u(0, t) − u(2π, t))²
public struct ConvectionLoss: Sendable, Hashable {
    /// The speed β.
    public var beta: Double
    /// The weight w_r of the residual.
    public var residualWeight = 1.0
    /// The weight w_i of the initial condition.
    public var initialWeight = 1.0
    /// The weight w_b of the boundary.
    public var boundaryWeight = 1.0

    /// A loss with equal weights.
    public init(beta: Double) { self.beta = beta }

    /// The loss and its parts as values of a program.
    struct Terms {
        var total: Value, residual: Value, initial: Value, boundary: Value
    }

    /// Writes the loss on top of a network lowered for `points.count` samples. It declares a data input `target`.
    ///
    /// - Throws: `mismatch` when the network does not lead from two coordinates to one number.
    func terms(_ lowered: LoweredGraph, _ graph: ArchitectureGraph, _ points: ConvectionPoints) throws -> Terms {
        let b = lowered.builder, count = points.count
        guard let name = graph.inputs.first?.name, let input = lowered.values[name], input.shape == [count, 2] else {
            throw ZooError(.mismatch, "convection: architecture '\(graph.name)' does not read coordinates (x, t)")
        }
        let u = try lowered.output("logits", of: graph)
        guard u.shape == [count, 1] else {
            throw ZooError(.mismatch, "convection: architecture '\(graph.name)' gives \(u.shape) and not one number")
        }
        let flow = b.constant((0..<count).flatMap { _ in [beta, 1] }, [count, 2])
        let change = try b.tangents(of: [u], along: [(input, flow)])[0]
        var start = 0
        func part(_ value: Value, _ points: [Double]) throws -> Value {
            defer { start += points.count / 2 }
            return try b.slice(value, axis: 0, start..<start + points.count / 2)
        }
        let residual = try b.mean(b.square(part(change, points.inner)))
        let target = b.data("target", [points.target.count, 1])
        let initial = try b.mean(b.square(b.subtract(part(u, points.initial), target)))
        let boundary = try b.mean(b.square(b.subtract(part(u, points.left), part(u, points.right))))
        let total = try b.add(
            b.affine(residual, scale: residualWeight),
            b.add(b.affine(initial, scale: initialWeight), b.affine(boundary, scale: boundaryWeight)))
        return Terms(total: total, residual: residual, initial: initial, boundary: boundary)
    }
}

/// Points (x, t), two numbers each, at which the loss is taken.
public struct ConvectionPoints: Sendable, Hashable {
    /// Points inside, for the residual.
    public var inner: [Double]
    /// Points at t = 0.
    public var initial: [Double]
    /// u₀ at `initial`.
    public var target: [Double]
    /// Points at x = 0.
    public var left: [Double]
    /// Points at x = 2π, at the times of `left`.
    public var right: [Double]

    /// Takes points.
    public init(inner: [Double], initial: [Double], target: [Double], left: [Double], right: [Double]) {
        (self.inner, self.initial, self.target, self.left, self.right) = (inner, initial, target, left, right)
    }

    /// The points in the order in which a network reads them: inner, initial, left, right.
    var coordinates: [Double] { inner + initial + left + right }
    /// How many points there are.
    var count: Int { coordinates.count / 2 }

    /// Points drawn evenly: `inner` of them anywhere on [0, 2π] × [0, 1], `initial` at t = 0 where u₀ = sin x, and as
    /// many `boundary` times at both ends.
    ///
    /// - Precondition: at least one of each.
    public static func drawn(inner: Int, initial: Int, boundary: Int, seed: UInt64) -> ConvectionPoints {
        precondition(inner > 0 && initial > 0 && boundary > 0)
        var generator = SeededGenerator(seed: seed)
        func uniform(_ limit: Double) -> Double { Double(generator.next() >> 11) * 0x1p-53 * limit }
        let inside = (0..<inner).flatMap { _ in [uniform(2 * .pi), uniform(1)] }
        let starts = (0..<initial).map { _ in uniform(2 * .pi) }
        let times = (0..<boundary).map { _ in uniform(1) }
        return ConvectionPoints(
            inner: inside, initial: starts.flatMap { [$0, 0] }, target: starts.map { sin($0) },
            left: times.flatMap { [0, $0] }, right: times.flatMap { [2 * .pi, $0] })
    }

    /// - Throws: `mismatch` when coordinates are no pairs, or two lists that belong together differ.
    func check() throws {
        let parts = [inner, initial, left, right]
        guard parts.allSatisfy({ !$0.isEmpty && $0.count % 2 == 0 }), left.count == right.count,
            initial.count == 2 * target.count
        else {
            throw ZooError(
                .mismatch,
                "convection: \(parts.map(\.count)) coordinates and \(target.count) targets; expected pairs (x, t), "
                    + "one target per initial point, as many points left as right")
        }
    }
}

/// Loss, gradient and Hessian-vector product of a network on convection, in the precision asked for.
///
/// The residual is one tangent of the network in its coordinates, along (β, 1); gradient and product are taken of the
/// whole loss in the weights, on top of it.
public struct ConvectionObjective<Scalar: EngineScalar>: Sendable {
    /// What an evaluation gives.
    public struct Result: Sendable {
        /// The weighted sum.
        public var loss: Double
        /// The unweighted means: residual, initial condition, boundary.
        public var residual: Double, initial: Double, boundary: Double
        /// By parameter name.
        public var gradient: [String: [Double]]
        /// Hessian times direction by parameter name; empty without directions.
        public var product: [String: [Double]]
    }

    private let compiled: CompiledProgram<Scalar>
    private let names: [String]
    private let counts: [Int]
    private let inputs: [String: [Scalar]]

    /// Compiles the objective.
    ///
    /// - Parameter compile: `{ $0.compiled() }` for Float32, `{ $0.compiledReference() }` for Float64.
    /// - Throws: `mismatch` when the network does not lead from two coordinates to one number, or points do not fit.
    public init(
        _ graph: ArchitectureGraph, tensors: [TensorInfo], loss: ConvectionLoss, points: ConvectionPoints,
        compile: (Program) -> CompiledProgram<Scalar>
    ) throws {
        try points.check()
        let lowered = try LoweredGraph(graph, tensors: tensors, batch: points.count)
        let b = lowered.builder
        let terms = try loss.terms(lowered, graph, points)
        let weights = lowered.parameters
        let directions = weights.map { b.direction("v/" + $0.name, $0.value.shape) }
        let found = try b.hessianVectorProduct(
            of: terms.total, withRespectTo: weights.map(\.value), along: directions)
        names = weights.map(\.name)
        counts = weights.map(\.value.shape.elementCount)
        compiled = compile(
            b.build(
                [
                    ("loss", terms.total), ("residual", terms.residual), ("initial", terms.initial),
                    ("boundary", terms.boundary),
                ]
                    + found.gradient.map { ("gradient", $0) } + found.product.map { ("product", $0) }))
        let name = graph.inputs.first?.name ?? ""
        inputs = [name: points.coordinates.map { Scalar($0) }, "target": points.target.map { Scalar($0) }]
    }

    /// Evaluates one network.
    ///
    /// - Parameters:
    ///   - weights: values by parameter name.
    ///   - directions: by parameter name; nil leaves the product out of the result.
    /// - Throws: `notFound` or `mismatch` for weights that do not fit.
    public func evaluate(
        _ weights: [String: [Scalar]], along directions: [String: [Scalar]]? = nil
    ) throws -> Result {
        var arrays = inputs
        for (name, count) in zip(names, counts) {
            arrays[name] = weights[name]
            arrays["v/" + name] = directions.map { $0[name] ?? [] } ?? [Scalar](repeating: 0, count: count)
        }
        let outputs = try compiled.makeExecutor().evaluate(arrays).map { $0.map(Double.init) }
        func named(_ start: Int) -> [String: [Double]] {
            Dictionary(uniqueKeysWithValues: zip(names, outputs[start..<start + names.count]))
        }
        return Result(
            loss: outputs[0][0], residual: outputs[1][0], initial: outputs[2][0], boundary: outputs[3][0],
            gradient: named(4), product: directions == nil ? [:] : named(4 + names.count))
    }
}
