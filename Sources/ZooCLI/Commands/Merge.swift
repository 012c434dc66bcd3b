import ArgumentParser
import ZooBase
import ZooCatalog
import ZooFormats
import ZooMerge
import ZooNN
import ZooReport
import ZooTensor

/// `zoo merge`: a recipe in, a model out.
package struct Merge: ZooCommand {
    package static let configuration = CommandConfiguration(
        abstract: "Merge models by a recipe in mergekit's YAML, larger than memory, in streamed passes.",
        discussion: """
            The recipe's keys are mergekit's: models, slices or modules, merge_method, parameters with gradients and \
            filters, base_model, dtype. 'model:' takes folders, files, and every selector, 'where:' queries too. \
            Everything that does not fit is reported together before a byte is written. OUT is a folder; with \
            .safetensors at its end, one file.

            Example:
              zoo merge ties.yaml merged/ --dry-run
              zoo merge ties.yaml merged/
              zoo merge soup.yaml soup.safetensors --json
              zoo merge --list-methods
            """)

    @Argument(help: "The recipe: a YAML file.")
    package var recipe: String?

    @Argument(help: ArgumentHelp("The folder to write, or a file ending in .safetensors.", valueName: "out"))
    package var out: String?

    @Flag(help: "Print tensors, bytes, memory, shards and problems; write nothing.")
    package var dryRun = false

    @Flag(help: "List methods with their parameters.")
    package var listMethods = false

    @Option(help: ArgumentHelp("Largest shard: bytes, or with K, M, B for 10^3, 10^6, 10^9.", valueName: "n"))
    package var outShardSize: String = "5B"

    @Flag(help: "Copy no tokenizer files (of the base, else the first model).")
    package var noCopyTokenizer = false

    @Flag(help: "Write no README.md with models, method and recipe.")
    package var noModelCard = false

    @Flag(help: "Merge each tensor over the models that have it.")
    package var tensorUnion = false

    @Flag(help: "Leave out tensors that some models lack.")
    package var tensorIntersection = false

    @Flag(help: "Refuse integer tensors that differ.")
    package var strictBuffers = false

    @Flag(name: .customLong("fail-on-nonfinite"), help: "Refuse inputs with NaN or infinite elements.")
    package var failOnNonFinite = false

    @Option(help: "Batch-norm statistics: average, mixture, base, or recompute them on --bn-data.")
    package var bn: BatchNormRule = .average

    @Option(help: ArgumentHelp("Data for --bn recompute, and after a colon the split.", valueName: "data"))
    package var bnData: String?

    @Option(
        help: ArgumentHelp(
            "Average statistics over batches of this size, as PyTorch does. Default: exact, over all samples.",
            valueName: "number"))
    package var bnBatch: Int?

    @Option(
        help: ArgumentHelp(
            "--bn recompute: an architecture file, or the name of a known architecture.", valueName: "name"))
    package var architecture: String?

    @Option(
        help: ArgumentHelp(
            "--bn recompute: a number that the weights do not show: activation=tanh.", valueName: "key=value"))
    package var set: [String] = []

    @Flag(help: "Merge models of different architectures.")
    package var allowCrimes = false

    @Flag(help: "Cut embeddings of different vocabularies to their common rows.")
    package var truncateEmbeddings = false

    @Flag(help: "Fail and drop where mergekit does, instead of keeping what it loses.")
    package var compat = false

    @Flag(help: "Replace a folder that is there, once the new one is complete.")
    package var replace = false

    @OptionGroup package var output: OutputOptions
    @OptionGroup(title: "Common options") package var global: GlobalOptions

    package init() {}

    package var outputPath: String? { output.output }

    package func validate() throws {
        if listMethods { return }
        if tensorUnion, tensorIntersection {
            throw ValidationError("--tensor-union and --tensor-intersection exclude each other.")
        }
        if (bn == .recompute) != (bnData != nil) { throw ValidationError("--bn recompute and --bn-data go together.") }
        if bnBatch != nil, bn != .recompute { throw ValidationError("--bn-batch goes with --bn recompute.") }
        if let bnBatch, bnBatch < 2 { throw ValidationError("--bn-batch takes a number from 2 on.") }
        if recipe == nil { throw ValidationError("A recipe is needed; 'zoo merge --list-methods' lists methods.") }
        if out == nil, !dryRun { throw ValidationError("An output folder or file is needed, or --dry-run.") }
    }

    package func run(in session: Session) throws {
        guard !listMethods else { return try session.emit(Self.methods) }
        guard let recipe else { return }
        let models = MergeModels(catalogPath: session.catalogPath)
        var plan = try self.plan(recipe, models, session)
        if let shortage = try shortage(plan, session) { plan.add(problem: shortage) }
        if !plan.problems.isEmpty || dryRun {
            for problem in plan.problems { session.note("zoo: problem: \(problem)") }
        }
        for warning in plan.warnings { session.warn(warning) }
        if dryRun {
            try report(plan, written: nil, session)
            if let failure = plan.failure { throw failure }
            return
        }
        guard let out else { return }
        let nonFinite = try write(plan, models, to: out, session)
        try DerivedModel(
            path: out, role: "merge \(plan.method.name)",
            parents: zip(models.opened, plan.coefficients).map { .init(checkpoint: $0, coefficient: $1) }
        ).record(session, dataset: bnData)
        try report(plan, written: out, nonFinite: nonFinite, session)
    }

    // MARK: Steps

    private func plan(_ path: String, _ models: MergeModels, _ session: Session) throws -> MergePlan {
        let text = String(decoding: try Bytes(mapping: path).array, as: UTF8.self)
        let recipe = try Recipe(text: text, file: path)
        var options = MergeOptions()
        options.seed = session.seed
        options.pairing = tensorUnion ? .union : tensorIntersection ? .intersection : .strict
        options.strictBuffers = strictBuffers
        options.truncatesEmbeddings = truncateEmbeddings
        options.imitatesReference = compat
        options.batchNorm = bn
        options.failsOnNonFinite = failOnNonFinite
        options.mixesArchitectures = allowCrimes
        return try MergePlan(recipe, options: options) { try models.open($0) }
    }

    private func write(_ plan: MergePlan, _ models: MergeModels, to out: String, _ session: Session) throws
        -> [(place: NonFiniteCounts.Place, count: Int)]
    {
        let isFile = out.hasSuffix(".safetensors")
        if !isFile { try HuggingFaceFolder.check(out, replacing: replace) }
        let merged = try MergedModel(plan)
        defer { warnOfNonFinite(merged, session) }
        let result = try recalibrated(merged, models, session)
        for name in try merged.differingBuffers() where !strictBuffers {
            session.warn("integer tensor '\(name)' differs between the models; the base's is taken")
        }
        let progress = session.progress("merge", total: plan.byteCount, unit: .bytes)
        defer { progress.finish() }
        guard !isFile else {
            try CheckpointWriters.write(
                result, to: out, metadata: plan.metadata, jobs: session.jobs
            ) { progress.advance(by: $0) }
            return merged.nonFinite.found
        }
        _ = try folder(plan, at: out, session).write(result, to: out, replacing: replace) { progress.advance(by: $0) }
        return merged.nonFinite.found
    }

    /// The merged model with batch-norm statistics as they were asked for; it is then in memory once.
    private func recalibrated(
        _ merged: MergedModel, _ models: MergeModels, _ session: Session
    ) throws -> any TensorSource {
        guard let bnData else { return merged }
        let recipe = try BatchNormRecipe(data: bnData, labels: nil, batch: bnBatch)
        let model = try OneArchitecture(
            models.opened, inputShape: recipe.samples.inputShape, architecture: architecture, settings: set,
            session: session)
        return try recipe.statistics(model.graph, model.tensors).recalibrated(merged)
    }

    private func warnOfNonFinite(_ merged: MergedModel, _ session: Session) {
        let found = merged.nonFinite.found
        for (place, count) in found.prefix(20) {
            session.warn("tensor '\(place.tensor)' of \(place.model) has \(count) elements that are NaN or infinite")
        }
        if found.count > 20 { session.warn("\(found.count - 20) more tensors have such elements") }
    }

    private func companions(_ plan: MergePlan, name: String, _ session: Session) throws -> [(
        name: String, file: HuggingFaceFolder.File
    )] {
        var files: [(name: String, file: HuggingFaceFolder.File)] = [("mergekit_config.yml", .text(plan.recipe.text))]
        if let config = plan.config {
            files.append(("config.json", .text(JSONValue.object(config).text(indent: 2) + "\n")))
        }
        if !noModelCard { files.append(("README.md", .text(plan.card(name: name)))) }
        guard !noCopyTokenizer || plan.setsTokenizer else { return files }
        let found = try plan.companionFiles(HuggingFaceFolder.companionNames)
        for warning in found.warnings { session.warn(warning) }
        for (name, file) in found.files {
            switch file {
            case .text(let text): files.append((name, .text(text)))
            case .copy(let path): files.append((name, .copy(of: path)))
            }
        }
        return files
    }

    /// What is missing on the disk, found with everything else that is wrong.
    private func shortage(_ plan: MergePlan, _ session: Session) throws -> String? {
        guard let out, plan.problems.isEmpty else { return nil }
        var folder = HuggingFaceFolder()
        folder.maximumShardBytes = try Self.shardSize(outShardSize)
        do { try folder.checkSpace(for: plan.tensors.map(\.call.info), at: out) } catch let error as ZooError {
            return error.message
        }
        return nil
    }

    /// The folder that will be written.
    private func folder(
        _ plan: MergePlan, at out: String, _ session: Session
    ) throws -> HuggingFaceFolder {
        var folder = HuggingFaceFolder()
        folder.jobs = session.jobs
        folder.metadata = plan.metadata.merging(SafetensorsWriter.defaultMetadata) { first, _ in first }
        folder.maximumShardBytes = try Self.shardSize(outShardSize)
        folder.files = try companions(plan, name: out.split(separator: "/").last.map(String.init) ?? out, session)
        return folder
    }

    /// `5B`, `200M`, `10K` or plain bytes; zero or less means no limit.
    static func shardSize(_ text: String) throws -> Int {
        let units: [Character: Double] = ["K": 1e3, "M": 1e6, "B": 1e9, "G": 1e9]
        let unit = text.last.flatMap { units[Character($0.uppercased())] }
        let digits = unit == nil ? text : String(text.dropLast())
        guard let number = Double(digits), number.isFinite, number * (unit ?? 1) < 1e18 else {
            throw ZooError(.usage, "'\(text)' is no size", hint: "write bytes, or 500M, 5B")
        }
        let bytes = Int(number * (unit ?? 1))
        return bytes <= 0 ? .max : bytes
    }

    // MARK: Reports

    private func report(
        _ plan: MergePlan, written: String?, nonFinite: [(place: NonFiniteCounts.Place, count: Int)] = [],
        _ session: Session
    ) throws {
        let shards = SafetensorsWriter.shardCount(
            plan.tensors.map(\.call.info), maximumShardBytes: try Self.shardSize(outShardSize))
        let peak = plan.peakByteCount(jobs: session.jobs)
        var json = JSONObject([
            ("method", .string(plan.method.name)), ("tensors", .int(Int64(plan.tensors.count))),
            ("bytes", .int(Int64(plan.byteCount))), ("output", written.map { .string($0) } ?? .null),
            ("peak_bytes", .int(Int64(peak))), ("shards", .int(Int64(shards))),
            ("seed", .int(Int64(clamping: session.seed))),
            ("models", .array(plan.inputs.map { .string($0.label) })),
            ("base", plan.base.map { .string(plan.inputs[$0].label) } ?? .null),
            ("vocab_size", plan.newVocabularySize.map { .int(Int64($0)) } ?? .null),
        ])
        if written != nil {
            json["nonfinite"] = .array(
                nonFinite.map { place, count in
                    ["tensor": .string(place.tensor), "model": .string(place.model), "count": .int(Int64(count))]
                })
        }
        if dryRun {
            json["problems"] = .array(plan.problems.map { .string($0) })
            json["warnings"] = .array(plan.warnings.map { .string($0) })
        }
        var table = Table([.init("what"), .init("value")])
        table.append([.text("method"), .text(plan.method.name)])
        table.append([.text("models"), .text(String(plan.inputs.count))])
        table.append([.text("tensors"), .text(Quantity.count(plan.tensors.count))])
        table.append([.text("bytes"), .text(Quantity.bytes(plan.byteCount))])
        table.append([.text("peak memory"), .text(Quantity.bytes(peak))])
        table.append([.text("shards"), .text(String(shards))])
        if dryRun { table.append([.text("problems"), .text(String(plan.problems.count))]) }
        if let written { table.append([.text("output"), .text(written)]) }
        try session.emit(.object(json), as: table)
    }

    /// One row per parameter of each method.
    static var methods: Table {
        var table = Table([
            .init("method"), .init("models"), .init("base"), .init("parameter"), .init("scope"), .init("default"),
            .init("summary"), .init("source"),
        ])
        for method in MergeMethods.all {
            let (low, high) = (method.models.lowerBound, method.models.upperBound)
            let models = low == high ? "\(low)" : high == .max ? "\(low)+" : "\(low)–\(high)"
            table.append([
                .text(method.name), .text(models), .text(method.base.rawValue), .null, .null, .null,
                .text(method.summary), .text(method.source),
            ])
            for parameter in method.parameters {
                let standard: String =
                    switch parameter.standard {
                    case .number(let value)?: Quantity.significant(value, digits: 6)
                    case .text(let word)?: word
                    case nil: "required"
                    }
                table.append([
                    .text(method.name), .null, .null, .text(parameter.name),
                    .text(parameter.isPerModel ? "model" : "tensor"), .text(standard), .text(parameter.summary), .null,
                ])
            }
        }
        return table
    }
}

extension BatchNormRule: ExpressibleByArgument {}
