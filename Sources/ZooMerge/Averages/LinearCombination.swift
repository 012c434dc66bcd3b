import CZooKernels
import ZooBase
import ZooTensor

/// Σ wᵢ θᵢ over checkpoints, tensor by tensor, computed when it is read.
///
/// Uniform and weighted means, SWA, LAWA, EMA and WiSE-FT are all this with their own weights (`AverageWeights`).
/// Floating-point tensors are combined in one pass over all inputs: float32 accumulation while every input is
/// float32 or narrower, float64 where one is float64, rounded once, to nearest even, to the output type. Tensors of
/// integers and truth values are never computed with: equal ones are copied, different ones come from the first
/// input, with a warning, or are refused.
public struct LinearCombination: ChunkedTensorSource {
    /// What to do with tensors that some inputs lack.
    public enum Pairing: String, Sendable, CaseIterable {
        /// Every input must have every tensor.
        case strict
        /// A tensor is combined over the inputs that have it, their weights scaled to the original sum.
        case union
        /// Only tensors that all inputs have.
        case intersection
    }

    /// Options beyond the weights.
    public struct Options: Sendable {
        /// What to do with tensors that some inputs lack.
        public var pairing: Pairing = .strict
        /// The output type of floating-point tensors; nil keeps each tensor's type in the first input.
        public var dtype: DType?
        /// Weights of single tensors by name, one per input, instead of the common ones (learned soups).
        public var tensorWeights: [String: [Double]] = [:]
        /// Refuse integer tensors that differ between inputs instead of taking the first input's.
        public var strictBuffers = false

        /// The defaults.
        public init() {}
    }

    /// The tensors of the result, in the order of the first input.
    public let tensorInfos: [TensorInfo]
    /// The weights in the order of the inputs.
    public let weights: [Double]
    private let inputs: [any TensorSource]
    private let names: [String]
    private let strictBuffers: Bool
    private let tensorWeights: [String: [Double]]
    private let plans: [String: Plan]

    /// How one tensor of the result is made.
    private struct Plan: Sendable {
        var info: TensorInfo
        /// The inputs that have it.
        var members: [Int]
    }

    /// Pairs the tensors of all inputs by name and checks shapes.
    ///
    /// - Parameters:
    ///   - inputs: the checkpoints.
    ///   - names: how to call each of them in messages.
    ///   - weights: one per input.
    /// - Throws: `mismatch` that lists, together, every tensor that is missing somewhere or has another shape.
    public init(_ inputs: [any TensorSource], names: [String], weights: [Double], options: Options = Options()) throws {
        precondition(inputs.count == weights.count && inputs.count == names.count)
        guard let first = inputs.first else { throw ZooError(.usage, "nothing to average: no checkpoint was given") }
        var pairing = TensorPairing(first.tensorInfos)
        for (index, input) in inputs.enumerated().dropFirst() { pairing.add(input.tensorInfos, index: index) }
        let rows = try pairing.resolve(names: names, pairing: options.pairing)
        var plans: [String: Plan] = [:]
        tensorInfos = rows.map { row in
            var info = row.info
            if info.dtype.isFloatingPoint, let dtype = options.dtype { info.dtype = dtype }
            plans[info.name] = Plan(info: info, members: row.members)
            return info
        }
        self.plans = plans
        self.inputs = inputs
        self.names = names
        self.weights = weights
        strictBuffers = options.strictBuffers
        tensorWeights = options.tensorWeights
        precondition(tensorWeights.values.allSatisfy { $0.count == inputs.count })
    }

    /// Prepares one tensor: opens it in every input.
    ///
    /// - Throws: `notFound`, `mismatch` for differing integer tensors under `strictBuffers`, and what inputs throw.
    public func elements(of name: String) throws -> any ElementRun {
        guard let plan = plans[name] else { throw ZooError(.notFound, "no tensor '\(name)'") }
        let tensors = try plan.members.map { index in
            try ZooError.locate(names[index]) { try inputs[index].tensor(named: name) }
        }
        guard plan.info.dtype.isFloatingPoint else { return try buffer(tensors, plan) }
        let weights = tensorWeights[name] ?? weights
        var used = plan.members.map { weights[$0] }
        if used.count < weights.count {
            let whole = weights.reduce(0, +), part = used.reduce(0, +)
            guard part != 0 else {
                throw ZooError(.numeric, "tensor '\(name)': the weights of the inputs that have it sum to zero")
            }
            used = used.map { $0 * whole / part }
        }
        return try WeightedRun(tensors, weights: used, info: plan.info, names: plan.members.map { names[$0] })
    }

    /// Whether an integer tensor differs between the inputs (and so comes from the first).
    public func differingBuffers() throws -> [String] {
        try tensorInfos.filter { !$0.dtype.isFloatingPoint }.compactMap { info in
            guard let plan = plans[info.name] else { return nil }
            let tensors = try plan.members.map { try inputs[$0].tensor(named: info.name) }
            return tensors.dropFirst().allSatisfy { $0.isIdentical(to: tensors[0]) } ? nil : info.name
        }
    }

    private func buffer(_ tensors: [Tensor], _ plan: Plan) throws -> any ElementRun {
        if strictBuffers {
            for (position, tensor) in tensors.enumerated().dropFirst() where !tensor.isIdentical(to: tensors[0]) {
                throw ZooError(
                    .mismatch,
                    "tensor '\(plan.info.name)' of \(plan.info.dtype.rawValue) differs between "
                        + "\(names[plan.members[0]]) and \(names[plan.members[position]])",
                    hint: "leave out --strict-buffers to take the first input's")
            }
        }
        return StoredElementRun(tensors[0], name: plan.info.name)
    }
}

/// One tensor of a linear combination.
struct WeightedRun: ElementRun {
    let info: TensorInfo
    private let tensors: [Tensor]
    private let weights: [Double]
    private let codes: [Int32]
    private let names: [String]
    private let inDouble: Bool

    init(_ tensors: [Tensor], weights: [Double], info: TensorInfo, names: [String]) throws {
        self.info = info
        self.weights = weights
        self.names = names
        // Types without a kernel (8-bit floats) are widened first; they are small.
        self.tensors = tensors.map { KernelType($0.dtype) == nil ? $0.converted(to: .float32) : $0 }
        codes = self.tensors.compactMap { KernelType($0.dtype)?.rawValue }
        inDouble = self.tensors.contains { $0.dtype == .float64 }
    }

    func compute(_ range: Range<Int>, into output: UnsafeMutableRawBufferPointer) throws {
        guard let target = output.baseAddress, !range.isEmpty else { return }
        guard let type = KernelType(info.dtype) else { return try computeNarrow(range, into: output) }
        try withInputs(range) { pointers in
            combine(pointers, range.count, target, type)
        }
        try checkFinite(range, UnsafeRawPointer(target), type)
    }

    func release(_ range: Range<Int>) {
        for tensor in tensors {
            let size = tensor.dtype.byteCount
            (try? tensor.bytes.slice(range.lowerBound * size, range.count * size))?.releasePages()
        }
    }

    private func combine(
        _ pointers: [UnsafeRawPointer?], _ count: Int, _ target: UnsafeMutableRawPointer, _ type: KernelType
    ) {
        zoo_weighted_sum(pointers, codes, weights, pointers.count, count, target, type.rawValue, inDouble)
    }

    private func withInputs(_ range: Range<Int>, _ body: ([UnsafeRawPointer?]) throws -> Void) throws {
        let slices = try tensors.map { tensor in
            try tensor.bytes.slice(range.lowerBound * tensor.dtype.byteCount, range.count * tensor.dtype.byteCount)
        }
        // `slices` keep the memory alive until the end of the call.
        try withExtendedLifetime(slices) { try body(slices.map { $0.withUnsafeBytes(\.baseAddress) }) }
    }

    private func computeNarrow(_ range: Range<Int>, into output: UnsafeMutableRawBufferPointer) throws {
        var wide = [Float](repeating: 0, count: range.count)
        try withInputs(range) { pointers in
            wide.withUnsafeMutableBytes { raw in
                guard let base = raw.baseAddress else { return }
                combine(pointers, range.count, base, .float32)
            }
        }
        let narrow = Tensor(wide, shape: [range.count]).converted(to: info.dtype)
        narrow.bytes.withUnsafeBytes { output.copyMemory(from: $0) }
    }

    /// A result that is not finite although all inputs were (an overflow to half precision) is an error; one that
    /// inherits a NaN is not.
    private func checkFinite(_ range: Range<Int>, _ target: UnsafeRawPointer, _ type: KernelType) throws {
        guard zoo_count_nonfinite(target, type.rawValue, range.count) > 0 else { return }
        try withInputs(range) { pointers in
            for (pointer, code) in zip(pointers, codes) where zoo_count_nonfinite(pointer, code, range.count) > 0 {
                return
            }
            throw ZooError(
                .numeric, "tensor '\(info.name)': the average leaves the range of \(info.dtype.rawValue)",
                hint: "choose a wider type with --dtype")
        }
    }
}
