extension JSONValue {
    /// The value as JSON text; numbers that are not finite become `null`.
    ///
    /// - Parameters:
    ///   - indent: spaces per level; nil writes one line.
    ///   - sortedKeys: members in order of their keys, for text that is compared.
    public func text(indent: Int? = nil, sortedKeys: Bool = false) -> String {
        var output: [UInt8] = []
        write(into: &output, indent: indent, sortedKeys: sortedKeys, level: 0)
        return String(decoding: output, as: UTF8.self)
    }

    private func write(into output: inout [UInt8], indent: Int?, sortedKeys: Bool, level: Int) {
        switch self {
        case .null: output.append(contentsOf: "null".utf8)
        case .bool(let value): output.append(contentsOf: (value ? "true" : "false").utf8)
        case .int(let value): output.append(contentsOf: String(value).utf8)
        case .double(let value):
            output.append(contentsOf: value.isFinite ? value.description.utf8 : "null".utf8)
        case .string(let value): Self.quote(value, into: &output)
        case .array(let elements):
            Self.list(elements, open: "[", close: "]", into: &output, indent, level) { element, output in
                element.write(into: &output, indent: indent, sortedKeys: sortedKeys, level: level + 1)
            }
        case .object(let object):
            let members = sortedKeys ? object.members.sorted { $0.key < $1.key } : object.members
            Self.list(members, open: "{", close: "}", into: &output, indent, level) { member, output in
                Self.quote(member.key, into: &output)
                output.append(UInt8(ascii: ":"))
                if indent != nil { output.append(UInt8(ascii: " ")) }
                member.value.write(into: &output, indent: indent, sortedKeys: sortedKeys, level: level + 1)
            }
        }
    }

    private static func list<T>(
        _ elements: [T], open: Unicode.Scalar, close: Unicode.Scalar, into output: inout [UInt8], _ indent: Int?,
        _ level: Int, _ write: (T, inout [UInt8]) -> Void
    ) {
        output.append(UInt8(ascii: open))
        for (position, element) in elements.enumerated() {
            if position > 0 { output.append(UInt8(ascii: ",")) }
            newline(into: &output, indent, level + 1)
            write(element, &output)
        }
        if !elements.isEmpty { newline(into: &output, indent, level) }
        output.append(UInt8(ascii: close))
    }

    private static func newline(into output: inout [UInt8], _ indent: Int?, _ level: Int) {
        guard let indent else { return }
        output.append(UInt8(ascii: "\n"))
        output.append(contentsOf: repeatElement(UInt8(ascii: " "), count: indent * level))
    }

    /// Appends `text` as a quoted JSON string.
    package static func quote(_ text: String, into output: inout [UInt8]) {
        output.append(UInt8(ascii: "\""))
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"):
                output.append(UInt8(ascii: "\\"))
                output.append(byte)
            case 10: output.append(contentsOf: "\\n".utf8)
            case 13: output.append(contentsOf: "\\r".utf8)
            case 9: output.append(contentsOf: "\\t".utf8)
            case 0..<0x20, 0x7F:
                let hex = String(byte, radix: 16)
                output.append(contentsOf: "\\u".utf8)
                output.append(contentsOf: repeatElement(UInt8(ascii: "0"), count: 4 - hex.utf8.count))
                output.append(contentsOf: hex.utf8)
            default: output.append(byte)
            }
        }
        output.append(UInt8(ascii: "\""))
    }
}
