import ZooAutodiff
import ZooTensor

/// The arithmetic in which networks are composed: Float32 for use, Float64 as the reference.
package protocol CoefficientScalar: EngineScalar {
    static var kernelType: KernelType { get }
    static var dtype: DType { get }
    static func compile(_ program: Program) -> CompiledProgram<Self>
}

extension Float: CoefficientScalar {
    package static var kernelType: KernelType { .float32 }
    package static var dtype: DType { .float32 }
    package static func compile(_ program: Program) -> CompiledProgram<Float> { program.compiled() }
}

extension Double: CoefficientScalar {
    package static var kernelType: KernelType { .float64 }
    package static var dtype: DType { .float64 }
    package static func compile(_ program: Program) -> CompiledProgram<Double> { program.compiledReference() }
}

/// Arrays in one block of memory, each at the start of a cache line.
///
/// `@unchecked Sendable`: whoever holds it decides who writes which part.
package final class ScalarBlock<Scalar>: @unchecked Sendable {
    package let pointers: [UnsafeMutablePointer<Scalar>]
    package let sizes: [Int]
    /// Bytes in all.
    package let byteCount: Int
    private let block: UnsafeMutablePointer<Scalar>

    /// Arrays of the given sizes, undefined.
    package init(sizes: [Int]) {
        let line = max(1, 64 / MemoryLayout<Scalar>.stride)
        var starts: [Int] = [], total = 0
        for size in sizes {
            starts.append(total)
            total += (size + line - 1) / line * line
        }
        byteCount = max(total, line) * MemoryLayout<Scalar>.stride
        let block = UnsafeMutableRawPointer.allocate(byteCount: byteCount, alignment: 64)
            .bindMemory(to: Scalar.self, capacity: max(total, line))
        self.block = block
        self.sizes = sizes
        pointers = starts.map { block + $0 }
    }

    deinit { block.deallocate() }
}
