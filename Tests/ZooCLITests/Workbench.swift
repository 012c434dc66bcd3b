import Foundation
import Testing
import ZooBase
import ZooFormats
import ZooTensor
import ZooTestSupport

/// A catalog of its own in a temporary folder, and the program run on it.
final class Workbench: Sendable {
    let folder: TemporaryFolder
    let catalog: String
    var environment: [String: String] { ["ZOO_CATALOG": catalog] }

    init() throws {
        folder = try TemporaryFolder()
        catalog = folder.file("catalog.sqlite")
    }

    func file(_ name: String) -> String { folder.file(name) }

    func zoo(_ arguments: String...) throws -> ZooProgram.Result {
        try ZooProgram.run(arguments, environment: environment)
    }

    func zoo(_ arguments: [String]) throws -> ZooProgram.Result {
        try ZooProgram.run(arguments, environment: environment)
    }

    /// The JSON that a command prints; records an issue when it fails.
    func json(_ arguments: String..., status: Int32 = 0) throws -> JSONValue { try json(arguments, status: status) }

    /// The JSON that a command prints; records an issue when it fails.
    func json(_ arguments: [String], status: Int32 = 0) throws -> JSONValue {
        let run = try zoo(arguments + ["--json"])
        #expect(run.status == status, "\(arguments): \(run.errors)")
        return try JSONParser.parse(run.output)
    }

    /// The rows that a command prints.
    func rows(_ arguments: String...) throws -> [JSONValue] {
        let run = try zoo(arguments + ["--json"])
        #expect(run.status == 0, "\(arguments): \(run.errors)")
        return try #require(try JSONParser.parse(run.output).array)
    }

    /// One number of the catalog.
    func number(_ sql: String) throws -> Int? { try rows("sql", "SELECT (\(sql)) AS n").first?["n"]?.int }

    /// Everything in the catalog but times and what follows from them.
    func dump() throws -> [String] {
        try Self.tables.map { name, columns in
            let order = (1...columns.split(separator: ",").count).map(String.init).joined(separator: ", ")
            let run = try zoo("sql", "SELECT \(columns) FROM \(name) ORDER BY \(order)", "--csv")
            #expect(run.status == 0, "\(run.errors)")
            return "\(name)\n\(run.output)"
        }
    }

    private static let tables = [
        ("source", "id, path, kind, byte_count, modified, state, generation, message"), ("zoo", "id, name"),
        (
            "model",
            "id, zoo_id, source_id, generation, name, path, architecture, incomplete, failed, diverged, duplicate, "
                + "no_result, no_checkpoint, config, bookkeeping"
        ),
        ("layout", "id, signature, structure, tensor_count, parameter_count, byte_count"),
        ("layout_tensor", "layout_id, position, name, dtype, shape, offset"),
        (
            "checkpoint",
            "id, model_id, epoch, source_id, layout_id, health, train_loss, train_accuracy, val_loss, val_accuracy, "
                + "test_loss, test_accuracy, nan_mask, is_last, is_best, path, offset, stored_bytes, encoding, "
                + "byte_count, format, digest"
        ),
        ("result", "model_id, epoch, train_loss, train_accuracy, val_loss, test_loss, test_accuracy, nan_mask"),
        ("result_value v JOIN result_key k ON k.id = v.key_id", "v.model_id, v.epoch, k.name, v.value"),
        ("model_summary", "model_id, checkpoint_count, result_count, best_epoch, test_accuracy, max_ggap, nan_mask"),
        ("config_value v JOIN config_key k ON k.id = v.key_id", "v.model_id, k.name, k.bare, v.value"),
        ("skipped_member", "source_id, path, reason"),
    ]
}

/// The three sample zoos in one catalog, for tests that only read.
enum SampleCatalog {
    static let shared: Result<Workbench, any Error> = Result {
        let bench = try Workbench()
        let run = try bench.zoo(
            "index", SampleZoo.cnn, Repository.path("zoos/digits-phases.tar.gz"), SampleZoo.tasks, "--quiet")
        #expect(run.status == 0, "\(run.errors)")
        // The value lives as long as the process, which removes the folder when it ends.
        atexit { SampleCatalog.remove() }
        return bench
    }

    private static func remove() {
        if let bench = try? shared.get() { try? FileManager.default.removeItem(atPath: bench.folder.path) }
    }
}

/// What the sample zoos hold, read through the archive and checkpoint readers, without the catalog.
enum SampleZoo {
    static let cnn = Repository.path("zoos/digits-cnn.zip")
    static let tasks = Repository.path("zoos/digits-tasks")

    static func archive() throws -> any Archive { try Archives.open(path: cnn) }

    /// The lines of each trial's `result.json`, by the name of its folder.
    static func results() throws -> [String: [JSONValue]] {
        let archive = try archive()
        var results: [String: [JSONValue]] = [:]
        for member in archive.members where member.path.hasSuffix("/result.json") {
            let text = String(decoding: try archive.bytes(of: member).array, as: UTF8.self)
            let name = String(member.path.split(separator: "/")[1])
            results[name] = try text.split(separator: "\n").map { try JSONParser.parse(String($0)) }
        }
        return results
    }

    /// A checkpoint of `digits-cnn.zip` by its member path.
    static func checkpoint(_ path: String) throws -> any CheckpointReader {
        let archive = try archive()
        let member = try #require(archive.members.first { $0.path == path })
        return try CheckpointReaders.open(try archive.bytes(of: member), name: path)
    }

    /// A file by its path.
    static func open(_ path: String) throws -> any CheckpointReader {
        try CheckpointReaders.open(try Bytes(mapping: path), name: path)
    }
}

/// Lines of standard error that begin with a word.
func lines(_ text: String, startingWith start: String) -> [String] {
    text.split(separator: "\n").map(String.init).filter { $0.hasPrefix(start) }
}

/// The names of an object's members.
func keys(_ value: JSONValue?) -> Set<String> { Set((value?.object?.members ?? []).map(\.key)) }
