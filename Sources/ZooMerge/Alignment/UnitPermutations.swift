import ZooBase
import ZooNN
import ZooTensor

/// One permutation per space of an architecture: the units of one network in the order of another's.
public struct UnitPermutations: Sendable, Hashable {
    /// The spaces.
    public let spaces: [PermutationSpaces.Space]
    /// For each space, which unit stands at each place: the permuted network's unit i is the network's unit `orders[s][i]`.
    public var orders: [[Int]]

    /// Nothing moves.
    public init(identityOf spaces: [PermutationSpaces.Space]) {
        self.spaces = spaces
        orders = spaces.map { Array(0..<$0.unitCount) }
    }

    /// Random permutations: a network that computes the same with other weights.
    public init(shuffled spaces: [PermutationSpaces.Space], using generator: inout some RandomNumberGenerator) {
        self.spaces = spaces
        orders = spaces.map { Array(0..<$0.unitCount).shuffled(using: &generator) }
    }

    /// The axes of each tensor that move, and by which space. An axis is listed once, counted from the front.
    static func moves(
        _ spaces: [PermutationSpaces.Space], _ shapes: [String: Shape]
    ) -> [String: [(space: Int, axis: Int, blockLength: Int)]] {
        var moves: [String: [(space: Int, axis: Int, blockLength: Int)]] = [:]
        for (place, space) in spaces.enumerated() {
            for axis in space.axes {
                guard let shape = shapes[axis.tensor] else { continue }
                let number = axis.axis < 0 ? shape.rank + axis.axis : axis.axis
                // A tied tensor is read by two nodes, its axis named by both.
                if moves[axis.tensor]?.contains(where: { $0.axis == number }) == true { continue }
                moves[axis.tensor, default: []].append((place, number, axis.blockLength))
            }
        }
        return moves
    }

    /// The network with its units moved.
    ///
    /// - Throws: `mismatch` when a tensor has another extent than the space.
    public func apply(to source: any TensorSource) throws -> PermutedSource { try PermutedSource(source, self) }
}

/// A checkpoint whose units are moved when a tensor is read.
public struct PermutedSource: TensorSource {
    /// The tensors of the checkpoint.
    public let tensorInfos: [TensorInfo]
    private let source: any TensorSource
    private let orders: [[Int]]
    private let moves: [String: [(space: Int, axis: Int, blockLength: Int)]]

    init(_ source: any TensorSource, _ permutations: UnitPermutations) throws {
        tensorInfos = source.tensorInfos
        self.source = source
        orders = permutations.orders
        let shapes = Dictionary(tensorInfos.map { ($0.name, $0.shape) }, uniquingKeysWith: { first, _ in first })
        moves = UnitPermutations.moves(permutations.spaces, shapes)
        for (name, list) in moves {
            for move in list where shapes[name]?[move.axis] != orders[move.space].count * move.blockLength {
                throw ZooError(
                    .mismatch,
                    "axis \(move.axis) of '\(name)' has \(shapes[name]?[move.axis] ?? 0) elements, "
                        + "\(orders[move.space].count) units of \(move.blockLength) move along it")
            }
        }
    }

    /// One tensor with its axes permuted.
    public func tensor(named name: String) throws -> Tensor {
        let tensor = try source.tensor(named: name)
        guard let list = moves[name] else { return tensor }
        var bytes = tensor.bytes
        for move in list {
            bytes = Self.permuted(
                bytes, tensor.shape, width: tensor.dtype.byteCount, axis: move.axis, block: move.blockLength,
                orders[move.space])
        }
        return try Tensor(shape: tensor.shape, dtype: tensor.dtype, bytes: bytes)
    }

    private static func permuted(
        _ bytes: Bytes, _ shape: Shape, width: Int, axis: Int, block: Int, _ order: [Int]
    ) -> Bytes {
        let inner = shape.dimensions.dropFirst(axis + 1).reduce(1, *) * block * width
        let outer = shape.dimensions.prefix(axis).reduce(1, *)
        return Bytes(byteCount: bytes.count) { output in
            bytes.withUnsafeBytes { input in
                guard let from = input.baseAddress, let to = output.baseAddress else { return }
                for row in 0..<outer {
                    let start = row * order.count * inner
                    for (place, unit) in order.enumerated() {
                        (to + start + place * inner).copyMemory(from: from + start + unit * inner, byteCount: inner)
                    }
                }
            }
            return bytes.count
        }
    }
}
