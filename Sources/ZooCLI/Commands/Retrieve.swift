import ArgumentParser
import ZooBase
import ZooRetrieval

/// `zoo retrieve`: which model of the zoo serves a data set?
package struct Retrieve: ParsableCommand {
    package static let configuration = CommandConfiguration(
        abstract: "Find the model that serves a data set, without showing the data to any model (Know2Vec).",
        discussion: """
            'fit' asks every model once on public probes and trains vectors for models and queries; 'add' indexes more \
            models; 'query' ranks the indexed models for a few labelled samples; 'rank' compares models by scores that \
            take a forward pass of each; 'evaluate' measures rankings where the truth is known.

            Example:
              zoo retrieve fit "where:zoo = 'retrieval-digits'" --probes digits-retrieval:val --queries digits-retrieval:query
              zoo retrieve query --data digits-retrieval:test --shots 5
            """,
        subcommands: [
            RetrieveFit.self, RetrieveAdd.self, RetrieveQuery.self, RetrieveRank.self, RetrieveEvaluate.self,
        ])

    package init() {}
}

/// The options that name an index and how its models' networks are read.
package struct IndexOption: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The retrieval index. Default: beside the catalog, ending in .retrieval.safetensors.", valueName: "file"))
    package var index: String?

    @Option(help: ArgumentHelp("An architecture file, or the name of a known architecture.", valueName: "name"))
    package var architecture: String?

    @Option(help: ArgumentHelp("A number that the weights do not show: activation=tanh.", valueName: "key=value"))
    package var set: [String] = []

    package init() {}
}

extension EncoderKind: ExpressibleByArgument {}
extension FeatureMap.Kind: ExpressibleByArgument {}
extension RetrievalLoss: ExpressibleByArgument {}
