import ArgumentParser
import ZooBase
import ZooFormats
import ZooMerge
import ZooNN
import ZooReport
import ZooTensor

/// `zoo fuse`: merges that look at data.
package struct Fuse: ZooCommand {
    package static let configuration = CommandConfiguration(
        abstract: "Merge checkpoints with the help of data: Fisher, RegMean, AdaMerging.",
        discussion: """
            'fisher' weighs every element with the information that the model's own data carries on it; 'regmean' \
            solves for the weights whose layer outputs are nearest to those of all models on their own data; \
            'adamerging' learns how far to go along each task vector by making predictions on unlabelled data certain, \
            and takes the base as its first checkpoint. Give --data once for all checkpoints, or once per checkpoint \
            in their order (for adamerging: per task).

            Example:
              zoo fuse fisher a.safetensors b.safetensors --data digits.safetensors:train --to merged.safetensors
              zoo fuse regmean a.pt b.pt --data a.npz:train --data b.npz:train --alpha 0.9 --to merged.safetensors
              zoo fuse adamerging base.pt a.pt b.pt --data a.npz:test --data b.npz:test --steps 200 --to merged.pt
            """)

    @Argument(help: "fisher, regmean or adamerging.")
    package var method: Method

    @Argument(help: "Checkpoints: files, folders, ARCHIVE!/MEMBER, ids, NAME@EPOCH, 'where:…'; adamerging: base first.")
    package var selectors: [String]

    @Option(
        help: ArgumentHelp(
            "Data, and after a colon the split; once, or once per checkpoint.", valueName: "file[:split]"))
    package var data: [String]

    @Option(help: ArgumentHelp("The file to write: .safetensors, .pt, .npz, .h5.", valueName: "file"))
    package var to: String

    @Option(help: ArgumentHelp("Use at most this many samples of each data set, the first ones.", valueName: "number"))
    package var samples: Int?

    @Option(help: ArgumentHelp("fisher, regmean: a weight per model, separated by commas.", valueName: "list"))
    package var weights: String?

    @Option(help: "fisher: exact (all classes) or empirical (true labels).")
    package var fisher: FisherInformation.Kind = .exact

    @Option(help: ArgumentHelp("fisher: the smallest information.", valueName: "number"))
    package var floor: Double = 1e-6

    @Flag(help: "fisher: divide each model's information by its norm.")
    package var normalised = false

    @Flag(help: "fisher: where no other model has information, keep the first model's value.")
    package var favourFirst = false

    @Option(help: ArgumentHelp("fisher: also store each model's information in this folder.", valueName: "folder"))
    package var fisherTo: String?

    @Option(help: ArgumentHelp("regmean: factor of off-diagonals, 0 to 1.", valueName: "number"))
    package var alpha: Double = 0.9

    @Option(
        help: ArgumentHelp("adamerging: a coefficient per task, or per task and tensor (layer).", valueName: "what"))
    package var per: AdaMerging.Granularity = .layer

    @Option(help: ArgumentHelp("adamerging: coefficients at the start.", valueName: "number"))
    package var start: Double = 0.3

    @Option(help: ArgumentHelp("adamerging: rate of Adam.", valueName: "number"))
    package var rate: Double = 1e-3

    @Option(help: ArgumentHelp("adamerging: steps.", valueName: "number"))
    package var steps: Int = 500

    @Option(help: ArgumentHelp("The tensor of the labels. Default: y_SPLIT.", valueName: "name"))
    package var labels: String?

    @Option(help: ArgumentHelp("An architecture file, or the name of a known architecture.", valueName: "name"))
    package var architecture: String?

    @Option(help: ArgumentHelp("A number that the weights do not show: activation=tanh.", valueName: "key=value"))
    package var set: [String] = []

    @OptionGroup package var output: OutputOptions
    @OptionGroup(title: "Common options") package var global: GlobalOptions

    package init() {}

    package var outputPath: String? { output.output }

    /// The methods.
    package enum Method: String, ExpressibleByArgument, CaseIterable {
        case fisher, regmean, adamerging
    }

    package func validate() throws {
        if !(0...1).contains(alpha) { throw ValidationError("--alpha takes a number from 0 to 1.") }
        if !(floor >= 0 && floor.isFinite) { throw ValidationError("--floor takes a number from 0 on.") }
        if steps < 1 || steps > 1_000_000 { throw ValidationError("--steps takes a number from 1 to 1000000.") }
        if !(rate > 0 && rate.isFinite) { throw ValidationError("--rate takes a number above zero.") }
        if !(0...1).contains(start) { throw ValidationError("--start takes a number from 0 to 1.") }
        if let samples, samples < 1 { throw ValidationError("--samples takes a number from 1 on.") }
        if fisherTo != nil, method != .fisher { throw ValidationError("--fisher-to goes with fisher.") }
        if weights != nil, method == .adamerging { throw ValidationError("adamerging learns its weights.") }
    }

    package func run(in session: Session) throws {
        _ = try CheckpointWriters.writer(for: to)
        let work = try FuseWork(self, session)
        let result = try work.run()
        try CheckpointWriters.write(
            result.state, to: to, metadata: ["format": "pt", "zoo_method": method.rawValue], jobs: session.jobs)
        try DerivedModel(
            path: to, role: method.rawValue,
            parents: zip(work.models.checkpoints, result.coefficients).map { .init(checkpoint: $0, coefficient: $1) }
        ).record(session, dataset: data.joined(separator: ", "))
        try session.emit(.object(result.json(output: to)), as: result.table)
        session.note("wrote \(to): \(Quantity.count(result.state.names.count)) tensors")
    }
}

extension FisherInformation.Kind: ExpressibleByArgument {}
extension AdaMerging.Granularity: ExpressibleByArgument {}
