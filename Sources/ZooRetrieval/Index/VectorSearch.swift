import ZooTensor

/// Exact search among vectors: every scalar product is worked out, by matrix products over all vectors at once.
///
/// A million vectors of 64 numbers are 256 MB, read once for up to 16 queries; beside them there is one number per vector
/// and query of those 16. Nothing is approximated, so there is nothing to build and nothing to tune.
public struct VectorSearch: Sendable {
    /// One vector found.
    public struct Hit: Sendable, Hashable {
        /// Its place.
        public var place: Int
        /// Scalar product with the query; the cosine when both are of unit length.
        public var score: Double

        /// A vector and its score.
        public init(place: Int, score: Double) {
            self.place = place
            self.score = score
        }
    }

    private let vectors: [Float]
    private let width: Int
    /// Vectors.
    public var count: Int { vectors.count / max(1, width) }
    /// Queries that one product is made of.
    static let batch = 16

    /// Vectors side by side. Precondition: a whole number of them.
    public init(_ vectors: [Float], width: Int) {
        precondition(width > 0 && vectors.count % width == 0)
        self.vectors = vectors
        self.width = width
    }

    /// Scalar products with every vector `[count, queries]`, queries side by side.
    public func similarities(_ queries: [Float]) throws -> [Float] {
        guard count > 0, !queries.isEmpty else { return [] }
        return try LinearAlgebra.product(
            vectors, queries, transposeB: true, rows: count, columns: queries.count / width, depth: width)
    }

    /// The nearest vectors of each query, best first.
    ///
    /// - Parameters:
    ///   - queries: side by side. Precondition: a whole number of them.
    ///   - top: how many, at most.
    ///   - allowed: places that may be found; nil for all.
    ///   - isBefore: which of two vectors of equal score comes first; the lower place by default.
    /// - Complexity: O(count · width) per query for the products, O(count + hits · log(top)) for choosing.
    public func nearest(
        _ queries: [Float], top: Int, among allowed: [Int]? = nil, isBefore: (Int, Int) -> Bool = { $0 < $1 }
    ) throws -> [[Hit]] {
        precondition(queries.count % width == 0)
        let total = queries.count / width
        var found: [[Hit]] = []
        for start in stride(from: 0, to: total, by: Self.batch) {
            let part = Array(queries[start * width..<min(total, start + Self.batch) * width])
            let columns = part.count / width, scores = try similarities(part)
            for column in 0..<columns {
                var best = BestHits(top)
                scores.withUnsafeBufferPointer { scores in
                    // Nearly all lose against the worst of those kept: that comparison is all they cost.
                    if let allowed {
                        for place in allowed { best.offer(place, scores[place * columns + column], isBefore) }
                    } else {
                        for place in 0..<count { best.offer(place, scores[place * columns + column], isBefore) }
                    }
                }
                found.append(best.hits)
            }
        }
        return found
    }
}

/// The best so far, sorted.
private struct BestHits {
    private(set) var hits: [VectorSearch.Hit] = []
    private let top: Int
    private var worst = -Float.infinity

    init(_ top: Int) { self.top = max(0, top) }

    mutating func offer(_ place: Int, _ score: Float, _ isBefore: (Int, Int) -> Bool) {
        if hits.count == top, score < worst || top == 0 { return }
        let exact = Double(score)
        var low = 0, high = hits.count
        while low < high {
            let middle = (low + high) / 2, other = hits[middle]
            let isFirst = exact != other.score ? exact > other.score : isBefore(place, other.place)
            if isFirst { high = middle } else { low = middle + 1 }
        }
        guard low < top else { return }
        hits.insert(.init(place: place, score: exact), at: low)
        if hits.count > top { hits.removeLast() }
        if hits.count == top, let last = hits.last { worst = Float(last.score) }
    }
}
