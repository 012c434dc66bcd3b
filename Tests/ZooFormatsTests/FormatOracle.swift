import Foundation
import Testing
import ZooBase
import ZooFormats
import ZooTensor
import ZooTestSupport

/// One tensor as the reference library of a format reads it.
struct OracleTensor: Decodable, Equatable {
    let name: String
    let dtype: String
    let shape: [Int]
    let digest: String
}

/// Fixtures and what they hold.
enum FormatOracle {
    static func path(_ file: String) -> String { Repository.path("Tests/ZooFormatsTests/Fixtures/" + file) }

    static func bytes(_ file: String) throws -> Bytes { try Bytes(mapping: path(file)) }

    /// The records that the script of a format's folder wrote.
    static func files(_ format: String) throws -> [String: [OracleTensor]] {
        let data = try Data(contentsOf: URL(fileURLWithPath: path("\(format)/oracle.json")))
        return try JSONDecoder().decode([String: [OracleTensor]].self, from: data)
    }

    /// 64-bit FNV-1a.
    static func digest(_ bytes: Bytes) -> String {
        let value = bytes.withUnsafeBytes { buffer in
            buffer.reduce(0xCBF2_9CE4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
        }
        let text = String(value, radix: 16)
        return String(repeating: "0", count: 16 - text.count) + text
    }

    /// What a source holds, in the form of the records.
    static func records(_ source: some TensorSource) throws -> [OracleTensor] {
        try source.tensorInfos.map { info in
            let tensor = try source.tensor(named: info.name)
            #expect(tensor.shape == info.shape && tensor.dtype == info.dtype)
            return OracleTensor(
                name: info.name, dtype: info.dtype.rawValue, shape: info.shape.dimensions,
                digest: digest(tensor.bytes))
        }
    }

    /// Opens a fixture through the registry and compares it with the records of its folder.
    @discardableResult
    static func check(_ format: String, _ file: String) throws -> any CheckpointReader {
        let bytes = try bytes("\(format)/\(file)")
        let reader = try CheckpointReaders.open(bytes, name: file)
        let expected = try #require(try files(format)[file])
        let found = try records(reader)
        #expect(found == expected)
        for entry in reader.entries {
            guard let offset = entry.offset else { continue }
            let slice = try bytes.slice(offset, entry.info.byteCount)
            #expect(digest(slice) == digest(try reader.tensor(named: entry.info.name).bytes))
        }
        return reader
    }
}

/// Runs a reader over damaged bytes: everything it takes is read to the end, everything else must be a `ZooError`.
enum Damage {
    /// Opens and reads; the error when it throws.
    static func attempt(_ reader: any CheckpointReader.Type, _ bytes: Bytes) throws -> ZooError? {
        do {
            let open = try reader.init(bytes, name: "damaged", options: ReaderOptions())
            for info in open.tensorInfos { _ = try open.tensor(named: info.name) }
            return nil
        } catch let error as ZooError where error.code != .internal {
            return error
        }
    }

    /// Every prefix is refused, `allowed` apart.
    static func prefixes(
        _ reader: any CheckpointReader.Type, _ file: String, stride step: Int = 1, allowed: Range<Int> = 0..<0
    ) throws {
        let bytes = try FormatOracle.bytes(file)
        for count in stride(from: 0, to: bytes.count, by: step) where !allowed.contains(count) {
            // A copy, so that reading past the end shows under a memory checker.
            let error = try attempt(reader, Bytes(bytes.prefix(count).array))
            #expect(error != nil, "\(file): the first \(count) bytes were read")
        }
    }

    /// Every byte of a file, inverted, is refused or read without harm.
    static func singleBytes(_ reader: any CheckpointReader.Type, _ file: String, stride step: Int = 1) throws {
        var bytes = try FormatOracle.bytes(file).array
        for position in stride(from: 0, to: bytes.count, by: step) {
            for flip: UInt8 in [0xFF, 0x01] {
                bytes[position] ^= flip
                _ = try attempt(reader, Bytes(bytes))
                bytes[position] ^= flip
            }
        }
    }

    /// Seeded damage of several files; `ZOO_FUZZ_FACTOR` in the environment makes it last longer and print figures.
    static func fuzz(_ reader: any CheckpointReader.Type, _ files: [String], iterations: Int) throws {
        let corpus = try files.map { try FormatOracle.bytes($0).array }
        let factor = Int(ProcessInfo.processInfo.environment["ZOO_FUZZ_FACTOR"] ?? "1") ?? 1
        var crashes = 0
        let summary = try MutationFuzzer(seed: 7, corpus: corpus).run(iterations: iterations * factor) { bytes in
            guard let error = try attempt(reader, bytes) else { return }
            if error.message.contains("failed on this file (signal") { crashes += 1 }
            throw error
        }
        if factor > 1 { print(reader.format, summary, "crashes contained:", crashes) }
    }
}
