import Foundation
import ZooBase

/// Spherical interpolation between the base (t = 0) and the other model (t = 1), linear when they are nearly parallel.
enum Slerp: MergeMethod {
    static let name = "slerp"
    static let summary = "spherical interpolation from the base model to the other"
    static let source = "Shoemake 1985; mergekit"
    static let parameters: [MergeParameter] = [.number("t", nil, "0 gives the base, 1 the other model")]
    static let base = BaseUse.oneOfTwo
    static let models = 1...1

    static func kernel(_ call: MergeCall) throws -> any MergeKernel {
        guard let base = call.base, let other = call.others.first else {
            return Combination(weights: call.members.map { _ in 1 })
        }
        let t = call.parameters.number("t")
        return GramMerge(vectors: [base, other], origin: nil, layout: .flat) { coefficients($0, t: t) }
    }

    /// The factors of the two unnormalised vectors.
    static func coefficients(_ gram: Gram, t: Double) -> [Double] {
        let tiny = 1e-8
        let norms = [0, 1].map { gram.norm($0) > tiny ? gram.norm($0) : 1 }
        let cosine = gram[0, 1] / (norms[0] * norms[1])
        guard cosine.magnitude <= 0.9995 else { return [1 - t, t] }
        let angle = acos(cosine)
        return [sin((1 - t) * angle) / sin(angle), sin(t * angle) / sin(angle)]
    }
}

/// Spherical interpolation of two models or of their differences from a base, over whole tensors, rows or columns.
enum NuSlerp: MergeMethod {
    static let name = "nuslerp"
    static let summary = "spherical interpolation by weights, of models or task vectors, whole or row by row"
    static let source = "mergekit"
    static let parameters: [MergeParameter] = [
        .flag("nuslerp_row_wise", false, "with flatten off: vectors along the first axis instead of the last"),
        .flag("nuslerp_flatten", true, "the whole tensor is one vector"),
        .perModel("weight", nil, "the model's weight: t is the second's share"),
    ]
    static let base = BaseUse.optional
    static let models = 2...2

    static func kernel(_ call: MergeCall) throws -> any MergeKernel {
        let others = call.others
        guard others.count == 2 else {
            guard call.members.count == 1 else {
                throw call.fault(.usage, "nuslerp takes two models, found \(others.count)")
            }
            return Combination(weights: [1])
        }
        let weights = others.map { call.members[$0].parameters.number("weight") }
        let sum = weights[0] + weights[1]
        let t = sum.magnitude < 1e-6 ? 0.5 : weights[1] / sum
        return GramMerge(vectors: others, origin: call.base, layout: layout(call)) { coefficients($0, t: t) }
    }

    private static func layout(_ call: MergeCall) -> GramMerge.Layout {
        let shape = call.info.shape
        if call.parameters.flag("nuslerp_flatten") || shape.rank < 2 { return .flat }
        guard call.parameters.flag("nuslerp_row_wise") else { return .rows(length: call.rowLength) }
        return .columns(count: shape.dimensions.dropFirst().reduce(1, *))
    }

    static func coefficients(_ gram: Gram, t: Double) -> [Double] {
        let cosine = min(1, max(-1, gram[0, 1] / (max(gram.norm(0), 1e-7) * max(gram.norm(1), 1e-7))))
        let angle = acos(cosine)
        guard sin(angle).magnitude >= 1e-8 else { return [1 - t, t] }
        return [sin((1 - t) * angle) / sin(angle), sin(t * angle) / sin(angle)]
    }
}

/// Spherical mean of several models by one step in the tangent space at their weighted direction.
enum MultiSlerp: MergeMethod {
    static let name = "multislerp"
    static let summary = "weighted spherical mean of several models or task vectors"
    static let source = "mergekit"
    static let parameters: [MergeParameter] = [
        .flag("normalize_weights", true, "divide the weights by their sum"),
        .number("eps", 1e-8, "keeps divisions by norms finite"),
        .perModel("weight", nil, "the model's weight"),
    ]
    static let base = BaseUse.optional
    static let models = 1...Int.max

    static func kernel(_ call: MergeCall) throws -> any MergeKernel {
        let others = call.others
        guard others.count > 1 else {
            return Combination(weights: call.members.map { $0.isBase && call.members.count > 1 ? 0 : 1 })
        }
        var weights = others.map { call.members[$0].parameters.number("weight") }
        if call.parameters.flag("normalize_weights") {
            let sum = weights.reduce(0, +)
            guard sum != 0 else { throw call.fault(.numeric, "the weights sum to zero") }
            weights = weights.map { $0 / sum }
        }
        let eps = call.parameters.number("eps"), settled = weights
        return GramMerge(vectors: others, origin: call.base, layout: .flat) { gram in
            guard let found = coefficients(gram, weights: settled, eps: eps) else {
                throw call.fault(.numeric, "the weighted sum of the directions is zero")
            }
            return found
        }
    }

    /// In coordinates of the unit vectors ûᵢ; nil when the mean direction vanishes.
    static func coefficients(_ gram: Gram, weights: [Double], eps: Double) -> [Double]? {
        let count = gram.count
        let lengths = (0..<count).map { gram.norm($0) + eps }
        let units = Gram(
            count: count,
            values: gram.values.indices.map { gram.values[$0] / (lengths[$0 / count] * lengths[$0 % count]) })
        let size = units.dot(weights, weights).squareRoot()
        guard size >= eps else { return count == 2 ? weights : nil }
        let mean = weights.map { $0 / size }
        var tangent = weights
        for i in 0..<count {
            let along = (0..<count).reduce(0) { $0 + mean[$1] * units[$1, i] }
            for j in 0..<count { tangent[j] -= weights[i] * along * mean[j] }
        }
        let angle = max(0, units.dot(tangent, tangent)).squareRoot() + eps
        let scale = (0..<count).reduce(0) { $0 + weights[$1] * gram.norm($1) }
        return (0..<count).map { scale * (mean[$0] * cos(angle) + tangent[$0] * sin(angle) / angle) / lengths[$0] }
    }
}

/// The Riemannian (Karcher) mean of the directions on the sphere, times the mean norm.
enum Karcher: MergeMethod {
    static let name = "karcher"
    static let summary = "Riemannian mean of the models' directions, times their mean norm"
    static let source = "mergekit; Karcher 1977"
    static let parameters: [MergeParameter] = [
        .number("max_iter", 10, "the most iterations"),
        .number("tol", 1e-5, "norms and steps below it count as zero"),
        .perModel("weight", 1, "the model's share of the mean (ours; equal by default)"),
    ]
    static let base = BaseUse.joins
    static let models = 1...Int.max

    static func kernel(_ call: MergeCall) throws -> any MergeKernel {
        let weights = call.members.map { $0.parameters.number("weight") }
        let sum = weights.reduce(0, +)
        guard sum > 0, weights.allSatisfy({ $0 >= 0 }) else {
            throw call.fault(.usage, "karcher needs weights that are not negative, one at least positive")
        }
        let shares = weights.map { $0 / sum }
        let limit = Int(call.parameters.number("max_iter")), tolerance = call.parameters.number("tol")
        return GramMerge(vectors: Array(call.members.indices), origin: nil, layout: .flat) { gram in
            coefficients(gram, shares: shares, limit: limit, tolerance: tolerance)
        }
    }

    static func coefficients(_ gram: Gram, shares: [Double], limit: Int, tolerance: Double) -> [Double] {
        let norms = (0..<gram.count).map { gram.norm($0) }
        let kept = norms.indices.filter { norms[$0] > tolerance }
        guard !kept.isEmpty else { return norms.map { _ in 0 } }
        let total = kept.reduce(0) { $0 + shares[$1] }
        // Coordinates c stand for Σ cᵢuᵢ with unit vectors uᵢ.
        let units = Gram(
            count: gram.count,
            values: gram.values.indices.map { place in
                let product = norms[place / gram.count] * norms[place % gram.count]
                return product > 0 ? gram.values[place] / product : 0
            })
        func normalised(_ c: [Double]) -> [Double]? {
            let size = max(0, units.dot(c, c)).squareRoot()
            return size < tolerance ? nil : c.map { $0 / size }
        }
        var first = norms.map { _ in 0.0 }
        first[kept[0]] = 1
        var mean = normalised(norms.indices.map { kept.contains($0) ? shares[$0] / total : 0 }) ?? first
        for _ in 0..<max(0, limit) {
            var step = norms.map { _ in 0.0 }
            for i in kept {
                let cosine = min(1, max(-1, norms.indices.reduce(0) { $0 + mean[$1] * units[$1, i] }))
                let angle = acos(cosine)
                // Near opposite directions the factor would explode.
                guard angle >= tolerance, sin(angle).magnitude >= 1e-12 else { continue }
                let factor = shares[i] / total * angle / sin(angle)
                step[i] += factor
                for j in step.indices { step[j] -= factor * cosine * mean[j] }
            }
            let size = max(0, units.dot(step, step)).squareRoot()
            guard size >= tolerance else { break }
            let moved = mean.indices.map { cos(size) * mean[$0] + sin(size) * step[$0] / size }
            mean = normalised(moved) ?? mean
        }
        let length = norms.indices.reduce(0) { $0 + shares[$1] * norms[$1] }
        return norms.indices.map { norms[$0] > 0 ? length * mean[$0] / norms[$0] : 0 }
    }
}

/// Model Stock: between the base and the mean of the fine-tuned models, as far as their angle says.
enum ModelStock: MergeMethod {
    static let name = "model_stock"
    static let summary = "between base and mean, by the angle between the task vectors"
    static let source = "arXiv 2403.19522"
    static let parameters: [MergeParameter] = [
        .flag("filter_wise", false, "an angle for each row instead of each tensor"),
        .flag("clamp_t", false, "keep t within 0 and 1 (ours)"),
    ]
    static let base = BaseUse.required
    static let models = 2...Int.max

    static func kernel(_ call: MergeCall) throws -> any MergeKernel {
        let others = call.others
        guard let base = call.base, others.count >= 2 else {
            if call.members.count == 1, call.base != nil { return Combination(weights: [1]) }
            throw call.fault(.usage, "model_stock needs the base and two models, found \(call.members.count) tensors")
        }
        let layout: GramMerge.Layout = call.parameters.flag("filter_wise") ? .rows(length: call.rowLength) : .flat
        let clamps = call.parameters.flag("clamp_t"), guards = !call.imitatesReference
        return GramMerge(vectors: others, origin: base, layout: layout) { gram in
            let t = share(gram, clamps: clamps, guards: guards)
            return others.map { _ in t / Double(others.count) }
        }
    }

    /// t = K c / (1 + (K − 1) c), c the mean cosine of all pairs. Where the divisor is not positive the mean of the
    /// cosines is no angle any more, and t is 0; the reference takes what the quotient gives.
    static func share(_ gram: Gram, clamps: Bool, guards: Bool) -> Double {
        let count = gram.count
        var sum = 0.0
        for i in 0..<count {
            for j in i + 1..<count {
                sum += min(1, max(-1, gram[i, j] / max(gram.norm(i) * gram.norm(j), 1e-6)))
            }
        }
        let cosine = sum / Double(count * (count - 1) / 2)
        let divisor = 1 + Double(count - 1) * cosine
        let t = guards && divisor <= 1e-8 ? 0 : Double(count) * cosine / divisor
        return clamps ? min(1, max(0, t)) : t
    }
}
