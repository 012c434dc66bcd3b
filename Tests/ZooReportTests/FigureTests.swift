import Foundation
import Testing
import ZooBase
import ZooReport
import ZooTestSupport

@Suite struct FigureTests {
    @Test(arguments: FigureGallery.all.map(\.name))
    func drawsAsCommitted(_ name: String) throws {
        let figure = try #require(FigureGallery.all.first { $0.name == name }?.figure)
        #expect(figure.svg == figure.svg)
        #expect(Golden.difference(figure.svg, "Tests/ZooReportTests/Fixtures/Figures/\(name).svg") == nil)
        // For looking at: ZOO_FIGURE_FOLDER=/tmp/figures
        if let folder = ProcessInfo.processInfo.environment["ZOO_FIGURE_FOLDER"] {
            try AtomicFile.write("\(folder)/\(name).png", figure.png())
        }
    }

    @Test(arguments: FigureGallery.all.map(\.name))
    func svgIsWellFormed(_ name: String) throws {
        let figure = try #require(FigureGallery.all.first { $0.name == name }?.figure)
        var open: [Substring] = []
        for tag in figure.svg.split(separator: "<").filter({ !$0.hasPrefix("\n") }) {
            let body = tag.prefix { $0 != ">" }
            #expect(tag.contains(">"))
            #expect(body.filter { $0 == "\"" }.count % 2 == 0)
            let word = body.prefix { $0 != " " && $0 != "/" }
            if body.hasPrefix("/") {
                #expect(open.popLast() == body.dropFirst())
            } else if !body.hasSuffix("/") {
                open.append(word)
            }
        }
        #expect(open.isEmpty)
        #expect(!figure.svg.contains("nan") && !figure.svg.contains("inf\""))
    }

    @Test func picturesHaveTheSizeAndColoursOfTheFigure() throws {
        // One black-on-white cell map: the left half blue, the right half red.
        let map = HeatMap(x: [0, 1], y: [0], values: [-1, 1], colors: .diverging(center: 0))
        let figure = Figure([Panel(layers: [.heatMap(map)])], panelWidth: 200, panelHeight: 100)
        for scale in [1.0, 2, 1.5] {
            let picture = try PNGReader(figure.png(scale: scale))
            #expect(picture.width == Int((224 * scale).rounded()))
            #expect(picture.height == Int((124 * scale).rounded()))
            #expect(picture[0, 0] == [255, 255, 255])
            let row = Int(55 * scale)
            #expect(picture[Int(60 * scale), row] == [0x21, 0x66, 0xAC])
            #expect(picture[Int(140 * scale), row] == [0xB2, 0x18, 0x2B])
        }
    }

    /// Cells keep their places; of labels that would run into each other every second, third and so on stays, and the
    /// name of the axis says which.
    @Test func labelsOfNarrowCellsAreThinnedOut() throws {
        func labels(_ values: [Double], scale: Axis.Scale = .linear) -> (ticks: [String], name: String?) {
            let map = HeatMap(x: values, y: [0], values: values.map { _ in 1 })
            let panel = Panel(
                x: Axis("samples", scale: scale, tickValues: values), y: Axis(tickValues: [0]),
                layers: [.heatMap(map)])
            let svg = Figure([panel], panelWidth: 200, panelHeight: 100).svg
            let texts = svg.split(separator: "<text ").dropFirst().compactMap { text in
                text.split(separator: ">", maxSplits: 1).last?.prefix { $0 != "<" }
            }
            return (
                texts.filter { text in values.contains { Double(text) == $0 } }.map { String($0) },
                texts.first { $0.hasPrefix("samples") }.map { String($0) }
            )
        }
        let roomy = labels([10, 20, 30])
        #expect(roomy.ticks == ["10", "20", "30"] && roomy.name == "samples")
        let values = (0..<20).map { 1000 + Double($0) }
        let narrow = labels(values)
        let step = try #require(
            (2...20).first { step in
                narrow.ticks == values.indices.filter { $0 % step == 0 }.map { String(Int(values[$0])) }
            })
        let ordinal = step == 2 ? "2nd" : step == 3 ? "3rd" : "\(step)th"
        #expect(narrow.name == "samples (every \(ordinal) labelled)", "\(narrow)")
        // Unequal gaps: the narrowest decides.
        let uneven = labels([1000, 1001, 1002, 1003, 2000])
        #expect(uneven.ticks.count < 5 && uneven.ticks.first == "1000", "\(uneven)")
    }

    @Test func reversedAxesLogarithmicColoursAndMissingCells() throws {
        // Small at the top: the first row's two cells are the lightest colour; a hundredth is half-way to a thousandth…
        let map = HeatMap(
            x: [1, 2], y: [1, 2], values: [100, 100, 10, 1], isLogarithmic: true, groups: [0, 0, 1, 1])
        let panel = Panel(
            x: Axis(tickValues: [1, 2]), y: Axis(tickValues: [1, 2], isReversed: true), layers: [.heatMap(map)])
        let picture = try PNGReader(Figure([panel], panelWidth: 200, panelHeight: 100).png(scale: 1))
        let top = picture[60, 35], left = picture[60, 80], right = picture[130, 80]
        #expect(top == [0xFD, 0xE7, 0x25] && right == [0x44, 0x01, 0x54])
        // …and half-way lies half-way on the map: between its fifth and sixth colour.
        #expect(left[0] >= 0x1F && left[0] <= 0x26 && left[1] >= 0x82 && left[1] <= 0x9E)
        // A dark line between the rows, none between the columns of one group.
        let column = (30..<90).map { picture[60, $0] }
        #expect(column.contains { $0[0] < 0x40 && $0[1] < 0x40 && $0[2] < 0x40 })
        // Zero and NaN have no colour in such a map.
        let missing = HeatMap(x: [1], y: [1], values: [0], isLogarithmic: true)
        let svg = Figure([Panel(layers: [.heatMap(missing)])]).svg
        #expect(svg.contains("#e4e4e4") && svg.contains("#a6a6a6"))
    }

    /// Given ticks that have no room beside each other are labelled in part, and the axis says so.
    @Test func crowdedTicksAreLabelledInPart() {
        func labels(_ count: Int, width: Double) -> (texts: Set<String>, svg: String) {
            let values = (0..<count).map { Double(1000 + $0) }
            let map = HeatMap(x: values, y: [0], values: values)
            let svg = Figure(
                [Panel(x: Axis("width", tickValues: values), layers: [.heatMap(map)])], panelWidth: width,
                panelHeight: 100
            ).svg
            return (Set(values.map { String(Int($0)) }.filter { svg.contains(">\($0)<") }), svg)
        }
        let roomy = labels(4, width: 400), crowded = labels(40, width: 400)
        #expect(roomy.texts.count == 4 && !roomy.svg.contains("labelled"))
        #expect(crowded.texts.count > 4 && crowded.texts.count < 20 && crowded.texts.contains("1000"))
        #expect(crowded.svg.contains("th labelled)"))
    }

    @Test func pictureAndPageAgree() throws {
        // Every dot of the page is found in the picture, in its colour.
        let scatter = Scatter(x: [1.1, 2.2, 2.8, 3.9], y: [2.3, 1.2, 3.8, 3.3])
        let figure = Figure([Panel(layers: [.scatter(scatter)])])
        let picture = try PNGReader(figure.png(scale: 2))
        let circles = figure.svg.split(separator: "\n").filter { $0.hasPrefix("<circle") }
        #expect(circles.count == 4)
        for circle in circles {
            let numbers = circle.split(separator: "\"").compactMap { Double($0) }
            let pixel = picture[Int(numbers[0] * 2), Int(numbers[1] * 2)]
            // #0072b2 at three quarters over white.
            #expect(zip(pixel, [64, 149, 197]).allSatisfy { abs(Int($0) - $1) <= 1 })
        }
    }

    @Test func emptyAndOddFiguresDraw() throws {
        let odd: [Layer] = [
            .line(Line(x: [], y: [])), .line(Line(x: [1], y: [.nan])), .line(Line(x: [.infinity, 1], y: [1, 1])),
            .scatter(Scatter(x: [5], y: [5])), .histogram(Histogram(samples: [])),
            .histogram(Histogram(samples: [2, 2, 2])), .bars(Bars(values: [])),
            .heatMap(HeatMap(x: [], y: [], values: [])), .heatMap(HeatMap(x: [0], y: [0], values: [.nan])),
        ]
        for layer in odd {
            for scale in [Axis.Scale.linear, .log2, .log10, .categories([])] {
                let figure = Figure([Panel(x: Axis(scale: scale), y: Axis(scale: scale), layers: [layer])])
                #expect(!figure.svg.contains("nan"))
                #expect(try PNGReader(figure.png(scale: 1)).width > 0)
            }
        }
        #expect(try PNGReader(Figure([]).png()).width > 0)
        #expect(throws: ZooError.self) { try Figure([Panel()], panelWidth: 1e9).png() }
    }

    @Test func histogramsCountEverySample() {
        var generator = SeededGenerator(seed: 1)
        let samples = (0..<1000).map { _ in Double.random(in: -3...5, using: &generator) }
        let histogram = Histogram(samples: samples + [.nan, .infinity])
        #expect(histogram.heights.reduce(0, +) == 1000)
        #expect(histogram.edges.first == samples.min())
        #expect(histogram.edges.last == samples.max())
        // Freedman–Diaconis: width 2·4/10 over a range of 8 makes 10 bins.
        #expect((9...11).contains(histogram.heights.count))
        #expect(Histogram(samples: [0, 1, 2, 3], binCount: 4).heights == [1, 1, 1, 1])
    }
}

@Suite struct AxisTickTests {
    private func labels(_ axis: Axis, _ values: [Double]) -> [String] {
        // Tick labels are the texts of the page that are numbers.
        let figure = Figure([Panel(x: axis, layers: [.line(Line(x: values, y: values.map { _ in 0 }))])])
        return figure.svg.split(separator: "\n").filter { $0.hasPrefix("<text") && $0.contains("\"middle\"") }.map {
            line in
            line.split(separator: ">").dropFirst().map { $0.prefix { $0 != "<" } }.joined(separator: "^")
                .replacingOccurrences(of: "^^", with: "").trimmingCharacters(in: ["^"])
        }
    }

    @Test func linearTicksAreRound() {
        #expect(labels(Axis(), [0, 100]) == ["0", "20", "40", "60", "80", "100"])
        #expect(labels(Axis(), [-0.5, 0.5]) == ["−0.4", "−0.2", "0.0", "0.2", "0.4"])
        #expect(
            labels(Axis(), [0, 3e8]) == ["0", "0.5×10^8", "1.0×10^8", "1.5×10^8", "2.0×10^8", "2.5×10^8", "3.0×10^8"])
    }

    @Test func logarithmicTicksArePowers() {
        #expect(labels(Axis(scale: .log10), [0.01, 100]) == ["0.01", "0.1", "1", "10", "100"])
        #expect(labels(Axis(scale: .log10), [1e-6, 1e-2]) == ["10^−6", "10^−5", "10^−4", "10^−3", "10^−2"])
        #expect(labels(Axis(scale: .log2), [2, 64]) == ["2", "4", "8", "16", "32", "64"])
        #expect(labels(Axis(scale: .log10), [2, 9]) == ["2", "3", "5", "7"])
    }

    @Test func categoriesKeepTheirNames() {
        #expect(labels(Axis(categories: ["a", "b & c"]), [0, 1]) == ["a", "b &amp; c"])
    }
}
