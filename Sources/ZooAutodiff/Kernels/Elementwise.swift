import ZooTensor

/// A function of two numbers as a type, so that each becomes a loop of its own.
protocol PairFunction: SendableMetatype {
    static func of<S: KernelScalar>(_ a: S, _ b: S) -> S
}

enum Sum: PairFunction {
    @inline(__always) static func of<S: KernelScalar>(_ a: S, _ b: S) -> S { a + b }
}
enum Difference: PairFunction {
    @inline(__always) static func of<S: KernelScalar>(_ a: S, _ b: S) -> S { a - b }
}
enum Product: PairFunction {
    @inline(__always) static func of<S: KernelScalar>(_ a: S, _ b: S) -> S { a * b }
}
enum Quotient: PairFunction {
    @inline(__always) static func of<S: KernelScalar>(_ a: S, _ b: S) -> S { a / b }
}
enum Larger: PairFunction {
    @inline(__always) static func of<S: KernelScalar>(_ a: S, _ b: S) -> S { a > b ? a : b }
}
enum IsGreater: PairFunction {
    @inline(__always) static func of<S: KernelScalar>(_ a: S, _ b: S) -> S { a > b ? 1 : 0 }
}
enum Gated: PairFunction {
    @inline(__always) static func of<S: KernelScalar>(_ a: S, _ b: S) -> S { b > 0 ? a : 0 }
}

extension Kernels {
    static func binary(_ function: Binary, _ site: Site) -> Kernel {
        switch function {
        case .add: pairs(Sum.self, site)
        case .subtract: pairs(Difference.self, site)
        case .multiply: pairs(Product.self, site)
        case .divide: pairs(Quotient.self, site)
        case .maximum: pairs(Larger.self, site)
        case .greater: pairs(IsGreater.self, site)
        case .gate: pairs(Gated.self, site)
        }
    }

    /// Two operands with extents of one repeated. The innermost loop runs over contiguous or constant operands.
    @inline(__always)
    static func pairs<F: PairFunction>(_: F.Type, _ site: Site) -> Kernel {
        let loop = StridedLoop(
            extents: site.shape.dimensions,
            strides: site.operandShapes.map { repeatingStrides($0, over: site.shape) })
        let inner = loop.extent(fromInnermost: 0), middle = loop.extent(fromInnermost: 1)
        let aStep = loop.stride(0, fromInnermost: 0), bStep = loop.stride(1, fromInnermost: 0)
        let aRow = loop.stride(0, fromInnermost: 1), bRow = loop.stride(1, fromInnermost: 1)
        let offsets = loop.offsets(leaving: 2)
        let (left, right, output) = (site.operands[0], site.operands[1], site.output)
        return { buffers, _ in
            let a: UnsafePointer<S> = buffers.reals(left)
            let b: UnsafePointer<S> = buffers.reals(right)
            var y: UnsafeMutablePointer<S> = buffers.output(output)
            for place in offsets[0].indices {
                for row in 0..<middle {
                    let a = a + offsets[0][place] + row * aRow
                    let b = b + offsets[1][place] + row * bRow
                    if aStep == 1, bStep == 1 {
                        for index in 0..<inner { y[index] = F.of(a[index], b[index]) }
                    } else if aStep == 1 {
                        let number = b[0]
                        for index in 0..<inner { y[index] = F.of(a[index], number) }
                    } else {
                        let number = a[0]
                        for index in 0..<inner { y[index] = F.of(number, b[index * bStep]) }
                    }
                    y += inner
                }
            }
        }
    }

    /// A function of one number, evaluated as the reference does.
    static func unary(_ function: Unary, _ site: Site) -> Kernel {
        switch function {
        case .affine(let scale, let offset): each(site, Affine(scale: S(scale), offset: S(offset)))
        case .square: each(site, Square())
        case .oneMinusSquare: each(site, OneMinusSquare())
        case .logisticSlope: each(site, LogisticSlope())
        case .power(3): each(site, Cube())
        case .relu: each(site, Positive())
        case .sign: each(site, Sign())
        default: each(site, InDouble(function: function))
        }
    }

    static func each<F: PointFunction>(_ site: Site, _ function: F) -> Kernel where F.S == S {
        let (operand, output, count) = (site.operands[0], site.output, site.shape.elementCount)
        return { buffers, _ in
            let x: UnsafePointer<S> = buffers.reals(operand)
            let y: UnsafeMutablePointer<S> = buffers.output(output)
            for index in 0..<count { y[index] = function.of(x[index]) }
        }
    }
}

/// A function of one number as a type, so that each becomes a loop of its own.
protocol PointFunction: Sendable {
    associatedtype S: KernelScalar
    func of(_ x: S) -> S
}

struct Affine<S: KernelScalar>: PointFunction {
    let scale: S, offset: S
    @inline(__always) func of(_ x: S) -> S { scale * x + offset }
}
struct Square<S: KernelScalar>: PointFunction {
    @inline(__always) func of(_ x: S) -> S { x * x }
}
struct OneMinusSquare<S: KernelScalar>: PointFunction {
    @inline(__always) func of(_ x: S) -> S { 1 - x * x }
}
struct LogisticSlope<S: KernelScalar>: PointFunction {
    @inline(__always) func of(_ x: S) -> S { x * (1 - x) }
}
struct Cube<S: KernelScalar>: PointFunction {
    @inline(__always) func of(_ x: S) -> S { x * x * x }
}
struct Positive<S: KernelScalar>: PointFunction {
    @inline(__always) func of(_ x: S) -> S { x > 0 || x.isNaN ? x : 0 }
}
struct Sign<S: KernelScalar>: PointFunction {
    @inline(__always) func of(_ x: S) -> S { x > 0 ? 1 : (x < 0 ? -1 : 0) }
}
/// Any function by way of Float64.
struct InDouble<S: KernelScalar>: PointFunction {
    let function: Unary
    @inline(__always) func of(_ x: S) -> S { S(function.value(at: Double(x))) }
}
