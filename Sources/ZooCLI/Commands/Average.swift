import ArgumentParser
import ZooBase
import ZooCatalog
import ZooFormats
import ZooMerge
import ZooReport
import ZooTensor

/// `zoo average`: one checkpoint out of many.
package struct Average: ZooCommand {
    package static let configuration = CommandConfiguration(
        abstract: "Average checkpoints in one streamed pass: uniform, weighted, EMA, LAWA, WiSE-FT.",
        discussion: """
            Files larger than memory are fine: inputs are mapped, the output is written piece by piece. Integer \
            tensors are copied when all inputs agree and come from the first one otherwise. Batch-norm statistics are \
            averaged as they are unless --bn recompute names data for them; the model is then in memory once. With --data, 'wise-ft' evaluates a grid of alphas and \
            writes the best. Checkpoints of the catalog become the parents of the result.

            Example:
              zoo average a.safetensors b.safetensors c.safetensors --to mean.safetensors
              zoo average "where:zoo = 'digits-cnn' and seed = 1 and epoch = last and lr = 0.001 and nlin = 'gelu'" \
            --to gelu.safetensors
              zoo average a.pt b.pt --bn recompute --bn-data digits.safetensors:train --to mean.safetensors
              zoo average zero-shot.safetensors fine-tuned.safetensors --method wise-ft --alpha 0.4 --to wise.safetensors
              zoo average zero-shot.pt fine-tuned.pt --method wise-ft --data digits.npz:val --to wise.safetensors
            """)

    @Argument(help: "Checkpoints: files, folders, ARCHIVE!/MEMBER, ids, NAME@EPOCH, 'where:…'; oldest first for ema.")
    package var selectors: [String]

    @Option(help: ArgumentHelp("The file to write: .safetensors, .pt, .npz, .h5.", valueName: "file"))
    package var to: String

    @Option(help: "uniform, weighted, swa, lawa, ema, wise-ft.")
    package var method: Method = .uniform

    @Option(help: ArgumentHelp("Weights for 'weighted', separated by commas.", valueName: "list"))
    package var weights: String?

    @Option(help: ArgumentHelp("How many of the latest checkpoints 'lawa' takes.", valueName: "number"))
    package var latest: Int = 5

    @Option(help: ArgumentHelp("Decay of 'ema' per checkpoint.", valueName: "number"))
    package var decay: Double = 0.9

    @Option(help: ArgumentHelp("Weight of the second checkpoint for 'wise-ft'. Default: 0.5.", valueName: "number"))
    package var alpha: Double?

    @Option(
        help: ArgumentHelp("wise-ft: data, and after a colon the split, to choose alpha on.", valueName: "file[:split]")
    )
    package var data: String?

    @Option(
        help: ArgumentHelp("The alphas that are tried, separated by commas. Default: 0, 0.1, …, 1.", valueName: "list"))
    package var alphas: String?

    @Option(help: "Batch-norm statistics: average them, or recompute them on --bn-data. Default: average.")
    package var bn: BatchNormChoice = .average

    @Option(
        help: ArgumentHelp("recompute: data, and after a colon the split; training data.", valueName: "data"))
    package var bnData: String?

    @Option(
        help: ArgumentHelp(
            "recompute: average over batches of this size, as PyTorch does. Default: exact, over all samples.",
            valueName: "number"))
    package var bnBatch: Int?

    @Option(help: ArgumentHelp("Draw loss and accuracy over alpha: .svg or .png.", valueName: "file"))
    package var figure: String?

    @Option(help: ArgumentHelp("An architecture file, or the name of a known architecture.", valueName: "name"))
    package var architecture: String?

    @Option(help: ArgumentHelp("A number that the weights do not show: activation=tanh.", valueName: "key=value"))
    package var set: [String] = []

    @Option(help: ArgumentHelp("Element type of the result: float32, float16, bfloat16, float64.", valueName: "name"))
    package var dtype: String?

    @Flag(help: "Average each tensor over the inputs that have it.")
    package var tensorUnion = false

    @Flag(help: "Leave out tensors that some inputs lack.")
    package var tensorIntersection = false

    @Flag(help: "Refuse integer tensors that differ.")
    package var strictBuffers = false

    @OptionGroup package var output: OutputOptions
    @OptionGroup(title: "Common options") package var global: GlobalOptions

    package init() {}

    package var outputPath: String? { output.output }

    /// The ways to choose weights.
    package enum Method: String, ExpressibleByArgument, CaseIterable {
        case uniform, weighted, swa, lawa, ema
        case wiseFT = "wise-ft"
    }

    package func validate() throws {
        if tensorUnion, tensorIntersection {
            throw ValidationError("--tensor-union and --tensor-intersection exclude each other.")
        }
        if method == .weighted, weights == nil { throw ValidationError("--method weighted needs --weights.") }
        if weights != nil, method != .weighted { throw ValidationError("--weights goes with --method weighted.") }
        if data != nil, method != .wiseFT { throw ValidationError("--data goes with --method wise-ft.") }
        if data != nil, alpha != nil { throw ValidationError("--alpha and --data exclude each other.") }
        if data == nil, alphas != nil || figure != nil { throw ValidationError("--alphas and --figure need --data.") }
        if (bn == .recompute) != (bnData != nil) { throw ValidationError("--bn recompute and --bn-data go together.") }
        if bnBatch != nil, bn != .recompute { throw ValidationError("--bn-batch goes with --bn recompute.") }
        if let bnBatch, bnBatch < 2 { throw ValidationError("--bn-batch takes a number from 2 on.") }
        if latest < 1 { throw ValidationError("--latest takes a number from 1 on.") }
    }

    package func run(in session: Session) throws {
        let found = try SelectorResolver(catalogPath: session.catalogPath).resolve(selectors)
        let selected = method == .lawa ? Array(found.suffix(latest)) : found
        var options = LinearCombination.Options()
        options.pairing = tensorUnion ? .union : tensorIntersection ? .intersection : .strict
        options.strictBuffers = strictBuffers
        options.dtype = try dtype.map(FloatType.named)
        let sources = try Parallel.map(count: selected.count, jobs: session.jobs) { try selected[$0].open() }
        let sweep = try sweep(selected, options, session)
        let coefficients = try self.coefficients(selected.count, alpha: sweep?.best ?? alpha ?? 0.5)
        let combination = try LinearCombination(
            sources, names: selected.map(\.label), weights: coefficients, options: options)
        for name in try combination.differingBuffers() where !strictBuffers {
            session.warn("integer tensor '\(name)' differs between the inputs; the first input's is taken")
        }
        guard !combination.tensorInfos.isEmpty else {
            throw ZooError(.mismatch, "the checkpoints have no tensor in common; nothing was written")
        }
        if Set(selected.map { $0.row.map { String($0.id) } ?? $0.label }).count < selected.count {
            session.warn("a checkpoint is named more than once and counts as often")
        }
        if method == .wiseFT, !(0...1).contains(coefficients[1]) {
            session.warn("alpha \(coefficients[1]) extrapolates")
        }
        for checkpoint in selected where checkpoint.row?.health == .nan {
            session.warn("\(checkpoint.label) has NaN weights; so will the average")
        }
        let result = try recalibrated(combination, selected, session)
        let bytes = combination.tensorInfos.reduce(0) { $0 + $1.byteCount }
        let progress = session.progress("average", total: bytes, unit: .bytes)
        try CheckpointWriters.write(
            result, to: to, metadata: ["format": "pt", "zoo_method": "average \(method.rawValue)"],
            jobs: session.jobs
        ) { progress.advance(by: $0) }
        progress.finish()
        try DerivedModel(
            path: to, role: "ingredient",
            parents: zip(selected, coefficients).map { .init(checkpoint: $0, coefficient: $1) }
        ).record(session, dataset: data)
        if let figure, let sweep { try Picture.write(sweep.figure, to: figure) }
        try report(selected, coefficients, combination, sweep, session)
    }

    /// The average with its batch-norm statistics as they were asked for.
    private func recalibrated(
        _ combination: LinearCombination, _ selected: [SelectedCheckpoint], _ session: Session
    ) throws -> any TensorSource {
        guard let bnData else { return combination }
        let recipe = try BatchNormRecipe(data: bnData, labels: nil, batch: bnBatch)
        let model = try OneArchitecture(
            selected, inputShape: recipe.samples.inputShape, architecture: architecture, settings: set,
            session: session)
        return try recipe.statistics(model.graph, model.tensors).recalibrated(combination)
    }

    private func sweep(
        _ selected: [SelectedCheckpoint], _ options: LinearCombination.Options, _ session: Session
    ) throws -> WiseSweep? {
        guard let data else { return nil }
        try checkPair(selected.count)
        let grid = try alphas.map { try Self.numbers($0) } ?? WiseSweep.defaultAlphas
        return try WiseSweep(
            selected, alphas: grid, data: DataSource(data, seed: session.seed, defaultSplit: "val"), options: options,
            architectures: ArchitectureLibrary(session, explicit: architecture, settings: set),
            batchNorm: bnData.map { try BatchNormRecipe(data: $0, labels: nil, batch: bnBatch) }, session: session)
    }

    private func checkPair(_ count: Int) throws {
        guard count == 2 else {
            throw ZooError(.usage, "wise-ft takes two checkpoints, zero-shot and fine-tuned, not \(count)")
        }
    }

    private static func numbers(_ text: String) throws -> [Double] {
        let parts = text.split(separator: ",").map { String($0).trimming(while: \.isWhitespace) }
        let parsed = parts.compactMap(Double.init)
        guard parsed.count == parts.count, !parsed.isEmpty else {
            throw ZooError(.usage, "'\(text)' is no list of numbers")
        }
        return parsed
    }

    private func coefficients(_ count: Int, alpha: Double) throws -> [Double] {
        switch method {
        case .uniform, .swa, .lawa: return AverageWeights.uniform(count: count)
        case .weighted: return try AverageWeights.weighted(Self.numbers(weights ?? ""), count: count)
        case .ema: return try AverageWeights.exponential(count: count, decay: decay)
        case .wiseFT:
            try checkPair(count)
            return try AverageWeights.interpolation(alpha: alpha)
        }
    }

    private func report(
        _ selected: [SelectedCheckpoint], _ coefficients: [Double], _ combination: LinearCombination,
        _ sweep: WiseSweep?, _ session: Session
    ) throws {
        var table = Table([.init("checkpoint", isPath: true), .init("weight", .double)])
        for (checkpoint, weight) in zip(selected, coefficients) {
            table.append([.text(checkpoint.label), .double(weight)])
        }
        let json: JSONValue = [
            "method": .string(method.rawValue), "output": .string(to),
            "tensors": .int(Int64(combination.tensorInfos.count)),
            "weights": .array(
                zip(selected, coefficients).map { ["checkpoint": .string($0.label), "weight": .double($1)] }),
        ]
        guard let sweep else { return try finish(json, table, combination, session) }
        var object = json.object ?? JSONObject()
        object["sweep"] = sweep.json
        try finish(.object(object), sweep.table, combination, session)
    }

    private func finish(
        _ json: JSONValue, _ table: Table, _ combination: LinearCombination, _ session: Session
    ) throws {
        try session.emit(json, as: table)
        session.note("wrote \(to): \(Quantity.count(combination.tensorInfos.count)) tensors")
    }
}

/// Element types that arithmetic results can have.
enum FloatType {
    static func named(_ name: String) throws -> DType {
        let known = DType.allCases.filter(\.isFloatingPoint)
        let aliases = ["fp32": DType.float32, "fp16": .float16, "bf16": .bfloat16, "fp64": .float64]
        if let type = aliases[name] ?? known.first(where: { $0.rawValue == name }) { return type }
        throw ZooError(
            .usage, "'\(name)' is no floating-point type",
            hint: NearestName.hint(name, in: known.map(\.rawValue), kind: "types"))
    }
}
