import ZooBase
import ZooTensor

/// θ₀ + Σᵢ Λᵢ τᵢ, computed when it is read: applying, adding and negating task vectors (one coefficient each), and
/// composing them with learned ones.
///
/// Integer tensors are the base's. Terms whose coefficient is zero are left out, so a scale of zero gives the base to
/// the bit. Elements are computed in float32 (float64 where the base is) and rounded once to the base's type.
public struct DisplacedModel: ChunkedTensorSource {
    /// The tensors of the base.
    public let tensorInfos: [TensorInfo]
    private let base: any TensorSource
    private let operands: [TaskOperand]
    private let coefficients: @Sendable (TensorInfo, Int) -> [Double]
    private let partition: PartitionHash?
    private let infos: [String: TensorInfo]

    /// One coefficient per operand, the same for all tensors but those that stay with the base.
    ///
    /// - Parameter keeping: names of tensors that stay with the base.
    public init(
        base: any TensorSource, operands: [TaskOperand], scales: [Double], keeping: Set<String> = [],
        dtype: DType? = nil
    ) {
        precondition(operands.count == scales.count)
        self.init(base: base, operands: operands, dtype: dtype, partition: nil) { info, vector in
            [keeping.contains(info.name) ? 0 : scales[vector]]
        }
    }

    /// Block-wise coefficients as they were learned.
    ///
    /// - Parameters:
    ///   - values: `[vectors, groups, K]`, flat.
    ///   - buffers: tensors that are not trained.
    public init(
        base: any TensorSource, operands: [TaskOperand], values: [Double], groups: CoefficientGroups,
        buffers: Set<String>, partition: PartitionHash? = nil, dtype: DType? = nil
    ) {
        let parts = partition?.count ?? 1, length = groups.names.count * parts
        precondition(values.count == operands.count * length)
        self.init(base: base, operands: operands, dtype: dtype, partition: partition) { info, vector in
            groups.coefficients(
                of: info.name, isBuffer: buffers.contains(info.name),
                row: values[vector * length..<(vector + 1) * length], parts: parts)
        }
    }

    private init(
        base: any TensorSource, operands: [TaskOperand], dtype: DType?, partition: PartitionHash?,
        _ coefficients: @escaping @Sendable (TensorInfo, Int) -> [Double]
    ) {
        self.base = base
        self.operands = operands
        self.partition = partition
        self.coefficients = coefficients
        let infos = base.tensorInfos
        tensorInfos = infos.map { info in
            TensorInfo(
                name: info.name, dtype: info.dtype.isFloatingPoint ? dtype ?? info.dtype : info.dtype, shape: info.shape
            )
        }
        self.infos = Dictionary(tensorInfos.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    }

    /// One tensor.
    ///
    /// - Throws: `notFound`; what reading throws; `numeric` from its runs when a result leaves the range of its type.
    public func elements(of name: String) throws -> any ElementRun {
        guard let info = infos[name] else { throw ZooError(.notFound, "no tensor '\(name)'") }
        let start = try base.tensor(named: name)
        guard info.dtype.isFloatingPoint else { return StoredElementRun(start, name: name) }
        let original = TensorInfo(name: name, dtype: start.dtype, shape: start.shape)
        var members: [(Int, VectorBlock)] = [], own: [[Double]] = []
        for (place, operand) in operands.enumerated() {
            let values = coefficients(original, place)
            guard values.contains(where: { $0 != 0 }), let block = try operand.block(original) else { continue }
            members.append((place, block))
            own.append(values)
        }
        if members.isEmpty, info.dtype == start.dtype { return StoredElementRun(start, name: name) }
        let composer = BlockComposer(info: original, base: start, members: members, partition: partition)
        return DisplacedRun(info: info, composer: composer, coefficients: own)
    }
}

/// One tensor of a displaced model.
private struct DisplacedRun: ElementRun {
    let info: TensorInfo
    let composer: BlockComposer
    let coefficients: [[Double]]

    func compute(_ range: Range<Int>, into output: UnsafeMutableRawBufferPointer) throws {
        guard let target = output.baseAddress, !range.isEmpty else { return }
        if composer.base.dtype == .float64 || info.dtype == .float64 {
            try compute(range, target, Double.self)
        } else {
            try compute(range, target, Float.self)
        }
    }

    private func compute<Scalar: CoefficientScalar>(
        _ range: Range<Int>, _ target: UnsafeMutableRawPointer, _: Scalar.Type
    ) throws {
        let scratch = RunScratch<Scalar>(composer.members.count, length: min(range.count, BlockComposer.runLength))
        let size = info.dtype.byteCount
        for start in stride(from: range.lowerBound, to: range.upperBound, by: BlockComposer.runLength) {
            let run = start..<min(range.upperBound, start + BlockComposer.runLength)
            let place = target + (start - range.lowerBound) * size
            if let type = KernelType(info.dtype) {
                try composer.compose(run, coefficients, scratch: scratch, into: place, type: type)
            } else {
                let wide = ScalarBlock<Float>(sizes: [run.count])
                try composer.compose(run, coefficients, scratch: scratch, into: wide.pointers[0], type: .float32)
                let narrow = Tensor(
                    Array(UnsafeBufferPointer(start: wide.pointers[0], count: run.count)), shape: [run.count]
                ).converted(to: info.dtype)
                narrow.bytes.withUnsafeBytes { bytes in
                    if let source = bytes.baseAddress { place.copyMemory(from: source, byteCount: bytes.count) }
                }
            }
        }
    }

    func release(_ range: Range<Int>) { composer.release(range) }
}
