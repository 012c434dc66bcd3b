import ZooBase
import ZooLandscape
import ZooReport

/// The words and cells of an exported notebook.
struct NotebookText {
    let name: String
    let condition: String?
    let tables: NotebookTables
    let phases: ZooPhases?
    let reason: String?
    let picture: String

    /// The notebook; the cell that shows the picture has it as its output.
    func notebook(_ png: [UInt8]) throws -> Notebook {
        var cells: [Notebook.Cell] = [
            .init("title", .words, title), .init("tables", .python(png: nil), Self.reader),
            .init(
                "models-words", .words, "## Models\n\nThe best by test accuracy:\n\n" + (try markdown(tables.best(10)))),
            .init("models", .python(png: nil), Self.models),
        ]
        if !tables.metrics.rows.isEmpty {
            cells.append(.init("metrics-words", .words, "## Metrics\n\n" + (try markdown(tables.summary))))
            cells.append(.init("metrics", .python(png: nil), Self.metrics))
        }
        if let phases {
            cells.append(.init("phases-words", .words, try words(phases)))
            cells.append(.init("picture", .python(png: png), show))
            cells.append(.init("phases", .python(png: nil), Self.grid))
            cells.append(.init("check", .python(png: nil), Self.check))
        } else {
            cells.append(.init("picture", .python(png: png), show))
        }
        cells.append(.init("plot", .python(png: nil), phases == nil ? Self.scatter : Self.heatMap))
        return Notebook(cells)
    }

    private func markdown(_ table: Table) throws -> String { try table.rendered(as: .markdown) }

    private var title: String {
        """
        # \(name)

        Written by `zoo export\(condition.map { " \"\($0)\"" } ?? "") --format notebook` (zoo \(ZooVersion.string)): \
        \(Quantity.count(tables.models.rows.count)) checkpoints, \
        \(Quantity.count(tables.metrics.rows.count)) measured values\(reason.map { "; no phases: \($0)" } ?? "").

        The cells read the files beside this notebook. Parquet is read with pandas where it is installed, else the same \
        table as CSV; NumPy is all that is needed.
        """
    }

    private func words(_ phases: ZooPhases) throws -> String {
        let diagram = phases.diagram
        func text(_ value: Double) -> String { Quantity.significant(value, digits: 4) }
        var table = Table([
            .init("phase"), .init("cells", .integer), .init(phases.sources.accuracy, .double), .init("sd", .double),
        ])
        for summary in diagram.summaries(of: phases.accuracies) {
            table.append([
                .text(summary.phase.rawValue), .int(summary.count), .double(summary.mean), .double(summary.deviation),
            ])
        }
        var limits: [String] = []
        if let side = diagram.side {
            limits.append(
                "sharp above \(text(side.value)) on the axis '\(diagram.rules.axis.rawValue)' (\(side.origin.rawValue))"
            )
        }
        limits.append(
            "a barrier below \(text(-diagram.rules.connectivityTolerance)) points (\(phases.toleranceOrigin.rawValue))")
        if let similar = diagram.similarity {
            limits.append("similar from CKA \(text(similar.value)) (\(similar.origin.rawValue))")
        }
        return "## Phases\n\nCells of \(phases.grid.axes.load.name) (load) and \(phases.grid.axes.temperature.name) "
            + "(temperature); \(limits.joined(separator: "; ")).\n\n" + (try markdown(table))
    }

    private static let reader = """
        import csv

        import numpy as np


        def table(name):
            \"\"\"A table as a dictionary of columns: from Parquet with pandas, else from the CSV beside it.\"\"\"
            try:
                import pandas

                frame = pandas.read_parquet(name + ".parquet")
                return {key: frame[key].to_numpy() for key in frame.columns}
            except ImportError:
                pass
            with open(name + ".csv", newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))

            def column(key):
                texts = [row[key] for row in rows]
                try:
                    return np.array([float(text) if text else np.nan for text in texts])
                except ValueError:
                    return np.array(texts, dtype=object)

            return {key: column(key) for key in rows[0]}


        def show(picture):
            \"\"\"A picture, where the notebook can show one.\"\"\"
            try:
                from IPython.display import Image, display

                display(Image(filename=picture))
            except ImportError:
                print(picture)
        """

    private static let models = """
        models = table("models")
        print(len(models["model"]), "checkpoints with", ", ".join(models))
        if "test_accuracy" in models:
            accuracy = np.asarray(models["test_accuracy"], dtype=float)
            print(f"test accuracy {np.nanmean(accuracy):.4f} on average, {np.nanmax(accuracy):.4f} at best")
        """

    private static let metrics = """
        metrics = table("metrics")
        names = np.asarray(metrics["metric"], dtype=object)
        values = np.asarray(metrics["value"], dtype=float)
        for name in sorted(set(names)):
            chosen = values[names == name]
            print(f"{name:22} {np.isfinite(chosen).sum():6} values, mean {np.nanmean(chosen):.6g}")
        """

    private var show: String { "show(\"\(picture)\")" }

    private static let grid = """
        grid = np.load("grid.npz")
        labels = np.array(["I", "II", "III", "IV-A", "IV-B", "IV", "?"])
        phase = labels[grid["phase"]]
        for temperature, row in zip(grid["temperature"], phase):
            print(f"{temperature:10g}", " ".join(f"{label:>5}" for label in row))
        for label in labels:
            chosen = grid["accuracy"][phase == label]
            if len(chosen):
                print(f"{label:>5} {len(chosen):3} cells, accuracy {chosen.mean():.4f}")
        """

    private static let check = """
        # The labels once more, from the numbers and two thresholds: barriers make I and III, CKA divides IV.
        barrier, similar, _ = grid["thresholds"]
        known = phase != "?"
        poor = grid["connectivity"] < barrier
        assert (np.isin(phase, ["I", "III"]) == poor)[known].all()
        connected = np.isin(phase, ["IV-A", "IV-B"])
        assert ((grid["similarity"] >= similar) == (phase == "IV-B"))[connected].all()
        print("labels agree with the thresholds in", int(known.sum()), "cells")
        """

    private static let heatMap = """
        try:
            import matplotlib.pyplot as plt

            figure, axes = plt.subplots()
            image = axes.imshow(grid["connectivity"], cmap="RdBu", aspect="auto")
            axes.set_xticks(range(len(grid["load"])), [f"{value:g}" for value in grid["load"]])
            axes.set_yticks(range(len(grid["temperature"])), [f"{value:g}" for value in grid["temperature"]])
            figure.colorbar(image, label="mode connectivity, points of error")
            plt.show()
        except ImportError:
            print("matplotlib draws this cell")
        """

    private static let scatter = """
        try:
            import matplotlib.pyplot as plt

            plt.scatter(models["train_loss"], models["test_accuracy"])
            plt.xscale("log")
            plt.show()
        except (ImportError, KeyError):
            print("matplotlib draws this cell")
        """
}
