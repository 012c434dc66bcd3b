import Foundation
import Testing
import ZooBase
import ZooFormats
import ZooTensor
import ZooTestSupport

/// The fixtures of `Fixtures/pytorch` and what `torch.load` found in them.
struct PyTorchOracle {
    struct Expected {
        var name: String
        var dtype: String
        var shape: [Int]
        var sha256: String
    }

    static let folder = Repository.path("Tests/ZooFormatsTests/Fixtures/pytorch")

    static let all: JSONObject = {
        let text = FileManager.default.contents(atPath: folder + "/oracle.json") ?? Data()
        return (try? JSONParser.parse(Bytes(Array(text))))?.object ?? JSONObject()
    }()

    static var names: [String] { all.members.map(\.key) }

    static func bytes(_ name: String) throws -> Bytes { try Bytes(mapping: folder + "/" + name) }

    static func tensors(_ name: String, _ list: String = "tensors") -> [Expected] {
        (all[name]?[list]?.array ?? []).compactMap { row in
            guard let tensor = row["name"]?.string, let dtype = row["dtype"]?.string,
                let digest = row["sha256"]?.string
            else { return nil }
            let shape = row["shape"]?.array?.compactMap(\.int) ?? []
            return Expected(name: tensor, dtype: dtype, shape: shape, sha256: digest)
        }
    }

    /// Opens bytes with whichever reader of the family accepts them.
    static func open(
        _ bytes: Bytes, name: String, options: ReaderOptions = ReaderOptions()
    ) throws -> any CheckpointReader {
        if TorchScriptReader.accepts(bytes) { return try TorchScriptReader(bytes, name: name, options: options) }
        if PyTorchLegacyReader.accepts(bytes) { return try PyTorchLegacyReader(bytes, name: name, options: options) }
        return try PyTorchZipReader(bytes, name: name, options: options)
    }

    /// Compares names, order, types, shapes and the digest of every tensor's bytes.
    static func compare(_ reader: any CheckpointReader, _ expected: [Expected], _ file: String) throws {
        #expect(reader.entries.map(\.info.name) == expected.map(\.name), "\(file)")
        let bytes = try bytes(file)
        for (entry, row) in zip(reader.entries, expected) {
            #expect(entry.info.dtype.rawValue == row.dtype, "\(file) \(row.name)")
            #expect(entry.info.shape.dimensions == row.shape, "\(file) \(row.name)")
            let tensor = try reader.tensor(named: row.name)
            #expect(PyTorchDigest.sha256(tensor.bytes) == row.sha256, "\(file) \(row.name)")
            if let offset = entry.offset {
                let slice = try bytes.slice(offset, entry.info.byteCount)
                #expect(PyTorchDigest.sha256(slice) == row.sha256, "\(file) \(row.name) in place")
            }
        }
    }
}
