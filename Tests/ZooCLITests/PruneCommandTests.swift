import Foundation
import Testing
import ZooBase
import ZooFormats
import ZooTensor
import ZooTestSupport

/// `zoo prune score`, `mask`, `structured`, `retrain`, `export` and `bench` on the tiny networks of the fixtures.
@Suite struct PruneCommandTests {
    private static let words = "[PAD] [UNK] [CLS] [SEP] [MASK] the model is small net ##work ##s a of and text . , !"
    private static let plain = ["the", "model", "is", "small", "net", "a", "of", "and", "text"]

    /// The tiny MiniLM with a vocabulary, and triplets of its words.
    struct Desk {
        let bench: Workbench
        let model: String, domain: String, general: String

        init(architecture: String = "minilm") throws {
            bench = try Workbench()
            model = bench.file(architecture)
            try FileManager.default.copyItem(
                atPath: Repository.path("Tests/ZooNNTests/Fixtures/architectures/" + architecture), toPath: model)
            var tokens = PruneCommandTests.words.split(separator: " ").map(String.init)
            let config = try JSONParser.parse(Bytes(mapping: model + "/config.json"))
            while tokens.count < config["vocab_size"]?.int ?? 37 { tokens.append("filler\(tokens.count)") }
            try AtomicFile.write(model + "/vocab.txt", Array((tokens.joined(separator: "\n") + "\n").utf8))
            domain = bench.file("domain.jsonl")
            general = bench.file("general.jsonl")
            try Self.write(domain, seed: 1)
            try Self.write(general, seed: 2)
        }

        static func write(_ path: String, seed: UInt64) throws {
            var generator = SeededGenerator(seed: seed)
            let lines = (0..<24).map { number in
                func text() -> String {
                    (0..<4).map { _ in plain[generator.below(plain.count)] }.joined(separator: " ")
                }
                return
                    "{\"query\": \"filler\(19 + number % 18) \(text())\", \"positive\": \"\(text()) \(seed) \(number)\", "
                    + "\"negative\": \"small \(text())\"}"
            }
            try AtomicFile.write(path, Array(lines.joined(separator: "\n").utf8))
        }

        func score(_ extra: String...) throws -> ZooProgram.Result {
            try bench.zoo(
                ["prune", "score", model, "--domain", domain, "--general", general, "--to", bench.file("scores")]
                    + extra)
        }
    }

    private func vectors(_ bench: Workbench, _ model: String) throws -> [Double] {
        let json = try bench.json("embed", model, "--text", "the model is small", "--text", "a text of the net")
        return json["vectors"]?.array?.flatMap { $0.array?.compactMap(\.double) ?? [] } ?? []
    }

    private func difference(_ a: [Double], _ b: [Double]) -> Double {
        a.count == b.count ? zip(a, b).map { abs($0 - $1) }.max() ?? .infinity : .infinity
    }

    @Test func scoredOnceMaskedOften() throws {
        let desk = try Desk(), bench = desk.bench
        #expect(try desk.score().status == 0)
        let before = try Data(contentsOf: URL(fileURLWithPath: desk.model + "/model.safetensors"))
        let dense = try vectors(bench, desk.model)
        let methods: [(String, [String])] = [
            ("dai", []), ("dai", ["--align", "row", "--group", "row"]),
            ("dai", ["--align", "element", "--beta", "0.25"]),
            ("dai-faithful", []), ("dai-code", []), ("anchored", []), ("magnitude", ["--group", "tensor"]),
            ("wanda", []),
            ("wanda", ["--group", "global"]),
            ("sparsegpt", ["--side", "both"]), ("obd", []), ("snip", []), ("fisher", ["--side", "general"]),
            ("random", ["--seed", "3"]), ("magnitude", ["--layers", "attn"]), ("magnitude", ["--layers", "linear"]),
        ]
        for (number, (method, options)) in methods.enumerated() {
            let to = bench.file("masked\(number)")
            let report = try bench.json(
                ["prune", "mask", bench.file("scores"), "--method", method, "--sparsity", "0.5", "--to", to] + options)
            let candidates = try #require(report["candidate_weights"]?.int), zeros = try #require(report["zeros"]?.int)
            let group = report["group"]?.string
            #expect(group == "row" || group == "tensor" || zeros == candidates / 2, "\(method) \(options)")
            #expect(abs(Double(zeros) / Double(candidates) - 0.5) < 0.02)
            #expect(try #require(report["model_sparsity"]?.double) < 0.5)
            let source = try CheckpointFile.open(to).source
            var counted = 0
            for entry in report["tensors"]?.array ?? [] {
                let name = try #require(entry["name"]?.string)
                let found = try source.tensor(named: name).floats().count { $0 == 0 }
                #expect(found == entry["zeros"]?.int, "\(method) \(name)")
                counted += found
            }
            #expect(counted == zeros)
            #expect(difference(try vectors(bench, to), dense) > 0)
        }
        // What was scored is as it was.
        #expect(try Data(contentsOf: URL(fileURLWithPath: desk.model + "/model.safetensors")) == before)
        let faithful = try bench.zoo(
            "prune", "mask", bench.file("scores"), "--method", "dai-faithful", "--sparsity", "0.3", "--to",
            bench.file("again"))
        #expect(faithful.errors.contains("Fisher term over magnitude term"), "\(faithful.errors)")
        // Nothing pruned is the network itself.
        let none = try bench.zoo(
            "prune", "mask", bench.file("scores"), "--method", "sparsegpt", "--sparsity", "0", "--to",
            bench.file("none"))
        #expect(none.status == 0, "\(none.errors)")
        let same = try CheckpointFile.open(bench.file("none")).source, own = try CheckpointFile.open(desk.model).source
        for info in own.tensorInfos {
            #expect(try same.tensor(named: info.name).isIdentical(to: own.tensor(named: info.name)), "\(info.name)")
        }
        #expect(
            try bench.zoo("prune", "mask", bench.file("scores"), "--sparsity", "1", "--to", bench.file("x")).status
                == 64)
        let pattern = try bench.json(
            "prune", "mask", bench.file("scores"), "--method", "sparsegpt", "--group", "2:4", "--to", bench.file("p"))
        #expect(pattern["candidate_sparsity"]?.double == 0.5)
        // Compact storage gives the very tensors back.
        let compact = try bench.json("prune", "export", bench.file("p"), "--compact", "--to", bench.file("compact"))
        #expect(try #require(compact["share"]?.double) < 1)
        #expect(try vectors(bench, bench.file("compact")) == vectors(bench, bench.file("p")))
    }

    @Test func smallerNetworksLoad() throws {
        let desk = try Desk(), bench = desk.bench
        #expect(try desk.score().status == 0)
        let dense = try vectors(bench, desk.model)
        for (number, options) in [
            ["--ffn", "0.25"], ["--ffn", "0.5", "--by", "activation", "--global"], ["--heads", "0.25"],
            ["--ffn", "0.25", "--heads", "0.5", "--by", "magnitude", "--uncompensated"],
            ["--ffn", "0.25", "--by", "obd"], ["--ffn", "0.25", "--heads", "0.5", "--side", "domain"],
        ].enumerated() {
            let to = bench.file("small\(number)")
            let report = try bench.json(["prune", "structured", bench.file("scores"), "--to", to] + options)
            #expect(try #require(report["kept_weights"]?.int) < (report["model_weights"]?.int ?? 0))
            let found = try vectors(bench, to)
            #expect(found.count == dense.count && difference(found, dense) > 0, "\(options)")
            let bytes = try FileManager.default.attributesOfItem(atPath: to + "/model.safetensors")[.size] as? Int
            let whole =
                try FileManager.default.attributesOfItem(atPath: desk.model + "/model.safetensors")[.size] as? Int
            #expect((bytes ?? .max) < (whole ?? 0))
        }
        let config = try JSONParser.parse(Bytes(mapping: bench.file("small0") + "/config.json"))
        #expect(config["intermediate_size"]?.int == 30)
        let heads = try JSONParser.parse(Bytes(mapping: bench.file("small2") + "/config.json"))
        #expect(heads["layer_heads"]?.array?.compactMap(\.int) == [3, 3])
        let rows = try bench.rows(
            "prune", "bench", desk.model, bench.file("small0"), "--length", "8", "--seconds", "0.01")
        #expect(rows.count >= 8 && rows.allSatisfy { ($0["milliseconds"]?.double ?? 0) > 0 })
    }

    @Test func trainingHoldsZeros() throws {
        let desk = try Desk(), bench = desk.bench
        #expect(try desk.score().status == 0)
        let pruned = bench.file("pruned"), to = bench.file("trained")
        #expect(
            try bench.zoo("prune", "mask", bench.file("scores"), "--sparsity", "0.7", "--to", pruned).status == 0)
        let report = try bench.json(
            "prune", "retrain", pruned, "--domain", desk.domain, "--general", desk.general, "--steps", "5", "--batch",
            "8", "--rate", "0.001", "--control", desk.model, "--to", to)
        let runs = try #require(report["runs"]?.array)
        #expect(runs.count == 2 && runs[0]["zeros_held"]?.bool == true && runs[1]["control"]?.bool == true)
        let before = try CheckpointFile.open(pruned).source, after = try CheckpointFile.open(to).source
        let control = try CheckpointFile.open(to + "-control").source
        var zeros = 0
        for info in before.tensorInfos {
            let old = try before.tensor(named: info.name), new = try after.tensor(named: info.name)
            if info.name.contains("embeddings.word") { #expect(new.isIdentical(to: old)) }
            guard info.name.contains("intermediate.dense.weight") || info.name.contains(".output.dense.weight"),
                !info.name.contains("attention")
            else { continue }
            for (a, b) in zip(old.floats(), new.floats()) where a == 0 {
                #expect(b.bitPattern == 0)
                zeros += 1
            }
            #expect(!new.isIdentical(to: old))
            #expect(try control.tensor(named: info.name).floats().allSatisfy { $0 != 0 })
        }
        #expect(zeros > 0 && zeros == runs[0]["zeros"]?.int)
        // The same command gives the same network.
        let again = try bench.json(
            "prune", "retrain", pruned, "--domain", desk.domain, "--general", desk.general, "--steps", "5", "--batch",
            "8", "--rate", "0.001", "--to", bench.file("again"), "--jobs", "1")
        #expect(again["runs"]?.array?.first?["last_loss"] == runs[0]["last_loss"])
        #expect(try vectors(bench, bench.file("again")) == vectors(bench, to))
    }

    @Test func networksForImagesArePrunedToo() throws {
        let bench = try Workbench()
        let data = Repository.path("zoos/digits-tasks/data/zoo_c_data.safetensors")
        let model = Repository.path("zoos/digits-tasks/pretrained.safetensors")
        let scored = try bench.zoo(
            "prune", "score", model, "--domain", data + ":rot90.val", "--general", data + ":rot90.val", "--n", "64",
            "--batch", "16", "--to", bench.file("scores"))
        guard scored.status == 0 else {
            Issue.record("\(scored.errors)")
            return
        }
        for (method, group) in [("dai", "global"), ("wanda", "row"), ("sparsegpt", "tensor"), ("obd", "row")] {
            let to = bench.file(method)
            let report = try bench.json(
                "prune", "mask", bench.file("scores"), "--method", method, "--group", group, "--sparsity", "0.5",
                "--to", to)
            let share = try #require(report["candidate_sparsity"]?.double)
            #expect(abs(share - 0.5) < 0.06, "\(method): \(share)")
            #expect(try bench.zoo("inspect", to + "/model.safetensors").status == 0)
        }
    }

    /// Residual networks lose channels with the norms and statistics that belong to them.
    @Test func residualNetworksArePrunedToo() throws {
        let bench = try Workbench(), data = bench.file("data.safetensors")
        let model = Repository.path("Tests/ZooNNTests/Fixtures/architectures/resnet18")
        var generator = SeededGenerator(seed: 5)
        var state = StateDict()
        state["x"] = Tensor(
            (0..<40 * 3 * 16 * 16).map { _ in Float(generator.below(2001)) / 1000 - 1 }, shape: [40, 3, 16, 16])
        state["y"] = Tensor((0..<40).map { Int64($0 % 5) }, shape: [40])
        try SafetensorsWriter.write(state, to: data)
        let scored = try bench.zoo(
            "prune", "score", model, "--domain", data, "--general", data, "--to", bench.file("scores"))
        try #require(scored.status == 0, "\(scored.errors)")
        for method in PruneCommandTests.methods where method != "dai-faithful" && method != "random" {
            let to = bench.file(method)
            let report = try bench.json(
                "prune", "mask", bench.file("scores"), "--method", method, "--sparsity", "0.5", "--to", to)
            #expect(abs(try #require(report["candidate_sparsity"]?.double) - 0.5) < 0.1, "\(method)")
            #expect(try bench.zoo("eval", to, "--data", data).status == 0, "\(method)")
        }
        for by in ["obd", "magnitude"] {
            let to = bench.file("small-" + by)
            let report = try bench.json(
                "prune", "structured", bench.file("scores"), "--channels", "0.3", "--by", by, "--to", to)
            #expect(try #require(report["kept_weights"]?.int) < (report["model_weights"]?.int ?? 0))
            let run = try bench.zoo("eval", to, "--data", data)
            #expect(run.status == 0, "\(run.errors)")
        }
        let timed = try bench.rows(
            "prune", "bench", model, bench.file("small-obd"), "--set", "input=[3,16,16]", "--seconds", "0.01")
        #expect(timed.map { $0["work"]?.string } == ["samples", "samples", "samples", "samples"])
        #expect(timed.map { $0["size"]?.int } == [1, 64, 1, 64])
        #expect(timed.allSatisfy { ($0["milliseconds"]?.double ?? 0) > 0 && $0["times_faster"]?.double != nil })
        let absent = try bench.zoo("prune", "structured", bench.file("scores"), "--ffn", "0.3", "--to", bench.file("x"))
        #expect(absent.status == 1 && absent.errors.contains("lose channels: --channels"), "\(absent.errors)")
        let wrong = try bench.zoo(
            "prune", "structured", bench.file("scores"), "--channels", "0.3", "--by", "activation", "--to",
            bench.file("x"))
        #expect(wrong.status == 1 && wrong.errors.contains("is a convolution"), "\(wrong.errors)")
    }

    /// Grouped and dilated convolutions, two of which read one value: each group of outputs has inputs of its own.
    @Test func groupedConvolutionsArePrunedToo() throws {
        let bench = try Workbench(), data = bench.file("data.safetensors")
        let folder = Repository.path("Tests/ZooNNTests/Fixtures/architectures/windows")
        var generator = SeededGenerator(seed: 6)
        var state = StateDict()
        state["x"] = Tensor(
            (0..<40 * 300).map { _ in Float(generator.below(2001)) / 1000 - 1 }, shape: [40, 3, 10, 10])
        state["y"] = Tensor((0..<40).map { Int64($0 % 5) }, shape: [40])
        try SafetensorsWriter.write(state, to: data)
        let scored = try bench.zoo(
            "prune", "score", folder + "/model.safetensors", "--architecture", folder + "/architecture.yaml",
            "--domain", data, "--general", data, "--to", bench.file("scores"))
        try #require(scored.status == 0, "\(scored.errors)")
        for (method, sparsity) in [
            ("wanda", 0.5), ("sparsegpt", 0.5), ("sparsegpt", 0.7), ("anchored", 0.5), ("dai", 0.5),
        ] {
            let to = bench.file(method + "\(sparsity)")
            let report = try bench.json(
                "prune", "mask", bench.file("scores"), "--method", method, "--sparsity", "\(sparsity)", "--to", to)
            // Of nine weights in a row four or six go: what is left over stays.
            let found = try #require(report["candidate_sparsity"]?.double)
            #expect(found <= sparsity && found > sparsity - 0.06, "\(method): \(found)")
            let run = try bench.zoo("eval", to, "--data", data, "--architecture", folder + "/architecture.yaml")
            #expect(run.status == 0, "\(run.errors)")
        }
    }

    /// Decoders with gated layers, RMS norms and grouped heads, pooled at the last token.
    @Test(arguments: ["llama", "llama-bias", "qwen2", "qwen3"]) func decodersArePrunedToo(_ name: String) throws {
        let desk = try Desk(architecture: name), bench = desk.bench
        let scored = try desk.score()
        try #require(scored.status == 0, "\(scored.errors)")
        for method in PruneCommandTests.methods {
            let to = bench.file(method)
            let report = try bench.json(
                "prune", "mask", bench.file("scores"), "--method", method, "--sparsity", "0.5", "--to", to)
            #expect(abs(try #require(report["candidate_sparsity"]?.double) - 0.5) < 0.05, "\(method)")
        }
        let dense = try vectors(bench, desk.model)
        for (kind, share) in [("--ffn", "0.25"), ("--heads", "0.5")] {
            let to = bench.file("small" + kind)
            let report = try bench.json(
                "prune", "structured", bench.file("scores"), kind, share, "--by", "obd", "--to", to)
            // Without biases there is nothing to add a mean to; that is told.
            let left = report["not_compensated"]?.array?.count
            #expect(left == (name == "llama-bias" ? 0 : 2), "\(kind)")
            let found = try vectors(bench, to)
            #expect(found.count == dense.count && difference(found, dense) > 0)
            // Refitting needs no bias.
            let refitted = bench.file("fit" + kind)
            let fit = try bench.json("prune", "structured", bench.file("scores"), kind, share, "--to", refitted)
            #expect(fit["by"]?.string == "anchored" && fit["kept_weights"] == report["kept_weights"])
            #expect(difference(try vectors(bench, refitted), dense) > 0)
        }
        let rows = try bench.zoo(
            "prune", "evaluate", desk.model, bench.file("wanda"), bench.file("small--ffn"), "--retrieval", desk.domain)
        #expect(rows.status == 0, "\(rows.errors)")
        let trained = try bench.json(
            "prune", "retrain", bench.file("dai"), "--domain", desk.domain, "--steps", "3", "--batch", "8", "--distill",
            "1", "--control", desk.model, "--to", bench.file("trained"))
        #expect(trained["runs"]?.array?.first?["zeros_held"]?.bool == true)
    }

    private static let methods = [
        "dai", "dai-faithful", "dai-code", "magnitude", "wanda", "sparsegpt", "anchored", "obd", "snip", "fisher",
        "random",
    ]

    @Test func wrongRequestsSayWhatToDo() throws {
        let desk = try Desk(), bench = desk.bench
        func fails(_ arguments: [String], _ wanted: String, status: Int32 = 1) throws {
            let run = try bench.zoo(arguments)
            let lines = run.errors.split(separator: "\n").filter { $0.hasPrefix("zoo: error:") }
            #expect(
                run.status == status && lines.count == 1 && run.errors.contains(wanted), "\(arguments): \(run.errors)")
        }
        let to = bench.file("scores"), empty = bench.file("empty.jsonl"), broken = bench.file("broken.jsonl")
        try AtomicFile.write(empty, [])
        try AtomicFile.write(broken, Array("{\"query\": \"a\", \"positive\": \"b\"}\n{\"query\": \n".utf8))
        func score(_ domain: String, _ more: String...) -> [String] {
            ["prune", "score", desk.model, "--domain", domain, "--general", desk.general, "--to", to] + more
        }
        try fails(score(empty), "found none")
        try fails(score(broken), "broken.jsonl:2")
        // Fewer than the 200 triplets of the method are taken, and said to be few.
        let few = try bench.zoo(score(desk.domain, "--to", bench.file("few")))
        #expect(few.status == 0 && few.errors.contains("24 triplets are few; 200 to 1000"), "\(few.errors)")
        try fails(score(desk.domain, "--test", desk.domain), "overlap")
        try fails(score(desk.domain, "--layers", "conv"), "--layers", status: 64)
        try FileManager.default.moveItem(atPath: desk.model + "/vocab.txt", toPath: bench.file("vocab.txt"))
        try fails(score(desk.domain), "tokenizer")
        try FileManager.default.moveItem(atPath: bench.file("vocab.txt"), toPath: desk.model + "/vocab.txt")
        #expect(!FileManager.default.fileExists(atPath: to))
        // Texts that are longer than the model reads are cut, and said to be.
        let long = bench.file("long.jsonl")
        let text = String(repeating: "the model ", count: 20)
        try AtomicFile.write(
            long,
            Array("{\"query\": \"a\", \"positive\": \"\(text)\"}\n{\"query\": \"b\", \"positive\": \"of\"}\n".utf8))
        let cut = try bench.zoo(score(long))
        #expect(cut.status == 0 && cut.errors.contains("longer than 12 tokens"), "\(cut.errors)")
        // NaN among the weights.
        let source = try CheckpointFile.open(desk.model).source
        var state = try source.stateDict()
        let name = "encoder.layer.0.intermediate.dense.weight"
        var values = try state.tensor(named: name).floats()
        values[3] = .nan
        state[name] = Tensor(values, shape: [40, 16])
        let damaged = bench.file("damaged")
        try FileManager.default.copyItem(atPath: desk.model, toPath: damaged)
        try SafetensorsWriter.write(state, to: damaged + "/model.safetensors")
        try fails(
            ["prune", "score", damaged, "--domain", desk.domain, "--general", desk.general, "--to", bench.file("y")],
            "not finite")
        // Scores of another network, of no network, and what does not fit together.
        #expect(try desk.score().status == 0)
        func mask(_ more: String...) -> [String] { ["prune", "mask", to, "--to", bench.file("m")] + more }
        try fails(mask("--sparsity", "0.5", "--model", damaged), "differ")
        try fails(mask("--sparsity", "1.0"), "below 1", status: 64)
        try fails(mask("--sparsity=-0.1"), "below 1", status: 64)
        try fails(mask(), "--sparsity", status: 64)
        try fails(mask("--group", "2:4", "--sparsity", "0.3"), "contradicts", status: 64)
        try fails(mask("--group", "3:7"), "multiple")
        try fails(mask("--method", "wander", "--sparsity", "0.5"), "wanda", status: 64)
        try fails(["prune", "mask", desk.model, "--sparsity", "0.5", "--to", bench.file("m")], "no folder of scores")
        try fails(
            ["prune", "mask", to, "--sparsity", "0.5", "--to", desk.model, "--replace"], "is the network itself",
            status: 64)
        func structured(_ more: String...) -> [String] { ["prune", "structured", to, "--to", bench.file("m")] + more }
        try fails(structured("--channels", "0.5"), "no channels")
        try fails(structured("--channels", "0.5", "--by", "anchored"), "take obd", status: 64)
        try fails(structured("--ffn", "0.5", "--by", "anchored", "--global"), "layer by layer", status: 64)
        try fails(structured("--ffn", "0.5", "--uncompensated"), "refits", status: 64)
        try fails(structured("--ffn", "0.5", "--by", "obd", "--side", "domain"), "both sides", status: 64)
        #expect(!FileManager.default.fileExists(atPath: bench.file("m")))
    }
}
