import ZooBase

/// Byte-level byte-pair encoding: a word's bytes are joined, the pair of lowest rank first (leftmost among equals).
/// O(n log n) in the length of a word.
struct BytePairs: Sendable {
    private let bytes: [Int32]
    private let vocabulary: ByteTable
    private let merges: [UInt64: (rank: Int32, id: Int32)]
    private let ignoresMerges: Bool

    /// GPT-2's stand-ins: printable characters for all bytes, so that vocabularies are text.
    static let characters: [Unicode.Scalar] = {
        let printable = Set(33...126).union(161...172).union(174...255)
        var next: UInt32 = 256
        return (0..<256).map { byte in
            if printable.contains(byte) { return Unicode.Scalar(UInt8(byte)) }
            defer { next += 1 }
            return Unicode.Scalar(next) ?? " "
        }
    }()

    private static let byteOf: [Unicode.Scalar: UInt8] = Dictionary(
        uniqueKeysWithValues: characters.enumerated().map { ($1, UInt8($0)) })

    /// The bytes that a vocabulary entry stands for; nil when it is no byte-level text (an added token).
    static func bytes(of token: String) -> [UInt8]? {
        var result: [UInt8] = []
        for scalar in token.unicodeScalars {
            guard let byte = byteOf[scalar] else { return nil }
            result.append(byte)
        }
        return result
    }

    init(_ vocabulary: [(token: String, id: Int32)], merges pairs: [(String, String)], ignoresMerges: Bool) throws {
        let known = Dictionary(vocabulary.map { ($0.token, $0.id) }, uniquingKeysWith: { first, _ in first })
        bytes = try Self.characters.map { scalar in
            guard let id = known[String(scalar)] else {
                throw ZooError(.corrupt, "the vocabulary lacks the byte '\(scalar)': it is not byte-level")
            }
            return id
        }
        var merges: [UInt64: (rank: Int32, id: Int32)] = [:]
        for (rank, (left, right)) in pairs.enumerated() {
            guard let a = known[left], let b = known[right], let id = known[left + right] else {
                throw ZooError(.corrupt, "merge \(rank) ('\(left)' '\(right)') is not of tokens in the vocabulary")
            }
            let key = Self.key(a, b)
            if merges[key] == nil { merges[key] = (Int32(rank), id) }
        }
        self.merges = merges
        self.ignoresMerges = ignoresMerges
        self.vocabulary = ByteTable(vocabulary.compactMap { token, id in Self.bytes(of: token).map { ($0, id) } })
    }

    private static func key(_ a: Int32, _ b: Int32) -> UInt64 {
        UInt64(UInt32(bitPattern: a)) << 32 | UInt64(UInt32(bitPattern: b))
    }

    /// Encodes a word: `append` gets each token with its range of bytes.
    func encode(_ word: [UInt8], _ append: (Int32, Range<Int>) -> Void) {
        if ignoresMerges, let id = vocabulary.find(word) { return append(id, 0..<word.count) }
        var symbols = word.map { bytes[Int($0)] }
        var next = Array(1...max(1, word.count)), previous = Array(-1..<max(0, word.count - 1))
        var ends = Array(1...max(1, word.count))
        var queue = MergeQueue()
        func consider(_ left: Int, _ queue: inout MergeQueue) {
            let right = next[left]
            guard right < word.count, let merge = merges[Self.key(symbols[left], symbols[right])] else { return }
            queue.push(.init(rank: merge.rank, place: Int32(left), left: symbols[left], right: symbols[right]))
        }
        for place in word.indices.dropLast() { consider(place, &queue) }
        while let best = queue.pop() {
            let left = Int(best.place), right = next[left]
            // A pair that has changed since it was queued.
            guard symbols[left] == best.left, right < word.count, symbols[right] == best.right,
                let merge = merges[Self.key(best.left, best.right)]
            else { continue }
            symbols[left] = merge.id
            symbols[right] = -1
            ends[left] = ends[right]
            next[left] = next[right]
            if next[left] < word.count { previous[next[left]] = left }
            if previous[left] >= 0 { consider(previous[left], &queue) }
            consider(left, &queue)
        }
        var place = 0
        while place < word.count {
            append(symbols[place], place..<ends[place])
            place = next[place]
        }
    }
}

/// Candidate merges, the lowest rank first, then the leftmost.
private struct MergeQueue {
    struct Entry {
        var rank: Int32, place: Int32, left: Int32, right: Int32

        func isBefore(_ other: Entry) -> Bool { (rank, place) < (other.rank, other.place) }
    }

    private var heap: [Entry] = []

    mutating func push(_ entry: Entry) {
        heap.append(entry)
        var place = heap.count - 1
        while place > 0, heap[place].isBefore(heap[(place - 1) / 2]) {
            heap.swapAt(place, (place - 1) / 2)
            place = (place - 1) / 2
        }
    }

    mutating func pop() -> Entry? {
        guard let first = heap.first, let last = heap.popLast() else { return nil }
        guard !heap.isEmpty else { return first }
        heap[0] = last
        var place = 0
        while 2 * place + 1 < heap.count {
            var child = 2 * place + 1
            if child + 1 < heap.count, heap[child + 1].isBefore(heap[child]) { child += 1 }
            guard heap[child].isBefore(heap[place]) else { break }
            heap.swapAt(place, child)
            place = child
        }
        return first
    }
}
