import ZooBase
import ZooFormats
import ZooNN
import ZooTensor

/// The result of a calibration on disk: one pass over the data, any number of masks.
///
/// A folder with `scores.safetensors` (statistics), `calibration.safetensors` (the token ids or samples, for methods
/// that run the network again) and `scores.json` (settings, seeds, counts, digests). Tensors are named
/// `SIDE.fisher/NAME`, `SIDE.gradient/NAME`, `SIDE.input_mean/NAME`, `SIDE.input_square/NAME`.
public struct ScoreFolder: Sendable {
    /// Its path.
    public let path: String
    /// Settings and counts.
    public let json: JSONObject
    /// The statistics.
    public let statistics: any TensorSource
    private let names: Set<String>

    /// Opens a folder.
    ///
    /// - Throws: `notFound` for a folder that is none; `corrupt` for damaged files.
    public init(_ path: String) throws {
        self.path = path
        let file = try ZooError.locate("\(path) is no folder of scores") { try Bytes(mapping: path + "/scores.json") }
        json = try ZooError.locate(path + "/scores.json") {
            guard let object = try JSONParser.parse(file).object else { throw ZooError(.corrupt, "not a JSON object") }
            return object
        }
        statistics = try CheckpointFile.open(path + "/scores.safetensors").source
        names = Set(statistics.tensorInfos.map(\.name))
    }

    /// Writes a folder, by rename.
    ///
    /// - Throws: `usage` for a target that is there; what writing throws.
    public static func write(
        to path: String, layout: StatisticsLayout, sides: [(CalibrationSide, SideStatistics)],
        calibration: StateDict, json: JSONObject, jobs: Int
    ) throws {
        var state = StateDict()
        for (side, statistics) in sides {
            for entry in layout.entries {
                state["\(side.rawValue).fisher/\(entry.name)"] = Tensor(
                    Array(statistics.fisher[entry.range]), shape: entry.shape)
                state["\(side.rawValue).gradient/\(entry.name)"] = Tensor(
                    Array(statistics.gradient[entry.range]), shape: entry.shape)
            }
            for matrix in layout.summed {
                if let means = statistics.inputMeans[matrix.name] {
                    state["\(side.rawValue).input_mean/\(matrix.name)"] = Tensor(means, shape: [means.count])
                }
                if let squares = statistics.inputSquares[matrix.name] {
                    state["\(side.rawValue).input_square/\(matrix.name)"] = Tensor(squares, shape: [squares.count])
                }
            }
        }
        var folder = HuggingFaceFolder()
        folder.stem = "scores"
        folder.maximumShardBytes = .max
        folder.jobs = jobs
        folder.files = [
            ("scores.json", .text(JSONValue.object(json).text(indent: 2) + "\n")),
            ("calibration.safetensors", .tensors(calibration)),
        ]
        _ = try folder.write(state, to: path, replacing: true)
    }

    /// A statistic of a tensor: `fisher`, `gradient`, `input_mean`, `input_square`.
    ///
    /// - Throws: `notFound` when the pass did not keep it.
    public func values(_ statistic: String, _ side: CalibrationSide, of name: String) throws -> [Float] {
        let tensor = "\(side.rawValue).\(statistic)/\(name)"
        guard names.contains(tensor) else {
            throw ZooError(
                .notFound, "\(path) has no '\(statistic)' of '\(name)' for the \(side.rawValue) side",
                hint: "run 'zoo prune score' again for the layers that are to be pruned")
        }
        return try statistics.tensor(named: tensor).floats()
    }

    /// Whether there are gradients and Fisher values of a tensor.
    public func covers(_ name: String) -> Bool { names.contains("domain.fisher/\(name)") }

    /// The data of the calibration.
    ///
    /// - Throws: what reading throws.
    public func calibration() throws -> CalibrationData {
        try CalibrationData(CheckpointFile.open(path + "/calibration.safetensors").source)
    }
}

/// The data of a calibration as networks read them.
public struct CalibrationData: Sendable {
    /// Triplets by side; empty for networks that read samples.
    public var triplets: [CalibrationSide: [TokenTriplet]] = [:]
    /// Samples by side.
    public var samples: [CalibrationSide: Samples] = [:]

    /// Nothing yet.
    public init() {}

    /// Everything as tensors.
    public var tensors: StateDict {
        var state = StateDict()
        for side in CalibrationSide.allCases {
            if let list = triplets[side] {
                let texts = list.flatMap { [$0.query, $0.positive, $0.negative ?? []] }
                let ids = texts.flatMap { $0.map { Int64($0) } }
                state["\(side.rawValue).tokens"] = Tensor(ids, shape: [ids.count])
                state["\(side.rawValue).lengths"] = Tensor(texts.map { Int64($0.count) }, shape: [list.count, 3])
            }
            if let list = samples[side] {
                state["\(side.rawValue).inputs"] = Tensor(list.inputs, shape: Shape([list.count] + list.inputShape))
                state["\(side.rawValue).labels"] = Tensor(list.labels.map { Int64($0) }, shape: [list.labels.count])
            }
        }
        return state
    }

    /// Reads what `tensors` wrote.
    ///
    /// - Throws: `corrupt` for lengths that do not add up.
    public init(_ source: any TensorSource) throws {
        let names = Set(source.tensorInfos.map(\.name))
        for side in CalibrationSide.allCases {
            if names.contains("\(side.rawValue).tokens") {
                triplets[side] = try Self.triplets(source, side)
            }
            if names.contains("\(side.rawValue).inputs") {
                samples[side] = try Samples(
                    inputs: source.tensor(named: "\(side.rawValue).inputs"),
                    labels: source.tensor(named: "\(side.rawValue).labels"))
            }
        }
    }

    private static func triplets(_ source: any TensorSource, _ side: CalibrationSide) throws -> [TokenTriplet] {
        let ids = try source.tensor(named: "\(side.rawValue).tokens").doubles().map { Int32($0) }
        let lengths = try source.tensor(named: "\(side.rawValue).lengths").doubles().map { Int($0) }
        guard lengths.allSatisfy({ $0 >= 0 && $0 <= ids.count }), lengths.reduce(0, +) == ids.count,
            lengths.count % 3 == 0
        else { throw ZooError(.corrupt, "the lengths of the calibration's texts do not add up to its tokens") }
        var start = 0
        let texts = lengths.map { length -> [Int32] in
            defer { start += length }
            return Array(ids[start..<start + length])
        }
        return stride(from: 0, to: texts.count, by: 3).map {
            TokenTriplet(
                query: texts[$0], positive: texts[$0 + 1], negative: texts[$0 + 2].isEmpty ? nil : texts[$0 + 2])
        }
    }
}
