import Testing
import ZooBase
import ZooFormats
import ZooTensor
import ZooTestSupport

/// Files that attack the readers, and valid files cut and damaged everywhere.
@Suite struct PyTorchHostileTests {
    /// A checkpoint of a hand-written pickle and one storage of 16 zero bytes.
    private func archive(_ pickle: [UInt8], extra: [ZipBuilder.Member] = []) -> Bytes {
        let members = [ZipBuilder.Member("a/data.pkl", pickle), ZipBuilder.Member("a/version", "3\n")]
        return Bytes(
            ZipBuilder(members + [ZipBuilder.Member("a/data/0", [UInt8](repeating: 0, count: 16))] + extra).bytes())
    }

    private func open(_ pickle: [UInt8]) throws -> PyTorchZipReader {
        var options = ReaderOptions()
        options.materialisationLimit = 1 << 24
        return try PyTorchZipReader(archive(pickle), name: "x.pt", options: options)
    }

    private func text(_ string: String) -> [UInt8] {
        [0x58] + withUnsafeBytes(of: UInt32(string.utf8.count).littleEndian, Array.init) + Array(string.utf8)
    }

    private func int(_ value: Int) -> [UInt8] { [0x8A, 8] + withUnsafeBytes(of: value.littleEndian, Array.init) }

    private func tuple(_ values: [Int]) -> [UInt8] { [0x28] + values.flatMap(int) + [0x74] }

    /// `_rebuild_tensor_v2(FloatStorage '0' of `count`, offset, size, stride, False, {})`.
    private func tensor(count: Int = 4, offset: Int = 0, size: [Int], stride: [Int], key: String = "0") -> [UInt8] {
        Array("ctorch._utils\n_rebuild_tensor_v2\n((".utf8) + text("storage") + Array("ctorch\nFloatStorage\n".utf8)
            + text(key) + text("cpu") + int(count) + Array("tQ".utf8) + int(offset) + tuple(size) + tuple(stride)
            + [0x89, 0x7D, 0x74, 0x52]
    }

    private func dict(_ pairs: [(String, [UInt8])]) -> [UInt8] {
        [0x80, 2, 0x7D, 0x28] + pairs.flatMap { text($0.0) + $0.1 } + [0x75, 0x2E]
    }

    private func failure(_ body: () throws -> Void) -> ZooError? {
        do {
            try body()
            return nil
        } catch let error as ZooError { return error } catch { return ZooError(.internal, "\(error)") }
    }

    @Test func commandsAreNotedAndNotRun() throws {
        let attack = Array("cos\nsystem\n".utf8) + text("touch /tmp/zoo-was-here") + [0x85, 0x52]
        let reader = try open(dict([("w", tensor(size: [4], stride: [1])), ("x", attack)]))
        #expect(reader.entries.map(\.info.name) == ["w"])
        #expect(reader.metadata["unexecuted"]?.array == ["os.system"])
        #expect(reader.metadata["x"]?.string == "os.system(\"touch /tmp/zoo-was-here\")")
        // A tensor that an unknown function would rebuild.
        let rebuilt = Array("ctorch._tensor\n_rebuild_from_type_v2\n(cos\nsystem\ncos\nsystem\n)Nt".utf8) + [0x52]
        let second = try open(dict([("w", rebuilt)]))
        #expect(second.skipped.map(\.reason) == ["rebuilt by os.system, which is not executed"])
    }

    @Test func viewsMustLieInTheirStorage() {
        let bad: [[UInt8]] = [
            tensor(size: [5], stride: [1]), tensor(offset: 1, size: [4], stride: [1]),
            tensor(offset: -1, size: [1], stride: [1]), tensor(size: [2, 2], stride: [3, 1]),
            tensor(size: [2], stride: [-1]), tensor(size: [-1], stride: [1]), tensor(size: [2], stride: [.max]),
            tensor(size: [3, 3], stride: [.max, .max]), tensor(offset: .max, size: [2], stride: [1]),
            tensor(size: [1 << 40, 1 << 40], stride: [0, 0]), tensor(size: [2], stride: []),
            tensor(count: 5, size: [1], stride: [1]), tensor(count: .max, size: [1], stride: [1]),
            tensor(count: 1 << 62, size: [1], stride: [1]), tensor(count: -4, size: [0], stride: [1]),
            tensor(size: [1], stride: [1], key: "7"),
            tensor(size: [Int](repeating: 1, count: 65), stride: [Int](repeating: 1, count: 65)),
        ]
        for (index, tensor) in bad.enumerated() {
            let error = failure { _ = try open(dict([("w", tensor)])) }
            #expect(error?.code == .corrupt, "\(index)")
            #expect(error?.message.hasPrefix("x.pt: tensor 'w': ") == true, "\(error?.message ?? "none")")
        }
    }

    @Test func hugeExpandedViewsAreListedButNotBuilt() throws {
        let reader = try open(dict([("w", tensor(size: [1_000_000_000], stride: [0]))]))
        #expect(reader.entries.first?.info.shape == [1_000_000_000])
        #expect(failure { _ = try reader.tensor(named: "w") }?.code == .limit)
        let generous = try PyTorchZipReader(
            archive(dict([("w", tensor(size: [1 << 40], stride: [0]))])), name: "x.pt")
        #expect(failure { _ = try generous.tensor(named: "w") }?.code == .limit)
        // No element, so nothing is read, wherever it claims to begin.
        let empty = try open(dict([("w", tensor(offset: 1 << 60, size: [0, 1 << 50], stride: [1 << 60, 1]))]))
        #expect(try empty.tensor(named: "w").bytes.count == 0)
    }

    @Test func sharedContainersDoNotExplode() {
        // Thirty dictionaries, each twice in the next: 2^30 names for one tensor.
        var laughs = [0x80, 2] + tensor(size: [4], stride: [1]) + [0x71, 0]
        for level in UInt8(1)...30 {
            laughs +=
                [0x7D, 0x28] + text("a") + [0x68, level - 1] + text("b") + [0x68, level - 1] + [0x75, 0x71, level]
        }
        #expect(failure { _ = try open(laughs + [0x2E]) }?.code == .limit)
        // The same without tensors goes to the metadata, which has a size.
        let plain =
            [0x80, 2, 0x4B, 1, 0x71, 0] + laughs.dropFirst(2 + tensor(size: [4], stride: [1]).count + 2) + [0x2E]
        #expect(failure { _ = try open(plain).metadata } == nil)
        // One long key at every level: names that grow with depth.
        let key = text(String(repeating: "k", count: 4000)) + [0x71, 1]
        var long = [0x80, 2] + key + [0x30] + tensor(size: [4], stride: [1]) + [0x71, 2]
        for _ in 0..<500 { long += [0x71, 3, 0x30, 0x7D, 0x68, 1, 0x68, 3, 0x73] }
        #expect(failure { _ = try open(long + [0x2E]) }?.code == .limit)
    }

    @Test func sharedTextsAndListsCostLittle() throws {
        // A text of one megabyte, and a list of 50,000 numbers, each mentioned 20,000 times.
        let big = text(String(repeating: "x", count: 1 << 20)) + [0x71, 0, 0x30, 0x5D, 0x28]
        var pickle = [0x80, 2] + big
        for _ in 0..<50_000 { pickle += [0x4B, 7] }
        pickle += [0x65, 0x71, 1, 0x30, 0x7D, 0x28]
        for index in 0..<20_000 { pickle += int(index) + [0x68, UInt8(index % 2)] }
        let reader = try open(pickle + [0x75, 0x2E])
        #expect(reader.metadata.count > 20_000)
        var names = [0x80, 4] + big.prefix(big.count - 3)
        for _ in 0..<20_000 { names += [0x68, 0, 0x68, 0, 0x93, 0x30] }
        #expect(try PickleMachine.parse(Bytes(names + [0x4E, 0x2E])).unknownGlobals.count == 1)
    }

    @Test func nestedCallsAndKeysAreShownOnce() throws {
        // Forty calls, each the argument of the next; forty dictionaries, each the key of the next.
        var calls = text("x") + Array("cos\nsystem\n".utf8) + text("\"")
        for _ in 0..<40 { calls += [0x85, 0x52, 0x71, 0, 0x30] + Array("cos\nsystem\n".utf8) + [0x68, 0] }
        calls += [0x85, 0x52]
        var keys = text("y") + text("\"") + [0x71, 1]
        for _ in 0..<40 { keys += [0x30, 0x7D, 0x68, 1, 0x4E, 0x73, 0x71, 1] }
        let metadata = try open([0x80, 2, 0x7D, 0x28] + calls + keys + [0x75, 0x2E]).metadata
        #expect(metadata["x"]?.string == "os.system(os.system(…))")
        #expect(metadata["y"]?.text() == "{\"key0\":null}")
    }

    @Test func containersInsideThemselvesEnd() throws {
        let weight = text("w") + tensor(size: [4], stride: [1])
        let dict = [0x80, 2, 0x7D, 0x71, 0, 0x28] + text("self") + [0x68, 0] + weight + [0x75, 0x2E]
        #expect(try open(dict).entries.map(\.info.name) == ["w"])
        let list = [0x80, 2, 0x5D, 0x71, 0, 0x28, 0x68, 0] + tensor(size: [4], stride: [1]) + [0x65, 0x2E]
        #expect(try open(list).entries.map(\.info.name) == ["1"])
        let wrapper = [0x80, 2, 0x7D, 0x71, 0, 0x28] + text("state_dict") + [0x68, 0] + weight + [0x75, 0x2E]
        #expect(try open(wrapper).entries.map(\.info.name) == ["w"])
        let facts = [0x80, 2, 0x7D, 0x71, 0] + text("a") + [0x68, 0, 0x73, 0x2E]
        #expect(try open(facts).metadata["a"] != nil)
    }

    @Test func deepContainersAreRefusedNotFollowed() throws {
        for depth in [900, 100_000] {
            var nested = [0x80, 2] + [UInt8](repeating: 0x5D, count: depth) + tensor(size: [4], stride: [1])
            nested += [UInt8](repeating: 0x61, count: depth) + [0x2E]
            let error = failure { _ = try open(nested) }
            #expect(error?.code == (depth < 1000 ? nil : .limit))
        }
        let plain = [0x80, 2] + [UInt8](repeating: 0x5D, count: 900) + [UInt8](repeating: 0x61, count: 899) + [0x2E]
        #expect(try open(plain).metadata["kind"]?.string == "other")
    }

    @Test func repeatedNamesKeepTheLast() throws {
        let first = tensor(size: [4], stride: [1]), second = tensor(size: [2, 2], stride: [2, 1])
        let reader = try open(dict([("w", first), ("w", second)]))
        #expect(reader.entries.map(\.info.shape) == [[2, 2]])
        let paths = try open(dict([("a", [0x7D] + text("b") + first + [0x73]), ("a.b", second)]))
        #expect(paths.entries.map(\.info.shape) == [[4]])
        #expect(paths.skipped.map(\.name) == ["a.b"])
    }

    @Test func duplicateEntriesAreAnError() {
        let pickle = dict([("w", tensor(size: [4], stride: [1]))])
        let storage = ZipBuilder.Member("a/data/0", [UInt8](repeating: 1, count: 16))
        let error = failure { _ = try PyTorchZipReader(archive(pickle, extra: [storage]), name: "x.pt") }
        #expect(error?.message == "x.pt: two entries are named 'a/data/0'")
        let other = ZipBuilder.Member("b/data.pkl", pickle)
        #expect(failure { _ = try PyTorchZipReader(archive(pickle, extra: [other]), name: "x.pt") }?.code == .corrupt)
    }

    @Test func everyPrefixIsRefused() throws {
        for file in ["views.pt", "views_legacy.pt", "numpy.pt", "script_shared.pt", "wrapped_legacy.pt"] {
            let bytes = try PyTorchOracle.bytes(file)
            for length in 0..<bytes.count {
                let error = failure { _ = try PyTorchOracle.open(bytes.prefix(length), name: file) }
                #expect(error != nil && error?.code != .internal, "\(file) cut to \(length) bytes")
            }
        }
    }

    @Test func cutArchivesSayWhatIsMissing() throws {
        let bytes = try PyTorchOracle.bytes("views.pt")
        let error = failure { _ = try CheckpointReaders.open(bytes.prefix(bytes.count / 2), name: "v.pt") }
        #expect(error?.message.contains("truncated") == true, "\(error?.message ?? "none")")
    }

    @Test(arguments: ["views.pt", "views_legacy.pt", "numpy.pt", "script_shared.pt", "wrapped.pt", "protocol4.pt"])
    func everyDamagedByteIsSurvived(_ file: String) throws {
        let original = try PyTorchOracle.bytes(file).array
        var options = ReaderOptions()
        options.includesOptimizer = true
        options.materialisationLimit = 2 * original.count + 16 << 20
        for index in original.indices {
            for mask: UInt8 in [0x01, 0x80, 0xFF] {
                var damaged = original
                damaged[index] ^= mask
                let error = failure {
                    let reader = try PyTorchOracle.open(Bytes(damaged), name: file, options: options)
                    _ = reader.metadata
                    for entry in reader.entries {
                        if let error = failure({ _ = try reader.tensor(named: entry.info.name) }),
                            error.code == .internal
                        {
                            throw error
                        }
                    }
                }
                if error?.code == .internal {
                    Issue.record("\(file), byte \(index) ^ \(mask): \(error?.message ?? "")")
                }
            }
        }
    }

    @Test func survivesMutations() throws {
        let corpus = try PyTorchOracle.names.map { try PyTorchOracle.bytes($0).array }
        var options = ReaderOptions()
        options.materialisationLimit = 1 << 22
        try MutationFuzzer(seed: 20, corpus: corpus).run(iterations: 4000) { bytes in
            let reader = try PyTorchOracle.open(bytes, name: "fuzz", options: options)
            _ = reader.metadata
            for entry in reader.entries { _ = try? reader.tensor(named: entry.info.name) }
        }
    }
}
