import Testing
import ZooBase
import ZooMerge
import ZooTensor
import ZooTestSupport

/// The newer methods without data, each against its formula over a base of zeros.
@Suite struct NewerMethodTests {
    private func kitchen(_ changes: [[Double]], _ shape: Shape) -> Kitchen {
        var models: [String: any TensorSource] = [
            "base": model([Double](repeating: 0, count: shape.elementCount), shape)
        ]
        for (place, values) in changes.enumerated() { models["m\(place)"] = model(values, shape) }
        return Kitchen(models: models)
    }

    private func merged(
        _ method: String, _ changes: [[Double]], _ shape: Shape, each: String = "", parameters: String = ""
    ) throws -> [Double] {
        try kitchen(changes, shape).values(
            recipe(
                method, changes.indices.map { ("m\($0)", each) }, base: "base", parameters: parameters))
    }

    /// The largest change wins; of equal ones the later model's. α is 0.5.
    @Test func magMax() throws {
        let found = try merged("magmax", [[1, -2, 3, 0.5], [-1, 1, -4, 0.5], [0.5, 2, 1, 0.25]], [4])
        #expect(found == [-0.5, 1, -2, 0.25])
        #expect(try merged("magmax", [[1, -2], [3, 1]], [2], parameters: "alpha: 1") == [3, -2])
    }

    /// mask = |τᵢ| > λ|Στ − τᵢ|; positions of at least two masks stay.
    @Test func consensus() throws {
        let changes = [[1, 1, 0.2, 0], [1, -0.1, 0.2, 0], [1, 0.1, -3, 5.0]]
        let lambda = 0.4
        var expected = [Double](repeating: 0, count: 4)
        for place in 0..<4 {
            let sum = changes.reduce(0) { $0 + $1[place] }
            let masks = changes.count { abs($0[place]) > lambda * abs(sum - $0[place]) }
            expected[place] = masks >= 2 ? 0.3 * sum : 0
        }
        let found = try merged("consensus", changes, [4], parameters: "lambda: 0.4")
        #expect(largestDifference(found, expected) < 1e-12)
        #expect(found[0] != 0 && found[3] == 0)
        let all = try merged("consensus", changes, [4], parameters: "lambda: 0.4, least: 0, alpha: 1")
        #expect(largestDifference(all, (0..<4).map { place in changes.reduce(0) { $0 + $1[place] } }) < 1e-12)
    }

    /// n of every m stay, equals the earlier ones; the incomplete last block goes.
    @Test func cabs() throws {
        let values = [1, -3, 2, 2, 4, 0.5, -4, 1, 9, 9]
        let found = try merged("cabs", [values], [10], each: "weight: 1, n: 2, m: 4")
        #expect(found == [0, -3, 2, 0, 4, 0, -4, 0, 0, 0])
    }

    /// The first step of Adam moves every element by the rate against the sign of 2 Σ (m − τᵢ) τᵢᵀτᵢ/‖τᵢ‖², m = Σ τᵢ.
    @Test func wudi() throws {
        let (rows, columns) = (3, 4)
        let changes = [noise(1, 12), noise(2, 12)]
        let start = zip(changes[0], changes[1]).map(+)
        var gradient = [Double](repeating: 0, count: 12)
        for change in changes {
            let size = change.reduce(0) { $0 + $1 * $1 }
            for i in 0..<rows {
                for j in 0..<columns {
                    for k in 0..<columns {
                        let gram = (0..<rows).reduce(0) { $0 + change[$1 * columns + k] * change[$1 * columns + j] }
                        gradient[i * columns + j] +=
                            2 * (start[i * columns + k] - change[i * columns + k]) * gram / size
                    }
                }
            }
        }
        let found = try merged("wudi", changes, [rows, columns], parameters: "steps: 1, learning_rate: 0.01")
        let expected = zip(start, gradient).map { $0 - 0.01 * ($1 > 0 ? 1 : -1) }
        #expect(largestDifference(found, expected) < 1e-6)
        // Many steps lower the objective.
        func objective(_ merged: [Double]) -> Double {
            changes.reduce(0) { total, change in
                let size = change.reduce(0) { $0 + $1 * $1 }
                var sum = 0.0
                for i in 0..<rows {
                    for k in 0..<rows {
                        let value = (0..<columns).reduce(0) {
                            $0 + (merged[i * columns + $1] - change[i * columns + $1]) * change[k * columns + $1]
                        }
                        sum += value * value
                    }
                }
                return total + sum / size
            }
        }
        let long = try merged("wudi", changes, [rows, columns], parameters: "steps: 300, learning_rate: 0.01")
        #expect(objective(long) < 0.5 * objective(start))
    }

    /// Tasks that use different rows and columns do not disturb each other: half the rank each is their sum.
    @Test func tsvOfTasksApartIsTheirSum() throws {
        var first = [Double](repeating: 0, count: 36), second = first
        let values = noise(3, 18)
        for i in 0..<3 {
            for j in 0..<3 {
                first[i * 6 + j] = values[i * 3 + j]
                second[(i + 3) * 6 + j + 3] = values[9 + i * 3 + j]
            }
        }
        let found = try merged("tsv", [first, second], [6, 6])
        #expect(largestDifference(found, zip(first, second).map(+)) < 1e-12)
        let half = try merged("tsv", [first, second], [6, 6], parameters: "alpha: 0.5")
        #expect(largestDifference(half, zip(first, second).map { ($0 + $1) / 2 }) < 1e-12)
    }

    /// All singular values equal: M·Mᵀ is a multiple of the identity.
    @Test(arguments: ["iso_c", "iso_cts"]) func isotropicMergesAreIsotropic(_ method: String) throws {
        let changes = [noise(4, 40), noise(5, 40), noise(6, 40)]
        let found = try merged(method, changes, [5, 8])
        let gram = try LinearAlgebra.product(found, found, transposeB: true, rows: 5, columns: 5, depth: 8)
        let size = gram[0]
        for i in 0..<5 { for j in 0..<5 { #expect(abs(gram[i * 5 + j] - (i == j ? size : 0)) < 1e-10 * size) } }
        guard method == "iso_c" else { return }
        let sum = (0..<40).map { place in changes.reduce(0) { $0 + $1[place] } }
        let sigma = try LinearAlgebra.singularValueDecomposition(sum, rows: 5, columns: 8).values
        #expect(abs(size.squareRoot() - sigma.reduce(0, +) / 5) < 1e-12)
    }

    /// Biases, and embeddings, get the mean of the changes.
    @Test(arguments: ["tsv", "iso_c", "iso_cts", "wudi"]) func vectorsAreAveraged(_ method: String) throws {
        #expect(largestDifference(try merged(method, [[1, 2], [3, 6]], [2]), [2, 4]) < 1e-12)
    }
}
