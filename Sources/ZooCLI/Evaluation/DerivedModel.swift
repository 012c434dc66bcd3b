import Foundation
import ZooBase
import ZooCatalog

/// A checkpoint that Zoo has made, and its place in the catalog.
///
/// It is catalogued when a parent is: the file is indexed like any other, and lineage rows say what it was made of.
struct DerivedModel {
    /// The zoo that derived models belong to.
    static let zooName = "derived"

    /// One parent.
    struct Parent {
        /// The checkpoint.
        var checkpoint: SelectedCheckpoint
        /// Its weight; nil where a method has none.
        var coefficient: Double?
    }

    /// The file or folder that was written.
    var path: String
    /// What made it: `uniform soup`, `ema`.
    var role: String
    /// What it was made of.
    var parents: [Parent]

    /// The checkpoint of a file or folder that was named by its path and has been indexed.
    private static func id(ofFile path: String, _ catalog: Catalog) throws -> Int64? {
        guard let found = realpath(path, nil) else { return nil }
        defer { free(found) }
        let whole = String(cString: found)
        func quoted(_ text: some StringProtocol) -> String { "'" + String(text).replacing("'", with: "''") + "'" }
        // The file is a source of its own, or a member of a folder above it.
        var conditions = ["s.path = \(quoted(whole))"]
        for slash in whole.indices where whole[slash] == "/" && slash != whole.startIndex {
            let (folder, member) = (whole[..<slash], whole[whole.index(after: slash)...])
            conditions.append("s.path = \(quoted(folder)) AND c.path = \(quoted(member))")
        }
        let rows = try catalog.sql(
            """
            SELECT max(c.id), count(*) FROM checkpoint c JOIN source s ON s.id = c.source_id
                WHERE \(conditions.map { "(\($0))" }.joined(separator: " OR ")) GROUP BY s.id ORDER BY 1 DESC
            """
        ).rows
        return rows.first { $0[1].int == 1 }?[0].int.map(Int64.init)
    }

    /// Records the model and its lineage; does nothing when no parent is catalogued.
    ///
    /// Parents that were named by their path are found when that file was indexed.
    ///
    /// - Throws: what indexing throws; `busy` when another process writes to the catalog.
    func record(_ session: Session, dataset: String? = nil) throws {
        let isCatalogued = parents.contains { $0.checkpoint.row != nil }
        guard isCatalogued || FileManager.default.fileExists(atPath: session.catalogPath) else { return }
        let catalog = try Catalog(session.catalogPath)
        let known = try parents.compactMap { parent in
            try (parent.checkpoint.row?.id ?? Self.id(ofFile: parent.checkpoint.label, catalog)).map {
                ($0, parent.coefficient)
            }
        }
        guard !known.isEmpty else { return }
        var options = IndexOptions()
        options.zooName = Self.zooName
        options.jobs = session.jobs
        let report = try Indexer(options).index(path, into: catalog)
        let found = try catalog.sql(
            """
            SELECT c.id FROM checkpoint c JOIN source s ON s.id = c.source_id
                WHERE s.path = '\(report.source.replacing("'", with: "''"))' ORDER BY c.id DESC LIMIT 1
            """)
        guard let child = found.rows.first?[0].int.map(Int64.init) else {
            throw ZooError(.internal, "\(path) was written and is not in the catalog", hint: "run 'zoo index \(path)'")
        }
        let writer = try catalog.writer()
        let run = try writer.record(RunRecord.now(command: CommandLineTool.text, seed: session.seed, dataset: dataset))
        var coefficients: [Int64: Double?] = [:]
        for (id, coefficient) in known {
            // A checkpoint that is named twice counts twice.
            if case .some(.some(let earlier)) = coefficients[id], let coefficient {
                coefficients[id] = earlier + coefficient
            } else {
                coefficients[id] = coefficient
            }
        }
        try writer.record(
            coefficients.sorted { $0.key < $1.key }.map { id, coefficient in
                LineageRow(child: child, parent: id, role: role, coefficient: coefficient, run: run)
            })
        try writer.close()
        let missing = parents.count - known.count
        session.note(
            "catalogued as \(child), with \(Quantity.count(known.count)) parents"
                + (missing > 0 ? "; \(Quantity.count(missing)) parents are not in the catalog" : ""))
    }
}
