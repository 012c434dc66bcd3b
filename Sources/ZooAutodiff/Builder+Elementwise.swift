import ZooBase
import ZooTensor

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Element-by-element arithmetic. Extents of one are repeated, aligned at the last axis (NumPy's rule).
extension ProgramBuilder {
    /// a + b.
    public func add(_ a: Value, _ b: Value) throws -> Value {
        if let number = fillNumber(a), let shape = broadcastShape(a.shape, b.shape) {
            return try affine(broadcast(b, to: shape), offset: number)
        }
        if let number = fillNumber(b), let shape = broadcastShape(a.shape, b.shape) {
            return try affine(broadcast(a, to: shape), offset: number)
        }
        if let negated = negation(b) { return try binary(.subtract, a, negated, "add") }
        if let negated = negation(a) { return try binary(.subtract, b, negated, "add") }
        return try binary(.add, a, b, "add")
    }

    /// a − b.
    public func subtract(_ a: Value, _ b: Value) throws -> Value {
        if let number = fillNumber(b) { return try add(a, fill(-number, b.shape)) }
        if let number = fillNumber(a) { return try add(affine(b, scale: -1), fill(number, a.shape)) }
        if let negated = negation(b) { return try binary(.add, a, negated, "subtract") }
        return try binary(.subtract, a, b, "subtract")
    }

    /// a · b, element by element.
    public func multiply(_ a: Value, _ b: Value) throws -> Value {
        if let number = fillNumber(a), let shape = broadcastShape(a.shape, b.shape) {
            return try affine(broadcast(b, to: shape), scale: number)
        }
        if let number = fillNumber(b), let shape = broadcastShape(a.shape, b.shape) {
            return try affine(broadcast(a, to: shape), scale: number)
        }
        if a == b { return unary(.square, a) }
        return try binary(.multiply, a, b, "multiply")
    }

    /// a / b, element by element.
    public func divide(_ a: Value, _ b: Value) throws -> Value {
        if let number = fillNumber(b) { return try multiply(a, fill(1 / number, b.shape)) }
        if fillNumber(a) != nil { return try multiply(a, reciprocal(b)) }
        return try binary(.divide, a, b, "divide")
    }

    /// The larger of a and b; the derivative goes to b on ties.
    public func maximum(_ a: Value, _ b: Value) throws -> Value { try binary(.maximum, a, b, "maximum") }

    /// One where a > b, else zero; its derivative is zero.
    public func greater(_ a: Value, _ b: Value) throws -> Value { try binary(.greater, a, b, "greater") }

    /// a where b > 0, else zero; linear in a, constant in b.
    package func gate(_ a: Value, by b: Value) throws -> Value { try binary(.gate, a, b, "gate") }

    /// scale · x + offset.
    public func affine(_ x: Value, scale: Double = 1, offset: Double = 0) -> Value {
        unary(.affine(scale, offset), x)
    }

    /// eˣ.
    public func exp(_ x: Value) -> Value { unary(.exp, x) }
    /// Natural logarithm.
    public func log(_ x: Value) -> Value { unary(.log, x) }
    /// Hyperbolic tangent.
    public func tanh(_ x: Value) -> Value { unary(.tanh, x) }
    /// 1 / (1 + e⁻ˣ).
    public func sigmoid(_ x: Value) -> Value { unary(.sigmoid, x) }
    /// log(1 + eˣ), without overflow.
    public func softplus(_ x: Value) -> Value { unary(.softplus, x) }
    /// max(x, 0); derivative zero at zero.
    public func relu(_ x: Value) -> Value { unary(.relu, x) }
    /// x where positive, slope · x elsewhere.
    public func leakyRelu(_ x: Value, slope: Double = 0.01) throws -> Value {
        try subtract(relu(x), affine(relu(affine(x, scale: -1)), scale: slope))
    }
    /// |x|; derivative zero at zero.
    public func abs(_ x: Value) -> Value { unary(.abs, x) }
    /// √x.
    public func sqrt(_ x: Value) -> Value { unary(.sqrt, x) }
    /// 1 / √x.
    public func rsqrt(_ x: Value) -> Value { unary(.rsqrt, x) }
    /// 1 / x.
    public func reciprocal(_ x: Value) -> Value { unary(.reciprocal, x) }
    /// x².
    public func square(_ x: Value) -> Value { unary(.square, x) }
    /// xᵖ for a fixed p.
    public func power(_ x: Value, _ exponent: Double) -> Value { unary(.power(exponent), x) }
    /// The error function.
    public func erf(_ x: Value) -> Value { unary(.erf, x) }
    /// Sine.
    public func sin(_ x: Value) -> Value { unary(.sin, x) }
    /// Cosine.
    public func cos(_ x: Value) -> Value { unary(.cos, x) }
    /// x Φ(x): GELU with the error function.
    public func gelu(_ x: Value) -> Value { unary(.gelu(0), x) }
    /// x σ(x): SiLU, also called swish.
    public func silu(_ x: Value) -> Value { unary(.swish(1, 0), x) }
    /// x σ(1.702 x): the "quick" GELU of CLIP.
    public func quickGelu(_ x: Value) -> Value { unary(.swish(1.702, 0), x) }
    /// GELU by its tanh approximation, as GPT-2 uses it: x σ(2 √(2/π) (x + 0.044715 x³)).
    public func geluTanh(_ x: Value) throws -> Value {
        let slope = 2 * (2 / Double.pi).squareRoot()
        let inner = try multiply(x, affine(square(x), scale: slope * 0.044715, offset: slope))
        return try multiply(x, sigmoid(inner))
    }

    // MARK: Emission with folding

    func unary(_ function: Unary, _ x: Value) -> Value {
        if let number = fillNumber(x) { return fill(function.value(at: number), x.shape) }
        guard case .affine(let scale, let offset) = function else { return emit(.unary(function), [x.id], x.shape) }
        if scale == 1, offset == 0 { return x }
        if scale == 0 { return fill(offset, x.shape) }
        if case .unary(.affine(let innerScale, let innerOffset)) = instructions[x.id].operation {
            let source = value(instructions[x.id].operands[0])
            return affine(source, scale: scale * innerScale, offset: scale * innerOffset + offset)
        }
        return emit(.unary(function), [x.id], x.shape)
    }

    /// The y of a value that is −y.
    private func negation(_ x: Value) -> Value? {
        guard case .unary(.affine(-1, 0)) = instructions[x.id].operation else { return nil }
        return value(instructions[x.id].operands[0])
    }

    private func binary(_ function: Binary, _ a: Value, _ b: Value, _ name: String) throws -> Value {
        guard let shape = broadcastShape(a.shape, b.shape) else {
            throw misfit(name, "shapes \(a.shape) and \(b.shape) do not combine")
        }
        let left = unbroadcast(a, beside: b, shape)
        let right = unbroadcast(b, beside: left, shape)
        return emit(.binary(function), [left.id, right.id], shape)
    }

    /// The source of a broadcast where the operation itself would repeat it just as well.
    private func unbroadcast(_ x: Value, beside other: Value, _ shape: Shape) -> Value {
        guard case .broadcast = instructions[x.id].operation else { return x }
        let source = value(instructions[x.id].operands[0])
        return broadcastShape(source.shape, other.shape) == shape ? source : x
    }
}
