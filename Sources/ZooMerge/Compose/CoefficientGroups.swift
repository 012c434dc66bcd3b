import ZooBase
import ZooNN
import ZooTensor

/// Which tensors share a coefficient.
///
/// Blocks are named tensors: the weight and the bias of a layer are two (arXiv 2407.02880, section 3). Buffers are never
/// learned: they follow the mean coefficient of the scale of their own norm, else of the whole vector.
public struct CoefficientGroups: Sendable, Hashable {
    /// What shares.
    public enum Granularity: String, Sendable, CaseIterable {
        /// Every tensor has its own: the method as published.
        case tensor
        /// The tensors of a layer: names up to the last dot.
        case layer
        /// The layers of a module: names up to the dot before.
        case module
        /// One for the whole model: isotropic scaling.
        case model
        /// As `tensor`, weights of two and more axes alone; others stay with the base.
        case matrices
    }

    /// How tensors that a network holds twice are treated.
    public enum TiePolicy: String, Sendable, CaseIterable {
        /// They are an error.
        case refuse
        /// They share a coefficient, so they stay equal.
        case shared
        /// They get coefficients of their own and part.
        case apart
    }

    /// The groups in order, each by the name of its tensor, layer or module.
    public let names: [String]
    /// What the blocks are.
    public let granularity: Granularity
    private let groupOf: [String: Int]
    private let followed: [String: Int]

    /// Groups the tensors of a network.
    ///
    /// - Parameters:
    ///   - graph: tells buffers from what is trained.
    ///   - excluded: patterns of tensors that stay with the base.
    ///   - ties: pairs of names that must have one coefficient.
    public init(
        _ graph: ArchitectureGraph, tensors: [TensorInfo], granularity: Granularity = .tensor,
        excluded: [String] = [], ties: [(String, String)] = []
    ) {
        let roles = graph.tensorRoles
        let trained = tensors.filter { info in
            info.dtype.isFloatingPoint && roles[info.name].map { $0 != .buffer } ?? false
                && !excluded.contains { NamePattern.matches($0, info.name) }
        }
        self.init(trained: trained, granularity: granularity, ties: ties, followers: Self.norms(graph))
    }

    /// Groups of plain tensors, without buffers.
    package init(
        trained: [TensorInfo], granularity: Granularity, ties: [(String, String)] = [],
        followers: [String: String] = [:]
    ) {
        var names: [String] = [], places: [String: Int] = [:], groups: [String: Int] = [:]
        let leader = Dictionary(ties.map { ($0.1, $0.0) }, uniquingKeysWith: { first, _ in first })
        for info in trained {
            if granularity == .matrices, info.shape.rank < 2 { continue }
            let label = Self.label(leader[info.name] ?? info.name, granularity)
            if places[label] == nil {
                places[label] = names.count
                names.append(label)
            }
            groups[info.name] = places[label]
        }
        self.names = names
        self.granularity = granularity
        groupOf = groups
        followed = followers.compactMapValues { groups[$0] }
    }

    private static func label(_ name: String, _ granularity: Granularity) -> String {
        switch granularity {
        case .tensor, .matrices: return name
        case .model: return "model"
        case .layer, .module:
            var parts = name.split(separator: ".")
            let dropped = granularity == .layer ? 1 : 2
            parts.removeLast(min(dropped, max(0, parts.count - 1)))
            return parts.joined(separator: ".")
        }
    }

    /// The scale of the norm that each running statistic belongs to.
    private static func norms(_ graph: ArchitectureGraph) -> [String: String] {
        var scales: [String: String] = [:]
        for node in graph.nodes where node.op == .batchNorm {
            guard let scale = node.parameter("weight") ?? node.parameter("bias") else { continue }
            for role in ["running_mean", "running_var"] {
                if let name = node.parameter(role) { scales[name] = scale }
            }
        }
        return scales
    }

    /// The group of a tensor that is learned; nil for others.
    public func group(of name: String) -> Int? { groupOf[name] }

    /// The coefficients of a tensor, one per part, from those of a vector `[groups × K]`. A buffer takes the mean of its
    /// norm's scale or, without one, of all; a tensor that is trained and not learned has zeros.
    ///
    /// - Parameter isBuffer: whether the tensor is state that is not trained.
    package func coefficients(of name: String, isBuffer: Bool, row: ArraySlice<Double>, parts: Int) -> [Double] {
        let first = row.startIndex
        if let group = groupOf[name] { return Array(row[first + group * parts..<first + (group + 1) * parts]) }
        guard isBuffer else { return [0] }
        let leading = row[first...][leaders(of: name, parts: parts).shifted(by: first)]
        return [leading.isEmpty ? 0 : leading.reduce(0, +) / Double(leading.count)]
    }

    /// The places in a vector's `[groups × K]` whose mean a buffer follows.
    package func leaders(of name: String, parts: Int) -> Range<Int> {
        followed[name].map { $0 * parts..<($0 + 1) * parts } ?? 0..<names.count * parts
    }
}

extension Range<Int> {
    fileprivate func shifted(by offset: Int) -> Range<Int> { lowerBound + offset..<upperBound + offset }
}

extension CoefficientGroups {
    /// Tensors that hold the same numbers under two names (a head tied to the embedding): of equal shape, with two axes
    /// or more, not all alike inside, equal in the base and in every operand that has both.
    public static func ties(_ base: any TensorSource, operands: [TaskOperand]) throws -> [(String, String)] {
        let infos = base.tensorInfos.filter {
            $0.dtype.isFloatingPoint && $0.shape.rank >= 2 && $0.shape.elementCount > 1
        }
        var byShape: [Shape: [TensorInfo]] = [:]
        for info in infos { byShape[info.shape, default: []].append(info) }
        var found: [(String, String)] = []
        for info in infos {
            guard let members = byShape[info.shape], members.count > 1, members.first == info else { continue }
            var tensors = try members.map { ($0.name, try base.tensor(named: $0.name)) }
            while let (name, tensor) = tensors.first {
                tensors.removeFirst()
                for (other, candidate) in tensors where tensor.isIdentical(to: candidate) {
                    guard !isConstant(tensor), try moveAlike(operands, info, name, other) else { continue }
                    found.append((name, other))
                }
            }
        }
        return found
    }

    private static func isConstant(_ tensor: Tensor) -> Bool {
        tensor.withFloats { values in values.allSatisfy { $0 == values[0] } }
    }

    private static func moveAlike(
        _ operands: [TaskOperand], _ info: TensorInfo, _ a: String, _ b: String
    ) throws -> Bool {
        for operand in operands {
            guard case .fineTuned(let source) = operand.form, operand.has(a), operand.has(b) else { continue }
            guard try source.tensor(named: a).isIdentical(to: source.tensor(named: b)) else { return false }
        }
        return true
    }
}
