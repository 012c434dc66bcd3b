import ZooBase
import ZooTensor

/// Tensors of several checkpoints, matched by name; finds everything that does not fit before any work starts.
struct TensorPairing {
    struct Row {
        var info: TensorInfo
        var members: [Int]
    }

    private var rows: [Row]
    private var index: [String: Int]
    private var faults: [String] = []
    /// More faults than this are counted, not listed.
    private static let listed = 5

    init(_ infos: [TensorInfo]) {
        rows = infos.map { Row(info: $0, members: [0]) }
        index = Dictionary(rows.enumerated().map { ($1.info.name, $0) }, uniquingKeysWith: { first, _ in first })
    }

    mutating func add(_ infos: [TensorInfo], index input: Int) {
        for info in infos {
            guard let position = index[info.name] else {
                index[info.name] = rows.count
                rows.append(Row(info: info, members: [input]))
                continue
            }
            let known = rows[position].info
            if known.shape != info.shape {
                faults.append("'\(info.name)' has shape \(info.shape) in input \(input + 1), \(known.shape) before")
            } else if known.dtype.isFloatingPoint != info.dtype.isFloatingPoint {
                faults.append(
                    "'\(info.name)' is \(info.dtype.rawValue) in input \(input + 1), \(known.dtype.rawValue) before")
            }
            rows[position].members.append(input)
        }
    }

    /// The rows to compute.
    ///
    /// - Throws: `mismatch` with all faults together.
    func resolve(names: [String], pairing: LinearCombination.Pairing) throws -> [Row] {
        var faults = self.faults
        if pairing == .strict {
            for row in rows where row.members.count < names.count {
                let has = Set(row.members)
                let lacking = names.indices.filter { !has.contains($0) }.map { names[$0] }
                faults.append("'\(row.info.name)' is missing in \(lacking.prefix(3).joined(separator: ", "))")
            }
        }
        guard faults.isEmpty else {
            let shown = faults.prefix(Self.listed).joined(separator: "; ")
            let more = faults.count > Self.listed ? "; and \(faults.count - Self.listed) more" : ""
            throw ZooError(
                .mismatch, "the checkpoints do not fit together: \(shown)\(more)",
                hint: "average models of one architecture, or use --tensor-intersection or --tensor-union")
        }
        return pairing == .intersection ? rows.filter { $0.members.count == names.count } : rows
    }
}
