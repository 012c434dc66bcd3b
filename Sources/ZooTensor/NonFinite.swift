import CZooKernels
import ZooBase

extension Tensor {
    /// How many elements are NaN or infinite; 0 for integers. One pass at memory speed.
    public var nonFiniteCount: Int {
        let code: Int32
        switch dtype {
        case .float32: code = 0
        case .complex64: code = 0
        case .float64, .complex128: code = 1
        case .float16: code = 2
        case .bfloat16: code = 3
        case .float8E4M3, .float8E5M2: return doubles().count { !$0.isFinite }
        default: return 0
        }
        let parts = dtype == .complex64 || dtype == .complex128 ? 2 : 1
        return bytes.withUnsafeBytes { raw in
            raw.baseAddress.map { Int(zoo_count_nonfinite($0, code, elementCount * parts)) } ?? 0
        }
    }
}
