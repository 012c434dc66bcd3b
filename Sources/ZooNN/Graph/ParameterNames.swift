import ZooBase
import ZooTensor

/// The names that a graph wants and those that a state dict has: what is missing and what is left over, each with the
/// nearest name on the other side.
package struct ParameterNames {
    /// Floating-point tensors that the graph does not read, in the order of the state dict.
    let unread: [String]
    /// Parameters that the state dict lacks, in the order of the graph.
    let missing: [String]

    private let wanted: [String]
    private let lacking: Set<String>
    private let nearest: [String: String]

    /// Compares names. Counters of batch norm (`num_batches_tracked`) are never missed.
    init(_ graph: ArchitectureGraph, tensors: [TensorInfo]) {
        var seen = Set<String>()
        let wanted = graph.nodes.flatMap(\.parameters)
            .filter { $0.role != "num_batches_tracked" && seen.insert($0.name).inserted }.map(\.name)
        self.init(wanted: wanted, read: Set(graph.parameterNames), tensors: tensors)
    }

    /// Compares the names of tensors that are wanted with those that there are.
    init(wanted: [String], read: Set<String>, tensors: [TensorInfo]) {
        self.wanted = wanted
        let found = Set(tensors.map(\.name))
        unread = tensors.filter { $0.dtype.isFloatingPoint && !read.contains($0.name) }.map(\.name)
        missing = wanted.filter { !found.contains($0) }
        lacking = Set(missing)
        nearest = Self.nearest(missing, unread: unread, all: tensors.map(\.name))
    }

    /// What is wrong with a parameter of the graph; nil when it is there.
    func fault(_ name: String) -> String? {
        guard lacking.contains(name) else { return nil }
        return "'\(name)' is missing" + (nearest[name].map { " (nearest: '\($0)')" } ?? "")
    }

    /// All tensors that are not read, in one line; nil when there are none.
    var unreadFault: String? {
        guard !unread.isEmpty else { return nil }
        let told = Set(nearest.values)
        let others = missing.isEmpty ? wanted : missing
        let room = Self.pairLimit / max(unread.count, 1)
        let names = unread.map { name in
            let near = told.contains(name) ? nil : NearestName.find(name, in: others.prefix(room))
            return "'\(name)'" + (near.map { " (nearest: '\($0)')" } ?? "")
        }
        return "not read by the architecture: \(names.joined(separator: ", "))"
    }

    /// Everything that keeps tensors from being those that are expected: names, shapes and, where something is wrong, what
    /// is left over. Empty when every expected floating-point tensor is there in its shape.
    package static func faults(expected: [TensorInfo], found: [TensorInfo]) -> [String] {
        let wanted = expected.filter(\.dtype.isFloatingPoint)
        let names = ParameterNames(
            wanted: wanted.map(\.name), read: Set(expected.map(\.name)), tensors: found)
        let shapes = Dictionary(found.map { ($0.name, $0.shape) }, uniquingKeysWith: { first, _ in first })
        let faults = wanted.compactMap { info -> String? in
            guard let shape = shapes[info.name] else { return names.fault(info.name) }
            return shape == info.shape ? nil : "'\(info.name)' has shape \(shape), expected \(info.shape)"
        }
        return faults.isEmpty ? [] : faults + (names.unreadFault.map { [$0] } ?? [])
    }

    /// Names compared with names: a fraction of a second. Of more, the first are looked at.
    private static let pairLimit = 1 << 16

    /// For each missing name the leftover one that it probably is under another name; without leftovers, the nearest there
    /// is. Leftovers further away go by how many of their last parts agree (`module.fc.weight` for `fc.weight`).
    private static func nearest(_ missing: [String], unread: [String], all: [String]) -> [String: String] {
        let room = pairLimit / max(missing.count, 1)
        let candidates = (unread.isEmpty ? all : unread).prefix(room)
        var found: [String: String] = [:]
        for name in missing {
            found[name] = NearestName.find(name, in: candidates) ?? NearestName.byLastParts(name, in: candidates)
        }
        return found
    }
}

extension NearestName {
    /// The candidate that agrees in most of the last parts between dots, the shortest of equal ones; nil when not even the
    /// last part is the same.
    static func byLastParts(_ name: String, in candidates: some Sequence<String>) -> String? {
        let parts = name.split(separator: ".").reversed()
        var best: (name: String, count: Int)?
        for candidate in candidates {
            let others = candidate.split(separator: ".").reversed()
            let count = zip(parts, others).prefix { $0 == $1 }.count
            guard count > 0 else { continue }
            if let best, best.count > count || (best.count == count && best.name.utf8.count <= candidate.utf8.count) {
                continue
            }
            best = (candidate, count)
        }
        return best?.name
    }
}
