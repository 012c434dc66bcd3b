import ZooBase
import ZooTensor

/// An index as a JSON header and tensors; where they are kept is the caller's affair.
extension RetrievalIndex {
    /// The header.
    public var header: JSONObject {
        var header = JSONObject()
        header["version"] = .int(Int64(Self.version))
        header["input_shape"] = .array(pool.inputShape.map { .int(Int64($0)) })
        header["probes"] = .int(Int64(pool.count))
        header["pool_digest"] = .string(pool.digest)
        header["map"] = .string(map.kind.rawValue)
        header["map_digest"] = .string(map.digest)
        header["encoder"] = .string(encoder.shape.kind.rawValue)
        header["encoder_digest"] = .string(encoder.digest)
        header["hidden"] = .int(Int64(encoder.shape.hidden))
        header["embedding"] = .int(Int64(encoder.shape.embedding))
        header["dimension"] = .int(Int64(encoder.shape.dimension))
        header["boundaries"] = .bool(encoder.shape.usesBoundaries)
        header["noise"] = .int(Int64(capture.noiseCount))
        header["noise_outputs"] = .int(Int64(encoder.shape.noiseCount))
        header["draws"] = .int(Int64(capture.draws))
        header["iterations"] = .int(Int64(capture.iterations))
        header["seed"] = .string(String(capture.seed))
        header["trained_tasks"] = .array(trainedTasks.map { .string($0) })
        header["positive_floor"] = .double(positiveFloor)
        header["validation_mrr"] = validationMRR.map { .double($0) } ?? .null
        header["models"] = .array(models.map { .object($0.json) })
        return header
    }

    /// The tensors: probes, map, encoders, vectors, and each model's answers in half precision.
    public func tensors() -> StateDict {
        var state = StateDict()
        state["pool"] = Tensor(pool.inputs, shape: Shape([pool.count] + pool.inputShape))
        let maps = map.parameters.tensors, encoders = encoder.parameters.tensors
        for name in maps.names { state["map.\(name)"] = maps[name] }
        for name in encoders.names { state["encoder.\(name)"] = encoders[name] }
        state["vectors"] = Tensor(vectors, shape: [models.count, encoder.shape.embedding])
        for (place, found) in storedAnswers.enumerated() { state[Self.answerName(place)] = found }
        return state
    }

    private static func answerName(_ place: Int) -> String {
        let digits = String(place)
        return "answers." + String(repeating: "0", count: max(0, 7 - digits.count)) + digits
    }

    /// Reads an index and checks that all of it belongs together.
    ///
    /// - Throws: `corrupt` for parts that are missing or do not fit; `mismatch` when a digest differs, `unsupported`
    ///   for another version.
    public init(header: JSONObject, tensors source: any TensorSource) throws {
        guard let version = header["version"]?.int else { throw ZooError(.corrupt, "the header has no version") }
        guard version == Self.version else {
            throw ZooError(.unsupported, "an index of version \(version); this program reads \(Self.version)")
        }
        let reader = HeaderReader(header)
        let shape = try reader.counts("input_shape")
        let pool = try ProbePool(inputs: source.tensor(named: "pool").floats(), inputShape: shape)
        guard try reader.count("probes") == pool.count else {
            throw ZooError(
                .corrupt, "the header states another number of probes than the \(pool.count) that are stored")
        }
        let map = try FeatureMap(
            kind: reader.choice("map", FeatureMap.Kind.self), inputShape: shape, from: source, prefix: "map.")
        var sizes = EncoderShape(
            try reader.choice("encoder", EncoderKind.self), dimension: try reader.count("dimension"))
        sizes.hidden = try reader.count("hidden")
        sizes.embedding = try reader.count("embedding")
        sizes.usesBoundaries = header["boundaries"]?.bool ?? true
        sizes.noiseCount = try reader.count("noise_outputs")
        let encoder = try KnowledgeEncoder(shape: sizes, from: source, prefix: "encoder.")
        var capture = CaptureSettings()
        capture.draws = try reader.count("draws")
        capture.iterations = try reader.count("iterations")
        capture.noiseCount = try reader.count("noise")
        capture.seed = UInt64(try reader.text("seed")) ?? 0
        self.init(pool: pool, map: map, encoder: encoder, capture: capture)
        for (key, found) in [
            ("pool_digest", pool.digest), ("map_digest", map.digest), ("encoder_digest", encoder.digest),
        ] {
            let stated = try reader.text(key)
            guard stated == found else {
                throw ZooError(
                    .mismatch, "the header's \(key) is \(stated), what is stored has \(found)",
                    hint: "the file was put together from two indexes; fit it again")
            }
        }
        guard map.dimension == sizes.dimension, map.dimension > 0 else {
            throw ZooError(.corrupt, "a map of \(map.dimension) features, an encoder of \(sizes.dimension)")
        }
        trainedTasks = header["trained_tasks"]?.array?.compactMap(\.string) ?? []
        positiveFloor = header["positive_floor"]?.double ?? 0
        validationMRR = header["validation_mrr"]?.double
        try readModels(header, source)
    }

    private mutating func readModels(_ header: JSONObject, _ source: any TensorSource) throws {
        let rows = header["models"]?.array ?? []
        let all = try source.tensor(named: "vectors")
        let width = encoder.shape.embedding
        guard all.shape == [rows.count, width] else {
            throw ZooError(.corrupt, "vectors of shape \(all.shape) for \(rows.count) models of \(width) numbers")
        }
        let values = all.floats()
        var names = Set<String>(), models: [IndexedModel] = [], answers: [Tensor] = []
        for (place, row) in rows.enumerated() {
            let model = try IndexedModel(HeaderReader(row.object ?? JSONObject()))
            guard names.insert(model.name).inserted else { throw ZooError(.corrupt, "\(model.name): is there twice") }
            let tensor = try source.tensor(named: Self.answerName(place))
            try check(model, Array(values[place * width..<(place + 1) * width]), tensor)
            models.append(model)
            answers.append(tensor)
        }
        set(models, values, answers)
    }
}

/// Values of a header by key.
struct HeaderReader {
    let object: JSONObject

    init(_ object: JSONObject) { self.object = object }

    private func missing(_ key: String) -> ZooError {
        ZooError(.corrupt, "the header's '\(key)' is missing or of another kind")
    }

    func text(_ key: String) throws -> String {
        guard let value = object[key]?.string else { throw missing(key) }
        return value
    }

    func count(_ key: String) throws -> Int {
        guard let value = object[key]?.int, value >= 0, value <= 1 << 31 else { throw missing(key) }
        return value
    }

    func counts(_ key: String) throws -> [Int] {
        guard let list = object[key]?.array, list.allSatisfy({ ($0.int ?? -1) >= 0 }) else { throw missing(key) }
        return list.compactMap(\.int)
    }

    func choice<T: RawRepresentable>(_ key: String, _ type: T.Type) throws -> T where T.RawValue == String {
        guard let value = T(rawValue: try text(key)) else { throw missing(key) }
        return value
    }
}

extension IndexedModel {
    /// The entry of a header.
    public var json: JSONObject {
        var json = JSONObject()
        json["name"] = .string(name)
        json["selector"] = .string(selector)
        json["checkpoint"] = checkpoint.map { .int(Int64($0)) } ?? .null
        json["parameters"] = parameterCount.map { .int(Int64($0)) } ?? .null
        json["classes"] = .int(Int64(classCount))
        json["scores"] = .string(kind.rawValue)
        json["coverage"] = .double(coverage)
        json["queries"] = .int(Int64(queryCount))
        json["empty_classes"] = .array(emptyClasses.map { .int(Int64($0)) })
        json["task"] = task.map { .string($0) } ?? .null
        json["task_classes"] = .array(taskClasses.map { .int(Int64($0)) })
        json["source_accuracy"] = sourceAccuracy.map { .double($0) } ?? .null
        json["knowledge"] = .string(knowledge)
        json["made_with"] = .string(madeWith)
        return json
    }

    init(_ reader: HeaderReader) throws {
        self.init(
            name: try reader.text("name"), selector: try reader.text("selector"),
            checkpoint: reader.object["checkpoint"]?.int, parameterCount: reader.object["parameters"]?.int,
            classCount: try reader.count("classes"), kind: try reader.choice("scores", ScoreKind.self),
            coverage: reader.object["coverage"]?.double ?? 0, queryCount: try reader.count("queries"),
            emptyClasses: try reader.counts("empty_classes"), task: reader.object["task"]?.string,
            taskClasses: try reader.counts("task_classes"), sourceAccuracy: reader.object["source_accuracy"]?.double,
            knowledge: try reader.text("knowledge"), madeWith: try reader.text("made_with"))
    }
}
