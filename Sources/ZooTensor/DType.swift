/// The element type of a stored tensor. All are little-endian in memory.
public enum DType: String, Sendable, Hashable, CaseIterable, Codable {
    /// One byte, zero or one.
    case bool
    /// Unsigned 8-bit integer.
    case uint8
    /// Signed 8-bit integer.
    case int8
    /// Unsigned 16-bit integer.
    case uint16
    /// Signed 16-bit integer.
    case int16
    /// Unsigned 32-bit integer.
    case uint32
    /// Signed 32-bit integer.
    case int32
    /// Unsigned 64-bit integer.
    case uint64
    /// Signed 64-bit integer.
    case int64
    /// 8-bit float, 4 exponent bits, 3 of significand, no infinities.
    case float8E4M3 = "float8_e4m3fn"
    /// 8-bit float, 5 exponent bits, 2 of significand.
    case float8E5M2 = "float8_e5m2"
    /// IEEE 754 half precision.
    case float16
    /// The upper half of a single: 8 exponent bits, 7 of significand.
    case bfloat16
    /// IEEE 754 single precision.
    case float32
    /// IEEE 754 double precision.
    case float64
    /// Two singles, real and imaginary.
    case complex64
    /// Two doubles, real and imaginary.
    case complex128

    /// Bytes per element.
    public var byteCount: Int {
        switch self {
        case .bool, .uint8, .int8, .float8E4M3, .float8E5M2: 1
        case .uint16, .int16, .float16, .bfloat16: 2
        case .uint32, .int32, .float32: 4
        case .uint64, .int64, .float64, .complex64: 8
        case .complex128: 16
        }
    }

    /// Whether elements are real floating-point numbers: the ones that averaging, merging and norms are about.
    public var isFloatingPoint: Bool {
        switch self {
        case .float8E4M3, .float8E5M2, .float16, .bfloat16, .float32, .float64: true
        default: false
        }
    }

    /// Whether elements are integers or truth values.
    public var isInteger: Bool {
        switch self {
        case .bool, .uint8, .int8, .uint16, .int16, .uint32, .int32, .uint64, .int64: true
        default: false
        }
    }
}
