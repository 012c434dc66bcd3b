import ZooBase

/// TSV-Merge: the leading singular triplets of each task vector, orthogonalised against each other (Gargiulo et al.
/// 2025).
enum TaskSingularVectors: MergeMethod {
    static let name = "tsv"
    static let summary = "leading singular vectors of each task vector, orthogonalised together"
    static let source = "arXiv 2412.00081"
    static let parameters: [MergeParameter] = [
        .number("alpha", 1, "scales the merged task vector"),
        .flag("lossless", false, "keep all singular vectors of each task instead of its share"),
    ]
    static let base = BaseUse.required
    static let models = 1...Int.max

    static func kernel(_ call: MergeCall) throws -> any MergeKernel {
        let keepsAll = call.parameters.flag("lossless")
        return try SpectralMerge(call) { vectors in
            let parts = try vectors.map { try $0.singularValues() }
            let rank = parts[0].sigma.count
            let kept = keepsAll ? rank : max(1, rank / vectors.count)
            let u = try Matrix.joined(parts.map { $0.u.prefix(kept) }).polarFactor()
            let v = try Matrix.joined(parts.map { $0.v.prefix(kept) }).polarFactor()
            let sigma = parts.flatMap { $0.sigma.prefix(kept) }
            return try u.columnsScaled(sigma).times(v, otherTransposed: true)
        }
    }
}

/// Iso-C: the summed task vector with all singular values set to their mean (Marczak et al. 2025).
enum IsoC: MergeMethod {
    static let name = "iso_c"
    static let summary = "the summed task vector with equal singular values"
    static let source = "arXiv 2502.04959"
    static let parameters: [MergeParameter] = [.number("alpha", 1, "scales the merged task vector")]
    static let base = BaseUse.required
    static let models = 1...Int.max

    static func kernel(_ call: MergeCall) throws -> any MergeKernel {
        try SpectralMerge(call) { vectors in
            let (u, sigma, v) = try vectors.dropFirst().reduce(vectors[0], +).singularValues()
            let mean = sigma.reduce(0, +) / Double(max(1, sigma.count))
            return try u.times(v, otherTransposed: true).scaled(mean)
        }
    }
}

/// Iso-CTS: a common subspace of the sum and task-specific directions beside it, all with equal singular values.
enum IsoCTS: MergeMethod {
    static let name = "iso_cts"
    static let summary = "common and task-specific directions with equal singular values"
    static let source = "arXiv 2502.04959"
    static let parameters: [MergeParameter] = [
        .number("alpha", 1, "scales the merged task vector"),
        .number("common", 0.8, "the share of directions taken from the sum"),
    ]
    static let base = BaseUse.required
    static let models = 1...Int.max

    static func kernel(_ call: MergeCall) throws -> any MergeKernel {
        let share = call.parameters.number("common")
        guard (0...1).contains(share) else { throw call.fault(.usage, "'common' is \(share); it takes 0 to 1") }
        return try SpectralMerge(call) { vectors in
            let (u, sigma, v) = try vectors.dropFirst().reduce(vectors[0], +).singularValues()
            let rank = sigma.count, tasks = vectors.count
            let specific =
                Int((Double(rank - Int(Double(rank) * share)) / Double(tasks)).rounded(.toNearestOrEven))
                * tasks
            let common = max(0, rank - specific), own = min(rank, specific) / tasks
            let uk = u.prefix(common), vk = v.prefix(common)
            let sigmaK = sigma.prefix(common)
            let parts = try vectors.map { vector in
                let inside = try uk.times(uk.times(vector, transposed: true))
                return try (vector - inside).singularValues()
            }
            let allU = try Matrix.joined(parts.map { $0.u.prefix(own) } + [uk]).polarFactor()
            let allV = try Matrix.joined(parts.map { $0.v.prefix(own) } + [vk]).polarFactor()
            let values = parts.flatMap { $0.sigma.prefix(own) } + sigmaK
            let mean = values.reduce(0, +) / Double(max(1, values.count))
            return try allU.times(allV, otherTransposed: true).scaled(mean)
        }
    }
}

/// WUDI: the task vector that interferes least with each task's own, by Adam from their sum (Cheng et al. 2025).
enum WUDI: MergeMethod {
    static let name = "wudi"
    static let summary = "minimises the interference with each task vector, by Adam"
    static let source = "arXiv 2503.08099"
    static let parameters: [MergeParameter] = [
        .number("alpha", 1, "scales the merged task vector"), .number("steps", 300, "steps of Adam"),
        .number("learning_rate", 1e-5, "of Adam"),
    ]
    static let base = BaseUse.required
    static let models = 1...Int.max

    static func kernel(_ call: MergeCall) throws -> any MergeKernel {
        let steps = Int(call.parameters.number("steps")), rate = call.parameters.number("learning_rate")
        return try SpectralMerge(call) { vectors in
            // Σᵢ ‖(m − τᵢ) τᵢᵀ‖² / ‖τᵢ‖² has the gradient 2 (m A − B) with A = Σ τᵢᵀτᵢ/‖τᵢ‖², B = Σ τᵢτᵢᵀτᵢ/‖τᵢ‖².
            let grams = try vectors.map { vector -> Matrix in
                let energy = vector.values.reduce(0) { $0 + $1 * $1 }
                return try vector.times(vector, transposed: true).scaled(energy > 0 ? 1 / energy : 0)
            }
            let a = grams.dropFirst().reduce(grams[0], +)
            let products = try zip(vectors, grams).map { try $0.times($1) }
            let b = products.dropFirst().reduce(products[0], +)
            var merged = vectors.dropFirst().reduce(vectors[0], +)
            var first = [Double](repeating: 0, count: merged.values.count), second = first
            for step in 1...max(1, steps) {
                try Cancellation.check()
                let gradient = try merged.times(a) - b
                let (c1, c2) = (1 - power(0.9, step), 1 - power(0.999, step))
                for index in first.indices {
                    let g = 2 * gradient.values[index]
                    first[index] = 0.9 * first[index] + 0.1 * g
                    second[index] = 0.999 * second[index] + 0.001 * g * g
                    merged.values[index] -= rate * (first[index] / c1) / ((second[index] / c2).squareRoot() + 1e-8)
                }
            }
            return merged
        }
    }

    private static func power(_ base: Double, _ exponent: Int) -> Double {
        (0..<exponent).reduce(1) { value, _ in value * base }
    }
}
