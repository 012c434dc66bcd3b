import Testing
import ZooBase
import ZooReport
import ZooTestSupport

@Suite struct ParquetTests {
    private func written(_ table: Table, rowLimit: Int = 1 << 17) throws -> [UInt8] {
        let output = MemoryOutput()
        try table.write(to: ParquetSink(output, metadata: table.metadata, rowLimit: rowLimit))
        return output.bytes
    }

    private func value(_ cell: Table.Cell, _ kind: Table.Column.Kind) -> ParquetReader.Value {
        switch (kind, cell) {
        case (_, .missing): .null
        case (.json, .json(let value)): .text(value.text())
        case (.double, .integer(let value)): .double(Double(value).bitPattern)
        case (_, .text(let text)): .text(text)
        case (_, .integer(let value)): .integer(value)
        case (_, .double(let value)): .double(value.bitPattern)
        case (_, .bool(let value)): .bool(value)
        case (_, .json(let value)): .text(value.text())
        }
    }

    private func expectReadBack(_ table: Table, rowLimit: Int) throws {
        let reader = try ParquetReader(written(table, rowLimit: rowLimit))
        #expect(reader.columnNames == table.columns.map(\.name))
        #expect(reader.metadata[3]?.int == table.rows.count)
        #expect(reader.groups.count == (table.rows.count + rowLimit - 1) / rowLimit)
        for (position, column) in table.columns.enumerated() {
            let expected = table.rows.map { value($0[position], column.kind) }
            #expect(try reader.values(position) == expected, "column \(column.name)")
        }
    }

    /// The committed file was read with pyarrow and pandas when it was written; `check_parquet.py` does it again.
    @Test func isAsCommitted() throws {
        let bytes = try written(RendererTests.everything)
        #expect(Golden.difference(bytes, "Tests/ZooReportTests/Fixtures/everything.parquet") == nil)
    }

    @Test(arguments: [1, 2, 3, 100])
    func everyKindOfCellIsReadBack(_ rowLimit: Int) throws {
        try expectReadBack(RendererTests.everything, rowLimit: rowLimit)
    }

    @Test func randomTablesAreReadBack() throws {
        var generator = SeededGenerator(seed: 11)
        for rowCount in [0, 1, 7, 8, 9, 63, 64, 65, 1000] {
            var table = Table([
                .init("few"), .init("many"), .init("n", .integer), .init("x", .double), .init("b", .bool),
                .init("runs", .bool),
            ])
            for row in 0..<rowCount {
                let isNull = Int.random(in: 0..<10, using: &generator) == 0
                table.append([
                    isNull ? .null : .text(["relu", "gelu", ""].randomElement(using: &generator) ?? ""),
                    .text("member \(generator.next() % 500)"), .integer(Int64(bitPattern: generator.next())),
                    row % 50 < 20 ? .null : .double(Double(bitPattern: generator.next())),
                    isNull ? .null : .bool(Bool.random(using: &generator)), .bool(row / 100 % 2 == 0),
                ])
            }
            try expectReadBack(table, rowLimit: 300)
        }
    }

    @Test func tooManyDistinctTextsGiveUpTheDictionary() throws {
        var table = Table([.init("name")])
        for row in 0..<80_000 { table.append([row % 7 == 0 ? .null : .text("member/\(row)")]) }
        let reader = try ParquetReader(written(table))
        #expect(reader.groups[0][1]?.list[0][3]?[11] == nil)
        #expect(try reader.values(0) == table.rows.map { value($0[0], .text) })
    }

    @Test func statisticsBoundTheValues() throws {
        let table = Table(
            [.init("n", .integer), .init("x", .double)],
            rows: [[.int(5), .double(.nan)], [.int(-7), .double(0)], [.null, .double(2.5)]])
        let chunks = try ParquetReader(written(table)).groups[0][1]?.list ?? []
        let integers = chunks[0][3]?[12]
        #expect(integers?[3]?.int == 1)
        #expect(integers?[6]?.bytes == [0xF9] + Array(repeating: 0xFF, count: 7))
        #expect(integers?[5]?.bytes == [5, 0, 0, 0, 0, 0, 0, 0])
        let doubles = chunks[1][3]?[12]
        #expect(doubles?[6]?.bytes == [0, 0, 0, 0, 0, 0, 0, 0x80])
        #expect(doubles?[5]?.bytes == [0, 0, 0, 0, 0, 0, 4, 0x40])
    }

    @Test func aCellOfTheWrongKindNamesRowAndColumn() throws {
        let table = Table([.init("n", .integer)], rows: [[.int(1)], [.text("x")]])
        let error = #expect(throws: ZooError.self) { try written(table) }
        #expect(error?.code == .mismatch)
        #expect(error?.message.hasPrefix("row 2: column 'n': integer expected, found") == true)
    }

    @Test func filesAppearWholeOrNotAtAll() throws {
        let folder = try TemporaryFolder()
        let path = folder.file("t.parquet")
        let file = try AtomicFile(path)
        let sink = TableFormat.parquet.makeSink(file, RenderOptions())
        try sink.begin([.init("n", .integer)])
        #expect(throws: ZooError.self) { try sink.append([.text("x")]) }
        #expect(throws: ZooError.self) { try Bytes(mapping: path) }
        let good = try AtomicFile(path)
        try RendererTests.everything.write(to: ParquetSink(good, metadata: [:]))
        try good.commit()
        #expect(try ParquetReader(Bytes(mapping: path).array).columnNames.count == 10)
    }

    @Test(arguments: [1, 2, 3, 7, 8, 13, 17, 31])
    func levelsOfEveryWidthAreReadBack(_ bitWidth: Int) throws {
        var generator = SeededGenerator(seed: UInt64(bitWidth))
        let mask = UInt32((UInt64(1) << UInt64(bitWidth)) - 1)
        for _ in 0..<50 {
            var values: [UInt32] = []
            for _ in 0..<Int.random(in: 1...12, using: &generator) {
                let value = UInt32(truncatingIfNeeded: generator.next()) & mask
                values += Array(repeating: value, count: Int.random(in: 1...30, using: &generator))
            }
            let encoded = LevelEncoder.encode(values, bitWidth: bitWidth)
            let decoded = try ParquetReader.hybrid(encoded[...], bitWidth: bitWidth, values.count)
            #expect(decoded == values.map(Int.init))
        }
    }
}
