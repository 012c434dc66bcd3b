import ZooBase
import ZooTensor

/// A recipe with its models opened and every tensor of the result worked out, before a byte is written.
public struct MergePlan: Sendable {
    /// One tensor of the result.
    public struct PlannedTensor: Sendable {
        /// The tensor and its members, parameters resolved.
        public var call: MergeCall
        /// For each member: which input, and the tensor's name there.
        public var origins: [(input: Int, name: String)]
        /// For tensors whose rows are tokens of another vocabulary than the result's: where each row comes from.
        var rows: RowPlan?
        /// For statistics of batch norm: how they are made instead.
        var statistic: StatisticMerge?
    }

    /// The recipe.
    public let recipe: Recipe
    /// The method.
    public let method: any MergeMethod.Type
    /// The models, in the order of the recipe, each once.
    public internal(set) var inputs: [MergeInput] = []
    /// Which of them is the base.
    public internal(set) var base: Int?
    /// The tensors of the result, in lexicographic order of names.
    public internal(set) var tensors: [PlannedTensor] = []
    /// Everything that makes the merge impossible.
    public internal(set) var problems: [String] = []
    /// What the user should know.
    public internal(set) var warnings: [String] = []
    /// Layers of the result by module prefix, for recipes that restack.
    public internal(set) var layerCounts: [String: Int] = [:]
    /// The source layer of each output layer of the first input's kind, for per-layer lists in the configuration.
    public internal(set) var layerOrigins: [Int] = []
    /// Whether some models tie their head to the embedding and others do not.
    public internal(set) var unties = false
    /// Rows of the embeddings when they are not those of the configuration.
    public internal(set) var newVocabularySize: Int?
    /// Whether the result has statistics of batch norm that several models have a part in.
    public internal(set) var hasStatistics = false
    /// The vocabulary of recipes with a tokenizer.
    var vocabulary: VocabularyPlan?
    /// The chat template of recipes that name one.
    public internal(set) var chatTemplate: String?
    /// What goes beyond the recipe.
    public let options: MergeOptions

    /// Opens the models and plans. What is wrong with tensors and parameters is gathered in `problems`; only what
    /// keeps a plan from being made is thrown.
    ///
    /// - Throws: what the resolver throws, gathered over all models.
    public init(_ recipe: Recipe, options: MergeOptions = MergeOptions(), resolve: MergeInputResolver) throws {
        guard let method = MergeMethods.named(recipe.method) else {
            throw ZooError(.usage, "'\(recipe.method)' is no merge method")
        }
        var builder = PlanBuilder(MergePlan(empty: recipe, method, options))
        try builder.build(resolve)
        self = builder.plan
    }

    private init(empty recipe: Recipe, _ method: any MergeMethod.Type, _ options: MergeOptions) {
        self.recipe = recipe
        self.method = method
        self.options = options
        warnings = recipe.unknownKeys
    }

    /// Adds something that the caller has found and that makes the merge impossible.
    public mutating func add(problem: String) { problems.append(problem) }

    /// The bytes of the result's tensors.
    public var byteCount: Int { tensors.reduce(0) { $0 + $1.call.info.byteCount } }

    /// The most memory that merging takes besides the mapped inputs: pieces in work, decoded blocks, counting tables.
    public func peakByteCount(jobs: Int) -> Int {
        let models = inputs.count
        let piece = 1 << 20, decoded = (models + 4) * TensorStack.blockLength * 8
        let tables = 2 * models * (1 << 16) * 8
        return jobs * (piece * (models + 1) + decoded + tables) + (64 << 20)
    }

    /// The error that all problems make together.
    public var failure: ZooError? {
        guard let first = problems.first else { return nil }
        let more = problems.count > 1 ? " (and \(problems.count - 1) more)" : ""
        return ZooError(.mismatch, "the recipe cannot be merged: \(first)\(more)", hint: "see all with --dry-run")
    }
}
