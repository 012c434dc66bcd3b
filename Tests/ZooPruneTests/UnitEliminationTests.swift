import Testing
import ZooBase
import ZooPrune
import ZooTensor

/// Units removed one after another against normal equations solved from scratch.
@Suite struct UnitEliminationTests {
    private static let columns = 12, rows = 5

    private func randoms(_ count: Int, seed: UInt64) -> [Double] {
        var generator = SeededGenerator(seed: seed)
        return (0..<count).map { _ in
            (0..<12).reduce(-6.0) { sum, _ in sum + Double(generator.next() >> 11) * 0x1p-53 }
        }
    }

    /// A symmetric positive definite matrix with correlations.
    private func hessian(_ columns: Int, seed: UInt64) throws -> [Double] {
        let samples = 3 * columns, x = randoms(samples * columns, seed: seed)
        var h = try LinearAlgebra.product(x, transposeA: true, x, rows: columns, columns: columns, depth: samples)
        for column in 0..<columns { h[column * columns + column] += 0.5 }
        return h
    }

    /// G H⁻¹ over some columns, zero elsewhere, and the sum of squares it reaches but for a constant.
    private func solved(
        _ hessian: [Double], _ targets: [Double], _ left: [Int]
    ) throws -> (weights: [Double], loss: Double) {
        let columns = Self.columns, rows = Self.rows, n = left.count
        let part = left.flatMap { i in left.map { hessian[i * columns + $0] } }
        let upper = try LinearAlgebra.inverseUpperCholesky(part, size: n)
        let inverse = try LinearAlgebra.product(upper, transposeA: true, upper, rows: n, columns: n, depth: n)
        let goal = (0..<rows).flatMap { row in left.map { targets[row * columns + $0] } }
        let found = try LinearAlgebra.product(goal, inverse, rows: rows, columns: n, depth: n)
        var weights = [Double](repeating: 0, count: rows * columns), loss = 0.0
        for row in 0..<rows {
            for (place, column) in left.enumerated() {
                weights[row * columns + column] = found[row * n + place]
                loss -= found[row * n + place] * goal[row * n + place]
            }
        }
        return (weights, loss)
    }

    private func columns(of units: [Int], _ length: Int) -> [Int] {
        units.flatMap { Array($0 * length..<($0 + 1) * length) }
    }

    @Test(arguments: [1, 2, 3, 4]) func costsAndWeightsAreThoseOfAFreshFit(_ length: Int) throws {
        let hessian = try hessian(Self.columns, seed: 7), targets = randoms(Self.rows * Self.columns, seed: 8)
        var elimination = try UnitElimination(
            hessian: hessian, targets: targets, rows: Self.rows, columns: Self.columns, blockLength: length)
        for _ in 1..<Self.columns / length {
            let before = elimination.kept
            let loss = try solved(hessian, targets, columns(of: before, length)).loss
            var cheapest: (unit: Int, cost: Double)?
            for unit in before {
                let without = before.filter { $0 != unit }
                let cost = try solved(hessian, targets, columns(of: without, length)).loss - loss
                #expect(abs(cost - (try elimination.cost(of: unit))) < 1e-9 * max(1, abs(cost)))
                if cheapest.map({ cost < $0.cost }) ?? true { cheapest = (unit, cost) }
            }
            try elimination.remove(1)
            #expect(elimination.kept == before.filter { $0 != cheapest?.unit })
            let fresh = try solved(hessian, targets, columns(of: elimination.kept, length)).weights
            #expect(zip(fresh, elimination.weights).allSatisfy { abs($0 - $1) < 1e-9 })
        }
        // One unit always stays.
        try elimination.remove(5)
        #expect(elimination.kept.count == 1)
    }

    @Test func independentInputsGoByTheirNorm() throws {
        let count = Self.rows * Self.columns, weights = randoms(count, seed: 3)
        var identity = [Double](repeating: 0, count: Self.columns * Self.columns)
        for column in 0..<Self.columns { identity[column * Self.columns + column] = 1 }
        var elimination = try UnitElimination(
            hessian: identity, targets: weights, rows: Self.rows, columns: Self.columns)
        try elimination.remove(5)
        let norms = (0..<Self.columns).map { column in
            (0..<Self.rows).reduce(0) { $0 + weights[$1 * Self.columns + column] * weights[$1 * Self.columns + column] }
        }
        let gone = MaskSelection.lowest(norms, 5)
        #expect(elimination.kept == norms.indices.filter { !gone[$0] })
        for place in weights.indices {
            #expect(elimination.weights[place] == (gone[place % Self.columns] ? 0 : weights[place]))
        }
    }

    @Test func aTwinIsTheFirstToGoAndTheOtherSpeaksForBoth() throws {
        // Input 4 always equals input 1.
        let columns = Self.columns, samples = 60
        var x = randoms(samples * columns, seed: 5)
        for row in 0..<samples { x[row * columns + 4] = x[row * columns + 1] }
        let weights = randoms(Self.rows * columns, seed: 6)
        var hessian = try LinearAlgebra.product(x, transposeA: true, x, rows: columns, columns: columns, depth: samples)
        for column in 0..<columns { hessian[column * columns + column] += 1e-7 }
        let targets = try LinearAlgebra.product(weights, hessian, rows: Self.rows, columns: columns, depth: columns)
        var elimination = try UnitElimination(hessian: hessian, targets: targets, rows: Self.rows, columns: columns)
        try elimination.remove(1)
        let gone = try #require((0..<columns).first { !elimination.kept.contains($0) })
        #expect(gone == 1 || gone == 4)
        let other = 5 - gone
        for row in 0..<Self.rows {
            let sum = weights[row * columns + 1] + weights[row * columns + 4]
            #expect(abs(elimination.weights[row * columns + other] - sum) < 1e-4)
        }
    }

    @Test func aSingularMatrixIsRefused() throws {
        let zeros = [Double](repeating: 0, count: 9)
        #expect(throws: ZooError.self) {
            try UnitElimination(hessian: zeros, targets: [1, 2, 3], rows: 1, columns: 3)
        }
    }
}
