import ZooBase

/// A token that a tokenizer matches before it cuts the text: special tokens and such as were added to a vocabulary.
struct AddedToken: Sendable {
    /// Its text.
    var content: String
    /// Its id.
    var id: Int
    /// How it is matched, under the names of `tokenizer.json`: single_word, lstrip, rstrip, normalized, special.
    var flags: [String: Bool]

    /// The names of the flags, in the order in which files have them.
    static let flagNames = ["single_word", "lstrip", "rstrip", "normalized", "special"]

    /// A token as adding a plain text makes it: matched after normalization, not special.
    init(plain content: String, id: Int) {
        self.content = content
        self.id = id
        flags = ["normalized": true]
    }

    /// An entry of `added_tokens` or `added_tokens_decoder`.
    init?(_ json: JSONValue, id: Int) {
        guard let content = json["content"]?.string else { return nil }
        self.content = content
        self.id = id
        flags = [:]
        for name in Self.flagNames { flags[name] = json[name]?.bool ?? false }
    }

    func isOn(_ flag: String) -> Bool { flags[flag] ?? false }

    func hasSameFlags(_ other: AddedToken) -> Bool { Self.flagNames.allSatisfy { isOn($0) == other.isOn($0) } }

    /// The flags as members of an entry.
    var members: [(String, JSONValue)] { Self.flagNames.map { ($0, .bool(isOn($0))) } }
}

/// All tokens of a model with their ids.
struct TokenTable: Sendable {
    /// Ids by token; of a token that is there twice the added one's.
    private(set) var ids: [ExactText: Int] = [:]
    /// Tokens of the vocabulary proper, by id.
    private(set) var ordinary: [(token: String, id: Int)] = []
    /// The largest id.
    private(set) var largestID = -1
    private var addedTokens: [AddedToken] = []
    private var addedPlaces: [ExactText: Int] = [:]

    init() {}

    /// Takes the tokens of a vocabulary.
    init(_ vocabulary: some Sequence<(String, Int)>) {
        for (token, id) in vocabulary {
            ids[ExactText(token)] = id
            ordinary.append((token, id))
            largestID = max(largestID, id)
        }
        ordinary.sort { $0.id < $1.id }
    }

    /// How many ids are spoken for: one more than the largest.
    var rowCount: Int { largestID + 1 }

    /// The id of a token.
    func id(of token: String) -> Int? { ids[ExactText(token)] }

    /// Added tokens, by id.
    var added: [AddedToken] { addedTokens.sorted { $0.id < $1.id } }

    /// The added token of a text.
    func addedToken(_ token: String) -> AddedToken? { addedPlaces[ExactText(token)].map { addedTokens[$0] } }

    /// Adds a token; does nothing when it is among the added ones.
    mutating func add(_ token: AddedToken) {
        let key = ExactText(token.content)
        guard addedPlaces[key] == nil else { return }
        ids[key] = token.id
        addedPlaces[key] = addedTokens.count
        addedTokens.append(token)
        largestID = max(largestID, token.id)
    }

    /// Leaves out the tokens from an id on.
    ///
    /// - Returns: what went.
    mutating func strip(from limit: Int) -> Set<ExactText> {
        guard largestID >= limit else { return [] }
        let gone = Set(ids.filter { $0.value >= limit }.keys)
        ids = ids.filter { $0.value < limit }
        ordinary.removeAll { $0.id >= limit }
        addedTokens.removeAll { $0.id >= limit }
        addedPlaces = [:]
        for (place, token) in addedTokens.enumerated() { addedPlaces[ExactText(token.content)] = place }
        largestID = ids.values.max() ?? -1
        return gone
    }
}
