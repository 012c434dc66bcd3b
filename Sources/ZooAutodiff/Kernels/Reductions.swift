import ZooTensor

extension Kernels {
    /// Sums over axes. Axes of one kind that follow each other are merged; the last group is either summed in one go
    /// or added as a row.
    static func sum(_ axes: [Int], _ site: Site) -> Kernel {
        let from = site.operandShapes[0]
        let reduced = (0..<from.rank).map { axes.contains($0) || site.shape[$0] != from[$0] }
        let kept = site.shape.rowMajorStrides.enumerated().map { reduced[$0] ? 0 : $1 }
        let loop = StridedLoop(extents: from.dimensions, strides: [from.rowMajorStrides, kept])
        let inner = loop.extent(fromInnermost: 0), step = loop.stride(1, fromInnermost: 0)
        let targets = loop.offsets(leaving: 1)[1]
        let (operand, output, count) = (site.operands[0], site.output, site.shape.elementCount)
        return { buffers, _ in
            var x: UnsafePointer<S> = buffers.reals(operand)
            let y: UnsafeMutablePointer<S> = buffers.output(output)
            y.update(repeating: 0, count: count)
            for target in targets {
                if step == 0 {
                    y[target] += total(x, inner)
                } else {
                    let row = y + target
                    for index in 0..<inner { row[index] += x[index] }
                }
                x += inner
            }
        }
    }

    /// A sum in sixteen interleaved parts, blocks of 4096 at a time: fast, and the error grows slowly.
    @inline(__always)
    static func total(_ x: UnsafePointer<S>, _ count: Int) -> S {
        var sum: S = 0
        var start = 0
        while start < count {
            let block = min(4096, count - start)
            sum += partial(x + start, block)
            start += block
        }
        return sum
    }

    @inline(__always)
    private static func partial(_ x: UnsafePointer<S>, _ count: Int) -> S {
        var a: S = 0, b: S = 0, c: S = 0, d: S = 0, e: S = 0, f: S = 0, g: S = 0, h: S = 0
        let whole = count & ~7
        for index in stride(from: 0, to: whole, by: 8) {
            a += x[index]
            b += x[index + 1]
            c += x[index + 2]
            d += x[index + 3]
            e += x[index + 4]
            f += x[index + 5]
            g += x[index + 6]
            h += x[index + 7]
        }
        for index in whole..<count { a += x[index] }
        return ((a + b) + (c + d)) + ((e + f) + (g + h))
    }

    /// Softmax and log-sum-exp along an axis; `normalising` picks the former.
    static func softmax(_ axis: Int, normalising: Bool, _ site: Site) -> Kernel {
        let (outer, extent, inner) = site.operandShapes[0].split(axis)
        let (operand, output) = (site.operands[0], site.output)
        return { buffers, _ in
            let x: UnsafePointer<S> = buffers.reals(operand)
            let y: UnsafeMutablePointer<S> = buffers.output(output)
            for block in 0..<outer {
                for column in 0..<inner {
                    let x = x + block * extent * inner + column
                    var largest = -S.infinity
                    for index in 0..<extent { largest = Swift.max(largest, x[index * inner]) }
                    // All −∞ (a row that a mask hides) must not become ∞ − ∞.
                    let shift = largest == -S.infinity ? 0 : largest
                    var total: S = 0
                    if normalising {
                        let y = y + block * extent * inner + column
                        for index in 0..<extent {
                            let power = S.exponential(x[index * inner] - shift)
                            y[index * inner] = power
                            total += power
                        }
                        let scale = total == 0 ? 0 : 1 / total
                        for index in 0..<extent { y[index * inner] *= scale }
                    } else {
                        for index in 0..<extent { total += S.exponential(x[index * inner] - shift) }
                        y[block * inner + column] = S.logarithm(total) + shift
                    }
                }
            }
        }
    }
}
