import ZooBase
import ZooTensor

/// DARE's arithmetic with a mask that a rule gives instead of a generator: what compares it with other programs, whose
/// generators cannot be reproduced.
package enum GivenMask {
    /// Merges models, the base last, each kept delta divided by the density.
    ///
    /// - Parameter keeps: whether element `index` of model `model` stays.
    package static func merge(
        _ tensors: [Tensor], weight: Double, density: Double,
        keeps: @escaping @Sendable (_ model: Int, _ index: Int) -> Bool
    ) throws -> [Double] {
        let models = Array(tensors.indices.dropLast())
        let merge = TaskVectorMerge(
            base: tensors.count - 1, models: models, weights: models.map { _ in weight },
            sparsifiers: models.map { model in .given(density: density) { keeps(model, $0) } },
            keys: models.map { _ in 0 }, rescale: .inverse, consensus: .none, normalises: false, lambda: 1,
            shape: tensors[0].shape, imitatesReference: false)
        let stack = TensorStack(tensors)
        let prepared = try merge.prepare(stack, jobs: 1)
        var result = [Double](repeating: 0, count: stack.elementCount)
        try result.withUnsafeMutableBytes { bytes in
            guard let base = bytes.baseAddress else { return }
            try prepared.apply(0..<stack.elementCount, stack, into: base, type: .float64)
        }
        return result
    }
}
