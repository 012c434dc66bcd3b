/// A JSON value. Objects keep the order of their keys; integers that fit stay integers.
///
/// Reading is more tolerant than the standard where trial files need it (`NaN`, `Infinity`, `-Infinity`, as Python
/// writes them); writing is strict: a number that is not finite becomes `null`.
public enum JSONValue: Sendable, Hashable {
    /// `null`.
    case null
    /// `true` or `false`.
    case bool(Bool)
    /// A number written without point or exponent that fits 64 bits.
    case int(Int64)
    /// Any other number.
    case double(Double)
    /// Text.
    case string(String)
    /// A list.
    case array([JSONValue])
    /// Keys and values in the order of the text.
    case object(JSONObject)

    /// The member `key` of an object; nil for other values and missing keys.
    public subscript(key: String) -> JSONValue? {
        if case .object(let object) = self { object[key] } else { nil }
    }

    /// The text of a string.
    public var string: String? { if case .string(let value) = self { value } else { nil } }

    /// The number as a double, from an integer or a floating-point number.
    public var double: Double? {
        switch self {
        case .int(let value): Double(value)
        case .double(let value): value
        default: nil
        }
    }

    /// The number as an integer; nil when it has a fraction or does not fit.
    public var int: Int? {
        switch self {
        case .int(let value): Int(value)
        case .double(let value): Int(exactly: value)
        default: nil
        }
    }

    /// The truth value.
    public var bool: Bool? { if case .bool(let value) = self { value } else { nil } }

    /// The elements of a list.
    public var array: [JSONValue]? { if case .array(let value) = self { value } else { nil } }

    /// The object.
    public var object: JSONObject? { if case .object(let value) = self { value } else { nil } }
}

/// The members of a JSON object, in order. A repeated key keeps its last value, as in Python.
public struct JSONObject: Sendable, Hashable, Sequence {
    /// The members in order.
    public private(set) var members: [(key: String, value: JSONValue)] = []
    /// Keys are equal byte for byte: tokens of vocabularies differ in nothing but how accents are written.
    private var index: [ExactText: Int] = [:]
    /// Past this many members a hash index is kept; below it a scan is faster.
    private static let indexThreshold = 16

    /// An empty object.
    public init() {}

    /// An object of the given members.
    public init(_ members: [(String, JSONValue)]) { for (key, value) in members { self[key] = value } }

    /// How many members.
    public var count: Int { members.count }

    private func position(_ key: String) -> Int? {
        members.count > Self.indexThreshold
            ? index[ExactText(key)] : members.firstIndex { ExactText.isSame($0.key, key) }
    }

    /// Whether the key is there.
    public func contains(_ key: String) -> Bool { position(key) != nil }

    /// The value of a key; setting nil removes it.
    public subscript(key: String) -> JSONValue? {
        get { position(key).map { members[$0].value } }
        set {
            switch (position(key), newValue) {
            case (let position?, let value?): members[position].value = value
            case (let position?, nil):
                members.remove(at: position)
                index = [:]
                if members.count > Self.indexThreshold { rebuildIndex() }
            case (nil, let value?):
                members.append((key, value))
                if members.count == Self.indexThreshold + 1 {
                    rebuildIndex()
                } else if members.count > Self.indexThreshold {
                    index[ExactText(key)] = members.count - 1
                }
            case (nil, nil): break
            }
        }
    }

    private mutating func rebuildIndex() {
        index = [:]
        for (position, member) in members.enumerated() { index[ExactText(member.key)] = position }
    }

    /// Iterates the members in order.
    public func makeIterator() -> IndexingIterator<[(key: String, value: JSONValue)]> { members.makeIterator() }

    /// Same members in the same order.
    public static func == (left: JSONObject, right: JSONObject) -> Bool {
        left.members.count == right.members.count
            && zip(left.members, right.members).allSatisfy { $0.key == $1.key && $0.value == $1.value }
    }

    /// Hashes the members in order.
    public func hash(into hasher: inout Hasher) {
        for member in members {
            hasher.combine(member.key)
            hasher.combine(member.value)
        }
    }
}

extension JSONValue: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral,
    ExpressibleByBooleanLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral,
    ExpressibleByNilLiteral
{
    /// A string.
    public init(stringLiteral value: String) { self = .string(value) }
    /// An integer.
    public init(integerLiteral value: Int64) { self = .int(value) }
    /// A floating-point number.
    public init(floatLiteral value: Double) { self = .double(value) }
    /// A truth value.
    public init(booleanLiteral value: Bool) { self = .bool(value) }
    /// A list.
    public init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
    /// An object.
    public init(dictionaryLiteral elements: (String, JSONValue)...) { self = .object(JSONObject(elements)) }
    /// `null`.
    public init(nilLiteral: ()) { self = .null }
}
