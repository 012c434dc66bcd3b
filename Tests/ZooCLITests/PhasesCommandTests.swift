import Foundation
import Testing
import ZooBase
import ZooTestSupport

/// The grown zoo with its metrics, in a catalog for tests that only read.
enum PhaseCatalog {
    static let zoo = "digits-mlp-phases"
    static let shared: Result<Workbench, any Error> = Result {
        let bench = try Workbench()
        let run = try bench.zoo(
            "index", Repository.path("zoos/\(zoo).tar.gz"), Repository.path("zoos/digits-phases.tar.gz"))
        #expect(run.status == 0, "\(run.errors)")
        #expect(run.errors.contains("metrics added"))
        atexit { PhaseCatalog.remove() }
        return bench
    }

    private static func remove() {
        if let bench = try? shared.get() { try? FileManager.default.removeItem(atPath: bench.folder.path) }
    }
}

/// `zoo phases` and `zoo downstream` on the zoo that comes with its metrics.
@Suite struct PhasesCommandTests {
    private struct Cell {
        var width: Double
        var batch: Double
        var phase: String
        var metrics: JSONValue

        func mean(_ name: String) -> Double? { metrics[name]?["mean"]?.double }
    }

    private func cells(_ json: JSONValue) throws -> [Cell] {
        try #require(json["rows"]?.array).map { row in
            Cell(
                width: try #require(row["load"]?.double), batch: try #require(row["temperature"]?.double),
                phase: try #require(row["phase"]?.string), metrics: try #require(row["metrics"]))
        }
    }

    private func ranks(_ values: [Double]) -> [Double] {
        values.map { value in Double(values.count { $0 < value }) + Double(values.count { $0 == value } - 1) / 2 }
    }

    private func spearman(_ x: [Double], _ y: [Double]) -> Double {
        let a = ranks(x), b = ranks(y)
        let mean = Double(x.count - 1) / 2
        let product = zip(a, b).reduce(0) { $0 + ($1.0 - mean) * ($1.1 - mean) }
        let left = a.reduce(0) { $0 + ($1 - mean) * ($1 - mean) },
            right = b.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
        return product / (left * right).squareRoot()
    }

    /// What holds on any correct implementation for this recipe, whatever the generator.
    @Test func theShippedZooShowsAllPhasesWhereTheyBelong() throws {
        let json = try PhaseCatalog.shared.get().json("phases", PhaseCatalog.zoo)
        let cells = try cells(json)
        #expect(cells.count == 48)
        #expect(Set(cells.map(\.phase)) == ["I", "II", "III", "IV-A", "IV-B"])
        // II in the hot corner of small networks; III between I and IV; IV-B at the largest width only.
        for cell in cells where cell.batch == 4 && cell.width <= 6 { #expect(cell.phase == "II") }
        for cell in cells where cell.phase == "IV-B" { #expect(cell.width == 32) }
        for cell in cells where cell.phase == "III" { #expect(cell.width >= 8 && cell.width <= 16) }
        for cell in cells where cell.phase == "I" { #expect(cell.width <= 8) }
        let accuracies = Dictionary(grouping: cells, by: \.phase).mapValues { list in
            list.compactMap { $0.mean("eval_test_accuracy") }.reduce(0, +) / Double(list.count)
        }
        let order = ["I", "III", "IV-A", "IV-B"].map { accuracies[$0] ?? 0 }
        #expect(zip(order, order.dropFirst()).allSatisfy { $0 < $1 }, "\(order)")
        for cell in cells where cell.batch >= 8 {
            if cell.width == 8 { #expect(cell.mean("curve_mc") ?? 0 < -1.5, "\(cell)") }
            if cell.width == 32 { #expect(cell.mean("curve_mc") ?? -9 > -1, "\(cell)") }
        }
        for batch in Set(cells.map(\.batch)) {
            let wide = cells.filter { $0.batch == batch && $0.width >= 6 }
            #expect(spearman(wide.map(\.width), wide.compactMap { $0.mean("cka_mixup") }) > 0.8)
        }
        #expect(json["kruskal_wallis"]?["p"]?.double ?? 1 < 1e-4)
    }

    @Test func jsonIsCompleteAndSaysWhereThresholdsComeFrom() throws {
        let bench = try PhaseCatalog.shared.get()
        let json = try bench.json("phases", PhaseCatalog.zoo)
        #expect(json["load"]?["key"]?.string == "model::width" && json["load"]?["increases"]?.string == "capacity")
        #expect(json["temperature"]?["values"]?.array?.first?.int == 4)
        let limits = try #require(json["thresholds"])
        #expect(limits["sharp"]?["origin"]?.string == "otsu" && limits["connected"]?["origin"]?.string == "fixed")
        #expect(limits["similar"]?["origin"]?.string == "otsu" && limits["underfitted_loss"]?["classes"]?.int == 10)
        let row = try #require(json["rows"]?.array?[46])
        #expect(
            keys(row) == ["load", "temperature", "phase", "confidence", "flags", "coordinate", "networks", "metrics"])
        #expect(row["networks"]?.array?.count == 3)
        for name in ["landscape_loss", "hessian_top", "hessian_trace", "curve_mc", "cka", "cka_mixup", "distance"] {
            #expect(row["metrics"]?[name]?["n"]?.int == 3, "\(name)")
        }
        // A constant network has no CKA, and the reason is there.
        let hottest = try #require(json["rows"]?.array?[0]["metrics"]?["cka"])
        if hottest["mean"] == .null { #expect(hottest["mean_reason"]?.string != nil) }
        let transitions = try #require(json["transitions"]?.array)
        let border = try #require(transitions.first { $0["from"]?.string == "III" && $0["to"]?.string == "IV-A" })
        let between = try #require(border["between"]?.array?.compactMap { $0.double })
        let at = try #require(border["at"]?.double)
        #expect(at > between.min() ?? 0 && at < between.max() ?? 0)
        #expect(abs(log2(at) - (border["log2_at"]?.double ?? 0)) < 1e-12)
        let cells = try #require(json["phases"]?.array?.compactMap { $0["cells"]?.int }).reduce(0, +)
        #expect(cells == 48)
        // Threads and repetition change nothing.
        #expect(try bench.json("phases", PhaseCatalog.zoo, "--jobs", "1") == json)
        #expect(try bench.json("phases", PhaseCatalog.zoo, "--seed", "5")["thresholds"] == json["thresholds"])
    }

    @Test func thresholdsCanBeGiven() throws {
        let bench = try PhaseCatalog.shared.get()
        func labels(_ options: String...) throws -> (labels: [String], json: JSONValue) {
            let json = try bench.json(["phases", PhaseCatalog.zoo, "--resamples", "0"] + options)
            return (try cells(json).map(\.phase), json)
        }
        let all = try labels()
        let loose = try labels("--connected", "1000")
        #expect(!loose.labels.contains("I") && !loose.labels.contains("III"))
        #expect(loose.json["thresholds"]?["connected"]?["origin"]?.string == "user")
        let similar = try labels("--similar", "0")
        #expect(!similar.labels.contains("IV-A") && similar.json["thresholds"]?["similar"]?["origin"]?.string == "user")
        let sharp = try labels("--sharp", "1000")
        // Underfitted cells stay sharp by definition, the others become flat.
        #expect(sharp.labels.count { $0 == "I" } < all.labels.count { $0 == "I" } && sharp.labels.contains("II"))
        #expect(try labels("--axis", "loss").labels != all.labels)
        #expect(try labels("--smooth").json["smoothed_changes"]?.int ?? -1 > 0)
        #expect(try labels("--sharpness", "hessian_top").json["sources"]?["sharpness"]?.string == "hessian_top")
    }

    @Test func figuresAreDrawn() throws {
        let bench = try PhaseCatalog.shared.get()
        let svg = bench.file("phases.svg"), png = bench.file("phases.png")
        _ = try bench.json("phases", PhaseCatalog.zoo, "--figure", svg)
        _ = try bench.json("phases", PhaseCatalog.zoo, "--figure", png)
        let text = try String(contentsOfFile: svg, encoding: .utf8)
        for word in ["training loss", "Hessian trace", "mode connectivity", "test accuracy", "IV-B"] {
            #expect(text.contains(word), "\(word)")
        }
        #expect(try Data(contentsOf: URL(fileURLWithPath: png)).prefix(4) == Data([0x89, 0x50, 0x4E, 0x47]))
        let other = try bench.zoo("phases", PhaseCatalog.zoo, "--figure", bench.file("phases.pdf"))
        #expect(other.status == 64 && other.errors.contains(".svg"))
    }

    /// The shipped values, computed again for one cell from the weights.
    @Test(.timeLimit(.minutes(2))) func shippedValuesAreThoseOfTheWeights() throws {
        let shipped = try PhaseCatalog.shared.get()
        let bench = try Workbench()
        // Without the file beside it: through a link in a folder of its own.
        let link = bench.file("\(PhaseCatalog.zoo).tar.gz")
        try FileManager.default.copyItem(atPath: Repository.path("zoos/\(PhaseCatalog.zoo).tar.gz"), toPath: link)
        #expect(try bench.zoo("index", link).status == 0)
        let run = try bench.zoo(
            "phases", PhaseCatalog.zoo, "--where", "width in (8, 32) and batchsize in (16, 128)", "--data",
            "digits-standard:train", "--test", "digits-standard:test", "--json")
        #expect(run.status == 0, "\(run.errors)")
        let found = try cells(JSONParser.parse(run.output))
        #expect(found.count == 4)
        let all = try cells(shipped.json("phases", PhaseCatalog.zoo, "--resamples", "0"))
        for cell in found {
            let known = try #require(all.first { $0.width == cell.width && $0.batch == cell.batch })
            for (name, tolerance) in [
                ("landscape_loss", 1e-5), ("hessian_top", 1e-3), ("hessian_trace", 1e-3), ("curve_mc", 0.05),
                ("cka", 1e-4), ("cka_mixup", 1e-4), ("distance", 1e-5), ("eval_test_accuracy", 1e-9),
            ] {
                let a = try #require(cell.mean(name)), b = try #require(known.mean(name))
                // Processors round differently; mc is a difference of errors of 1,000 samples.
                let scale = name == "curve_mc" ? 1 : max(abs(b), 1e-3)
                #expect(abs(a - b) <= tolerance * scale, "\(name) \(a) \(b)")
            }
        }
        // What is there is not measured again.
        let again = try bench.zoo(
            "phases", PhaseCatalog.zoo, "--where", "width in (8, 32) and batchsize in (16, 128)", "--data",
            "digits-standard:train", "--test", "digits-standard:test", "--json")
        #expect(again.errors.contains("recorded 0 values"))
        #expect(again.output == run.output)
    }

    @Test func whatIsMissingIsSaidWithTheCommand() throws {
        let bench = try Workbench()
        #expect(try bench.zoo("index", SampleZoo.cnn).status == 0)
        let none = try bench.zoo("phases", "digits-cnn")
        #expect(
            none.status == 1 && none.errors.contains("no grid") && none.errors.contains("zoo train"), "\(none.errors)")
        let unknown = try bench.zoo("phases", "digits-cmn")
        #expect(unknown.status == 1 && unknown.errors.contains("'digits-cnn'"), "\(unknown.errors)")
        let key = try bench.zoo("phases", "digits-cnn", "--load", "nosuch")
        #expect(key.status == 1 && key.errors.contains("nosuch"), "\(key.errors)")
        // Networks without metrics.
        let link = bench.file("bare.tar.gz")
        try FileManager.default.copyItem(atPath: Repository.path("zoos/digits-mlp-phases.tar.gz"), toPath: link)
        #expect(try bench.zoo("index", link).status == 0)
        let bare = try bench.zoo("phases", "bare")
        #expect(bare.status == 1 && bare.errors.contains("curve_mc") && bare.errors.contains("zoo phases bare --data"))
        let lonely = try bench.zoo("phases", "bare", "--where", "seed = 0")
        #expect(lonely.status == 1 && lonely.errors.contains("every cell has one network"), "\(lonely.errors)")
        let narrow = try bench.zoo("phases", "bare", "--where", "width = 8")
        #expect(narrow.status == 1 && narrow.errors.contains("no grid"), "\(narrow.errors)")
        // Images that are not standardised are not what these networks were tested on.
        let other = try bench.zoo(
            "phases", "bare", "--test", "zoos/digits-tasks/data/zoo_c_data.safetensors:clean.test")
        #expect(other.status == 1 && other.errors.contains("recorded and recomputed clean.test losses disagree"))
        let file = bench.file("pairs.csv")
        try Data("a,b,label\n1,2,0\n3,4,1\n".utf8).write(to: URL(fileURLWithPath: file))
        let shape = try bench.zoo("phases", "bare", "--data", file)
        #expect(shape.status == 1 && shape.errors.contains("zoo 'bare' on \(file)"), "\(shape.errors)")
        #expect(lines(shape.errors, startingWith: "zoo: error").count == 1)
    }

    /// Looking at one pair does not spoil what the phases are told from.
    @Test func aCurveOfOnePairLeavesThePhasesAlone() throws {
        let bench = try Workbench()
        #expect(try bench.zoo("index", Repository.path("zoos/\(PhaseCatalog.zoo).tar.gz")).status == 0)
        let before = try bench.json("phases", PhaseCatalog.zoo)
        let pair = [0, 1].map { "where:width = 8 and batchsize = 128 and seed = \($0)" }
        let run = try bench.zoo(
            ["path"] + pair + ["--data", "digits-standard:train", "--curve", "bezier", "--curve-epochs", "2"])
        #expect(run.status == 0 && run.errors.contains("not recorded"), "\(run.errors)")
        #expect(try bench.json("phases", PhaseCatalog.zoo) == before)
    }

    @Test func tablesForPeopleAreNarrowAndFilesWhole() throws {
        let bench = try PhaseCatalog.shared.get()
        let run = try bench.zoo("phases", PhaseCatalog.zoo, "--resamples", "20")
        let lines = run.output.split(whereSeparator: \.isNewline)
        #expect(
            lines[0].split(separator: " ") == [
                "width", "batchsize", "phase", "conf", "n", "loss", "trace", "mc", "cka", "accuracy", "flags",
            ])
        #expect(lines.allSatisfy { $0.count <= 100 } && lines.count == 49, "\(lines.map(\.count).max() ?? 0)")
        #expect(run.errors.contains("loss is landscape_loss, trace is hessian_trace, mc is curve_mc"))
        let csv = try bench.zoo("phases", PhaseCatalog.zoo, "--resamples", "20", "--csv")
        #expect(csv.output.hasPrefix("width,batchsize,phase,confidence,networks,landscape_loss,hessian_trace,"))
        #expect(csv.output.contains("collapsed underfitted") && !run.output.contains("collapsed underfitted"))
    }

    // MARK: Other zoos

    /// Three widths, three batch sizes and two seeds of the shipped zoo with its settings rewritten.
    ///
    /// - Parameter edit: gets a trial's settings and its number.
    private func variant(
        _ bench: Workbench, _ name: String, _ edit: (inout JSONObject, Int) -> Void
    ) throws {
        let shipped = bench.file("shipped")
        if !FileManager.default.fileExists(atPath: shipped) {
            try FileManager.default.createDirectory(atPath: shipped, withIntermediateDirectories: true)
            let tar = Process()
            tar.executableURL = URL(fileURLWithPath: "/usr/bin/env")
            tar.arguments = ["tar", "xzf", Repository.path("zoos/\(PhaseCatalog.zoo).tar.gz"), "-C", shipped]
            try tar.run()
            tar.waitUntilExit()
            try #require(tar.terminationStatus == 0)
        }
        let source = shipped + "/" + PhaseCatalog.zoo
        let files = FileManager.default
        var number = 0
        for trial in try files.contentsOfDirectory(atPath: source).sorted() {
            let parameters = "\(source)/\(trial)/params.json"
            var config = try #require(try JSONParser.parse(Bytes(mapping: parameters)).object)
            guard [2, 8, 32].contains(config["model::width"]?.int),
                [8, 32, 128].contains(config["training::batchsize"]?.int),
                (config["seed"]?.int ?? 2) < 2
            else { continue }
            let target = bench.file("\(name)/trial_\(100 + number)")
            try files.createDirectory(atPath: bench.file(name), withIntermediateDirectories: true)
            try files.copyItem(atPath: "\(source)/\(trial)", toPath: target)
            config["training::manifest"] = nil
            edit(&config, number)
            try Data(JSONValue.object(config).text().utf8).write(to: URL(fileURLWithPath: target + "/params.json"))
            number += 1
        }
        try #require(number == 18)
        let run = try bench.zoo("index", bench.file(name), "--quiet")
        try #require(run.status == 0, "\(run.errors)")
    }

    /// Settings under other names, nested, as texts: the same grid. Phases need no more than that, so that nothing is
    /// measured here: the error names what is missing only when the grid was found.
    @Test(.timeLimit(.minutes(2))) func gridsAreFoundUnderOtherNames() throws {
        let bench = try Workbench()
        try variant(bench, "nested") { config, _ in
            config["model"] = ["width": config["model::width"] ?? .null, "nlin": "relu"]
            config["data"] = ["loader": ["batch_size": config["training::batchsize"] ?? .null]]
            for key in ["model::width", "training::batchsize"] { config[key] = nil }
        }
        try variant(bench, "numerals") { config, _ in
            for key in ["model::width", "training::batchsize", "seed"] {
                config[key] = .string(config[key]?.text() ?? "")
            }
        }
        // No word for the load, the seed called otherwise, a second seed beside it.
        try variant(bench, "sizes") { config, number in
            config["model::size"] = config["model::width"]?.int == 2 ? "tiny" : "large"
            config["rng"] = config["seed"]
            config["data_seed"] = .int(Int64(number * 7919 % 1009))
            for key in ["model::width", "seed"] { config[key] = nil }
        }
        for name in ["nested", "numerals", "sizes"] {
            let run = try bench.zoo("phases", name)
            #expect(run.status == 1 && run.errors.contains("has no values of landscape_loss"), "\(name): \(run.errors)")
        }
        // The whole way once, with an odd choice of names.
        try variant(bench, "odd") { config, _ in
            config["size of net"] = config["model::width"]
            config["B'atch Größe"] = config["training::batchsize"]
            config["model::family"] = nil
            for key in ["model::width", "training::batchsize"] { config[key] = nil }
        }
        let vague = try bench.zoo("phases", "odd")
        #expect(vague.status == 64 && vague.errors.contains("B'atch Größe") && vague.errors.contains("--load KEY"))
        let json = try bench.json(
            "phases", "odd", "--load", "size of net", "--temperature", "B'atch Größe", "--heat-order", "coldness",
            "--data", "digits-standard:train", "--subset", "100", "--resamples", "0", "--figure", bench.file("odd.svg"))
        #expect(json["rows"]?.array?.count == 9 && json["temperature"]?["values"]?.array?.first?.int == 8)
        let sizes = try bench.json(
            "phases", "odd", "--load", "parameters", "--temperature", "B'atch Größe", "--resamples", "0")
        #expect(sizes["load"]?["key"]?.string == "parameters" && sizes["rows"]?.array?.count == 9)
    }

    @Test(.timeLimit(.minutes(2))) func gridsThatCannotBeAreExplained() throws {
        let bench = try Workbench()
        try variant(bench, "words") { config, _ in
            config["optim::kind"] = config["training::batchsize"]?.int == 8 ? "sgd" : "adam"
            config["training::batchsize"] = nil
        }
        let words = try bench.zoo("phases", "words")
        #expect(words.status == 1 && words.errors.contains("only 'model::width' varies"), "\(words.errors)")
        #expect(words.errors.contains("'optim::kind' is a text (adam, sgd)"), "\(words.errors)")
        let asked = try bench.zoo("phases", "words", "--load", "width", "--temperature", "kind")
        #expect(asked.status == 1 && asked.errors.contains("'optim::kind' is a text"), "\(asked.errors)")
        try variant(bench, "gaps") { config, number in
            if number == 5 { config["model::width"] = nil }
            if number == 7 { config["training::batchsize"] = .null }
        }
        let gaps = try bench.zoo("phases", "gaps")
        #expect(
            gaps.status == 1 && gaps.errors.contains("'model::width' is no number in 1 of 18 networks"),
            "\(gaps.errors)")
        #expect(gaps.errors.contains("--where \"batchsize > 7\""), "\(gaps.errors)")
        let rest = try bench.zoo("phases", "gaps", "--where", "width > 1 and batchsize > 1")
        #expect(rest.errors.contains("has no values of landscape_loss"), "\(rest.errors)")
        // Networks of a cell that differ in more than the seed are told.
        try variant(bench, "mixed") { config, _ in
            config["optim::wd"] = config["seed"]?.int == 0 ? 0.0005 : 0.001
        }
        let mixed = try bench.zoo(
            "phases", "mixed", "--load", "width", "--temperature", "batchsize", "--data", "digits-standard:train",
            "--subset", "60", "--resamples", "0")
        #expect(
            mixed.status == 0 && mixed.errors.contains("networks of one cell differ in optim::wd too"),
            "\(mixed.errors)")
    }

    @Test func valuesFromDifferentSamplesAreRefused() throws {
        let bench = try Workbench()
        #expect(try bench.zoo("index", Repository.path("zoos/\(PhaseCatalog.zoo).tar.gz")).status == 0)
        let mixed = try bench.zoo(
            "landscape", "where:width = 2 and batchsize = 4", "--data", "digits-standard:train", "--subset", "100",
            "--metrics", "loss")
        #expect(mixed.status == 0, "\(mixed.errors)")
        let run = try bench.zoo("phases", PhaseCatalog.zoo)
        #expect(run.status == 1 && run.errors.contains("landscape_loss was measured on different samples"))
        #expect(run.errors.contains("--data"))
    }

    @Test func metricsOfDifferentSamplesDoNotDecideTogether() throws {
        let bench = try Workbench()
        let source = bench.file("mixed.tar.gz")
        try FileManager.default.copyItem(
            atPath: Repository.path("zoos/\(PhaseCatalog.zoo).tar.gz"), toPath: source)
        let text = try String(
            contentsOfFile: Repository.path("zoos/\(PhaseCatalog.zoo).metrics.jsonl"), encoding: .utf8)
        // Curves on other samples than losses and curvature.
        let changed = text.replacing("samples=a9eacb8466a6e71e training=", with: "samples=0123456789abcdef training=")
        #expect(changed != text)
        try Data(changed.utf8).write(to: URL(fileURLWithPath: bench.file("mixed.metrics.jsonl")))
        #expect(try bench.zoo("index", source).status == 0)
        let run = try bench.zoo("phases", "mixed")
        #expect(run.status == 1 && run.errors.contains("were measured on different samples"), "\(run.errors)")
        #expect(run.errors.contains("curve_mc on digits-standard:train (samples 0123456789abcdef)"), "\(run.errors)")
    }

    @Test func downstreamStudiesByPhase() throws {
        let bench = try PhaseCatalog.shared.get()
        let arguments = [
            "downstream", PhaseCatalog.zoo, "--data", "digits-standard:train", "--test", "digits-standard:test",
            "--densities", "0.5,0.1",
        ]
        let json = try bench.json(arguments + ["--figure", bench.file("gains.svg")])
        func gain(_ study: String, _ phase: String) throws -> Double {
            try #require(
                json["phases"]?.array?.first { $0["study"]?.string == study && $0["phase"]?.string == phase }?["gain"]?
                    .double)
        }
        // Without alignment averages of seeds fall apart, with it less; ensembles gain where networks differ most.
        for phase in ["I", "III", "IV-A", "IV-B"] {
            #expect(try gain("seeds", phase) < gain("seeds_aligned", phase))
            #expect(try gain("ensemble", phase) > 0)
            #expect(try gain("prune_0.1", phase) < gain("prune_0.5", phase))
        }
        #expect(try gain("ensemble", "III") > gain("ensemble", "IV-B"))
        #expect(try gain("seeds_aligned", "IV-B") > -0.1)
        let row = try #require(json["rows"]?.array?.first)
        #expect(row["studies"]?["epochs"]?["accuracy_reason"]?.string?.contains("one checkpoint") == true)
        #expect(try bench.json(arguments + ["--jobs", "1", "--figure", bench.file("gains.png")]) == json)
        let byCell = try bench.zoo(
            "downstream", PhaseCatalog.zoo, "--data", "digits-standard:train", "--test", "digits-standard:test",
            "--studies", "ensemble", "--by", "cell", "--csv")
        #expect(byCell.output.split(whereSeparator: \.isNewline).count == 49)
        let wrong = try bench.zoo(
            "downstream", PhaseCatalog.zoo, "--data", "digits-standard:train", "--test", "digits-standard:test",
            "--studies", "ensembel")
        #expect(wrong.status == 64 && wrong.errors.contains("'ensemble'"), "\(wrong.errors)")
    }
}
