import ZooAutodiff
import ZooBase
import ZooTensor

/// Retrieval over triplets: every distinct query searches all distinct positives, by cosine; the positives of its own
/// triplets are relevant.
///
/// A query's gain is nDCG@10: a relevant document at rank r counts 1/log₂(r + 1) up to rank 10, over what the best
/// order gives. r is one plus the documents of strictly higher cosine plus half of those of the same cosine, so that a
/// model that gives all texts one vector gains by chance alone.
public struct TripletRetrieval: Sendable {
    /// Ranks that count.
    public static let cutoff = 10
    /// What the task is called: the file.
    public let name: String
    /// Distinct queries.
    public let queries: [String]
    /// Distinct positives.
    public let documents: [String]
    /// The documents that answer each query.
    public let relevant: [[Int]]

    /// The task that triplets give.
    public init(_ set: TripletSet) {
        name = set.name
        var queries: [String] = [], documents: [String] = [], relevant: [[Int]] = []
        var queryPlaces: [String: Int] = [:], documentPlaces: [String: Int] = [:]
        for triplet in set.triplets {
            let query = Self.place(triplet.query, &queries, &queryPlaces)
            let document = Self.place(triplet.positive, &documents, &documentPlaces)
            if query == relevant.count { relevant.append([]) }
            if !relevant[query].contains(document) { relevant[query].append(document) }
        }
        self.queries = queries
        self.documents = documents
        self.relevant = relevant
    }

    private static func place(_ text: String, _ texts: inout [String], _ places: inout [String: Int]) -> Int {
        if let known = places[text] { return known }
        places[text] = texts.count
        texts.append(text)
        return texts.count - 1
    }

    /// nDCG@10 of each query.
    ///
    /// - Parameters:
    ///   - queries: vectors of `queries`, of one size.
    ///   - documents: vectors of `documents`.
    /// - Throws: `mismatch` for vectors that are not one per text, `numeric` for numbers that are not finite.
    public func gains(queries: [[Float]], documents: [[Float]], jobs: Int) throws -> [Double] {
        guard queries.count == self.queries.count, documents.count == self.documents.count,
            let width = documents.first?.count, (queries + documents).allSatisfy({ $0.count == width })
        else { throw ZooError(.mismatch, "\(name): expected one vector per text, all of one size") }
        let unit = try documents.map { try Self.normalised($0, name) }.flatMap { $0 }
        let block = 64, count = documents.count
        let parts = try Parallel.map(count: (queries.count + block - 1) / block, jobs: jobs) { part -> [Double] in
            let range = part * block..<min(queries.count, (part + 1) * block)
            let rows = try range.map { try Self.normalised(queries[$0], name) }.flatMap { $0 }
            let cosines = try LinearAlgebra.product(
                rows, unit, transposeB: true, rows: range.count, columns: count, depth: width)
            return range.map { query in
                let start = (query - range.lowerBound) * count
                return RankingGain.normalised(cosines[start..<start + count], relevant: relevant[query])
            }
        }
        return Array(parts.joined())
    }

    private static func normalised(_ vector: [Float], _ name: String) throws -> [Float] {
        let length = vector.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
        guard length.isFinite else {
            throw ZooError(.numeric, "\(name): the model gives a vector with numbers that are not finite")
        }
        return vector.map { Float(Double($0) / max(length, 1e-12)) }
    }
}

/// Discounted cumulative gain over ranks with ties.
public enum RankingGain {
    /// nDCG of documents with one relevance of 1 or 0: Σ 1/log₂(r + 1) over relevant documents of rank up to `cutoff`,
    /// over the same sum in the best order. 0 when nothing is relevant.
    public static func normalised(
        _ scores: ArraySlice<Float>, relevant: [Int], cutoff: Int = TripletRetrieval.cutoff
    ) -> Double {
        var gain = 0.0, ideal = 0.0
        for (place, document) in relevant.enumerated() {
            let own = scores[scores.startIndex + document]
            var rank = 0.5
            for score in scores { rank += score > own ? 1 : score == own ? 0.5 : 0 }
            gain += discount(rank, cutoff)
            ideal += discount(Double(place + 1), cutoff)
        }
        return ideal > 0 ? gain / ideal : 0
    }

    /// 1/log₂(rank + 1) up to the cutoff, 0 beyond.
    public static func discount(_ rank: Double, _ cutoff: Int = TripletRetrieval.cutoff) -> Double {
        rank <= Double(cutoff) ? 1 / Functions.log2(rank + 1) : 0
    }

    /// DCG with gains 2^relevance − 1 of documents in ranked order, over that of the best order; nil when all
    /// relevances are 0.
    public static func graded(_ relevances: [Double], cutoff: Int = TripletRetrieval.cutoff) -> Double? {
        func total(_ list: [Double]) -> Double {
            list.enumerated().reduce(0) {
                $0 + (Functions.exp2($1.element) - 1) * discount(Double($1.offset + 1), cutoff)
            }
        }
        let ideal = total(relevances.sorted(by: >))
        return ideal > 0 ? total(relevances) / ideal : nil
    }
}
