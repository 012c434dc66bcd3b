import ZooTensor

/// Element types that the kernels take, by their code there.
public enum KernelType: Int32, Sendable {
    /// IEEE 754 single precision.
    case float32 = 0
    /// IEEE 754 double precision.
    case float64 = 1
    /// IEEE 754 half precision.
    case float16 = 2
    /// The upper half of a single.
    case bfloat16 = 3

    /// The code of a type; nil where there is none.
    public init?(_ dtype: DType) {
        switch dtype {
        case .float32: self = .float32
        case .float16: self = .float16
        case .bfloat16: self = .bfloat16
        case .float64: self = .float64
        default: return nil
        }
    }
}
