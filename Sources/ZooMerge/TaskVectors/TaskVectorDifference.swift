import ZooBase
import ZooTensor

/// A task vector τ = θ − θ₀ of a fine-tuned network, entry by entry, computed when it is read ("Editing models with
/// task arithmetic", arXiv 2212.04089, section 2).
///
/// Tensors of integers and truth values have no part in it. Every entry is computed in float32 (float64 where an input
/// is) and rounded once.
public struct TaskVectorDifference: ChunkedTensorSource {
    /// What is tolerated, and how it is stored.
    public struct Options: Sendable {
        /// Leave out tensors that only the fine-tuned network has.
        public var ignoresExtra = false
        /// Leave out tensors that only the base has.
        public var ignoresMissing = false
        /// Patterns of tensors to leave out (heads that each task has of its own).
        public var excluded: [String] = []
        /// The element type of the vector; nil keeps the base's.
        public var dtype: DType?

        /// Both must have the same tensors; nothing is left out.
        public init() {}
    }

    /// The tensors of the vector, in the order of the base.
    public let tensorInfos: [TensorInfo]
    /// What was left out, in words.
    public let notes: [String]
    private let base: any TensorSource
    private let fineTuned: any TensorSource
    private let names: (base: String, fineTuned: String)
    private let infos: [String: TensorInfo]

    /// Pairs the tensors by name.
    ///
    /// - Parameter names: how to call the two in messages.
    /// - Throws: `mismatch` listing every tensor that is missing in one, or has another shape.
    public init(
        base: any TensorSource, fineTuned: any TensorSource, names: (base: String, fineTuned: String),
        options: Options = Options()
    ) throws {
        let pairs = try TaskVectorPairing(
            base: base.tensorInfos, other: fineTuned.tensorInfos, names: names, ignoresExtra: options.ignoresExtra,
            ignoresMissing: options.ignoresMissing)
        var notes = pairs.notes
        var kept: [TensorInfo] = []
        var left = 0, buffers = 0
        for info in pairs.shared {
            if options.excluded.contains(where: { NamePattern.matches($0, info.name) }) {
                left += 1
            } else if !info.dtype.isFloatingPoint {
                buffers += 1
            } else {
                kept.append(TensorInfo(name: info.name, dtype: options.dtype ?? info.dtype, shape: info.shape))
            }
        }
        if left > 0 { notes.append("\(left) tensors are left out by name") }
        if buffers > 0 {
            notes.append("\(buffers) integer tensors are not part of a task vector; applying keeps the base's")
        }
        guard !kept.isEmpty else {
            throw ZooError(.mismatch, "\(names.fineTuned): no floating-point tensor is left for a task vector")
        }
        tensorInfos = kept
        self.notes = notes
        self.base = base
        self.fineTuned = fineTuned
        self.names = names
        infos = Dictionary(kept.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    }

    /// One tensor's difference.
    ///
    /// - Throws: `notFound`; what reading throws; `numeric` from its runs when a finite difference leaves the range of
    ///   the element type.
    public func elements(of name: String) throws -> any ElementRun {
        guard let info = infos[name] else { throw ZooError(.notFound, "no tensor '\(name)'") }
        let after = try ZooError.locate(names.fineTuned) { try fineTuned.tensor(named: name) }
        let before = try ZooError.locate(names.base) { try base.tensor(named: name) }
        return try WeightedRun(
            [after, before], weights: [1, -1], info: info, names: [names.fineTuned, names.base])
    }
}

/// Names with `*` for any run of characters.
package enum NamePattern {
    /// Whether a pattern fits a whole name.
    package static func matches(_ pattern: String, _ name: String) -> Bool {
        let pattern = Array(pattern.utf8), text = Array(name.utf8)
        var p = 0, t = 0, star = -1, mark = 0
        while t < text.count {
            if p < pattern.count, pattern[p] == UInt8(ascii: "*") {
                (star, mark) = (p, t)
                p += 1
            } else if p < pattern.count, pattern[p] == text[t] {
                p += 1
                t += 1
            } else if star >= 0 {
                p = star + 1
                mark += 1
                t = mark
            } else {
                return false
            }
        }
        while p < pattern.count, pattern[p] == UInt8(ascii: "*") { p += 1 }
        return p == pattern.count
    }
}

/// The tensors of a base and of what is compared with it, matched by name.
struct TaskVectorPairing {
    /// Tensors of both, as the base has them.
    var shared: [TensorInfo] = []
    /// What was ignored, in words.
    var notes: [String] = []
    private static let listed = 5

    init(
        base: [TensorInfo], other: [TensorInfo], names: (base: String, fineTuned: String), ignoresExtra: Bool,
        ignoresMissing: Bool
    ) throws {
        let known = Dictionary(other.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        var faults: [String] = [], missing: [String] = []
        for info in base {
            guard let found = known[info.name] else {
                missing.append(info.name)
                continue
            }
            if found.shape != info.shape {
                faults.append("'\(info.name)' has shape \(found.shape), expected \(info.shape)")
            } else if found.dtype.isFloatingPoint != info.dtype.isFloatingPoint {
                faults.append("'\(info.name)' is \(found.dtype.rawValue), expected \(info.dtype.rawValue)")
            } else {
                shared.append(info)
            }
        }
        let has = Set(base.map(\.name))
        let extra = other.map(\.name).filter { !has.contains($0) }
        if !missing.isEmpty {
            let text = "lacks \(missing.count) \(missing.count == 1 ? "tensor" : "tensors"): \(Self.list(missing))"
            if ignoresMissing { notes.append("\(names.fineTuned) \(text)") } else { faults.append(text) }
        }
        if !extra.isEmpty {
            let noun = extra.count == 1 ? "tensor" : "tensors"
            let text = "has \(extra.count) \(noun) that \(names.base) lacks: \(Self.list(extra))"
            if ignoresExtra { notes.append("\(names.fineTuned) \(text)") } else { faults.append(text) }
        }
        guard faults.isEmpty else {
            let more = faults.count > Self.listed ? "; and \(faults.count - Self.listed) more" : ""
            throw ZooError(
                .mismatch,
                "\(names.fineTuned) does not fit \(names.base == "the base" ? names.base : "the base \(names.base)"): "
                    + faults.prefix(Self.listed).joined(separator: "; ") + more,
                hint: "a task is fine-tuned from the base itself; --ignore-extra and --ignore-missing leave tensors out"
            )
        }
    }

    private static func list(_ names: [String]) -> String {
        names.prefix(3).map { "'\($0)'" }.joined(separator: ", ") + (names.count > 3 ? ", …" : "")
    }
}
