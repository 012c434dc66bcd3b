import ZooBase

/// One text as token ids.
public struct Encoding: Sendable, Hashable {
    /// The ids.
    public var ids: [Int32] = []
    /// For each token the range of the text it stands for, in code points; empty at zero for tokens of the template.
    public var offsets: [Range<Int>] = []
    /// The sequence each token belongs to, as the template numbers them.
    public var typeIDs: [Int32] = []

    /// An empty encoding.
    public init() {}
}

/// A Hugging Face tokenizer: WordPiece as in BERT and MiniLM, or byte-level byte pairs as in GPT-2, Llama 3 and Qwen.
///
/// What a file asks for beyond that is refused by name when it is read. Encoding never fails, whatever the text.
public struct Tokenizer: Sendable {
    /// Words into tokens.
    enum Model: Sendable {
        case wordPiece(WordPiece)
        case bytePairs(BytePairs)
    }

    /// Text before it is cut into words.
    enum Normalizer: Sendable, Hashable {
        case bert(cleans: Bool, separatesIdeographs: Bool, stripsAccents: Bool, lowercases: Bool)
        case composed
    }

    let model: Model
    let normalizers: [Normalizer]
    let scanner: WordScanner?
    let addsPrefixSpace: Bool
    let trimsOffsets: Bool
    let added: AddedTokens
    let template: Template
    /// The id of each token.
    public let vocabularySize: Int
    /// Tokens per text that the file's truncation allows, those of the template counted; nil without truncation.
    public let maximumLength: Int?
    /// The id for padding that the file names.
    public let paddingID: Int32

    /// Encodes one text.
    ///
    /// - Parameters:
    ///   - pair: a second text, for templates of two.
    ///   - addsSpecialTokens: whether the template's tokens (`[CLS]`, `[SEP]`) are added.
    ///   - maximumLength: the most tokens of the result; the second text is shortened first where it is the longer.
    public func encode(
        _ text: String, pair: String? = nil, addsSpecialTokens: Bool = true, maximumLength: Int? = nil
    ) -> Encoding {
        var parts = [plain(text)] + (pair.map { [plain($0)] } ?? [])
        if let maximumLength {
            let room = max(0, maximumLength - (addsSpecialTokens ? template.addedCount(parts.count) : 0))
            truncate(&parts, to: room)
        }
        return template.apply(parts, addsSpecialTokens: addsSpecialTokens)
    }

    /// Encodes many texts on several threads; results are in order.
    ///
    /// - Throws: `interrupted`.
    public func encode(
        _ texts: [String], addsSpecialTokens: Bool = true, maximumLength: Int? = nil,
        jobs: Int = Parallel.processorCount
    ) throws -> [Encoding] {
        let share = 256
        let blocks = try Parallel.map(count: (texts.count + share - 1) / share, jobs: jobs) { block in
            texts[block * share..<min(texts.count, (block + 1) * share)].map {
                encode($0, addsSpecialTokens: addsSpecialTokens, maximumLength: maximumLength)
            }
        }
        return Array(blocks.joined())
    }

    /// The longest part loses its last tokens until all fit.
    private func truncate(_ parts: inout [Encoding], to room: Int) {
        var lengths = parts.map(\.ids.count)
        if lengths.count == 1 {
            lengths[0] = min(lengths[0], room)
        } else if lengths[0] + lengths[1] > room {
            // The rule of the `tokenizers` library: the shorter keeps what it has while it fits, else both are halved.
            let (short, long) = lengths[0] <= lengths[1] ? (0, 1) : (1, 0)
            let rest = lengths[short] > room ? lengths[short] : max(lengths[short], room - lengths[short])
            if lengths[short] + rest > room {
                lengths[short] = room / 2
                lengths[long] = room / 2 + room % 2
            } else {
                lengths[long] = rest
            }
        }
        for (place, length) in lengths.enumerated() where length < parts[place].ids.count {
            parts[place].ids.removeSubrange(length...)
            parts[place].offsets.removeSubrange(length...)
        }
    }

    // MARK: One text

    private func plain(_ text: String) -> Encoding {
        var letters: [Letter] = []
        letters.reserveCapacity(text.utf8.count)
        for (place, scalar) in text.unicodeScalars.enumerated() {
            letters.append(Letter(scalar: scalar, start: Int32(clamping: place), end: Int32(clamping: place + 1)))
        }
        var result = Encoding()
        for piece in added.split(letters) {
            switch piece {
            case .token(let id, let range):
                result.ids.append(id)
                result.offsets.append(range)
            case .text(let range): encode(letters[range], letters, &result)
            }
        }
        return result
    }

    private func encode(_ piece: ArraySlice<Letter>, _ original: [Letter], _ result: inout Encoding) {
        var text = Array(piece)
        for normalizer in normalizers { text = normalizer.apply(text) }
        guard !text.isEmpty else { return }
        switch model {
        case .wordPiece(let model): words(text, model, &result)
        case .bytePairs(let model): words(text, model, original, &result)
        }
    }

    private func words(_ text: [Letter], _ model: WordPiece, _ result: inout Encoding) {
        var start = 0
        func flush(_ end: Int) {
            guard end > start else { return }
            model.encode(text[start..<end]) { id, from, to in
                result.ids.append(id)
                result.offsets.append(Int(from)..<Int(to))
            }
        }
        for (place, letter) in text.enumerated() {
            let kind = Scalars.kind(letter.scalar)
            if kind.contains(.space) {
                flush(place)
                start = place + 1
            } else if kind.contains(.punctuation) || Self.isSymbol(letter.scalar) {
                flush(place)
                start = place
                flush(place + 1)
                start = place + 1
            }
        }
        flush(text.count)
    }

    /// ASCII that BERT counts as punctuation although Unicode does not: `$ + < = > ^ ` | ~`.
    private static func isSymbol(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 33...47, 58...64, 91...96, 123...126: true
        default: false
        }
    }

    private func words(_ text: [Letter], _ model: BytePairs, _ original: [Letter], _ result: inout Encoding) {
        var text = text
        if addsPrefixSpace, let first = text.first, first.scalar != " " {
            text.insert(Letter(scalar: " ", start: first.start, end: first.end), at: 0)
        }
        let kinds = text.map { Scalars.kind($0.scalar) }
        var start = 0
        var bytes: [UInt8] = [], letters: [Int] = []
        while start < text.count {
            let end = scanner?.end(of: text[...], kinds: kinds, from: start) ?? text.count
            bytes.removeAll(keepingCapacity: true)
            letters.removeAll(keepingCapacity: true)
            for place in start..<end {
                for byte in UTF8.encode(text[place].scalar) ?? UTF8.EncodedScalar() {
                    bytes.append(byte)
                    letters.append(place)
                }
            }
            model.encode(bytes) { id, range in
                result.ids.append(id)
                result.offsets.append(offset(text, letters[range.lowerBound], letters[range.upperBound - 1]))
            }
            start = end
        }
    }

    /// With trimming, blanks at the ends of a token are left out, but for a single one at the start of the text.
    private func offset(_ text: [Letter], _ first: Int, _ last: Int) -> Range<Int> {
        var start = Int(text[first].start), end = Int(text[last].end)
        if trimsOffsets {
            let token = text[first...last]
            let leading = token.prefix { $0.scalar == " " }.count
            let trailing = token.reversed().prefix { $0.scalar == " " }.count
            if !(leading == 1 && start == 0) { start = min(start + leading, end) }
            end = max(end - trailing, start)
        }
        return start..<max(start, end)
    }
}

extension Tokenizer.Normalizer {
    func apply(_ text: [Letter]) -> [Letter] {
        switch self {
        case .composed: return Scalars.composed(text)
        case .bert(let cleans, let separatesIdeographs, let stripsAccents, let lowercases):
            var result: [Letter] = []
            result.reserveCapacity(text.count + 8)
            for letter in text {
                var letter = letter
                let kind = Scalars.kind(letter.scalar)
                if cleans {
                    let isBreak = "\t\n\r".unicodeScalars.contains(letter.scalar)
                    if !isBreak, letter.scalar.value == 0xFFFD || kind.contains(.control) { continue }
                    if isBreak || kind.contains(.space) { letter.scalar = " " }
                }
                let isApart = separatesIdeographs && kind.contains(.ideograph)
                let space = Letter(scalar: " ", start: letter.start, end: letter.end)
                if isApart { result.append(space) }
                Self.fold(letter, stripsAccents, lowercases, &result)
                if isApart { result.append(space) }
            }
            return result
        }
    }

    private static func fold(_ letter: Letter, _ strips: Bool, _ lowers: Bool, _ result: inout [Letter]) {
        func lower(_ scalar: Unicode.Scalar) {
            guard lowers else { return result.append(Letter(scalar: scalar, start: letter.start, end: letter.end)) }
            for low in scalar.properties.lowercaseMapping.unicodeScalars {
                result.append(Letter(scalar: low, start: letter.start, end: letter.end))
            }
        }
        if letter.scalar.isASCII {
            let isCapital = lowers && 65...90 ~= letter.scalar.value
            let scalar = isCapital ? Unicode.Scalar(UInt8(letter.scalar.value + 32)) : letter.scalar
            result.append(Letter(scalar: scalar, start: letter.start, end: letter.end))
        } else if strips {
            for part in Scalars.decomposed(letter.scalar) where !Scalars.kind(part).contains(.mark) { lower(part) }
        } else {
            lower(letter.scalar)
        }
    }
}
