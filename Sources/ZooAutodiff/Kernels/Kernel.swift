import ZooTensor

/// The element types programs run in.
public protocol EngineScalar: BinaryFloatingPoint, Sendable {}
extension Float: EngineScalar {}
extension Double: EngineScalar {}

/// One lowered operation: reads and writes buffers by their numbers. The second argument is scratch memory.
typealias Kernel = @Sendable (_ buffers: Buffers, _ scratch: UnsafeMutableRawPointer) -> Void

/// The addresses of all buffers of an executor.
typealias Buffers = UnsafePointer<UnsafeMutableRawPointer>

/// A kernel and the scratch memory it needs.
struct Lowered {
    var scratchBytes = 0
    /// Whether it calls the library of matrix products.
    var usesBLAS = false
    let kernel: Kernel
}

/// An instruction where it is to be lowered: buffer numbers and shapes in place of value numbers.
struct Site: Sendable {
    let operation: Operation
    let operands: [Int]
    let operandShapes: [Shape]
    let output: Int
    let shape: Shape
}

/// What the generic kernels need of a scalar beyond its arithmetic.
protocol KernelScalar: EngineScalar {
    /// C = op(A) op(B) + beta C, row-major with the given row lengths.
    static func gemm(
        _ transposeA: Bool, _ transposeB: Bool, _ rows: Int, _ columns: Int, _ depth: Int,
        _ a: UnsafePointer<Self>, _ strideA: Int, _ b: UnsafePointer<Self>, _ strideB: Int,
        _ beta: Self, _ c: UnsafeMutablePointer<Self>, _ strideC: Int)
    /// A kernel for this scalar alone, where one is better than the generic one.
    static func special(_ site: Site) -> Lowered?
    /// eˣ.
    static func exponential(_ x: Self) -> Self
    /// Natural logarithm.
    static func logarithm(_ x: Self) -> Self
}

extension Buffers {
    @inline(__always)
    func reals<S>(_ buffer: Int, _: S.Type = S.self) -> UnsafePointer<S> {
        UnsafePointer<S>(self[buffer].assumingMemoryBound(to: S.self))
    }

    @inline(__always)
    func output<S>(_ buffer: Int, _: S.Type = S.self) -> UnsafeMutablePointer<S> {
        self[buffer].assumingMemoryBound(to: S.self)
    }
}

extension Shape {
    /// Products of the extents before, at and after an axis.
    func split(_ axis: Int) -> (outer: Int, extent: Int, inner: Int) {
        (dimensions[..<axis].reduce(1, *), dimensions[axis], dimensions[(axis + 1)...].reduce(1, *))
    }
}
