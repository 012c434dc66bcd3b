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
        let sweep = try ModelSweep(graph, tensors: model.tensorInfos, samples: samples)
        let problem = try sweep.problem(model, jobs: jobs)
        let logits = try problem.output("logits", at: problem.initial)
        let classes = logits.elementCount / samples.count
        let probabilities = Softmax.rows(logits.doubles(), columns: classes)
        var total = 0.0
        for label in 0..<classes {
            let labelled = try samples.labelled(Array(repeating: Int32(label), count: samples.count))
            let norms = try squaredGradientNorms(graph, model: model, samples: labelled, jobs: jobs)
            for (sample, norm) in norms.enumerated() { total += probabilities[sample * classes + label] * norm }
        }
        return total / Double(samples.count)
    }

    /// (1/n) Σᵢ ‖∇ log p(yᵢ|xᵢ)‖² with the data's labels: the empirical Fisher, which is another matrix.
    public static func empirical(
        _ graph: ArchitectureGraph, model: any TensorSource, samples: Samples, jobs: Int = 1
    ) throws -> Double {
        let norms = try squaredGradientNorms(graph, model: model, samples: samples, jobs: jobs)
        return norms.reduce(0, +) / Double(samples.count)
    }

    /// Floats of one piece of per-sample gradients.
    private static let pieceElements = 1 << 22

    private static func squaredGradientNorms(
        _ graph: ArchitectureGraph, model: any TensorSource, samples: Samples, jobs: Int
    ) throws -> [Double] {
        let problem = try ModelSweep(graph, tensors: model.tensorInfos, samples: samples).problem(model, jobs: jobs)
        let size = problem.layout.count
        let piece = max(16, pieceElements / max(1, size))
        var norms: [Double] = []
        for start in stride(from: 0, to: samples.count, by: piece) {
            try Cancellation.check()
            let range = start..<min(start + piece, samples.count)
            let rows = try problem.exampleGradients(at: problem.initial, samples: range)
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
