import CZooKernels
import Synchronization
import ZooBase
import ZooTensor

/// The result of a plan: tensors that are merged when they are read, piece by piece.
public struct MergedModel: ChunkedTensorSource {
    /// The plan.
    public let plan: MergePlan
    /// The tensors of the result.
    public let tensorInfos: [TensorInfo]
    /// Elements of inputs that are not finite, counted as the tensors are computed.
    public let nonFinite = NonFiniteCounts()
    private let positions: [String: Int]
    private let trims: ModelTrims

    /// The result of a plan without problems.
    ///
    /// - Throws: `mismatch` with the plan's problems.
    public init(_ plan: MergePlan) throws {
        if let failure = plan.failure { throw failure }
        self.plan = plan
        trims = ModelTrims(plan)
        tensorInfos = plan.tensors.map(\.call.info)
        positions = Dictionary(uniqueKeysWithValues: tensorInfos.enumerated().map { ($1.name, $0) })
    }

    /// One tensor, its inputs opened; reductions run when it is prepared or first computed.
    public func elements(of name: String) throws -> any ElementRun {
        guard let position = positions[name] else { throw ZooError(.notFound, "no tensor '\(name)'") }
        let planned = plan.tensors[position]
        guard planned.call.info.dtype.isFloatingPoint else { return try buffer(planned, plan.tensors(of: planned)) }
        return MergeRun(
            planned.call, try kernel(planned), try plan.stack(of: planned), method: plan.method.name,
            labels: planned.origins.map { plan.inputs[$0.input].label },
            counts: nonFinite, failsOnNonFinite: plan.options.failsOnNonFinite)
    }

    private func kernel(_ planned: MergePlan.PlannedTensor) throws -> any MergeKernel {
        let usual = { () throws -> any MergeKernel in
            let kernel = try plan.method.kernel(planned.call)
            guard ModelTrims.applies(to: planned.call), var family = kernel as? TaskVectorMerge else { return kernel }
            let others = planned.call.others
            family.threshold = { [trims] position, jobs in
                try trims.threshold(
                    planned.call.info.name, input: planned.call.members[others[position]].model, jobs: jobs)
            }
            return family
        }
        return try planned.statistic?.kernel(usual) ?? usual()
    }

    private func buffer(_ planned: MergePlan.PlannedTensor, _ tensors: [Tensor]) throws -> any ElementRun {
        let donor = planned.call.base ?? 0
        if plan.options.strictBuffers, let odd = tensors.firstIndex(where: { !$0.isIdentical(to: tensors[donor]) }) {
            throw planned.call.fault(
                .mismatch,
                "\(planned.call.info.dtype.rawValue) elements differ between \(planned.call.members[donor].label) and "
                    + planned.call.members[odd].label,
                hint: "leave out --strict-buffers to take the base's")
        }
        return StoredElementRun(tensors[donor], name: planned.call.info.name)
    }

    /// Integer tensors that differ between the models, and so come from the base or the first model.
    public func differingBuffers() throws -> [String] {
        try plan.tensors.filter { !$0.call.info.dtype.isFloatingPoint }.compactMap { planned in
            let tensors = try planned.origins.map { try plan.inputs[$0.input].source.tensor(named: $0.name) }
            return tensors.dropFirst().allSatisfy { $0.isIdentical(to: tensors[0]) } ? nil : planned.call.info.name
        }
    }
}

extension MergePlan {
    /// The inputs of one tensor, opened.
    func tensors(of planned: PlannedTensor) throws -> [Tensor] {
        try planned.origins.map { origin in
            try ZooError.locate(inputs[origin.input].label) {
                let tensor = try inputs[origin.input].source.tensor(named: origin.name)
                return planned.rows == nil ? try Self.cut(tensor, planned.call.info) : tensor
            }
        }
    }

    /// The inputs of one tensor, ready to be merged.
    func stack(of planned: PlannedTensor) throws -> TensorStack {
        TensorStack(try tensors(of: planned), workingType: recipe.workingType, rows: planned.rows)
    }

    /// The first rows of an embedding that is longer than the result's.
    private static func cut(_ tensor: Tensor, _ info: TensorInfo) throws -> Tensor {
        guard tensor.shape != info.shape else { return tensor }
        let count = info.shape.elementCount * tensor.dtype.byteCount
        return try Tensor(shape: info.shape, dtype: tensor.dtype, bytes: tensor.bytes.slice(0, count))
    }
}

/// One tensor of a merge.
final class MergeRun: ElementRun {
    let info: TensorInfo
    private let call: MergeCall
    private let kernel: any MergeKernel
    private let stack: TensorStack
    private let method: String
    private let labels: [String]
    private let counts: NonFiniteCounts
    private let failsOnNonFinite: Bool
    private let prepared = Mutex<(any PreparedMerge)?>(nil)

    init(
        _ call: MergeCall, _ kernel: any MergeKernel, _ stack: TensorStack, method: String, labels: [String],
        counts: NonFiniteCounts, failsOnNonFinite: Bool
    ) {
        info = call.info
        self.call = call
        self.kernel = kernel
        self.stack = stack
        self.method = method
        self.labels = labels
        self.counts = counts
        self.failsOnNonFinite = failsOnNonFinite
    }

    func prepare(jobs: Int) throws {
        _ = try settled(jobs: jobs)
    }

    private func settled(jobs: Int) throws -> any PreparedMerge {
        try prepared.withLock { known in
            if let known { return known }
            let made = try ZooError.locate("tensor '\(info.name)'") {
                try stack.prepare(jobs: jobs)
                return try kernel.prepare(stack, jobs: jobs)
            }
            known = made
            return made
        }
    }

    func compute(_ range: Range<Int>, into output: UnsafeMutableRawBufferPointer) throws {
        guard let target = output.baseAddress, !range.isEmpty else { return }
        let merge = try settled(jobs: 1)
        let inputsAreFinite = try count(range)
        guard let type = KernelType(info.dtype) else { return try computeNarrow(merge, range, output) }
        try merge.apply(range, stack, into: target, type: type)
        guard inputsAreFinite, zoo_count_nonfinite(target, type.rawValue, range.count) > 0 else { return }
        throw call.fault(
            .numeric, "\(method) leaves the range of \(info.dtype.rawValue) although all inputs are finite",
            hint: "choose a wider out_dtype")
    }

    /// Counts the elements of the inputs that are not finite.
    ///
    /// - Returns: whether there are none.
    private func count(_ range: Range<Int>) throws -> Bool {
        let found = try stack.nonFiniteCounts(range)
        for (index, count) in found.enumerated() where count > 0 {
            guard !failsOnNonFinite else {
                throw call.fault(
                    .numeric, "\(labels[index]) has elements that are NaN or infinite",
                    hint: "leave out --fail-on-nonfinite to merge them all the same")
            }
            counts.add(count, .init(tensor: info.name, model: labels[index]))
        }
        return !found.contains { $0 > 0 }
    }

    /// 8-bit types are written through float32.
    private func computeNarrow(
        _ merge: any PreparedMerge, _ range: Range<Int>, _ output: UnsafeMutableRawBufferPointer
    ) throws {
        var wide = [Float](repeating: 0, count: range.count)
        try wide.withUnsafeMutableBytes { raw in
            guard let base = raw.baseAddress else { return }
            try merge.apply(range, stack, into: base, type: .float32)
        }
        Tensor(wide, shape: [range.count]).converted(to: info.dtype).bytes.withUnsafeBytes {
            output.copyMemory(from: $0)
        }
    }

    func release(_ range: Range<Int>) { stack.release(range) }
}
