import Synchronization
import ZooAutodiff
import ZooBase
import ZooTensor

/// What is computed of a network on a batch.
enum NetworkTask: Hashable, Sendable {
    /// An output of the architecture, sample by sample.
    case output(String)
    /// What the loss is computed from on the host: see `LossFunction`.
    case losses
    /// And the gradient of the summed loss in every trained tensor.
    case gradient
    /// And that many Hessian-vector products.
    case hessianProducts(Int)
    /// And that many Gauss-Newton products.
    case gaussNewtonProducts(Int)
    /// The gradient of each sample's loss.
    case exampleGradients
    /// Another task, planned so that further directions need not compute the rest again.
    indirect case keeping(NetworkTask)
}

/// What the loss of a sweep is taken over.
enum LossForm: Sendable {
    /// Single samples, by a `LossFunction`.
    case samples
    /// The next tokens of sequences of this length.
    case nextToken(length: Int)
    /// The points of a physics-informed loss, all together.
    case convection(ConvectionLoss, ConvectionPoints)
}

/// The compiled programs of one architecture and one loss: each is compiled when it is first asked for, and then shared
/// by all models and threads.
final class NetworkPrograms: Sendable {
    let graph: ArchitectureGraph
    let tensors: [TensorInfo]
    let loss: LossFunction
    let form: LossForm
    let layout: ParameterLayout
    let batch: Int
    /// Samples whose gradients are computed together.
    let exampleBatch: Int
    /// The tensors that executors bind, in their order, buffers included.
    let parameterNames: [String], parameterShapes: [Shape]
    /// Floating-point tensors that the architecture does not read.
    let unreadNames: [String]
    /// Numbers per sample of the loss's output.
    let classes: Int
    private let pools = Mutex<[NetworkTask: ExecutorPool<Float>]>([:])

    private static let labels = SampleBatches.labelsName, weights = SampleBatches.weightsName

    /// - Parameter batch: samples or sequences per run; for points all of them.
    init(
        _ graph: ArchitectureGraph, tensors: [TensorInfo], loss: LossFunction, form: LossForm = .samples, batch: Int
    ) throws {
        if case .nextToken = form {
            guard graph.inputs.first?.kind == .tokens else {
                throw ZooError(.mismatch, "architecture '\(graph.name)' does not read tokens")
            }
        } else {
            guard graph.inputs.count == 1, let input = graph.inputs.first, input.kind != .tokens else {
                throw ZooError(
                    .unsupported, "architecture '\(graph.name)' reads tokens; these data are images or vectors")
            }
        }
        self.form = form
        self.graph = graph
        self.tensors = tensors
        self.loss = loss
        self.batch = batch
        exampleBatch = min(batch, 64)
        layout = ParameterLayout(graph, tensors: tensors)
        let lowered = try Self.lowered(graph, tensors, batch, form)
        unreadNames = lowered.unreadNames
        let output = try lowered.output(loss.output, of: graph)
        if case .samples = form {
            classes = output.shape.elementCount / batch
        } else {
            classes = output.shape.dimensions.last ?? 1
        }
        let program = lowered.builder.build([])
        parameterNames = program.inputs(.parameter).map(\.name)
        parameterShapes = program.inputs(.parameter).map(\.shape)
    }

    private static func lowered(
        _ graph: ArchitectureGraph, _ tensors: [TensorInfo], _ batch: Int, _ form: LossForm
    ) throws -> LoweredGraph {
        switch form {
        case .samples: try LoweredGraph(graph, tensors: tensors, batch: batch)
        case .nextToken(let length): try LoweredGraph(graph, tensors: tensors, batch: batch, sequenceLength: length)
        case .convection(_, let points): try LoweredGraph(graph, tensors: tensors, batch: points.count)
        }
    }

    /// Executors for a task.
    ///
    /// - Throws: `unsupported` when the network has no such derivative; `notFound` for an unknown output.
    func pool(_ task: NetworkTask) throws -> ExecutorPool<Float> {
        try pools.withLock { pools in
            if let known = pools[task] { return known }
            let pool =
                if case .keeping(let inner) = task {
                    ExecutorPool(try program(inner).compiled(keepingPrimal: true))
                } else {
                    ExecutorPool(try program(task).compiled())
                }
            pools[task] = pool
            return pool
        }
    }

    /// Bytes that a thread's arena takes for a task.
    func arenaByteCount(_ task: NetworkTask) throws -> Int { try pool(task).compiled.arenaBytes }

    private func program(_ task: NetworkTask) throws -> Program {
        if task == .exampleGradients { return try exampleProgram() }
        let lowered = try Self.lowered(graph, tensors, batch, form)
        let b = lowered.builder
        if case .output(let name) = task { return b.build([(name, try lowered.output(name, of: graph))]) }
        let (output, host, sum) = try objective(lowered)
        if task == .losses { return b.build([("losses", host)]) }
        let total = try sum()
        let inputs = try trained(lowered)
        let gradient = try b.gradient(of: total, withRespectTo: inputs)
        var outputs = [("losses", host)] + gradient.map { ("gradient", $0) }
        switch task {
        case .hessianProducts(let count):
            for number in 0..<count {
                let along = Array(zip(inputs, directions(b, inputs, number)))
                outputs += try b.tangents(of: gradient, along: along).map { ("product", $0) }
            }
        case .gaussNewtonProducts(let count):
            guard let output else {
                throw ZooError(
                    .unsupported, "the loss reads derivatives of the network: it has no Gauss-Newton matrix here")
            }
            for number in 0..<count {
                outputs += try b.gaussNewtonProduct(
                    of: total, through: output, withRespectTo: inputs, along: directions(b, inputs, number)
                ).map { ("product", $0) }
            }
        default: break
        }
        return b.build(outputs.map { (name: $0.0, value: $0.1) })
    }

    /// The network's output that the loss is a function of, what the host reads losses from, and the summed loss.
    private func objective(_ lowered: LoweredGraph) throws -> (output: Value?, host: Value, sum: () throws -> Value) {
        let b = lowered.builder
        switch form {
        case .samples:
            let output = try lowered.output(loss.output, of: graph)
            let labels = loss.readsLabels ? b.indices(Self.labels, [batch]) : nil
            let losses = try loss.perSample(b, output, labels)
            return (
                output, loss.isCrossEntropy ? output : losses,
                { try b.sum(b.multiply(losses, b.data(Self.weights, [self.batch]))) }
            )
        case .nextToken:
            let output = try lowered.output(loss.output, of: graph)
            let losses = try lowered.nextTokenLosses(of: graph).losses
            return (output, losses, { try b.sum(losses) })
        case .convection(let convection, let points):
            let total = try convection.terms(lowered, graph, points).total
            return (nil, try b.reshape(total, [1]), { total })
        }
    }

    private func directions(_ b: ProgramBuilder, _ inputs: [Value], _ number: Int) -> [Value] {
        zip(layout.entries, inputs).map { b.direction("direction \(number) of \($0.name)", $1.shape) }
    }

    private func trained(_ lowered: LoweredGraph) throws -> [Value] {
        let values = Dictionary(lowered.parameters.map { ($0.name, $0.value) }, uniquingKeysWith: { first, _ in first })
        return try layout.entries.map { entry in
            guard let value = values[entry.name] else {
                throw ZooError(.internal, "tensor '\(entry.name)' is trained but not read")
            }
            return value
        }
    }

    private func exampleProgram() throws -> Program {
        guard case .samples = form else {
            throw ZooError(.unsupported, "gradients of single samples are taken of images and vectors")
        }
        let lowered = try LoweredGraph(graph, tensors: tensors, batch: 1)
        let b = lowered.builder
        let labels = loss.readsLabels ? b.indices(Self.labels, [1]) : nil
        let losses = try loss.perSample(b, lowered.output(loss.output, of: graph), labels)
        let gradient = try b.gradient(of: b.sum(losses), withRespectTo: trained(lowered))
        let mapped = Set(graph.inputs.map(\.name) + [Self.labels])
        return try b.build(gradient.map { ("gradient", $0) }).mapped(mapped, count: exampleBatch)
    }

    // MARK: Weights

    /// A model's weights as executors bind them.
    func weights(of source: any TensorSource) throws -> WeightBlock {
        try WeightBlock(source, names: parameterNames, shapes: parameterShapes)
    }

    /// The weights at a point: trained tensors from the vector, the rest from a model's block.
    func weights(at point: [Double], over base: WeightBlock) throws -> WeightBlock {
        try layout.check(point, "point")
        let places = Dictionary(layout.entries.map { ($0.name, $0.range) }, uniquingKeysWith: { first, _ in first })
        return WeightBlock(sizes: parameterShapes.map(\.elementCount)) { place, target in
            if let range = places[parameterNames[place]] {
                for (index, number) in zip(target.indices, point[range]) { target[index] = Float(number) }
            } else {
                _ = target.update(fromContentsOf: UnsafeBufferPointer(start: base.pointers[place], count: target.count))
            }
        }
    }

    /// The same from single precision.
    ///
    /// - Precondition: `layout.count` numbers.
    func weights(at point: UnsafePointer<Float>, over base: WeightBlock) throws -> WeightBlock {
        let places = Dictionary(layout.entries.map { ($0.name, $0.range) }, uniquingKeysWith: { first, _ in first })
        return WeightBlock(sizes: parameterShapes.map(\.elementCount)) { place, target in
            let source = places[parameterNames[place]].map { point + $0.lowerBound } ?? base.pointers[place]
            _ = target.update(fromContentsOf: UnsafeBufferPointer(start: source, count: target.count))
        }
    }

    /// Directions as executors read them: for each its tensors in the order of the layout.
    func blocks(of directions: ArraySlice<[Double]>, jobs: Int = 1) throws -> WeightBlock {
        for direction in directions { try layout.check(direction, "direction") }
        let directions = Array(directions), entries = layout.entries
        let sizes = directions.flatMap { _ in entries.map(\.range.count) }
        return try WeightBlock(sizes: sizes, jobs: jobs) { place, target in
            let numbers = directions[place / entries.count][entries[place % entries.count].range]
            for (index, number) in zip(target.indices, numbers) { target[index] = Float(number) }
        }
    }
}
