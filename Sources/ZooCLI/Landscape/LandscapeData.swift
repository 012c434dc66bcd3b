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

    /// How a model that reads texts is opened.
    struct Reading {
        var architecture: String?
        var settings: [String] = []
        var tokenizer: String?
    }

    /// The data that `--data` means for a model: points, texts in its tokens, or the samples of one split. Labels may
    /// be missing, as token ids have none: `labelled` asks for them.
    ///
    /// - Throws: `usage` unless one split is named; what opening throws.
    static func open(
        _ option: DataOption, for model: SelectedCheckpoint?, _ reading: Reading, defaultSplit: String = "train",
        _ session: Session
    ) throws -> LandscapeData {
        try open(option.data, for: model, reading, subset: option.subset, session) {
            try option.open(session, defaultSplit: defaultSplit)
        }
    }

    /// The same by the text alone.
    static func open(
        _ text: String, for model: SelectedCheckpoint?, _ reading: Reading, subset: Int? = nil, _ session: Session,
        source: () throws -> DataSource
    ) throws -> LandscapeData {
        if isConvection(text) {
            guard subset == nil else {
                throw ZooError(
                    .usage, "--subset takes samples; the points of \(text) are numbered in its text",
                    hint: "for fewer: convection:inner=200,initial=50,boundary=20")
            }
            return try .convection(text, seed: session.seed)
        }
        if TextFile.isText(text) {
            guard let model else {
                throw ZooError(.notFound, "no checkpoint is selected", hint: "'zoo query' shows what there is")
            }
            let opened = try TextModel(
                model, architecture: reading.architecture, settings: reading.settings, tokenizer: reading.tokenizer,
                batch: 8, session)
            return try .texts(text, model: opened, subset: subset, session)
        }
        let source = try source()
        guard source.splits.count == 1 else {
            throw ZooError(.usage, "\(text) names \(source.splits.count) splits; one is measured")
        }
        if let description = source.description(of: source.splits[0]) { session.detail(description) }
        return .samples(try source.samples(source.splits[0], labelled: false))
    }

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
    ///
    /// - Parameter subset: how many of them, chosen by the seed and in their order; nil for all.
    static func texts(_ path: String, model: TextModel, subset: Int?, _ session: Session) throws -> LandscapeData {
        var texts = try TextFile.read(path)
        if let subset, subset < texts.count {
            var generator = SeededGenerator(seed: session.seed)
            texts = Array(texts.indices).shuffled(using: &generator).prefix(subset).sorted().map { texts[$0] }
        }
        let tokens = try model.tokens(texts, jobs: session.jobs).filter { $0.count > 1 }
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
            throw ZooError(.unsupported, "mixtures are of images and vectors with labels")
        }
        guard !samples.labels.isEmpty else {
            throw ZooError(
                .notFound, "the data have no labels", hint: "name the tensor or column with --labels")
        }
        return samples
    }

    /// Whether a network's loss on these data is that of labelled samples.
    func isLabelled(for graph: ArchitectureGraph) -> Bool {
        if case .samples = self { return graph.inputs.first?.kind != .tokens }
        return false
    }

    /// The sweep over models of an architecture.
    ///
    /// - Parameter batch: sequences per run; nil for what suits the network.
    func sweep(_ graph: ArchitectureGraph, _ tensors: [TensorInfo], batch: Int? = nil) throws -> ModelSweep {
        switch self {
        case .convection(let loss, let points):
            return try ModelSweep(graph, tensors: tensors, convection: loss, points: points)
        case .texts(let tokens): return try Self.sweep(graph, tensors, tokens, batch)
        case .samples(let samples):
            guard graph.inputs.first?.kind == .tokens else {
                return try ModelSweep(
                    graph, tensors: tensors, samples: samples,
                    batch: ModelSweep.suggestedBatch(graph, tensors: tensors, samples: samples.count))
            }
            return try Self.sweep(graph, tensors, Self.tokens(samples), batch)
        }
    }

    private static func sweep(
        _ graph: ArchitectureGraph, _ tensors: [TensorInfo], _ tokens: TokenBatch, _ batch: Int?
    ) throws -> ModelSweep {
        let batch =
            batch
            ?? ModelSweep.suggestedBatch(graph, tensors: tensors, samples: tokens.count, most: 8)
        return try ModelSweep(graph, tensors: tensors, tokens: tokens, batch: batch)
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
