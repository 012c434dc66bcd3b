import ZooBase
import ZooTensor

/// A network that can be made from nothing: the graph together with names, types and shapes of all its tensors, in the
/// order in which PyTorch's `state_dict()` lists them.
public struct ArchitectureBlueprint: Sendable, Hashable {
    /// The network.
    public var graph: ArchitectureGraph
    /// Its parameters and buffers.
    public var tensors: [TensorInfo]

    /// Creates a blueprint of a graph and the tensors of a checkpoint that it runs with.
    public init(graph: ArchitectureGraph, tensors: [TensorInfo]) {
        self.graph = graph
        self.tensors = tensors
    }

    /// The families that can be made from numbers, with the numbers that they understand.
    public static let families: [String: [String]] = [
        "small-cnn": [
            "channels", "kernels", "padding", "pool", "hidden", "activation", "dropout", "bias", "input", "classes",
        ],
        "resnet": ["width", "blocks", "bottleneck", "stem", "input", "classes"],
        "mlp": ["hidden", "activation", "bias", "input", "classes"],
        "vit": ["patch", "dim", "depth", "heads", "mlp_ratio", "activation", "eps", "input", "classes"],
    ]

    /// The numbers that have no default.
    private static let required = [
        "small-cnn": ["channels", "hidden", "activation"], "vit": ["patch", "dim", "depth", "heads"],
    ]

    /// A network of a family.
    ///
    ///     family: small-cnn          family: resnet        family: mlp
    ///     channels: [8, 6, 4]        width: 16             hidden: [64, 32]
    ///     kernels: [5, 5, 2]         blocks: [1, 1]        activation: tanh
    ///     padding: [2, 2, 0]
    ///     pool: [true, false, false]
    ///     hidden: 20
    ///     activation: tanh           family: vit
    ///                                patch: 2, dim: 32, depth: 2, heads: 4, mlp_ratio: 4
    ///
    /// - Parameters:
    ///   - inputShape: extents of a sample; `input` among the numbers wins.
    ///   - classes: logits; `classes` among the numbers wins.
    /// - Throws: `usage` for a family, key or number that makes no sense.
    public init(name: String, numbers: JSONObject, inputShape: [Int], classes: Int) throws {
        let names = Self.families.keys.sorted()
        guard let family = numbers["family"]?.string, let known = Self.families[family] else {
            let word = numbers["family"]?.string ?? ""
            throw ZooError(
                .usage, "architecture: there is no family '\(word)' that can be made from numbers",
                hint: NearestName.hint(word, in: names, kind: "families"))
        }
        for (key, _) in numbers where !(known + ["family", "name"]).contains(key) {
            throw ZooError(
                .usage, "architecture: family '\(family)' has no number '\(key)'",
                hint: NearestName.hint(key, in: known, kind: "numbers"))
        }
        let reader = BlueprintNumbers(family: family, numbers: numbers)
        let missing = (Self.required[family] ?? []).filter { numbers[$0] == nil }
        guard missing.isEmpty else {
            throw reader.fault(missing.map { "'\($0)' is missing" }.joined(separator: ", "))
        }
        let input = try reader.list("input", default: inputShape)
        let outputs = try reader.count("classes", default: classes)
        let graph: ArchitectureGraph
        var sizes = ParameterSizes()
        switch family {
        case "small-cnn": graph = try Self.smallCNN(name, reader, input, outputs, &sizes)
        case "resnet": graph = try Self.resNet(name, reader, input, outputs, &sizes)
        case "vit": graph = try Self.visionTransformer(name, reader, input, outputs, &sizes)
        default: graph = try Self.perceptron(name, reader, input, outputs, &sizes)
        }
        self.graph = graph
        tensors = try sizes.tensors(of: graph)
    }

    private static func smallCNN(
        _ name: String, _ numbers: BlueprintNumbers, _ input: [Int], _ classes: Int, _ sizes: inout ParameterSizes
    ) throws -> ArchitectureGraph {
        guard input.count == 3 else { throw numbers.fault("reads images [C, H, W]; the samples have extents \(input)") }
        let channels = try numbers.list("channels", default: nil)
        let kernels = try numbers.list("kernels", default: [Int](repeating: 3, count: channels.count))
        let paddings = try numbers.list("padding", default: kernels.map { _ in 0 }, minimum: 0)
        let pools = try numbers.flags("pool", default: kernels.map { _ in false })
        guard kernels.count == channels.count, paddings.count == channels.count, pools.count == channels.count else {
            throw numbers.fault("'channels', 'kernels', 'padding' and 'pool' need one entry per convolution")
        }
        let dropout = try numbers.fraction("dropout")
        let extra = dropout > 0 ? 1 : 0
        var modules: [Int] = []
        var next = 0
        for index in channels.indices {
            modules.append(next)
            // Pooling, or the identity in its place, follows every convolution but the last.
            let hasPool = pools[index] || index + 1 < channels.count
            next += 2 + (hasPool ? 1 : 0) + extra
        }
        modules += [next + 1, next + 3 + extra]
        let hidden = try numbers.count("hidden", default: nil)
        for (index, count) in channels.enumerated() {
            sizes.add("module_list.\(modules[index])", outputs: count, kernel: kernels[index])
        }
        sizes.add("module_list.\(next + 1)", outputs: hidden)
        sizes.add("module_list.\(next + 3 + extra)", outputs: classes)
        return SmallCNN(
            inputShape: input, stages: zip(paddings, pools).map { SmallCNN.Stage(padding: $0, pools: $1) },
            activation: try numbers.activation(), dropout: dropout, hasBias: try numbers.flag("bias", default: true),
            modules: modules
        ).graph(name)
    }

    private static func resNet(
        _ name: String, _ numbers: BlueprintNumbers, _ input: [Int], _ classes: Int, _ sizes: inout ParameterSizes
    ) throws -> ArchitectureGraph {
        guard input.count == 3 else { throw numbers.fault("reads images [C, H, W]; the samples have extents \(input)") }
        let width = try numbers.count("width", default: 64), blocks = try numbers.list("blocks", default: [2, 2, 2, 2])
        let isBottleneck = try numbers.flag("bottleneck", default: false)
        let stem = numbers.numbers["stem"]?.string ?? "cifar"
        guard ["cifar", "imagenet"].contains(stem) else { throw numbers.fault("'stem' is cifar or imagenet") }
        guard blocks.count <= 8, blocks.reduce(0, +) <= 1024, width <= 1 << 16 else {
            throw numbers.fault("'blocks' or 'width' is larger than any network")
        }
        sizes.add("conv1", outputs: width, kernel: stem == "imagenet" ? 7 : 3)
        for (stage, count) in blocks.enumerated() {
            let inner = width << stage, outer = isBottleneck ? 4 * inner : inner
            for block in 0..<count {
                let prefix = "layer\(stage + 1).\(block)"
                let layers = isBottleneck ? [(inner, 1), (inner, 3), (outer, 1)] : [(inner, 3), (inner, 3)]
                for (index, layer) in layers.enumerated() {
                    sizes.add("\(prefix).conv\(index + 1)", outputs: layer.0, kernel: layer.1)
                }
                sizes.add("\(prefix).downsample.0", outputs: outer, kernel: 1)
            }
        }
        sizes.add("fc", outputs: classes)
        return ResNet(
            blocks: blocks, width: width, isBottleneck: isBottleneck, inputShape: input,
            hasImageNetStem: stem == "imagenet"
        ).graph(name)
    }

    private static func perceptron(
        _ name: String, _ numbers: BlueprintNumbers, _ input: [Int], _ classes: Int, _ sizes: inout ParameterSizes
    ) throws -> ArchitectureGraph {
        let hidden = try numbers.list("hidden", default: [])
        let prefixes = (hidden + [classes]).indices.map { "fc\($0 + 1)" }
        for (prefix, outputs) in zip(prefixes, hidden + [classes]) { sizes.add(prefix, outputs: outputs) }
        return MLP(
            prefixes: prefixes, inputShape: input, activation: hidden.isEmpty ? .identity : try numbers.activation(),
            hasBias: try numbers.flag("bias", default: true)
        ).graph(name)
    }
}

/// The numbers of a family with their checks.
struct BlueprintNumbers {
    var family: String
    var numbers: JSONObject

    func fault(_ text: String) -> ZooError { ZooError(.usage, "architecture: family '\(family)': \(text)") }

    func count(_ key: String, default fallback: Int?) throws -> Int {
        guard let value = numbers[key] else {
            guard let fallback else { throw fault("'\(key)' is missing") }
            return fallback
        }
        guard let number = value.int, number > 0, number <= 1 << 24 else {
            throw fault("'\(key)' must be a whole number from 1 on")
        }
        return number
    }

    func list(_ key: String, default fallback: [Int]?, minimum: Int = 1) throws -> [Int] {
        guard let value = numbers[key] else {
            guard let fallback else { throw fault("'\(key)' is missing") }
            return fallback
        }
        let list = value.array?.compactMap(\.int) ?? []
        guard let array = value.array, list.count == array.count, list.count <= 64,
            list.allSatisfy({ $0 >= minimum && $0 <= 1 << 24 })
        else { throw fault("'\(key)' must be a list of whole numbers from \(minimum) on") }
        return list
    }

    func flags(_ key: String, default fallback: [Bool]) throws -> [Bool] {
        guard let value = numbers[key] else { return fallback }
        guard let array = value.array, array.allSatisfy({ $0.bool != nil }) else {
            throw fault("'\(key)' must be a list of true and false")
        }
        return array.compactMap(\.bool)
    }

    func flag(_ key: String, default fallback: Bool) throws -> Bool {
        guard let value = numbers[key] else { return fallback }
        guard let flag = value.bool else { throw fault("'\(key)' must be true or false") }
        return flag
    }

    func fraction(_ key: String) throws -> Double {
        guard let value = numbers[key] else { return 0 }
        guard let number = value.double, number >= 0, number < 1 else { throw fault("'\(key)' must be from 0 to 1") }
        return number
    }

    func number(_ key: String, default fallback: Double, in range: ClosedRange<Double>) throws -> Double {
        guard let value = numbers[key] else { return fallback }
        guard let number = value.double, range.contains(number) else {
            throw fault("'\(key)' must be a number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    func activation(default fallback: ActivationKind? = nil) throws -> ActivationKind {
        let known = ActivationKind.allCases.map(\.rawValue)
        if numbers["activation"] == nil, let fallback { return fallback }
        guard let word = numbers["activation"]?.string else { throw fault("'activation' is missing") }
        guard let kind = ActivationKind(alias: word) else {
            throw ZooError(
                .usage, "architecture: unknown activation '\(word)'",
                hint: NearestName.hint(word, in: known, kind: "activations"))
        }
        return kind
    }
}

/// Outputs and kernels of weighted layers; the inputs follow from walking the graph.
struct ParameterSizes {
    private var layers: [String: (outputs: Int, kernel: Int)] = [:]

    mutating func add(_ prefix: String, outputs: Int, kernel: Int = 1) { layers[prefix] = (outputs, kernel) }

    /// Names, types and shapes of all tensors of a graph of convolutions, linear layers, norms, pooling and tokens of
    /// an image.
    ///
    /// A module's own tensors come before those of its parts in a `state_dict()`, so names without a dot come first.
    ///
    /// - Throws: `usage` where an image gets smaller than a kernel.
    func tensors(of graph: ArchitectureGraph) throws -> [TensorInfo] {
        var tensors: [TensorInfo] = []
        var shapes = Dictionary(graph.inputs.map { ($0.name, $0.shape) }, uniquingKeysWith: { first, _ in first })
        for node in graph.nodes {
            let x = node.inputs.first.flatMap { shapes[$0] } ?? []
            shapes[node.name] = try shape(of: node, x)
            for parameter in node.parameters {
                let extents: [Int]
                switch (node.op, parameter.role) {
                case (.conv2d, "weight"):
                    let layer = layers[node.name] ?? (1, 1)
                    extents = [layer.outputs, x[0], layer.kernel, layer.kernel]
                case (.linear, "weight"): extents = [layers[node.name]?.outputs ?? 1, x.last ?? 1]
                case (_, "num_batches_tracked"): extents = []
                case (.batchNorm, _): extents = [x[0]]
                case (.layerNorm, _): extents = [x.last ?? 1]
                case (.classToken, _): extents = [1, 1, x.last ?? 1]
                case (.positionEmbedding, _): extents = [1] + x
                default: extents = [layers[node.name]?.outputs ?? 1]
                }
                let type: DType = parameter.role == "num_batches_tracked" ? .int64 : .float32
                tensors.append(TensorInfo(name: parameter.name, dtype: type, shape: try Shape(validating: extents)))
            }
        }
        return tensors.filter { !$0.name.contains(".") } + tensors.filter { $0.name.contains(".") }
    }

    private func shape(of node: GraphNode, _ x: [Int]) throws -> [Int] {
        switch node.op {
        case .conv2d:
            let layer = layers[node.name] ?? (1, 1)
            return try [layer.outputs] + extents(node, x, layer.kernel, stride: node.integer("stride", default: 1))
        case .maxPool, .averagePool:
            let kernel = node.integer("kernel", default: 2)
            return try [x[0]] + extents(node, x, kernel, stride: node.integer("stride", default: kernel))
        case .linear: return x.dropLast() + [layers[node.name]?.outputs ?? 1]
        case .globalAveragePool: return [x[0]]
        case .tokensFromImage: return [x[1] * x[2], x[0]]
        case .classToken: return [x[0] + 1, x[1]]
        case .slice: return x.dropLast() + [node.integer("length", default: 1)]
        case .selectToken: return [x[1]]
        case .flatten:
            guard let count = GraphShapes.elementCount(x) else {
                throw ZooError(
                    .limit, "architecture: '\(node.name)' reads \(x), more than \(GraphShapes.elementLimit) elements")
            }
            return [count]
        default: return x
        }
    }

    private func extents(_ node: GraphNode, _ x: [Int], _ kernel: Int, stride: Int) throws -> [Int] {
        try x.dropFirst().map { extent in
            let space = extent + 2 * node.integer("padding", default: 0) - kernel
            guard space >= 0 else {
                throw ZooError(
                    .usage, "architecture: '\(node.name)' has a kernel of \(kernel) for an extent of \(extent)")
            }
            return space / stride + 1
        }
    }
}
