import ZooBase

/// A symbolic machine for Python pickles: it follows the stack discipline of protocols 0 to 5 and records what the
/// pickle *describes*, but imports, calls and builds nothing.
///
/// A global is a name. A call (`REDUCE`, `NEWOBJ`) becomes a node that holds callable and arguments; whoever walks the
/// graph decides which of them mean something, by `PickleGlobalTable`. Everything lies in four arenas of plain values,
/// so a list that contains itself is just an index, memory is at most some tens of bytes an opcode, and freeing never
/// recurses. Limits are in `PickleLimits`. Format: Python's `pickletools` module and PEP 3154, PEP 574.
package struct PickleMachine: ~Copyable {
    private let input: UnsafeRawBufferPointer
    private var position = 0
    private var opcodeOffset = 0
    private var stack: PickleArena<PickleValue>
    /// Stack heights of open marks; values below the last one are out of reach.
    private var marks: PickleArena<Int32>
    private var memo: PickleArena<PickleValue>
    /// Memo keys far past the dense ones, which no pickler writes.
    private var sparseMemo: [UInt32: PickleValue] = [:]
    private var graph: PickleBuilder
    private var emptyTuple = PickleValue.absent
    private let byteLimit: Int

    private init(_ input: UnsafeRawBufferPointer, byteLimit: Int) {
        self.input = input
        self.byteLimit = byteLimit
        graph = PickleBuilder(byteCount: input.count)
        stack = PickleArena(capacity: 64)
        marks = PickleArena(capacity: 16)
        memo = PickleArena(capacity: min(input.count / 10, 4096))
    }

    /// Reads one pickle from the beginning of `bytes`; what follows its STOP is left alone (`graph.byteCount`).
    ///
    /// - Parameter byteLimit: the longest pickle taken; larger than usual where arrays lie in the pickle itself.
    /// - Throws: `corrupt`, `unsupported` or `limit`, with the offset of the opcode.
    package static func parse(_ bytes: Bytes, byteLimit: Int = PickleLimits.byteCount) throws -> PickleGraph {
        let limited = bytes.prefix(byteLimit)
        return try limited.withUnsafeBytes { buffer in
            var machine = PickleMachine(buffer, byteLimit: byteLimit)
            let root = try machine.run(isCut: bytes.count > limited.count)
            return machine.graph(of: limited, root: root)
        }
    }

    private consuming func graph(of bytes: Bytes, root: PickleValue) -> PickleGraph {
        PickleGraph(bytes: bytes, root: root, byteCount: position, graph)
    }

    /// Runs to STOP and gives the value it left.
    private mutating func run(isCut: Bool) throws -> PickleValue {
        var budget = PickleLimits.opcodeCount
        while true {
            opcodeOffset = position
            guard position < input.count else {
                if isCut { throw limit("is larger than \(byteLimit) bytes") }
                throw corrupt("ends without STOP")
            }
            guard let opcode = PickleOpcode(rawValue: input[position]) else {
                throw corrupt("unknown opcode 0x\(String(input[position], radix: 16))")
            }
            position += 1
            budget -= 1
            if budget < 0 { throw limit("has more than \(PickleLimits.opcodeCount) opcodes") }
            if opcode == .stop { break }
            try execute(opcode)
        }
        return try pop()
    }

    // MARK: Dispatch

    @inline(__always) private mutating func execute(_ opcode: PickleOpcode) throws {
        switch opcode {
        case .binPut: try remember(UInt32(try byte()))
        case .binGet: try recall(UInt32(try byte()))
        case .longBinPut: try remember(try number(UInt32.self))
        case .longBinGet: try recall(try number(UInt32.self))
        case .memoize: try remember(UInt32(memo.count + sparseMemo.count))
        case .mark: try pushMark()
        case .binInt1: try push(.int(Int64(try byte())))
        case .binInt2: try push(.int(Int64(try number(UInt16.self))))
        case .binInt: try push(.int(Int64(try number(Int32.self))))
        case .binUnicode: try pushSlice(.text, Int(try number(UInt32.self)), limit: PickleLimits.textByteCount)
        case .shortBinUnicode: try pushSlice(.text, Int(try byte()), limit: PickleLimits.textByteCount)
        case .emptyTuple: try pushEmptyTuple()
        case .tuple: try pushContainer(.tuple, .elements, from: try popMark())
        case .tuple1: try pushTuple(1)
        case .tuple2: try pushTuple(2)
        case .tuple3: try pushTuple(3)
        case .reduce: try reduce()
        case .persistent: try persistent()
        case .newFalse: try push(PickleValue(kind: .false))
        case .newTrue: try push(PickleValue(kind: .true))
        case .none: try push(.none)
        case .global: try global()
        case .stackGlobal: try stackGlobal()
        case .emptyDict: try push(graph.addNode(.dict, .pairs))
        case .emptyList: try push(graph.addNode(.list, .elements))
        case .emptySet: try push(graph.addNode(.set, .elements))
        case .setItem: try addItems(.pairs, from: try top(below: 2))
        case .setItems: try addItems(.pairs, from: try popMark())
        case .append: try addItems(.elements, from: try top(below: 1))
        case .appends, .addItems: try addItems(.elements, from: try popMark())
        case .build: try build()
        case .newObj: try newObject(hasKeywords: false)
        case .newObjEx: try newObject(hasKeywords: true)
        default: try executeRare(opcode)
        }
    }

    private mutating func executeRare(_ opcode: PickleOpcode) throws {
        switch opcode {
        case .proto:
            let version = try byte()
            guard version <= 5 else { throw unsupported("protocol \(version); 0 to 5 are read") }
        case .frame: try skipFrame()
        case .binFloat: try push(.double(Double(bitPattern: UInt64(bigEndian: try number(UInt64.self)))))
        case .long1: try pushLong(Int(try byte()))
        case .long4: try pushLong(Int(try number(Int32.self)))
        case .binUnicode8: try pushSlice(.text, try wideLength(), limit: PickleLimits.textByteCount)
        case .binBytes: try pushSlice(.bytes, Int(try number(UInt32.self)))
        case .shortBinBytes: try pushSlice(.bytes, Int(try byte()))
        case .binBytes8, .byteArray8: try pushSlice(.bytes, try wideLength())
        case .binString: try pushSlice(.legacyString, Int(try number(Int32.self)))
        case .shortBinString: try pushSlice(.legacyString, Int(try byte()))
        case .int: try textInteger()
        case .long: try textInteger()
        case .float: try textFloat()
        case .string: try textString()
        case .unicode:
            let line = try self.line()
            try push(.slice(.escapedText, line.offset, line.count))
        case .put: try remember(try textKey())
        case .get: try recall(try textKey())
        case .dict: try pushContainer(.dict, .pairs, from: try popMark())
        case .list: try pushContainer(.list, .elements, from: try popMark())
        case .frozenSet: try pushContainer(.set, .elements, from: try popMark())
        case .dup: try push(stack[try top(below: 1)])
        case .pop: try popOrUnmark()
        case .popMark: stack.removeLast(stack.count - (try popMark()))
        case .inst, .obj, .ext1, .ext2, .ext4, .persistentText, .nextBuffer, .readOnlyBuffer:
            throw unsupported("opcode \(opcode) is not read")
        default: throw corrupt("opcode \(opcode) out of place")
        }
    }

    // MARK: Stack

    @inline(__always) private var floor: Int { marks.count == 0 ? 0 : Int(marks[marks.count - 1]) }

    @inline(__always) private mutating func push(_ value: PickleValue) throws {
        guard stack.count < PickleLimits.stackCount else {
            throw limit("holds more than \(PickleLimits.stackCount) values on its stack")
        }
        stack.append(value)
    }

    @inline(__always) private mutating func pop() throws -> PickleValue {
        let index = try top(below: 1)
        let value = stack[index]
        stack.removeLast()
        return value
    }

    /// The stack index `depth` values below the top.
    @inline(__always) private func top(below depth: Int) throws -> Int {
        guard stack.count - floor >= depth else { throw corrupt("needs \(depth) values on the stack") }
        return stack.count - depth
    }

    @inline(__always) private mutating func pushMark() throws {
        guard marks.count < PickleLimits.stackCount else {
            throw limit("holds more than \(PickleLimits.stackCount) marks")
        }
        marks.append(Int32(stack.count))
    }

    @inline(__always) private mutating func popMark() throws -> Int {
        guard marks.count > 0 else { throw corrupt("needs a MARK") }
        let height = Int(marks[marks.count - 1])
        marks.removeLast()
        return height
    }

    private mutating func popOrUnmark() throws {
        if marks.count > 0, floor == stack.count { marks.removeLast() } else { _ = try pop() }
    }

    // MARK: Memo

    /// Keys this far past the last one are still kept in the dense table.
    private static let memoGap = 16

    @inline(__always) private mutating func remember(_ key: UInt32) throws {
        let value = stack[try top(below: 1)]
        let index = Int(key)
        if index == memo.count {
            guard index < PickleLimits.memoCount else {
                throw limit("remembers more than \(PickleLimits.memoCount) values")
            }
            memo.append(value)
        } else if index < memo.count {
            memo[index] = value
        } else {
            try rememberFar(key, value)
        }
    }

    private mutating func rememberFar(_ key: UInt32, _ value: PickleValue) throws {
        guard memo.count + sparseMemo.count < PickleLimits.memoCount else {
            throw limit("remembers more than \(PickleLimits.memoCount) values")
        }
        if Int(key) <= memo.count + Self.memoGap {
            while memo.count < Int(key) { memo.append(sparseMemo[UInt32(memo.count)] ?? .absent) }
            memo.append(value)
        } else {
            sparseMemo[key] = value
        }
    }

    @inline(__always) private mutating func recall(_ key: UInt32) throws {
        let index = Int(key)
        let value = index < memo.count ? memo[index] : sparseMemo[key] ?? .absent
        guard value.kind != .absent else { throw corrupt("memo key \(key) was never set") }
        try push(value)
    }

    // MARK: Containers and calls

    private mutating func pushEmptyTuple() throws {
        if emptyTuple.kind == .absent { emptyTuple = graph.addNode(.tuple, .elements) }
        try push(emptyTuple)
    }

    @inline(__always) private mutating func pushTuple(_ count: Int) throws {
        try pushContainer(.tuple, .elements, from: try top(below: count))
    }

    @inline(__always) private mutating func pushContainer(
        _ kind: PickleNode.Kind, _ content: PickleNode.Content, from start: Int
    ) throws {
        let count = stack.count - start
        if content == .pairs, count % 2 != 0 { throw corrupt("a dictionary with a key but no value") }
        let node = graph.addNode(kind, content, from: stack.base + start, count: count)
        stack.removeLast(count)
        try push(node)
    }

    private mutating func addItems(_ content: PickleNode.Content, from start: Int) throws {
        let count = stack.count - start
        guard start > floor else { throw corrupt("needs a container below its items") }
        if content == .pairs, count % 2 != 0 { throw corrupt("a key without a value") }
        let target = stack[start - 1]
        guard target.kind == .node, graph.append(content, to: Int(target.payload), stack.base + start, count) else {
            throw corrupt("\(content == .pairs ? "pairs" : "elements") are added to something that holds none")
        }
        stack.removeLast(count)
    }

    @inline(__always) private mutating func reduce() throws {
        let arguments = try pop()
        let callable = try pop()
        guard graph.isTuple(arguments) else { throw corrupt("REDUCE without a tuple of arguments") }
        try push(graph.addCall(.reduce, callable, arguments))
    }

    private mutating func newObject(hasKeywords: Bool) throws {
        let keywords = hasKeywords ? try pop() : PickleValue.absent
        var arguments = try pop()
        let type = try pop()
        if hasKeywords, !graph.isEmpty(keywords) {
            arguments = graph.addPair(arguments, keywords)
        }
        try push(graph.addCall(.object, type, arguments))
    }

    private mutating func build() throws {
        let state = try pop()
        let target = stack[try top(below: 1)]
        guard target.kind == .node, graph.setState(state, of: Int(target.payload)) else {
            throw corrupt("BUILD on a value that takes no state")
        }
    }

    @inline(__always) private mutating func persistent() throws {
        let identifier = try pop()
        try push(graph.addPersistent(identifier))
    }

    // MARK: Globals

    private mutating func global() throws {
        let module = try line(), name = try line()
        try pushGlobal(.slice(.text, module.offset, module.count), .slice(.text, name.offset, name.count))
    }

    private mutating func stackGlobal() throws {
        let name = try pop()
        let module = try pop()
        guard module.kind == .text, name.kind == .text else { throw corrupt("STACK_GLOBAL without two texts") }
        try pushGlobal(module, name)
    }

    private mutating func pushGlobal(_ module: PickleValue, _ name: PickleValue) throws {
        guard graph.globals.count < PickleLimits.globalCount else {
            throw limit("names more than \(PickleLimits.globalCount) globals")
        }
        let isShort = module.length <= 256 && name.length <= 256
        let known = isShort ? PickleGlobalTable.meaning(module: slice(module), name: slice(name)) : nil
        try push(graph.addGlobal(PickleGlobal(module: module, name: name, known: known)))
    }

    private func slice(_ value: PickleValue) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: input[value.offset..<value.offset + Int(value.length)])
    }

    // MARK: Operands

    @inline(__always) private mutating func byte() throws -> UInt8 {
        guard position < input.count else { throw cut(1) }
        defer { position += 1 }
        return input[position]
    }

    @inline(__always) private mutating func number<T: FixedWidthInteger & BitwiseCopyable>(_: T.Type) throws -> T {
        let width = MemoryLayout<T>.size
        guard width <= input.count - position else { throw cut(width) }
        defer { position += width }
        return T(littleEndian: input.loadUnaligned(fromByteOffset: position, as: T.self))
    }

    private mutating func wideLength() throws -> Int {
        let length = try number(UInt64.self)
        guard let narrow = Int(exactly: length) else { throw corrupt("a length of \(length) bytes") }
        return narrow
    }

    @inline(__always) private mutating func pushSlice(
        _ kind: PickleValue.Kind, _ length: Int, limit wanted: Int? = nil
    ) throws {
        let most = wanted ?? byteLimit
        guard length >= 0, length <= input.count - position else { throw cut(length) }
        guard length <= most else { throw limit("has a text of \(length) bytes; \(most) are allowed") }
        try push(.slice(kind, position, length))
        position += length
    }

    private mutating func pushLong(_ length: Int) throws {
        guard length >= 0, length <= input.count - position else { throw cut(length) }
        guard length <= PickleLimits.longByteCount else {
            throw limit("has an integer of \(length) bytes; \(PickleLimits.longByteCount) are allowed")
        }
        if length <= 8 {
            var bits: UInt64 = 0
            for index in 0..<length { bits |= UInt64(input[position + index]) << (8 * index) }
            let unused = 64 - 8 * length
            try push(.int(length == 0 ? 0 : Int64(bitPattern: bits << unused) >> unused))
        } else {
            try push(.slice(.long, position, length))
        }
        position += length
    }

    private mutating func skipFrame() throws {
        let length = try wideLength()
        guard length <= input.count - position else { throw cut(length) }
    }

    // MARK: Text operands of protocol 0

    private mutating func line() throws -> (offset: Int, count: Int) {
        let start = position
        let end = min(input.count, start + PickleLimits.lineByteCount)
        var cursor = start
        while cursor < end, input[cursor] != 10 { cursor += 1 }
        guard cursor < end else {
            throw end < input.count ? limit("has a line of more than \(PickleLimits.lineByteCount) bytes") : cut(1)
        }
        position = cursor + 1
        return (start, cursor - start)
    }

    private mutating func lineText() throws -> String {
        let line = try self.line()
        return String(decoding: input[line.offset..<line.offset + line.count], as: UTF8.self)
    }

    private mutating func textInteger() throws {
        var text = try lineText()
        if text == "00" { return try push(PickleValue(kind: .false)) }
        if text == "01" { return try push(PickleValue(kind: .true)) }
        if text.hasSuffix("L") { text.removeLast() }
        guard let value = Int64(text) else {
            let digits = text.hasPrefix("-") ? text.dropFirst() : text[...]
            guard !digits.isEmpty, digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else {
                throw corrupt("'\(text.prefix(40))' is not an integer")
            }
            throw unsupported("the integer '\(text.prefix(40))' needs over 64 bits")
        }
        try push(.int(value))
    }

    private mutating func textFloat() throws {
        let text = try lineText()
        guard let value = Double(text) else { throw corrupt("'\(text.prefix(40))' is not a number") }
        try push(.double(value))
    }

    private mutating func textString() throws {
        let line = try self.line()
        let quote = line.count >= 2 ? input[line.offset] : 0
        guard quote == 0x22 || quote == 0x27, input[line.offset + line.count - 1] == quote else {
            throw corrupt("a string without quotes")
        }
        try push(.slice(.escapedString, line.offset + 1, line.count - 2))
    }

    private mutating func textKey() throws -> UInt32 {
        let text = try lineText()
        guard let key = UInt32(text) else { throw corrupt("'\(text.prefix(40))' is not a memo key") }
        return key
    }

    // MARK: Errors

    @inline(never) private func corrupt(_ what: String) -> ZooError {
        ZooError(.corrupt, "pickle: offset \(opcodeOffset): \(what)")
    }

    @inline(never) private func unsupported(_ what: String) -> ZooError {
        ZooError(.unsupported, "pickle: offset \(opcodeOffset): \(what)")
    }

    @inline(never) private func limit(_ what: String) -> ZooError {
        ZooError(.limit, "pickle: offset \(opcodeOffset): \(what)")
    }

    @inline(never) private func cut(_ needed: Int) -> ZooError {
        corrupt("needs \(needed) more bytes, but only \(input.count - position) are left")
    }
}
