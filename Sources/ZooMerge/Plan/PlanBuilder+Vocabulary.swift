import ZooBase
import ZooTensor

/// Tokenizers, and embeddings in the order of the result's vocabulary.
extension PlanBuilder {
    /// The model whose tokenizer the result's is made of unless the recipe names another: the base, else the first.
    private var first: Int { plan.base ?? 0 }

    // MARK: The vocabulary

    /// Reads the tokenizers and works the vocabulary out.
    mutating func planVocabulary() {
        guard let setting = plan.recipe.tokenizer, !plan.inputs.isEmpty else { return }
        guard let files = tokenizers() else { return }
        let sizes = plan.inputs.indices.map { rowLimit($0, files[$0]) }
        var donor = first
        var vocabulary: OutputVocabulary
        switch setting.source {
        case .base, .union: vocabulary = OutputVocabulary(files[first], rows: sizes[first])
        case .model(let reference):
            if let index = byReference[reference]?.first {
                donor = index
                vocabulary = OutputVocabulary(files[index], rows: sizes[index])
            } else {
                // A model that only gives its tokenizer: its folder needs no weights.
                do {
                    let foreign = try TokenizerFiles(folder: reference.path)
                    vocabulary = OutputVocabulary(foreign, rows: .max)
                } catch {
                    return problem("tokenizer source: \(ZooError.wrap(error))")
                }
            }
        }
        if setting.source == .union {
            let order = [first] + plan.inputs.indices.filter { $0 != first }
            vocabulary.unite(order.map { (files[$0], sizes[$0]) })
        }
        for entry in setting.tokens { vocabulary.add(entry.token) }
        plan.warnings += vocabulary.warnings
        plan.vocabulary = VocabularyPlan(
            vocabulary, setting, models: files.indices.map { (files[$0].table, sizes[$0]) },
            donorRows: embeddingRows(donor) ?? 0)
        plan.newVocabularySize = plan.vocabulary?.rowCount
    }

    /// The tokenizer of every input; one that has none is taken to have the base's. nil and a problem when the base has
    /// none.
    private mutating func tokenizers() -> [TokenizerFiles]? {
        var byFolder: [String: TokenizerFiles] = [:]
        var found = [TokenizerFiles?](repeating: nil, count: plan.inputs.count)
        for (index, input) in plan.inputs.enumerated() {
            if let folder = input.folder, let known = byFolder[folder] {
                found[index] = known
                continue
            }
            do {
                guard let folder = input.folder else {
                    throw ZooError(.notFound, "\(input.label) is no model folder and has no tokenizer")
                }
                let files = try TokenizerFiles(folder: folder)
                byFolder[folder] = files
                found[index] = files
            } catch {
                let error = ZooError.wrap(error)
                guard error.code == .notFound, index != first else {
                    problem("tokenizer of \(input.label): \(error)")
                    return nil
                }
                plan.warnings.append("\(error.message): taken to have the tokenizer of \(plan.inputs[first].label)")
            }
        }
        guard let base = found[first] else { return nil }
        return found.map { $0 ?? base }
    }

    /// Ids from here on have no row in the model: `vocab_size`, else the rows of the embedding.
    private func rowLimit(_ input: Int, _ files: TokenizerFiles) -> Int {
        let config = plan.inputs[input].config
        let size = config?["vocab_size"]?.int ?? config?["text_config"]?["vocab_size"]?.int
        let rows = embeddingRows(input)
        guard let size, size > 0 else { return rows ?? files.table.rowCount }
        return min(size, rows ?? size)
    }

    private func embeddingRows(_ input: Int) -> Int? {
        tiedName(input).flatMap { infos[input][$0]?.shape.dimensions.first }
    }

    // MARK: Embeddings

    /// Whether the rows of an input's tensor are tokens.
    func hasTokenRows(_ info: TensorInfo, _ input: Int) -> Bool {
        guard info.shape.rank > 0, info.dtype.isFloatingPoint else { return false }
        if LayerNames.mayHaveTokenRows(info.name) { return info.shape[0] == embeddingRows(input) }
        return LayerNames.isEmbedding(info.name)
    }

    /// Rows and shape of an embedding of the result; no rows where all members are taken as they are, neither and a
    /// problem where they do not fit together.
    mutating func planRows(
        _ name: String, _ infos: [TensorInfo], _ members: [VocabularyPlan.Member]
    ) -> (rows: RowPlan?, info: TensorInfo?) {
        guard let vocabulary = plan.vocabulary else { return (nil, nil) }
        let tails = infos.map { Array($0.shape.dimensions.dropFirst()) }
        // The usual message lists the shapes.
        guard tails.allSatisfy({ $0 == tails[0] }) else { return (nil, nil) }
        var rows: RowPlan
        if let known = rowPlans[members] {
            rows = known
        } else {
            var faults: [String] = []
            let byReference = byReference
            let found = vocabulary.rows(members, find: { byReference[$0]?.first }, problem: { faults.append($0) })
            for fault in faults { problem(fault, kind: "tokens without a row") }
            if !found.orphans.isEmpty {
                let list = found.orphans.prefix(5).map { "'\($0)'" }.joined(separator: ", ")
                plan.warnings.append(
                    "\(found.orphans.count) token\(found.orphans.count == 1 ? "" : "s") of the result are in none of "
                        + "the models merged there and get zeros: \(list)" + (found.orphans.count > 5 ? ", …" : ""))
            }
            rows = found.plan
            rowPlans[members] = rows
        }
        let donor = members.firstIndex { $0.isBase } ?? 0
        let type = plan.recipe.outputType ?? plan.recipe.workingType ?? infos[donor].dtype
        let info = TensorInfo(name: name, dtype: type, shape: Shape([vocabulary.rowCount] + tails[0]))
        return (rows.isIdentity(members.map(\.rows)) ? nil : rows, info)
    }

    // MARK: The chat template

    /// The text of the recipe's chat template.
    mutating func planChatTemplate() {
        guard let wanted = plan.recipe.chatTemplate else { return }
        if let named = ChatTemplates.named[wanted] {
            plan.chatTemplate = named
        } else if wanted == "auto" {
            plan.chatTemplate = commonTemplate()
        } else if wanted.contains("{") || wanted.count >= 20 {
            if !wanted.contains("{") || wanted.count < 20 {
                plan.warnings.append(
                    "chat_template '\(wanted.prefix(40))' is taken as text, which hardly is a template")
            }
            plan.chatTemplate = wanted
        } else {
            let names = ["auto"] + ChatTemplates.named.keys.sorted()
            problem(
                "chat_template '\(wanted)' is neither a template nor the name of one ("
                    + NearestName.hint(wanted, in: names, kind: "names") + ")")
        }
    }

    private func trimmed(_ text: String) -> String {
        String(text.drop(while: \.isWhitespace).reversed().drop(while: \.isWhitespace).reversed())
    }

    /// The most frequent template among the models; of equally frequent ones the first.
    private mutating func commonTemplate() -> String? {
        var counts: [(text: String, count: Int)] = []
        for input in plan.inputs {
            guard let folder = input.folder else { continue }
            do {
                guard let found = try TokenizerFiles.chatTemplate(inFolder: folder) else { continue }
                let text = trimmed(found)
                guard !text.isEmpty else { continue }
                if let place = counts.firstIndex(where: { ExactText.isSame($0.text, text) }) {
                    counts[place].count += 1
                } else {
                    counts.append((text, 1))
                }
            } catch {
                plan.warnings.append("chat template of \(input.label): \(ZooError.wrap(error).message)")
            }
        }
        let most = counts.map(\.count).max() ?? 0
        guard let best = counts.first(where: { $0.count == most }) else {
            plan.warnings.append("chat_template: auto finds no template among the models")
            return nil
        }
        return best.text
    }
}
