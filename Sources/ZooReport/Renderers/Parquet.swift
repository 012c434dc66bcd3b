import ZooBase

extension TableFormat {
    /// Apache Parquet: optional columns (`INT64`, `DOUBLE`, `BOOLEAN`, `BYTE_ARRAY` as UTF-8 text or JSON), texts
    /// through a dictionary, pages in gzip where that saves space. Units are in the key-value metadata.
    public static let parquet = TableFormat(name: "parquet", extensions: ["parquet", "pq"], isBinary: true) {
        ParquetSink($0, metadata: $1.metadata)
    }
}

/// Writes a Parquet file as `parquet.thrift` of format version 2.10 describes it, with version 1 data pages.
///
/// Layout: `PAR1`; per row group and column an optional dictionary page and one data page, each behind its header;
/// the file's metadata; its length in four bytes; `PAR1`.
package final class ParquetSink: TableSink {
    private static let magic = Array("PAR1".utf8)
    /// zlib's level, 1 to 9: levels above 2 cost several times the time for a few percent.
    private static let compressionLevel: Int32 = 2

    private let output: any ByteOutput
    private let metadata: [String: String]
    private let rowLimit: Int
    private let byteLimit: Int
    private var offset = 0
    private var columns: [ParquetColumn] = []
    private var groups: [ParquetFooter.RowGroup] = []
    private var rowCount = 0

    /// Prepares to write to `output`.
    ///
    /// - Parameters:
    ///   - rowLimit: rows per row group at most.
    ///   - byteLimit: bytes of values per row group, about.
    package init(
        _ output: any ByteOutput, metadata: [String: String], rowLimit: Int = 1 << 17, byteLimit: Int = 48 << 20
    ) {
        self.output = output
        self.metadata = metadata
        self.rowLimit = rowLimit
        self.byteLimit = byteLimit
    }

    /// Writes the magic number.
    package func begin(_ columns: [Table.Column]) throws {
        self.columns = columns.map { ParquetColumn($0) }
        try write(Self.magic)
    }

    /// Takes a row; writes a row group when there are enough.
    ///
    /// - Throws: `mismatch` naming row and column when a cell is not of its column's kind.
    package func append(_ row: [Table.Cell]) throws {
        for (position, cell) in row.enumerated() {
            do { try columns[position].append(cell) } catch let error as ZooError {
                throw error.at("row \(rowCount + 1)")
            }
        }
        rowCount += 1
        let held = columns.first?.count ?? 0
        if held >= rowLimit || held % 256 == 0 && columns.reduce(0, { $0 + $1.byteCount }) >= byteLimit {
            try writeGroup()
        }
    }

    /// Writes the last row group and the file's metadata.
    package func end() throws {
        try writeGroup()
        let footer = ParquetFooter(
            columns: columns.map(\.column), groups: groups, rowCount: rowCount, metadata: metadata)
        var bytes = footer.encoded
        bytes.appendLittleEndian(UInt32(bytes.count))
        try write(bytes + Self.magic)
    }

    private func write(_ bytes: [UInt8]) throws {
        try output.write(bytes)
        offset += bytes.count
    }

    private func writeGroup() throws {
        let held = columns.first?.count ?? 0
        guard held > 0 else { return }
        var chunks: [ParquetFooter.Chunk] = []
        for position in columns.indices {
            chunks.append(try writeChunk(columns[position]))
            // Frees the values before the next column is encoded.
            columns[position] = ParquetColumn(columns[position].column)
        }
        groups.append(ParquetFooter.RowGroup(chunks: chunks, rowCount: held))
    }

    private func writeChunk(_ column: ParquetColumn) throws -> ParquetFooter.Chunk {
        var pages: [(kind: ParquetFooter.PageKind, bytes: [UInt8])] = []
        if let dictionary = column.dictionaryPage {
            pages.append((.dictionary(count: dictionary.count), dictionary.bytes))
        }
        pages.append((.data(count: column.count, isIndexed: !pages.isEmpty), column.dataPage))
        let packed = try pages.map {
            try Deflate.compress($0.bytes, frame: .gzip, level: Self.compressionLevel)
        }
        let plainSize = pages.reduce(0) { $0 + $1.bytes.count }
        let isPacked = packed.reduce(0) { $0 + $1.count } < plainSize - plainSize / 10
        var chunk = ParquetFooter.Chunk(column, isPacked: isPacked)
        for (page, packedBytes) in zip(pages, packed) {
            let stored = isPacked ? packedBytes : page.bytes
            let header = page.kind.header(plainSize: page.bytes.count, storedSize: stored.count)
            chunk.add(page.kind, at: offset, plainSize: header.count + page.bytes.count)
            try write(header)
            try write(stored)
            chunk.storedSize += header.count + stored.count
        }
        return chunk
    }
}
