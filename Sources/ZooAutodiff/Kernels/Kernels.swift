import CZooBLAS
import ZooTensor

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// The generic kernels: plain loops that say what each primitive means. Float64 programs run on nothing else and are
/// the truth that the fast kernels are tested against.
enum Kernels<S: KernelScalar> {
    /// Lowers an instruction. Fused operations are Float32's alone and never come here.
    static func lower(_ site: Site) -> Lowered {
        switch site.operation {
        case .unary(let function): Lowered(kernel: unary(function, site))
        case .binary(let function): Lowered(kernel: binary(function, site))
        case .sum(let axes): Lowered(kernel: sum(axes, site))
        case .broadcast, .transpose, .slice, .pad: Lowered(kernel: move(site))
        case .concatenate(let axis): Lowered(kernel: concatenate(site, axis))
        case .matmul(let form): Lowered(usesBLAS: true, kernel: matmul(form, site))
        case .convolution(let face, let form): convolution(face, form, site)
        case .windowSum(let windows): Lowered(kernel: windowSum(windows, site, spreading: false))
        case .windowSpread(let windows): Lowered(kernel: windowSum(windows, site, spreading: true))
        case .windowArgmax(let windows): Lowered(kernel: windowArgmax(windows, site))
        case .windowTake(let windows): Lowered(kernel: windowTake(windows, site, adding: false))
        case .windowPut(let windows): Lowered(kernel: windowTake(windows, site, adding: true))
        case .argmax(let axis): Lowered(kernel: argmax(axis, site))
        case .take(let axis): Lowered(kernel: take(axis, site, adding: false))
        case .put(let axis): Lowered(kernel: take(axis, site, adding: true))
        case .gatherRows: Lowered(kernel: rows(site, adding: false))
        case .scatterRows: Lowered(kernel: rows(site, adding: true))
        case .softmax(let axis): Lowered(kernel: softmax(axis, normalising: true, site))
        case .logSumExp(let axis): Lowered(kernel: softmax(axis, normalising: false, site))
        case .agree: Lowered(kernel: agree(site))
        case .input, .fill, .constant, .reshape, .fused: Lowered { _, _ in }
        }
    }
}

extension Double: KernelScalar {
    static func special(_: Site) -> Lowered? { nil }
    static func exponential(_ x: Double) -> Double { exp(x) }
    static func logarithm(_ x: Double) -> Double { log(x) }
    static func gemm(
        _ transposeA: Bool, _ transposeB: Bool, _ rows: Int, _ columns: Int, _ depth: Int,
        _ a: UnsafePointer<Double>, _ strideA: Int, _ b: UnsafePointer<Double>, _ strideB: Int,
        _ beta: Double, _ c: UnsafeMutablePointer<Double>, _ strideC: Int
    ) {
        zoo_dgemm(
            transposeA ? 1 : 0, transposeB ? 1 : 0, Int32(rows), Int32(columns), Int32(depth), a, Int32(strideA), b,
            Int32(strideB), beta, c, Int32(strideC))
    }
}

extension Float: KernelScalar {
    static func special(_ site: Site) -> Lowered? { FloatKernels.lower(site) }
    static func exponential(_ x: Float) -> Float { exp(x) }
    static func logarithm(_ x: Float) -> Float { log(x) }
    static func gemm(
        _ transposeA: Bool, _ transposeB: Bool, _ rows: Int, _ columns: Int, _ depth: Int,
        _ a: UnsafePointer<Float>, _ strideA: Int, _ b: UnsafePointer<Float>, _ strideB: Int,
        _ beta: Float, _ c: UnsafeMutablePointer<Float>, _ strideC: Int
    ) {
        zoo_sgemm(
            transposeA ? 1 : 0, transposeB ? 1 : 0, Int32(rows), Int32(columns), Int32(depth), a, Int32(strideA), b,
            Int32(strideB), beta, c, Int32(strideC))
    }
}
