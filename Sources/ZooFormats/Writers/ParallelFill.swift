import ZooBase
import ZooTensor

/// Fills the reserved room of a file with the tensors of a source, piece by piece and on several threads.
///
/// Every piece is computed, written to its own place and released, so memory holds one piece per thread whatever the
/// size of a tensor, and the file does not depend on the number of threads.
struct ParallelFill {
    /// Bytes of output per piece: large enough that system calls cost nothing, small enough that inputs and output
    /// of an average over a dozen models stay in the cache.
    static let pieceByteCount = 1 << 20

    private struct Piece {
        var tensor: Int
        var elements: Range<Int>
        var offset: Int
    }

    private let source: any TensorSource
    private let infos: [TensorInfo]
    private var pieces: [Piece] = []
    private var pieceCounts: [Int]

    /// Cuts the tensors, which follow each other from `start` on, into pieces.
    init(_ source: any TensorSource, _ infos: [TensorInfo], from start: Int) {
        self.source = source
        self.infos = infos
        pieceCounts = Array(repeating: 0, count: infos.count)
        var offset = start
        for (index, info) in infos.enumerated() {
            let count = info.shape.elementCount, size = info.dtype.byteCount
            let step = max(1, Self.pieceByteCount / size)
            for first in stride(from: 0, to: count, by: step) {
                let range = first..<min(first + step, count)
                pieces.append(Piece(tensor: index, elements: range, offset: offset + first * size))
                pieceCounts[index] += 1
            }
            offset += info.byteCount
        }
    }

    /// Tensors that are open at the same time: as many as reach this many bytes.
    private static let batchByteCount = 64 << 20
    /// Tensors from this size on are prepared by all threads together, smaller ones each by its own.
    private static let largeByteCount = 4 << 20

    /// Computes and writes all pieces, a batch of tensors at a time: open and prepare them, then fill their pieces.
    ///
    /// - Parameters:
    ///   - jobs: threads.
    ///   - progress: told the bytes of each piece that was written.
    func run(_ filler: AtomicFile.Filler, jobs: Int, progress: (@Sendable (Int) -> Void)? = nil) throws {
        var first = 0, firstPiece = 0
        while first < infos.count {
            var end = first, bytes = 0, endPiece = firstPiece
            while end < infos.count, end == first || bytes + infos[end].byteCount <= Self.batchByteCount {
                bytes += infos[end].byteCount
                endPiece += pieceCounts[end]
                end += 1
            }
            let runs = try prepared(first..<end, jobs: jobs)
            let start = firstPiece, tensors = first
            try Parallel.forEach(count: endPiece - firstPiece, jobs: jobs) { index in
                let piece = pieces[start + index]
                let run = runs[piece.tensor - tensors]
                try write(piece, run, filler)
                progress?(piece.elements.count * run.info.dtype.byteCount)
            }
            (first, firstPiece) = (end, endPiece)
        }
    }

    private func prepared(_ batch: Range<Int>, jobs: Int) throws -> [any ElementRun] {
        let runs = try Parallel.map(count: batch.count, jobs: jobs) { index in
            let run = try announcedRun(infos[batch.lowerBound + index])
            if run.info.byteCount < Self.largeByteCount { try run.prepare(jobs: 1) }
            return run
        }
        for run in runs where run.info.byteCount >= Self.largeByteCount { try run.prepare(jobs: jobs) }
        return runs
    }

    private func write(_ piece: Piece, _ run: any ElementRun, _ filler: AtomicFile.Filler) throws {
        let byteCount = piece.elements.count * run.info.dtype.byteCount
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: byteCount, alignment: 64)
        defer { memory.deallocate() }
        try run.compute(piece.elements, into: memory)
        try filler.write(UnsafeRawBufferPointer(memory), at: piece.offset)
        filler.startWriteback(piece.offset..<piece.offset + byteCount)
        run.release(piece.elements)
    }

    /// The runs of a tensor, checked to be what was announced: offsets have been laid out from the announcement.
    private func announcedRun(_ info: TensorInfo) throws -> any ElementRun {
        let run = try source.elementRun(of: info.name)
        guard run.info.dtype == info.dtype, run.info.shape == info.shape else {
            throw ZooError(
                .mismatch,
                "tensor '\(info.name)' was announced as \(info.dtype.rawValue) \(info.shape), "
                    + "found \(run.info.dtype.rawValue) \(run.info.shape)")
        }
        return run
    }
}
