import ZooBase
import ZooTensor

/// What captures found as a JSON header and tensors, so that an interrupted capture goes on.
extension Capture {
    /// What tells captures with this pool, map and way of asking from others.
    public var digest: String {
        var hash = Fingerprint()
        hash.add(pool.digest)
        hash.add(map.digest)
        hash.add("\(settings)")
        return hash.text
    }

    /// What `results(header:tensors:)` reads.
    ///
    /// - Parameter results: with a key for each that tells its box from others.
    public func stored(_ results: [(key: String, result: Result)]) -> (header: JSONObject, tensors: StateDict) {
        var tensors = StateDict()
        let entries = results.enumerated().map { place, item -> JSONValue in
            let k = item.result.knowledge, scores = item.result.answers.scores
            let prefix = "\(place)."
            tensors[prefix + "nodes"] = Tensor(k.nodes, shape: [k.draws, k.classes, k.dimension])
            tensors[prefix + "boundaries"] = Tensor(k.boundaries, shape: [k.draws, k.classes, k.width, k.dimension])
            tensors[prefix + "distances"] = Tensor(k.distances, shape: [k.draws, k.classes, k.width])
            tensors[prefix + "answers"] = Tensor(
                scores.values.map { Float($0) }, shape: [scores.rows, scores.columns])
            if !k.noise.isEmpty { tensors[prefix + "noise"] = Tensor(k.noise, shape: [k.noise.count]) }
            var entry = JSONObject()
            entry["key"] = .string(item.key)
            entry["scores"] = .string(item.result.answers.kind.rawValue)
            entry["partners"] = .array(k.partners.map { .int(Int64($0)) })
            entry["empty"] = .array((0..<k.classes).filter { k.isEmpty[$0] }.map { .int(Int64($0)) })
            entry["coverage"] = .double(k.coverage)
            entry["queries"] = .int(Int64(k.queryCount))
            entry["noise"] = .bool(!k.noise.isEmpty)
            return .object(entry)
        }
        return (JSONObject([("capture", .string(digest)), ("captured", .array(entries))]), tensors)
    }

    /// Stored results by key; nil when they are of another capture.
    ///
    /// - Throws: `corrupt` for parts that are missing or do not fit.
    public func results(header: JSONObject, tensors source: any TensorSource) throws -> [String: Result]? {
        guard try HeaderReader(header).text("capture") == digest else { return nil }
        var found: [String: Result] = [:]
        for (place, row) in (header["captured"]?.array ?? []).enumerated() {
            let reader = HeaderReader(row.object ?? JSONObject())
            found[try reader.text("key")] = try result(reader, source, prefix: "\(place).")
        }
        return found
    }

    private func result(_ reader: HeaderReader, _ source: any TensorSource, prefix: String) throws -> Result {
        func values(_ name: String, _ rank: Int) throws -> (shape: [Int], values: [Float]) {
            let tensor = try source.tensor(named: prefix + name)
            guard tensor.shape.rank == rank else {
                throw ZooError(.corrupt, "tensor '\(prefix + name)' has shape \(tensor.shape)")
            }
            let numbers = tensor.floats()
            guard numbers.allSatisfy(\.isFinite) else {
                throw ZooError(.corrupt, "tensor '\(prefix + name)' holds NaN or infinity")
            }
            return (tensor.shape.dimensions, numbers)
        }
        let boundaries = try values("boundaries", 4), nodes = try values("nodes", 3)
        let distances = try values("distances", 3), answers = try values("answers", 2)
        let s = boundaries.shape
        let partners = try reader.counts("partners"), empty = try reader.counts("empty")
        guard s[0] == settings.draws, s[3] == map.dimension, nodes.shape == [s[0], s[1], s[3]],
            distances.shape == Array(s.prefix(3)), answers.shape == [pool.count, s[1]],
            partners.count == s[1] * s[2], partners.allSatisfy({ $0 < s[1] }), empty.allSatisfy({ $0 < s[1] })
        else { throw ZooError(.corrupt, "captured knowledge \(prefix) does not fit together") }
        let noise = reader.object["noise"]?.bool == true ? try values("noise", 1).values : []
        let isEmpty = (0..<s[1]).map { empty.contains($0) }
        return Result(
            knowledge: Knowledge(
                draws: s[0], classes: s[1], width: s[2], dimension: s[3], partners: partners, nodes: nodes.values,
                boundaries: boundaries.values, distances: distances.values, isEmpty: isEmpty,
                coverage: reader.object["coverage"]?.double ?? 0, queryCount: try reader.count("queries"), noise: noise),
            answers: ProbeAnswers(
                kind: try reader.choice("scores", ScoreKind.self),
                scores: Matrix(answers.values.map(Double.init), rows: answers.shape[0], columns: answers.shape[1])))
    }
}
