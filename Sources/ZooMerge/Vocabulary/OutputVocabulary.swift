import ZooBase

/// The vocabulary of a merged model: the tokens of one tokenizer, or the union of several.
struct OutputVocabulary: Sendable {
    /// The tokenizer that the result's is made of.
    let donor: TokenizerFiles
    /// All tokens with their new ids.
    private(set) var table: TokenTable
    /// Tokens of the donor that are left out, since its model has no rows for them.
    let stripped: Set<ExactText>
    /// Tokens that the donor lacks, or that become added ones, in the order in which they came.
    private(set) var additions: [AddedToken] = []
    /// What the user should know.
    private(set) var warnings: [String] = []

    /// The donor's tokens below the rows of its model.
    ///
    /// - Parameter rows: `vocab_size` of the donor's model.
    init(_ donor: TokenizerFiles, rows: Int) {
        self.donor = donor
        var table = donor.table
        stripped = table.strip(from: rows)
        self.table = table
        if !stripped.isEmpty {
            warnings.append(
                "\(donor.folder): \(stripped.count) tokens lie beyond the \(rows) rows of the model and are left out")
        }
    }

    /// Whether the donor's files can be taken as they are.
    var isUnchanged: Bool { stripped.isEmpty && additions.isEmpty }

    /// Adds every token of other tokenizers that is not there yet: of all models in order the ordinary ones first, then
    /// the added ones, with their flags.
    ///
    /// - Parameter others: tokenizers with the rows of their models.
    mutating func unite(_ others: [(files: TokenizerFiles, rows: Int)]) {
        let added = others.map { other in other.files.table.added.filter { $0.id < other.rows } }
        let isAddedSomewhere = Set(added.joined().map { ExactText($0.content) })
        for other in others {
            for (token, id) in other.files.table.ordinary where id < other.rows {
                if !isAddedSomewhere.contains(ExactText(token)) { add(token) }
            }
        }
        var conflicts: [String] = []
        for token in added.joined() {
            if let known = table.addedToken(token.content) {
                if !known.hasSameFlags(token) { conflicts.append("'\(token.content)'") }
                continue
            }
            var token = token
            // An ordinary token of the donor keeps its id and is matched as an added one from now on.
            token.id = table.id(of: token.content) ?? table.rowCount
            table.add(token)
            additions.append(token)
        }
        guard !conflicts.isEmpty else { return }
        let list = conflicts.prefix(5).joined(separator: ", ") + (conflicts.count > 5 ? ", …" : "")
        warnings.append("added tokens with different flags, of which the first are taken: \(list)")
    }

    /// Adds a plain token unless it is there.
    mutating func add(_ token: String) {
        guard table.id(of: token) == nil else { return }
        let added = AddedToken(plain: token, id: table.rowCount)
        table.add(added)
        additions.append(added)
    }
}
