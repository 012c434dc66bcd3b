import ZooAutodiff
import ZooBase
import ZooTensor

/// Both trained encoders: models' knowledge and queries become unit vectors of one space.
public struct KnowledgeEncoder: Sendable {
    /// The sizes.
    public let shape: EncoderShape
    /// The weights.
    public let parameters: LearnedParameters

    /// What tells these encoders from others.
    public var digest: String {
        var hash = Fingerprint()
        hash.add(shape.kind.rawValue)
        hash.add(shape.usesBoundaries ? "boundaries" : "nodes")
        hash.add(parameters.digest)
        return hash.text
    }

    package init(shape: EncoderShape, parameters: LearnedParameters) {
        self.shape = shape
        self.parameters = parameters
    }

    /// Stored encoders.
    ///
    /// - Throws: `corrupt` for tensors of other shapes, `notFound` for missing ones.
    public init(shape: EncoderShape, from source: any TensorSource, prefix: String) throws {
        var generator = SeededGenerator(seed: 0)
        self.init(shape: shape, parameters: try shape.initial(&generator).replaced(from: source, prefix: prefix))
    }

    /// The vector of a model: the mean over draws, of unit length.
    public func vector(of knowledge: Knowledge) throws -> [Float] { try EncoderRunner(self).vector(of: knowledge) }

    /// The vector of a query's class means `[C, d]`.
    public func vector(ofQuery means: Matrix) throws -> [Float] { try EncoderRunner(self).vector(ofQuery: means) }
}

/// Runs encoders; programs are kept for sizes met before. Used by one thread.
public final class EncoderRunner {
    private struct Size: Hashable {
        var isModel: Bool
        var batch: Int, classes: Int, rowLength: Int
    }

    private let encoder: KnowledgeEncoder
    private var runners: [Size: ProgramRunner] = [:]

    /// For one pair of encoders.
    public init(_ encoder: KnowledgeEncoder) { self.encoder = encoder }

    /// The most classes that the lstm encoder unrolls.
    static let longestSequence = 64

    /// The vector of a model.
    ///
    /// - Throws: `mismatch` for knowledge in features of another map; `unsupported` for more classes than `lstm` reads.
    public func vector(of knowledge: Knowledge) throws -> [Float] {
        let shape = encoder.shape
        guard knowledge.dimension == shape.dimension else {
            throw ZooError(.mismatch, "knowledge of \(knowledge.dimension) features, an encoder of \(shape.dimension)")
        }
        try Self.checkLength(shape, knowledge.liveClasses.count)
        if shape.kind == .tans, knowledge.noise.count != shape.noiseCount {
            throw ZooError(
                .mismatch,
                "the encoder 'tans' reads \(shape.noiseCount) outputs on noise, this model has "
                    + "\(knowledge.noise.count)", hint: "models of one index have equally many classes, or take 'set'")
        }
        let order = knowledge.liveClasses
        var batch = ModelBatch(
            shape, classes: order.count, rowLength: ModelBatch.rowLength(shape, knowledge))
        let draws = shape.kind == .tans ? 1 : knowledge.draws
        for t in 0..<draws { batch.add(knowledge, draw: t, order: order) }
        let size = Size(isModel: true, batch: draws, classes: batch.classes, rowLength: batch.rowLength)
        return Self.meanUnit(try runner(size).run(batch.arrays), rows: draws)
    }

    /// The vector of a query.
    public func vector(ofQuery means: Matrix) throws -> [Float] {
        guard means.columns == encoder.shape.dimension else {
            throw ZooError(.mismatch, "a query of \(means.columns) features, an encoder of \(encoder.shape.dimension)")
        }
        try Self.checkLength(encoder.shape, means.rows)
        var batch = QueryBatch(classes: means.rows)
        batch.add(means, order: Array(0..<means.rows))
        let size = Size(isModel: false, batch: 1, classes: means.rows, rowLength: 0)
        return Self.meanUnit(try runner(size).run(batch.arrays), rows: 1)
    }

    private static func checkLength(_ shape: EncoderShape, _ classes: Int) throws {
        guard shape.kind == .lstm, classes > longestSequence else { return }
        throw ZooError(
            .unsupported, "the encoder 'lstm' reads at most \(longestSequence) classes, found \(classes)",
            hint: "take the encoder 'set'")
    }

    private func runner(_ size: Size) throws -> ProgramRunner {
        if let known = runners[size] { return known }
        let b = ProgramBuilder()
        let program = EncoderProgram(b: b, p: encoder.parameters.declare(in: b), shape: encoder.shape)
        let u =
            size.isModel
            ? try program.models(batch: size.batch, classes: size.classes, rowLength: size.rowLength)
            : try program.queries(batch: size.batch, classes: size.classes)
        let made = try ProgramRunner(b.build([("v", try program.unit(u))]), encoder.parameters)
        runners[size] = made
        return made
    }

    /// The mean of unit rows, of unit length.
    private static func meanUnit(_ values: [Float], rows: Int) -> [Float] {
        let width = values.count / rows
        var mean = [Double](repeating: 0, count: width)
        for (place, value) in values.enumerated() { mean[place % width] += Double(value) / Double(rows) }
        let norm = max(mean.reduce(0) { $0 + $1 * $1 }.squareRoot(), 1e-12)
        return mean.map { Float($0 / norm) }
    }
}
