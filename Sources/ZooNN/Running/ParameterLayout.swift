import ZooBase
import ZooTensor

/// Where each trained tensor of an architecture lies in one flat vector: gradients, directions and points of a loss
/// landscape are such vectors.
///
/// Tensors follow each other in the order of the state dict, row-major each; buffers (running statistics) and tensors
/// that the architecture does not read are left out.
public struct ParameterLayout: Sendable, Hashable {
    /// One tensor.
    public struct Entry: Sendable, Hashable {
        /// The checkpoint's name for it.
        public let name: String
        /// Its extents.
        public let shape: Shape
        /// Its place in the vector.
        public let range: Range<Int>
    }

    /// The tensors in order.
    public let entries: [Entry]
    /// Numbers in the vector.
    public let count: Int

    /// The trained tensors of an architecture among those of a state dict.
    public init(_ graph: ArchitectureGraph, tensors: [TensorInfo]) {
        let trained = Set(graph.trainableNames)
        var start = 0
        entries = tensors.filter { trained.contains($0.name) }.map { info in
            defer { start += info.shape.elementCount }
            return Entry(name: info.name, shape: info.shape, range: start..<start + info.shape.elementCount)
        }
        count = start
    }

    /// The place of a tensor; nil when it is not part of the vector.
    public func range(of name: String) -> Range<Int>? { entries.first { $0.name == name }?.range }

    /// The vector of a model.
    ///
    /// - Throws: `mismatch` when a tensor has another shape; what reading throws.
    public func flatten(_ source: any TensorSource) throws -> [Double] {
        var flat: [Double] = []
        flat.reserveCapacity(count)
        for entry in entries { flat += try Self.read(entry.name, entry.shape, from: source).doubles() }
        return flat
    }

    /// The model that a vector is, everything else taken from `base`; tensors keep the element types they have there.
    ///
    /// - Throws: `mismatch` when the vector has another length; what reading `base` throws.
    public func stateDict(_ flat: [Double], over base: any TensorSource) throws -> StateDict {
        try check(flat)
        var state = try base.stateDict()
        for entry in entries {
            let tensor = Tensor(Array(flat[entry.range]), shape: entry.shape)
            state[entry.name] = tensor.converted(to: state[entry.name]?.dtype ?? .float32)
        }
        return state
    }

    /// - Throws: `mismatch` when a vector has another length.
    func check(_ flat: [Double], _ what: String = "vector") throws {
        guard flat.count == count else {
            throw ZooError(.mismatch, "a \(what) of \(flat.count) numbers; the model has \(count) parameters")
        }
    }

    static func read(_ name: String, _ shape: Shape, from source: any TensorSource) throws -> Tensor {
        let tensor = try source.tensor(named: name)
        guard tensor.shape == shape else {
            throw ZooError(.mismatch, "tensor '\(name)' has shape \(tensor.shape), the architecture expects \(shape)")
        }
        return tensor
    }
}
