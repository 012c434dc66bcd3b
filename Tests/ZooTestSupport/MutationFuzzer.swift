import Foundation
import ZooBase

/// Feeds seeded damage of valid files to a reader: flipped bits, overwritten bytes, integers at their boundaries,
/// truncations, cuts, repeats and splices of two files.
///
/// The same seed and corpus give the same inputs everywhere. A crash takes the process down, so to learn which input
/// did it, set `ZOO_FUZZ_TRACE` to a file path: every input is written there before it is tried.
public struct MutationFuzzer: Sendable {
    /// A reader that failed in another way than with a `ZooError`.
    public struct Failure: Error, CustomStringConvertible {
        /// Which input; `input(iteration:)` makes it again.
        public let iteration: Int
        /// What was thrown.
        public let error: any Error
        /// One line.
        public var description: String { "input \(iteration): threw \(type(of: error)), not ZooError: \(error)" }
    }

    /// What a run saw.
    public struct Summary: Sendable {
        /// Inputs the reader took.
        public var accepted = 0
        /// Inputs it refused with a `ZooError`.
        public var refused = 0
        /// The longest a single input took, in seconds.
        public var slowest = 0.0
        /// Which input that was.
        public var slowestIteration = 0
    }

    private let seed: UInt64
    private let corpus: [[UInt8]]

    /// Prepares a run over valid files; they should be small, since damage is spread over all their bytes.
    public init(seed: UInt64, corpus: [[UInt8]]) {
        precondition(!corpus.isEmpty)
        self.seed = seed
        self.corpus = corpus
    }

    /// Tries `iterations` damaged inputs.
    ///
    /// - Parameter body: the reader under test; it may throw `ZooError` and nothing else. An `internal` one counts as
    ///   a failure: hostile bytes are no defect of the program.
    /// - Throws: `Failure` at the first input that fails otherwise.
    @discardableResult
    public func run(iterations: Int, _ body: (Bytes) throws -> Void) throws -> Summary {
        let trace = ProcessInfo.processInfo.environment["ZOO_FUZZ_TRACE"]
        var summary = Summary()
        for iteration in 0..<iterations {
            let bytes = input(iteration: iteration)
            if let trace { try Data(bytes).write(to: URL(fileURLWithPath: trace)) }
            let start = DispatchTime.now().uptimeNanoseconds
            do {
                try body(Bytes(bytes))
                summary.accepted += 1
            } catch let error as ZooError where error.code != .internal {
                summary.refused += 1
            } catch {
                throw Failure(iteration: iteration, error: error)
            }
            let seconds = Double(DispatchTime.now().uptimeNanoseconds - start) / 1e9
            if seconds > summary.slowest { (summary.slowest, summary.slowestIteration) = (seconds, iteration) }
        }
        return summary
    }

    /// The input of one iteration.
    public func input(iteration: Int) -> [UInt8] {
        var generator = SeededGenerator(seed: seed &+ UInt64(iteration) &* 0xD134_2543_DE82_EF95)
        var bytes = corpus[Int.random(in: 0..<corpus.count, using: &generator)]
        for _ in 0..<Int.random(in: 1...4, using: &generator) { mutate(&bytes, &generator) }
        return bytes
    }

    private func mutate(_ bytes: inout [UInt8], _ generator: inout SeededGenerator) {
        guard !bytes.isEmpty else {
            bytes = [UInt8.random(in: 0...255, using: &generator)]
            return
        }
        let at = Int.random(in: 0..<bytes.count, using: &generator)
        switch Int.random(in: 0..<10, using: &generator) {
        case 0, 1: bytes[at] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
        case 2, 3: bytes[at] = UInt8.random(in: 0...255, using: &generator)
        case 4, 5: overwriteInteger(&bytes, at, &generator)
        case 6: bytes.removeLast(bytes.count - at)
        case 7: bytes.removeSubrange(at..<min(bytes.count, at + Int.random(in: 1...64, using: &generator)))
        case 8:
            let end = min(bytes.count, at + Int.random(in: 1...64, using: &generator))
            bytes.insert(contentsOf: Array(bytes[at..<end]), at: at)
        default: splice(&bytes, at, &generator)
        }
    }

    /// Puts a number that invites overflow where a length or offset may be.
    private func overwriteInteger(_ bytes: inout [UInt8], _ at: Int, _ generator: inout SeededGenerator) {
        let boundaries: [UInt64] = [
            0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFE, 0xFFFF_FFFF,
            0x7FFF_FFFF_FFFF_FFFF, 0x8000_0000_0000_0000, 0xFFFF_FFFF_FFFF_FFF8, UInt64.max, UInt64(bytes.count),
            UInt64(bytes.count) + 1, 10_000_000_000,
        ]
        var value = boundaries[Int.random(in: 0..<boundaries.count, using: &generator)]
        let width = [1, 2, 4, 8][Int.random(in: 0..<4, using: &generator)]
        if Bool.random(using: &generator) { value = value.byteSwapped >> UInt64(64 - width * 8) }
        for offset in 0..<min(width, bytes.count - at) {
            bytes[at + offset] = UInt8(truncatingIfNeeded: value >> UInt64(offset * 8))
        }
    }

    /// Lets a part of another file of the corpus follow the beginning of this one.
    private func splice(_ bytes: inout [UInt8], _ at: Int, _ generator: inout SeededGenerator) {
        let other = corpus[Int.random(in: 0..<corpus.count, using: &generator)]
        guard !other.isEmpty else { return }
        bytes.removeLast(bytes.count - at)
        bytes += other[Int.random(in: 0..<other.count, using: &generator)...]
    }
}
