import ZooBase
import ZooCatalog

/// Values in the catalog that a measurement is about to replace.
struct ReplacedValues {
    private let findings: [MetricFinding]
    private let dataset: String
    private let samples: String?

    /// - Parameters:
    ///   - dataset, samples: what the new values are measured on: its name and digest.
    init(_ findings: [MetricFinding], by dataset: String, samples: String?) {
        self.findings = findings
        self.dataset = dataset
        self.samples = samples
    }

    /// One line per data set; nothing when nothing is replaced.
    func warn(_ session: Session) {
        for (key, group) in Dictionary(grouping: findings, by: { Key($0) }).sorted(by: { $0.key < $1.key }) {
            let names = Set(group.map(\.row.name)).sorted()
            let some = names.prefix(4).joined(separator: ", ") + (names.count > 4 ? ", …" : "")
            let count = group.count == 1 ? "1 value" : "\(Quantity.count(group.count)) values"
            let isSame = samples != nil && key.samples == samples
            let former =
                isSame
                ? "with other settings" : "on \(key.dataset)" + (key.dataset == dataset ? " (other samples)" : "")
            session.warn(
                "\(count) of \(some), measured \(former), will be replaced by those on \(dataset); record in another "
                    + "--catalog to keep both")
        }
    }

    /// What values of one measurement have in common.
    private struct Key: Hashable, Comparable {
        var dataset: String
        var samples: String

        init(_ finding: MetricFinding) {
            dataset = finding.dataset ?? "other data"
            samples = finding.samples ?? ""
        }

        static func < (a: Key, b: Key) -> Bool { (a.dataset, a.samples) < (b.dataset, b.samples) }
    }
}
