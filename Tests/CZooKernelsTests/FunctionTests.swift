import CZooKernels
import Foundation
import Testing
import ZooTestSupport

/// sigmoid and its derivatives in Float64.
private func sigmoid(_ v: Double) -> [Double] {
    let e = exp(-v.magnitude), s = v >= 0 ? 1 / (1 + e) : e / (1 + e)
    let slope = e / ((1 + e) * (1 + e)), tilt = (v > 0 ? 1 : -1) * (1 - e) / (1 + e)
    return [s, slope, -slope * tilt, slope * (1 - 6 * slope)]
}

/// x * h(x) from the derivatives of h, by Leibniz.
private func timesX(_ x: Double, _ h: [Double]) -> [Double] {
    [x * h[0], h[0] + x * h[1], 2 * h[1] + x * h[2], 3 * h[2] + x * h[3]]
}

private let functions: [(name: String, function: zoo_function, jet: @Sendable (Double) -> [Double])] = [
    ("relu", ZOO_FUNCTION_RELU, { [max($0, 0), $0 > 0 ? 1 : 0, 0, 0] }),
    (
        "tanh", ZOO_FUNCTION_TANH,
        { x in
            let t = tanh(x), e = exp(-2 * x.magnitude), s = 4 * e / ((1 + e) * (1 + e))
            return [t, s, -2 * t * s, s * (4 * t * t - 2 * s)]
        }
    ),
    ("sigmoid", ZOO_FUNCTION_SIGMOID, sigmoid),
    (
        "gelu", ZOO_FUNCTION_GELU,
        { x in
            let c = min(max(x, -50), 50), phi = exp(-c * c / 2) / (2 * Double.pi).squareRoot()
            let below = erfc(-c * 0.5.squareRoot()) / 2
            return [x < -50 ? 0 : x * below, below + c * phi, phi * (2 - c * c), phi * c * (c * c - 4)]
        }
    ),
    (
        "gelu_tanh", ZOO_FUNCTION_GELU_TANH,
        { x in
            let c = min(max(x, -50), 50), a = 2 * (2 / Double.pi).squareRoot(), b = 0.044715 * a
            let v1 = a + 3 * b * c * c, v2 = 6 * b * c, s = sigmoid(a * c + b * c * c * c)
            let h = [
                s[0], s[1] * v1, s[2] * v1 * v1 + s[1] * v2,
                s[3] * v1 * v1 * v1 + 3 * s[2] * v1 * v2 + s[1] * 6 * b,
            ]
            return [x > 0 ? x * h[0] : c * h[0]] + timesX(c, h)[1...]
        }
    ),
    (
        "gelu_quick", ZOO_FUNCTION_GELU_QUICK,
        { x in
            let c = min(max(x, -500), 500), a = 1.702, s = sigmoid(a * c)
            let h = [s[0], a * s[1], a * a * s[2], a * a * a * s[3]]
            return [x > 0 ? x * h[0] : c * h[0]] + timesX(c, h)[1...]
        }
    ),
    (
        "silu", ZOO_FUNCTION_SILU,
        { x in
            let c = min(max(x, -800), 800), h = sigmoid(c)
            return [x > 0 ? x * h[0] : c * h[0]] + timesX(c, h)[1...]
        }
    ),
    ("exp", ZOO_FUNCTION_EXP, { Array(repeating: exp($0), count: 4) }),
    ("log", ZOO_FUNCTION_LOG, { [log($0), 1 / $0, -1 / ($0 * $0), 2 / ($0 * $0 * $0)] }),
    (
        "sqrt", ZOO_FUNCTION_SQRT,
        { x in
            let s = x.squareRoot()
            return [s, 0.5 / s, -0.25 / (s * x), 0.375 / (s * x * x)]
        }
    ),
    (
        "rsqrt", ZOO_FUNCTION_RSQRT,
        { x in
            let s = x.squareRoot()
            return [1 / s, -0.5 / (s * x), 0.75 / (s * x * x), -1.875 / (s * x * x * x)]
        }
    ),
    (
        "erf", ZOO_FUNCTION_ERF,
        { x in
            let c = min(max(x, -50), 50), slope = 2 / Double.pi.squareRoot() * exp(-c * c)
            return [erf(x), slope, -2 * c * slope, (4 * c * c - 2) * slope]
        }
    ),
    ("sin", ZOO_FUNCTION_SIN, { [sin($0), cos($0), -sin($0), -cos($0)] }),
    ("cos", ZOO_FUNCTION_COS, { [cos($0), -sin($0), -cos($0), sin($0)] }),
    (
        "softplus", ZOO_FUNCTION_SOFTPLUS,
        { x in [max(x, 0) + log1p(exp(-x.magnitude))] + sigmoid(x)[0..<3] }
    ),
    (
        "reciprocal", ZOO_FUNCTION_RECIPROCAL,
        { x in [1 / x, -1 / (x * x), 2 / (x * x * x), -6 / (x * x * x * x)] }
    ),
    ("abs", ZOO_FUNCTION_ABS, { [$0.magnitude, $0 > 0 ? 1 : $0 < 0 ? -1 : 0, 0, 0] }),
]

@Suite struct FunctionTests {
    /// Every 100,003rd bit pattern (all exponents, both signs), and the interval where networks live.
    private static let inputs: [Float] = {
        var generator = SeededGenerator(seed: 5)
        let patterns = stride(from: UInt32(0), to: .max - 200_000, by: 100_003).map { Float(bitPattern: $0) }
        let special: [Float] = [
            0, -0.0, .infinity, -.infinity, .nan, .leastNonzeroMagnitude, -.leastNonzeroMagnitude,
            .leastNormalMagnitude, .greatestFiniteMagnitude, -.greatestFiniteMagnitude, 88.72284, 88.8, -87.4, -103.9,
            -104.1, 1, -1, 0.625, -0.625,
        ]
        return special + patterns + (0..<20_003).map { _ in Float.random(in: -12...12, using: &generator) }
    }()

    @Test(arguments: functions.indices) func valuesAndDerivativesAreAccurate(_ index: Int) {
        let (name, function, jet) = functions[index]
        let x = Floats(Self.inputs), count = x.count
        let truths = x.values.map { jet(Double($0)) }
        withEachVariant { variant in
            for order in 0...3 {
                let y = Floats(count)
                zoo_apply(function, Int32(order), count, x.pointer, nil, y.pointer, 0)
                var floor: Float = 0
                let multiple = Double(zoo_function_error(function, Int32(order), &floor)) * 0x1p-24
                for i in 0..<count where !x[i].isNaN {
                    let truth = truths[i][order], rounded = Float(truth), found = y[i]
                    if truth.isNaN || rounded.isInfinite || found.isInfinite || found.isNaN {
                        // Overflow may come one rounding early or late.
                        let same = (truth.isNaN && found.isNaN) || found == rounded
                        let near = truth.magnitude > 3.4e38 && found.magnitude > 3.4e38
                        #expect(same || (near && (truth < 0) == (found < 0)), "\(variant) \(name) \(order) at \(x[i])")
                        continue
                    }
                    let bound = multiple * (truth.magnitude + Double(floor)) + Double(Float.leastNonzeroMagnitude)
                    let good = (Double(found) - truth).magnitude <= bound
                    #expect(good, "\(variant) \(name) \(order) at \(x[i]): \(found), not \(truth)")
                    if !good { return }
                }
            }
        }
    }

    @Test func notANumberStaysSo() {
        withEachVariant { variant in
            for (name, function, _) in functions {
                for order in 0...3 {
                    var x = Float.nan, y: Float = 0
                    zoo_apply(function, Int32(order), 1, &x, nil, &y, 0)
                    let constant = (name == "relu" && order > 0) || (name == "abs" && order > 1)
                    #expect(y.isNaN || constant, "\(variant) \(name) \(order)")
                    if name == "relu", order == 1 { #expect(y == 1) }
                }
            }
        }
    }

    @Test func limitsAtInfinityAreExact() {
        let expected: [(zoo_function, Float, Float)] = [
            (ZOO_FUNCTION_RELU, 0, .infinity), (ZOO_FUNCTION_TANH, -1, 1), (ZOO_FUNCTION_SIGMOID, 0, 1),
            (ZOO_FUNCTION_GELU, 0, .infinity), (ZOO_FUNCTION_GELU_TANH, 0, .infinity),
            (ZOO_FUNCTION_GELU_QUICK, 0, .infinity), (ZOO_FUNCTION_SILU, 0, .infinity),
            (ZOO_FUNCTION_EXP, 0, .infinity), (ZOO_FUNCTION_ERF, -1, 1), (ZOO_FUNCTION_SOFTPLUS, 0, .infinity),
        ]
        withEachVariant { variant in
            for (function, low, high) in expected {
                var x: [Float] = [-.infinity, .infinity], y: [Float] = [5, 5]
                zoo_apply(function, 0, 2, &x, nil, &y, 0)
                #expect(y[0] == low && y[1] == high, "\(variant) \(function) \(y)")
                zoo_apply(function, 1, 2, &x, nil, &y, 0)
                #expect(y[0] == 0 || function == ZOO_FUNCTION_EXP, "\(variant) \(function) \(y)")
            }
        }
    }

    @Test func factorsTailsAndPlacesAgree() {
        var generator = SeededGenerator(seed: 6)
        withEachVariant { variant in
            for count in [0, 1, 15, 16, 17, 47, 100] {
                let x = Floats(random: count, &generator), g = Floats(random: count, &generator)
                let value = Floats(count), sum = Floats(g.values), product = Floats(count)
                zoo_apply(ZOO_FUNCTION_GELU, 1, count, x.pointer, nil, value.pointer, 0)
                zoo_apply(ZOO_FUNCTION_GELU, 1, count, x.pointer, g.pointer, product.pointer, 0)
                zoo_apply(ZOO_FUNCTION_GELU, 1, count, x.pointer, g.pointer, sum.pointer, Int32(ZOO_ADD))
                for i in 0..<count {
                    #expect(product[i] == value[i] * g[i])
                    #expect((sum[i] - (g[i] + product[i])).magnitude < 1e-6)
                }
                let place = Floats(x.values)
                zoo_apply(ZOO_FUNCTION_GELU, 1, count, place.pointer, g.pointer, place.pointer, 0)
                #expect(place.values == product.values, "\(variant)")
                // A single element is computed as it is among others.
                for i in 0..<count {
                    var one: Float = 0
                    zoo_apply(ZOO_FUNCTION_GELU, 1, 1, x.pointer + i, nil, &one, 0)
                    #expect(one == value[i])
                }
            }
            var x: Float = -1, g = Float.infinity, y: Float = 3
            zoo_apply(ZOO_FUNCTION_RELU, 1, 1, &x, &g, &y, 0)
            #expect(y == 0)
        }
    }

    @Test func simpleLoops() {
        var generator = SeededGenerator(seed: 7)
        withEachVariant { _ in
            for count in [0, 1, 7, 16, 33, 200] {
                let x = Floats(random: count, &generator), y = Floats(random: count, &generator)
                let w = Floats(random: count, &generator), z = Floats(count)
                zoo_add(count, x.pointer, y.pointer, z.pointer)
                #expect(z.values == (0..<count).map { x[$0] + y[$0] })
                zoo_subtract(count, x.pointer, y.pointer, z.pointer)
                #expect(z.values == (0..<count).map { x[$0] - y[$0] })
                zoo_divide(count, x.pointer, y.pointer, z.pointer)
                #expect(z.values == (0..<count).map { x[$0] / y[$0] })
                zoo_multiply(count, x.pointer, y.pointer, z.pointer, 0)
                #expect(z.values == (0..<count).map { x[$0] * y[$0] })
                zoo_multiply(count, x.pointer, y.pointer, z.pointer, Int32(ZOO_ADD))
                #expect(worst(z, (0..<count).map { 2 * Double(x[$0]) * Double(y[$0]) }) < 1e-6)
                let inner = (0..<count).reduce(0) { $0 + Double(x[$1]) * Double(y[$1]) * Double(w[$1]) }
                #expect((zoo_inner(count, x.pointer, y.pointer, w.pointer) - inner).magnitude < 1e-12)
                let sum = (0..<count).reduce(0) { $0 + Double(x[$1]) }
                #expect((zoo_inner(count, x.pointer, nil, nil) - sum).magnitude < 1e-12)
                let before = y.values
                zoo_axpby(count, 2, x.pointer, -3, y.pointer)
                #expect(worst(y, (0..<count).map { 2 * Double(x[$0]) - 3 * Double(before[$0]) }) < 1e-6)
            }
        }
    }
}
