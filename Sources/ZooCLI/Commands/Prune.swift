import ArgumentParser
import ZooBase

/// `zoo prune`: smaller embedding models and networks that keep a domain.
package struct Prune: ParsableCommand {
    package static let configuration = CommandConfiguration(
        abstract:
            "Prune a network by what calibration data of a domain and of general use say of its weights (GAPrune).",
        discussion: """
            'score' looks at the data once; 'mask' sets weights to zero and 'structured' removes whole units, as often \
            as wanted. 'retrain' goes on training with the zeros held, 'export' stores them in less room, 'bench' \
            measures time. docs/pruning.md tells more.

            Example:
              zoo prune score all-MiniLM-L6-v2 --domain foldoc.jsonl --general wordnet.jsonl --to scores
              zoo prune mask scores --method dai --sparsity 0.7 --to pruned
            """,
        subcommands: commands)

    /// A new subcommand is one file in this folder and one line below.
    package static let commands: [any ParsableCommand.Type] = [
        PruneScore.self,
        PruneMaskCommand.self,
        PruneStructured.self,
        PruneRetrain.self,
        PruneEvaluate.self,
        PruneExport.self,
        PruneBench.self,
    ]

    package init() {}
}
