/// Where the tokenizer of the result comes from, and the rows of its tokens.
public struct TokenizerSetting: Sendable {
    /// Whose vocabulary.
    public enum Source: Sendable, Hashable {
        /// The base model's, else the first model's.
        case base
        /// The base model's with every token of the others added.
        case union
        /// One model's.
        case model(ModelReference)
    }

    /// Whose vocabulary.
    public var source: Source
    /// `pad_to_multiple_of`.
    public var padding: Int?
    /// `keep_vocab_size`: embeddings keep at least the rows that those of the tokenizer's model have.
    public var keepsRows = false
    /// `tokens`: where the rows of single tokens come from, in the order of the recipe.
    public var tokens: [Entry] = []

    /// One entry of `tokens`.
    public struct Entry: Sendable {
        /// The token; added to the vocabulary when it is not there.
        public var token: String
        /// Where its row comes from; nil leaves that to the rules for tokens that a model lacks.
        public var source: RowSource?
        /// Whether models that have the token take the row too.
        public var isForced = false
        /// The line of the recipe, from 1.
        public var line: Int
    }

    /// Where the row of a token comes from.
    public enum RowSource: Sendable, Hashable {
        /// Zeros.
        case zero
        /// The same token's row in one model.
        case model(ModelReference)
        /// Another token's row in one model.
        case token(String, of: ModelReference)
        /// A row by number.
        case row(Int, of: ModelReference)
    }
}
