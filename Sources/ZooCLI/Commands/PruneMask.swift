import ArgumentParser
import ZooBase
import ZooPrune

/// `zoo prune mask`: a network with the least important weights set to zero.
package struct PruneMaskCommand: ZooCommand {
    package static let configuration = CommandConfiguration(
        commandName: "mask",
        abstract: "Set the least important weights to zero, by GAPrune's score or a baseline.",
        discussion: """
            Methods: \(PruneMethods.all.map { "\($0.name) (\($0.summary))" }.joined(separator: "; ")).
            The folder gets weights that load anywhere, configuration and tokenizer, mask.bin, prune.json. Zeros make \
            neither file nor network smaller: see 'zoo prune export --compact' and 'zoo prune structured'.

            Example:
              zoo prune mask scores --method dai --sparsity 0.7 --to pruned
              zoo prune mask scores --method wanda --sparsity 0.5 --layers linear --to wanda
              zoo prune mask scores --method sparsegpt --group 2:4 --to sparse
            """)

    @Argument(help: "The folder that 'zoo prune score' wrote.")
    package var scores: String

    @Option(help: ArgumentHelp("The method.", valueName: "name"))
    package var method: String = ScaledImportance.name

    @Option(help: ArgumentHelp("Share of the candidate weights to prune, from 0 on and below 1.", valueName: "share"))
    package var sparsity: Double?

    @Option(help: "Layers: mlp, attn, linear. Default: mlp where there is attention, else what was scored.")
    package var layers: PruneLayers?

    @Option(
        help: ArgumentHelp(
            "Where weights compete: global, tensor, row, or N:M such as 2:4. Default: the method's.", valueName: "group"
        ))
    package var group: String?

    @Option(help: ArgumentHelp("dai: weight of the agreement of gradients.", valueName: "number"))
    package var alpha: Double = 0.2

    @Option(
        help: ArgumentHelp(
            "dai: weight of general importance, subtracted. Default: 0, as published 1.", valueName: "number"))
    package var beta: Double?

    @Option(help: ArgumentHelp("dai: weight of the root of magnitude.", valueName: "number"))
    package var gamma: Double = 0.5

    @Option(help: "dai: agreement by tensor, row or element.")
    package var align: Agreement.Granularity = .tensor

    @Option(
        help: "fisher, obd, snip, wanda, sparsegpt: data of domain, general or both. Default: obd both, else domain.")
    package var side: PruneSettings.Side?

    @Option(help: ArgumentHelp("sparsegpt: share of the mean diagonal added to it.", valueName: "number"))
    package var damping: Double = 0.01

    @Option(help: ArgumentHelp("sparsegpt: columns that choose together.", valueName: "number"))
    package var block: Int = 128

    @Option(help: ArgumentHelp("The network, when it is no longer where it was scored.", valueName: "checkpoint"))
    package var model: String?

    @Option(help: ArgumentHelp("The folder to write.", valueName: "folder"))
    package var to: String

    @Flag(help: "Replace the folder when it is there.")
    package var replace = false

    @OptionGroup package var output: OutputOptions
    @OptionGroup(title: "Common options") package var global: GlobalOptions

    package init() {}

    package var outputPath: String? { output.output }

    package func validate() throws {
        if let sparsity, !(sparsity >= 0 && sparsity < 1) {
            throw ValidationError("--sparsity takes a share from 0 on and below 1, not \(sparsity).")
        }
        for (name, value) in [("alpha", alpha), ("beta", beta ?? 0), ("gamma", gamma)] where !value.isFinite {
            throw ValidationError("--\(name) takes a number.")
        }
        if !(abs(alpha) < 1) { throw ValidationError("--alpha takes a number between -1 and 1.") }
        if !(damping > 0 && damping.isFinite) { throw ValidationError("--damping takes a number above zero.") }
        if !(1...65536).contains(block) { throw ValidationError("--block takes a number from 1 to 65536.") }
    }

    func settings(seed: UInt64) -> PruneSettings {
        var settings = PruneSettings()
        settings.alpha = alpha
        settings.beta = beta
        settings.gamma = gamma
        settings.agreement = align
        settings.side = side
        settings.damping = damping
        settings.block = block
        settings.seed = seed
        return settings
    }

    package func run(in session: Session) throws {
        let report = try MaskWork(self, session).run()
        report.notes(session)
        var json = report.json
        json["output"] = .string(to)
        try session.emit(.object(json), as: report.table)
    }
}

extension Agreement.Granularity: ExpressibleByArgument {}
extension PruneSettings.Side: ExpressibleByArgument {}
