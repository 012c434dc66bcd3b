import Testing
import ZooBase
import ZooFormats
import ZooTestSupport

@Suite struct ManifestTests {
    private static let folder = Repository.path("manifests")

    private func parse(_ text: String) throws -> Manifest { try Manifest(yaml: text, file: "m.yaml") }

    private func message(_ text: String) -> String {
        do {
            _ = try parse(text)
            return "no error"
        } catch { return ZooError.wrap(error).description }
    }

    private let head = "id: a\ntitle: t\nlicence: not stated\nlayout:\n  kind: auto\n"

    @Test func committedManifestsAreRead() throws {
        let library = try ManifestLibrary(folder: Self.folder)
        #expect(library.zoos.count >= 30 && library.datasets.count >= 12)
        for manifest in library.zoos.values { #expect(throws: Never.self) { try manifest.zooLayout() } }
        for dataset in library.datasets.values {
            for zoo in dataset.preparations.flatMap(\.zoos) { #expect(throws: Never.self) { try library.zoo(zoo) } }
        }
        let phases = try library.zoo("pt-resnet18-cifar10")
        #expect(phases.grid?.load.axis.key == "model::width" && phases.grid?.load.increases == false)
        #expect(phases.modelCount == 192 && phases.licence == "CC-BY-4.0" && phases.citation?.arxiv == "2504.18072")
        #expect(phases.grid?.temperature.axis.values.count == 8)
        #expect(phases.aliases.contains { $0 == ("lr", "optim::lr") })
        let seeds = try library.zoo("cnn-mnist")
        #expect(seeds.sources.first?.address == "https://zenodo.org/records/6632086")
        #expect(seeds.experiments[1].swept.map(\.values.count).reduce(10, *) == 2560)
        #expect(seeds.results.accuracyUnit == .fraction)
    }

    @Test func committedManifestsObeyTheSchema() throws {
        let schema = try SchemaValidator(Bytes(mapping: Self.folder + "/schema.json"))
        for name in try ManifestLibrary.yamlFiles(Self.folder) {
            let value = try ManifestNode(text: ManifestLibrary.text(Self.folder + "/" + name), file: name).json()
            #expect(schema.problems(value, definition: "zoo") == [], "\(name)")
        }
        for name in try ManifestLibrary.yamlFiles(Self.folder + "/datasets") {
            let value = try ManifestNode(text: ManifestLibrary.text(Self.folder + "/datasets/" + name), file: name)
                .json()
            #expect(schema.problems(value, definition: "dataset") == [], "\(name)")
        }
        for name in try ManifestLibrary.yamlFiles(Self.folder + "/train") {
            let value = try ManifestNode(text: ManifestLibrary.text(Self.folder + "/train/" + name), file: name).json()
            #expect(schema.problems(value, definition: "training") == [], "\(name)")
        }
    }

    @Test func schemaAndDecoderKnowTheSameKeys() throws {
        let schema = try SchemaValidator(Bytes(mapping: Self.folder + "/schema.json"))
        let decoders: [(String, ManifestKeys)] = [
            ("zoo", Manifest.keys), ("source", Manifest.sourceKeys), ("citation", Manifest.citationKeys),
            ("layout", Manifest.layoutKeys), ("tree", Manifest.treeKeys), ("experiment", Manifest.experimentKeys),
            ("grid", Manifest.gridKeys), ("load", Manifest.directionKeys), ("temperature", Manifest.directionKeys),
            ("axis", Manifest.axisKeys), ("results", Manifest.resultsKeys), ("dataset", DatasetManifest.keys),
            ("preparation", DatasetManifest.preparationKeys), ("normalise", DatasetManifest.normaliseKeys),
            ("carving", DatasetManifest.carvingKeys),
        ]
        for (name, keys) in decoders {
            let definition = schema.definition(name)
            #expect(Set(definition?["properties"]?.object?.members.map(\.key) ?? []) == Set(keys.all), "\(name)")
            #expect(Set(definition?["required"]?.array?.compactMap(\.string) ?? []) == Set(keys.required), "\(name)")
        }
        #expect(
            schema.definition("layout")?["properties"]?["kind"]?["enum"]?.array?.compactMap(\.string)
                == ZooLayouts.names)
    }

    @Test func theSchemaRefusesWhatTheDecoderRefuses() throws {
        let schema = try SchemaValidator(Bytes(mapping: Self.folder + "/schema.json"))
        let texts = [
            "id: A b", "surprise: 1", "models: -1", "models: few", "sources: [{note: x}]", "citation: {}",
            "sources: [{file: a, sha256: abc}]", "grid: {load: {key: w}}", "results: {accuracy_unit: percents}",
            "results: {columns: {loss: x}}", "aliases: [a]", "datasets: mnist", "experiments: [{note: x}]",
            "defects: [{a: b}]",
        ]
        for text in texts {
            let whole = (text.hasPrefix("id:") ? head.replacing("id: a\n", with: "") : head) + text + "\n"
            #expect(throws: ZooError.self, "\(text)") { try parse(whole) }
            #expect(
                schema.problems(try ManifestNode(text: whole, file: "m").json(), definition: "zoo") != [], "\(text)")
        }
        #expect(schema.problems(try ManifestNode(text: head, file: "m").json(), definition: "zoo") == [])
    }

    @Test func messagesNameLineKeyAndRemedy() {
        #expect(
            message(head + "license: MIT\n") == "m.yaml:6: license: unknown key; expected "
                + Manifest.keys.all.joined(separator: ", ") + " (did you mean 'licence'?)")
        #expect(message("title: t\n") == "m.yaml:1: 'id' is missing")
        #expect(
            message(head.replacing("auto", with: "ray-tun")).hasSuffix(
                "m.yaml:5: layout.kind: 'ray-tun' is not known; expected auto, ray-tune, hugging-face, flat, tree "
                    + "(did you mean 'ray-tune'?)"))
        #expect(
            message(head.replacing("auto", with: "tree\n  trees:\n    - checkpoints: ['{a']")).hasPrefix(
                "m.yaml:7: layout.trees[0].checkpoints[0]: pattern '{a': '{' is not closed"))
        #expect(message(head + "id: b\n").contains("twice") || message(head + "id: b\n").contains("not YAML"))
        #expect(message("- a\n").contains("expected a mapping, found a list"))
        #expect(message("").contains("empty"))
    }

    @Test(arguments: [
        "[", "a: [1", "\"", "a: \u{0}", "%", "? ? ? ?", "&a [*a]", "a: *b", "--- a\n--- b", "\t- x", "{a: {b: {c: [}}}",
    ])
    func brokenTextIsAnError(_ text: String) {
        #expect(throws: ZooError.self) { try parse(text) }
    }

    @Test func bombsAreRefused() {
        let laughs = (1..<12).reduce("a0: &a0 [x, x, x, x, x, x, x, x, x]\n") { text, level in
            let inner = Array(repeating: "*a\(level - 1)", count: 9).joined(separator: ", ")
            return text + "a\(level): &a\(level) [\(inner)]\n"
        }
        for text in [
            laughs, String(repeating: "[", count: 500_000), String(repeating: "- ", count: 400_000),
            String(repeating: "{a: ", count: 200_000), String(repeating: "? ", count: 400_000),
            String(repeating: "x", count: 2 << 20),
            (0..<600).map { String(repeating: " ", count: $0) + "a:\n" }.joined(),
        ] {
            #expect(throws: ZooError.self) { try parse(text) }
        }
    }

    @Test func scalarsFollowYAMLCore() throws {
        let training = try parse(
            head + "training: {a: 3e-4, b: no, c: 010, d: '1', e: ~, f: true, g: 0x10, h: 1_000, i: -2}\n"
        )
        .training
        #expect(
            training
                == JSONObject([
                    ("a", 3e-4), ("b", "no"), ("c", 10), ("d", "1"), ("e", nil), ("f", true), ("g", "0x10"),
                    ("h", "1_000"), ("i", -2),
                ]))
    }

    @Test func everyPrefixOfAManifestIsReadOrRefused() throws {
        let text = Array(try ManifestLibrary.text(Self.folder + "/digits-tasks.yaml").utf8)
        for length in stride(from: 0, to: text.count, by: 7) {
            _ = try? parse(String(decoding: text[..<length], as: UTF8.self))
        }
    }

    @Test func libraryErrorsNameTheFile() throws {
        let folder = try TemporaryFolder()
        try AtomicFile.write(folder.file("b.yaml"), Array(head.utf8))
        #expect(throws: ZooError.self) { try ManifestLibrary(folder: folder.path) }
        #expect(throws: ZooError.self) { try ManifestLibrary.manifest(at: folder.file("none.yaml")) }
    }

    @Test func theSampleZooOfTasksIsListedByItsManifest() throws {
        let manifest = try ManifestLibrary(folder: Self.folder).zoo("digits-tasks")
        let archive = LayoutTestArchive([
            ("pretrained.safetensors", ""), ("pretrained.pt", ""), ("data/zoo_c_data.safetensors", ""),
            ("soup/variant_00.safetensors", ""),
            ("soup/hparams.json", #"[{"file": "variant_00.safetensors", "lr": 0.001}]"#),
            ("tasks/rot90.safetensors", ""), ("tasks/tasks.json", #"{"rot90": {"test_acc": 0.9}}"#),
        ])
        let listing = try manifest.zooLayout().listing(of: archive, rootName: "zoo_c")
        #expect(
            Set(listing.models.map(\.summary)) == [
                "pretrained @ [pretrained.safetensors]", "variant_00 @soup [variant_00.safetensors]",
                "rot90 @tasks [rot90.safetensors]",
            ])
        let reader = TrialReader(archive, options: manifest.results)
        let configs = try listing.models.map { (name: $0.name, config: try reader.facts(of: $0).config) }
        #expect(configs.first { $0.name == "variant_00" }?.config["lr"] == 0.001)
        #expect(configs.first { $0.name == "rot90" }?.config["test_acc"] == 0.9)
    }
}
