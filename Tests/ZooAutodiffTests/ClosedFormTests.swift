import Testing
import ZooAutodiff
import ZooTensor

/// Losses whose Hessians are known by hand.
@Suite struct ClosedFormTests {
    /// Loss, gradient and full Hessian (one product per unit vector) of a scalar function of one parameter.
    private func landscape(
        at point: [Double], _ shape: Shape, indices: [String: [Int32]] = [:],
        _ loss: (ProgramBuilder, Value) throws -> Value
    ) throws -> (loss: Double, gradient: [Double], hessian: [[Double]]) {
        let b = ProgramBuilder()
        let theta = b.parameter("theta", shape), direction = b.direction("v", shape)
        let value = try loss(b, theta)
        let result = try b.hessianVectorProduct(of: value, withRespectTo: [theta], along: [direction])
        let executor = b.build([("loss", value), ("g", result.gradient[0]), ("hv", result.product[0])])
            .compiledReference().makeExecutor()
        var rows: [[Double]] = []
        var first: [[Double]] = []
        for axis in point.indices {
            var unit = point.map { _ in 0.0 }
            unit[axis] = 1
            first = try executor.evaluate(["theta": point, "v": unit], indices: indices)
            rows.append(first[2])
        }
        return (first[0][0], first[1], rows)
    }

    @Test func linearRegression() throws {
        func loss(_ b: ProgramBuilder, _ theta: Value) throws -> Value {
            let x = b.constant([1, 0, 1, 1, 1, 2, 1, 3], [4, 2]), y = b.constant([1, 2, 2, 4], [4, 1])
            return try b.average(b.meanSquaredError(b.matmul(x, theta), y))
        }
        let origin = try landscape(at: [0, 0], [2, 1], loss)
        #expect(origin.loss == 6.25)
        expectClose(origin.hessian.flatMap { $0 }, [2, 3, 3, 7], 1e-14, "Hessian")
        let minimum = try landscape(at: [0.9, 0.9], [2, 1], loss)
        expectClose([minimum.loss] + minimum.gradient, [0.175, 0, 0], 1e-14, "minimum")
    }

    @Test func logisticRegression() throws {
        let found = try landscape(at: [0.5, 1], [2, 1]) { b, theta in
            let x = b.constant([1, -2, 1, -1, 1, 1, 1, 2], [4, 2]), y = b.constant([0, 1, 0, 1], [4, 1])
            let z = try b.matmul(x, theta)
            return try b.mean(b.subtract(b.softplus(z), b.multiply(y, z)))
        }
        expectClose([found.loss], [0.7389483186], 1e-10, "loss")
        expectClose(found.gradient, [0.07542062, 0.2308666], 1e-7, "gradient")
        expectClose(
            found.hessian.flatMap { $0 }, [0.15085008, -0.06098568, -0.06098568, 0.31528771], 1e-8, "Hessian")
        #expect(abs(found.hessian[0][0] + found.hessian[1][1] - 0.4661377929) < 1e-10)
    }

    @Test func softmaxRegression() throws {
        let x: [[Double]] = [[1, 2], [0, 1], [3, -1]]
        let found = try landscape(at: [Double](repeating: 0, count: 6), [3, 2]) { b, theta in
            let logits = try b.linear(b.constant(x.flatMap { $0 }, [3, 2]), weight: theta)
            return try b.average(b.crossEntropy(logits, targets: b.constant([1, 0, 0, 0, 1, 0, 0, 0, 1], [3, 3])))
        }
        // H = (diag p − p pᵀ) ⊗ XᵀX / n with p = 1/3.
        for row in 0..<6 {
            for column in 0..<6 {
                let classes = (row / 2 == column / 2 ? 1.0 / 3 : 0) - 1.0 / 9
                var products = 0.0
                for sample in x { products += sample[row % 2] * sample[column % 2] / 3 }
                #expect(abs(found.hessian[row][column] - classes * products) < 1e-14)
            }
        }
        var trace = 0.0
        for axis in 0..<6 { trace += found.hessian[axis][axis] }
        #expect(abs(trace - 32.0 / 9) < 1e-13)
    }

    /// With logits linear in the weights, Gauss-Newton is the Hessian; with a hidden layer it is not, but is positive.
    @Test func gaussNewton() throws {
        func products(hidden: Bool) throws -> (gaussNewton: [Double], hessian: [Double], curvature: Double) {
            let b = ProgramBuilder()
            let w = b.parameter("w", [3, 3]), v = b.direction("v", [3, 3])
            let x = b.constant([1, 2, -1, 0, 1, 0.5, 3, -1, 2], [3, 3])
            let logits = try b.linear(hidden ? b.tanh(b.linear(x, weight: w)) : x, weight: w)
            let loss = try b.average(b.crossEntropy(logits, labels: b.indices("y", [3])))
            let product = try b.gaussNewtonProduct(of: loss, through: logits, withRespectTo: [w], along: [v])
            let hessian = try b.hessianVectorProduct(of: loss, withRespectTo: [w], along: [v]).product
            let values: [String: [Double]] = [
                "w": [0.1, -0.4, 0.3, 0.2, 0.5, -0.1, 0.7, 0.2, -0.6], "v": [1, 0.5, -1, 2, 0, 1, -0.5, 1, 0.3],
            ]
            let found = try b.build([("g", product[0]), ("h", hessian[0])]).compiledReference().makeExecutor()
                .evaluate(values, indices: ["y": [0, 2, 1]])
            return (found[0], found[1], zip(found[0], values["v"] ?? []).map { $0 * $1 }.reduce(0, +))
        }
        let linear = try products(hidden: false), bent = try products(hidden: true)
        expectClose(linear.gaussNewton, linear.hessian, 1e-14, "linear in the weights")
        #expect(bent.curvature > 0 && bent.gaussNewton != bent.hessian)
    }

    @Test func twoLayerLinear() throws {
        let found = try landscape(at: [1, 1], [2]) { b, theta in
            let w1 = try b.slice(theta, axis: 0, 0..<1), w2 = try b.slice(theta, axis: 0, 1..<2)
            return try b.sum(b.square(b.affine(b.multiply(w1, w2), offset: -1)))
        }
        #expect(found.hessian == [[2, 2], [2, 2]])
    }

    /// A PINN: the residual u_xx + u_x u of a small network, its gradient in the weights against differences, and the
    /// symmetry of the second derivative.
    @Test func derivativesOfInputDerivatives() throws {
        try DerivativeCheck(
            DerivativeCase("Burgers residual", [[6, 2], [6], [6, 6], [1, 6]], range: -1...1) { b, w, _ in
                let x = b.constant([0.1, 0.4, -0.3, 0.2, 0.7, -0.6], [3, 2])
                let alongX = b.constant([1, 0, 1, 0, 1, 0], [3, 2])
                let hidden = b.tanh(try b.linear(x, weight: w[0], bias: w[1]))
                let u = try b.linear(b.tanh(b.linear(hidden, weight: w[2])), weight: w[3])
                let slope = try b.tangents(of: [u], along: [(x, alongX)])
                let bend = try b.tangents(of: slope, along: [(x, alongX)])
                let residual = try b.add(bend[0], b.multiply(slope[0], u))
                return try b.mean(b.square(residual))
            }
        ).run()
    }
}
