import ZooTensor

/// A loop nest over arrays with strides: axes of extent one dropped, axes that continue each other merged.
struct StridedLoop: Sendable {
    /// Extents, outermost first; never empty.
    private(set) var extents: [Int]
    /// For each array the stride of every extent.
    private(set) var strides: [[Int]]

    init(extents: [Int], strides: [[Int]]) {
        var merged: [Int] = []
        var kept = strides.map { _ in [Int]() }
        for axis in extents.indices where extents[axis] != 1 {
            let continues =
                !merged.isEmpty
                && strides.indices.allSatisfy { array in
                    kept[array][merged.count - 1] == strides[array][axis] * extents[axis]
                }
            if continues {
                merged[merged.count - 1] *= extents[axis]
                for array in strides.indices { kept[array][merged.count - 1] = strides[array][axis] }
            } else {
                merged.append(extents[axis])
                for array in strides.indices { kept[array].append(strides[array][axis]) }
            }
        }
        self.extents = merged.isEmpty ? [1] : merged
        self.strides = merged.isEmpty ? strides.map { _ in [0] } : kept
    }

    /// Offsets of each array at all positions of the outer axes, for kernels that run over the last `depth` axes.
    func offsets(leaving depth: Int) -> [[Int]] {
        let outer = max(0, extents.count - depth)
        return strides.map { steps in
            var offsets = [0]
            for axis in 0..<outer {
                offsets = offsets.flatMap { base in (0..<extents[axis]).map { base + $0 * steps[axis] } }
            }
            return offsets
        }
    }

    /// The extent of an axis counted from the innermost, one where there is none.
    func extent(fromInnermost depth: Int) -> Int {
        depth < extents.count ? extents[extents.count - 1 - depth] : 1
    }

    /// The stride of an array along an axis counted from the innermost.
    func stride(_ array: Int, fromInnermost depth: Int) -> Int {
        depth < extents.count ? strides[array][extents.count - 1 - depth] : 0
    }
}

/// Strides that repeat extents of one (and missing ones) over a shape.
func repeatingStrides(_ shape: Shape, over target: Shape) -> [Int] {
    let own = shape.rowMajorStrides
    let lead = target.rank - shape.rank
    return (0..<target.rank).map { axis in axis < lead || shape[axis - lead] == 1 ? 0 : own[axis - lead] }
}

extension Kernels {
    /// Copies between strided arrays: broadcast, transpose, slice, pad and concatenate are all this.
    static func copy(
        _ loop: StridedLoop, from source: Int, offset sourceOffset: Int, to target: Int, offset targetOffset: Int,
        clearing cleared: Int = 0
    ) -> Kernel {
        let inner = loop.extent(fromInnermost: 0), middle = loop.extent(fromInnermost: 1)
        let innerSource = loop.stride(0, fromInnermost: 0), innerTarget = loop.stride(1, fromInnermost: 0)
        let middleSource = loop.stride(0, fromInnermost: 1), middleTarget = loop.stride(1, fromInnermost: 1)
        let offsets = loop.offsets(leaving: 2)
        return { buffers, _ in
            let x: UnsafePointer<S> = buffers.reals(source) + sourceOffset
            let y: UnsafeMutablePointer<S> = buffers.output(target)
            if cleared > 0 { y.update(repeating: 0, count: cleared) }
            for place in offsets[0].indices {
                for row in 0..<middle {
                    let from = x + offsets[0][place] + row * middleSource
                    let to = y + targetOffset + offsets[1][place] + row * middleTarget
                    copyRow(from, innerSource, to, innerTarget, inner)
                }
            }
        }
    }

    @inline(__always)
    private static func copyRow(
        _ from: UnsafePointer<S>, _ fromStride: Int, _ to: UnsafeMutablePointer<S>, _ toStride: Int, _ count: Int
    ) {
        if toStride == 1, fromStride == 1 {
            to.update(from: from, count: count)
        } else if toStride == 1, fromStride == 0 {
            to.update(repeating: from[0], count: count)
        } else {
            for index in 0..<count { to[index * toStride] = from[index * fromStride] }
        }
    }

    static func move(_ site: Site) -> Kernel {
        let x = site.operands[0], from = site.operandShapes[0], to = site.shape
        let own = from.rowMajorStrides, target = to.rowMajorStrides
        switch site.operation {
        case .transpose(let order):
            let loop = StridedLoop(extents: to.dimensions, strides: [order.map { own[$0] }, target])
            return copy(loop, from: x, offset: 0, to: site.output, offset: 0)
        case .slice(let starts):
            let offset = zip(starts, own).map { $0 * $1 }.reduce(0, +)
            let loop = StridedLoop(extents: to.dimensions, strides: [own, target])
            return copy(loop, from: x, offset: offset, to: site.output, offset: 0)
        case .pad(let starts):
            let offset = zip(starts, target).map { $0 * $1 }.reduce(0, +)
            let loop = StridedLoop(extents: from.dimensions, strides: [own, target])
            return copy(loop, from: x, offset: 0, to: site.output, offset: offset, clearing: to.elementCount)
        default:
            let loop = StridedLoop(extents: to.dimensions, strides: [repeatingStrides(from, over: to), target])
            return copy(loop, from: x, offset: 0, to: site.output, offset: 0)
        }
    }

    static func concatenate(_ site: Site, _ axis: Int) -> Kernel {
        let target = site.shape.rowMajorStrides
        var start = 0
        let parts = site.operands.indices.map { place in
            let shape = site.operandShapes[place]
            let loop = StridedLoop(extents: shape.dimensions, strides: [shape.rowMajorStrides, target])
            defer { start += shape[axis] }
            return copy(loop, from: site.operands[place], offset: 0, to: site.output, offset: start * target[axis])
        }
        return { buffers, scratch in for part in parts { part(buffers, scratch) } }
    }
}
