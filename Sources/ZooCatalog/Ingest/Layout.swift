import ZooBase
import ZooTensor

/// What lies where in a checkpoint: the names, element types, shapes and offsets of its tensors, without their data.
///
/// Thousands of checkpoints share one layout; the catalog stores it once.
public struct Layout: Sendable, Hashable {
    /// One tensor and where it begins in the checkpoint's unpacked bytes.
    public struct Entry: Sendable, Hashable {
        /// Name, element type, shape.
        public var info: TensorInfo
        /// Byte offset of the first element when the tensor lies there row-major in one run; nil otherwise.
        public var offset: Int?

        /// Creates an entry.
        public init(info: TensorInfo, offset: Int?) {
            self.info = info
            self.offset = offset
        }
    }

    /// The tensors in the order of the file.
    public let entries: [Entry]

    /// Creates a layout.
    public init(_ entries: [Entry]) { self.entries = entries }

    /// The elements of all floating-point tensors.
    public var parameterCount: Int {
        Self.sum(entries.lazy.map { $0.info.dtype.isFloatingPoint ? $0.info.shape.elementCount : 0 })
    }

    /// The bytes of all tensors.
    public var byteCount: Int { Self.sum(entries.lazy.map(\.info.byteCount)) }

    /// Extents come from files: each product fits, a sum of absurd ones stops at the largest integer.
    private static func sum(_ counts: some Sequence<Int>) -> Int {
        counts.reduce(0) { total, count in
            let (sum, overflow) = total.addingReportingOverflow(count)
            return overflow ? .max : sum
        }
    }

    /// A digest over names, element types, shapes and offsets: equal for equal layouts.
    public var signature: String {
        var message: [UInt8] = []
        for entry in entries {
            // Each part carries its length, so that no two layouts give the same message.
            message += Array("\(entry.info.name.utf8.count):\(entry.info.name)|\(entry.info.dtype.rawValue)|".utf8)
            message += Array("\(entry.info.shape)|\(entry.offset.map(String.init) ?? "-");".utf8)
        }
        return ContentDigest.of(Bytes(message))
    }

    /// A digest over the shapes in order, names ignored: equal for networks whose weights can be paired by position.
    public var structure: String {
        let message = entries.map { $0.info.shape.description }.joined(separator: ";")
        return ContentDigest.of(Bytes(Array(message.utf8)))
    }

    /// `[64, 3, 3, 3]` read back.
    ///
    /// - Throws: `corrupt` when the text is no list of extents.
    static func shape(_ text: String) throws -> Shape {
        guard let list = try JSONParser.parse(text).array, case let extents = list.compactMap(\.int),
            extents.count == list.count
        else { throw ZooError(.corrupt, "the catalog has the shape '\(text)', a list of integers is expected") }
        return try Shape(validating: extents)
    }
}
