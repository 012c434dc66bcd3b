import ZooBase

/// Reads the query language.
///
/// ```
/// condition  = term { "or" term }            term = factor { "and" factor }         factor = [ "not" ] test
/// test       = sum [ ("=" | "==" | "!=" | "<>" | "<" | "<=" | ">" | ">=") sum | "is" ["not"] ("null" | "nan")
///              | ["not"] "in" "(" sum { "," sum } ")" | ["not"] "between" sum "and" sum
///              | ["not"] "like" sum | "~" sum | "!~" sum ]
/// sum        = product { ("+" | "-") product }     product = unary { ("*" | "/") unary }
/// unary      = "-" unary | number | 'text' | "text" | name | name "(" … ")" | "(" condition ")" | "true" | "false" | "null"
/// name       = letter or "_" or "@", then letters, digits, "_", ".", "::"; anything between back-quotes
/// ```
package struct ExpressionParser {
    /// The longest text read.
    package static let maximumLength = 16_384
    /// The deepest nesting read.
    package static let maximumDepth = 100

    private let text: String
    private let tokens: [QueryToken]
    private var index = 0
    private var depth = 0

    private init(_ text: String, what: String) throws {
        self.text = text
        tokens = try QueryToken.all(in: text, what: what)
        self.what = what
    }

    private let what: String

    /// Parses one expression that fills the whole text.
    ///
    /// - Parameter what: what the text is, for messages ("where", "sort").
    /// - Throws: `usage` with a caret under the fault.
    package static func parse(_ text: String, what: String) throws -> Expression {
        var parser = try ExpressionParser(text, what: what)
        let result = try parser.condition()
        guard parser.current.kind == .end else { throw parser.fault("expected an operator or the end") }
        return result
    }

    /// An error that points into the text.
    static func fault(_ what: String, _ text: String, at position: Int, _ message: String) -> ZooError {
        let line = text.map { $0.isNewline || $0 == "\t" ? " " : String($0) }.joined()
        let caret = String(repeating: " ", count: position) + "^"
        return ZooError(.usage, "\(what): \(message), at character \(position + 1)\n  \(line)\n  \(caret)")
    }

    private var current: QueryToken { tokens[index] }

    private func fault(_ message: String) -> ZooError {
        Self.fault(what, text, at: current.position, "\(message), found \(current.description)")
    }

    private mutating func advance() -> QueryToken {
        defer { if index < tokens.count - 1 { index += 1 } }
        return tokens[index]
    }

    private mutating func accept(symbol: String) -> Bool {
        guard current.kind == .symbol(symbol) else { return false }
        index += 1
        return true
    }

    private mutating func accept(word: String) -> Bool {
        guard isWord(word) else { return false }
        index += 1
        return true
    }

    private func isWord(_ word: String, at offset: Int = 0) -> Bool {
        guard index + offset < tokens.count, case .name(let name, quoted: false) = tokens[index + offset].kind else {
            return false
        }
        return name.lowercased() == word
    }

    private mutating func expect(symbol: String) throws {
        guard accept(symbol: symbol) else { throw fault("expected '\(symbol)'") }
    }

    private mutating func nested<T>(_ body: (inout ExpressionParser) throws -> T) throws -> T {
        depth += 1
        defer { depth -= 1 }
        guard depth <= Self.maximumDepth else {
            throw Self.fault(what, text, at: current.position, "nested deeper than \(Self.maximumDepth)")
        }
        return try body(&self)
    }

    // MARK: Grammar

    private mutating func condition() throws -> Expression {
        try nested { parser in
            var left = try parser.term()
            var count = 0
            while case let position = parser.current.position, parser.accept(word: "or") {
                left = Expression(kind: .or(left, try parser.term()), position: position)
                count += 1
                try parser.limit(count)
            }
            return left
        }
    }

    private mutating func term() throws -> Expression {
        var left = try factor()
        var count = 0
        while case let position = current.position, accept(word: "and") {
            left = Expression(kind: .and(left, try factor()), position: position)
            count += 1
            try limit(count)
        }
        return left
    }

    /// Long chains become deep trees; SQLite refuses a depth of 1000.
    private func limit(_ count: Int) throws {
        guard count < 400 else { throw Self.fault(what, text, at: current.position, "more than 400 terms in a row") }
    }

    private mutating func factor() throws -> Expression {
        let position = current.position
        guard accept(word: "not") else { return try test() }
        return Expression(kind: .not(try nested { try $0.factor() }), position: position)
    }

    private static let comparisons: [(String, Expression.Comparison)] = [
        ("==", .equal), ("=", .equal), ("!=", .unequal), ("<>", .unequal), ("<=", .lessOrEqual),
        (">=", .greaterOrEqual),
        ("<", .less), (">", .greater),
    ]

    private mutating func test() throws -> Expression {
        let left = try sum()
        let position = current.position
        for (symbol, comparison) in Self.comparisons where accept(symbol: symbol) {
            let right = try sum()
            if case .symbol(let next) = current.kind, Self.comparisons.contains(where: { $0.0 == next }) {
                throw fault("comparisons cannot be chained; write 'a < x and x < b'")
            }
            return Expression(kind: .compare(comparison, left, right), position: position)
        }
        if accept(symbol: "~") { return Expression(kind: .matches(.contains, left, try sum()), position: position) }
        if accept(symbol: "!~") {
            return negated(true, Expression(kind: .matches(.contains, left, try sum()), position: position))
        }
        if accept(word: "is") { return try isTest(left, position) }
        let isNegated = isWord("not") && (isWord("in", at: 1) || isWord("between", at: 1) || isWord("like", at: 1))
        if isNegated { index += 1 }
        return try negated(isNegated, wordTest(left, position))
    }

    private mutating func wordTest(_ left: Expression, _ position: Int) throws -> Expression {
        if accept(word: "like") { return Expression(kind: .matches(.like, left, try sum()), position: position) }
        if accept(word: "in") { return Expression(kind: .isIn(left, try list()), position: position) }
        if accept(word: "between") {
            let low = try sum()
            guard accept(word: "and") else { throw fault("expected 'and' of 'between … and …'") }
            return Expression(kind: .between(left, low, try sum()), position: position)
        }
        return left
    }

    private func negated(_ isNegated: Bool, _ expression: Expression) -> Expression {
        isNegated ? Expression(kind: .not(expression), position: expression.position) : expression
    }

    private mutating func isTest(_ left: Expression, _ position: Int) throws -> Expression {
        let isNegated = accept(word: "not")
        if accept(word: "null") || accept(word: "missing") {
            return negated(isNegated, Expression(kind: .isNull(left), position: position))
        }
        guard accept(word: "nan") else { throw fault("expected 'null' or 'nan' after 'is'") }
        return negated(isNegated, Expression(kind: .isNaN(left), position: position))
    }

    private mutating func list() throws -> [Expression] {
        try expect(symbol: "(")
        var elements = [try sum()]
        while accept(symbol: ",") { elements.append(try sum()) }
        guard elements.count <= 10_000 else { throw fault("more than 10000 values in a list") }
        try expect(symbol: ")")
        return elements
    }

    private mutating func sum() throws -> Expression {
        var left = try product()
        var count = 0
        while case let position = current.position,
            let operation: Expression.Arithmetic = accept(symbol: "+") ? .add : accept(symbol: "-") ? .subtract : nil
        {
            left = Expression(kind: .arithmetic(operation, left, try product()), position: position)
            count += 1
            try limit(count)
        }
        return left
    }

    private mutating func product() throws -> Expression {
        var left = try unary()
        var count = 0
        while case let position = current.position,
            let operation: Expression.Arithmetic = accept(symbol: "*") ? .multiply : accept(symbol: "/") ? .divide : nil
        {
            left = Expression(kind: .arithmetic(operation, left, try unary()), position: position)
            count += 1
            try limit(count)
        }
        return left
    }

    private mutating func unary() throws -> Expression {
        let position = current.position
        if accept(symbol: "-") {
            let inner = try nested { try $0.unary() }
            switch inner.kind {
            case .literal(.int(let value)): return Expression(kind: .literal(.int(-value)), position: position)
            case .literal(.double(let value)): return Expression(kind: .literal(.double(-value)), position: position)
            default: return Expression(kind: .negate(inner), position: position)
            }
        }
        return try primary()
    }

    private mutating func primary() throws -> Expression {
        let token = current
        switch token.kind {
        case .number(let value), .text(let value):
            _ = advance()
            return Expression(kind: .literal(value), position: token.position)
        case .symbol("("):
            _ = advance()
            let inner = try condition()
            try expect(symbol: ")")
            return inner
        case .name(let name, let quoted):
            if !quoted, QueryToken.reserved.contains(name.lowercased()) { throw fault("expected a value") }
            _ = advance()
            return try named(name, quoted, token.position)
        default: throw fault("expected a value")
        }
    }

    private mutating func named(_ name: String, _ quoted: Bool, _ position: Int) throws -> Expression {
        if !quoted {
            switch name.lowercased() {
            case "true": return Expression(kind: .truth(true), position: position)
            case "false": return Expression(kind: .truth(false), position: position)
            case "null": return Expression(kind: .literal(.null), position: position)
            default: break
            }
            if accept(symbol: "(") { return try call(name, position) }
        }
        return Expression(kind: .name(name), position: position)
    }

    private mutating func call(_ name: String, _ position: Int) throws -> Expression {
        if accept(symbol: "*") {
            try expect(symbol: ")")
            return Expression(kind: .call(name.lowercased(), []), position: position)
        }
        if accept(symbol: ")") { return Expression(kind: .call(name.lowercased(), []), position: position) }
        var arguments = [try nested { try $0.sum() }]
        while accept(symbol: ",") { arguments.append(try nested { try $0.sum() }) }
        try expect(symbol: ")")
        return Expression(kind: .call(name.lowercased(), arguments), position: position)
    }
}
