import ZooBase

/// The vocabulary of the result and how every model's rows fit it.
struct VocabularyPlan: Sendable {
    /// The tokens.
    let vocabulary: OutputVocabulary
    /// Rows of the embeddings, padding included.
    let rowCount: Int
    /// Rows below this number keep a model's own row when they are no token; those above are padding.
    private let keptCount: Int
    /// For each input, by new id: the token's id there, or −1.
    private let permutations: [[Int32]]
    /// For each input: rows that no token of its own uses are free.
    private let taken: [Set<Int32>]
    /// Ids there of tokens, for rows that a recipe names.
    private let tables: [TokenTable]
    /// The token of each new id; nil for gaps and padding.
    private let tokens: [String?]
    private let entries: [ExactText: TokenizerSetting.Entry]

    /// Fits models to a vocabulary.
    ///
    /// - Parameters:
    ///   - models: tokenizer and rows of each input.
    ///   - donorRows: rows of the embedding that the tokenizer belongs to.
    init(
        _ vocabulary: OutputVocabulary, _ setting: TokenizerSetting, models: [(table: TokenTable, rows: Int)],
        donorRows: Int
    ) {
        self.vocabulary = vocabulary
        let table = vocabulary.table
        keptCount = max(table.rowCount, setting.keepsRows ? donorRows : 0)
        let padding = setting.padding ?? 1
        rowCount = (keptCount + padding - 1) / padding * padding
        var tokens = [String?](repeating: nil, count: rowCount)
        for (token, id) in table.ids { tokens[id] = token.text }
        self.tokens = tokens
        tables = models.map(\.table)
        permutations = models.map { model in
            tokens.map { token in
                guard let token, let id = model.table.id(of: token), id < model.rows else { return -1 }
                return Int32(id)
            }
        }
        taken = models.map { model in Set(model.table.ids.values.map { Int32($0) }) }
        entries = Dictionary(setting.tokens.map { (ExactText($0.token), $0) }, uniquingKeysWith: { first, _ in first })
    }

    /// One member of an embedding.
    struct Member: Hashable {
        /// Which input.
        var input: Int
        /// Rows of its tensor.
        var rows: Int
        var isBase: Bool
    }

    /// The rows of one embedding.
    ///
    /// - Parameters:
    ///   - find: the input that a reference of the recipe names.
    ///   - problem: told what does not fit.
    /// - Returns: the plan, and tokens that no member has.
    func rows(
        _ members: [Member], find: (ModelReference) -> Int?, problem: (String) -> Void
    ) -> (plan: RowPlan, orphans: [String]) {
        var plan = RowPlan(rows: members.map { _ in [] }, given: [])
        for index in members.indices { plan.rows[index].reserveCapacity(rowCount) }
        var orphans: [String] = []
        var known: [RowPlan.Given: Int32] = [:]
        // A model that is listed twice speaks once.
        var firsts: [Int] = []
        for index in members.indices where !firsts.contains(where: { members[$0].input == members[index].input }) {
            firsts.append(index)
        }
        for row in 0..<rowCount {
            guard let token = tokens[row] else {
                for (index, member) in members.enumerated() {
                    let isOwn = row < keptCount && row < member.rows && !taken[member.input].contains(Int32(row))
                    plan.rows[index].append(isOwn ? Int32(row) : RowPlan.ownMean)
                }
                continue
            }
            func own(_ index: Int) -> Int32 {
                let id = permutations[members[index].input][row]
                return Int(id) < members[index].rows ? id : -1
            }
            let entry = entries.isEmpty ? nil : entries[ExactText(token)]
            let isForced = entry?.isForced ?? false
            guard isForced || members.indices.contains(where: { own($0) < 0 }) else {
                for index in members.indices { plan.rows[index].append(own(index)) }
                continue
            }
            let having = firsts.filter { own($0) >= 0 }
            let given: RowPlan.Given
            if let source = entry?.source {
                given = explicit(source, token, members, own, find, problem)
            } else if having.isEmpty {
                given = .zero
                orphans.append(token)
            } else if having.count > 1, let base = having.first(where: { members[$0].isBase }) {
                given = .mean([.init(member: base, row: Int(own(base)))])
            } else {
                given = .mean(having.map { .init(member: $0, row: Int(own($0))) })
            }
            var code: Int32 = known[given] ?? 0
            if code == 0 {
                code = -2 - Int32(plan.given.count)
                plan.given.append(given)
                known[given] = code
            }
            for index in members.indices {
                let row = own(index)
                plan.rows[index].append(row >= 0 && !isForced ? row : code)
            }
        }
        return (plan, orphans)
    }

    /// The row that an entry of `tokens` names.
    private func explicit(
        _ source: TokenizerSetting.RowSource, _ token: String, _ members: [Member], _ own: (Int) -> Int32,
        _ find: (ModelReference) -> Int?, _ problem: (String) -> Void
    ) -> RowPlan.Given {
        func member(_ reference: ModelReference) -> Int? {
            let found = find(reference).flatMap { input in members.firstIndex { $0.input == input } }
            if found == nil {
                problem("token '\(token)' takes its row from \(reference), which is not part of the merge")
            }
            return found
        }
        switch source {
        case .zero: return .zero
        case .model(let reference):
            guard let index = member(reference) else { return .zero }
            guard own(index) >= 0 else {
                problem("token '\(token)' takes its row from \(reference), which has no such token")
                return .zero
            }
            return .mean([.init(member: index, row: Int(own(index)))])
        case .token(let other, let reference):
            guard let index = member(reference) else { return .zero }
            guard let id = tables[members[index].input].id(of: other), id < members[index].rows else {
                problem("token '\(token)' takes the row of '\(other)' from \(reference), which has no such token")
                return .zero
            }
            return .mean([.init(member: index, row: id)])
        case .row(let id, let reference):
            guard let index = member(reference) else { return .zero }
            guard id < members[index].rows else {
                problem(
                    "token '\(token)' takes row \(id) from \(reference), which has \(members[index].rows) rows")
                return .zero
            }
            return .mean([.init(member: index, row: id)])
        }
    }
}
