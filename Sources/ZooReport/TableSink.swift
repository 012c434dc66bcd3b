import ZooBase

/// Takes a table row by row. Every renderer is one, holding no more than a bounded number of rows, so that a catalog
/// of millions of checkpoints is exported with flat memory.
///
/// Call `begin` once, `append` per row, `end` once. A sink that was not ended leaves an incomplete text; with an
/// `AtomicFile` behind it nothing appears under the file's name.
public protocol TableSink: AnyObject {
    /// Announces the columns.
    func begin(_ columns: [Table.Column]) throws
    /// Takes one row, one cell per column.
    func append(_ row: [Table.Cell]) throws
    /// Writes what is left.
    func end() throws
}

/// Where rendered bytes go.
public protocol ByteOutput: AnyObject {
    /// Appends bytes.
    func write(_ bytes: [UInt8]) throws
}

extension AtomicFile: ByteOutput {}

/// Rendered bytes kept in memory.
public final class MemoryOutput: ByteOutput {
    /// Everything written so far.
    public private(set) var bytes: [UInt8] = []

    /// Nothing yet.
    public init() {}

    /// Appends bytes.
    public func write(_ bytes: [UInt8]) { self.bytes.append(contentsOf: bytes) }
}

/// What the place of display allows; files need none of it.
public struct RenderOptions: Sendable {
    /// Columns of the terminal; nil when the text goes to a file or pipe, where nothing is cut.
    public var width: Int?
    /// Whether escape sequences for bold and grey are understood.
    public var color: Bool
    /// Key-value facts for formats that can hold them.
    public var metadata: [String: String]

    /// Creates options; those of a plain file by default.
    public init(width: Int? = nil, color: Bool = false, metadata: [String: String] = [:]) {
        self.width = width
        self.color = color
        self.metadata = metadata
    }

    func adding(_ more: [String: String]) -> RenderOptions {
        var copy = self
        copy.metadata.merge(more) { given, _ in given }
        return copy
    }
}

/// A way to write tables: its name (also the name of the option, `--csv`), file extension and renderer.
public struct TableFormat: Sendable {
    /// The name, as in `--csv`.
    public let name: String
    /// What file names end in, without the dot; the first is the usual one.
    public let extensions: [String]
    /// Whether it makes no sense on a terminal.
    public let isBinary: Bool
    /// Makes a renderer that writes to the output.
    public let makeSink: @Sendable (any ByteOutput, RenderOptions) -> any TableSink

    /// Creates a format.
    public init(
        name: String, extensions: [String], isBinary: Bool = false,
        makeSink: @escaping @Sendable (any ByteOutput, RenderOptions) -> any TableSink
    ) {
        self.name = name
        self.extensions = extensions
        self.isBinary = isBinary
        self.makeSink = makeSink
    }
}

/// Gathers bytes and passes them on in large pieces.
struct BufferedOutput {
    private let output: any ByteOutput
    private let limit: Int
    var bytes: [UInt8] = []

    init(_ output: any ByteOutput, limit: Int = 1 << 16) {
        self.output = output
        self.limit = limit
        bytes.reserveCapacity(limit + 4096)
    }

    mutating func append(_ text: String) { bytes.append(contentsOf: text.utf8) }

    mutating func append(_ byte: Unicode.Scalar) { bytes.append(UInt8(ascii: byte)) }

    /// Passes the bytes on when there are many.
    mutating func drain() throws { if bytes.count >= limit { try flush() } }

    mutating func flush() throws {
        guard !bytes.isEmpty else { return }
        try output.write(bytes)
        bytes.removeAll(keepingCapacity: true)
    }
}
