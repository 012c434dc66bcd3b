import CZooKernels
import ZooBase
import ZooTensor

/// Orthonormal vectors of one length, kept row by row in pieces that need not move when more come.
///
/// Long vectors are kept in single precision: the products that they come from are no better, and half the memory is
/// read. `rounded` gives a vector as it will be kept.
struct Basis: Sendable {
    /// Numbers per vector.
    let dimension: Int
    /// Vectors so far.
    private(set) var count = 0
    private let jobs: Int
    private var chunks: [[Double]] = []
    private var long: [LongRow] = []
    private let rowsPerChunk: Int

    /// The kernels' number for double precision.
    private static let wide = Int32(ZOO_DTYPE_F64.rawValue)
    /// Numbers of a piece, about.
    private static let chunkElements = 1 << 20

    /// Bytes that a vector of some length takes in a basis.
    static func bytes(_ dimension: Int) -> Int { dimension * (dimension < Vectors.longLength ? 8 : 4) }

    init(dimension: Int, jobs: Int = 1) {
        self.dimension = dimension
        self.jobs = jobs
        rowsPerChunk = max(1, Self.chunkElements / max(1, dimension))
    }

    private var isLong: Bool { dimension >= Vectors.longLength }

    /// A vector as the basis keeps it.
    func rounded(_ vector: inout [Double]) {
        guard isLong else { return }
        vector.withUnsafeMutableBufferPointer { vector in
            nonisolated(unsafe) let vector = vector
            Vectors.inBlocks(of: vector.count, jobs: jobs) { _, range in
                for place in range { vector[place] = Double(Float(vector[place])) }
            }
        }
    }

    mutating func append(_ vector: [Double]) {
        precondition(vector.count == dimension)
        defer { count += 1 }
        guard !isLong else { return long.append(LongRow(vector, jobs: jobs)) }
        if count % rowsPerChunk == 0 {
            chunks.append([])
            chunks[chunks.count - 1].reserveCapacity(min(rowsPerChunk, 64) * dimension)
        }
        chunks[chunks.count - 1] += vector
    }

    /// Takes everything that lies in the basis out of a vector, twice, so that rounding leaves nothing behind.
    func orthogonalise(_ vector: inout [Double]) throws {
        guard count > 0 else { return }
        guard !isLong else { return orthogonaliseLong(&vector) }
        for _ in 0..<2 {
            // The parts of all pieces come first: piece by piece would be another, no better, order of rounding.
            let parts = try chunks.map { rows in
                try LinearAlgebra.product(
                    rows, vector, rows: rows.count / dimension, columns: 1, depth: dimension)
            }
            for (rows, part) in zip(chunks, parts) {
                Vectors.add(-1, try Self.combination(part, rows, dimension), to: &vector)
            }
        }
    }

    /// Once is enough where most of the vector is left (W. Kahan and B. Parlett: "twice is enough").
    private func orthogonaliseLong(_ vector: inout [Double]) {
        for _ in 0..<2 {
            let before = Vectors.norm(vector, jobs: jobs)
            addLong(coefficients(of: vector).map { -$0 }, to: &vector)
            if Vectors.norm(vector, jobs: jobs) > 0.5 * before { return }
        }
    }

    /// The inner products of a long vector with all of the basis: blocks of the vector stay in the cache meanwhile.
    private func coefficients(of vector: [Double]) -> [Double] {
        let blocks = (dimension + Vectors.blockLength - 1) / Vectors.blockLength, count = count
        var parts = [Double](repeating: 0, count: blocks * count)
        parts.withUnsafeMutableBufferPointer { parts in
            vector.withUnsafeBufferPointer { vector in
                nonisolated(unsafe) let parts = parts
                nonisolated(unsafe) let vector = vector
                Vectors.inBlocks(of: dimension, jobs: jobs) { block, range in
                    let start = vector.baseAddress.map { $0 + range.lowerBound }
                    for (place, row) in long.enumerated() {
                        parts[block * count + place] = zoo_vector_dot(
                            row.numbers + range.lowerBound, LongRow.type, start, Self.wide, range.count)
                    }
                }
            }
        }
        return (0..<count).map { place in (0..<blocks).reduce(0) { $0 + parts[$1 * count + place] } }
    }

    /// vector += Σ coefficients[i] · vector i.
    private func addLong(_ coefficients: [Double], to vector: inout [Double]) {
        let weights = [1] + coefficients, types = [Self.wide] + coefficients.map { _ in LongRow.type }
        vector.withUnsafeMutableBufferPointer { vector in
            nonisolated(unsafe) let vector = vector
            Vectors.inBlocks(of: dimension, jobs: jobs) { _, range in
                let target = vector.baseAddress.map { UnsafeMutableRawPointer($0 + range.lowerBound) }
                let inputs = [UnsafeRawPointer(target)] + long.map { UnsafeRawPointer($0.numbers + range.lowerBound) }
                zoo_weighted_sum(inputs, types, weights, weights.count, range.count, target, Self.wide, true)
            }
        }
    }

    /// Σ coefficients[i] · vector i.
    func combination(_ coefficients: [Double]) throws -> [Double] {
        precondition(coefficients.count == count)
        var sum = [Double](repeating: 0, count: dimension)
        if isLong {
            addLong(coefficients, to: &sum)
            return sum
        }
        var start = 0
        for rows in chunks {
            let number = rows.count / dimension
            let part = Array(coefficients[start..<start + number])
            Vectors.add(1, try Self.combination(part, rows, dimension), to: &sum)
            start += number
        }
        return sum
    }

    private static func combination(_ coefficients: [Double], _ rows: [Double], _ dimension: Int) throws -> [Double] {
        try LinearAlgebra.product(coefficients, rows, rows: 1, columns: dimension, depth: coefficients.count)
    }

    /// Vector i.
    func vector(_ place: Int) -> [Double] {
        guard !isLong else { return (0..<dimension).map { Double(long[place].numbers[$0]) } }
        let start = place % rowsPerChunk * dimension
        return Array(chunks[place / rowsPerChunk][start..<start + dimension])
    }
}

/// A long vector in single precision.
///
/// `@unchecked Sendable`: written by its initialiser alone and only read afterwards.
private final class LongRow: @unchecked Sendable {
    let numbers: UnsafeMutablePointer<Float>

    /// The kernels' number for single precision.
    static let type = Int32(ZOO_DTYPE_F32.rawValue)

    init(_ vector: [Double], jobs: Int) {
        numbers = .allocate(capacity: max(1, vector.count))
        nonisolated(unsafe) let target = numbers
        vector.withUnsafeBufferPointer { vector in
            nonisolated(unsafe) let vector = vector
            Vectors.inBlocks(of: vector.count, jobs: jobs) { _, range in
                for place in range { (target + place).initialize(to: Float(vector[place])) }
            }
        }
    }

    deinit { numbers.deallocate() }
}
