import Testing
import ZooBase
import ZooMerge
import ZooTestSupport

/// Assignments against enumeration and SciPy (Fixtures/make_alignment.py).
@Suite struct LinearAssignmentTests {
    private func total(_ costs: [Double], _ columns: [Int]) -> Double {
        columns.enumerated().reduce(0) { $0 + costs[$1.offset * columns.count + $1.element] }
    }

    private func best(_ costs: [Double], _ size: Int) -> Double {
        func search(_ row: Int, _ used: Int) -> Double {
            if row == size { return 0 }
            return (0..<size).filter { used & (1 << $0) == 0 }.map {
                costs[row * size + $0] + search(row + 1, used | 1 << $0)
            }.min() ?? .infinity
        }
        return search(0, 0)
    }

    @Test func smallOnesAreThoseOfEnumeration() throws {
        var generator = SeededGenerator(seed: 11)
        for size in 0...7 {
            for round in 0..<20 {
                let costs = (0..<size * size).map { _ in
                    // Every other round has few distinct costs, negative ones too.
                    round % 2 == 0
                        ? Double.random(in: -5...5, using: &generator)
                        : Double(Int.random(in: -2...2, using: &generator))
                }
                let found = try LinearAssignment.minimum(costs, size: size)
                #expect(Set(found) == Set(0..<size))
                #expect(abs(total(costs, found) - best(costs, size)) < 1e-12)
                let largest = try LinearAssignment.maximum(costs.map { -$0 }, size: size)
                #expect(largest == found)
            }
        }
    }

    @Test func largeOnesAreSciPys() throws {
        let path = Repository.path("Tests/ZooMergeTests/Fixtures/alignment.json")
        let cases = try #require(try JSONParser.parse(Bytes(mapping: path))["assignments"]?.array)
        for one in cases {
            let size = try #require(one["size"]?.int), levels = try #require(one["levels"]?.int)
            var generator = SeededGenerator(seed: UInt64(one["seed"]?.int ?? 0))
            let costs = (0..<size * size).map { _ in
                let unit = Double(generator.next() >> 11) / 9_007_199_254_740_992
                return levels > 0 ? (unit * Double(levels)).rounded(.down) : unit
            }
            let found = try LinearAssignment.minimum(costs, size: size)
            #expect(abs(total(costs, found) - (one["total"]?.double ?? .nan)) < 1e-9)
            if let columns = one["columns"]?.array { #expect(found == columns.compactMap(\.int)) }
        }
    }

    @Test func costsMustBeFinite() {
        #expect(throws: ZooError.self) { try LinearAssignment.minimum([0, 1, .nan, 2], size: 2) }
        #expect(throws: ZooError.self) { try LinearAssignment.minimum([0, 1, .infinity, 2], size: 2) }
    }
}
