import ZooTensor

/// The derivative of a primitive in one operand: a linear map and its transpose, both written in primitives.
struct LinearMap {
    /// Tangent of the operand to its share of the tangent of the result.
    let push: (Value) throws -> Value
    /// Cotangent of the result to its share of the cotangent of the operand.
    let pull: (Value) throws -> Value

    /// A map that is its own transpose.
    static func symmetric(_ map: @escaping (Value) throws -> Value) -> LinearMap { LinearMap(push: map, pull: map) }
}

/// The table of rules: for each primitive, one linear map per operand. Everything the engine knows about derivatives.
extension ProgramBuilder {
    /// The derivative of an instruction in each operand; nil where it is zero everywhere (or operands are integers).
    func rule(of id: Int) throws -> [LinearMap?] {
        let instruction = instructions[id]
        let operands = instruction.operands
        let y = value(id)
        func real(_ place: Int) -> Value { value(operands[place]) }
        func integers(_ place: Int) -> Indices { Indices(id: operands[place], shape: real(place).shape) }

        switch instruction.operation {
        case .input, .fill, .constant, .argmax, .windowArgmax, .agree, .fused:
            return operands.map { _ in nil }
        case .unary(let function):
            return [slope(of: function, at: real(0), y)]
        case .binary(let function):
            return try slopes(of: function, real(0), real(1), y)
        case .sum, .broadcast:
            let from = real(0).shape
            let widens = instruction.operation == .broadcast
            return [
                LinearMap(
                    push: { try widens ? self.broadcast($0, to: y.shape) : self.sum($0, to: y.shape) },
                    pull: { try widens ? self.sum($0, to: from) : self.broadcast($0, to: from) })
            ]
        case .reshape:
            let from = real(0).shape.dimensions
            return [
                LinearMap(push: { try self.reshape($0, y.shape.dimensions) }, pull: { try self.reshape($0, from) })
            ]
        case .transpose(let order):
            let back = order.indices.map { place in order.firstIndex(of: place) ?? place }
            return [LinearMap(push: { try self.transpose($0, order) }, pull: { try self.transpose($0, back) })]
        case .slice(let starts):
            let from = real(0).shape
            return [
                LinearMap(
                    push: { self.slice($0, starts: starts, y.shape) }, pull: { self.pad($0, starts: starts, from) })
            ]
        case .pad(let starts):
            let from = real(0).shape
            return [
                LinearMap(
                    push: { self.pad($0, starts: starts, y.shape) }, pull: { self.slice($0, starts: starts, from) })
            ]
        case .concatenate(let axis):
            return placements(of: operands.map { value($0) }, axis, y)
        case .matmul(let form):
            return products(form, real(0), real(1))
        case .convolution(let face, let form):
            return products(face, form, real(0), real(1))
        case .windowSum(let windows), .windowSpread(let windows):
            let from = real(0).shape
            var gathers = false
            if case .windowSum = instruction.operation { gathers = true }
            func map(_ x: Value, _ gathers: Bool, _ shape: Shape) -> Value {
                gathers ? windowSum(x, windows) : windowSpread(x, windows, onto: shape)
            }
            return [LinearMap(push: { map($0, gathers, y.shape) }, pull: { map($0, !gathers, from) })]
        case .windowTake(let windows):
            let index = integers(1), from = real(0).shape
            return [
                LinearMap(
                    push: { self.windowTake($0, index, windows) },
                    pull: { self.windowPut($0, index, windows, onto: from) }), nil,
            ]
        case .windowPut(let windows):
            let index = integers(1)
            return [
                LinearMap(
                    push: { self.windowPut($0, index, windows, onto: y.shape) },
                    pull: { self.windowTake($0, index, windows) }), nil,
            ]
        case .take(let axis):
            let index = integers(1), extent = real(0).shape[axis]
            return [
                LinearMap(
                    push: { try self.take($0, index, axis: axis) },
                    pull: { self.put($0, index, axis: axis, extent: extent) }), nil,
            ]
        case .put(let axis):
            let index = integers(1)
            return [
                LinearMap(
                    push: { self.put($0, index, axis: axis, extent: y.shape[axis]) },
                    pull: { try self.take($0, index, axis: axis) }), nil,
            ]
        case .gatherRows:
            let index = integers(1), table = real(0).shape
            return [
                LinearMap(
                    push: { try self.gatherRows($0, index) },
                    pull: { self.scatterRows($0, index, table: table) }), nil,
            ]
        case .scatterRows:
            let index = integers(1)
            return [
                LinearMap(
                    push: { self.scatterRows($0, index, table: y.shape) },
                    pull: { try self.gatherRows($0, index) }), nil,
            ]
        case .softmax(let axis):
            // The Jacobian diag(s) − s sᵀ is symmetric.
            return [
                .symmetric { t in
                    let weighted = try self.multiply(y, t)
                    let mean = try self.sum(weighted, axes: [axis], keepingAxes: true)
                    return try self.subtract(weighted, self.multiply(y, mean))
                }
            ]
        case .logSumExp(let axis):
            let weights = try softmax(real(0), axis: axis)
            return [
                LinearMap(
                    push: { try self.sum(self.multiply(weights, $0), axes: [axis], keepingAxes: true) },
                    pull: { try self.multiply(weights, $0) })
            ]
        }
    }

    // MARK: Element by element

    private func slope(of function: Unary, at x: Value, _ y: Value) -> LinearMap? {
        func times(_ factor: Value) -> LinearMap { .symmetric { try self.multiply($0, factor) } }
        switch function {
        case .sign: return nil
        case .affine(let scale, _): return .symmetric { self.affine($0, scale: scale) }
        case .relu: return .symmetric { try self.gate($0, by: y) }
        case .exp: return times(y)
        case .log: return times(reciprocal(x))
        case .tanh: return times(unary(.oneMinusSquare, y))
        case .sigmoid: return times(unary(.logisticSlope, y))
        case .softplus: return times(sigmoid(x))
        case .abs: return times(unary(.sign, x))
        case .sqrt: return times(affine(reciprocal(y), scale: 0.5))
        case .rsqrt: return times(affine(power(y, 3), scale: -0.5))
        case .reciprocal: return times(affine(square(y), scale: -1))
        case .square: return times(affine(x, scale: 2))
        case .power(let exponent): return times(affine(power(x, exponent - 1), scale: exponent))
        case .erf: return times(affine(exp(affine(square(x), scale: -1)), scale: 2 / Double.pi.squareRoot()))
        case .sin: return times(cos(x))
        case .cos: return times(affine(sin(x), scale: -1))
        case .oneMinusSquare: return times(affine(x, scale: -2))
        case .logisticSlope: return times(affine(x, scale: -2, offset: 1))
        case .gelu(let order): return times(unary(.gelu(order + 1), x))
        case .swish(let beta, let order): return times(unary(.swish(beta, order + 1), x))
        }
    }

    private func slopes(of function: Binary, _ a: Value, _ b: Value, _ y: Value) throws -> [LinearMap?] {
        /// A factor applied to the operand's tangent, repeated as the operation repeats the operand.
        func map(_ operand: Value, _ factor: @escaping (Value) throws -> Value) -> LinearMap {
            LinearMap(
                push: { try self.broadcast(factor($0), to: y.shape) },
                pull: { try self.sum(factor($0), to: operand.shape) })
        }
        switch function {
        case .add: return [map(a) { $0 }, map(b) { $0 }]
        case .subtract: return [map(a) { $0 }, map(b) { self.affine($0, scale: -1) }]
        case .multiply: return [map(a) { try self.multiply($0, b) }, map(b) { try self.multiply($0, a) }]
        case .divide:
            let inverse = reciprocal(b)
            let slope = try affine(multiply(y, inverse), scale: -1)
            return [map(a) { try self.multiply($0, inverse) }, map(b) { try self.multiply($0, slope) }]
        case .maximum:
            let first = try greater(a, b)
            let second = affine(first, scale: -1, offset: 1)
            return [map(a) { try self.multiply($0, first) }, map(b) { try self.multiply($0, second) }]
        case .gate: return [map(a) { try self.gate($0, by: b) }, nil]
        case .greater: return [nil, nil]
        }
    }

    private func placements(of parts: [Value], _ axis: Int, _ y: Value) -> [LinearMap?] {
        var start = 0
        return parts.map { part in
            var starts = [Int](repeating: 0, count: y.shape.rank)
            starts[axis] = start
            start += part.shape[axis]
            return LinearMap(
                push: { self.pad($0, starts: starts, y.shape) }, pull: { self.slice($0, starts: starts, part.shape) })
        }
    }

    // MARK: Bilinear

    /// c = op(a) op(b): for each operand the product with the other one, and the two transposes.
    private func products(_ form: MatmulForm, _ a: Value, _ b: Value) -> [LinearMap?] {
        LeftRight(
            left: { t in
                form.transposeA
                    ? try self.fitted(b, t, form.transposeB, true, to: a.shape)
                    : try self.fitted(t, b, false, !form.transposeB, to: a.shape)
            },
            right: { t in
                form.transposeB
                    ? try self.fitted(t, a, true, form.transposeA, to: b.shape)
                    : try self.fitted(a, t, !form.transposeA, false, to: b.shape)
            }
        ).maps(pushLeft: { try self.matmul($0, b, form) }, pushRight: { try self.matmul(a, $0, form) })
    }

    /// A product summed over the batch axes that the shape does not have.
    private func fitted(_ a: Value, _ b: Value, _ transposeA: Bool, _ transposeB: Bool, to shape: Shape) throws -> Value
    {
        var form = MatmulForm(transposeA: transposeA, transposeB: transposeB)
        form.sumsBatch = shape.rank == 2 && max(a.shape.rank, b.shape.rank) > 2
        return try sum(matmul(a, b, form), to: shape)
    }

    private func products(_ face: ConvolutionFace, _ form: ConvolutionForm, _ a: Value, _ b: Value) -> [LinearMap?] {
        func emit(_ face: ConvolutionFace) -> (Value, Value) -> Value { { self.convolution(face, form, $0, $1) } }
        let same = emit(face)
        let output = emit(.output), image = emit(.inputGradient), weight = emit(.weightGradient)
        let maps: LeftRight =
            switch face {
            case .output: LeftRight(left: { image($0, b) }, right: { weight(a, $0) })
            case .inputGradient: LeftRight(left: { output($0, b) }, right: { weight($0, a) })
            case .weightGradient: LeftRight(left: { image(b, $0) }, right: { output(a, $0) })
            }
        return maps.maps(pushLeft: { same($0, b) }, pushRight: { same(a, $0) })
    }

    private struct LeftRight {
        let left: (Value) throws -> Value
        let right: (Value) throws -> Value

        func maps(
            pushLeft: @escaping (Value) throws -> Value, pushRight: @escaping (Value) throws -> Value
        ) -> [LinearMap?] {
            [LinearMap(push: pushLeft, pull: left), LinearMap(push: pushRight, pull: right)]
        }
    }
}
