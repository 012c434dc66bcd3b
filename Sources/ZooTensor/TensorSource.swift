import ZooBase

/// What a tensor is, without its data.
public struct TensorInfo: Sendable, Hashable {
    /// The name in the checkpoint, exactly (`layer1.0.conv1.weight`).
    public var name: String
    /// The element type.
    public var dtype: DType
    /// The extents.
    public var shape: Shape

    /// Creates a description.
    public init(name: String, dtype: DType, shape: Shape) {
        self.name = name
        self.dtype = dtype
        self.shape = shape
    }

    /// Elements times their size.
    public var byteCount: Int { shape.elementCount * dtype.byteCount }
}

/// Anything that has named tensors and hands out one at a time: a checkpoint, a state dict, a merge not yet computed.
public protocol TensorSource: Sendable {
    /// The tensors in the order of the source.
    var tensorInfos: [TensorInfo] { get }

    /// One tensor, read or computed now.
    ///
    /// - Throws: `notFound` when there is no tensor of that name; whatever reading it throws.
    func tensor(named name: String) throws -> Tensor
}

extension TensorSource {
    /// The elements of all floating-point tensors, counted as `torch` counts parameters plus float buffers.
    public var parameterCount: Int {
        tensorInfos.reduce(0) { $0 + ($1.dtype.isFloatingPoint ? $1.shape.elementCount : 0) }
    }

    /// All tensors, read into one state dict.
    public func stateDict() throws -> StateDict {
        var state = StateDict()
        for info in tensorInfos { state[info.name] = try tensor(named: info.name) }
        return state
    }
}
