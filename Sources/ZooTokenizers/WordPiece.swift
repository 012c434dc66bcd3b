import ZooBase

/// BERT's subwords: the longest piece of the vocabulary, again and again; pieces inside a word carry a prefix (`##`).
struct WordPiece: Sendable {
    private let first: ByteTable
    private let inner: ByteTable
    private let unknown: Int32
    /// Longer words are unknown as a whole.
    private let maximumLength: Int

    init(_ vocabulary: [(token: String, id: Int32)], prefix: String, unknown: String, maximumLength: Int) throws {
        guard let unknownID = vocabulary.first(where: { $0.token == unknown })?.id else {
            throw ZooError(.corrupt, "the vocabulary lacks the unknown token '\(unknown)'")
        }
        self.unknown = unknownID
        self.maximumLength = maximumLength
        first = ByteTable(vocabulary.map { (Array($0.token.utf8), $0.id) })
        let mark = Array(prefix.utf8)
        inner = ByteTable(
            vocabulary.compactMap { token, id in
                let bytes = Array(token.utf8)
                return bytes.count > mark.count && bytes.starts(with: mark) ? (Array(bytes[mark.count...]), id) : nil
            })
    }

    func encode(_ word: ArraySlice<Letter>, _ append: (Int32, Int32, Int32) -> Void) {
        let whole = (word.first?.start ?? 0, word.last?.end ?? 0)
        guard word.count <= maximumLength else { return append(unknown, whole.0, whole.1) }
        var bytes: [UInt8] = []
        // The number of bytes before each letter.
        var places: [Int] = []
        for letter in word {
            places.append(bytes.count)
            bytes += UTF8.encode(letter.scalar).map { Array($0) } ?? []
        }
        places.append(bytes.count)
        var found: [(Int32, Int, Int)] = []
        var start = 0
        while start < word.count {
            guard let (id, end) = longest(bytes, places, start) else { return append(unknown, whole.0, whole.1) }
            found.append((id, start, end))
            start = end
        }
        for (id, from, to) in found {
            append(id, word[word.startIndex + from].start, word[word.startIndex + to - 1].end)
        }
    }

    private func longest(_ bytes: [UInt8], _ places: [Int], _ start: Int) -> (Int32, Int)? {
        bytes.withUnsafeBufferPointer { buffer in
            let table = start == 0 ? first : inner
            var best: (Int32, Int)?
            var hash = ByteTable.seed
            for end in start + 1..<places.count {
                for place in places[end - 1]..<places[end] { hash = ByteTable.extend(hash, buffer[place]) }
                let key = UnsafeBufferPointer(rebasing: buffer[places[start]..<places[end]])
                if let id = table.find(key, hash: hash) { best = (id, end) }
            }
            return best
        }
    }
}
