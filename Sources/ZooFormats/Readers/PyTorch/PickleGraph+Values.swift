import ZooBase

// Values as Python would show them: text, bytes, sequences and mappings, whichever of the ways to pickle them was used.
extension PickleGraph {
    // MARK: Text and bytes

    /// Lends the raw bytes of a text, bytes or long value; none for others.
    func withSlice<R>(_ value: PickleValue, _ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
        try bytes.withUnsafeBytes { buffer in
            switch value.kind {
            case .text, .escapedText, .bytes, .legacyString, .escapedString, .long:
                return try body(
                    UnsafeRawBufferPointer(rebasing: buffer[value.offset..<value.offset + Int(value.length)]))
            default: return try body(UnsafeRawBufferPointer(start: nil, count: 0))
            }
        }
    }

    /// The text of a value; nil when it is none or not valid UTF-8. A Python 2 string that is not UTF-8 is Latin-1.
    package func text(_ value: PickleValue) -> String? {
        switch value.kind {
        case .text: withSlice(value, Self.validated)
        case .legacyString:
            withSlice(value) { slice in
                Self.validated(slice) ?? Self.latin1(slice)
            }
        case .escapedText: withSlice(value, PickleEscapes.unicode)
        case .escapedString:
            withSlice(value) { slice in
                PickleEscapes.bytes(slice).map { decoded in
                    String(validating: decoded, as: UTF8.self) ?? decoded.withUnsafeBytes(Self.latin1)
                }
            }
        default: nil
        }
    }

    /// UTF-8 as text; the validating initialiser is slow for the short ASCII names that there are thousands of.
    private static func validated(_ slice: UnsafeRawBufferPointer) -> String? {
        var union: UInt8 = 0
        for byte in slice { union |= byte }
        return union < 0x80 ? String(decoding: slice, as: UTF8.self) : String(validating: slice, as: UTF8.self)
    }

    private static func latin1(_ slice: UnsafeRawBufferPointer) -> String {
        var text = ""
        for byte in slice { text.unicodeScalars.append(Unicode.Scalar(byte)) }
        return text
    }

    /// Whether a value is exactly this ASCII text.
    func isText(_ value: PickleValue, _ expected: StaticString) -> Bool {
        switch value.kind {
        case .text, .legacyString:
            guard Int(value.length) == expected.utf8CodeUnitCount else { return false }
            return withSlice(value) { slice in
                slice.elementsEqual(UnsafeRawBufferPointer(start: expected.utf8Start, count: slice.count))
            }
        case .escapedText, .escapedString:
            // The longest escape spells one character with ten.
            return Int(value.length) <= 10 * expected.utf8CodeUnitCount && text(value) == expected.description
        default: return false
        }
    }

    /// The bytes of a value: a slice of the pickle where they lie in it as they are, else a decoded copy.
    ///
    /// Protocol 2 has no bytes: Python 3 writes `_codecs.encode('…', 'latin1')`, undone here.
    ///
    /// - Parameter most: longer ones give nil before anything is decoded.
    func byteString(_ value: PickleValue, most: Int = .max) -> Bytes? {
        guard encodedByteCount(value) <= most else { return nil }
        switch value.kind {
        case .bytes, .legacyString: return try? bytes.slice(value.offset, Int(value.length))
        case .escapedString: return withSlice(value) { PickleEscapes.bytes($0).map { Bytes($0) } }
        case .node:
            guard let call = call(value), let node = node(call.arguments) else { return nil }
            switch call.known {
            case .codecsEncode: return encodedLatin1(item(node, 0))
            case .bytes where node.count == 0: return .empty
            case .bytes where item(node, 0).kind == .text: return encodedLatin1(item(node, 0))
            case .bytes where item(node, 0).kind == .bytes: return byteString(item(node, 0))
            default: return nil
            }
        default: return nil
        }
    }

    /// How many bytes decoding `byteString` reads; 0 when nothing needs decoding.
    func encodedByteCount(_ value: PickleValue) -> Int {
        if value.kind == .escapedString { return Int(value.length) }
        guard let call = call(value), call.known == .codecsEncode || call.known == .bytes,
            let node = node(call.arguments)
        else { return 0 }
        return Int(item(node, 0).length)
    }

    private func encodedLatin1(_ value: PickleValue) -> Bytes? {
        guard let text = text(value) else { return nil }
        var decoded: [UInt8] = []
        decoded.reserveCapacity(text.utf8.count)
        for scalar in text.unicodeScalars {
            guard let byte = UInt8(exactly: scalar.value) else { return nil }
            decoded.append(byte)
        }
        return Bytes(decoded)
    }

    // MARK: Calls

    /// A reduce or object: what is called and with what.
    struct Call {
        var node: PickleNode
        var known: KnownGlobal?
        var arguments: PickleValue
    }

    /// The call of a value; nil for plain values and containers.
    func call(_ value: PickleValue) -> Call? {
        guard let node = node(value), node.kind == .reduce || node.kind == .object else { return nil }
        return Call(node: node, known: known(callable(node)), arguments: arguments(node))
    }

    /// What we know a global to mean.
    func known(_ value: PickleValue) -> KnownGlobal? {
        value.kind == .global ? globals[Int(value.payload)].known : nil
    }

    /// `module.name` of a global, for messages.
    func globalName(_ value: PickleValue) -> String? {
        guard value.kind == .global else { return nil }
        let global = globals[Int(value.payload)]
        guard global.module.length <= 1024, global.name.length <= 1024 else { return "(a name of over 1024 bytes)" }
        return "\(text(global.module) ?? "?").\(text(global.name) ?? "?")"
    }

    /// `module.Class` of an object, whichever way it was reduced.
    func className(_ call: Call) -> String? {
        let callable = callable(call.node)
        if call.known == .reconstructor, let node = node(call.arguments) { return globalName(item(node, 0)) }
        // Before 0.4, classes were persistent ids of the form ('module', class, file, source).
        if let inner = node(callable), inner.kind == .persistent, let tuple = node(identifier(inner)) {
            return globalName(item(tuple, 1))
        }
        return globalName(callable)
    }

    /// Globals outside the allow-list, each once, in order: named by the file, never executed.
    package var unknownGlobals: [String] {
        var names: [String] = []
        var seen: Set<String> = []
        for index in globals.indices where globals[index].known == nil {
            guard let name = globalName(PickleValue(kind: .global, payload: Int64(index))) else { continue }
            if seen.insert(name).inserted { names.append(name) }
        }
        return names
    }

    // MARK: Sequences and mappings

    /// Steps through wrappers that change nothing for us: `torch.Size(…)`, `set([…])`, `restore_type_tag(…)`.
    func unwrapped(_ value: PickleValue) -> PickleValue {
        var value = value
        for _ in 0..<8 {
            guard let call = call(value), let known = call.known, call.node.count == 0 else { return value }
            switch known {
            case .size, .set, .list, .tuple, .jitList, .jitTypeTag:
                guard let arguments = node(call.arguments), arguments.count > 0 else { return call.arguments }
                value = item(arguments, 0)
            default: return value
            }
        }
        return value
    }

    /// The elements of a tuple, list or set, of wrappers around them, and of objects that are lists; nil for others.
    package func elements(_ value: PickleValue) -> PickleItems? {
        guard let node = node(unwrapped(value)) else { return nil }
        switch node.kind {
        case .tuple, .list, .set: return items(of: node)
        case .reduce, .object: return node.content == .elements ? items(of: node) : nil
        case .dict, .persistent: return nil
        }
    }

    /// Keys and values of a dictionary, ordered or default dictionary, or an object that is one; nil for others.
    package func pairs(_ value: PickleValue) -> PicklePairs? {
        guard let node = node(value) else { return nil }
        switch node.kind {
        case .dict: return PicklePairs(graph: self, items: items(of: node), isList: false)
        case .tuple, .list, .set, .persistent: return nil
        case .reduce, .object:
            if node.content == .pairs { return PicklePairs(graph: self, items: items(of: node), isList: false) }
            switch known(callable(node)) {
            case .orderedDict, .dict: return pairsOfArguments(node)
            case .defaultDict: return PicklePairs(graph: self, items: items(of: node), isList: false)
            default: return nil
            }
        }
    }

    /// `OrderedDict([(key, value), …])` and `OrderedDict({…})`.
    private func pairsOfArguments(_ call: PickleNode) -> PicklePairs? {
        guard let arguments = node(arguments(call)) else { return nil }
        guard arguments.count > 0 else {
            return PicklePairs(graph: self, items: items(of: arguments), isList: false)
        }
        guard let content = node(item(arguments, 0)) else { return nil }
        switch content.kind {
        case .list, .tuple: return PicklePairs(graph: self, items: items(of: content), isList: true)
        case .dict: return PicklePairs(graph: self, items: items(of: content), isList: false)
        default: return nil
        }
    }

    /// The value of a text key: the last one, as Python keeps it; absent when there is none, or when the mapping has
    /// more than `most` keys and so is not the kind that was looked for.
    func value(_ key: StaticString, in value: PickleValue, most: Int = .max) -> PickleValue {
        guard let pairs = pairs(value) else { return .absent }
        var found = PickleValue.absent
        var count = 0
        for (candidate, content) in pairs {
            count += 1
            if count > most { return .absent }
            if isText(candidate, key) { found = content }
        }
        return found
    }
}

/// Keys and values of a mapping, in order, repeated keys included.
package struct PicklePairs: Sequence, IteratorProtocol {
    private let graph: PickleGraph
    private var items: PickleItems
    /// Whether items are themselves pairs.
    private let isList: Bool

    fileprivate init(graph: PickleGraph, items: PickleItems, isList: Bool) {
        self.graph = graph
        self.items = items
        self.isList = isList
    }

    package mutating func next() -> (key: PickleValue, value: PickleValue)? {
        guard let first = items.next() else { return nil }
        guard isList else { return items.next().map { (first, $0) } }
        guard let pair = graph.node(first), pair.kind == .tuple || pair.kind == .list else { return (.none, .none) }
        return (graph.item(pair, 0), graph.item(pair, 1))
    }
}

/// Backslash escapes of the text opcodes.
enum PickleEscapes {
    /// `raw-unicode-escape`: Latin-1 with `\uXXXX` and `\UXXXXXXXX`.
    static func unicode(_ input: UnsafeRawBufferPointer) -> String? {
        var text = ""
        var index = 0
        while index < input.count {
            let width = index + 1 < input.count && input[index] == 0x5C ? [0x75: 4, 0x55: 8][input[index + 1]] : nil
            guard let width else {
                text.unicodeScalars.append(Unicode.Scalar(input[index]))
                index += 1
                continue
            }
            guard let code = hexadecimal(input, index + 2, width), let scalar = Unicode.Scalar(code) else { return nil }
            text.unicodeScalars.append(scalar)
            index += 2 + width
        }
        return text
    }

    /// `string-escape`: the escapes of a Python 2 string literal.
    static func bytes(_ input: UnsafeRawBufferPointer) -> [UInt8]? {
        let plain: [UInt8: UInt8] = [
            0x6E: 10, 0x72: 13, 0x74: 9, 0x62: 8, 0x66: 12, 0x61: 7, 0x76: 11, 0x5C: 0x5C, 0x27: 0x27, 0x22: 0x22,
        ]
        var output: [UInt8] = []
        var index = 0
        while index < input.count {
            guard input[index] == 0x5C else {
                output.append(input[index])
                index += 1
                continue
            }
            guard index + 1 < input.count else { return nil }
            if input[index + 1] == 0x78 {
                guard let code = hexadecimal(input, index + 2, 2) else { return nil }
                output.append(UInt8(truncatingIfNeeded: code))
                index += 4
            } else if (0x30...0x37).contains(input[index + 1]) {
                var code = 0
                index += 1
                for _ in 0..<3 where index < input.count && (0x30...0x37).contains(input[index]) {
                    code = code * 8 + Int(input[index] - 0x30)
                    index += 1
                }
                output.append(UInt8(truncatingIfNeeded: code))
            } else {
                guard let byte = plain[input[index + 1]] else { return nil }
                output.append(byte)
                index += 2
            }
        }
        return output
    }

    private static func hexadecimal(_ input: UnsafeRawBufferPointer, _ start: Int, _ width: Int) -> UInt32? {
        guard start + width <= input.count else { return nil }
        var code: UInt32 = 0
        for byte in input[start..<start + width] {
            guard let digit = Character(Unicode.Scalar(byte)).hexDigitValue else { return nil }
            code = code << 4 | UInt32(digit)
        }
        return code
    }
}
