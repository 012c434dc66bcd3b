import ZooBase
import ZooTensor

/// Chooses samples that stand for all: k-means of unit vectors, and of every cluster the sample nearest to its centre.
public enum RepresentativeSampling {
    /// Rounds of Lloyd's algorithm.
    static let rounds = 20
    /// Above this many wanted samples there are a quarter as many clusters, and four samples of each.
    static let largestClusterCount = 2000

    /// Places of `count` samples, all different, in the order of their clusters.
    ///
    /// - Precondition: vectors of one length.
    /// - Throws: `interrupted`.
    public static func choose(_ count: Int, of vectors: [[Float]], seed: UInt64, jobs: Int) throws -> [Int] {
        guard count < vectors.count, let size = vectors.first?.count else { return Array(vectors.indices) }
        let points = vectors.flatMap { vector -> [Float] in
            let norm = vector.reduce(0) { $0 + $1 * $1 }.squareRoot()
            return norm > 0 ? vector.map { $0 / norm } : vector
        }
        let clusters = count > largestClusterCount ? (count + 3) / 4 : count
        var generator = SeededGenerator(seed: seed)
        var centres = try start(points, size, clusters, &generator)
        var nearest: [(cluster: Int, distance: Float)] = []
        for _ in 0..<rounds {
            nearest = try assign(points, size, centres, jobs)
            centres = move(points, size, nearest, clusters)
        }
        nearest = try assign(points, size, centres, jobs)
        return pick(count, points, size, centres, clusters)
    }

    /// k-means++: every centre is drawn with the square of its distance to the ones before it.
    private static func start(
        _ points: [Float], _ size: Int, _ clusters: Int, _ generator: inout SeededGenerator
    ) throws -> [Float] {
        let count = points.count / size
        var chosen = generator.below(count)
        var centres = Array(points[chosen * size..<(chosen + 1) * size])
        var distances = [Float](repeating: .infinity, count: count)
        for _ in 1..<max(1, clusters) {
            try Cancellation.check()
            let products = try LinearAlgebra.product(
                points, Array(centres.suffix(size)), rows: count, columns: 1, depth: size)
            var total = 0.0
            for place in 0..<count {
                distances[place] = min(distances[place], max(0, 2 - 2 * products[place]))
                total += Double(distances[place])
            }
            var aim = Double(generator.next() >> 11) * 0x1p-53 * total
            chosen = distances.lastIndex { $0 > 0 } ?? generator.below(count)
            for place in 0..<count {
                aim -= Double(distances[place])
                if aim < 0, distances[place] > 0 {
                    chosen = place
                    break
                }
            }
            centres += points[chosen * size..<(chosen + 1) * size]
        }
        return centres
    }

    private static func norms(_ rows: [Float], _ size: Int) -> [Float] {
        (0..<rows.count / max(1, size)).map { row in
            rows[row * size..<(row + 1) * size].reduce(0) { $0 + $1 * $1 }
        }
    }

    private static func assign(
        _ points: [Float], _ size: Int, _ centres: [Float], _ jobs: Int
    ) throws -> [(cluster: Int, distance: Float)] {
        let count = points.count / size, clusters = centres.count / size, share = 512
        let lengths = norms(centres, size)
        let parts = try Parallel.map(count: (count + share - 1) / share, jobs: jobs) { part in
            let range = part * share..<min(count, (part + 1) * share)
            let products = try LinearAlgebra.product(
                Array(points[range.lowerBound * size..<range.upperBound * size]), centres, transposeB: true,
                rows: range.count, columns: clusters, depth: size)
            return (0..<range.count).map { row -> (cluster: Int, distance: Float) in
                var best = (cluster: 0, distance: Float.infinity)
                for cluster in 0..<clusters {
                    let distance = lengths[cluster] - 2 * products[row * clusters + cluster]
                    if distance < best.distance { best = (cluster, distance) }
                }
                return best
            }
        }
        return parts.flatMap { $0 }
    }

    /// The means of the clusters; an empty one moves to the point that is farthest from its own centre.
    private static func move(
        _ points: [Float], _ size: Int, _ nearest: [(cluster: Int, distance: Float)], _ clusters: Int
    ) -> [Float] {
        var sums = [Double](repeating: 0, count: clusters * size), members = [Int](repeating: 0, count: clusters)
        for (place, found) in nearest.enumerated() {
            members[found.cluster] += 1
            for axis in 0..<size { sums[found.cluster * size + axis] += Double(points[place * size + axis]) }
        }
        let farthest = nearest.indices.sorted { (nearest[$1].distance, $0) < (nearest[$0].distance, $1) }
        var next = 0
        for cluster in 0..<clusters {
            if members[cluster] == 0 {
                let place = farthest[min(next, farthest.count - 1)]
                next += 1
                for axis in 0..<size { sums[cluster * size + axis] = Double(points[place * size + axis]) }
                continue
            }
            for axis in 0..<size { sums[cluster * size + axis] /= Double(members[cluster]) }
        }
        return sums.map { Float($0) }
    }

    /// The nearest points of each cluster in turn that no cluster before it has taken.
    private static func pick(
        _ count: Int, _ points: [Float], _ size: Int, _ centres: [Float], _ clusters: Int
    ) -> [Int] {
        let share = (count + clusters - 1) / clusters, total = points.count / size
        var taken = [Bool](repeating: false, count: total)
        var chosen: [Int] = []
        for cluster in 0..<clusters {
            for _ in 0..<min(share, count - chosen.count) {
                var best: (place: Int, product: Float)?
                for place in 0..<total where !taken[place] {
                    var product: Float = 0
                    for axis in 0..<size { product += points[place * size + axis] * centres[cluster * size + axis] }
                    if best.map({ product > $0.product }) ?? true { best = (place, product) }
                }
                guard let best else { return chosen }
                taken[best.place] = true
                chosen.append(best.place)
            }
        }
        return chosen
    }
}
