import Testing
import ZooBase
import ZooNN
import ZooTensor
import ZooTestModels
import ZooTestSupport

/// Which architecture a checkpoint gets.
@Suite struct ChoiceTests {
    private func tensors(_ shapes: [(String, [Int])]) -> [TensorInfo] {
        shapes.map { TensorInfo(name: $0.0, dtype: .float32, shape: Shape($0.1)) }
    }

    /// The published small CNN for 28×28 images.
    private var published: [TensorInfo] {
        tensors([
            ("module_list.0.weight", [8, 1, 5, 5]), ("module_list.0.bias", [8]),
            ("module_list.3.weight", [6, 8, 5, 5]), ("module_list.3.bias", [6]),
            ("module_list.6.weight", [4, 6, 2, 2]), ("module_list.6.bias", [4]),
            ("module_list.9.weight", [20, 36]), ("module_list.9.bias", [20]),
            ("module_list.11.weight", [10, 20]), ("module_list.11.bias", [10]),
        ])
    }

    @Test func thePublishedSmallCNNIsInferredWithoutAFile() throws {
        let request = ArchitectureRequest(
            tensors: published, inputShape: [1, 28, 28], config: JSONObject([("model::nlin", "gelu")]))
        let graph = try ArchitectureResolver().choose(request).graph
        #expect(graph.nodes.count { $0.op == .maxPool } == 2)
        #expect(graph.nodes.first { $0.op == .activation }?.attributes["kind"] == "gelu")
        #expect(try GraphShapes(graph, tensors: published).unread == [])
    }

    @Test func severalNetworksThatFitAreListed() {
        let request = ArchitectureRequest(
            tensors: published, inputShape: [1, 8, 8], config: JSONObject([("model::nlin", "gelu")]))
        let error = #expect(throws: ZooError.self) { try ArchitectureResolver().choose(request) }
        #expect(error?.message.contains("padding=[2, 2, 0] pool=[true, false, false]") == true)
    }

    @Test func settingsDecideBetweenThem() throws {
        let request = ArchitectureRequest(
            tensors: published, inputShape: [1, 8, 8],
            settings: JSONObject([("activation", "tanh"), ("pool", [true, false, false])]))
        let graph = try ArchitectureResolver().choose(request).graph
        #expect(graph.nodes.count { $0.op == .maxPool } == 1)
    }

    @Test func aMissingActivationIsAskedForWithTheCandidates() {
        let request = ArchitectureRequest(tensors: published, inputShape: [1, 28, 28])
        let error = #expect(throws: ZooError.self) { try ArchitectureResolver().choose(request) }
        #expect(error?.hint.contains("gelu") == true)
    }

    @Test func bottleneckNetworksAreReadOffTheirNames() throws {
        var shapes: [(String, [Int])] = [("conv1.weight", [64, 3, 7, 7])]
        func norm(_ prefix: String, _ width: Int) {
            for role in ["weight", "bias", "running_mean", "running_var"] {
                shapes.append(("\(prefix).\(role)", [width]))
            }
        }
        norm("bn1", 64)
        var channels = 64
        for (stage, count) in [3, 4, 6, 3].enumerated() {
            let inner = 64 << stage
            for block in 0..<count {
                let prefix = "layer\(stage + 1).\(block)"
                shapes.append(("\(prefix).conv1.weight", [inner, channels, 1, 1]))
                norm("\(prefix).bn1", inner)
                shapes.append(("\(prefix).conv2.weight", [inner, inner, 3, 3]))
                norm("\(prefix).bn2", inner)
                shapes.append(("\(prefix).conv3.weight", [4 * inner, inner, 1, 1]))
                norm("\(prefix).bn3", 4 * inner)
                if block == 0 {
                    shapes.append(("\(prefix).downsample.0.weight", [4 * inner, channels, 1, 1]))
                    norm("\(prefix).downsample.1", 4 * inner)
                }
                channels = 4 * inner
            }
        }
        shapes += [("fc.weight", [1000, 2048]), ("fc.bias", [1000])]
        let request = ArchitectureRequest(tensors: tensors(shapes), inputShape: [3, 224, 224])
        let graph = try ArchitectureResolver().choose(request).graph
        let found = try GraphShapes(graph, tensors: request.tensors)
        #expect(found.shapes["layer4.2.relu"] == [2048, 7, 7])
        #expect(found.shapes["fc"] == [1000])
        #expect(found.unread == [])
    }

    @Test func perceptronsAreReadOffTheirNames() throws {
        let infos = tensors([
            ("net.0.weight", [16, 2]), ("net.0.bias", [16]), ("net.2.weight", [1, 16]), ("net.2.bias", [1]),
        ])
        let request = ArchitectureRequest(tensors: infos, settings: JSONObject([("activation", "sin")]))
        let graph = try ArchitectureResolver().choose(request).graph
        #expect(graph.parameterNames == infos.map(\.name))
        #expect(try GraphShapes(graph, tensors: infos).shapes["net.2"] == [1])
    }

    @Test func headsOfTransformersAreAskedFor() throws {
        var shapes: [(String, [Int])] = [
            ("cls_token", [1, 1, 12]), ("pos_embed", [1, 17, 12]), ("patch_embed.proj.weight", [12, 3, 8, 8]),
            ("patch_embed.proj.bias", [12]),
        ]
        for (name, rows, columns) in [
            ("attn.qkv", 36, 12), ("attn.proj", 12, 12), ("mlp.fc1", 48, 12), ("mlp.fc2", 12, 48),
        ] {
            shapes += [("blocks.0.\(name).weight", [rows, columns]), ("blocks.0.\(name).bias", [rows])]
        }
        for name in ["blocks.0.norm1", "blocks.0.norm2", "norm"] {
            shapes += [("\(name).weight", [12]), ("\(name).bias", [12])]
        }
        shapes += [("head.weight", [5, 12]), ("head.bias", [5])]
        var request = ArchitectureRequest(tensors: tensors(shapes), inputShape: [3, 32, 32])
        let error = #expect(throws: ZooError.self) { try ArchitectureResolver().choose(request) }
        #expect(error?.message.contains("heads") == true)
        request.settings["heads"] = 3
        let graph = try ArchitectureResolver().choose(request).graph
        let found = try GraphShapes(graph, tensors: request.tensors)
        #expect(found.shapes["head"] == [5])
        #expect(found.unread == [])
    }

    @Test func missingAndMisshapedParametersAreListedTogether() throws {
        let request = ArchitectureRequest(
            tensors: published, inputShape: [1, 28, 28], config: JSONObject([("model::nlin", "gelu")]))
        let graph = try ArchitectureResolver().choose(request).graph
        var damaged = published
        damaged[1].name = "module_list.0.bais"
        damaged[3].shape = [7]
        let error = #expect(throws: ZooError.self) { try GraphShapes(graph, tensors: damaged) }
        #expect(error?.message.contains("'module_list.0.bias' is missing (nearest: 'module_list.0.bais')") == true)
        #expect(error?.message.contains("'module_list.9.weight'") == false)
        #expect(error?.message.contains("not read by the architecture: 'module_list.0.bais'") == true)
    }

    @Test func unknownNetworksAreRefusedWithARemedy() {
        let request = ArchitectureRequest(tensors: tensors([("a.kernel", [3, 3])]), inputShape: [3])
        let error = #expect(throws: ZooError.self) { try ArchitectureResolver().choose(request) }
        #expect(error?.hint.contains("--architecture") == true)
    }

    @Test func numbersThatNoNetworkHasAreRefused() throws {
        let request = ArchitectureRequest(
            tensors: published, inputShape: [1, 8, 8],
            settings: JSONObject([("activation", "tanh"), ("padding", [2, 2, .int(Int64.max)])]))
        let error = #expect(throws: ZooError.self) { try ArchitectureResolver().choose(request) }
        #expect(error?.description.contains("padding") == true)
        for (key, value) in [("padding", .int(Int64.max)), ("stride", 0), ("dilation", -1)] as [(String, JSONValue)] {
            let node = GraphNode(
                name: "n", op: .conv2d, inputs: ["i"], parameters: [GraphParameter(role: "weight", name: "w")],
                attributes: JSONObject([(key, value)]))
            let graph = ArchitectureGraph(
                name: "x", inputs: [GraphInput(name: "i", kind: .image, shape: [1, 8, 8])], nodes: [node],
                outputs: [GraphOutput(name: "logits", node: "n")])
            let fault = #expect(throws: ZooError.self) { try graph.validate() }
            #expect(fault?.message.contains("node 'n': '\(key)'") == true)
            #expect(throws: ZooError.self) { try GraphShapes(graph, tensors: tensors([("w", [2, 1, 3, 3])])) }
        }
    }

    @Test func filesOfArchitecturesSurviveTheWayThroughJSON() throws {
        for template in try ReferenceZoo.resolver().library.values where template.name == "TaskCNN-16-64" {
            let graph = try template.graph(ArchitectureRequest(tensors: []))
            #expect(try ArchitectureGraph(json: graph.json) == graph)
        }
    }

    @Test func faultsOfFilesNameNodeAndKey() {
        let cases: [(JSONValue, String)] = [
            (["name": "x", "family": "small-cn"], "small-cn"),
            (["name": "x", "family": "small-cnn", "paddings": [1]], "paddings"),
            (
                [
                    "name": "x", "inputs": [["name": "i", "kind": "image", "shape": [1, 2, 2]]],
                    "nodes": [["name": "n", "op": "convd"]], "outputs": ["logits": "n"],
                ], "convd"
            ),
            (
                [
                    "name": "x", "inputs": [["name": "i", "kind": "image", "shape": [1, 2, 2]]],
                    "nodes": [["name": "n", "op": "flatten", "inputs": ["j"]]], "outputs": ["logits": "n"],
                ], "'j'"
            ),
        ]
        func pooled(_ node: JSONValue) -> JSONValue {
            [
                "name": "x", "inputs": [["name": "i", "kind": "image", "shape": [1, 2, 2]]], "nodes": [node],
                "outputs": ["logits": "n"],
            ]
        }
        for (node, word) in [
            (["name": "n", "op": "max_pool", "padding": "one"], "'padding': expected a whole number"),
            (["name": "n", "op": "max_pool", "kernel": 2.5], "found 2.5"),
            (["name": "n", "op": "flatten", "inputs": [7]], "'inputs': expected names, found 7"),
            (["name": "n", "op": "linear", "parameters": ["weight": "w", "bias": 7]], "'parameters.bias'"),
            (["name": "n", "op": "flatten", "head": 1], "'head'"),
        ] as [(JSONValue, String)] {
            let error = #expect(throws: ZooError.self) { try ArchitectureGraph(json: pooled(node)) }
            #expect(error?.message.contains(word) == true)
        }
        for (json, word) in cases {
            let error = #expect(throws: ZooError.self) { try ArchitectureTemplate(json: json) }
            #expect(error?.message.contains(word) == true)
        }
    }
}
