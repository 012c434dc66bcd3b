import ZooBase
import ZooNN
import ZooTensor

/// Traces of the Fisher information of a classifier from the gradients of single samples.
public enum FisherTrace {
    /// tr F = (1/n) Σᵢ Σₖ p(k|xᵢ) ‖∇ log p(k|xᵢ)‖², exact over the classes: the trace of the Gauss–Newton matrix.
    ///
    /// - Parameters:
    ///   - graph, tensors: the network.
    ///   - samples: the inputs; their labels do not matter.
    /// - Complexity: n·K gradients of single samples.
    public static func exact(
        _ graph: ArchitectureGraph, model: any TensorSource, samples: Samples, jobs: Int = 1
    ) throws -> Double {
        try exact(
            ModelSweep(graph, tensors: model.tensorInfos, samples: samples.labelled(zeros(samples)))
                .problem(model, jobs: jobs))
    }

    /// The same of a problem at hand.
    ///
    /// - Throws: `unsupported` where there are no gradients of single samples.
    public static func exact(_ problem: LossProblem) throws -> Double {
        let logits = try problem.output("logits", at: problem.initial)
        let count = problem.samples.count, classes = logits.elementCount / count
        let probabilities = Softmax.rows(logits.doubles(), columns: classes)
        var total = 0.0
        for label in 0..<classes {
            let labels = [Int32](repeating: Int32(label), count: count)
            let norms = try squaredGradientNorms(problem, labels: labels)
            for (sample, norm) in norms.enumerated() { total += probabilities[sample * classes + label] * norm }
        }
        return total / Double(count)
    }

    private static func zeros(_ samples: Samples) -> [Int32] { [Int32](repeating: 0, count: samples.count) }

    /// (1/n) Σᵢ ‖∇ log p(yᵢ|xᵢ)‖² with the data's labels: the empirical Fisher, which is another matrix.
    public static func empirical(
        _ graph: ArchitectureGraph, model: any TensorSource, samples: Samples, jobs: Int = 1
    ) throws -> Double {
        try empirical(
            ModelSweep(graph, tensors: model.tensorInfos, samples: samples).problem(model, jobs: jobs))
    }

    /// The same of a problem at hand.
    public static func empirical(_ problem: LossProblem) throws -> Double {
        let norms = try squaredGradientNorms(problem, labels: nil)
        return norms.reduce(0, +) / Double(problem.samples.count)
    }

    /// Floats of one piece of per-sample gradients.
    private static let pieceElements = 1 << 22

    private static func squaredGradientNorms(_ problem: LossProblem, labels: [Int32]?) throws -> [Double] {
        let samples = problem.samples
        let size = problem.layout.count
        let piece = max(16, pieceElements / max(1, size))
        var norms: [Double] = []
        for start in stride(from: 0, to: samples.count, by: piece) {
            try Cancellation.check()
            let range = start..<min(start + piece, samples.count)
            let rows = try problem.exampleGradients(at: problem.initial, samples: range, labels: labels)
            for place in range.indices {
                let row = rows[(place - start) * size..<(place - start + 1) * size]
                norms.append(row.reduce(0.0) { $0 + Double($1) * Double($1) })
            }
        }
        return norms
    }
}

/// Probabilities.
enum Softmax {
    /// Softmax of each row.
    static func rows(_ logits: [Double], columns: Int) -> [Double] {
        var result = logits
        for start in stride(from: 0, to: logits.count, by: columns) {
            let row = start..<start + columns
            let largest = logits[row].max() ?? 0
            var sum = 0.0
            for place in row {
                result[place] = Exponential.of(logits[place] - largest)
                sum += result[place]
            }
            for place in row { result[place] /= sum }
        }
        return result
    }
}
