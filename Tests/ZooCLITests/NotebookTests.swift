import Foundation
import Testing
import ZooBase
import ZooTestSupport

/// `notebooks-export/` is what `zoo export --format notebook` writes, is a notebook, and runs.
@Suite struct NotebookTests {
    private static let name = "digits-mlp-phases"
    private static let folder = "notebooks-export/digits-mlp-phases"

    @Test func theCommittedFolderIsWhatTheCommandWrites() throws {
        let bench = try PhaseCatalog.shared.get()
        let output = bench.file(Self.name)
        let json = try bench.json("export", "zoo = '\(Self.name)'", "--format", "notebook", "--to", output)
        let files = try #require(json["files"]?.array?.compactMap { $0.string }).map {
            String($0.dropFirst(output.count + 1))
        }
        let expected = [
            "models.parquet", "models.csv", "metrics.parquet", "metrics.csv", "phases.png", "phases.parquet",
            "phases.csv", "grid.npz", "\(Self.name).ipynb",
        ]
        #expect(files == expected)
        for file in files {
            let bytes = try Array(Data(contentsOf: URL(fileURLWithPath: "\(output)/\(file)")))
            #expect(Golden.difference(bytes, "\(Self.folder)/\(file)") == nil)
        }
    }

    private func notebook() throws -> JSONValue {
        let path = Repository.path("\(Self.folder)/\(Self.name).ipynb")
        return try JSONParser.parse(String(contentsOfFile: path, encoding: .utf8))
    }

    @Test func isValidByTheFormatsOwnSchema() throws {
        let path = Repository.path("Tests/ZooCLITests/Fixtures/nbformat.v4.5.schema.json")
        let schema = try NotebookSchema(String(contentsOfFile: path, encoding: .utf8))
        let notebook = try notebook()
        #expect(schema.problems(notebook) == [])
        // The validator sees what is wrong.
        var object = try #require(notebook.object)
        object["nbformat_minor"] = 4
        #expect(!schema.problems(.object(object)).isEmpty)
        object = try #require(notebook.object)
        var cells = try #require(object["cells"]?.array)
        var cell = try #require(cells[0].object)
        cell["id"] = "not an id"
        cells[0] = .object(cell)
        object["cells"] = .array(cells)
        #expect(!schema.problems(.object(object)).isEmpty)
        let ids = try #require(notebook["cells"]?.array?.compactMap { $0["id"]?.string })
        #expect(Set(ids).count == ids.count && ids.count == notebook["cells"]?.array?.count)
    }

    @Test func zoosWithoutPhasesHaveNotebooksToo() throws {
        let bench = try SampleCatalog.shared.get()
        let output = bench.file("cnn-notebook")
        let json = try bench.json(
            "export", "zoo = 'digits-cnn' and epoch = last", "--format", "notebook", "--to", output)
        let files = try #require(json["files"]?.array?.compactMap { $0.string })
        #expect(files.contains("\(output)/results.png") && !files.contains("\(output)/grid.npz"))
        let text = try String(contentsOfFile: "\(output)/cnn-notebook.ipynb", encoding: .utf8)
        #expect(text.contains("no phases: zoo 'digits-cnn' has no grid"))
        try execute(output, "cnn-notebook")
    }

    @Test func everyCellRuns() throws { try execute(Repository.path(Self.folder), Self.name) }

    /// Runs the code cells one after the other in one Python, in the notebook's folder. NumPy is needed: `make test`
    /// installs Debian's and sets ZOO_REQUIRE_NUMPY, elsewhere a Python without it skips the test.
    private func execute(_ folder: String, _ name: String) throws {
        let script = """
            import json
            names = {"__name__": "__main__"}
            for cell in json.load(open("\(name).ipynb", encoding="utf-8"))["cells"]:
                if cell["cell_type"] == "code":
                    exec(compile("".join(cell["source"]), cell["id"], "exec"), names)
            print("ran")
            """
        let python = try ["/usr/bin/python3", "python3"].first { candidate in
            try run(candidate, ["-c", "import numpy"], Repository.root).status == 0
        }
        guard let python else {
            let isRequired = ProcessInfo.processInfo.environment["ZOO_REQUIRE_NUMPY"] == "1"
            #expect(!isRequired, "no python3 with numpy: scripts/setup.sh test installs it")
            print("skipped: no python3 with numpy, so the cells of \(name).ipynb were not run")
            return
        }
        let found = try run(python, ["-W", "ignore", "-c", script], folder)
        #expect(found.status == 0 && found.output.hasSuffix("ran\n"), "\(found.output)\(found.errors)")
    }

    private func run(_ program: String, _ arguments: [String], _ folder: String) throws
        -> (status: Int32, output: String, errors: String)
    {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = [program] + arguments
        process.currentDirectoryURL = URL(fileURLWithPath: folder)
        process.environment = ProcessInfo.processInfo.environment.merging(["PYTHONDONTWRITEBYTECODE": "1"]) { $1 }
        let output = Pipe(), errors = Pipe()
        process.standardOutput = output
        process.standardError = errors
        try process.run()
        // The little that Python says fits a pipe.
        process.waitUntilExit()
        func text(_ pipe: Pipe) -> String {
            String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        }
        return (process.terminationStatus, text(output), text(errors))
    }
}

/// The part of JSON Schema draft 4 that nbformat's schema uses; any other keyword is a problem.
struct NotebookSchema {
    private let root: JSONValue

    init(_ text: String) throws { root = try JSONParser.parse(text) }

    func problems(_ value: JSONValue) -> [String] { check(value, root, "$") }

    private func check(_ value: JSONValue, _ schema: JSONValue, _ path: String) -> [String] {
        (schema.object?.members ?? []).flatMap { keyword($0.key, $0.value, schema, value, path) }
    }

    private func keyword(
        _ key: String, _ rule: JSONValue, _ schema: JSONValue, _ value: JSONValue, _ path: String
    ) -> [String] {
        func expect(_ condition: Bool) -> [String] { condition ? [] : ["\(path): \(key)"] }
        switch key {
        case "$schema", "description", "definitions", "format", "title": return []
        case "$ref":
            let name = rule.string?.split(separator: "/").last.map(String.init) ?? ""
            guard let found = root["definitions"]?[name] ?? root["definitions"]?["misc"]?[name] else {
                return ["\(path): no \(rule.text())"]
            }
            return check(value, found, path)
        case "type": return expect((rule.array ?? [rule]).contains { isType(value, $0.string ?? "") })
        case "enum": return expect(rule.array?.contains(value) == true)
        case "not": return expect(!check(value, rule, path).isEmpty)
        case "oneOf":
            let tried = (rule.array ?? []).map { check(value, $0, path) }
            return tried.count(where: \.isEmpty) == 1 ? [] : ["\(path): oneOf"] + (tried.first ?? [])
        case "pattern":
            guard let text = value.string, let regex = try? Regex(rule.string ?? "") else { return [] }
            return expect(text.contains(regex))
        case "minLength": return expect((value.string?.count ?? .max) >= rule.int ?? 0)
        case "maxLength": return expect((value.string?.count ?? 0) <= rule.int ?? .max)
        case "minimum": return expect((value.double ?? .infinity) >= rule.double ?? 0)
        case "maximum": return expect((value.double ?? -.infinity) <= rule.double ?? 0)
        case "required":
            return expect((rule.array ?? []).allSatisfy { value.object?.contains($0.string ?? "") ?? true })
        case "uniqueItems": return expect(Set(value.array ?? []).count == value.array?.count ?? 0)
        case "items": return (value.array ?? []).enumerated().flatMap { check($1, rule, "\(path)[\($0)]") }
        case "properties":
            return (rule.object?.members ?? []).flatMap { name, inner in
                value[name].map { check($0, inner, "\(path).\(name)") } ?? []
            }
        case "patternProperties", "additionalProperties": return others(key, rule, schema, value, path)
        default: return ["\(path): keyword \(key) is not implemented"]
        }
    }

    private func others(
        _ key: String, _ rule: JSONValue, _ schema: JSONValue, _ value: JSONValue, _ path: String
    ) -> [String] {
        let patterns = schema["patternProperties"]?.object?.members ?? []
        return (value.object?.members ?? []).flatMap { name, inner -> [String] in
            let fitting = patterns.filter { pattern in
                (try? Regex(pattern.key)).map { name.contains($0) } ?? false
            }
            if key == "patternProperties" { return fitting.flatMap { check(inner, $0.value, "\(path).\(name)") } }
            guard fitting.isEmpty, schema["properties"]?[name] == nil else { return [] }
            if let isAllowed = rule.bool { return isAllowed ? [] : ["\(path).\(name): not allowed"] }
            return check(inner, rule, "\(path).\(name)")
        }
    }

    private func isType(_ value: JSONValue, _ name: String) -> Bool {
        switch (name, value) {
        case ("null", .null), ("boolean", .bool), ("integer", .int), ("number", .int), ("number", .double),
            ("string", .string), ("array", .array), ("object", .object):
            true
        default: false
        }
    }
}
