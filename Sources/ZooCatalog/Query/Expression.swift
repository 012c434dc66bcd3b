/// The syntax tree of a condition, column or sort key, before names mean anything.
package struct Expression: Sendable, Hashable {
    /// What it is.
    package var kind: Kind
    /// Where it begins, in characters of the text.
    package var position: Int

    /// The kinds of node.
    package indirect enum Kind: Sendable, Hashable {
        case literal(SQLValue)
        case truth(Bool)
        case name(String)
        case negate(Expression)
        case not(Expression)
        case and(Expression, Expression)
        case or(Expression, Expression)
        case compare(Comparison, Expression, Expression)
        case arithmetic(Arithmetic, Expression, Expression)
        case isIn(Expression, [Expression])
        case between(Expression, Expression, Expression)
        case matches(Pattern, Expression, Expression)
        case isNull(Expression)
        case isNaN(Expression)
        case call(String, [Expression])
    }

    /// Comparisons of two values.
    package enum Comparison: String, Sendable {
        case equal = "="
        case unequal = "<>"
        case less = "<"
        case lessOrEqual = "<="
        case greater = ">"
        case greaterOrEqual = ">="

        /// The comparison with its sides exchanged.
        package var mirrored: Comparison {
            switch self {
            case .equal, .unequal: self
            case .less: .greater
            case .lessOrEqual: .greaterOrEqual
            case .greater: .less
            case .greaterOrEqual: .lessOrEqual
            }
        }
    }

    /// Arithmetic of two numbers.
    package enum Arithmetic: String, Sendable {
        case add = "+"
        case subtract = "-"
        case multiply = "*"
        case divide = "/"
    }

    /// Kinds of text pattern.
    package enum Pattern: Sendable {
        /// `like`: `%` any run, `_` any character, letters of ASCII without case.
        case like
        /// `~`: contains the text; with `*` or `?` in it a pattern for the whole, with case.
        case contains
    }

    /// The parts joined by `and` at the top.
    package var conjuncts: [Expression] {
        if case .and(let left, let right) = kind { left.conjuncts + right.conjuncts } else { [self] }
    }

    /// The parts joined by `or` at the top.
    package var disjuncts: [Expression] {
        if case .or(let left, let right) = kind { left.disjuncts + right.disjuncts } else { [self] }
    }

    /// All names in it, in order.
    package var names: [String] {
        switch kind {
        case .literal, .truth: []
        case .name(let name): [name]
        case .negate(let inner), .not(let inner), .isNull(let inner), .isNaN(let inner): inner.names
        case .and(let left, let right), .or(let left, let right): left.names + right.names
        case .compare(_, let left, let right), .arithmetic(_, let left, let right): left.names + right.names
        case .matches(_, let left, let right): left.names + right.names
        case .isIn(let value, let list): value.names + list.flatMap(\.names)
        case .between(let value, let low, let high): value.names + low.names + high.names
        case .call(_, let arguments): arguments.flatMap(\.names)
        }
    }
}
