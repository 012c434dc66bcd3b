import ZooBase

/// Learned coefficients as they are stored: everything that the composed network follows from, given base and vectors.
///
/// ```json
/// {"version": 1, "base": DIGEST, "vectors": [{"name", "digest"}], "granularity": "tensor", "blocks": [NAME…], "k": 1,
///  "seed": 0, "shared_by_shape": false, "tied": "refuse", "exclude": [], "coef": [[…blocks]…vectors],
///  "selection": {NAME: [blocks]}, "history": [{"epoch", "loss", …}]}
/// ```
/// With k > 1 each coefficient is a list of k numbers.
public struct CoefficientFile: Sendable, Hashable {
    /// One task vector.
    public struct Vector: Sendable, Hashable {
        /// The task.
        public var name: String
        /// Its content's digest.
        public var digest: String

        /// Names a vector.
        public init(name: String, digest: String) {
            self.name = name
            self.digest = digest
        }
    }

    /// The base's digest.
    public var base: String
    /// The vectors in the order of the rows.
    public var vectors: [Vector]
    /// What shares a coefficient.
    public var granularity: CoefficientGroups.Granularity
    /// The names of the groups.
    public var blocks: [String]
    /// K.
    public var partitions = 1
    /// The seed of the parts.
    public var seed: UInt64 = 0
    /// Whether parts are shared by tensors of one shape.
    public var isSharedByShape = false
    /// How tied tensors were treated.
    public var ties = CoefficientGroups.TiePolicy.refuse
    /// Patterns of tensors that stay with the base.
    public var excluded: [String] = []
    /// Batch-norm statistics stay those of the base instead of following.
    public var keepsStatistics = false
    /// Batch-norm statistics were recomputed on data after learning: the network does not follow from the file alone.
    public var recomputesStatistics = false
    /// Extents of one input of the network.
    public var inputShape: [Int] = []
    /// `[vectors, blocks, K]`, flat.
    public var values: [Double]
    /// For each vector the places of the blocks that it was chosen for; nil for all.
    public var selection: [Set<Int>]?
    /// The log.
    public var history: [CoefficientRound] = []

    /// A file's content.
    public init(
        base: String, vectors: [Vector], granularity: CoefficientGroups.Granularity, blocks: [String], values: [Double]
    ) {
        self.base = base
        self.vectors = vectors
        self.granularity = granularity
        self.blocks = blocks
        self.values = values
    }

    /// The most numbers that a file may claim to hold.
    private static let maximumCount = 1 << 28

    // MARK: JSON

    /// The file's object.
    public var json: JSONObject {
        var object = JSONObject([
            ("version", 1), ("base", .string(base)),
            (
                "vectors",
                .array(vectors.map { ["name": .string($0.name), "digest": .string($0.digest)] })
            ),
            ("granularity", .string(granularity.rawValue)), ("blocks", .array(blocks.map { .string($0) })),
            ("k", .int(Int64(partitions))), ("seed", .string(String(seed))),
            ("shared_by_shape", .bool(isSharedByShape)),
            ("tied", .string(ties.rawValue)), ("exclude", .array(excluded.map { .string($0) })),
            ("keeps_statistics", .bool(keepsStatistics)),
            ("recomputes_statistics", .bool(recomputesStatistics)),
            ("input_shape", .array(inputShape.map { .int(Int64($0)) })),
            ("coef", .array(vectors.indices.map(row))),
        ])
        if let selection {
            object["selection"] = .object(
                JSONObject(
                    zip(vectors, selection).map { vector, chosen in
                        (vector.name, .array(chosen.sorted().map { .string(blocks[$0]) }))
                    }))
        }
        object["history"] = .array(history.map { .object($0.json) })
        return object
    }

    private func row(_ vector: Int) -> JSONValue {
        .array(
            blocks.indices.map { block in
                let first = (vector * blocks.count + block) * partitions
                let own = values[first..<first + partitions].map { JSONValue.double($0) }
                return partitions == 1 ? own[0] : .array(own)
            })
    }

    /// Reads a file's object.
    ///
    /// - Throws: `corrupt` saying what is missing or has another extent; `unsupported` for another version.
    public init(json: JSONValue) throws {
        guard let version = json["version"]?.int else {
            throw ZooError(.corrupt, "no coefficient file: 'version' is missing", hint: "'zoo compose' writes them")
        }
        guard version == 1 else { throw ZooError(.unsupported, "coefficient file of version \(version); 1 is known") }
        guard let base = json["base"]?.string, let listed = json["vectors"]?.array,
            let blocks = json["blocks"]?.array?.compactMap(\.string), let rows = json["coef"]?.array
        else { throw ZooError(.corrupt, "'base', 'vectors', 'blocks' or 'coef' is missing") }
        let vectors = listed.compactMap { item -> Vector? in
            guard let name = item["name"]?.string, let digest = item["digest"]?.string else { return nil }
            return Vector(name: name, digest: digest)
        }
        let k = json["k"]?.int ?? 1
        guard vectors.count == listed.count, !vectors.isEmpty, rows.count == vectors.count, k >= 1,
            k <= Self.maximumCount
        else {
            throw ZooError(.corrupt, "\(rows.count) rows of coefficients for \(listed.count) vectors, k = \(k)")
        }
        var values: [Double] = []
        for (vector, row) in zip(vectors, rows) {
            let numbers = (row.array ?? []).flatMap { $0.array?.map(\.double) ?? [$0.double] }
            let finite = numbers.compactMap { $0 }.filter(\.isFinite)
            guard finite.count == numbers.count, Double(finite.count) == Double(blocks.count) * Double(k) else {
                throw ZooError(
                    .corrupt,
                    "vector '\(vector.name)' has \(finite.count) coefficients, expected \(blocks.count) blocks × \(k)")
            }
            values += finite
        }
        self.init(
            base: base, vectors: vectors,
            granularity: json["granularity"]?.string.flatMap(CoefficientGroups.Granularity.init) ?? .tensor,
            blocks: blocks, values: values)
        partitions = k
        seed = json["seed"]?.string.flatMap { UInt64($0) } ?? UInt64(max(0, json["seed"]?.int ?? 0))
        isSharedByShape = json["shared_by_shape"]?.bool ?? false
        ties = json["tied"]?.string.flatMap(CoefficientGroups.TiePolicy.init) ?? .refuse
        excluded = json["exclude"]?.array?.compactMap(\.string) ?? []
        keepsStatistics = json["keeps_statistics"]?.bool ?? false
        recomputesStatistics = json["recomputes_statistics"]?.bool ?? false
        inputShape = json["input_shape"]?.array?.compactMap(\.int) ?? []
        if let chosen = json["selection"]?.object {
            let places = Dictionary(blocks.enumerated().map { ($1, $0) }, uniquingKeysWith: { first, _ in first })
            selection = vectors.map { vector in
                Set((chosen[vector.name]?.array ?? []).compactMap { $0.string.flatMap { places[$0] } })
            }
        }
        history = try (json["history"]?.array ?? []).map(CoefficientRound.init(json:))
    }
}

extension CoefficientRound {
    /// A line of the log; a figure that is not finite is null.
    public var json: JSONObject {
        func number(_ value: Double) -> JSONValue { value.isFinite ? .double(value) : .null }
        var object = JSONObject([("epoch", .int(Int64(round)))])
        object["loss"] = loss.map(number) ?? .null
        object["parts"] = .array(parts.map(number))
        object["score"] = number(score)
        object["metrics"] = .object(JSONObject(metrics.sorted { $0.key < $1.key }.map { ($0.key, number($0.value)) }))
        object["norm"] = number(norm)
        object["kept"] = .bool(isKept)
        return object
    }

    /// Reads a line of the log.
    public init(json: JSONValue) throws {
        guard let round = json["epoch"]?.int else { throw ZooError(.corrupt, "a line of the history has no 'epoch'") }
        self.init(
            round: round, loss: json["loss"]?.double, parts: (json["parts"]?.array ?? []).map { $0.double ?? .nan },
            score: json["score"]?.double ?? .nan,
            metrics: Dictionary(
                (json["metrics"]?.object ?? JSONObject()).map { ($0.key, $0.value.double ?? .nan) },
                uniquingKeysWith: { first, _ in first }), norm: json["norm"]?.double ?? 0,
            isKept: json["kept"]?.bool ?? false)
    }
}

extension CoefficientState {
    /// Everything, exactly: doubles are written so that they are read back to the bit.
    public var json: JSONObject {
        func list(_ values: [Double]) -> JSONValue { .array(values.map { .string(String($0.bitPattern, radix: 16)) }) }
        return JSONObject([
            ("version", 1), ("round", .int(Int64(round))), ("values", list(values)), ("mean", list(memory.mean)),
            ("square", list(memory.square)), ("steps", .int(Int64(memory.steps))), ("best", list(best)),
            ("best_score", bestScore.map { .string(String($0.bitPattern, radix: 16)) } ?? .null),
            ("stopped", .bool(isStopped)), ("history", .array(history.map { .object($0.json) })),
        ])
    }

    /// Reads a state.
    ///
    /// - Parameter count: coefficients that it must have.
    /// - Throws: `corrupt` saying what does not fit.
    public init(json: JSONValue, count: Int) throws {
        func list(_ key: String) throws -> [Double] {
            let items = json[key]?.array ?? []
            let numbers = items.compactMap { $0.string.flatMap { UInt64($0, radix: 16) }.map(Double.init(bitPattern:)) }
            guard numbers.count == items.count else {
                throw ZooError(.corrupt, "'\(key)' holds something else than numbers")
            }
            return numbers
        }
        self.init(count: count)
        values = try list("values")
        best = try list("best")
        memory.mean = try list("mean")
        memory.square = try list("square")
        memory.steps = json["steps"]?.int ?? 0
        guard values.count == count, best.count == count, memory.mean.count == memory.square.count,
            memory.mean.isEmpty || memory.mean.count == count, let round = json["round"]?.int, round >= 0
        else { throw ZooError(.corrupt, "a state of \(values.count) coefficients, expected \(count)") }
        self.round = round
        bestScore = json["best_score"]?.string.flatMap { UInt64($0, radix: 16) }.map(Double.init(bitPattern:))
        isStopped = json["stopped"]?.bool ?? false
        history = try (json["history"]?.array ?? []).map(CoefficientRound.init(json:))
    }
}
