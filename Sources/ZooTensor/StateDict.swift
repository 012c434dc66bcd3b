import ZooBase

/// The parameters and buffers of one network: an ordered map from the checkpoint's own names to tensors.
public struct StateDict: TensorSource {
    /// The names in order.
    public private(set) var names: [String] = []
    private var tensors: [String: Tensor] = [:]

    /// An empty state dict.
    public init() {}

    /// The tensor of a name; setting nil removes it, setting a new name appends it.
    public subscript(name: String) -> Tensor? {
        get { tensors[name] }
        set {
            if let newValue {
                if tensors.updateValue(newValue, forKey: name) == nil { names.append(name) }
            } else if tensors.removeValue(forKey: name) != nil {
                names.removeAll { $0 == name }
            }
        }
    }

    /// The tensors without their data, in order.
    public var tensorInfos: [TensorInfo] {
        names.compactMap { name in tensors[name].map { TensorInfo(name: name, dtype: $0.dtype, shape: $0.shape) } }
    }

    /// One tensor.
    public func tensor(named name: String) throws -> Tensor {
        guard let tensor = tensors[name] else { throw ZooError(.notFound, "no tensor '\(name)'") }
        return tensor
    }
}
