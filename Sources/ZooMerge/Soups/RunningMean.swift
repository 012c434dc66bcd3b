import CZooKernels
import ZooBase
import ZooTensor

/// The mean of the checkpoints accepted so far, kept as a sum in double precision.
///
/// A candidate is `(sum + θ) / (n + 1)`, so what is already summed is never read again, and the mean does not depend
/// on how often it was scaled on the way.
public struct RunningMean: Sendable {
    /// Checkpoints in the sum.
    public private(set) var count = 0
    private var sums: [String: Tensor] = [:]
    private var infos: [TensorInfo] = []
    private var buffers: [String: Tensor] = [:]

    /// An empty sum.
    public init() {}

    /// Adds a checkpoint.
    ///
    /// - Throws: `mismatch` when its tensors are not those of the first; what reading it throws.
    public mutating func add(_ source: any TensorSource) throws {
        if count == 0 {
            infos = source.tensorInfos
            for info in infos {
                let tensor = try source.tensor(named: info.name)
                if info.dtype.isFloatingPoint {
                    sums[info.name] = tensor.converted(to: .float64)
                } else {
                    buffers[info.name] = tensor
                }
            }
        } else {
            try check(source)
            for info in infos where info.dtype.isFloatingPoint {
                sums[info.name] = try combined(info, source, scale: 1, as: .float64)
            }
        }
        count += 1
    }

    /// The mean in float32: of the sum alone, or with one more checkpoint. Integer tensors are the first checkpoint's.
    ///
    /// - Throws: `mismatch` when the tensors differ; what reading throws.
    public func mean(adding candidate: (any TensorSource)? = nil) throws -> StateDict {
        guard count > 0 else { throw ZooError(.usage, "the mean of no checkpoint") }
        if let candidate { try check(candidate) }
        let scale = 1 / Double(count + (candidate == nil ? 0 : 1))
        var state = StateDict()
        for info in infos {
            state[info.name] =
                info.dtype.isFloatingPoint
                ? try combined(info, candidate, scale: scale, as: .float32) : buffers[info.name]
        }
        return state
    }

    private func check(_ source: any TensorSource) throws {
        var pairing = TensorPairing(infos)
        pairing.add(source.tensorInfos, index: 1)
        _ = try pairing.resolve(names: ["the soup", "the candidate"], pairing: .strict)
    }

    /// scale · (sum + tensor) of one name, rounded once.
    private func combined(
        _ info: TensorInfo, _ source: (any TensorSource)?, scale: Double, as dtype: DType
    ) throws -> Tensor {
        guard let sum = sums[info.name], let type = KernelType(dtype) else {
            throw ZooError(.internal, "no sum of '\(info.name)'")
        }
        var tensors = [sum]
        if let source { tensors.append(try source.tensor(named: info.name)) }
        let known = tensors.map { KernelType($0.dtype) == nil ? $0.converted(to: .float32) : $0 }
        let codes = known.compactMap { KernelType($0.dtype)?.rawValue }
        let count = info.shape.elementCount
        var bytes = [UInt8](repeating: 0, count: count * dtype.byteCount)
        withExtendedLifetime(known) {
            let pointers = known.map { $0.bytes.withUnsafeBytes(\.baseAddress) }
            bytes.withUnsafeMutableBytes { raw in
                guard let target = raw.baseAddress else { return }
                let scales = [Double](repeating: scale, count: pointers.count)
                zoo_weighted_sum(pointers, codes, scales, pointers.count, count, target, type.rawValue, true)
            }
        }
        return try Tensor(shape: info.shape, dtype: dtype, bytes: bytes.withUnsafeBytes { Bytes(copying: $0) })
    }
}
