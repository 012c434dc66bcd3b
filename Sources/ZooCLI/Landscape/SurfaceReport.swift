import ZooBase
import ZooLandscape
import ZooReport

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// What `zoo surface` says.
struct SurfaceReport {
    let label: String
    let surface: LossSurface
    let points: [LossSurface.Point]
    /// What the axes are.
    let axes: [String]
    let plane: TrajectoryPlane?
    let epochs: [Int?]
    /// Losses above it are drawn as it.
    let cap: Double?

    /// One row per point.
    var table: Table {
        var table = Table([
            .init("x", .double), .init("y", .double), .init("loss", .double, digits: 6), .init("accuracy", .double),
        ])
        for (number, point) in points.enumerated() {
            let place = surface.place(number)
            table.append([
                .double(place.x), .double(place.y),
                point.loss.map { .double($0) } ?? .missing(reason: "the loss is not finite"),
                point.accuracy.map { .double($0) } ?? .null,
            ])
        }
        return table
    }

    /// The object of `--json`.
    var json: JSONValue {
        var object = JSONObject()
        object["checkpoint"] = .string(label)
        object["axes"] = .array(axes.map { .string($0) })
        object["points"] = .array(
            points.enumerated().map { number, point in
                let place = surface.place(number)
                var row = JSONObject()
                row["x"] = .double(place.x)
                row["y"] = .double(place.y)
                row["loss"] = point.loss.map { .double($0) } ?? .null
                if point.loss == nil { row["loss_reason"] = .string("not finite") }
                row["accuracy"] = point.accuracy.map { .double($0) } ?? .null
                return .object(row)
            })
        object["missing"] = .int(Int64(points.filter { $0.loss == nil }.count))
        if let plane {
            object["explained_variance"] = .array(plane.explained.map { .double($0) })
            object["trajectory"] = .array(
                zip(epochs, plane.path).map { epoch, place in
                    ["epoch": epoch.map { .int(Int64($0)) } ?? .null, "x": .double(place.x), "y": .double(place.y)]
                })
        }
        return .object(object)
    }

    /// One line for people.
    var sentence: String {
        let losses = points.compactMap(\.loss)
        let missing = points.count - losses.count
        return "\(Quantity.count(points.count)) points, loss "
            + "\(Quantity.significant(losses.min() ?? .nan, digits: 4)) to "
            + "\(Quantity.significant(losses.max() ?? .nan, digits: 4))"
            + (missing > 0 ? ", \(Quantity.count(missing)) not finite" : "")
    }

    /// The checkpoint's name, cut to what a title has room for.
    private var shortLabel: String {
        label.count <= 40 ? label : String(label.prefix(20)) + "…" + String(label.suffix(19))
    }

    /// A line of the loss, or a heat map of its logarithm with the trajectory.
    var figure: Figure {
        let losses = points.map { point in point.loss.map { loss in cap.map { min($0, loss) } ?? loss } ?? .nan }
        guard surface.y.count > 1 else {
            let accuracies = points.map { $0.accuracy ?? .nan }
            var panels = [
                Panel(
                    x: Axis(axes[0]), y: Axis("loss", scale: .log10),
                    layers: [.line(Line("loss", x: surface.x, y: losses))])
            ]
            if accuracies.contains(where: \.isFinite) {
                panels.append(
                    Panel(
                        x: Axis(axes[0]), y: Axis("accuracy"),
                        layers: [.line(Line("accuracy", x: surface.x, y: accuracies))]))
            }
            return Figure(panels, title: "Loss along a direction: \(shortLabel)")
        }
        var layers: [Layer] = [
            .heatMap(
                HeatMap(
                    x: surface.x, y: surface.y, values: losses.map { $0 > 0 ? log10($0) : .nan },
                    label: "log_{10} loss"))
        ]
        if let plane {
            layers.append(.line(Line("training", x: plane.path.map(\.x), y: plane.path.map(\.y), hasMarkers: true)))
        }
        return Figure(
            [Panel(x: Axis(axes[0]), y: Axis(axes[1]), layers: layers)], title: "Loss surface: \(shortLabel)",
            panelWidth: 560, panelHeight: 460)
    }
}
