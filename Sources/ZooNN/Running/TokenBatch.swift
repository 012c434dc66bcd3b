import ZooBase

/// Sequences of token ids, padded behind to one length: what a text network reads in one run.
public struct TokenBatch: Sendable, Hashable {
    /// Sequences.
    public let count: Int
    /// Tokens per sequence with padding.
    public let length: Int
    /// `[count, length]`, `padding` behind each sequence.
    public let ids: [Int32]
    /// `[count, length]`, one for real tokens and zero for padding.
    public let mask: [Float]
    /// The real tokens of each sequence.
    public let lengths: [Int]

    /// Pads sequences.
    ///
    /// - Parameters:
    ///   - length: the length to pad to; the longest sequence's when nil.
    ///   - count: rows in all; rows beyond the sequences are padding alone.
    /// - Throws: `mismatch` for a sequence that is longer than `length`, or more sequences than rows.
    public init(_ sequences: [[Int32]], length: Int? = nil, count: Int? = nil, padding: Int32 = 0) throws {
        let longest = sequences.map(\.count).max() ?? 0
        let width = length ?? longest, rows = count ?? sequences.count
        guard longest <= width, sequences.count <= rows else {
            throw ZooError(
                .mismatch, "\(sequences.count) sequences of up to \(longest) tokens in a batch of \(rows) × \(width)")
        }
        var ids = [Int32](repeating: padding, count: rows * width)
        var mask = [Float](repeating: 0, count: rows * width)
        for (row, sequence) in sequences.enumerated() {
            for (place, id) in sequence.enumerated() {
                ids[row * width + place] = id
                mask[row * width + place] = 1
            }
        }
        self.count = rows
        self.length = width
        self.ids = ids
        self.mask = mask
        lengths = sequences.map(\.count) + [Int](repeating: 0, count: rows - sequences.count)
    }

    /// The token that follows each position, for language models; zero where none does.
    public var labels: [Int32] {
        ids.indices.map { isPredicted($0) ? ids[$0 + 1] : 0 }
    }

    /// One where `labels` is a real token.
    public var labelWeights: [Float] { ids.indices.map { isPredicted($0) ? 1 : 0 } }

    private func isPredicted(_ place: Int) -> Bool { (place + 1) % length != 0 && mask[place + 1] == 1 }

    /// The length that a batch of sequences up to `longest` is padded to: steps of 16 up to 128, then eighths of the
    /// next power of two, so that texts of all lengths share few programs. Never above `limit`.
    ///
    /// - Parameter finest: the smallest step; less padding, and more programs.
    public static func bucket(_ longest: Int, limit: Int, finest: Int = 16) -> Int {
        var step = finest
        if longest > 128 {
            while step * 8 < longest { step *= 2 }
        }
        return min(max(1, limit), max(1, (longest + step - 1) / step) * step)
    }
}
