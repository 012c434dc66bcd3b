import ZooBase

extension ArchitectureGraph {
    /// Reads a graph from its data form (a YAML or JSON file under `manifests/architectures/`) and validates it.
    ///
    ///     name: cnn-s-8x8
    ///     inputs: [{name: image, kind: image, shape: [1, 8, 8]}]
    ///     nodes:
    ///       - {name: conv1, op: conv2d, parameters: {weight: module_list.0.weight, bias: module_list.0.bias}, padding: 2}
    ///       - {name: act1, op: activation, kind: tanh}
    ///     outputs: {logits: act1}
    ///
    /// A node without `inputs` reads the node before it, the first one the first input. Keys of a node that are not
    /// `name`, `op`, `inputs`, `parameters`, `head` are attributes of its operator.
    ///
    /// - Throws: `corrupt` naming node and key, with the nearest known name for an unknown one.
    public init(json: JSONValue) throws {
        guard let object = json.object else { throw ZooError(.corrupt, "an architecture must be a mapping") }
        for (key, _) in object where !["name", "inputs", "nodes", "outputs", "description"].contains(key) {
            throw ZooError(.corrupt, "unknown key '\(key)' in the architecture")
        }
        guard let name = object["name"]?.string else { throw ZooError(.corrupt, "the architecture has no 'name'") }
        let inputs = try Self.list(object, "inputs", of: "the architecture").map(Self.input)
        var nodes: [GraphNode] = []
        for element in try Self.list(object, "nodes", of: "the architecture") {
            let previous = nodes.last?.name ?? inputs.first?.name
            nodes.append(try Self.node(element, previous: previous, number: nodes.count + 1))
        }
        let outputs = try Self.names(object, "outputs", of: "the architecture").map { member in
            GraphOutput(name: member.key, node: member.name)
        }
        self.init(name: name, inputs: inputs, nodes: nodes, outputs: outputs)
        try validate()
    }

    /// The data form; `init(json:)` reads it back.
    public var json: JSONValue {
        .object(
            JSONObject([
                ("name", .string(name)),
                (
                    "inputs",
                    .array(
                        inputs.map { input in
                            [
                                "name": .string(input.name), "kind": .string(input.kind.rawValue),
                                "shape": .array(input.shape.map { .int(Int64($0)) }),
                            ]
                        })
                ),
                ("nodes", .array(nodes.map(Self.json))),
                ("outputs", .object(JSONObject(outputs.map { ($0.name, .string($0.node)) }))),
            ]))
    }

    private static func json(_ node: GraphNode) -> JSONValue {
        var object = JSONObject([
            ("name", .string(node.name)), ("op", .string(node.op.rawValue)),
            ("inputs", .array(node.inputs.map { .string($0) })),
        ])
        if !node.parameters.isEmpty {
            object["parameters"] = .object(JSONObject(node.parameters.map { ($0.role, .string($0.name)) }))
        }
        if node.isHead { object["head"] = true }
        for (key, value) in node.attributes { object[key] = value }
        return .object(object)
    }

    private static func input(_ json: JSONValue) throws -> GraphInput {
        guard let name = json["name"]?.string, let word = json["kind"]?.string,
            let kind = GraphInput.Kind(rawValue: word), let extents = json["shape"]?.array
        else {
            let kinds = GraphInput.Kind.allCases.map(\.rawValue).joined(separator: ", ")
            throw ZooError(.corrupt, "an input needs 'name', 'shape' and a 'kind' out of \(kinds)")
        }
        let shape = try extents.map { extent in
            guard let number = extent.int, number >= 0, number <= GraphNode.largestAttribute else {
                let expected = "whole numbers from 0 to \(GraphNode.largestAttribute)"
                throw ZooError(.corrupt, "input '\(name)': 'shape': expected \(expected), found \(extent.text())")
            }
            return number
        }
        return GraphInput(name: name, kind: kind, shape: shape)
    }

    /// The elements of a list; none when the key is not there.
    private static func list(_ object: JSONObject, _ key: String, of place: String) throws -> [JSONValue] {
        guard let value = object[key] else { return [] }
        guard let list = value.array else {
            throw ZooError(.corrupt, "\(place): '\(key)': expected a list, found \(value.text())")
        }
        return list
    }

    /// The members of a mapping of names to names; none when the key is not there.
    private static func names(
        _ object: JSONObject, _ key: String, of place: String
    ) throws -> [(key: String, name: String)] {
        guard let value = object[key] else { return [] }
        guard let members = value.object?.members else {
            throw ZooError(.corrupt, "\(place): '\(key)': expected a mapping, found \(value.text())")
        }
        return try members.map { member in
            guard let name = member.value.string else {
                throw ZooError(
                    .corrupt, "\(place): '\(key).\(member.key)': expected a name, found \(member.value.text())")
            }
            return (key: member.key, name: name)
        }
    }

    private static func node(_ json: JSONValue, previous: String?, number: Int) throws -> GraphNode {
        guard let object = json.object, let name = object["name"]?.string else {
            throw ZooError(.corrupt, "node \(number) has no 'name'")
        }
        guard let word = object["op"]?.string else { throw ZooError(.corrupt, "node '\(name)' has no 'op'") }
        guard let op = GraphOperator(rawValue: word) else {
            let names = GraphOperator.allCases.map(\.rawValue)
            throw ZooError(
                .corrupt, "node '\(name)': unknown operator '\(word)'",
                hint: NearestName.hint(word, in: names, kind: "operators"))
        }
        var attributes = JSONObject()
        for (key, value) in object where !["name", "op", "inputs", "parameters", "head"].contains(key) {
            attributes[key] = value
        }
        let place = "node '\(name)'"
        var sources = previous.map { [$0] } ?? []
        if object["inputs"] != nil {
            sources = try list(object, "inputs", of: place).map { source in
                guard let name = source.string else {
                    throw ZooError(.corrupt, "\(place): 'inputs': expected names, found \(source.text())")
                }
                return name
            }
        }
        if let head = object["head"], head.bool == nil {
            throw ZooError(.corrupt, "\(place): 'head': expected true or false, found \(head.text())")
        }
        return GraphNode(
            name: name, op: op, inputs: sources,
            parameters: try names(object, "parameters", of: place).map { member in
                GraphParameter(role: member.key, name: member.name)
            },
            attributes: attributes, isHead: object["head"]?.bool ?? false)
    }
}

extension ArchitectureGraph {
    /// Checks that names are unique, edges lead backwards, operators get their tensors and attributes.
    ///
    /// - Throws: `corrupt` naming node and fault.
    public func validate() throws {
        var known = Set<String>()
        for input in inputs {
            guard known.insert(input.name).inserted else {
                throw ZooError(.corrupt, "two inputs are named '\(input.name)'")
            }
        }
        for node in nodes {
            try check(node, known)
            guard known.insert(node.name).inserted else {
                throw ZooError(.corrupt, "two nodes are named '\(node.name)'")
            }
        }
        guard !outputs.isEmpty else { throw ZooError(.corrupt, "architecture '\(name)' has no output") }
        for output in outputs where !known.contains(output.node) {
            throw ZooError(.corrupt, "output '\(output.name)' names the unknown node '\(output.node)'")
        }
    }

    private func check(_ node: GraphNode, _ known: Set<String>) throws {
        for source in node.inputs where !known.contains(source) {
            throw ZooError(.corrupt, "node '\(node.name)' reads '\(source)', which does not come before it")
        }
        guard node.op.arity.contains(node.inputs.count) else {
            throw ZooError(
                .corrupt,
                "node '\(node.name)': \(node.op.rawValue) takes \(node.op.arity) inputs, not \(node.inputs.count)")
        }
        let (required, optional) = node.op.roles
        for role in required where node.parameter(role) == nil {
            throw ZooError(.corrupt, "node '\(node.name)': \(node.op.rawValue) needs the parameter '\(role)'")
        }
        for parameter in node.parameters where !(required + optional).contains(parameter.role) {
            throw ZooError(.corrupt, "node '\(node.name)': \(node.op.rawValue) has no parameter '\(parameter.role)'")
        }
        for (key, _) in node.attributes where !node.op.attributeNames.contains(key) {
            throw ZooError(
                .corrupt, "node '\(node.name)': \(node.op.rawValue) has no attribute '\(key)'",
                hint: NearestName.hint(key, in: node.op.attributeNames.sorted(), kind: "attributes"))
        }
        if let fault = node.attributeFault { throw ZooError(.corrupt, "node '\(node.name)': \(fault)") }
        if node.op == .activation {
            guard let kind = node.attributes["kind"]?.string, ActivationKind(alias: kind) != nil else {
                let kinds = ActivationKind.allCases.map(\.rawValue).joined(separator: ", ")
                throw ZooError(.corrupt, "node '\(node.name)': 'kind' must be one of \(kinds)")
            }
        }
    }
}
