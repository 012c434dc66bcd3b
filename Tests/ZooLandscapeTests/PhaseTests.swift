import Foundation
import Testing
import ZooBase
import ZooLandscape
import ZooTestSupport

/// Phases of the taxonomy's published grid, and of small grids whose labels are evident.
@Suite struct PhaseTests {
    /// The fixture: cells, test accuracies, labels.
    private struct Grid {
        var rows: [[PhaseCell]] = []
        var accuracies: [Double] = []
        var labels: [Phase] = []

        init() throws {
            let path = Repository.path("Tests/ZooLandscapeTests/Fixtures/taxonomy_grid.txt")
            let text = try String(contentsOfFile: path, encoding: .utf8)
            var labels: [Int: String] = [:]
            var batches: [Int] = []
            for line in text.split(separator: "\n") where !line.hasPrefix("#") {
                guard line.contains("|") else {
                    for entry in line.split(separator: " ") {
                        let parts = entry.split(separator: ":")
                        labels[try #require(Int(parts[0]))] = String(parts[1])
                    }
                    continue
                }
                let parts = line.split(separator: ":", maxSplits: 1)
                batches.append(try #require(Int(parts[0])))
                let columns = parts[1].split(separator: "|").map { $0.split(separator: " ").compactMap { Double($0) } }
                try #require(columns.count == 5 && columns.allSatisfy { $0.count == 13 })
                rows.append(
                    (0..<13).map { j in
                        PhaseCell(
                            trainLoss: exp(columns[4][j]), sharpness: exp(columns[0][j]), connectivity: columns[1][j],
                            similarity: columns[2][j])
                    })
                accuracies += columns[3]
            }
            let names: [Character: Phase] = ["1": .one, "2": .two, "3": .three, "A": .fourA, "B": .fourB]
            self.labels = batches.flatMap { (labels[$0] ?? "").compactMap { names[$0] } }
            try #require(self.labels.count == 169)
        }
    }

    private func rules(_ axis: PhaseRules.Axis) -> PhaseRules {
        var rules = PhaseRules()
        rules.axis = axis
        return rules
    }

    @Test func thePublishedGridIsLabelledAsDocumented() throws {
        let grid = try Grid()
        let diagram = PhaseDiagram(grid.rows, rules: rules(.hessian))
        #expect(diagram.phases == grid.labels)
        #expect(diagram.flags.filter { $0.contains(.boundary) }.count == 30)
        #expect(diagram.remarks.isEmpty)
    }

    @Test(arguments: [
        (
            PhaseRules.Axis.hessian, 5.585, 0.796, 98.0, 12.7, [52, 28, 24, 26, 39],
            [74.77, 81.65, 81.82, 84.41, 87.77]
        ),
        (.both, 0.131, 0.883, 105, 12.6, [50, 28, 26, 26, 39], [74.72, 81.65, 81.37, 84.41, 87.77]),
        (.loss, -4.0, 0.887, 107, 12.5, [49, 27, 27, 27, 39], [74.56, 81.49, 81.42, 84.47, 87.77]),
    ])
    func thresholdsAndCounts(
        _ axis: PhaseRules.Axis, _ threshold: Double, _ separability: Double, _ lossRatio: Double,
        _ sharpnessRatio: Double, _ counts: [Int], _ means: [Double]
    ) throws {
        let grid = try Grid()
        let diagram = PhaseDiagram(grid.rows, rules: rules(axis))
        let side = try #require(diagram.side)
        #expect(abs(side.value - threshold) < 0.0051)
        #expect(abs((side.separability ?? 0) - separability) < 0.00051)
        #expect(abs((diagram.lossRatio ?? 0) - lossRatio) < 0.51)
        #expect(abs((diagram.sharpnessRatio ?? 0) - sharpnessRatio) < 0.051)
        #expect(abs((diagram.similarity?.value ?? 0) - 0.675) < 0.00051)
        let order: [Phase] = [.one, .two, .three, .fourA, .fourB]
        #expect(order.map { diagram.areas[$0] ?? 0 } == counts)
        let summaries = diagram.summaries(of: grid.accuracies)
        #expect(summaries.map(\.phase) == order)
        for (summary, mean) in zip(summaries, means) { #expect(abs(summary.mean - mean) < 0.0051) }
        #expect(summaries.map(\.maximum).max() == 89.9)
        #expect(diagram.test(of: grid.accuracies)?.pValue ?? 1 < 1e-10)
    }

    @Test func variantsMoveTheDocumentedNumberOfCells() throws {
        let grid = try Grid()
        func moved(_ change: (inout PhaseRules) -> Void) -> Int {
            var rules = rules(.hessian)
            change(&rules)
            let phases = PhaseDiagram(grid.rows, rules: rules).phases
            return zip(phases, grid.labels).filter { $0 != $1 }.count
        }
        #expect(moved { $0.isSmoothed = true } == 6)
        #expect(moved { $0.connectivityTolerance = 0.5 } == 8)
        #expect(moved { $0.connectivityTolerance = 2 } == 7)
        #expect(moved { $0.axis = .both } == 2)
        #expect(moved { $0.axis = .loss } == 4)
    }

    /// Sharpness may be measured in other units, and the order of cells means nothing.
    @Test func labelsDoNotDependOnScaleOrOrder() throws {
        let grid = try Grid()
        let expected = PhaseDiagram(grid.rows).phases
        let scaled = grid.rows.map {
            $0.map { cell in
                var cell = cell
                cell.sharpness = cell.sharpness.map { $0 * 37.5 }
                return cell
            }
        }
        #expect(PhaseDiagram(scaled).phases == expected)
        var generator = SeededGenerator(seed: 2)
        let order = grid.rows.indices.shuffled(using: &generator)
        let shuffled = PhaseDiagram(order.map { grid.rows[$0] }).phases
        for (place, row) in order.enumerated() {
            #expect(Array(shuffled[place * 13..<place * 13 + 13]) == Array(expected[row * 13..<row * 13 + 13]))
        }
    }

    @Test func aGridWithOneRegimeIsNotSplit() {
        let cells = (0..<12).map {
            PhaseCell(trainLoss: 0.01, sharpness: 5 + Double($0) / 10, connectivity: $0 < 6 ? -3 : 0, similarity: 0.7)
        }
        let flat = PhaseDiagram([cells])
        #expect(flat.side == nil)
        #expect(flat.remarks.count == 1)
        #expect(flat.phases == Array(repeating: .three, count: 6) + Array(repeating: .fourB, count: 6))
        #expect(flat.similarity?.origin == .fixed)
        let sharp = PhaseDiagram([cells.map { PhaseCell(trainLoss: 0.9, sharpness: $0.sharpness, connectivity: 0) }])
        #expect(sharp.phases.allSatisfy { $0 == .two })
    }

    @Test func oddCellsAreFlagged() throws {
        var rows = try Grid().rows
        rows[0][0] = PhaseCell(trainLoss: 2.2, sharpness: 0.1, connectivity: 0, similarity: 0.2)
        rows[0][1] = PhaseCell(trainLoss: 0.5, sharpness: -3, connectivity: -5)
        rows[0][2] = PhaseCell(trainLoss: 0.5, sharpness: .nan, connectivity: 0)
        rows[0][3] = PhaseCell(trainLoss: 0.5, sharpness: 10)
        let diagram = PhaseDiagram(rows)
        #expect(diagram.phases[0] == .two)
        #expect(diagram.flags[0].isSuperset(of: [.collapsed, .underfitted]))
        #expect(diagram.phases[1] == .one)
        #expect(diagram.flags[1].contains(.negativeCurvature))
        #expect(diagram.phases[2] == .unknown)
        #expect(diagram.phases[3] == .unknown)
    }

    @Test func givenThresholdsAreUsedAndNamed() throws {
        var rules = PhaseRules()
        rules.axis = .hessian
        rules.sideThreshold = 100
        rules.similarityThreshold = 0
        let diagram = PhaseDiagram(try Grid().rows, rules: rules)
        #expect(diagram.side?.origin == .user)
        #expect(Set(diagram.phases) == [.three, .fourB])
    }

    @Test func transitionsAreBetweenNeighbours() {
        let cells = [
            [
                PhaseCell(trainLoss: 0.01, sharpness: 5, connectivity: -3),
                PhaseCell(trainLoss: 0.01, sharpness: 5, connectivity: 0),
            ],
            [PhaseCell(trainLoss: 0.01, sharpness: 5, connectivity: -3), PhaseCell()],
        ]
        let diagram = PhaseDiagram(cells)
        let found = diagram.transitions(columns: 2)
        #expect(found.count == 1)
        #expect(found.first?.direction == .row && found.first?.index == 0 && found.first?.after == 0)
        #expect(found.first?.from == .three && found.first?.to == .four)
    }

    @Test func otsuInClosedForm() throws {
        let two = try #require(Otsu([1, 3]))
        #expect(two.threshold == 2 && two.separability == 1)
        let even = try #require(Otsu((0..<1000).map(Double.init)))
        #expect(abs(even.separability - 0.75) < 1e-3)
        #expect(Otsu([4, 4, 4]) == nil)
        #expect(Otsu([]) == nil)
    }

    /// Values of scipy.stats.kruskal.
    @Test func kruskalWallisInClosedForm() throws {
        let test = try #require(KruskalWallis([[1, 2, 3], [4, 5, 6], [7, 8, 9]]))
        #expect(abs(test.statistic - 7.2) < 1e-12)
        #expect(test.degreesOfFreedom == 2)
        #expect(abs(test.pValue - exp(-3.6)) < 1e-12)
        let ties = try #require(KruskalWallis([[1, 1, 2], [2, 2, 3]]))
        #expect(abs(ties.statistic - 49.0 / 18) < 1e-12)
        #expect(abs(ties.pValue - erfc((49.0 / 36).squareRoot())) < 1e-12)
        #expect(KruskalWallis([[1], []]) == nil)
    }
}
