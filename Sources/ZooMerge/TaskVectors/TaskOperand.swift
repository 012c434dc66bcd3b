import CZooKernels
import ZooBase
import ZooTensor

/// A task vector that a base is moved along: stored, or the difference of a fine-tuned network, or a LoRA adapter.
public struct TaskOperand: Sendable {
    /// What is at hand.
    public enum Form: Sendable {
        /// τ itself.
        case vector(any TensorSource)
        /// θ; τ = θ − θ₀ is computed block by block when it is needed.
        case fineTuned(any TensorSource)
        /// Factors of τ on some weights; zero elsewhere.
        case lowRank(LowRankAdapter)
    }

    /// The task.
    public let name: String
    /// What is at hand.
    public let form: Form
    /// What was ignored, in words.
    public let notes: [String]
    private let members: [String: String]

    /// Checks an operand against the base.
    ///
    /// - Parameter excluded: patterns of tensors that are none of the vector's business: heads that tasks have of their
    ///   own, which may have other shapes.
    /// - Throws: `mismatch` listing what does not fit.
    public init(
        _ name: String, _ form: Form, base: [TensorInfo], excluded: [String] = [], ignoresExtra: Bool = false,
        ignoresMissing: Bool = false
    ) throws {
        func isKept(_ info: TensorInfo) -> Bool { !excluded.contains { NamePattern.matches($0, info.name) } }
        let base = base.filter(isKept)
        self.name = name
        self.form = form
        switch form {
        case .lowRank(let adapter):
            members = try adapter.weights(of: base)
            notes = []
        case .vector(let source), .fineTuned(let source):
            // A vector may leave tensors out: heads, and integers, which it never has.
            var isVector = false
            if case .vector = form { isVector = true }
            let pairs = try TaskVectorPairing(
                base: base, other: source.tensorInfos.filter(isKept), names: ("the base", name),
                ignoresExtra: ignoresExtra,
                ignoresMissing: ignoresMissing || isVector)
            let shared = Dictionary(
                pairs.shared.filter(\.dtype.isFloatingPoint).map { ($0.name, $0.name) },
                uniquingKeysWith: { first, _ in first })
            let missing = base.filter { $0.dtype.isFloatingPoint && shared[$0.name] == nil }.count
            members = shared
            notes =
                !isVector
                ? pairs.notes : missing > 0 ? ["\(name) leaves out \(missing) tensors; the base's are kept"] : []
            guard !members.isEmpty else {
                throw ZooError(
                    .mismatch, "\(name) has no floating-point tensor of the base",
                    hint: "give task vectors or fine-tuned networks of this base")
            }
        }
    }

    /// Whether the operand moves a tensor at all.
    package func has(_ name: String) -> Bool { members[name] != nil }

    /// The operand on one tensor; nil where it leaves the base as it is.
    package func block(_ info: TensorInfo) throws -> VectorBlock? {
        guard let member = members[info.name] else { return nil }
        return try ZooError.locate(name) {
            switch form {
            case .vector(let source): VectorBlock(.stored(try Self.known(source.tensor(named: member))))
            case .fineTuned(let source): VectorBlock(.difference(try Self.known(source.tensor(named: member))))
            case .lowRank(let adapter): VectorBlock(.lowRank(try adapter.factors(of: member, weight: info)))
            }
        }
    }

    /// Types without a kernel (8-bit floats) are widened.
    private static func known(_ tensor: Tensor) -> Tensor {
        KernelType(tensor.dtype) == nil ? tensor.converted(to: .float32) : tensor
    }
}

/// One task vector on one tensor, read run by run.
package struct VectorBlock: Sendable {
    package enum Form: Sendable {
        case stored(Tensor)
        case difference(Tensor)
        case lowRank(LowRankFactors)
    }

    package let form: Form

    package init(_ form: Form) { self.form = form }

    /// Lends a run of τ with the code of its element type: in place where it is stored, else computed in `scratch`.
    func withRun<Scalar: CoefficientScalar, R>(
        _ range: Range<Int>, base: Tensor, scratch: UnsafeMutablePointer<Scalar>,
        _ body: (UnsafeRawPointer, Int32) throws -> R
    ) throws -> R {
        let own = Scalar.kernelType.rawValue
        switch form {
        case .stored(let tensor):
            let run = try tensor.run(range)
            return try run.withUnsafeBytes { raw in
                try body(raw.baseAddress ?? UnsafeRawPointer(scratch), KernelType(tensor.dtype)?.rawValue ?? own)
            }
        case .difference(let tensor):
            let after = try tensor.run(range), before = try base.run(range)
            withExtendedLifetime((after, before)) {
                zoo_weighted_sum(
                    [after.withUnsafeBytes(\.baseAddress), before.withUnsafeBytes(\.baseAddress)],
                    [KernelType(tensor.dtype)?.rawValue ?? own, KernelType(base.dtype)?.rawValue ?? own], [1, -1], 2,
                    range.count, scratch, own, false)
            }
            return try body(UnsafeRawPointer(scratch), own)
        case .lowRank(let factors):
            factors.fill(range, scratch)
            return try body(UnsafeRawPointer(scratch), own)
        }
    }

    /// Lets mapped pages of a run leave memory.
    func release(_ range: Range<Int>) {
        switch form {
        case .stored(let tensor), .difference(let tensor): (try? tensor.run(range))?.releasePages()
        case .lowRank: break
        }
    }

    /// Bytes of memory that the block takes when it is held as `Scalar`.
    func heldByteCount<Scalar: CoefficientScalar>(_ count: Int, as: Scalar.Type) -> Int {
        switch form {
        case .stored(let tensor): count * tensor.dtype.byteCount
        case .difference: count * MemoryLayout<Scalar>.stride
        case .lowRank(let factors): factors.byteCount
        }
    }

    /// The same block with its numbers in memory of its own.
    func held<Scalar: CoefficientScalar>(base: Tensor, as: Scalar.Type) throws -> VectorBlock {
        switch form {
        case .lowRank: return self
        case .stored(let tensor):
            let copy = tensor.bytes.withUnsafeBytes { Bytes(copying: $0) }
            return VectorBlock(.stored(try Tensor(shape: tensor.shape, dtype: tensor.dtype, bytes: copy)))
        case .difference(let tensor):
            let count = tensor.elementCount
            let scratch = ScalarBlock<Scalar>(sizes: [count])
            try withRun(0..<count, base: base, scratch: scratch.pointers[0]) { _, _ in }
            let bytes = Bytes(
                copying: UnsafeRawBufferPointer(start: scratch.pointers[0], count: count * MemoryLayout<Scalar>.stride))
            return VectorBlock(.stored(try Tensor(shape: tensor.shape, dtype: Scalar.dtype, bytes: bytes)))
        }
    }
}

extension Tensor {
    /// The bytes of a flat run of elements.
    func run(_ range: Range<Int>) throws -> Bytes {
        try bytes.slice(range.lowerBound * dtype.byteCount, range.count * dtype.byteCount)
    }
}
