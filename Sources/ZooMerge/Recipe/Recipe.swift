import ZooBase
import ZooTensor

/// A merge as mergekit's YAML describes it: which models, by which method, with which parameters.
///
/// The keys and their meaning are mergekit's, so that a recipe written for it runs as it is. `model:` may also be
/// anything else that the caller can resolve (`MergeInputResolver`): catalog selectors, `where:` queries.
public struct Recipe: Sendable {
    /// The text it was read from, written beside the result as it is.
    public var text: String
    /// `merge_method`.
    public var method: String
    /// What is merged: one list of slices per module; a recipe with `models:` has the one module "" with one slice
    /// without layer ranges.
    public var modules: [Module]
    /// `base_model`.
    public var base: ModelReference?
    /// `parameters`: the values of lowest priority.
    public var parameters: ParameterSet
    /// `dtype`: inputs are rounded to it, and the result has it unless `outputType` says otherwise.
    public var workingType: DType?
    /// `out_dtype`.
    public var outputType: DType?
    /// `tokenizer` or the older `tokenizer_source`.
    public var tokenizer: TokenizerSetting?
    /// `chat_template`.
    public var chatTemplate: String?
    /// `post_t: end` (ours): tensors after the layers have a gradient's last value, not its first as in mergekit.
    public var endsAfterLayers = false
    /// Keys that mean nothing here, with their lines: warned of, as mergekit ignores them.
    public var unknownKeys: [String]

    /// A part of a network with a layer count of its own; "" is the only one of most networks.
    public struct Module: Sendable {
        /// The key under `modules:`.
        public var name: String
        /// Stacked runs of output layers.
        public var slices: [Slice]
        /// `parameters` of the module.
        public var parameters: ParameterSet
    }

    /// A run of output layers.
    public struct Slice: Sendable {
        /// The models that meet here.
        public var sources: [Source]
        /// Overrides the recipe's base.
        public var base: ModelReference?
        /// `parameters` of the slice.
        public var parameters: ParameterSet
    }

    /// One model in a slice.
    public struct Source: Sendable {
        /// The model.
        public var model: ModelReference
        /// Its layers; nil takes all.
        public var layers: Range<Int>?
        /// Its `parameters`.
        public var parameters: ParameterSet
        /// The line of the recipe, from 1.
        public var line: Int
    }

    /// Whether layers are restacked rather than models merged as they are.
    public var restacks: Bool { modules.contains { $0.slices.contains { $0.sources.contains { $0.layers != nil } } } }
}

/// How a recipe names a model: a path, a hub name's local folder, a selector; with an adapter to add first.
public struct ModelReference: Sendable, Hashable, CustomStringConvertible {
    /// The path or selector as written.
    public var path: String
    /// A LoRA adapter to merge into it before anything else.
    public var adapter: String?

    /// Creates a reference.
    public init(_ path: String, adapter: String? = nil) {
        self.path = path
        self.adapter = adapter
    }

    /// As in a recipe: `path+adapter`.
    public var description: String { adapter.map { "\(path)+\($0)" } ?? path }
}
