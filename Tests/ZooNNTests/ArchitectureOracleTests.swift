import Foundation
import Testing
import ZooAutodiff
import ZooBase
import ZooFormats
import ZooNN
import ZooTensor
import ZooTestSupport

/// Every family against the library whose names it reads: outputs, losses and gradients of all parameters, with the
/// architecture chosen from config.json and names and shapes alone (see make_architecture_oracles.py); and a network
/// spelled out in a file, with what no family has: grouped and dilated convolutions, joins.
@Suite struct ArchitectureOracleTests {
    static let names = [
        "bert", "clip-vision", "gpt2", "llama", "llama-bias", "minilm", "mlp-tanh", "qwen2", "qwen3", "resnet18",
        "resnet50", "small-cnn-gelu", "small-cnn-relu", "small-cnn-sigmoid", "small-cnn-tanh", "vit", "windows",
    ]

    @Test(arguments: names)
    func float64(_ name: String) throws {
        try ArchitectureOracle(name).check(1e-6, { $0.compiledReference() }, { $0.doubles() })
    }

    @Test(arguments: names)
    func float32(_ name: String) throws {
        try ArchitectureOracle(name).check(1e-5, { $0.compiled() }, { $0.floats() })
    }

    @Test func everyOracleIsTested() throws {
        let folder = Repository.path("Tests/ZooNNTests/Fixtures/architectures")
        #expect(
            try FileManager.default.contentsOfDirectory(atPath: folder).sorted() == (Self.names + ["pinn"]).sorted())
    }

    @Test(arguments: [
        #""rope_scaling": {"rope_type": "llama3", "factor": 8}"#, #""rope_parameters": {"rope_type": "yarn"}"#,
        #""use_sliding_window": true"#, #""model_type": "gemma""#, #""rope_scaling": {"type": "linear"}"#,
    ])
    func variantsAreRefusedByName(_ setting: String) throws {
        var oracle = try ArchitectureOracle("llama")
        for (key, value) in try #require(try JSONParser.parse("{\(setting)}").object) { oracle.config[key] = value }
        let error = #expect(throws: ZooError.self) { try oracle.graph() }
        #expect(error?.code == .unsupported)
    }

    // MARK: Physics

    @Test func convectionFloat64() throws { try convection(1e-6, { $0.compiledReference() }, { $0.doubles() }) }
    @Test func convectionFloat32() throws { try convection(1e-5, { $0.compiled() }, { $0.floats() }) }

    private func convection<S: EngineScalar>(
        _ tolerance: Double, _ compile: (Program) -> CompiledProgram<S>, _ read: (Tensor) -> [S]
    ) throws {
        let oracle = try ArchitectureOracle("pinn")
        let beta = try #require(oracle.config["beta"]?.double)
        func values(_ name: String) throws -> [Double] { try oracle.expected.tensor(named: name).doubles() }
        let points = ConvectionPoints(
            inner: try values("inner"), initial: try values("initial"), target: try values("target"),
            left: try values("left"), right: try values("right"))
        let objective = try ConvectionObjective(
            oracle.graph(), tensors: oracle.source.tensorInfos, loss: ConvectionLoss(beta: beta), points: points,
            compile: compile)
        var weights: [String: [S]] = [:], directions: [String: [S]] = [:]
        for info in oracle.source.tensorInfos {
            weights[info.name] = read(try oracle.source.tensor(named: info.name))
            directions[info.name] = read(try oracle.expected.tensor(named: "v." + info.name))
        }
        let found = try objective.evaluate(weights, along: directions)
        expectNear([found.residual, found.initial, found.boundary], try values("output.parts"), tolerance, "parts")
        expectNear([found.loss], try values("loss"), tolerance, "loss")
        for info in oracle.source.tensorInfos {
            expectNear(found.gradient[info.name] ?? [], try values("grad." + info.name), tolerance, info.name)
            expectNear(found.product[info.name] ?? [], try values("hvp." + info.name), tolerance, "H " + info.name)
        }
    }
}

/// One folder of Fixtures/architectures.
struct ArchitectureOracle {
    let name: String
    var config: JSONObject
    let source: any TensorSource
    let expected: any TensorSource
    private let kind: String
    private let output: String
    private let file: ArchitectureTemplate?

    init(_ name: String) throws {
        self.name = name
        let folder = Repository.path("Tests/ZooNNTests/Fixtures/architectures/\(name)")
        config = try #require(try JSONParser.parse(Bytes(mapping: folder + "/config.json")).object)
        source = try CheckpointFile.open(folder).source
        let oracle = try CheckpointFile.open(folder + "/oracle.safetensors")
        expected = oracle.source
        kind = try #require(oracle.metadata["loss"]?.string)
        output = try #require(oracle.metadata["output"]?.string)
        let description = folder + "/architecture.yaml"
        file =
            try FileManager.default.fileExists(atPath: description)
            ? ArchitectureTemplate(json: ArchitectureFiles.json(at: description)) : nil
    }

    private func has(_ tensor: String) -> Bool { expected.tensorInfos.contains { $0.name == tensor } }

    func graph() throws -> ArchitectureGraph {
        let input = expected.tensorInfos.first { $0.name == "input" }?.shape.dimensions.dropFirst().map(\.self)
        return try ArchitectureResolver().choose(
            ArchitectureRequest(tensors: source.tensorInfos, inputShape: input, config: config), explicit: file
        ).graph
    }

    func check<S: EngineScalar>(
        _ tolerance: Double, _ compile: (Program) -> CompiledProgram<S>, _ read: (Tensor) -> [S]
    ) throws {
        try check("", isTraining: false, tolerance, compile, read)
        if has("train.loss") { try check("train.", isTraining: true, tolerance, compile, read) }
    }

    private func check<S: EngineScalar>(
        _ mode: String, isTraining: Bool, _ tolerance: Double, _ compile: (Program) -> CompiledProgram<S>,
        _ read: (Tensor) -> [S]
    ) throws {
        let graph = try graph()
        let data = try expected.tensor(named: has("tokens") ? "tokens" : "input")
        let lowered = try LoweredGraph(
            graph, tensors: source.tensorInfos, batch: data.shape[0],
            sequenceLength: has("tokens") ? data.shape[1] : 1, isTraining: isTraining)
        #expect(lowered.unreadNames.allSatisfy { $0.hasPrefix("pooler.") }, "\(lowered.unreadNames)")
        let value = try lowered.output(output, of: graph)
        let loss = try self.loss(lowered, graph, value)
        let trained = lowered.parameters.filter { !$0.name.contains(".running_") }
        let gradients = try lowered.builder.gradient(of: loss, withRespectTo: trained.map(\.value))
        let program = lowered.builder.build([("output", value), ("loss", loss)] + gradients.map { ("gradient", $0) })
        let found = try compile(program).makeExecutor().evaluate(
            try reals(graph, data, read), indices: try indices(data)
        ).map { $0.map(Double.init) }
        // Where the network amplifies rounding, float32 is held to three times what PyTorch's float32 is off by.
        let rounding =
            S.self == Float.self && isTraining ? try expected.tensor(named: "train.rounding").doubles() : [0, 0]
        let forward = max(tolerance, 3 * rounding[0]), backward = max(tolerance, 3 * rounding[1])
        expectNear(
            found[0], try expected.tensor(named: mode + "output." + output).doubles(), forward, mode + "output")
        expectNear(found[1], try expected.tensor(named: mode + "loss").doubles(), forward, mode + "loss")
        var compared = Set<String>()
        // Gradients that are zero by symmetry (a key's bias) are rounding errors on both sides: such a tensor is held
        // to the size of the whole gradient.
        let whole = found[2...].joined().map(\.magnitude).max() ?? 1
        for (place, parameter) in trained.enumerated() {
            let wanted = try expected.tensor(named: mode + "grad." + parameter.name).doubles()
            expectNear(found[2 + place], wanted, backward, mode + "gradient of " + parameter.name, floor: 0.05 * whole)
            compared.insert(mode + "grad." + parameter.name)
        }
        let all = expected.tensorInfos.map(\.name).filter { $0.hasPrefix(mode + "grad.") }
        #expect(Set(all) == compared)
    }

    private func loss(_ lowered: LoweredGraph, _ graph: ArchitectureGraph, _ value: Value) throws -> Value {
        let b = lowered.builder
        switch kind {
        case "class": return try b.average(b.crossEntropy(value, labels: b.indices("labels", [lowered.batch])))
        case "next": return try lowered.languageModelLoss(of: graph)
        default: return try b.sum(b.multiply(value, b.data("probe", value.shape)))
        }
    }

    private func batch(_ data: Tensor) throws -> TokenBatch {
        let mask = try expected.tensor(named: "mask").floats(), length = data.shape[1]
        let ids = data.doubles()
        return try TokenBatch(
            (0..<data.shape[0]).map { row in
                (row * length..<(row + 1) * length).filter { mask[$0] == 1 }.map { Int32(ids[$0]) }
            }, length: length)
    }

    private func reals<S: EngineScalar>(
        _ graph: ArchitectureGraph, _ data: Tensor, _ read: (Tensor) -> [S]
    ) throws -> [String: [S]] {
        var arrays: [String: [S]] = [:]
        for info in source.tensorInfos { arrays[info.name] = read(try source.tensor(named: info.name)) }
        for name in ["mask", "probe"] where has(name) { arrays[name] = read(try expected.tensor(named: name)) }
        if !has("tokens") { arrays[graph.inputs[0].name] = read(data) }
        if kind == "next" { arrays["label_weights"] = try batch(data).labelWeights.map { S(Double($0)) } }
        return arrays
    }

    private func indices(_ data: Tensor) throws -> [String: [Int32]] {
        if kind == "next" { return ["tokens": data.doubles().map { Int32($0) }, "labels": try batch(data).labels] }
        if has("tokens") { return ["tokens": data.doubles().map { Int32($0) }] }
        return has("labels") ? ["labels": try expected.tensor(named: "labels").doubles().map { Int32($0) }] : [:]
    }
}

/// Equal up to a tolerance relative to the largest expected value (or `floor`, if that is larger).
func expectNear(
    _ found: [Double], _ expected: [Double], _ tolerance: Double, _ what: String, floor: Double = 0,
    sourceLocation: SourceLocation = #_sourceLocation
) {
    #expect(found.count == expected.count, "\(what)", sourceLocation: sourceLocation)
    let scale = max(floor, expected.map(\.magnitude).max() ?? 1)
    let differences = zip(found, expected).map { ($0 - $1).magnitude }
    let worst = differences.contains { $0.isNaN } ? Double.nan : differences.max() ?? 0
    #expect(worst <= tolerance * scale, "\(what): off by \(worst) of \(scale)", sourceLocation: sourceLocation)
}
