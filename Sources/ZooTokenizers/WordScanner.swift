import ZooBase

/// The patterns that cut text into words before byte-pair encoding, scanned by hand.
enum WordScanner: Sendable, Hashable {
    /// GPT-2's: `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`.
    case gpt2
    /// Llama 3's (`digits` 3) and Qwen2's (`digits` 1): contractions in any case, newlines apart.
    case modern(digits: Int)

    private static let modernStart = #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"#
    private static let modernEnd = #"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#

    /// The scanner of a known pattern.
    ///
    /// - Throws: `unsupported` with the pattern.
    init(pattern: String) throws {
        switch pattern {
        case #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#: self = .gpt2
        case Self.modernStart + #"\p{N}"# + Self.modernEnd: self = .modern(digits: 1)
        case Self.modernStart + #"\p{N}{1,3}"# + Self.modernEnd: self = .modern(digits: 3)
        default: throw ZooError(.unsupported, "tokenizer: the pattern '\(pattern.prefix(200))' is not known")
        }
    }

    /// Where the word that starts at `start` ends.
    func end(of text: ArraySlice<Letter>, kinds: [Scalars.Kind], from start: Int) -> Int {
        let end = text.endIndex
        func kind(_ place: Int) -> Scalars.Kind? { place < end ? kinds[place] : nil }
        func isOther(_ place: Int) -> Bool {
            kind(place).map { $0.isDisjoint(with: [.space, .letter, .number]) } ?? false
        }
        func run(_ place: Int, _ test: (Int) -> Bool) -> Int {
            var place = place
            while place < end, test(place) { place += 1 }
            return place
        }
        func isNewline(_ place: Int) -> Bool { text[place].scalar == "\n" || text[place].scalar == "\r" }
        func isLetter(_ place: Int) -> Bool { kinds[place].contains(.letter) }
        func isNumber(_ place: Int) -> Bool { kinds[place].contains(.number) }
        if let length = contraction(text, start) { return start + length }
        let isBlank = text[start].scalar == " "
        let body = isBlank ? start + 1 : start
        switch self {
        case .gpt2:
            if kind(body)?.contains(.letter) == true { return run(body, isLetter) }
            if kind(body)?.contains(.number) == true { return run(body, isNumber) }
            if isOther(body) { return run(body, isOther) }
        case .modern(let digits):
            if isLetter(start) { return run(start, isLetter) }
            if !isNumber(start), !isNewline(start), kind(start + 1)?.contains(.letter) == true {
                return run(start + 1, isLetter)
            }
            if isNumber(start) { return min(run(start, isNumber), start + digits) }
            if isOther(body) { return run(run(body, isOther), isNewline) }
        }
        let blank = run(start) { kinds[$0].contains(.space) }
        if case .modern = self, let last = (start..<blank).last(where: isNewline) { return last + 1 }
        if blank < end, blank > start + 1 { return blank - 1 }
        return max(blank, start + 1)
    }

    private func contraction(_ text: ArraySlice<Letter>, _ start: Int) -> Int? {
        guard text[start].scalar == "'" else { return nil }
        func letter(_ offset: Int) -> Unicode.Scalar? {
            guard start + offset < text.endIndex else { return nil }
            let scalar = text[start + offset].scalar
            guard case .modern = self else { return scalar }
            if scalar.value == 0x17F { return "s" }
            return scalar.isASCII ? scalar.properties.lowercaseMapping.unicodeScalars.first : scalar
        }
        guard let first = letter(1) else { return nil }
        // The order of the alternatives: 's and 't win before longer ones are tried.
        if first == "s" || first == "t" { return 2 }
        if let second = letter(2), (first == "r" || first == "v") && second == "e" { return 3 }
        if first == "m" { return 2 }
        if first == "l", letter(2) == "l" { return 3 }
        return first == "d" ? 2 : nil
    }
}
