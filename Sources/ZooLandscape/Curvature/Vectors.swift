import ZooBase

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// ln.
enum NaturalLogarithm {
    static func of(_ x: Double) -> Double { log(x) }
}

/// Vectors in double precision. Long ones are worked on in blocks by several threads; blocks are added in order.
enum Vectors {
    /// From this length on vectors are long.
    static let longLength = 1 << 17
    /// Numbers of a block: it stays in the second cache.
    static let blockLength = 1 << 15

    /// Σ aᵢ bᵢ, of short vectors in running sums: one alone would wait for every addition.
    static func dot(_ a: [Double], _ b: [Double], jobs: Int = 1) -> Double {
        precondition(a.count == b.count)
        return a.withUnsafeBufferPointer { x in
            b.withUnsafeBufferPointer { y in
                x.count < longLength ? shortDot(x, y) : longDot(x, y, jobs)
            }
        }
    }

    private static func shortDot(_ x: UnsafeBufferPointer<Double>, _ y: UnsafeBufferPointer<Double>) -> Double {
        var sums = SIMD8<Double>.zero
        let whole = x.count - x.count % 8
        for start in stride(from: 0, to: whole, by: 8) {
            var p = SIMD8<Double>.zero, q = SIMD8<Double>.zero
            for lane in 0..<8 {
                p[lane] = x[start + lane]
                q[lane] = y[start + lane]
            }
            sums += p * q
        }
        var total = sums.sum()
        for place in whole..<x.count { total += x[place] * y[place] }
        return total
    }

    private static func longDot(
        _ x: UnsafeBufferPointer<Double>, _ y: UnsafeBufferPointer<Double>, _ jobs: Int
    ) -> Double {
        nonisolated(unsafe) let x = x
        nonisolated(unsafe) let y = y
        let blocks = (x.count + blockLength - 1) / blockLength
        var parts = [Double](repeating: 0, count: blocks)
        parts.withUnsafeMutableBufferPointer { parts in
            nonisolated(unsafe) let parts = parts
            inBlocks(of: x.count, jobs: jobs) { block, range in
                let (a, b) = (UnsafeBufferPointer(rebasing: x[range]), UnsafeBufferPointer(rebasing: y[range]))
                parts[block] = shortDot(a, b)
            }
        }
        return parts.reduce(0, +)
    }

    static func norm(_ a: [Double], jobs: Int = 1) -> Double { dot(a, a, jobs: jobs).squareRoot() }

    /// y += scale · x.
    static func add(_ scale: Double, _ x: [Double], to y: inout [Double]) {
        precondition(x.count == y.count)
        x.withUnsafeBufferPointer { x in
            y.withUnsafeMutableBufferPointer { y in
                for place in 0..<x.count { y[place] += scale * x[place] }
            }
        }
    }

    static func scaled(_ a: [Double], _ factor: Double) -> [Double] { a.map { $0 * factor } }

    /// a *= factor, in place.
    static func scale(_ a: inout [Double], _ factor: Double, jobs: Int = 1) {
        a.withUnsafeMutableBufferPointer { a in
            nonisolated(unsafe) let a = a
            inBlocks(of: a.count, jobs: jobs) { _, range in
                for place in range { a[place] *= factor }
            }
        }
    }

    /// a of length one; unchanged when it is zero.
    static func normalised(_ a: [Double]) -> [Double] {
        let length = norm(a)
        return length > 0 ? scaled(a, 1 / length) : a
    }

    /// a of length one, in place; unchanged when it is zero. Returns the length that it had.
    @discardableResult
    static func normalise(_ a: inout [Double], jobs: Int = 1) -> Double {
        let length = norm(a, jobs: jobs)
        if length > 0 { scale(&a, 1 / length, jobs: jobs) }
        return length
    }

    /// Whether no number is infinite or NaN: none has all bits of the exponent set.
    static func isFinite(_ a: [Double]) -> Bool {
        let exponent: UInt64 = 0x7FF0_0000_0000_0000
        return a.withUnsafeBufferPointer { a in
            var broken: UInt64 = 0
            for number in a { broken += number.bitPattern & exponent == exponent ? 1 : 0 }
            return broken == 0
        }
    }

    /// Calls `body` with the blocks that a number of elements make; short vectors are one block of their own thread.
    static func inBlocks(of count: Int, jobs: Int, _ body: @Sendable (Int, Range<Int>) -> Void) {
        guard count >= longLength else { return body(0, 0..<count) }
        let blocks = (count + blockLength - 1) / blockLength
        Parallel.perform(count: blocks, jobs: jobs) { block in
            body(block, block * blockLength..<min((block + 1) * blockLength, count))
        }
    }
}
