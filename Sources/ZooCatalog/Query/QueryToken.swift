import ZooBase

/// A word, number, text or sign of the query language, and where it stands.
struct QueryToken: Equatable {
    enum Kind: Equatable {
        case number(SQLValue)
        case text(SQLValue)
        case name(String, quoted: Bool)
        case symbol(String)
        case end
    }

    var kind: Kind
    var position: Int

    /// Words that are never names.
    static let reserved: Set<String> = ["and", "or", "not", "in", "is", "between", "like"]

    /// The token as a message shows it.
    var description: String {
        switch kind {
        case .number(.int(let value)): "'\(value)'"
        case .number(.double(let value)): "'\(value)'"
        case .text(.text(let value)): "the text '\(value)'"
        case .number, .text: "a value"
        case .name(let name, _): "'\(name)'"
        case .symbol(let symbol): "'\(symbol)'"
        case .end: "the end"
        }
    }

    /// All tokens of a text, the last one `end`.
    static func all(in text: String, what: String) throws -> [QueryToken] {
        guard text.utf8.count <= ExpressionParser.maximumLength else {
            throw ZooError(.usage, "\(what): longer than \(ExpressionParser.maximumLength) bytes")
        }
        var scanner = Scanner(characters: Array(text), text: text, what: what)
        return try scanner.all()
    }

    private struct Scanner {
        let characters: [Character]
        let text: String
        let what: String
        var position = 0

        private var character: Character? { position < characters.count ? characters[position] : nil }

        private func fault(_ message: String, at position: Int) -> ZooError {
            ExpressionParser.fault(what, text, at: position, message)
        }

        mutating func all() throws -> [QueryToken] {
            var tokens: [QueryToken] = []
            while true {
                while let next = character, next.isWhitespace { position += 1 }
                guard let next = character else { break }
                tokens.append(QueryToken(kind: try token(next), position: position))
                position = end
            }
            tokens.append(QueryToken(kind: .end, position: characters.count))
            return tokens
        }

        /// Where the token just read ends.
        private var end = 0

        init(characters: [Character], text: String, what: String) {
            self.characters = characters
            self.text = text
            self.what = what
        }

        private mutating func token(_ first: Character) throws -> Kind {
            let following = position + 1 < characters.count ? characters[position + 1] : " "
            if isDigit(first) || (first == "." && isDigit(following)) { return try number() }
            if first == "'" || first == "\"" { return .text(.text(try quoted(first))) }
            if first == "`" { return .name(try quoted(first), quoted: true) }
            if first == "_" || first == "@" || first.isLetter { return name() }
            for symbol in ["==", "!=", "<>", "<=", ">=", "!~", "=", "<", ">", "~", "+", "-", "*", "/", "(", ")", ","] {
                if symbol.first == first, symbol.count == 1 || symbol.last == following {
                    end = position + symbol.count
                    return .symbol(symbol)
                }
            }
            throw fault("'\(first)' means nothing here", at: position)
        }

        private func isDigit(_ character: Character) -> Bool { character.isASCII && character.isNumber }

        private mutating func number() throws -> Kind {
            var cursor = position
            func digits() { while cursor < characters.count, isDigit(characters[cursor]) { cursor += 1 } }
            digits()
            var isInteger = true
            if cursor < characters.count, characters[cursor] == "." {
                isInteger = false
                cursor += 1
                digits()
            }
            if cursor < characters.count, characters[cursor] == "e" || characters[cursor] == "E" {
                let mark = cursor
                cursor += 1
                if cursor < characters.count, characters[cursor] == "+" || characters[cursor] == "-" { cursor += 1 }
                let start = cursor
                digits()
                if cursor == start { cursor = mark } else { isInteger = false }
            }
            if cursor < characters.count, characters[cursor].isLetter || characters[cursor] == "_" {
                throw fault("a number ends in '\(characters[cursor])'", at: cursor)
            }
            end = cursor
            let spelling = String(characters[position..<cursor])
            if isInteger, let value = Int64(spelling) { return .number(.int(value)) }
            guard let value = Double(spelling), value.isFinite else {
                throw fault("'\(spelling)' is not a number", at: position)
            }
            return .number(.double(value))
        }

        /// A text; its quote is written twice inside.
        private mutating func quoted(_ quote: Character) throws -> String {
            var cursor = position + 1
            var content = ""
            while cursor < characters.count {
                if characters[cursor] == quote {
                    guard cursor + 1 < characters.count, characters[cursor + 1] == quote else {
                        end = cursor + 1
                        guard !content.contains("\0") else { throw fault("a text holds a zero byte", at: position) }
                        return content
                    }
                    cursor += 1
                }
                content.append(characters[cursor])
                cursor += 1
            }
            throw fault("the quote \(quote) is not closed", at: position)
        }

        private mutating func name() -> Kind {
            var cursor = position + 1
            while cursor < characters.count {
                let next = characters[cursor]
                if next == ":", cursor + 2 < characters.count, characters[cursor + 1] == ":",
                    isNamePart(characters[cursor + 2])
                {
                    cursor += 2
                } else if next == ".", cursor + 1 < characters.count, isNamePart(characters[cursor + 1]) {
                    cursor += 1
                } else if !isNamePart(next) {
                    break
                } else {
                    cursor += 1
                }
            }
            end = cursor
            return .name(String(characters[position..<cursor]), quoted: false)
        }

        private func isNamePart(_ character: Character) -> Bool {
            character == "_" || character.isLetter || isDigit(character)
        }
    }
}
