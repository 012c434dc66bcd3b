import ZooBase
import ZooCatalog
import ZooNN
import ZooTensor

/// What networks are measured on: labelled samples, sequences of tokens, or the points of a physics-informed loss.
enum LandscapeData: Sendable {
    /// Images and vectors with labels; for networks that read tokens, arrays of token ids.
    case samples(Samples)
    /// Texts as token ids.
    case texts(TokenBatch)
    /// Points of 1-D convection.
    case convection(ConvectionLoss, ConvectionPoints)

    private static let prefix = "convection"

    /// Whether `--data` means points: `convection` or `convection:beta=30,inner=1000,…`.
    static func isConvection(_ text: String) -> Bool { text == prefix || text.hasPrefix(prefix + ":") }

    /// Points as `convection:beta=30,inner=1000,initial=256,boundary=100` says; what is left out has these values.
    ///
    /// - Throws: `usage` for an unknown key or a number out of range.
    static func convection(_ text: String, seed: UInt64) throws -> LandscapeData {
        var values = ["beta": 30.0, "inner": 1000, "initial": 256, "boundary": 100]
        for part in text.dropFirst(prefix.count).drop(while: { $0 == ":" }).split(separator: ",") {
            let pair = part.split(separator: "=").map(String.init)
            guard pair.count == 2, let number = Double(pair[1]), number.isFinite, values[pair[0]] != nil else {
                throw ZooError(
                    .usage, "--data \(text): '\(part)' is not beta=, inner=, initial= or boundary= and a number")
            }
            values[pair[0]] = number
        }
        func count(_ key: String) throws -> Int {
            guard let number = values[key], number >= 1, number <= 1e6 else {
                throw ZooError(.usage, "--data \(text): \(key) takes a number of points from 1 to 1000000")
            }
            return Int(number)
        }
        return .convection(
            ConvectionLoss(beta: values["beta"] ?? 0),
            .drawn(
                inner: try count("inner"), initial: try count("initial"), boundary: try count("boundary"), seed: seed))
    }

    /// Texts in the tokens of a model, cut to the length that it reads.
    static func texts(_ path: String, model: TextModel, jobs: Int) throws -> LandscapeData {
        let texts = try TextFile.read(path)
        let tokens = try model.tokens(texts, jobs: jobs).filter { $0.count > 1 }
        guard !tokens.isEmpty else { throw ZooError(.mismatch, "\(path) has no text of two tokens or more") }
        return .texts(try TokenBatch(tokens))
    }

    /// The extents of an input; empty for texts.
    var inputShape: [Int] {
        switch self {
        case .samples(let samples): samples.inputShape
        case .texts: []
        case .convection: [2]
        }
    }

    /// Digits that tell these data from others.
    var fingerprint: String {
        switch self {
        case .samples(let samples): return samples.fingerprint
        case .texts(let tokens):
            var hash: UInt64 = 0xCBF2_9CE4_8422_2325
            for number in [Int32(tokens.length)] + tokens.ids + tokens.lengths.map({ Int32($0) }) {
                hash = (hash ^ UInt64(UInt32(bitPattern: number))) &* 0x100_0000_01B3
            }
            return "tokens-" + String(hash, radix: 16)
        case .convection(let loss, let points):
            var hash: UInt64 = 0xCBF2_9CE4_8422_2325
            for number in [loss.beta] + points.inner + points.initial + points.left {
                hash = (hash ^ number.bitPattern) &* 0x100_0000_01B3
            }
            return "convection-" + String(hash, radix: 16)
        }
    }

    /// Samples with labels, for what is only done with them.
    ///
    /// - Throws: `unsupported` for other data.
    func labelled() throws -> Samples {
        guard case .samples(let samples) = self else {
            throw ZooError(.unsupported, "curves, lines and mixtures are of images and vectors with labels")
        }
        return samples
    }

    /// The sweep over models of an architecture.
    func sweep(_ graph: ArchitectureGraph, _ tensors: [TensorInfo]) throws -> ModelSweep {
        switch self {
        case .convection(let loss, let points):
            return try ModelSweep(graph, tensors: tensors, convection: loss, points: points)
        case .texts(let tokens): return try ModelSweep(graph, tensors: tensors, tokens: tokens)
        case .samples(let samples):
            guard graph.inputs.first?.kind == .tokens else {
                return try ModelSweep(graph, tensors: tensors, samples: samples)
            }
            return try ModelSweep(graph, tensors: tensors, tokens: Self.tokens(samples))
        }
    }

    /// Arrays of token ids as sequences.
    private static func tokens(_ samples: Samples) throws -> TokenBatch {
        guard samples.inputShape.count == 1 else {
            throw ZooError(.mismatch, "token ids have one axis per sample, the data set has \(samples.inputShape)")
        }
        let length = samples.sampleSize
        let ids = try samples.inputs.enumerated().map { place, number -> Int32 in
            guard let id = Int32(exactly: number), id >= 0 else {
                throw ZooError(.mismatch, "sample \(place / max(1, length)): \(number) is no token id")
            }
            return id
        }
        return try TokenBatch((0..<samples.count).map { Array(ids[$0 * length..<($0 + 1) * length]) })
    }
}
