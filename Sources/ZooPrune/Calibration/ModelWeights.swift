import ZooAutodiff
import ZooBase
import ZooNN
import ZooTensor

/// The weights of one network as executors read them: single precision, each tensor at the start of a cache line, in
/// memory that pruning layer by layer and training may change between runs.
///
/// `@unchecked Sendable`: whoever changes weights does so while nothing runs.
public final class ModelWeights: @unchecked Sendable {
    /// The tensors that the network reads, in the order of the graph.
    public let names: [String]
    private let shapes: [String: Shape]
    private let starts: [String: Int]
    private let block: UnsafeMutablePointer<Float>
    /// Numbers per cache line.
    private static let line = 16

    /// Reads the weights of a graph.
    ///
    /// - Throws: what reading throws; `notFound` for a tensor that is missing.
    public init(_ graph: ArchitectureGraph, source: any TensorSource) throws {
        let infos = Dictionary(source.tensorInfos.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        let names = graph.parameterNames.filter { infos[$0]?.dtype.isFloatingPoint == true }
        var starts: [String: Int] = [:], shapes: [String: Shape] = [:], total = 0
        for name in names {
            let shape = infos[name]?.shape ?? []
            starts[name] = total
            shapes[name] = shape
            total += (shape.elementCount + Self.line - 1) / Self.line * Self.line
        }
        self.names = names
        self.starts = starts
        self.shapes = shapes
        block = UnsafeMutableRawPointer.allocate(byteCount: max(total, Self.line) * 4, alignment: 64)
            .bindMemory(to: Float.self, capacity: max(total, Self.line))
        for name in names {
            try source.tensor(named: name).withFloats { values in
                guard let base = values.baseAddress, let start = starts[name] else { return }
                (block + start).update(from: base, count: values.count)
            }
        }
    }

    deinit { block.deallocate() }

    /// The shape of a tensor.
    public func shape(of name: String) -> Shape? { shapes[name] }

    /// The memory of a tensor.
    ///
    /// - Throws: `notFound` for a tensor that the network does not read.
    public func memory(of name: String) throws -> UnsafeMutableBufferPointer<Float> {
        guard let start = starts[name], let shape = shapes[name] else {
            throw ZooError(.notFound, "the network reads no tensor '\(name)'")
        }
        return UnsafeMutableBufferPointer(start: block + start, count: shape.elementCount)
    }

    /// What an executor of the program binds.
    ///
    /// - Throws: `mismatch` when a tensor has another shape.
    public func pointers(for program: Program) throws -> [UnsafePointer<Float>] {
        try program.inputs(.parameter).map { input in
            guard shapes[input.name] == input.shape, let start = starts[input.name] else {
                throw ZooError(.mismatch, "tensor '\(input.name)' does not have shape \(input.shape)")
            }
            return UnsafePointer(block + start)
        }
    }

    /// The model with the weights as they are now, in the element types and the order of `base`.
    ///
    /// - Throws: what reading `base` throws.
    public func state(over base: any TensorSource) throws -> StateDict {
        var state = StateDict()
        for info in base.tensorInfos {
            let tensor = try base.tensor(named: info.name)
            guard starts[info.name] != nil else {
                state[info.name] = tensor
                continue
            }
            let now = Tensor(Array(try memory(of: info.name)), shape: info.shape)
            // What was not changed keeps its very bits, also of a type that Float cannot hold.
            let isSame = try tensor.withFloats { try memory(of: info.name).elementsEqual($0) }
            state[info.name] = isSame ? tensor : now.converted(to: info.dtype)
        }
        return state
    }
}
