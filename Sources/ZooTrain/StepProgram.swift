import Synchronization
import ZooAutodiff
import ZooBase
import ZooNN
import ZooTensor

/// What makes two trials share compiled programs.
struct ProgramKey: Sendable, Hashable {
    var blueprint: ArchitectureBlueprint
    var trained: [String]
    var smoothing: Double
    /// Samples of a step.
    var samples: Int
}

/// The gradient program of one training step for a number of samples.
///
/// Outputs: the loss, how many samples are right, the gradients of the trained parameters, then the batch statistics
/// (mean and variance) of every batch norm. A number of samples that does not fill the lanes is padded with samples of
/// weight zero, which have no part in loss and statistics.
final class StepProgram: Sendable {
    /// Samples that count.
    let samples: Int
    /// Samples that a run reads.
    let padded: Int
    let compiled: CompiledProgram<Float>
    /// Parameters in the order in which they are bound.
    let parameterNames: [String]
    let trained: [String]
    /// The batch norms whose statistics come last, with the numbers per channel and sample.
    let norms: [(node: GraphNode, pixels: Int)]
    /// Data inputs in the order in which they are bound: the samples, dropout masks, the weights.
    let dataInputs: [ProgramInput]
    let pool: ExecutorPool<Float>

    init(_ key: ProgramKey) throws {
        let graph = key.blueprint.graph
        samples = key.samples
        padded = (key.samples + 15) / 16 * 16
        trained = key.trained
        let lowered = try LoweredGraph(
            graph, tensors: key.blueprint.tensors, batch: padded, isTraining: true, isPadded: padded != samples)
        let b = lowered.builder
        let logits = try lowered.output("logits", of: graph)
        guard logits.shape.rank == 2 else {
            throw ZooError(.unsupported, "architecture '\(graph.name)' has logits of shape \(logits.shape), no classes")
        }
        let labels = b.indices("labels", [padded])
        let loss = try b.average(
            b.crossEntropy(logits, labels: labels, smoothing: key.smoothing), weights: lowered.sampleWeights)
        var right = try b.correct(logits, labels: labels)
        if let weights = lowered.sampleWeights { right = try b.multiply(right, weights) }
        let values = Dictionary(lowered.parameters.map { ($0.name, $0.value) }, uniquingKeysWith: { first, _ in first })
        let gradients = try b.gradient(of: loss, withRespectTo: key.trained.compactMap { values[$0] })
        var outputs = [("loss", loss), ("right", try b.sum(right))]
        outputs += zip(key.trained, gradients).map { ($0, $1) }
        outputs += lowered.statistics.flatMap { [("mean", $0.mean), ("variance", $0.variance)] }
        compiled = b.build(outputs).compiled()
        parameterNames = compiled.program.inputs(.parameter).map(\.name)
        dataInputs = compiled.program.inputs(.data)
        norms = lowered.statistics.map { entry in
            let source = entry.node.inputs.first.flatMap { lowered.values[$0] }
            return (entry.node, source?.shape.dimensions.dropFirst(2).reduce(1, *) ?? 1)
        }
        pool = ExecutorPool(compiled)
    }
}

/// Programs that trials share, made when first asked for.
package final class ProgramLibrary: Sendable {
    private let programs = Mutex<[ProgramKey: StepProgram]>([:])

    package init() {}

    /// The program of a step; two threads that ask at once may both make it, and one is kept.
    func program(_ key: ProgramKey) throws -> StepProgram {
        if let known = programs.withLock({ $0[key] }) { return known }
        let made = try StepProgram(key)
        return programs.withLock { known in
            if let other = known[key] { return other }
            known[key] = made
            return made
        }
    }
}
