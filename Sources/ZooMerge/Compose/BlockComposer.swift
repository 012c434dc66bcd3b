import CZooKernels
import ZooBase
import ZooTensor

/// One tensor of θ = θ₀ + Σᵢ λᵢ ∘ τᵢ (arXiv 2407.02880, equation 2), and the products ⟨G, τᵢ⟩ that are its gradient.
///
/// Elements are computed in the order of the operands, so a run's values do not depend on how the tensor is cut.
struct BlockComposer: Sendable {
    let info: TensorInfo
    let base: Tensor
    /// The operands that move the tensor: their places among all, and their numbers.
    let members: [(place: Int, block: VectorBlock)]
    /// The parts of elements; nil when there is one.
    let partition: PartitionHash?
    private let key: UInt64

    /// Elements of a run: whole blocks of the sums.
    static let runLength = 16 * Int(ZOO_BLOCK)

    init(info: TensorInfo, base: Tensor, members: [(Int, VectorBlock)], partition: PartitionHash?) {
        self.info = info
        self.base = KernelType(base.dtype) == nil ? base.converted(to: .float32) : base
        self.members = members.map { (place: $0.0, block: $0.1) }
        self.partition = partition.flatMap { $0.count > 1 ? $0 : nil }
        key = partition?.key(info) ?? 0
    }

    /// The runs of the tensor.
    static func runs(_ count: Int) -> [Range<Int>] {
        stride(from: 0, to: count, by: runLength).map { $0..<min(count, $0 + runLength) }
    }

    /// Writes a run of θ.
    ///
    /// - Parameter coefficients: for each member one, or one per part.
    func compose<Scalar: CoefficientScalar>(
        _ range: Range<Int>, _ coefficients: [[Double]], scratch: RunScratch<Scalar>,
        into output: UnsafeMutableRawPointer,
        type: KernelType
    ) throws {
        var pointers: [UnsafeRawPointer?] = [], codes: [Int32] = [], weights: [Double] = []
        var kept: [Bytes] = []
        let start = try base.run(range)
        kept.append(start)
        pointers.append(start.withUnsafeBytes(\.baseAddress))
        codes.append(KernelType(base.dtype)?.rawValue ?? 0)
        weights.append(1)
        let count = range.count
        for (slot, member) in members.enumerated() {
            let own = coefficients[slot]
            // Terms of zero are left out: θ₀ stays what it is to the bit.
            guard own.contains(where: { $0 != 0 }) else { continue }
            let target = scratch.run(slot)
            try member.block.withRun(range, base: base, scratch: target) { raw, code in
                if let partition, own.count > 1 {
                    zoo_convert(raw, code, count, target, Scalar.kernelType.rawValue)
                    for index in 0..<count {
                        target[index] *= Scalar(own[partition.part(key, range.lowerBound + index)])
                    }
                    pointers.append(UnsafeRawPointer(target))
                    codes.append(Scalar.kernelType.rawValue)
                    weights.append(1)
                } else {
                    // Pointers into tensors stay valid: the members own them.
                    pointers.append(raw)
                    codes.append(code)
                    weights.append(own[0])
                }
            }
        }
        withExtendedLifetime(kept) {
            zoo_weighted_sum(
                pointers, codes, weights, pointers.count, count, output, type.rawValue, Scalar.dtype == .float64)
        }
    }

    /// ⟨G, mask ∘ τ⟩ of a run for every member: one number, or one per part.
    func products<Scalar: CoefficientScalar>(
        _ range: Range<Int>, _ gradient: UnsafePointer<Scalar>, scratch: RunScratch<Scalar>, parts: Int
    ) throws -> [Double] {
        var sums = [Double](repeating: 0, count: members.count * parts)
        let own = Scalar.kernelType.rawValue, count = range.count
        let part = gradient + range.lowerBound
        for (slot, member) in members.enumerated() {
            if case .lowRank(let factors) = member.block.form, partition == nil {
                // Rows are not cut: the first run takes the whole product.
                if range.lowerBound == 0 { sums[slot * parts] = factors.inner(gradient) }
                continue
            }
            let target = scratch.run(slot)
            try member.block.withRun(range, base: base, scratch: target) { raw, code in
                guard let partition else {
                    sums[slot * parts] = zoo_vector_dot(part, own, raw, code, count)
                    return
                }
                zoo_convert(raw, code, count, target, own)
                for index in 0..<count {
                    sums[slot * parts + partition.part(key, range.lowerBound + index)] +=
                        Double(part[index]) * Double(target[index])
                }
            }
        }
        return sums
    }

    /// Lets mapped pages of a run leave memory.
    func release(_ range: Range<Int>) {
        (try? base.run(range))?.releasePages()
        for member in members { member.block.release(range) }
    }
}

/// Memory for runs of operands that are computed, one per operand.
final class RunScratch<Scalar: CoefficientScalar> {
    private let block: ScalarBlock<Scalar>

    init(_ operands: Int, length: Int = BlockComposer.runLength) {
        block = ScalarBlock(sizes: [Int](repeating: length, count: max(1, operands)))
    }

    func run(_ slot: Int) -> UnsafeMutablePointer<Scalar> { block.pointers[slot] }
}
