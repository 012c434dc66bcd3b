#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

extension Unary {
    /// The function's value in Float64: what the reference executor computes and constants are folded with.
    func value(at x: Double) -> Double {
        switch self {
        case .exp: cExp(x)
        case .log: cLog(x)
        case .tanh: cTanh(x)
        case .sigmoid: logistic(x)
        case .softplus: max(x, 0) + log1p(cExp(-x.magnitude))
        case .relu: x > 0 ? x : (x.isNaN ? x : 0)
        case .abs: x.magnitude
        case .sign: x > 0 ? 1 : (x < 0 ? -1 : 0)
        case .sqrt: x.squareRoot()
        case .rsqrt: 1 / x.squareRoot()
        case .reciprocal: 1 / x
        case .square: x * x
        case .erf: cErf(x)
        case .sin: cSin(x)
        case .cos: cCos(x)
        case .affine(let scale, let offset): scale * x + offset
        case .power(let exponent): pow(x, exponent)
        case .oneMinusSquare: 1 - x * x
        case .logisticSlope: x * (1 - x)
        case .gelu(let order): geluDerivative(order, x)
        case .swish(let beta, let order): swishDerivative(beta, order, x)
        }
    }
}

// The enum's cases hide the C functions of the same names inside the extension.
private func cExp(_ x: Double) -> Double { exp(x) }
private func cLog(_ x: Double) -> Double { log(x) }
private func cTanh(_ x: Double) -> Double { tanh(x) }
private func cErf(_ x: Double) -> Double { erf(x) }
private func cSin(_ x: Double) -> Double { sin(x) }
private func cCos(_ x: Double) -> Double { cos(x) }

private func logistic(_ x: Double) -> Double {
    let decayed = exp(-x.magnitude)
    return (x >= 0 ? 1 : decayed) / (1 + decayed)
}

/// Derivatives of x Φ(x): xΦ, Φ + xϕ, and from the second on ϕ times a polynomial with P₂ = 2 − x² and
/// Pₖ₊₁ = Pₖ′ − x Pₖ.
private func geluDerivative(_ order: Int, _ x: Double) -> Double {
    let cumulative = 0.5 * erfc(-x / 2.0.squareRoot())
    let density = exp(-0.5 * x * x) / (2 * Double.pi).squareRoot()
    if order == 0 { return x * cumulative }
    if order == 1 { return cumulative + x * density }
    var polynomial: [Double] = [2, 0, -1]
    for _ in 2..<order {
        polynomial = sum(differentiated(polynomial), [0] + polynomial.map { -$0 })
    }
    return density * evaluated(polynomial, x)
}

/// Derivatives of x σ(βx): x s⁽ᵏ⁾ + k s⁽ᵏ⁻¹⁾, where derivatives of s = σ(βx) are βᵏ times polynomials in s.
private func swishDerivative(_ beta: Double, _ order: Int, _ x: Double) -> Double {
    let s = logistic(beta * x)
    var polynomial: [Double] = [0, 1]
    var previous = 0.0
    for _ in 0..<order {
        previous = evaluated(polynomial, s)
        let slope = differentiated(polynomial)
        polynomial = sum([0] + slope, [0, 0] + slope.map { -$0 }).map { beta * $0 }
    }
    return x * evaluated(polynomial, s) + Double(order) * previous
}

private func differentiated(_ polynomial: [Double]) -> [Double] {
    polynomial.enumerated().dropFirst().map { Double($0) * $1 }
}

private func evaluated(_ polynomial: [Double], _ x: Double) -> Double {
    polynomial.reversed().reduce(0) { $0 * x + $1 }
}

private func sum(_ a: [Double], _ b: [Double]) -> [Double] {
    (0..<max(a.count, b.count)).map { ($0 < a.count ? a[$0] : 0) + ($0 < b.count ? b[$0] : 0) }
}
