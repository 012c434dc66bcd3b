/// One value of a pickle: sixteen plain bytes that point into the pickle's text, a node or a global.
package struct PickleValue: BitwiseCopyable {
    package enum Kind: UInt8, BitwiseCopyable {
        /// No value: a reduced object that was never given a state.
        case absent
        case none
        case `false`
        case `true`
        /// `payload` is the number.
        case int
        /// `payload` holds the bits of a double.
        case double
        /// A little-endian two's complement integer of more than eight bytes, in place.
        case long
        /// UTF-8 in place: `payload` is the offset, `length` the byte count.
        case text
        /// Text with `\uXXXX` escapes (UNICODE of protocol 0), in place.
        case escapedText
        /// Bytes in place.
        case bytes
        /// A Python 2 `str` in place: text or bytes, as whoever asks needs it.
        case legacyString
        /// A Python 2 `str` with backslash escapes (STRING of protocol 0), in place.
        case escapedString
        /// `payload` is an index into the globals.
        case global
        /// `payload` is an index into the nodes.
        case node
    }

    package var kind: Kind
    var length: UInt32 = 0
    var payload: Int64 = 0

    static let absent = PickleValue(kind: .absent)
    static let none = PickleValue(kind: .none)

    @inline(__always) static func int(_ value: Int64) -> PickleValue { PickleValue(kind: .int, payload: value) }

    @inline(__always) static func double(_ value: Double) -> PickleValue {
        PickleValue(kind: .double, payload: Int64(bitPattern: value.bitPattern))
    }

    @inline(__always) static func node(_ index: Int) -> PickleValue {
        PickleValue(kind: .node, payload: Int64(index))
    }

    @inline(__always) static func slice(_ kind: Kind, _ offset: Int, _ length: Int) -> PickleValue {
        PickleValue(kind: kind, length: UInt32(truncatingIfNeeded: length), payload: Int64(offset))
    }

    /// Where the bytes of a text, bytes or long value begin.
    var offset: Int { Int(payload) }

    var isNone: Bool { kind == .none }

    /// The integer of an int, and 0 or 1 of a truth value, as Python has it.
    package var int: Int? {
        switch kind {
        case .int: Int(payload)
        case .true: 1
        case .false: 0
        default: nil
        }
    }

    package var double: Double? {
        switch kind {
        case .double: Double(bitPattern: UInt64(bitPattern: payload))
        case .int: Double(payload)
        default: nil
        }
    }

    package var bool: Bool? {
        switch kind {
        case .true: true
        case .false: false
        default: nil
        }
    }
}

/// A container or a call that was not made. Its items lie in the graph's item arena: one contiguous run, and further
/// runs in a chain when it grew after others had been added.
struct PickleNode: BitwiseCopyable {
    enum Kind: UInt8 {
        case tuple
        case list
        case set
        case dict
        /// A callable and its arguments: a request that is recorded, never granted.
        case reduce
        /// A class and the arguments of its `__new__`.
        case object
        /// A persistent id: in checkpoints a reference to a storage.
        case persistent
    }

    /// What was appended to it.
    enum Content: UInt8 {
        case nothing
        case elements
        /// Keys and values in turn.
        case pairs
    }

    var kind: Kind
    var content: Content
    var first: Int32
    var count: Int32
    /// The first and last further run, -1 when there is none.
    var chunk: Int32 = -1
    var lastChunk: Int32 = -1
    /// Where in the item arena callable, arguments and state (and for a persistent id the id) begin; -1 for none.
    var header: Int32 = -1
}

/// A further run of a node's items.
struct PickleChunk: BitwiseCopyable {
    var first: Int32
    var count: Int32
    var next: Int32
}
