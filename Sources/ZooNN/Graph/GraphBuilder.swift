import ZooBase

/// Builds a graph node by node; the families are written with it. Each call reads the node before it unless told
/// otherwise and returns the name of the new node.
struct GraphBuilder {
    private var inputs: [GraphInput]
    private var nodes: [GraphNode] = []
    private var outputs: [GraphOutput] = []
    /// The node that the next one reads.
    private(set) var last: String

    init(_ inputs: GraphInput...) {
        self.inputs = inputs
        last = inputs[0].name
    }

    /// Adds a node that reads `inputs` (else the last node). `tensors` maps roles to checkpoint names.
    @discardableResult
    mutating func add(
        _ op: GraphOperator, _ name: String, _ inputs: [String]? = nil, tensors: [(String, String)] = [],
        with attributes: [(String, JSONValue)] = [], isHead: Bool = false
    ) -> String {
        nodes.append(
            GraphNode(
                name: name, op: op, inputs: inputs ?? [last],
                parameters: tensors.map { GraphParameter(role: $0.0, name: $0.1) },
                attributes: JSONObject(attributes), isHead: isHead))
        last = name
        return name
    }

    /// A layer with the usual pair `prefix.weight`, `prefix.bias`, named after its prefix.
    @discardableResult
    mutating func layer(
        _ op: GraphOperator, _ prefix: String, _ input: String? = nil, bias: Bool = true,
        with attributes: [(String, JSONValue)] = [], isHead: Bool = false
    ) -> String {
        let tensors = [("weight", "\(prefix).weight")] + (bias ? [("bias", "\(prefix).bias")] : [])
        return add(op, prefix, input.map { [$0] }, tensors: tensors, with: attributes, isHead: isHead)
    }

    /// Batch norm with its four tensors and the counter.
    @discardableResult
    mutating func batchNorm(_ prefix: String, _ input: String? = nil, eps: Double = 1e-5) -> String {
        let roles = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
        return add(
            .batchNorm, prefix, input.map { [$0] }, tensors: roles.map { ($0, "\(prefix).\($0)") },
            with: [("eps", .double(eps))])
    }

    /// An activation.
    @discardableResult
    mutating func activation(_ kind: ActivationKind, _ name: String, _ input: String? = nil) -> String {
        add(.activation, name, input.map { [$0] }, with: [("kind", .string(kind.rawValue))])
    }

    /// Names an output: the last node unless told otherwise.
    mutating func output(_ name: String, _ node: String? = nil) {
        outputs.append(GraphOutput(name: name, node: node ?? last))
    }

    /// The graph.
    func graph(_ name: String) -> ArchitectureGraph {
        ArchitectureGraph(name: name, inputs: inputs, nodes: nodes, outputs: outputs)
    }
}
