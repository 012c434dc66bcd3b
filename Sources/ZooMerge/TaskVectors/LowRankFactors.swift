import CZooKernels
import ZooBase
import ZooTensor

/// A task vector of one weight as two factors, ΔW = s · B A (LoRA, arXiv 2106.09685, section 4.1), with `B` `[rows, r]`
/// and `A` `[r, columns]`; a convolution's trailing axes are columns.
package struct LowRankFactors: Sendable {
    /// Rows of the weight.
    package let rows: Int
    /// Columns of the weight, all axes but the first.
    package let columns: Int
    /// r.
    package let rank: Int
    /// s.
    package let scale: Double
    private let b: [Float]
    private let a: [Float]

    /// Takes factors.
    ///
    /// - Throws: `mismatch` when their extents do not multiply to the weight's.
    package init(b: Tensor, a: Tensor, scale: Double, shape: Shape, isTransposed: Bool, name: String) throws {
        let rank = a.shape.dimensions.first ?? 0
        let outputs = b.shape.dimensions.first ?? 0
        let inputs = rank > 0 ? a.elementCount / rank : 0
        let isFactored = rank > 0 && b.elementCount == outputs * rank && a.elementCount == rank * inputs
        guard isFactored, shape.rank >= 2, scale.isFinite,
            isTransposed
                ? shape.dimensions == [inputs, outputs]
                : outputs == shape[0] && outputs * inputs == shape.elementCount
        else {
            throw ZooError(
                .mismatch,
                "'\(name)': the factors \(b.shape) and \(a.shape) do not multiply to the weight \(shape)",
                hint: "the adapter was made for another base")
        }
        self.rank = rank
        self.scale = scale
        if isTransposed {
            (rows, columns) = (inputs, outputs)
            self.b = Self.transposed(a.floats(), rank, inputs)
            self.a = Self.transposed(b.floats(), outputs, rank)
        } else {
            (rows, columns) = (outputs, inputs)
            self.b = b.floats()
            self.a = a.floats()
        }
    }

    /// Bytes that the factors take.
    package var byteCount: Int { (a.count + b.count) * MemoryLayout<Float>.stride }

    /// Whether ΔW is zero because a factor is.
    package var isZero: Bool { scale == 0 || a.allSatisfy { $0 == 0 } || b.allSatisfy { $0 == 0 } }

    private static func transposed(_ x: [Float], _ rows: Int, _ columns: Int) -> [Float] {
        var y = x
        for i in 0..<rows { for j in 0..<columns { y[j * rows + i] = x[i * columns + j] } }
        return y
    }

    /// Elements of ΔW in a flat range.
    package func fill<Scalar: BinaryFloatingPoint>(_ range: Range<Int>, _ output: UnsafeMutablePointer<Scalar>) {
        var place = range.lowerBound
        while place < range.upperBound {
            let row = place / columns, start = place % columns
            let length = min(columns - start, range.upperBound - place)
            let target = output + (place - range.lowerBound)
            target.initialize(repeating: 0, count: length)
            for k in 0..<rank {
                let factor = Scalar(scale) * Scalar(b[row * rank + k])
                for index in 0..<length { target[index] += factor * Scalar(a[k * columns + start + index]) }
            }
            place += length
        }
    }

    /// ⟨G, sBA⟩ = s ⟨BᵀG, A⟩ without forming the product (method page, 8.2): BᵀG is `[r, columns]`.
    package func inner<Scalar: BinaryFloatingPoint>(_ gradient: UnsafePointer<Scalar>) -> Double {
        var total = 0.0
        var projected = [Double](repeating: 0, count: columns)
        for k in 0..<rank {
            for index in 0..<columns { projected[index] = 0 }
            for row in 0..<rows {
                let factor = Double(b[row * rank + k])
                guard factor != 0 else { continue }
                let line = gradient + row * columns
                for index in 0..<columns { projected[index] += factor * Double(line[index]) }
            }
            for index in 0..<columns { total += projected[index] * Double(a[k * columns + index]) }
        }
        return scale * total
    }
}

/// A LoRA adapter in the layout of PEFT: `adapter_config.json` beside tensors
/// `base_model.model.MODULE.lora_A.weight` and `….lora_B.weight`.
public struct LowRankAdapter: Sendable {
    /// One adapted weight.
    struct Pair: Sendable {
        var a: String?
        var b: String?
    }

    private let source: any TensorSource
    private let label: String
    private let pairs: [String: Pair]
    private let scale: @Sendable (_ module: String, _ rank: Int) -> Double
    private let isTransposed: Bool

    /// Reads names and the configuration.
    ///
    /// - Throws: `unsupported` for kinds of adapters that are not products of two factors; `corrupt` for a factor
    ///   without its other.
    public init(_ source: any TensorSource, config: JSONObject, label: String) throws {
        let kind = config["peft_type"]?.string ?? "LORA"
        guard kind == "LORA", config["use_dora"]?.bool != true else {
            throw ZooError(
                .unsupported,
                "\(label): adapters of type \(config["use_dora"]?.bool == true ? "DoRA" : kind) are not read",
                hint: "merge the adapter into its base and give the fine-tuned model")
        }
        var pairs: [String: Pair] = [:]
        for info in source.tensorInfos {
            guard let (module, factor) = Self.parse(info.name) else {
                throw ZooError(
                    .unsupported, "\(label): '\(info.name)' is no LoRA factor",
                    hint: "adapters with biases or saved modules: merge them into the base")
            }
            if factor == "lora_A" { pairs[module, default: Pair()].a = info.name }
            if factor == "lora_B" { pairs[module, default: Pair()].b = info.name }
        }
        if let (module, _) = pairs.sorted(by: { $0.key < $1.key }).first(where: { $1.a == nil || $1.b == nil }) {
            throw ZooError(.corrupt, "\(label): module '\(module)' has one of the two LoRA factors only")
        }
        guard !pairs.isEmpty else { throw ZooError(.corrupt, "\(label): the adapter has no LoRA factors") }
        let alpha = config["lora_alpha"]?.double ?? config["r"]?.double ?? 1
        let alphas = config["alpha_pattern"]?.object ?? JSONObject()
        let isRankStable = config["use_rslora"]?.bool ?? false
        scale = { module, rank in
            // A pattern names the end of a module's path, as PEFT matches it.
            let own = alphas.first { module == $0.key || module.hasSuffix("." + $0.key) }?.value.double ?? alpha
            return own / (isRankStable ? Double(rank).squareRoot() : Double(rank))
        }
        isTransposed = config["fan_in_fan_out"]?.bool ?? false
        self.source = source
        self.label = label
        self.pairs = pairs
    }

    /// Whether tensors look like an adapter's.
    public static func isAdapter(_ infos: [TensorInfo]) -> Bool {
        infos.contains { $0.name.hasSuffix("lora_A.weight") || $0.name.hasSuffix("lora_B.weight") }
    }

    private static func parse(_ name: String) -> (module: String, factor: String)? {
        var parts = name.split(separator: ".").map(String.init)
        guard parts.last == "weight" else { return nil }
        parts.removeLast()
        // Files of an adapter with a name have it behind the factor: `lora_A.default.weight`.
        if let last = parts.last, last != "lora_A", last != "lora_B" { parts.removeLast() }
        guard let factor = parts.popLast(), factor == "lora_A" || factor == "lora_B" else { return nil }
        if parts.starts(with: ["base_model", "model"]) { parts.removeFirst(2) }
        return (parts.joined(separator: "."), factor)
    }

    /// The weights of a base that are adapted; a base's names may have a prefix of their own.
    ///
    /// - Throws: `mismatch` naming a module that the base does not have.
    package func weights(of base: [TensorInfo]) throws -> [String: String] {
        let names = Set(base.map(\.name))
        var found: [String: String] = [:]
        for module in pairs.keys.sorted() {
            let wanted = module + ".weight"
            let candidates = names.contains(wanted) ? [wanted] : names.filter { $0.hasSuffix("." + wanted) }
            guard candidates.count == 1, let name = candidates.first else {
                throw ZooError(
                    .mismatch, "\(label): the base has no weight for the adapted module '\(module)'",
                    hint: "the adapter was made for another base")
            }
            found[name] = module
        }
        return found
    }

    /// The factors of a module.
    package func factors(of module: String, weight: TensorInfo) throws -> LowRankFactors {
        guard let pair = pairs[module], let aName = pair.a, let bName = pair.b else {
            throw ZooError(.notFound, "\(label): no module '\(module)'")
        }
        let a = try source.tensor(named: aName), b = try source.tensor(named: bName)
        return try ZooError.locate(label) {
            try LowRankFactors(
                b: b, a: a, scale: scale(module, a.shape.dimensions.first ?? 1), shape: weight.shape,
                isTransposed: isTransposed, name: weight.name)
        }
    }
}
