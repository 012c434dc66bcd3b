import CZooKernels
import ZooBase
import ZooTensor

/// How task vectors are kept while coefficients are learned.
public enum VectorStorage: Sendable, Hashable {
    /// In memory, differences computed once.
    case memory
    /// In their files, read run by run in every step: memory stays at the base, the gradient and one run of each.
    case streamed
}

/// θ(C) = θ₀ + Σᵢ Λᵢ τᵢ as a function of block-wise coefficients, and the chain rule back to them:
/// ∂L/∂λᵢ⁽ʲ⁾ = ⟨G⁽ʲ⁾, τᵢ⁽ʲ⁾⟩ (arXiv 2407.02880, section 3; aTLAS).
///
/// Coefficients are one flat vector `[vectors, groups, parts]`, row-major. Sums of products are kept in Float64, run by
/// run in order: values do not depend on threads or on where the vectors are kept.
package final class CoefficientSpace<Scalar: CoefficientScalar> {
    /// The composed tensors in the order in which the network binds them.
    package let names: [String]
    /// The operands, in order.
    package let vectorNames: [String]
    /// Which tensors share.
    package let groups: CoefficientGroups
    /// K.
    package let parts: Int
    /// The composed network.
    package let theta: ScalarBlock<Scalar>
    /// Bytes that vectors take in memory.
    package private(set) var heldByteCount = 0
    /// Bytes that vectors would take in memory, all of them.
    package private(set) var wholeByteCount = 0
    /// For each vector whether it is zero on every learned tensor.
    package private(set) var isZero: [Bool]
    private let storage: VectorStorage
    private let partition: PartitionHash?
    private let sizes: [Int]
    private let isBuffer: [Bool]
    private let base: any TensorSource
    private let operands: [TaskOperand]
    private let infos: [TensorInfo]
    private var composers: [BlockComposer?] = []
    private var activePlaces: [[Int]] = []
    private let jobs: Int
    /// Whether pages of files are given back after each run: where vectors are streamed and do not just fit.
    private var isReleasing = false
    /// Bytes of streamed vectors that may stay in memory: giving pages back and faulting them in again takes longer than
    /// small networks' steps.
    private static var residentLimit: Int { 1 << 24 }

    /// Reads what is needed.
    ///
    /// - Parameters:
    ///   - names: the tensors that the network reads, as it binds them.
    ///   - buffers: those that are not trained.
    ///   - selection: for each operand the groups that it may move; nil for all.
    /// - Throws: what reading throws; `interrupted`.
    package init(
        names: [String], base: any TensorSource, buffers: Set<String>, operands: [TaskOperand],
        groups: CoefficientGroups,
        partition: PartitionHash? = nil, storage: VectorStorage = .memory, selection: [Set<Int>]? = nil, jobs: Int = 1
    ) throws {
        let known = Dictionary(base.tensorInfos.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        infos = try names.map { name in
            guard let info = known[name] else { throw ZooError(.notFound, "the base has no tensor '\(name)'") }
            return info
        }
        self.names = names
        self.base = base
        self.operands = operands
        self.groups = groups
        self.storage = storage
        self.partition = partition
        parts = partition?.count ?? 1
        vectorNames = operands.map(\.name)
        sizes = infos.map(\.shape.elementCount)
        isBuffer = names.map(buffers.contains)
        theta = ScalarBlock(sizes: sizes)
        isZero = [Bool](repeating: true, count: operands.count)
        let total = sizes.reduce(0, +) * operands.count
        // Waking a thread costs more than a small network's whole pass.
        self.jobs = total > 1 << 20 ? jobs : 1
        for place in infos.indices { try open(place, selection) }
        isReleasing = storage == .streamed && wholeByteCount > Self.residentLimit
        try start()
    }

    /// Coefficients in all.
    package var count: Int { operands.count * groups.names.count * parts }

    /// The place of a coefficient.
    package func place(vector: Int, group: Int, part: Int = 0) -> Int {
        (vector * groups.names.count + group) * parts + part
    }

    /// Whether a tensor's gradient matters: an operand moves it with a coefficient of its own, or one that it follows.
    package func needsGradient(_ place: Int) -> Bool {
        (groups.group(of: names[place]) != nil || isBuffer[place]) && !activePlaces[place].isEmpty
    }

    private func open(_ place: Int, _ selection: [Set<Int>]?) throws {
        try Cancellation.check()
        let info = infos[place]
        let start = try base.tensor(named: info.name)
        let scratch = RunScratch<Scalar>(1)
        var members: [(Int, VectorBlock)] = []
        let group = groups.group(of: info.name)
        if group != nil || isBuffer[place] {
            for (vector, operand) in operands.enumerated() {
                guard let block = try operand.block(info) else { continue }
                let bytes = block.heldByteCount(info.shape.elementCount, as: Scalar.self)
                wholeByteCount += bytes
                if let selection, let group, !selection[vector].contains(group) { continue }
                let composer = BlockComposer(info: info, base: start, members: [(vector, block)], partition: nil)
                if try Self.isZero(block, composer, scratch) { continue }
                if group != nil { isZero[vector] = false }
                guard storage == .memory else {
                    members.append((vector, block))
                    continue
                }
                heldByteCount += bytes
                members.append((vector, try block.held(base: composer.base, as: Scalar.self)))
                // The file is not read again.
                block.release(0..<info.shape.elementCount)
            }
        }
        activePlaces.append(members.map(\.0))
        guard storage == .memory else {
            composers.append(nil)
            return
        }
        composers.append(
            BlockComposer(info: info, base: start, members: members, partition: group == nil ? nil : partition))
    }

    /// Whether a block has only zeros (a frozen tensor): it is never read again.
    private static func isZero(
        _ block: VectorBlock, _ composer: BlockComposer, _ scratch: RunScratch<Scalar>
    ) throws -> Bool {
        if case .lowRank(let factors) = block.form { return factors.isZero }
        for range in BlockComposer.runs(composer.info.shape.elementCount) {
            let found = try block.withRun(range, base: composer.base, scratch: scratch.run(0)) { raw, code in
                Int(zoo_vector_statistics(raw, code, range.count).zeros) == range.count
            }
            composer.release(range)
            if !found { return false }
        }
        return true
    }

    /// The composer of a tensor: kept, or opened now.
    private func opened(_ place: Int) throws -> BlockComposer {
        if let known = composers[place] { return known }
        let info = infos[place]
        return BlockComposer(
            info: info, base: try base.tensor(named: info.name),
            members: try activePlaces[place].compactMap { vector in
                try operands[vector].block(info).map { (vector, $0) }
            }, partition: groups.group(of: info.name) == nil ? nil : partition)
    }

    /// θ₀ everywhere.
    private func start() throws {
        let zeros = [Double](repeating: 0, count: count)
        for piece in pieces(Array(names.indices)) { try compose(piece, zeros) }
    }

    // MARK: θ

    /// Some runs of one tensor: what a thread takes at a time.
    private struct Piece: Sendable {
        var place: Int
        var runs: ArraySlice<Range<Int>>
    }

    /// Runs that a thread takes at a time: enough work to be worth handing out, little enough to share evenly.
    private static var pieceLength: Int { 8 }

    private func pieces(_ places: [Int]) -> [Piece] {
        places.flatMap { place in
            let runs = BlockComposer.runs(sizes[place])
            return stride(from: 0, to: runs.count, by: Self.pieceLength).map { start in
                Piece(place: place, runs: runs[start..<min(runs.count, start + Self.pieceLength)])
            }
        }
    }

    /// Writes θ(C) to `theta`.
    package func compose(_ values: [Double]) throws {
        precondition(values.count == count)
        let pieces = pieces(names.indices.filter { !activePlaces[$0].isEmpty })
        let unchecked = UncheckedBox(self)
        // Backwards: what the last gradient was multiplied with last is still in the cache.
        try Parallel.forEach(count: pieces.count, jobs: jobs) { slot in
            try unchecked.value.compose(pieces[pieces.count - 1 - slot], values)
        }
    }

    private func compose(_ piece: Piece, _ values: [Double]) throws {
        let place = piece.place, composer = try opened(place)
        let own = composer.members.map { coefficients(place, $0.place, values) }
        let scratch = RunScratch<Scalar>(composer.members.count, length: min(sizes[place], BlockComposer.runLength))
        let target = theta.pointers[place]
        for range in piece.runs {
            try composer.compose(
                range, own, scratch: scratch, into: target + range.lowerBound, type: Scalar.kernelType)
            if isReleasing { composer.release(range) }
            // A variance is no free parameter: extrapolation must not make it negative.
            if isBuffer[place], names[place].hasSuffix("running_var") {
                for index in range where target[index] < 0 { target[index] = 0 }
            }
        }
    }

    private func coefficients(_ place: Int, _ vector: Int, _ values: [Double]) -> [Double] {
        let length = groups.names.count * parts
        return groups.coefficients(
            of: names[place], isBuffer: isBuffer[place], row: values[vector * length..<(vector + 1) * length],
            parts: parts)
    }

    // MARK: The gradient

    /// Adds the gradient by coefficients to `sums`.
    ///
    /// - Parameter gradients: arrays whose sum is ∂L/∂θ, by place; nil where there is none.
    package func project(_ gradients: [[UnsafePointer<Scalar>]?], into sums: inout [Double]) throws {
        precondition(sums.count == count)
        let pieces = pieces(names.indices.filter { gradients[$0] != nil && needsGradient($0) })
        let unchecked = UncheckedBox((self, gradients))
        let found = try Parallel.map(count: pieces.count, jobs: jobs) { slot in
            let (space, gradients) = unchecked.value
            return try gradients[pieces[slot].place].map { try space.products(pieces[slot], $0) } ?? []
        }
        for (piece, runs) in zip(pieces, found) {
            let name = names[piece.place], group = groups.group(of: name)
            let leaders = groups.leaders(of: name, parts: parts)
            for products in runs {
                for (member, vector) in activePlaces[piece.place].enumerated() {
                    if let group {
                        let first = place(vector: vector, group: group)
                        for part in 0..<parts { sums[first + part] += products[member * parts + part] }
                    } else {
                        // What follows a mean: each coefficient has its share.
                        let first = place(vector: vector, group: 0)
                        for leader in leaders {
                            sums[first + leader] += products[member * parts] / Double(leaders.count)
                        }
                    }
                }
            }
        }
    }

    /// For each run of a piece the products of its members, one per part.
    private func products(_ piece: Piece, _ gradients: [UnsafePointer<Scalar>]) throws -> [[Double]] {
        let composer = try opened(piece.place)
        let scratch = RunScratch<Scalar>(
            composer.members.count, length: min(sizes[piece.place], BlockComposer.runLength))
        return try piece.runs.map { range in
            defer { if isReleasing { composer.release(range) } }
            return try composer.products(range, gradients, scratch: scratch, parts: parts)
        }
    }
}

/// What threads use in parts of their own while its owner waits.
struct UncheckedBox<T>: @unchecked Sendable {
    let value: T
    init(_ value: T) { self.value = value }
}
