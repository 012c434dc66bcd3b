import Foundation
import Testing
import ZooBase
import ZooMerge
import ZooTensor
import ZooTestSupport

/// Small merges worked out in float64 by hand and by reference code, rows of three.
@Suite struct GoldenVectorTests {
    private static let origin = [0, 0, 0, 1, -1, 0.5]
    private static let deltaA = [0.4, -0.2, 0.1, 0, 0.3, -0.6]
    private static let deltaB = [0.2, 0.5, -0.1, 0.1, -0.3, -0.2]
    private static let deltaC = [0.3, 0.1, 0, 0.1, 0.2, -0.4]
    /// Reference values are given to seven digits.
    private static let tolerance = 2e-6

    private static func plus(_ delta: [Double], _ origin: [Double] = origin) -> [Double] {
        zip(delta, origin).map { $0 + $1 }
    }

    /// Whole models.
    private var kitchen: Kitchen {
        Kitchen(models: [
            "base": model(Self.origin, [2, 3]), "A": model(Self.plus(Self.deltaA), [2, 3]),
            "B": model(Self.plus(Self.deltaB), [2, 3]), "C": model(Self.plus(Self.deltaC), [2, 3]),
        ])
    }

    /// Models over a base of zeros, so that differences are exact and some sums cancel exactly.
    private var deltas: Kitchen {
        Kitchen(models: [
            "base": model([0, 0, 0, 0, 0, 0], [2, 3]), "A": model(Self.deltaA, [2, 3]),
            "B": model(Self.deltaB, [2, 3]), "C": model(Self.deltaC, [2, 3]),
            "A10": model(Self.deltaA.map { $0 * 10 }, [2, 3]), "B10": model(Self.deltaB.map { $0 * 10 }, [2, 3]),
        ])
    }

    private static let whole: [(String, [Double])] = [
        (
            recipe("linear", [("A", "weight: 0.6"), ("B", "weight: 0.4")]),
            [0.32, 0.08, 0.02, 1.04, -0.94, 0.06]
        ),
        (
            recipe("task_arithmetic", [("A", "weight: 0.6"), ("B", "weight: 0.4")], base: "base"),
            [0.32, 0.08, 0.02, 1.04, -0.94, 0.06]
        ),
        (
            recipe("slerp", [("A", ""), ("B", "")], base: "A", parameters: "t: 0.35"),
            [0.3434273, 0.0500273, 0.0304216, 1.0803093, -0.9520876, 0.0434920]
        ),
        (
            recipe("nuslerp", [("A", "weight: 0.6"), ("C", "weight: 0.4")], base: "base"),
            [0.3702535, -0.0817363, 0.0615462, 1.0413562, -0.7326489, -0.0347022]
        ),
        (
            recipe(
                "nuslerp", [("A", "weight: 0.6"), ("C", "weight: 0.4")], base: "base",
                parameters: "nuslerp_flatten: false"),
            [0.3897634, -0.0850146, 0.0644807, 1.0402724, -0.7385215, -0.0229570]
        ),
        (
            recipe(
                "nuslerp", [("A", "weight: 0.6"), ("C", "weight: 0.4")], base: "base",
                parameters: "nuslerp_flatten: false, nuslerp_row_wise: true"),
            [0.3644365, -0.0888606, 0.0601750, 1.0405863, -0.7020927, -0.0216629]
        ),
        (
            recipe("nuslerp", [("A", "weight: 0.6"), ("B", "weight: 0.4")], base: "base"),
            [0.4411639, 0.1320892, 0.0221232, 1.0587785, -0.9336304, -0.1029673]
        ),
        (
            recipe("multislerp", [("A", "weight: 0.6"), ("C", "weight: 0.4")], base: "base"),
            [0.3733640, -0.0554389, 0.0539681, 1.0524973, -0.7331013, -0.0337973]
        ),
        (
            recipe("karcher", [("A", ""), ("B", "")]),
            [0.3402366, 0.1003293, 0.0174472, 1.1210391, -1.0236227, 0.0727019]
        ),
        (recipe("model_stock", [("A", ""), ("B", "")], base: "base"), origin),
        (
            recipe("model_stock", [("A", ""), ("C", "")], base: "base"),
            [0.3285123, -0.0469303, 0.0469303, 1.0469303, -0.7653484, 0.0306967]
        ),
        (
            recipe("model_stock", [("A", ""), ("C", "")], base: "base", parameters: "filter_wise: true"),
            [0.2858149, -0.0408307, 0.0408307, 1.0493902, -0.7530492, 0.0060985]
        ),
        (
            recipe("nearswap", [("A", ""), ("B", "")], base: "A", parameters: "t: 0.05"),
            [0.35, -0.15, 0.05, 1.05, -0.75, -0.05]
        ),
        (recipe("ram", [("A", ""), ("B", "")], base: "base"), [0.3, 0.15, 0, 1.1, -1, 0.1]),
        (recipe("arcee_fusion", [("base", ""), ("A", "")], base: "base"), [0, 0, 0, 1, -1, -0.1]),
    ]

    @Test(arguments: whole.indices) func wholeModels(_ index: Int) throws {
        let (yaml, expected) = Self.whole[index]
        let found = try kitchen.values(yaml)
        #expect(largestDifference(found, expected) <= Self.tolerance, "\(yaml)\(found)")
    }

    /// Trims alone: of the equal magnitudes 0.2 the one with the lower index stays.
    @Test func trimsAndTheirSizes() throws {
        func trimmed(_ name: String) throws -> [Double] {
            try deltas.values(recipe("ties", [(name, "weight: 1")], base: "base", parameters: "density: 0.5"))
        }
        #expect(try trimmed("A") == [0.4, 0, 0, 0, 0.3, -0.6])
        #expect(try trimmed("B") == [0.2, 0.5, 0, 0, -0.3, 0])
        let line = Kitchen(models: ["base": model([0, 0, 0, 0], [4]), "A": model([0.4, -0.2, 0.1, 0.3], [4])])
        for (norm, expected) in [("l1", [0.5714286, 0, 0, 0.4285714]), ("inverse", [0.8, 0, 0, 0.6])] {
            let found = try line.values(
                recipe(
                    "ties", [("A", "weight: 1")], base: "base",
                    parameters: "density: 0.5, rescale: true, rescale_norm: \(norm)"))
            #expect(largestDifference(found, expected) <= Self.tolerance, "\(norm)")
        }
        // The other sizes are restored as well.
        for (norm, size) in [("l2", 0.3.squareRoot()), ("linf", 0.4)] {
            let found = try line.values(
                recipe(
                    "ties", [("A", "weight: 1")], base: "base",
                    parameters: "density: 0.5, rescale: true, rescale_norm: \(norm)"))
            let back = norm == "l2" ? found.reduce(0) { $0 + $1 * $1 }.squareRoot() : found.map(\.magnitude).max() ?? 0
            #expect(abs(back - size) < 1e-9, "\(norm)")
        }
    }

    @Test func movingAveragesWeigh() throws {
        let weights = try AverageWeights.exponential(count: 3, decay: 0.5)
        #expect(weights == [0.25, 0.25, 0.5])
        #expect(zip(weights, [1, 2, 4]).reduce(0) { $0 + $1.0 * $1.1 } == 2.75)
    }

    /// Results are given with the base added.
    private static let exact: [(String, [Double])] = [
        (
            recipe("ties", [("A", "weight: 1"), ("B", "weight: 1")], base: "base", parameters: "density: 0.5"),
            [0.3, 0.5, 0, 1, -0.7, -0.1]
        ),
        (
            recipe("ties", [("A", "weight: 0.6"), ("B", "weight: 0.4")], base: "base", parameters: "density: 0.5"),
            [0.32, 0.5, 0, 1, -0.7, -0.1]
        ),
        (
            recipe(
                "ties", [("A", "weight: 0.6"), ("B", "weight: 0.4")], base: "base",
                parameters: "density: 0.5, normalize: false, lambda: 0.5"), [0.16, 0.1, 0, 1, -0.91, 0.32]
        ),
        (
            recipe(
                "ties", [("A", "weight: 1")], base: "base", parameters: "density: 0.5, rescale: true"),
            plus([0.4923077, 0, 0, 0, 0.3692308, -0.7384616])
        ),
        (
            recipe("breadcrumbs", [("A", "weight: 1")], base: "base", parameters: "density: 0.5, gamma: 0.17"),
            plus([0.4, -0.2, 0, 0, 0.3, 0])
        ),
        (
            recipe("breadcrumbs", [("B", "weight: 1")], base: "base", parameters: "density: 0.5, gamma: 0.17"),
            plus([0.2, 0, 0, 0, -0.3, -0.2])
        ),
        (
            recipe("sce", [("A10", ""), ("B10", "")], base: "base"), plus([3.2, 5, 1, 1, 3, -4.4])
        ),
        (
            recipe("iso_c", [("A", ""), ("C", "")], base: "base"),
            plus([0.9079088, -0.1039103, 0.0788357, 0.1170744, 0.4048354, -0.8146856])
        ),
    ]

    @Test(arguments: exact.indices) func taskVectors(_ index: Int) throws {
        let (yaml, expected) = Self.exact[index]
        let found = Self.plus(try deltas.values(yaml))
        #expect(largestDifference(found, expected) <= Self.tolerance, "\(yaml)\(found)")
    }

    @Test func gradientsInterpolate() {
        let long = Setting.gradient([0, 0.5, 0.3, 0.7, 1])
        guard case .number(let value)? = long.value(for: "w", at: 10.0 / 39) else { return #expect(Bool(false)) }
        #expect((value - 0.494872).magnitude < 1e-6)
        #expect(long.value(for: "w", at: 0) == .number(0) && long.value(for: "w", at: 1) == .number(1))
        #expect(Setting.gradient([1, 0.7, 0.1]).value(for: "w", at: 0.25) == .number(0.85))
    }
}
