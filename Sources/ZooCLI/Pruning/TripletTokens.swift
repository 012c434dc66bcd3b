import ZooBase
import ZooPrune

/// Triplets as token ids, with the prefixes that a model expects.
struct TripletTokens {
    let triplets: [TokenTriplet]
    /// Texts that were longer than the limit.
    let cutCount: Int
    /// Texts in all.
    let textCount: Int

    init(
        _ set: TripletSet, model: TextModel, limit: Int, queryPrefix: String, documentPrefix: String, jobs: Int
    ) throws {
        let texts = set.triplets.flatMap { triplet in
            [queryPrefix + triplet.query, documentPrefix + triplet.positive]
                + (triplet.negative.map { [documentPrefix + $0] } ?? [])
        }
        textCount = texts.count
        cutCount = try model.tokenizer.encode(texts, maximumLength: nil, jobs: jobs).count { $0.ids.count > limit }
        let encoded = try model.tokenizer.encode(texts, maximumLength: limit, jobs: jobs).map(\.ids)
        var place = 0
        triplets = set.triplets.map { triplet in
            defer { place += triplet.negative == nil ? 2 : 3 }
            return TokenTriplet(
                query: encoded[place], positive: encoded[place + 1],
                negative: triplet.negative == nil ? nil : encoded[place + 2])
        }
    }

    /// Tells of texts that were cut.
    func note(_ path: String, limit: Int, _ session: Session) {
        guard cutCount > 0 else { return }
        session.note(
            "\(path): \(Quantity.count(cutCount)) of \(Quantity.count(textCount)) texts are longer than \(limit) tokens "
                + "and are cut")
    }
}
