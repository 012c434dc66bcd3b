import Synchronization
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

    /// A tensor between its first and its last piece.
    private struct Open: Sendable {
        var run: any ElementRun
        var piecesLeft: Int
    }

    /// Computes and writes all pieces.
    ///
    /// - Parameters:
    ///   - jobs: threads.
    ///   - progress: told the bytes of each piece that was written.
    func run(_ filler: AtomicFile.Filler, jobs: Int, progress: (@Sendable (Int) -> Void)? = nil) throws {
        let open = Mutex<[Int: Open]>([:])
        try Parallel.forEach(count: pieces.count, jobs: jobs) { index in
            let piece = pieces[index]
            let run = try open.withLock { tensors in
                if let known = tensors[piece.tensor] { return known.run }
                let run = try announcedRun(infos[piece.tensor])
                tensors[piece.tensor] = Open(run: run, piecesLeft: pieceCounts[piece.tensor])
                return run
            }
            try write(piece, run, filler)
            open.withLock { tensors in
                tensors[piece.tensor]?.piecesLeft -= 1
                if tensors[piece.tensor]?.piecesLeft == 0 { tensors[piece.tensor] = nil }
            }
            progress?(piece.elements.count * run.info.dtype.byteCount)
        }
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
