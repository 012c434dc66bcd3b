import ZooBase
import ZooCatalog

/// Evaluates a condition on one row the slow, obvious way: the meaning that the SQL must have.
struct BruteForce {
    enum Value {
        /// Missing, or NaN.
        case unknown(isNaN: Bool)
        case number(Double)
        case text(String)
        case truth(Bool)
        /// A configuration value: read as what the other side is.
        case config(JSONValue?)
    }

    let row: RandomZoo.Row

    func holds(_ expression: ZooCatalog.Expression) -> Bool {
        if case .truth(true) = condition(expression) { true } else { false }
    }

    private func condition(_ expression: ZooCatalog.Expression) -> Value {
        let value = evaluate(expression)
        guard case .config = value else { return value }
        if case .number(let number) = asNumber(value) { return .truth(number != 0) }
        return .unknown(isNaN: false)
    }

    func evaluate(_ expression: ZooCatalog.Expression) -> Value {
        switch expression.kind {
        case .literal(.int(let value)): return .number(Double(value))
        case .literal(.double(let value)): return .number(value)
        case .literal(.text(let value)): return .text(value)
        case .literal(.null): return .unknown(isNaN: false)
        case .truth(let value): return .truth(value)
        case .name(let name): return named(name)
        case .negate(let inner): return arithmetic(inner, inner) { a, _ in -a }
        case .not(let inner):
            if case .truth(let value) = condition(inner) { return .truth(!value) }
            return .unknown(isNaN: false)
        case .and(let left, let right): return join(left, right, decisive: false)
        case .or(let left, let right): return join(left, right, decisive: true)
        case .compare(let comparison, let left, let right):
            if case .name("epoch") = left.kind, case .name(let word) = right.kind, ["last", "best"].contains(word) {
                let holds = word == "last" ? row.isLast : row.isBest
                return .truth(holds == (comparison == .equal))
            }
            return compare(comparison, evaluate(left), evaluate(right))
        case .arithmetic(let operation, let left, let right):
            return arithmetic(left, right) { a, b in
                switch operation {
                case .add: a + b
                case .subtract: a - b
                case .multiply: a * b
                case .divide: b == 0 ? .nan : a / b
                }
            }
        case .isIn(let value, let list):
            var result = Value.truth(false)
            for element in list {
                let one = compare(.equal, evaluate(value), evaluate(element))
                if case .truth(true) = one { return one }
                if case .unknown = one { result = one }
            }
            return result
        case .between(let value, let low, let high):
            return all(
                compare(.greaterOrEqual, evaluate(value), evaluate(low)),
                compare(.lessOrEqual, evaluate(value), evaluate(high)), decisive: false)
        case .matches(_, let left, let right):
            guard case .text(let text) = asText(evaluate(left)), case .text(let part) = asText(evaluate(right)) else {
                return .unknown(isNaN: false)
            }
            return .truth(text.contains(part))
        case .isNull(let inner):
            switch evaluate(inner) {
            case .unknown(let isNaN): return .truth(!isNaN)
            case .config(let value): return .truth(value == nil || value == .null)
            default: return .truth(false)
            }
        case .isNaN(let inner):
            if case .unknown(isNaN: true) = evaluate(inner) { return .truth(true) }
            return .truth(false)
        case .call(_, let arguments): return arithmetic(arguments[0], arguments[0]) { a, _ in abs(a) }
        }
    }

    private func named(_ name: String) -> Value {
        func number(_ value: Double?) -> Value {
            value.map { $0.isNaN ? .unknown(isNaN: true) : .number($0) } ?? .unknown(isNaN: false)
        }
        switch name {
        case "epoch": return number(row.checkpoint.epoch.map(Double.init))
        case "id": return .number(Double(row.id))
        case "train_loss": return number(row.values.trainLoss)
        case "train_accuracy": return number(row.values.trainAccuracy)
        case "val_accuracy": return number(row.values.valAccuracy)
        case "test_loss": return number(row.values.testLoss)
        case "test_accuracy": return number(row.values.testAccuracy)
        case "ggap":
            guard let train = row.values.trainAccuracy, let test = row.values.testAccuracy else {
                let isNaN = row.values.trainAccuracy?.isNaN == true || row.values.testAccuracy?.isNaN == true
                return .unknown(isNaN: isNaN)
            }
            return number(train - test)
        case "bytes": return .number(Double(row.checkpoint.byteCount))
        case "grad_norm": return number(row.extras["grad_norm"])
        case "hessian_trace": return number(row.trace)
        case "architecture": return row.model.architecture.map { .text($0) } ?? .unknown(isNaN: false)
        case "model": return .text(row.model.name)
        case "zoo": return .text(row.zoo)
        case "diverged": return .truth(row.model.flags.contains(.diverged))
        case "@last": return .truth(row.isLast)
        case "@best": return .truth(row.isBest)
        case "lr", "optim::lr": return .config(row.model.config["optim::lr"])
        case "width": return .config(row.model.config["model::width"] ?? row.model.config["width"])
        case "nlin": return .config(row.model.config["model::nlin"])
        default: return .config(row.model.config[name])
        }
    }

    private func asNumber(_ value: Value) -> Value {
        guard case .config(let json) = value else { return value }
        if case .bool(let truth)? = json { return .number(truth ? 1 : 0) }
        return json?.double.map { .number($0) } ?? .unknown(isNaN: false)
    }

    private func asText(_ value: Value) -> Value {
        guard case .config(let json) = value else { return value }
        return json?.string.map { .text($0) } ?? .unknown(isNaN: false)
    }

    private func compare(_ comparison: ZooCatalog.Expression.Comparison, _ left: Value, _ right: Value) -> Value {
        let pairs: [(Value, Value)]
        switch (left, right) {
        case (.config, .config): pairs = [(asNumber(left), asNumber(right)), (asText(left), asText(right))]
        case (.config, .text): pairs = [(asText(left), right)]
        case (.text, .config): pairs = [(left, asText(right))]
        default: pairs = [(asNumber(left), asNumber(right))]
        }
        for (a, b) in pairs {
            switch (a, b) {
            case (.number(let a), .number(let b)): return .truth(test(comparison, a, b))
            case (.text(let a), .text(let b)): return .truth(test(comparison, a, b))
            case (.truth(let a), .truth(let b)): return .truth(test(comparison, a ? 1 : 0, b ? 1 : 0))
            case (.number(let a), .truth(let b)): return .truth(test(comparison, a, b ? 1 : 0))
            case (.truth(let a), .number(let b)): return .truth(test(comparison, a ? 1 : 0, b))
            default: continue
            }
        }
        return .unknown(isNaN: false)
    }

    private func test<T: Comparable>(_ comparison: ZooCatalog.Expression.Comparison, _ a: T, _ b: T) -> Bool {
        switch comparison {
        case .equal: a == b
        case .unequal: a != b
        case .less: a < b
        case .lessOrEqual: a <= b
        case .greater: a > b
        case .greaterOrEqual: a >= b
        }
    }

    private func arithmetic(
        _ left: ZooCatalog.Expression, _ right: ZooCatalog.Expression, _ operation: (Double, Double) -> Double
    ) -> Value {
        let (a, b) = (asNumber(evaluate(left)), asNumber(evaluate(right)))
        guard case .number(let first) = a, case .number(let second) = b else {
            for side in [a, b] { if case .unknown(isNaN: true) = side { return side } }
            return .unknown(isNaN: false)
        }
        let result = operation(first, second)
        return result.isNaN ? .unknown(isNaN: false) : .number(result)
    }

    private func join(
        _ left: ZooCatalog.Expression, _ right: ZooCatalog.Expression, decisive: Bool
    ) -> Value {
        all(condition(left), condition(right), decisive: decisive)
    }

    private func all(_ left: Value, _ right: Value, decisive: Bool) -> Value {
        for side in [left, right] { if case .truth(decisive) = side { return side } }
        guard case .truth = left, case .truth = right else { return .unknown(isNaN: false) }
        return .truth(!decisive)
    }
}
