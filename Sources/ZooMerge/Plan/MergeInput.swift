import ZooBase
import ZooTensor

/// A model to merge, opened.
public struct MergeInput: Sendable {
    /// How to call it in messages and in the card.
    public var label: String
    /// Its tensors.
    public var source: any TensorSource
    /// Its `config.json`, for models that have one.
    public var config: JSONObject?
    /// Its folder, for models that are one.
    public var folder: String?

    /// Creates an input.
    public init(label: String, source: any TensorSource, config: JSONObject? = nil, folder: String? = nil) {
        self.label = label
        self.source = source
        self.config = config
        self.folder = folder
    }
}

/// Opens what a recipe names; a query may name several models. Files and catalogs are the caller's.
public typealias MergeInputResolver = (ModelReference) throws -> [MergeInput]

/// What a merge does beyond its recipe.
public struct MergeOptions: Sendable {
    /// The seed of random masks.
    public var seed: UInt64 = 0
    /// What to do with tensors that some models lack.
    public var pairing = LinearCombination.Pairing.strict
    /// Refuse integer tensors that differ instead of taking the base's.
    public var strictBuffers = false
    /// Cut embeddings of different vocabularies to the common rows.
    public var truncatesEmbeddings = false
    /// What becomes of batch-norm statistics.
    public var batchNorm = BatchNormRule.average
    /// Refuse inputs with elements that are NaN or infinite.
    public var failsOnNonFinite = false
    /// Allow models of different architectures.
    public var mixesArchitectures = false
    /// Fail and drop as the reference does where Zoo knows better.
    public var imitatesReference = false

    /// The defaults.
    public init() {}
}
