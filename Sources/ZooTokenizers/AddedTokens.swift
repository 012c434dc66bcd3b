import ZooBase

/// Tokens that are taken out of the text before anything else is done to it: the longest of those that start first.
struct AddedTokens: Sendable {
    struct Token: Sendable {
        var content: [Unicode.Scalar]
        var id: Int32
        var isSingleWord = false, stripsLeft = false, stripsRight = false
    }

    enum Piece {
        case token(Int32, Range<Int>)
        case text(Range<Int>)
    }

    /// By first code point, the longest first.
    private let tokens: [Unicode.Scalar: [Token]]

    init(_ tokens: [Token]) {
        self.tokens = Dictionary(grouping: tokens.filter { !$0.content.isEmpty }) { $0.content[0] }
            .mapValues { $0.sorted { $0.content.count > $1.content.count } }
    }

    func split(_ text: [Letter]) -> [Piece] {
        guard !tokens.isEmpty else { return [.text(0..<text.count)] }
        var pieces: [Piece] = []
        var start = 0, place = 0
        while place < text.count {
            guard let token = tokens[text[place].scalar]?.first(where: { matches($0, text, place) }) else {
                place += 1
                continue
            }
            var first = place, last = place + token.content.count
            place = last
            if token.stripsLeft { while first > start, isSpace(text[first - 1]) { first -= 1 } }
            if token.stripsRight { while last < text.count, isSpace(text[last]) { last += 1 } }
            if first > start { pieces.append(.text(start..<first)) }
            pieces.append(.token(token.id, first..<last))
            start = last
            place = last
        }
        if start < text.count { pieces.append(.text(start..<text.count)) }
        return pieces
    }

    private func isSpace(_ letter: Letter) -> Bool { Scalars.kind(letter.scalar).contains(.space) }

    private func matches(_ token: Token, _ text: [Letter], _ place: Int) -> Bool {
        let end = place + token.content.count
        guard end <= text.count, token.content.indices.allSatisfy({ text[place + $0].scalar == token.content[$0] })
        else { return false }
        guard token.isSingleWord else { return true }
        func isWord(_ place: Int) -> Bool {
            text.indices.contains(place)
                && (!Scalars.kind(text[place].scalar).isDisjoint(with: [.letter, .number, .mark])
                    || text[place].scalar == "_")
        }
        return !isWord(place - 1) && !isWord(end)
    }
}
