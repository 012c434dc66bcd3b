import Foundation
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

    /// Without padding and with one pool the same weights would fit 8×8 images too.
    @Test func theConfigurationOfATrialDecidesBetweenThem() throws {
        let tensors = tensors([
            ("module_list.0.weight", [8, 1, 3, 3]), ("module_list.0.bias", [8]),
            ("module_list.3.weight", [12, 8, 3, 3]), ("module_list.3.bias", [12]),
            ("module_list.7.weight", [16, 48]), ("module_list.7.bias", [16]),
            ("module_list.9.weight", [4, 16]), ("module_list.9.bias", [4]),
        ])
        let request = ArchitectureRequest(
            tensors: tensors, inputShape: [1, 8, 8],
            config: JSONObject([
                ("model::nlin", "relu"), ("model::padding", [1, 1]), ("model::pool", [true, true]),
            ]))
        let graph = try ArchitectureResolver().choose(request).graph
        #expect(graph.nodes.count { $0.op == .maxPool } == 2)
        #expect(graph.nodes.filter { $0.op == .conv2d }.map { $0.attributes["padding"] } == [1, 1])
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

    /// The patches of an image have each their own position: a table that is longer than the image makes patches
    /// belongs to images of another size, as one that is shorter does.
    @Test(arguments: [(12, 10), (8, 5), (16, 17), (20, 26)])
    func visionTransformersTakeImagesOfTheirOwnSizeOnly(side: Int, tokens: Int) throws {
        let oracle = try ArchitectureOracle("vit")
        let input = try oracle.expected.tensor(named: "input").shape.dimensions
        var graph = try oracle.graph()
        #expect(try GraphShapes(graph, tensors: oracle.source.tensorInfos).unread == [])
        graph.inputs[0].shape = [input[1], side, side]
        guard side != input[2] else {
            #expect(try GraphShapes(graph, tensors: oracle.source.tensorInfos).unread == [])
            return
        }
        let error = #expect(throws: ZooError.self) { try GraphShapes(graph, tensors: oracle.source.tensorInfos) }
        let words =
            side < input[2]
            ? "has 10 positions, images of this size make \(tokens)"
            : "has 10 positions, \(tokens) are needed"
        #expect(error?.message.contains(words) == true, "\(error?.message ?? "")")
    }

    /// Texts may be shorter than the table of positions, and not longer.
    @Test(arguments: [1, 7, 12])
    func textsMayBeShorterThanTheTableOfPositions(length: Int) throws {
        let oracle = try ArchitectureOracle("bert")
        let graph = try oracle.graph(), tensors = oracle.source.tensorInfos
        #expect(tensors.first { $0.name.hasSuffix("position_embeddings.weight") }?.shape.dimensions.first == 12)
        let lowered = try LoweredGraph(graph, tensors: tensors, batch: 2, sequenceLength: length, isTraining: false)
        #expect(lowered.unreadNames.allSatisfy { $0.hasPrefix("pooler.") })
        #expect(throws: ZooError.self) {
            try LoweredGraph(graph, tensors: tensors, batch: 2, sequenceLength: 13, isTraining: false)
        }
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

    /// What comes behind a fault is checked too, every leftover is named, and nothing is told twice.
    @Test func faultsBehindTheFirstAreListed() throws {
        let request = ArchitectureRequest(
            tensors: published, inputShape: [1, 28, 28], config: JSONObject([("model::nlin", "gelu")]))
        let graph = try ArchitectureResolver().choose(request).graph
        var damaged = published
        damaged[0].shape = [8, 3, 5, 5]
        damaged[4].shape = [4, 6]
        damaged[7].shape = [21]
        damaged[8].name = "head.inner.11.weight"
        damaged += tensors((0..<12).map { ("extra.\($0).kernel", [1]) })
        let error = #expect(throws: ZooError.self) { try GraphShapes(graph, tensors: damaged) }
        let faults =
            (error?.message ?? "").split(separator: ": ", maxSplits: 1).last?.components(separatedBy: "; ") ?? []
        #expect(
            faults.prefix(4) == [
                "'module_list.0.weight' has shape [8, 3, 5, 5], expected [any, 1, any, any]",
                "'module_list.6.weight' has shape [4, 6], expected [any, 6, any, any]",
                "'module_list.9.bias' has shape [21], expected [20]",
                "'module_list.11.weight' is missing (nearest: 'head.inner.11.weight')",
            ])
        #expect(faults.count == 5)
        for number in 0..<12 { #expect(faults.last?.contains("'extra.\(number).kernel'") == true) }
    }

    @Test func theNearestArchitectureSaysWhatKeepsItFromFitting() throws {
        var damaged = published
        damaged[1].name = "module_list.0.bais"
        damaged[5].shape = [7]
        let error = #expect(throws: ZooError.self) {
            try ArchitectureResolver().choose(ArchitectureRequest(tensors: damaged, inputShape: [1, 28, 28]))
        }
        for part in [
            "the nearest, 'small-cnn', shares 9 of 10 names", "'module_list.6.bias' has shape [7], expected [4]",
            "'module_list.0.bias' is missing (nearest: 'module_list.0.bais')",
        ] { #expect(error?.message.contains(part) == true, "\(error?.message ?? "")") }
        // A file whose network lacks a tensor says which.
        let file = try #require(try ReferenceZoo.resolver().library["TaskCNN-16-64"])
        let graph = try file.graph(ArchitectureRequest(tensors: []))
        let names = graph.parameterNames.map { TensorInfo(name: $0, dtype: .float32, shape: [1]) }
        let other = #expect(throws: ZooError.self) {
            try ReferenceZoo.resolver().choose(ArchitectureRequest(tensors: names, inputShape: [1, 8, 8]))
        }
        #expect(other?.message.contains("the nearest, 'TaskCNN-16-64', shares 10 of 10 names") == true)
    }

    @Test func prefixesOfWrappersAreNamed() throws {
        let wrapped = published.map { TensorInfo(name: "_orig_mod." + $0.name, dtype: $0.dtype, shape: $0.shape) }
        let error = #expect(throws: ZooError.self) {
            try ArchitectureResolver().choose(ArchitectureRequest(tensors: wrapped, inputShape: [1, 28, 28]))
        }
        #expect(error?.message.contains("begin with '_orig_mod.', without it they are those of 'small-cnn'") == true)
    }

    @Test func settingsThatChangeNothingAreRefused() throws {
        let resolver = try ReferenceZoo.resolver()
        func request(_ key: String) -> ArchitectureRequest {
            ArchitectureRequest(
                tensors: published, inputShape: [1, 28, 28],
                settings: JSONObject([("activation", "gelu"), (key, 3)]))
        }
        for key in ["activaton", "heads"] {
            let error = #expect(throws: ZooError.self) { try resolver.choose(request(key)) }
            #expect(error?.code == .usage && error?.message.contains("no number '\(key)'") == true)
        }
        for (key, value, word) in [
            ("activation", 5 as JSONValue, "expected a name"), ("activation", "tanhh", "unknown activation"),
            ("dropout", "some", "'dropout': expected a number"),
        ] {
            let stated = ArchitectureRequest(
                tensors: published, inputShape: [1, 28, 28], settings: JSONObject([("activation", "gelu")]))
            var request = stated
            request.settings[key] = value
            let error = #expect(throws: ZooError.self) { try resolver.choose(request) }
            #expect(error?.message.contains(word) == true, "\(error?.message ?? "")")
        }
        func check(_ keys: [String], _ file: ArchitectureTemplate?) throws {
            try resolver.check(JSONObject(keys.map { ($0, 3) }), explicit: file)
        }
        #expect(throws: ZooError.self) { try check(["activaton"], nil) }
        try check(["heads", "activation"], nil)
        // `$model::nlin` of a file is set by either name, what the file does not refer to by none.
        let file = try resolver.template(named: "CNN-s-8x8")
        try check(["activation", "model::nlin"], file)
        #expect(throws: ZooError.self) { try check(["heads"], file) }
    }

    /// Channels are joined along axis 0, and groups must divide inputs and outputs.
    @Test func joinsAndGroupsAreChecked() throws {
        func graph(_ axis: Int, groups: Int) throws -> ArchitectureGraph {
            try ArchitectureGraph(json: [
                "name": "x", "inputs": [["name": "i", "kind": "image", "shape": [2, 6, 6]]],
                "nodes": [
                    [
                        "name": "c", "op": "conv2d", "parameters": ["weight": "w"], "padding": 1,
                        "groups": .int(Int64(groups)),
                    ],
                    ["name": "j", "op": "concat", "inputs": ["c", "i"], "axis": .int(Int64(axis))],
                ], "outputs": ["features": "j"],
            ])
        }
        let weights = tensors([("w", [4, 1, 3, 3])])
        #expect(try GraphShapes(graph(0, groups: 2), tensors: weights).shapes["j"] == [6, 6, 6])
        for (axis, groups, shape, words) in [
            (1, 2, [4, 1, 3, 3], "shapes [4, 6, 6], [2, 6, 6] differ"), (3, 2, [4, 1, 3, 3], "no axis 3 among 3"),
            (0, 2, [3, 1, 3, 3], "3 outputs in 2 groups"), (0, 3, [3, 1, 3, 3], "2 channels in 3 groups"),
        ] {
            let error = #expect(throws: ZooError.self) {
                try GraphShapes(graph(axis, groups: groups), tensors: tensors([("w", shape)]))
            }
            #expect(error?.message.contains(words) == true, "\(error?.message ?? "")")
        }
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
