import ZooBase

/// Where the tokens of one or two texts go between special ones.
struct Template: Sendable {
    enum Piece: Sendable {
        case sequence(Int, type: Int32)
        case special([Int32], type: Int32)
    }

    var single: [Piece] = [.sequence(0, type: 0)]
    var pair: [Piece] = [.sequence(0, type: 0), .sequence(1, type: 1)]

    func addedCount(_ parts: Int) -> Int {
        (parts > 1 ? pair : single).reduce(0) { if case .special(let ids, _) = $1 { $0 + ids.count } else { $0 } }
    }

    func apply(_ parts: [Encoding], addsSpecialTokens: Bool) -> Encoding {
        var result = Encoding()
        for piece in parts.count > 1 ? pair : single {
            switch piece {
            case .sequence(let place, let type):
                guard place < parts.count else { continue }
                result.ids += parts[place].ids
                result.offsets += parts[place].offsets
                result.typeIDs += [Int32](repeating: type, count: parts[place].ids.count)
            case .special(let ids, let type):
                guard addsSpecialTokens else { continue }
                result.ids += ids
                result.offsets += ids.map { _ in 0..<0 }
                result.typeIDs += ids.map { _ in type }
            }
        }
        return result
    }

    /// Reads a `TemplateProcessing` object.
    ///
    /// - Throws: `corrupt` for pieces that are no pieces or special tokens without ids.
    init(json: JSONValue) throws {
        func pieces(_ key: String) throws -> [Piece] {
            try (json[key]?.array ?? []).map { piece in
                if let sequence = piece["Sequence"], let name = sequence["id"]?.string, ["A", "B"].contains(name) {
                    return .sequence(name == "A" ? 0 : 1, type: Int32(clamping: sequence["type_id"]?.int ?? 0))
                }
                if let special = piece["SpecialToken"], let name = special["id"]?.string,
                    let ids = json["special_tokens"]?[name]?["ids"]?.array
                {
                    return .special(
                        ids.compactMap(\.int).map { Int32(clamping: $0) },
                        type: Int32(clamping: special["type_id"]?.int ?? 0))
                }
                throw ZooError(.corrupt, "tokenizer: '\(piece.text().prefix(80))' is no piece of a template")
            }
        }
        single = try pieces("single")
        pair = try pieces("pair")
    }

    /// `first A last`, `first A last B last` as BERT has it.
    init(first: Int32, last: Int32) {
        single = [.special([first], type: 0), .sequence(0, type: 0), .special([last], type: 0)]
        pair = single + [.sequence(1, type: 1), .special([last], type: 1)]
    }

    /// The texts alone.
    init() {}
}
