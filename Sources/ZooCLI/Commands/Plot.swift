import ArgumentParser
import ZooBase
import ZooCatalog
import ZooReport

/// `zoo plot`: a picture of a query.
package struct Plot: ZooCommand {
    package static let configuration = CommandConfiguration(
        abstract: "Draw models or checkpoints as a heat map or a scatter plot, SVG or PNG.",
        discussion: """
            With --value a heat map: a cell for each pair of x and y, coloured by the mean of the value; several \
            values make small multiples. Without --value a scatter of y over x. Axes whose values are in geometric \
            progression become logarithmic.

            Example:
              zoo plot "zoo = 'digits-phases'" --x width --y batchsize --value test_accuracy --to phases.svg
              zoo plot --from checkpoints --x train_loss --y test_accuracy --to losses.png
            """)

    @Argument(help: "A condition; without one all rows.")
    package var condition: String?

    @Option(help: "models or checkpoints.")
    package var from: QueryCommand.RowKind = .models

    @Option(help: ArgumentHelp("Horizontal axis.", valueName: "expression"))
    package var x: String

    @Option(help: ArgumentHelp("Vertical axis.", valueName: "expression"))
    package var y: String

    @Option(help: ArgumentHelp("Colours of a heat map, separated by commas.", valueName: "list"))
    package var value: String?

    @Option(help: ArgumentHelp("The picture to write: .svg or .png.", valueName: "file"))
    package var to: String

    @Option(help: ArgumentHelp("Heading.", valueName: "text"))
    package var title: String = ""

    @OptionGroup(title: "Common options") package var global: GlobalOptions

    package init() {}

    package func run(in session: Session) throws {
        let catalog = try Catalog(session.catalogPath)
        let values = ExpressionList.split(value)
        let figure = values.isEmpty ? try scatter(catalog) : try heatMaps(catalog, values)
        try Picture.write(figure, to: to)
        try session.emit(["files": [.string(to)]], as: Table([.init("file", isPath: true)], rows: [[.text(to)]]))
    }

    private func scatter(_ catalog: Catalog) throws -> Figure {
        let result = try catalog.run(Query(from: from.rows, where: condition, columns: [x, y]))
        let points = result.rows.compactMap { row in row[0].double.flatMap { x in row[1].double.map { (x, $0) } } }
            .filter { $0.0.isFinite && $0.1.isFinite }
        guard !points.isEmpty else { throw ZooError(.notFound, "no row has numbers for both \(x) and \(y)") }
        let layer = Layer.scatter(Scatter(x: points.map(\.0), y: points.map(\.1)))
        return Figure([Panel(x: Axis(x), y: Axis(y), layers: [layer])], title: title)
    }

    private func heatMaps(_ catalog: Catalog, _ values: [String]) throws -> Figure {
        let columns = [x, y] + values.map { "mean(\($0))" }
        let result = try catalog.run(Query(from: from.rows, where: condition, columns: columns, groupBy: [x, y]))
        var cells: [Double: [Double: [Double]]] = [:]
        for row in result.rows {
            guard let column = row[0].double, let line = row[1].double else { continue }
            cells[column, default: [:]][line] = row.dropFirst(2).map { $0.double ?? .nan }
        }
        let columnValues = cells.keys.sorted()
        let lineValues = Set(cells.values.flatMap(\.keys)).sorted()
        guard !columnValues.isEmpty else { throw ZooError(.notFound, "no row has numbers for both \(x) and \(y)") }
        let panels = values.enumerated().map { index, name in
            let numbers = lineValues.flatMap { line in columnValues.map { cells[$0]?[line]?[index] ?? .nan } }
            let map = HeatMap(
                x: columnValues, y: lineValues, values: numbers, label: "mean \(name)",
                showsValues: columnValues.count <= 12)
            return Panel(
                title: values.count > 1 ? name : "", x: Axis(x, scale: Self.scale(columnValues)),
                y: Axis(y, scale: Self.scale(lineValues)), layers: [.heatMap(map)])
        }
        return Figure(panels, title: title)
    }

    /// Logarithmic when neighbours differ by factors rather than by differences.
    private static func scale(_ values: [Double]) -> Axis.Scale {
        guard values.count > 2, let first = values.first, first > 0 else { return .linear }
        let ratios = zip(values, values.dropFirst()).map { $1 / $0 }
        let steps = zip(values, values.dropFirst()).map { $1 - $0 }
        func spread(_ numbers: [Double]) -> Double { (numbers.max() ?? 1) / Swift.max(numbers.min() ?? 1, 1e-300) }
        guard spread(ratios) < spread(steps) else { return .linear }
        return ratios.allSatisfy { $0 >= 9 } ? .log10 : .log2
    }
}
