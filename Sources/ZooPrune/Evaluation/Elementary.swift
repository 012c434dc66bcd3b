#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Functions of the C library under names that do not depend on the platform.
enum Functions {
    static func log2(_ x: Double) -> Double { log(x) / log(2) }
    static func exp2(_ x: Double) -> Double { pow(2, x) }
    static func exponential(_ x: Double) -> Double { exp(x) }
    static func logarithm(_ x: Double) -> Double { log(x) }
}
