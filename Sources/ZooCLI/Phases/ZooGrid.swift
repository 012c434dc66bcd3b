import ZooBase
import ZooCatalog
import ZooFormats

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// The networks of a zoo in the cells of its load–temperature grid.
struct ZooGrid {
    /// The zoo's name.
    let zoo: String
    let axes: GridAxes
    /// Rows from hot to cold, columns from high load to low; the networks of a cell by repetition.
    let cells: [[[SelectedCheckpoint]]]
    /// The epoch that all networks have; nil where checkpoints have none.
    let epoch: Int?
    /// What the reader must know.
    private(set) var remarks: [String] = []

    /// All networks, cell by cell.
    var checkpoints: [SelectedCheckpoint] { cells.flatMap { $0.flatMap { $0 } } }
    /// Rows and columns.
    var rows: [Double] { axes.temperature.values }
    var columns: [Double] { axes.load.values }

    /// Finds the networks.
    ///
    /// - Throws: `notFound` for a zoo that is not in the catalog; `mismatch` or `usage` for a zoo without a grid, or
    ///   with further settings that vary.
    init(_ options: GridOptions, _ session: Session) throws {
        zoo = options.zoo
        let catalog = try Catalog(session.catalogPath)
        let (found, dropped, sizes) = try Self.checkpoints(options, catalog)
        epoch = found.first?.epoch
        let configs = try catalog.configs(of: Set(found.map(\.modelID)).sorted()).mapValues(GridAxes.flattened)
        let settings = found.map { row in
            var config = configs[row.modelID] ?? JSONObject()
            // The size of a network is a load too, unless a setting is called so.
            if config[GridAxes.parameterCount] == nil, let size = sizes[row.id] {
                config[GridAxes.parameterCount] = .int(Int64(size))
            }
            return config
        }
        let axes = try GridAxes(options, configs: settings, manifest: Self.manifest(options.zoo))
        self.axes = axes
        if dropped > 0 {
            remarks.append(
                "\(Quantity.count(dropped)) networks have no checkpoint of epoch \(epoch ?? 0) and are left out")
        }
        var cells = axes.temperature.values.map { _ in axes.load.values.map { _ in [(Double, CheckpointRow)]() } }
        for (row, config) in zip(found, settings) {
            guard let y = GridAxes.number(config[axes.temperature.key]), let x = GridAxes.number(config[axes.load.key]),
                let line = axes.temperature.values.firstIndex(of: y), let column = axes.load.values.firstIndex(of: x)
            else { continue }
            let repetition =
                axes.repetition.flatMap { GridAxes.number(config[$0]) } ?? Double(cells[line][column].count)
            cells[line][column].append((repetition, row))
        }
        let repeated = try Self.unrepeated(&cells, options, axes, configs)
        if repeated > 0 {
            remarks.append("\(repeated) networks were trained twice with one configuration; the first of each is taken")
        }
        remarks += Self.mixed(cells, configs, axes)
        let resolver = SelectorResolver(catalogPath: session.catalogPath)
        let selected = cells.map { $0.map { $0.map { resolver.selected($0.1) } } }
        self.cells = selected
        let counts = selected.flatMap { $0.map(\.count) }
        let single = counts.count { $0 == 1 }, empty = counts.count { $0 == 0 }
        guard counts.contains(where: { $0 > 1 }) else {
            throw ZooError(
                .mismatch, "zoo '\(zoo)': every cell has one network; connectivity takes two or more with other seeds",
                hint: "train more seeds ('seeds: 3' in the manifest of 'zoo train'), or name --repetition")
        }
        if single > 0 { remarks.append("\(single) of \(counts.count) cells have one network only and no phase") }
        if empty > 0 { remarks.append("\(empty) of \(counts.count) cells have no network") }
    }

    private static func checkpoints(
        _ options: GridOptions, _ catalog: Catalog
    ) throws -> (rows: [CheckpointRow], dropped: Int, sizes: [Int64: Int]) {
        let quoted = "'" + options.zoo.replacing("'", with: "''") + "'"
        let names = try catalog.sql("SELECT name FROM zoo ORDER BY name").rows.compactMap { $0[0].string }
        guard names.contains(options.zoo) else {
            throw ZooError(
                .notFound, "there is no zoo '\(options.zoo)' in the catalog",
                hint: names.isEmpty
                    ? "'zoo index SOURCE' catalogs one" : NearestName.hint(options.zoo, in: names, kind: "zoos"))
        }
        let condition =
            "zoo = \(quoted) and epoch = \(options.epoch.map(String.init) ?? "last")"
            + (options.condition.map { " and (\($0))" } ?? "")
        var ids: [Int64] = [], sizes: [Int64: Int] = [:]
        try catalog.stream(Query(where: condition, columns: ["id", "parameters"]), header: { _, _ in }) { row in
            guard let id = row[0].int.map({ Int64($0) }) else { return }
            ids.append(id)
            sizes[id] = row[1].int.map { Int($0) }
        }
        var rows = try catalog.checkpoints(ids: ids)
        guard !rows.isEmpty else {
            throw ZooError(
                .notFound, "zoo '\(options.zoo)' has no checkpoints for that",
                hint: "'zoo query \"zoo = \(quoted)\"' lists them")
        }
        // One diagram, one epoch: the one that most networks end at.
        let count = rows.count
        let byEpoch = Dictionary(grouping: rows, by: \.epoch)
        if let common = byEpoch.max(by: { ($0.value.count, $0.key ?? -1) < ($1.value.count, $1.key ?? -1) }) {
            rows = rows.filter { $0.epoch == common.key }
        }
        return (rows, count - rows.count, sizes)
    }

    /// The grid that the manifest called like the zoo states.
    private static func manifest(_ zoo: String) -> Manifest.Grid? {
        let path = (Terminal.environment("ZOO_MANIFESTS") ?? "manifests") + "/\(zoo).yaml"
        guard !zoo.contains("/"), access(path, R_OK) == 0 else { return nil }
        return (try? ManifestLibrary.manifest(at: path))?.grid
    }

    /// Leaves one network for each repetition of a cell.
    ///
    /// - Throws: `usage` when they differ in other settings.
    private static func unrepeated(
        _ cells: inout [[[(Double, CheckpointRow)]]], _ options: GridOptions, _ axes: GridAxes,
        _ configs: [Int64: JSONObject]
    ) throws -> Int {
        var removed = 0
        for line in cells.indices {
            for column in cells[line].indices {
                let cell = cells[line][column].sorted { ($0.0, $0.1.id) < ($1.0, $1.1.id) }
                var kept: [(Double, CheckpointRow)] = []
                for member in cell {
                    if let last = kept.last, last.0 == member.0 {
                        let other = differing(configs[last.1.modelID], configs[member.1.modelID])
                        guard other.isEmpty else {
                            throw ZooError(
                                .usage,
                                "zoo '\(options.zoo)': networks of one cell differ in \(other.joined(separator: ", "))",
                                hint: "fix it: zoo phases \(options.zoo) --where \"\(GridAxis.bare(other[0])) = …\"")
                        }
                        removed += 1
                    } else {
                        kept.append(member)
                    }
                }
                cells[line][column] = kept
            }
        }
        return removed
    }

    /// What the reader must know where networks of one cell differ in more than their repetition.
    private static func mixed(
        _ cells: [[[(Double, CheckpointRow)]]], _ configs: [Int64: JSONObject], _ axes: GridAxes
    ) -> [String] {
        var found: [String] = []
        for cell in cells.joined() {
            guard let first = cell.first.flatMap({ configs[$0.1.modelID] }) else { continue }
            for member in cell.dropFirst() {
                for key in differing(first, configs[member.1.modelID])
                where key != axes.repetition && !GridAxes.isRepetition(key) && !GridAxes.isBookkeeping(key)
                    && !found.contains(key)
                { found.append(key) }
            }
        }
        // What is different in every network is its name rather than a setting.
        found = found.filter { key in
            Set(configs.values.map { $0[key]?.text() ?? "" }).count * 2 <= configs.count
        }
        guard let key = found.first else { return [] }
        return [
            "networks of one cell differ in \(found.prefix(4).joined(separator: ", ")) too: "
                + "--where \"\(GridAxis.bare(key)) = …\" takes one of them"
        ]
    }

    private static func differing(_ a: JSONObject?, _ b: JSONObject?) -> [String] {
        guard let a, let b else { return [] }
        return a.map(\.key).filter { key in
            !key.contains("manifest") && a[key] != b[key] && a[key]?.object == nil && a[key] != nil
        }
    }
}
