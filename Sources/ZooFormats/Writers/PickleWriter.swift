import ZooBase

/// Writes a pickle of protocol 2 with the opcodes, and the memo numbering, that Python's own pickler would use.
struct PickleWriter {
    private(set) var bytes: [UInt8] = [0x80, 2]
    private var memo: [String: Int] = [:]
    private var memoCount = 0

    mutating func opcode(_ code: PickleOpcode) { bytes.append(code.rawValue) }

    /// Remembers the value just written.
    mutating func memoize() {
        if memoCount < 256 {
            bytes += [PickleOpcode.binPut.rawValue, UInt8(memoCount)]
        } else {
            opcode(.longBinPut)
            put(UInt32(memoCount))
        }
        memoCount += 1
    }

    private mutating func recall(_ key: Int) {
        if key < 256 {
            bytes += [PickleOpcode.binGet.rawValue, UInt8(key)]
        } else {
            opcode(.longBinGet)
            put(UInt32(key))
        }
    }

    private mutating func put<T: FixedWidthInteger>(_ value: T) {
        withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }

    /// `module name`, written once and recalled after that.
    mutating func global(_ module: String, _ name: String) {
        let key = "c\(module)\n\(name)"
        if let known = memo[key] { return recall(known) }
        opcode(.global)
        bytes += Array("\(module)\n\(name)\n".utf8)
        memo[key] = memoCount
        memoize()
    }

    /// A text. Python recalls texts that are one object; `isShared` says so.
    mutating func text(_ text: String, isShared: Bool = false) {
        let key = "X" + text
        if isShared, let known = memo[key] { return recall(known) }
        opcode(.binUnicode)
        put(UInt32(text.utf8.count))
        bytes += Array(text.utf8)
        if isShared { memo[key] = memoCount }
        memoize()
    }

    mutating func int(_ value: Int) {
        switch value {
        case 0...0xFF: bytes += [PickleOpcode.binInt1.rawValue, UInt8(value)]
        case 0x100...0xFFFF:
            opcode(.binInt2)
            put(UInt16(value))
        case Int(Int32.min)...Int(Int32.max):
            opcode(.binInt)
            put(Int32(value))
        default:
            var width = 8
            while width > 1, value == (value << (8 * (9 - width))) >> (8 * (9 - width)) { width -= 1 }
            bytes += [PickleOpcode.long1.rawValue, UInt8(width)]
            for index in 0..<width { bytes.append(UInt8(truncatingIfNeeded: value >> (8 * index))) }
        }
    }

    mutating func bool(_ value: Bool) { opcode(value ? .newTrue : .newFalse) }

    mutating func double(_ value: Double) {
        opcode(.binFloat)
        put(value.bitPattern.bigEndian)
    }

    /// A tuple of integers.
    mutating func tuple(_ values: [Int]) {
        if values.isEmpty { return opcode(.emptyTuple) }
        if values.count > 3 { opcode(.mark) }
        for value in values { int(value) }
        opcode([.tuple1, .tuple2, .tuple3][safe: values.count - 1] ?? .tuple)
        memoize()
    }

    /// `collections.OrderedDict()`.
    mutating func orderedDict() {
        global("collections", "OrderedDict")
        opcode(.emptyTuple)
        opcode(.reduce)
        memoize()
    }

    /// Adds `count` pairs to the dictionary on top, in the batches of Python's pickler.
    mutating func pairs(_ count: Int, _ body: (inout PickleWriter, Int) throws -> Void) rethrows {
        let batch = 1000
        var start = 0
        while start < count {
            let end = min(start + batch, count)
            let isSingle = end - start == 1
            if !isSingle { opcode(.mark) }
            for index in start..<end { try body(&self, index) }
            opcode(isSingle ? .setItem : .setItems)
            start = end
        }
    }

    /// A JSON value as the Python value that `json.loads` gives; the outermost object is an ordered dictionary.
    mutating func json(_ value: JSONValue, isOrdered: Bool = false) {
        switch value {
        case .null: opcode(.none)
        case .bool(let value): bool(value)
        case .int(let value): int(Int(value))
        case .double(let value): double(value)
        case .string(let value): text(value, isShared: true)
        case .array(let elements):
            opcode(.emptyList)
            memoize()
            guard !elements.isEmpty else { return }
            opcode(.mark)
            for element in elements { json(element) }
            opcode(.appends)
        case .object(let object):
            if isOrdered {
                orderedDict()
            } else {
                opcode(.emptyDict)
                memoize()
            }
            pairs(object.count) { writer, index in
                writer.text(object.members[index].key, isShared: true)
                writer.json(object.members[index].value)
            }
        }
    }
}

extension Array {
    fileprivate subscript(safe index: Int) -> Element? { indices.contains(index) ? self[index] : nil }
}
