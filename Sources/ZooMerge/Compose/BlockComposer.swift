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

    /// Elements of a run: whole blocks of the sums, few enough that the runs of eight vectors stay in the second cache.
    static let runLength = 4 * Int(ZOO_BLOCK)

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
        let parts = coefficients.contains { $0.count > 1 } ? parts(range) : []
        for (slot, member) in members.enumerated() {
            let own = coefficients[slot]
            // Terms of zero are left out: θ₀ stays what it is to the bit.
            guard own.contains(where: { $0 != 0 }) else { continue }
            let target = scratch.run(slot)
            try member.block.withRun(range, base: base, scratch: target) { raw, code in
                if partition != nil, own.count > 1 {
                    zoo_convert(raw, code, count, target, Scalar.kernelType.rawValue)
                    for index in 0..<count { target[index] *= Scalar(own[Int(parts[index])]) }
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

    /// The part of each element of a run.
    private func parts(_ range: Range<Int>) -> [UInt32] {
        guard let partition else { return [] }
        return range.map { UInt32(partition.part(key, $0)) }
    }

    /// ⟨G, mask ∘ τ⟩ of a run for every member: one number, or one per part.
    ///
    /// - Parameter gradients: arrays whose sum is G, of the whole tensor.
    func products<Scalar: CoefficientScalar>(
        _ range: Range<Int>, _ gradients: [UnsafePointer<Scalar>], scratch: RunScratch<Scalar>, parts: Int
    ) throws -> [Double] {
        var sums = [Double](repeating: 0, count: members.count * parts)
        let own = Scalar.kernelType.rawValue, count = range.count
        let gradient = Self.sum(gradients, range, scratch.gradient)
        let places = partition == nil ? [] : self.parts(range)
        var pointers: [UnsafeRawPointer?] = [], codes: [Int32] = [], slots: [Int] = []
        for (slot, member) in members.enumerated() {
            if case .lowRank(let factors) = member.block.form, partition == nil {
                // Rows are not cut: the first run takes the whole product.
                if range.lowerBound == 0 { sums[slot * parts] = gradients.reduce(0) { $0 + factors.inner($1) } }
                continue
            }
            let target = scratch.run(slot)
            try member.block.withRun(range, base: base, scratch: target) { raw, code in
                guard partition != nil else {
                    // Pointers into tensors stay valid: the members own them.
                    pointers.append(raw)
                    codes.append(code)
                    slots.append(slot)
                    return
                }
                zoo_convert(raw, code, count, target, own)
                for index in 0..<count {
                    sums[slot * parts + Int(places[index])] += Double(gradient[index]) * Double(target[index])
                }
            }
        }
        var dots = [Double](repeating: 0, count: slots.count)
        zoo_vector_dots(gradient, own, pointers, codes, slots.count, count, &dots)
        for (slot, dot) in zip(slots, dots) { sums[slot * parts] = dot }
        return sums
    }

    /// The sum of arrays on a range: in place where there is one.
    private static func sum<Scalar: CoefficientScalar>(
        _ arrays: [UnsafePointer<Scalar>], _ range: Range<Int>, _ scratch: UnsafeMutablePointer<Scalar>
    ) -> UnsafePointer<Scalar> {
        guard arrays.count > 1 else { return arrays[0] + range.lowerBound }
        let type = Scalar.kernelType.rawValue
        zoo_weighted_sum(
            arrays.map { UnsafeRawPointer($0 + range.lowerBound) }, arrays.map { _ in type }, arrays.map { _ in 1 },
            arrays.count, range.count, scratch, type, Scalar.dtype == .float64)
        return UnsafePointer(scratch)
    }

    /// Lets mapped pages of a run leave memory.
    func release(_ range: Range<Int>) {
        (try? base.run(range))?.releasePages()
        for member in members { member.block.release(range) }
    }
}

/// Memory for runs of operands that are computed, one per operand, and of gradients; taken when it is asked for.
final class RunScratch<Scalar: CoefficientScalar> {
    private let operands: Int
    private let length: Int
    private lazy var block = ScalarBlock<Scalar>(sizes: [Int](repeating: length, count: operands + 1))

    init(_ operands: Int, length: Int = BlockComposer.runLength) {
        self.operands = operands
        self.length = length
    }

    func run(_ slot: Int) -> UnsafeMutablePointer<Scalar> { block.pointers[slot] }

    /// For the sum of gradients.
    var gradient: UnsafeMutablePointer<Scalar> { block.pointers[operands] }
}
