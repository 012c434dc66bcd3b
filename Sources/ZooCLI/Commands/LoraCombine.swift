import ArgumentParser
import ZooBase
import ZooCatalog
import ZooFormats
import ZooMerge
import ZooReport
import ZooTensor

/// `zoo lora combine`.
package struct LoraCombine: ZooCommand {
    package static let configuration = CommandConfiguration(
        commandName: "combine",
        abstract: "Combine LoRA adapters of one base into one adapter, as PEFT's add_weighted_adapter does.",
        discussion: """
            'cat' is exact and adds the ranks; 'svd' is the best approximation of the weighted sum of a rank; 'linear' \
            adds the matrices, not their products, and takes equal ranks; 'ties', 'dare_linear', 'dare_ties' and \
            'magnitude_prune' prune the matrices first, with '_svd' the changes.

            Example:
              zoo lora combine math-lora/ code-lora/ --weights 0.7,0.3 --kind cat --to both/
              zoo lora combine a/ b/ c/ --kind ties_svd --density 0.3 --rank 16 --to merged/
            """)

    @Argument(help: "Adapters: folders, their weights, ARCHIVE!/MEMBER.")
    package var adapters: [String]

    @Option(help: ArgumentHelp("The folder to write.", valueName: "folder"))
    package var to: String

    @Option(
        help:
            "cat, linear, svd, ties, dare_linear, dare_ties, magnitude_prune, and the last four with _svd."
    )
    package var kind: AdapterCombination.Kind = .svd

    @Option(help: ArgumentHelp("A weight per adapter, separated by commas. Default: 1 each.", valueName: "list"))
    package var weights: String?

    @Option(help: ArgumentHelp("The share of values that pruning keeps.", valueName: "number"))
    package var density: Double?

    @Option(help: ArgumentHelp("Elect signs by 'total' (sum) or 'frequency' (count).", valueName: "how"))
    package var majoritySign: MajoritySign = .total

    @Option(help: ArgumentHelp("svd: the rank. Default: the largest of the adapters.", valueName: "number"))
    package var rank: Int?

    @Option(help: ArgumentHelp("svd: clamp both matrices to this quantile of their values.", valueName: "quantile"))
    package var clamp: Double?

    @Flag(help: "Replace a folder that is there, once the new one is complete.")
    package var replace = false

    @OptionGroup package var output: OutputOptions
    @OptionGroup(title: "Common options") package var global: GlobalOptions

    package init() {}

    package var outputPath: String? { output.output }

    /// How signs are elected.
    package enum MajoritySign: String, ExpressibleByArgument, CaseIterable {
        case total, frequency
    }

    package func validate() throws {
        if kind.prunes, density == nil { throw ValidationError("--kind \(kind.rawValue) needs --density.") }
        if density != nil, !kind.prunes { throw ValidationError("--density goes with ties, dare and magnitude_prune.") }
        if let density, !(0...1).contains(density) || density == 0 && kind.rawValue.hasPrefix("dare") {
            throw ValidationError("--density takes a number from 0 to 1, for dare above 0.")
        }
        if rank != nil || clamp != nil, !kind.decomposes {
            throw ValidationError("--rank and --clamp go with svd kinds.")
        }
        if let rank, rank < 1 { throw ValidationError("--rank takes a number from 1 on.") }
        if let clamp, !(0...1).contains(clamp) { throw ValidationError("--clamp takes a number from 0 to 1.") }
    }

    package func run(in session: Session) throws {
        try HuggingFaceFolder.check(to, replacing: replace)
        var options = AdapterCombination.Options(weights: try factors())
        options.density = density ?? 1
        options.electsByCount = majoritySign == .frequency
        options.rank = rank
        options.clamp = clamp
        options.seed = session.seed
        options.jobs = session.jobs
        let opened = try adapters.map { try Adapter.open($0) }
        let bases = Set(opened.compactMap(\.config.baseModel))
        if bases.count > 1 {
            session.warn("the adapters name different bases: \(bases.sorted().joined(separator: ", "))")
        }
        let found = try AdapterCombination(opened, names: adapters, kind: kind, options: options)
        let name = to.split(separator: "/").last.map(String.init) ?? to
        try AdapterCard.write(
            found.adapter, to: to, replacing: replace,
            card: AdapterCard.combined(
                name, base: bases.sorted().first ?? "", zip(adapters, options.weights).map { ($0, $1) }, kind), session)
        var table = Table([.init("module"), .init("rank", .integer)])
        for (module, rank) in found.ranks.sorted(by: { $0.key < $1.key }) { table.append([.text(module), .int(rank)]) }
        let json: JSONValue = [
            "kind": .string(kind.rawValue), "output": .string(to),
            "weights": .array(zip(adapters, options.weights).map { ["adapter": .string($0), "weight": .double($1)] }),
            "ranks": .object(
                JSONObject(found.ranks.sorted { $0.key < $1.key }.map { ($0.key, .int(Int64($0.value))) })),
        ]
        try session.emit(json, as: table)
        session.note("wrote \(to): \(Quantity.count(found.ranks.count)) modules")
    }

    private func factors() throws -> [Double] {
        guard let weights else { return [Double](repeating: 1, count: adapters.count) }
        let parts = weights.split(separator: ",").map { String($0).trimming(while: \.isWhitespace) }
        let parsed = parts.compactMap(Double.init).filter(\.isFinite)
        guard parsed.count == parts.count, parsed.count == adapters.count else {
            throw ZooError(.usage, "--weights '\(weights)': expected \(adapters.count) numbers separated by commas")
        }
        return parsed
    }
}

extension AdapterCombination.Kind: ExpressibleByArgument {}
