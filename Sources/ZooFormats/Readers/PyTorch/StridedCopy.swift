import ZooTensor

/// Gathers a strided view into row-major order.
enum StridedCopy {
    /// Whether strides (in elements) describe the row-major layout; axes of extent one do not count, and a view
    /// without elements is row-major.
    static func isRowMajor(_ dimensions: [Int], _ strides: [Int]) -> Bool {
        if dimensions.contains(0) { return true }
        var expected = 1
        for axis in dimensions.indices.reversed() where dimensions[axis] != 1 {
            if strides[axis] != expected { return false }
            expected *= dimensions[axis]
        }
        return true
    }

    /// Copies the elements at `source + Σ index·stride` to `target` in row-major order.
    ///
    /// Precondition: every index of the view lies inside the memory behind `source`, and `target` has room.
    static func gather(
        _ source: UnsafeRawPointer, dimensions: [Int], strides: [Int], elementByteCount: Int,
        into target: UnsafeMutableRawPointer
    ) {
        let axes = coalesced(dimensions, strides)
        guard !axes.contains(where: { $0.extent == 0 }) else { return }
        let inner = axes.last ?? (1, 1)
        let outer = axes.dropLast()
        var index = [Int](repeating: 0, count: outer.count)
        var read = 0, written = 0
        while true {
            copyRow(source + read * elementByteCount, inner, elementByteCount, target + written * elementByteCount)
            written += inner.extent
            var axis = outer.count - 1
            while axis >= 0 {
                index[axis] += 1
                read += outer[axis].stride
                if index[axis] < outer[axis].extent { break }
                read -= outer[axis].stride * outer[axis].extent
                index[axis] = 0
                axis -= 1
            }
            if axis < 0 { return }
        }
    }

    /// The view with axes of extent one dropped and neighbours merged where one continues the other.
    private static func coalesced(_ dimensions: [Int], _ strides: [Int]) -> [(extent: Int, stride: Int)] {
        var axes: [(extent: Int, stride: Int)] = []
        for (extent, stride) in zip(dimensions, strides) where extent != 1 {
            if let last = axes.last, last.stride == stride * extent {
                axes[axes.count - 1] = (last.extent * extent, stride)
            } else {
                axes.append((extent, stride))
            }
        }
        return axes
    }

    private static func copyRow(
        _ source: UnsafeRawPointer, _ axis: (extent: Int, stride: Int), _ byteCount: Int,
        _ target: UnsafeMutableRawPointer
    ) {
        func spread<T: BitwiseCopyable>(_: T.Type) {
            let step = axis.stride * byteCount
            for index in 0..<axis.extent {
                let element = source.loadUnaligned(fromByteOffset: index * step, as: T.self)
                target.storeBytes(of: element, toByteOffset: index * byteCount, as: T.self)
            }
        }
        if axis.stride == 1 {
            target.copyMemory(from: source, byteCount: axis.extent * byteCount)
            return
        }
        switch byteCount {
        case 1: spread(UInt8.self)
        case 2: spread(UInt16.self)
        case 4: spread(UInt32.self)
        case 8: spread(UInt64.self)
        default: spread(SIMD2<UInt64>.self)
        }
    }

    /// Reverses the bytes of every component (a complex number has two).
    static func swapBytes(_ buffer: UnsafeMutableRawBufferPointer, _ type: DType) {
        let width = componentByteCount(type)
        guard width > 1 else { return }
        for start in stride(from: 0, to: buffer.count - width + 1, by: width) {
            buffer[start..<start + width].reverse()
        }
    }

    /// Negates floating-point components by their sign bits: all of them, or only the imaginary ones. Little-endian.
    static func negate(_ buffer: UnsafeMutableRawBufferPointer, _ type: DType, onlyImaginary: Bool) {
        let width = componentByteCount(type)
        let first = onlyImaginary ? width : 0
        let step = onlyImaginary ? 2 * width : width
        for start in stride(from: first, to: buffer.count - width + 1, by: step) {
            buffer[start + width - 1] ^= 0x80
        }
    }

    private static func componentByteCount(_ type: DType) -> Int {
        switch type {
        case .complex64, .complex128: type.byteCount / 2
        default: type.byteCount
        }
    }
}
