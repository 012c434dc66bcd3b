/// A text that equals another only byte for byte.
///
/// Swift compares strings by canonical equivalence: "é" as one character equals "e" with a combining accent. Names in
/// files and tokens of vocabularies are different where their bytes are.
public struct ExactText: Hashable, Sendable, CustomStringConvertible {
    /// The text.
    public let text: String

    /// Wraps a text.
    public init(_ text: String) { self.text = text }

    /// Equal bytes.
    @inlinable public static func == (left: ExactText, right: ExactText) -> Bool {
        isSame(left.text, right.text)
    }

    /// Whether two texts have the same bytes.
    @inlinable public static func isSame(_ left: String, _ right: String) -> Bool {
        // Equivalent texts are nearly always equal ones: the bytes are compared only then.
        left == right && left.utf8.elementsEqual(right.utf8)
    }

    /// Hashes the bytes.
    public func hash(into hasher: inout Hasher) {
        var copy = text
        copy.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
    }

    /// The text.
    public var description: String { text }
}
