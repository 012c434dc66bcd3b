import ZooBase
import ZooTensor

/// The state of a training as a JSON header and tensors; where they are kept is the caller's affair.
extension EncoderTraining {
    /// What `state(header:tensors:)` reads.
    public func stored(_ state: State) -> (header: JSONObject, tensors: StateDict) {
        var header = JSONObject()
        header["training"] = .string(digest)
        header["step"] = .int(Int64(state.step))
        var tensors = StateDict()
        func add(_ prefix: String, _ values: [[Float]], _ parameters: LearnedParameters) {
            for (place, array) in values.enumerated() {
                tensors[prefix + parameters.names[place]] = Tensor(array, shape: parameters.shapes[place])
            }
        }
        let all = initialParameters
        add("weights.", state.weights, all)
        add("first.", state.first, all)
        add("second.", state.second, all)
        if let best = state.best {
            add("best.", best.encoder.parameters.values, best.encoder.parameters)
            var look = JSONObject()
            look["mrr"] = .double(best.validationMRR)
            look["composed_mrr"] = best.composedMRR.map { .double($0) } ?? .null
            look["tau"] = best.validationTau.map { .double($0) } ?? .null
            look["step"] = .int(Int64(best.bestStep))
            look["floor"] = .double(best.positiveFloor)
            header["best"] = .object(look)
        }
        return (header, tensors)
    }

    /// A stored state; nil when it is of another training.
    ///
    /// - Throws: `corrupt` for parts that are missing or do not fit.
    public func state(header: JSONObject, tensors source: any TensorSource) throws -> State? {
        let reader = HeaderReader(header)
        guard try reader.text("training") == digest else { return nil }
        let all = initialParameters
        var state = State(
            step: try reader.count("step"), weights: try all.replaced(from: source, prefix: "weights.").values,
            first: try all.replaced(from: source, prefix: "first.").values,
            second: try all.replaced(from: source, prefix: "second.").values, best: nil)
        guard let look = header["best"]?.object else { return state }
        guard let mrr = look["mrr"]?.double, let step = look["step"]?.int, let floor = look["floor"]?.double else {
            throw ZooError(.corrupt, "the best look of a training lacks its numbers")
        }
        let plain = encoder(of: all)
        state.best = TrainedEncoder(
            encoder: KnowledgeEncoder(
                shape: plain.shape, parameters: try plain.parameters.replaced(from: source, prefix: "best.")),
            validationMRR: mrr, composedMRR: look["composed_mrr"]?.double, validationTau: look["tau"]?.double,
            bestStep: step, positiveFloor: floor)
        return state
    }
}
