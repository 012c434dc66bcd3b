import ZooBase

/// Parquet's metadata structures, with the field numbers of `parquet.thrift`.
struct ParquetFooter {
    private static let plain = 0
    private static let levels = 3
    private static let indexed = 8

    /// What a page holds.
    enum PageKind {
        case dictionary(count: Int)
        case data(count: Int, isIndexed: Bool)

        /// The page's header.
        func header(plainSize: Int, storedSize: Int) -> [UInt8] {
            var thrift = ThriftCompact()
            if case .dictionary = self { thrift.i32(1, 2) } else { thrift.i32(1, 0) }
            thrift.i32(2, plainSize)
            thrift.i32(3, storedSize)
            switch self {
            case .data(let count, let isIndexed):
                thrift.structure(5) { page in
                    page.i32(1, count)
                    page.i32(2, isIndexed ? ParquetFooter.indexed : ParquetFooter.plain)
                    page.i32(3, ParquetFooter.levels)
                    page.i32(4, ParquetFooter.levels)
                }
            case .dictionary(let count):
                thrift.structure(7) { page in
                    page.i32(1, count)
                    page.i32(2, ParquetFooter.plain)
                }
            }
            thrift.end()
            return thrift.bytes
        }
    }

    /// Where one column of one row group lies and what is known of its values.
    struct Chunk {
        let name: String
        let physical: ParquetColumn.Physical
        let valueCount: Int
        let nullCount: Int
        let range: (low: [UInt8], high: [UInt8])?
        let isPacked: Bool
        private(set) var dictionaryOffset: Int?
        private(set) var dataOffset = 0
        private(set) var plainSize = 0
        var storedSize = 0

        init(_ column: ParquetColumn, isPacked: Bool) {
            name = column.column.name
            physical = column.physical
            valueCount = column.count
            nullCount = column.nullCount
            range = column.range
            self.isPacked = isPacked
        }

        mutating func add(_ page: PageKind, at offset: Int, plainSize: Int) {
            if case .dictionary = page { dictionaryOffset = offset } else { dataOffset = offset }
            self.plainSize += plainSize
        }

        fileprivate func write(_ chunk: inout ThriftCompact) {
            chunk.i64(2, 0)
            chunk.structure(3) { meta in
                meta.i32(1, physical.rawValue)
                meta.list(2, i32: dictionaryOffset == nil ? [plain, levels] : [plain, levels, indexed])
                meta.list(3, text: [name])
                meta.i32(4, isPacked ? 2 : 0)
                meta.i64(5, valueCount)
                meta.i64(6, plainSize)
                meta.i64(7, storedSize)
                meta.i64(9, dataOffset)
                if let dictionaryOffset { meta.i64(11, dictionaryOffset) }
                meta.structure(12) { statistics in
                    statistics.i64(3, nullCount)
                    guard let range else { return }
                    statistics.binary(5, range.high)
                    statistics.binary(6, range.low)
                }
            }
        }
    }

    /// One row group.
    struct RowGroup {
        let chunks: [Chunk]
        let rowCount: Int

        fileprivate func write(_ group: inout ThriftCompact) {
            group.list(1, of: chunks) { $0.write(&$1) }
            group.i64(2, chunks.reduce(0) { $0 + $1.plainSize })
            group.i64(3, rowCount)
        }
    }

    let columns: [Table.Column]
    let groups: [RowGroup]
    let rowCount: Int
    let metadata: [String: String]

    /// The file's metadata.
    var encoded: [UInt8] {
        var file = ThriftCompact()
        file.i32(1, 1)
        file.list(2, of: [nil] + columns.map(Optional.some)) { Self.writeSchema($0, columns.count, &$1) }
        file.i64(3, rowCount)
        file.list(4, of: groups) { $0.write(&$1) }
        let facts = metadata.merging(units) { given, _ in given }.sorted { $0.key < $1.key }
        if !facts.isEmpty {
            file.list(5, of: facts) { fact, pair in
                pair.text(1, fact.key)
                pair.text(2, fact.value)
            }
        }
        file.text(6, "zoo")
        // Declares that minimum and maximum follow the type's own order; without it readers ignore them.
        file.list(7, of: columns) { _, order in order.structure(1) { _ in } }
        file.end()
        return file.bytes
    }

    /// The root of the schema for nil, else a column's leaf.
    private static func writeSchema(_ column: Table.Column?, _ childCount: Int, _ element: inout ThriftCompact) {
        guard let column else {
            element.text(4, "schema")
            element.i32(5, childCount)
            return
        }
        element.i32(1, ParquetColumn(column).physical.rawValue)
        element.i32(3, 1)
        element.text(4, column.name)
        let text = (converted: 0, logical: Int16(1))
        let json = (converted: 19, logical: Int16(12))
        guard column.kind == .text || column.kind == .json else { return }
        let type = column.kind == .json ? json : text
        element.i32(6, type.converted)
        element.structure(10) { logical in logical.structure(type.logical) { _ in } }
    }

    /// `zoo.unit.<column>` for every column that has one.
    private var units: [String: String] {
        var units: [String: String] = [:]
        for column in columns {
            switch column.unit {
            case .none: break
            case .bytes: units["zoo.unit.\(column.name)"] = "byte"
            case .seconds: units["zoo.unit.\(column.name)"] = "second"
            case .count: units["zoo.unit.\(column.name)"] = "1"
            case .fraction: units["zoo.unit.\(column.name)"] = "fraction"
            case .named(let unit): units["zoo.unit.\(column.name)"] = unit
            }
        }
        return units
    }
}
