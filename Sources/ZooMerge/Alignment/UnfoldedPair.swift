import CZooKernels
import ZooBase
import ZooTensor

/// One tensor of both networks with one of its axes in front: `[units, everything else]` in single precision.
struct UnfoldedPair: Sendable {
    typealias Move = (space: Int, axis: Int, blockLength: Int)

    /// Which tensor.
    let tensor: Int
    /// The axis in front, and the space that moves it.
    let move: Move
    /// Elements behind one unit.
    let depth: Int
    let a: FloatPlane
    let b: FloatPlane
    /// The moves of the other axes, as they lie in the unfolded tensor: `runs` times `units` pieces of `piece` elements.
    private let others: [(space: Int, runs: Int, units: Int, piece: Int)]

    /// Elements of the permuted tensor.
    var movedCount: Int { b.count }

    /// A pair for each move of a tensor. Axes in front already share the tensor's own memory.
    static func all(_ a: Tensor, _ b: Tensor, moves: [Move], tensor: Int) -> [UnfoldedPair] {
        let x = FloatPlane(a), y = FloatPlane(b)
        return moves.map { UnfoldedPair(x, y, a.shape.dimensions, $0, moves, tensor) }
    }

    private init(_ a: FloatPlane, _ b: FloatPlane, _ shape: [Int], _ move: Move, _ moves: [Move], _ tensor: Int) {
        self.tensor = tensor
        self.move = move
        let outer = shape.prefix(move.axis).reduce(1, *)
        let inner = shape.dropFirst(move.axis + 1).reduce(1, *) * move.blockLength
        let units = shape[move.axis] / move.blockLength
        depth = outer * inner
        self.a = a.unfolded(outer: outer, units: units, inner: inner)
        self.b = b.unfolded(outer: outer, units: units, inner: inner)
        others = moves.filter { $0.axis != move.axis }.map { other in
            let count = shape[other.axis] / other.blockLength
            let behind = shape.dropFirst(other.axis + 1).reduce(1, *) * other.blockLength
            // An axis before the one in front has lost it from behind.
            let piece = other.axis < move.axis ? behind / units : behind
            let total = outer * units * inner
            return (other.space, count * piece > 0 ? total / (count * piece) : 0, count, piece)
        }
    }

    /// Writes B with all its axes but the front one permuted.
    func move(_ orders: [[Int]], into output: UnsafeMutablePointer<Float>) {
        let moving = others.filter { other in orders[other.space].enumerated().contains { $0.offset != $0.element } }
        guard let first = moving.first else {
            b.withPointer { output.update(from: $0, count: movedCount) }
            return
        }
        b.withPointer { Self.gather($0, output, first, orders[first.space]) }
        for other in moving.dropFirst() {
            let copy = [Float](UnsafeBufferPointer(start: output, count: movedCount))
            copy.withUnsafeBufferPointer { copy in
                guard let copy = copy.baseAddress else { return }
                Self.gather(copy, output, other, orders[other.space])
            }
        }
    }

    private static func gather(
        _ input: UnsafePointer<Float>, _ output: UnsafeMutablePointer<Float>,
        _ other: (space: Int, runs: Int, units: Int, piece: Int), _ order: [Int]
    ) {
        order.withUnsafeBufferPointer { order in
            let length = other.units * other.piece
            for run in 0..<other.runs {
                let from = input + run * length, to = output + run * length
                if other.piece == 1 {
                    for unit in 0..<other.units { to[unit] = from[order[unit]] }
                } else {
                    for unit in 0..<other.units {
                        (to + unit * other.piece).update(from: from + order[unit] * other.piece, count: other.piece)
                    }
                }
            }
        }
    }

    /// ⟨A, P(B)⟩ of this tensor, in double precision.
    func inner(_ orders: [[Int]]) -> Double {
        let room = MatchingArena(movedCount)
        move(orders, into: room.base)
        let order = orders[move.space], type = KernelType.float32.rawValue
        return a.withPointer { a in
            order.indices.reduce(0) {
                $0 + zoo_vector_dot(a + $1 * depth, type, room.base + order[$1] * depth, type, depth)
            }
        }
    }
}

/// Numbers in single precision: a tensor's own memory where it is aligned float32, else a copy.
struct FloatPlane: Sendable {
    private let bytes: Bytes
    let count: Int

    init(_ tensor: Tensor) {
        let floats = tensor.converted(to: .float32)
        let isAligned = floats.bytes.withUnsafeBytes {
            Int(bitPattern: $0.baseAddress) % MemoryLayout<Float>.alignment == 0
        }
        bytes = isAligned ? floats.bytes : floats.bytes.withUnsafeBytes { Bytes(copying: $0) }
        count = tensor.elementCount
    }

    private init(_ bytes: Bytes, count: Int) {
        self.bytes = bytes
        self.count = count
    }

    func withPointer<R>(_ body: (UnsafePointer<Float>) throws -> R) rethrows -> R {
        try bytes.withUnsafeBytes { raw in
            // An empty tensor has no address.
            var nothing: Float = 0
            guard let base = raw.baseAddress else { return try withUnsafePointer(to: &nothing) { try body($0) } }
            return try body(base.assumingMemoryBound(to: Float.self))
        }
    }

    /// `[outer, units, inner]` as `[units, outer, inner]`.
    func unfolded(outer: Int, units: Int, inner: Int) -> FloatPlane {
        guard outer > 1, units > 1, count > 0 else { return self }
        let moved = Bytes(byteCount: count * MemoryLayout<Float>.stride) { output in
            guard let to = output.baseAddress?.assumingMemoryBound(to: Float.self) else { return 0 }
            withPointer { from in
                for row in 0..<outer {
                    for unit in 0..<units {
                        (to + (unit * outer + row) * inner).update(
                            from: from + (row * units + unit) * inner, count: inner)
                    }
                }
            }
            return output.count
        }
        return FloatPlane(moved, count: count)
    }
}
