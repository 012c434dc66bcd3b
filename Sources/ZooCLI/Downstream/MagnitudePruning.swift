import ZooBase
import ZooNN
import ZooTensor

/// One-shot magnitude pruning: of all weight matrices and kernels together the smallest magnitudes become zero. Biases
/// and norms stay.
enum MagnitudePruning {
    /// The state dict with a share of its weights.
    ///
    /// - Parameter density: the share that stays; of equal magnitudes the earlier ones stay.
    /// - Throws: what reading tensors throws.
    static func pruned(_ state: StateDict, _ graph: ArchitectureGraph, density: Double) throws -> StateDict {
        var names: [String] = [], magnitudes: [Float] = []
        for name in graph.trainableNames {
            guard let tensor = state[name], tensor.shape.rank >= 2 else { continue }
            names.append(name)
            magnitudes += tensor.floats().map(\.magnitude)
        }
        let kept = Int((density * Double(magnitudes.count)).rounded())
        guard kept < magnitudes.count else { return state }
        let order = magnitudes.indices.sorted { (-magnitudes[$0], $0) < (-magnitudes[$1], $1) }
        var stays = [Bool](repeating: false, count: magnitudes.count)
        for place in order.prefix(kept) { stays[place] = true }
        var result = state, start = 0
        for name in names {
            guard let tensor = state[name] else { continue }
            let values = tensor.floats().enumerated().map { stays[start + $0] ? $1 : 0 }
            start += values.count
            result[name] = Tensor(values, shape: tensor.shape).converted(to: tensor.dtype)
        }
        return result
    }
}
