import CZooKernels
import ZooBase
import ZooTensor

/// Lengths of task vectors and angles between them, per tensor and in all, in one streamed pass.
public struct VectorGeometry: Sendable {
    /// One tensor.
    public struct Block: Sendable {
        /// Its name.
        public var name: String
        /// ‖θ₀‖ on it.
        public var baseNorm: Double
        /// ⟨τᵢ, τⱼ⟩ on it, `[vectors, vectors]`.
        public var gram: [Double]
    }

    /// The tensors in the order of the base.
    public let blocks: [Block]
    /// Task vectors.
    public let count: Int

    /// Reads everything once.
    ///
    /// - Throws: what reading throws; `interrupted`.
    public init(base: any TensorSource, operands: [TaskOperand], jobs: Int = 1) throws {
        let infos = base.tensorInfos.filter(\.dtype.isFloatingPoint)
        count = operands.count
        blocks = try Parallel.map(count: infos.count, jobs: jobs) { place in
            try Self.block(infos[place], base, operands)
        }
    }

    private static func block(_ info: TensorInfo, _ base: any TensorSource, _ operands: [TaskOperand]) throws -> Block {
        let n = operands.count
        var members: [(Int, VectorBlock)] = []
        for (place, operand) in operands.enumerated() {
            if let block = try operand.block(info) { members.append((place, block)) }
        }
        let composer = BlockComposer(
            info: info, base: try base.tensor(named: info.name), members: members, partition: nil)
        let scratch = RunScratch<Double>(members.count, length: min(info.shape.elementCount, BlockComposer.runLength))
        var block = Block(name: info.name, baseNorm: 0, gram: [Double](repeating: 0, count: n * n))
        let code = KernelType(composer.base.dtype)?.rawValue ?? 0
        for range in BlockComposer.runs(info.shape.elementCount) {
            try composer.base.run(range).withUnsafeBytes { raw in
                block.baseNorm += zoo_vector_dot(raw.baseAddress, code, raw.baseAddress, code, range.count)
            }
            for (slot, member) in composer.members.enumerated() {
                try member.block.withRun(range, base: composer.base, scratch: scratch.run(slot)) { raw, type in
                    if raw != UnsafeRawPointer(scratch.run(slot)) {
                        zoo_convert(raw, type, range.count, scratch.run(slot), KernelType.float64.rawValue)
                    }
                }
            }
            let wide = KernelType.float64.rawValue
            for (a, first) in members.enumerated() {
                for (b, second) in members.enumerated() where b >= a {
                    let dot = zoo_vector_dot(scratch.run(a), wide, scratch.run(b), wide, range.count)
                    block.gram[first.0 * n + second.0] += dot
                    if a != b { block.gram[second.0 * n + first.0] += dot }
                }
            }
            composer.release(range)
        }
        block.baseNorm = block.baseNorm.squareRoot()
        return block
    }

    private func total(_ a: Int, _ b: Int) -> Double { blocks.reduce(0) { $0 + $1.gram[a * count + b] } }

    /// ‖θ₀‖.
    public var baseNorm: Double { blocks.reduce(0) { $0 + $1.baseNorm * $1.baseNorm }.squareRoot() }

    /// ‖τ‖ of every vector.
    public var norms: [Double] { (0..<count).map { total($0, $0).squareRoot() } }

    /// ‖τ‖ of a vector on a block.
    public func norm(_ vector: Int, _ block: Block) -> Double { block.gram[vector * count + vector].squareRoot() }

    /// Cosines `[vectors][vectors]`; NaN where a vector is zero.
    public var cosines: [[Double]] {
        let norms = norms
        return (0..<count).map { a in
            (0..<count).map { b in
                a == b && norms[a] > 0 ? 1 : norms[a] > 0 && norms[b] > 0 ? total(a, b) / (norms[a] * norms[b]) : .nan
            }
        }
    }

    /// The mean |cosine| of different vectors; nil for fewer than two.
    public var meanAbsoluteCosine: Double? {
        let values = cosines.enumerated().flatMap { i, row in row.enumerated().filter { $0.offset > i }.map(\.element) }
            .filter { !$0.isNaN }
        return values.isEmpty ? nil : values.reduce(0) { $0 + abs($1) } / Double(values.count)
    }
}
