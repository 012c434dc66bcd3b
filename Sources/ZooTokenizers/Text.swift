import Foundation

/// A code point with the range of the original text, in code points, that it stands for.
struct Letter: Sendable {
    var scalar: Unicode.Scalar
    var start: Int32
    var end: Int32
}

/// What tokenizers ask about code points.
enum Scalars {
    /// General categories and properties as bits.
    struct Kind: OptionSet, Sendable {
        let rawValue: UInt8
        static let letter = Kind(rawValue: 1), number = Kind(rawValue: 2), space = Kind(rawValue: 4)
        static let punctuation = Kind(rawValue: 8), control = Kind(rawValue: 16), mark = Kind(rawValue: 32)
        static let ideograph = Kind(rawValue: 64)
    }

    private static let ascii: [Kind] = (0..<128).map { compute(Unicode.Scalar(UInt8($0))) }

    static func kind(_ scalar: Unicode.Scalar) -> Kind {
        scalar.value < 128 ? ascii[Int(scalar.value)] : compute(scalar)
    }

    private static func compute(_ scalar: Unicode.Scalar) -> Kind {
        var kind: Kind = scalar.properties.isWhitespace ? .space : []
        switch scalar.properties.generalCategory {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: kind.insert(.letter)
        case .decimalNumber, .letterNumber, .otherNumber: kind.insert(.number)
        case .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation, .initialPunctuation,
            .finalPunctuation, .otherPunctuation:
            kind.insert(.punctuation)
        case .control, .format, .privateUse, .surrogate: kind.insert(.control)
        case .nonspacingMark: kind.insert(.mark)
        default: break
        }
        if isIdeograph(scalar.value) { kind.insert(.ideograph) }
        return kind
    }

    /// The blocks that BERT sets apart (those of its original vocabulary's code).
    private static func isIdeograph(_ value: UInt32) -> Bool {
        switch value {
        case 0x4E00...0x9FFF, 0x3400...0x4DBF, 0x20000...0x2A6DF, 0x2A700...0x2B73F, 0x2B740...0x2B81F,
            0x2B920...0x2CEAF, 0xF900...0xFAFF, 0x2F800...0x2FA1F:
            true
        default: false
        }
    }

    /// The canonical decomposition of one code point.
    static func decomposed(_ scalar: Unicode.Scalar) -> String.UnicodeScalarView {
        String(scalar).decomposedStringWithCanonicalMapping.unicodeScalars
    }

    /// Text in composed normal form. A composed code point stands for the first it came from, as in the `tokenizers`
    /// library; where marks only change places, places keep their order.
    static func composed(_ letters: [Letter]) -> [Letter] {
        guard letters.contains(where: { $0.scalar.value >= 0x300 }) else { return letters }
        var result: [Letter] = []
        var start = 0
        while start < letters.count {
            var end = start + 1
            // A stretch ends before a code point that nothing before it can join: ASCII, or a plain starter.
            while end < letters.count, !isBoundary(letters[end].scalar) { end += 1 }
            if end == start + 1, letters[start].scalar.value < 0x300 {
                result.append(letters[start])
            } else {
                var text = String.UnicodeScalarView()
                text.append(contentsOf: letters[start..<end].lazy.map(\.scalar))
                let composed = String(text).precomposedStringWithCanonicalMapping.unicodeScalars
                if composed.elementsEqual(text) {
                    result += letters[start..<end]
                } else {
                    // What was joined was joined to the first of the stretch.
                    let joined = end - start - composed.count
                    for (place, scalar) in composed.enumerated() {
                        let origin = letters[min(max(start, place == 0 ? start : start + place + joined), end - 1)]
                        result.append(Letter(scalar: scalar, start: origin.start, end: origin.end))
                    }
                }
            }
            start = end
        }
        return result
    }

    private static func isBoundary(_ scalar: Unicode.Scalar) -> Bool {
        if scalar.value < 0x300 { return true }
        // Vowels and final consonants of Hangul join what is before them; so do a few spacing vowel signs.
        if 0x1160...0x11FF ~= scalar.value { return false }
        switch scalar.properties.generalCategory {
        case .nonspacingMark, .spacingMark, .enclosingMark: return false
        default: return scalar.properties.canonicalCombiningClass == .notReordered
        }
    }
}
