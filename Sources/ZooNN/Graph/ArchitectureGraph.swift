import ZooBase
import ZooTensor

/// A network as data: nodes with an operator, attributes, input edges and the names of the parameters they read.
///
/// Parameter names are exactly those of the checkpoint (`layer1.0.conv1.weight`). Shapes are per sample, the batch
/// axis is left out: an image is `[C, H, W]`, a sequence `[T, D]`, token ids `[T]`, a vector `[D]`. A graph says
/// nothing of weights; running it needs a state dict and inputs, both plain values.
public struct ArchitectureGraph: Sendable, Hashable {
    /// What it is called in catalogs and messages.
    public var name: String
    /// What the network reads.
    public var inputs: [GraphInput]
    /// The operations, each after those it reads.
    public var nodes: [GraphNode]
    /// What can be asked of it: `logits`, `features` (what the head reads), `tokens`, `embedding`, by node.
    public var outputs: [GraphOutput]

    /// Creates a graph without checking it; `validate()` does.
    public init(name: String, inputs: [GraphInput], nodes: [GraphNode], outputs: [GraphOutput]) {
        self.name = name
        self.inputs = inputs
        self.nodes = nodes
        self.outputs = outputs
    }

    /// The node of an output.
    public func node(of output: String) -> String? { outputs.first { $0.name == output }?.node }

    /// Every parameter and buffer the graph reads, with its role in the node, in the order of the nodes.
    public var parameterNames: [String] {
        var seen = Set<String>()
        return nodes.flatMap { $0.parameters.map(\.name) }.filter { seen.insert($0).inserted }
    }
}

/// Something a network reads.
public struct GraphInput: Sendable, Hashable {
    /// What kind of numbers.
    public enum Kind: String, Sendable, Hashable, CaseIterable {
        /// `[C, H, W]`.
        case image
        /// `[D]`.
        case features
        /// Token ids `[T]`.
        case tokens
        /// `[T]`, one for a real token, zero for padding.
        case mask
    }

    /// The name that nodes refer to.
    public var name: String
    /// What kind of numbers.
    public var kind: Kind
    /// The extents per sample; 0 where the data decide (length of a sequence).
    public var shape: [Int]

    /// Creates an input.
    public init(name: String, kind: Kind, shape: [Int]) {
        self.name = name
        self.kind = kind
        self.shape = shape
    }
}

/// One operation.
public struct GraphNode: Sendable, Hashable {
    /// The name that other nodes refer to.
    public var name: String
    /// What it does.
    public var op: GraphOperator
    /// Nodes or inputs it reads, in the operator's order.
    public var inputs: [String]
    /// The tensors it reads: their role in the operator (`weight`, `bias`, `running_mean`) and their checkpoint names.
    public var parameters: [GraphParameter]
    /// Numbers that fix the operator: `stride`, `heads`, `eps`.
    public var attributes: JSONObject
    /// Whether the node is the classification head (or the last projection): soups, task vectors and pruning treat
    /// heads apart.
    public var isHead: Bool

    /// Creates a node.
    public init(
        name: String, op: GraphOperator, inputs: [String], parameters: [GraphParameter] = [],
        attributes: JSONObject = JSONObject(), isHead: Bool = false
    ) {
        self.name = name
        self.op = op
        self.inputs = inputs
        self.parameters = parameters
        self.attributes = attributes
        self.isHead = isHead
    }

    /// The checkpoint name of a role.
    public func parameter(_ role: String) -> String? { parameters.first { $0.role == role }?.name }

    /// A whole number among the attributes.
    public func integer(_ key: String, default value: Int) -> Int { attributes[key]?.int ?? value }

    /// A number among the attributes.
    public func number(_ key: String, default value: Double) -> Double { attributes[key]?.double ?? value }

    /// A truth value among the attributes.
    public func flag(_ key: String) -> Bool { attributes[key]?.bool ?? false }
}

/// A tensor that a node reads.
public struct GraphParameter: Sendable, Hashable {
    /// What the operator does with it.
    public var role: String
    /// Its name in the checkpoint.
    public var name: String

    /// Creates a reference.
    public init(role: String, name: String) {
        self.role = role
        self.name = name
    }
}

/// Something a network can be asked for.
public struct GraphOutput: Sendable, Hashable {
    /// `logits`, `features`, `tokens`, `embedding`.
    public var name: String
    /// The node that computes it.
    public var node: String

    /// Creates an output.
    public init(name: String, node: String) {
        self.name = name
        self.node = node
    }
}
