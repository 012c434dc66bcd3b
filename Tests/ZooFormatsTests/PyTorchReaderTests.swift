import Testing
import ZooBase
import ZooFormats
import ZooTensor
import ZooTestSupport

@Suite struct PyTorchReaderTests {
    @Test func digestOfTheTestsIsSHA256() {
        #expect(
            PyTorchDigest.sha256(Bytes(Array("abc".utf8)))
                == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    }

    @Test(arguments: PyTorchOracle.names)
    func readsWhatTorchReads(_ file: String) throws {
        let reader = try PyTorchOracle.open(try PyTorchOracle.bytes(file), name: file)
        try PyTorchOracle.compare(reader, PyTorchOracle.tensors(file), file)
        let expected = PyTorchOracle.all[file]
        #expect(reader.metadata["kind"]?.string == expected?["kind"]?.string ?? "stateDict", "\(file)")
        #expect(
            reader.skipped.map(\.name) == expected?["skipped"]?.array?.compactMap(\.string)
                ?? reader.skipped.map(\.name))
        for (key, value) in expected?["metadata"]?.object?.members ?? [] {
            #expect(reader.metadata[key]?.text() == value.text(), "\(file) \(key)")
        }
    }

    @Test(arguments: PyTorchOracle.names.filter { PyTorchOracle.all[$0]?["optimizer"] != nil })
    func listsOptimizerStatesOnRequest(_ file: String) throws {
        var options = ReaderOptions()
        options.includesOptimizer = true
        let reader = try PyTorchOracle.open(try PyTorchOracle.bytes(file), name: file, options: options)
        let rows = PyTorchOracle.tensors(file).filter { $0.name.hasPrefix("optimizer.") == false }
        let names = Set(reader.entries.map(\.info.name))
        for row in rows { #expect(names.contains(row.name)) }
        let optimizer = PyTorchOracle.tensors(file, "optimizer")
        #expect(reader.entries.map(\.info.name).filter { $0.hasPrefix("optimizer.") } == optimizer.map(\.name))
        for row in optimizer {
            #expect(PyTorchDigest.sha256(try reader.tensor(named: row.name).bytes) == row.sha256, "\(row.name)")
        }
        #expect(reader.metadata["optimizer"]?["param_groups"]?.array?.first?["lr"]?.double != nil)
    }

    @Test func tiedWeightsHaveEqualOffsets() throws {
        for file in ["views.pt", "views_legacy.pt"] {
            let reader = try PyTorchOracle.open(try PyTorchOracle.bytes(file), name: file)
            let offsets = reader.entries.filter { ["embed", "head"].contains($0.info.name) }.map(\.offset)
            #expect(offsets.count == 2 && offsets[0] != nil && offsets[0] == offsets[1])
        }
    }

    @Test func stridedViewsHaveNoOffset() throws {
        let reader = try PyTorchZipReader(try PyTorchOracle.bytes("views.pt"), name: "views.pt")
        let offsets = Dictionary(uniqueKeysWithValues: reader.entries.map { ($0.info.name, $0.offset) })
        for name in ["transposed", "channels_last", "expanded", "steps", "diagonal", "permuted", "conj", "neg"] {
            #expect(offsets[name] == .some(nil), "\(name)")
        }
        for name in ["slice", "scalar", "empty", "parameter", "ones"] {
            #expect(offsets[name] != .some(nil), "\(name)")
        }
    }

    @Test func expandedViewsKeepToTheMaterialisationLimit() throws {
        var options = ReaderOptions()
        options.materialisationLimit = 39
        let reader = try PyTorchZipReader(try PyTorchOracle.bytes("views.pt"), name: "v.pt", options: options)
        let error = #expect(throws: ZooError.self) { try reader.tensor(named: "expanded") }
        #expect(error?.code == .limit)
        #expect(
            error?.message
                == "v.pt: tensor 'expanded': shape [2, 5] of float32 would take 40 bytes as a copy; 39 are allowed")
    }

    @Test func globalsOutsideTheTableAreNamedNotRun() throws {
        let reader = try PyTorchZipReader(try PyTorchOracle.bytes("opaque.pt"), name: "opaque.pt")
        #expect(reader.metadata["config"]?["note"]?.string == "tensors beside")
        #expect(reader.metadata["unexecuted"]?.array?.count == 2)
    }

    @Test func missingTensorsAreNamed() throws {
        let reader = try PyTorchZipReader(try PyTorchOracle.bytes("tensor.pt"), name: "t.pt")
        let error = #expect(throws: ZooError.self) { try reader.tensor(named: "fc") }
        #expect(error?.message == "t.pt: no tensor 'fc'")
    }

    @Test func eachReaderAcceptsItsOwn() throws {
        for file in PyTorchOracle.names {
            let bytes = try PyTorchOracle.bytes(file)
            let kinds = [
                PyTorchZipReader.accepts(bytes), PyTorchLegacyReader.accepts(bytes), TorchScriptReader.accepts(bytes),
            ]
            #expect(kinds.filter { $0 }.count == 1, "\(file)")
            #expect(kinds[1] == file.hasPrefix("legacy") || kinds[1] == file.contains("_legacy"), "\(file)")
        }
    }

    @Test func refusesTheTarOfTheFirstVersions() throws {
        var bytes = [UInt8](repeating: 0, count: 1024)
        bytes.replaceSubrange(0..<8, with: Array("sys_info".utf8))
        bytes.replaceSubrange(257..<262, with: Array("ustar".utf8))
        #expect(PyTorchLegacyReader.accepts(Bytes(bytes)))
        let error = #expect(throws: ZooError.self) { try PyTorchLegacyReader(Bytes(bytes), name: "old.pt") }
        #expect(error?.code == .unsupported)
    }

    @Test func frozenModulesShowTheirConstants() throws {
        let reader = try TorchScriptReader(try PyTorchOracle.bytes("frozen.pt"), name: "frozen.pt")
        #expect(reader.entries.map(\.info.name) == (0..<5).map { "constants.\($0)" })
        #expect(reader.entries.map(\.info.shape) == [[2, 3], [2], [2, 2], [2], [2]])
        #expect(reader.metadata["frozen"]?.bool == true)
        #expect(try reader.tensor(named: "constants.3").floats() == [0, 1])
    }

    @Test func plainAttributesOfScriptsAreMentioned() throws {
        let reader = try TorchScriptReader(try PyTorchOracle.bytes("script_shared.pt"), name: "s.pt")
        #expect(reader.skipped.map(\.name) == ["loose"])
        let shared = reader.entries.filter { $0.info.name.hasSuffix("0.weight") || $0.info.name == "again.weight" }
        #expect(shared.count == 2 && shared[0].offset == shared[1].offset)
    }

    @Test func prefixesOfTrainingWrappersComeOff() {
        let stripped = commonPrefixStripped(["module.a.weight", "module.submodule.x"])
        #expect(stripped.names == ["a.weight", "submodule.x"] && stripped.prefix == "module.")
        #expect(commonPrefixStripped(["module._orig_mod.a"]).names == ["a"])
        #expect(commonPrefixStripped(["module.a", "b"]).names == ["module.a", "b"])
        #expect(commonPrefixStripped(["submodule.a", "submodule.b"]).prefix == "")
        #expect(commonPrefixStripped(["module."]).prefix == "" && commonPrefixStripped([]).prefix == "")
    }
}
