import ZooBase
import ZooTensor

/// One module of an `AdapterCombination`.
struct ModuleCombination {
    struct Result {
        var a: Tensor
        var b: Tensor
        var bias: Tensor?
        var isEmbedding: Bool
    }

    private struct Member {
        var a: Matrix
        var b: Matrix
        /// wᵢ sᵢ.
        var factor: Double
        /// wᵢ.
        var weight: Double
        var scaling: Double
        var bias: [Double]?
    }

    private let name: String
    private let kind: AdapterCombination.Kind
    private let options: AdapterCombination.Options
    private let members: [Member]
    private let template: Adapter.Module
    private let largestRank: Int

    init(
        _ name: String, _ adapters: [Adapter], _ names: [String], _ kind: AdapterCombination.Kind,
        _ options: AdapterCombination.Options
    ) throws {
        var members: [Member] = [], template: Adapter.Module?
        for (place, adapter) in adapters.enumerated() {
            guard let module = adapter.modules.first(where: { $0.name == name }) else { continue }
            if let known = template {
                let fits =
                    module.a.shape.dimensions.dropFirst().elementsEqual(known.a.shape.dimensions.dropFirst())
                    && module.b.shape[0] == known.b.shape[0] && module.isEmbedding == known.isEmbedding
                guard fits else {
                    throw ZooError(
                        .mismatch,
                        "lora_A \(module.a.shape) and lora_B \(module.b.shape) in \(names[place]), "
                            + "\(known.a.shape) and \(known.b.shape) before")
                }
                guard kind == .cat || kind.decomposes || module.rank == known.rank else {
                    throw ZooError(
                        .mismatch,
                        "rank \(module.rank) in \(names[place]), \(known.rank) before; '\(kind.rawValue)' takes equal ranks",
                        hint: "use cat or svd")
                }
            }
            template = template ?? module
            let a = try adapter.weights.tensor(named: module.a.name).doubles()
            let b = try adapter.weights.tensor(named: module.b.name).doubles()
            let bias = try module.bias.map { try adapter.weights.tensor(named: $0.name).doubles() }
            let weight = options.weights[place]
            members.append(
                Member(
                    a: Matrix(rows: module.rank, columns: a.count / module.rank, values: a),
                    b: Matrix(rows: module.b.shape[0], columns: module.rank, values: b),
                    factor: weight * module.scaling, weight: weight, scaling: module.scaling, bias: bias))
        }
        guard let template else { throw ZooError(.internal, "no adapter has it") }
        self.name = name
        self.kind = kind
        self.options = options
        self.members = members
        self.template = template
        largestRank = adapters.flatMap(\.modules).map(\.rank).max() ?? 1
    }

    func result() throws -> Result {
        let (a, b) = kind == .cat ? joined() : kind.decomposes ? try decomposed() : try mixed()
        let rank = a.rows
        let shapeA = [rank] + template.a.shape.dimensions.dropFirst()
        let shapeB = [b.rows, rank] + template.b.shape.dimensions.dropFirst(2)
        let type: DType = template.a.dtype
        return Result(
            a: Tensor(a.values, shape: Shape(Array(shapeA))).converted(to: type),
            b: Tensor(b.values, shape: Shape(Array(shapeB))).converted(to: type), bias: bias(type),
            isEmbedding: template.isEmbedding)
    }

    private func bias(_ type: DType) -> Tensor? {
        guard members.contains(where: { $0.bias != nil }) else { return nil }
        var sum = [Double](repeating: 0, count: template.b.shape[0])
        for member in members {
            for (place, value) in (member.bias ?? []).enumerated() where place < sum.count {
                sum[place] += member.factor * value
            }
        }
        return Tensor(sum, shape: [sum.count]).converted(to: type)
    }

    private func joined() -> (Matrix, Matrix) {
        let columns = members[0].a.columns
        let a = Matrix(
            rows: members.reduce(0) { $0 + $1.a.rows }, columns: columns,
            values: members.flatMap { member in member.a.values.map { $0 * member.factor } })
        return (a, Matrix.joined(members.map(\.b)))
    }

    private func mixed() throws -> (Matrix, Matrix) {
        let roots = members.map { $0.factor.magnitude.squareRoot() }
        let signed = zip(members, roots).map { $0.factor >= 0 ? $1 : -$1 }
        return (
            try mix(members.map(\.a), signed, part: "A"), try mix(members.map(\.b), roots, part: "B")
        )
    }

    private func decomposed() throws -> (Matrix, Matrix) {
        let rank = options.rank ?? largestRank
        let changes = try members.map { try $0.b.times($0.a).scaled($0.scaling) }
        let sum = try mix(changes, members.map(\.weight), part: "change")
        let (u, sigma, v) = try sum.singularValues()
        let kept = min(rank, sigma.count)
        var b = u.prefix(kept).columnsScaled(Array(sigma.prefix(kept)))
        var a = v.prefix(kept).transposed()
        if let clamp = options.clamp {
            let bound = Self.quantile(b.values + a.values, clamp)
            // As torch's clamp does: the upper bound last, so a negative quantile makes everything that.
            func cut(_ value: Double) -> Double { min(max(value, -bound), bound) }
            b.values = b.values.map(cut)
            a.values = a.values.map(cut)
        }
        return (a, b)
    }

    /// The quantile with linear interpolation between neighbours.
    static func quantile(_ values: [Double], _ q: Double) -> Double {
        let sorted = values.sorted()
        let place = q * Double(sorted.count - 1)
        let below = Int(place), above = min(below + 1, sorted.count - 1)
        return sorted[below] + (place - Double(below)) * (sorted[above] - sorted[below])
    }

    // MARK: PEFT's merge_utils

    private func mix(_ tensors: [Matrix], _ weights: [Double], part: String) throws -> Matrix {
        var tensors = tensors
        switch kind {
        case .ties, .magnitudePrune, .tiesSVD, .magnitudePruneSVD:
            for place in tensors.indices { tensors[place].values = pruned(tensors[place].values) }
        case .dareLinear, .dareTies, .dareLinearSVD, .dareTiesSVD:
            for place in tensors.indices {
                let seed = options.seed ^ StableHash.of("\(name)/\(part)/\(place)")
                tensors[place].values = dropped(tensors[place].values, seed)
            }
        case .cat, .linear, .svd: break
        }
        let elects = [.ties, .dareTies, .tiesSVD, .dareTiesSVD].contains(kind)
        var result = tensors[0]
        for place in result.values.indices {
            let values = tensors.map { $0.values[place] }
            result.values[place] =
                elects ? agreed(values, weights) : zip(values, weights).reduce(0) { $0 + $1.0 * $1.1 }
        }
        return result
    }

    /// Keeps the largest ⌊density·n⌋ magnitudes, of equals the earlier ones.
    private func pruned(_ values: [Double]) -> [Double] {
        guard options.density < 1 else { return values }
        let count = Int(options.density * Double(values.count))
        let order = values.indices.sorted { (-values[$0].magnitude, $0) < (-values[$1].magnitude, $1) }
        var result = [Double](repeating: 0, count: values.count)
        for place in order.prefix(count) { result[place] = values[place] }
        return result
    }

    /// Keeps each value with the density as its probability, divided by it.
    private func dropped(_ values: [Double], _ seed: UInt64) -> [Double] {
        guard options.density < 1 else { return values }
        var generator = SeededGenerator(seed: seed)
        return values.map { value in
            let draw = Double(generator.next() >> 11) * 0x1p-53
            return draw < options.density ? value / options.density : 0
        }
    }

    /// The weighted sum of the values with the elected sign, divided by their number.
    private func agreed(_ values: [Double], _ weights: [Double]) -> Double {
        func sign(_ value: Double) -> Double { value > 0 ? 1 : value < 0 ? -1 : 0 }
        let vote = values.reduce(0) { $0 + (options.electsByCount ? sign($1) : $1) }
        let elected: Double = vote >= 0 ? 1 : -1
        var sum = 0.0, count = 0.0
        for (value, weight) in zip(values, weights) where sign(value) == elected {
            sum += value * weight
            count += 1
        }
        return sum / max(1, count)
    }
}
