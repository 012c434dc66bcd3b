import Testing
import ZooBase
import ZooFormats
import ZooTestSupport

/// The symbolic machine on pickles written by hand.
@Suite struct PyTorchPickleTests {
    private func parse(_ parts: [UInt8]...) throws -> PickleGraph {
        try PickleMachine.parse(Bytes(parts.flatMap { $0 }))
    }

    private func text(_ string: String) -> [UInt8] { Array(string.utf8) }

    private func failure(_ parts: [UInt8]...) -> ZooError? {
        do {
            _ = try PickleMachine.parse(Bytes(parts.flatMap { $0 }))
            return nil
        } catch let error as ZooError { return error } catch { return ZooError(.internal, "\(error)") }
    }

    /// `{'a': 1, 'b': [True, None, 2.5, -70000], 'c': ('x', 12345678901)}` in protocol 0.
    @Test func readsProtocol0() throws {
        let graph = try parse(
            text(
                "(dp0\nVa\np1\nI1\nsS'b'\np2\n(lp3\nI01\naNaF2.5\naI-70000\nasVc\\u00e9\np4\n(Vx\nL12345678901L\ntp5\ns."
            ))
        let pairs = try #require(graph.pairs(graph.root)).map { $0 }
        #expect(pairs.map { graph.text($0.key) } == ["a", "b", "cé"])
        #expect(pairs[0].value.int == 1)
        let list = try #require(graph.elements(pairs[1].value)).map { $0 }
        #expect(list[0].bool == true && list[1].kind == .none && list[2].double == 2.5 && list[3].int == -70000)
        let tuple = try #require(graph.elements(pairs[2].value)).map { $0 }
        #expect(graph.text(tuple[0]) == "x" && tuple[1].int == 12_345_678_901)
    }

    @Test func readsIntegersOfAllWidths() throws {
        let graph = try parse(
            [0x80, 4, 0x5D, 0x28], [0x4B, 255], [0x4D, 0, 1], [0x4A, 0, 0, 0, 0x80], [0x8A, 0], [0x8A, 1, 0xFF],
            [0x8A, 8] + [UInt8](repeating: 0xFF, count: 7) + [0x7F], [0x8B, 2, 0, 0, 0, 0, 0x80], [0x65, 0x2E])
        let numbers = try #require(graph.elements(graph.root)).map(\.int)
        #expect(numbers == [255, 256, Int(Int32.min), 0, -1, Int.max, -32768])
    }

    @Test func readsProtocol4And5Opcodes() throws {
        let frame: [UInt8] = [0x95, 4, 0, 0, 0, 0, 0, 0, 0]
        let graph = try parse(
            [0x80, 5], frame, [0x8F, 0x94, 0x28], [0x8C, 1], text("k"), [0x8E, 2, 0, 0, 0, 0, 0, 0, 0, 1, 2],
            [0x96, 1, 0, 0, 0, 0, 0, 0, 0, 9], [0x43, 1, 7], [0x90, 0x2E])
        let items = try #require(graph.elements(graph.root)).map { $0 }
        #expect(graph.text(items[0]) == "k")
        #expect(items.dropFirst().map(\.kind) == [.bytes, .bytes, .bytes])
        #expect(graph.byteCount == 43)
    }

    @Test func namesWhatItDoesNotRun() throws {
        let graph = try parse(
            [0x80, 2], text("cos\nsystem\n"), [0x58, 2, 0, 0, 0], text("ls"), [0x85, 0x52], text("cbuiltins\neval\n"),
            [0x86], [0x2E])
        #expect(graph.unknownGlobals == ["os.system", "builtins.eval"])
        let stack = try parse([0x80, 4, 0x8C, 5], text("posix"), [0x8C, 6], text("system"), [0x93, 0x2E])
        #expect(stack.unknownGlobals == ["posix.system"])
    }

    @Test func containersMayContainThemselves() throws {
        let list = try parse([0x80, 2, 0x5D, 0x71, 0, 0x68, 0, 0x61, 0x2E])
        #expect(try #require(list.elements(list.root)).map(\.kind) == [.node])
        let dict = try parse([0x80, 2, 0x7D, 0x71, 0, 0x4B, 1, 0x68, 0, 0x73, 0x2E])
        #expect(try #require(dict.pairs(dict.root)).map { $0 }.count == 1)
    }

    @Test func growsContainersInParts() throws {
        // Two lists filled in turn: each has its items in several runs.
        var pickle: [UInt8] = [0x80, 2, 0x5D, 0x71, 0, 0x5D, 0x71, 1, 0x86, 0x71, 2, 0x30]
        for index in UInt8(0)..<100 { pickle += [0x68, index % 2, 0x4B, index, 0x61, 0x30] }
        let graph = try parse(pickle, [0x68, 2, 0x2E])
        let lists = try #require(graph.elements(graph.root)).map { $0 }
        #expect(try #require(graph.elements(lists[0])).map(\.int) == (0..<50).map { $0 * 2 })
        #expect(try #require(graph.elements(lists[1])).map(\.int) == (0..<50).map { $0 * 2 + 1 })
    }

    @Test func memoKeysMayBeSparse() throws {
        let graph = try parse(
            [0x80, 2, 0x4B, 1, 0x72, 0xFF, 0xFF, 0xFF, 0xFF, 0x71, 5, 0x30, 0x6A, 0xFF, 0xFF, 0xFF, 0xFF, 0x68, 5],
            [0x86, 0x2E])
        #expect(try #require(graph.elements(graph.root)).map(\.int) == [1, 1])
        #expect(failure([0x68, 4, 0x2E])?.message == "pickle: offset 0: memo key 4 was never set")
    }

    @Test func stopsAtNamedLimits() {
        #expect(failure([0x80, 2], [UInt8](repeating: 0x28, count: 1_000_001))?.code == .limit)
        #expect(failure([0x80, 2, 0x4B, 1], [UInt8](repeating: 0x32, count: 1_000_001))?.code == .limit)
        #expect(failure([0x8B, 0x01, 0x04, 0, 0] + [UInt8](repeating: 1, count: 1025) + [0x2E])?.code == .limit)
        let endless = [UInt8](repeating: 0x4E, count: 2) + [0x30, 0x30]
        #expect(failure(Array(repeatElement(endless, count: 2_600_000).joined()))?.code == .limit)
    }

    @Test func lengthsAreCheckedAgainstTheBytes() {
        #expect(failure([0x8B, 0xFF, 0xFF, 0xFF, 0x7F, 1])?.code == .corrupt)
        #expect(failure([0x8B, 0xFF, 0xFF, 0xFF, 0xFF, 1])?.code == .corrupt)
        #expect(failure([0x8D] + [UInt8](repeating: 0xFF, count: 8))?.code == .corrupt)
        #expect(failure([0x8D, 0, 0, 0, 0, 0, 0, 0, 0x7F])?.code == .corrupt)
        #expect(failure([0x58, 0xFF, 0xFF, 0xFF, 0xFF, 65])?.code == .corrupt)
        #expect(failure([0x54, 0xFF, 0xFF, 0xFF, 0xFF, 65])?.code == .corrupt)
        #expect(failure([0x95] + [UInt8](repeating: 0xFF, count: 8))?.code == .corrupt)
    }

    @Test(arguments: [
        "R.", "(.", "}a.", "}(K\u{1}u.", "b.", "0.", "a.", "u.", "s.", "K\u{1}K\u{2}a.", "]K\u{1}R.", "t.", "1.", "2.",
        "q\u{0}.", "cos\n", "S'a\n.", "Iabc\n.", "Fabc\n.", "gx\n.", "", "K", "(K\u{1}d.", "\u{81}.", "Q.",
    ])
    func refusesNonsense(_ pickle: String) {
        let bytes = pickle.unicodeScalars.map { UInt8($0.value) }
        #expect(failure(bytes)?.code == .corrupt, "\(pickle)")
    }

    @Test(arguments: [
        ("i", "inst"), ("o", "obj"), ("P", "persistentText"), ("\u{82}", "ext1"), ("\u{97}", "nextBuffer"),
    ])
    func refusesByName(_ opcode: String, _ name: String) {
        let error = failure(opcode.unicodeScalars.map { UInt8($0.value) })
        #expect(error?.code == .unsupported)
        #expect(error?.message == "pickle: offset 0: opcode \(name) is not read")
        #expect(failure([0x80, 6])?.code == .unsupported)
    }

    @Test func deepNestingIsFlat() throws {
        let depth = 400_000
        let graph = try parse(
            [UInt8](repeating: 0x5D, count: depth), [UInt8](repeating: 0x61, count: depth - 1), [0x2E])
        #expect(graph.nodeCount == depth)
    }
}
