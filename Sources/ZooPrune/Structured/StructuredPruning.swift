import ZooBase
import ZooNN
import ZooTensor

/// Removes whole neurons, heads or channels, so that networks get smaller and faster for real.
public struct StructuredPruning {
    /// How units are valued; the lowest go.
    public enum Score: String, Sendable, Hashable, CaseIterable {
        /// What the units that stay cannot make up for, found layer by layer (`UnitElimination`), and the reader refitted.
        case anchored
        /// Σ (F_dom + F_gen) θ² over all weights of a unit.
        case obd
        /// Σ θ².
        case magnitude
        /// The RMS of what a unit gives times the norm of the weights that read it.
        case activation
        /// Chance.
        case random
    }

    /// What units are.
    public enum Kind: String, Sendable, Hashable, CaseIterable {
        /// Neurons of feed-forward layers.
        case neuron
        /// Attention heads; with grouped queries a head of keys and values with all its query heads.
        case head
        /// Channels of convolutions and units of fully connected layers, of networks without attention.
        case channel
    }

    /// Units that may be removed independently of all others.
    public struct Layer: Sendable {
        /// What they are.
        public let kind: Kind
        /// The axes of tensors that go with them.
        public let space: PermutationSpaces.Space
        /// The matrices that read the units.
        public let readers: [CandidateMatrix]

        /// What it is called: the node that makes the units.
        public var name: String { space.name }
    }

    /// The layers of a network whose units may go.
    public let layers: [Layer]
    private let matrices: [String: CandidateMatrix]
    /// The biases of matrices.
    private let biases: Set<String>

    /// Finds the layers.
    ///
    /// - Throws: `mismatch` when weights and graph do not fit.
    public init(_ graph: ArchitectureGraph, tensors: [TensorInfo]) throws {
        let shapes = try GraphShapes(graph, tensors: tensors)
        let list = try CandidateMatrix.all(of: graph, tensors: tensors, layers: .linear)
        let matrices = Dictionary(list.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        self.matrices = matrices
        let biases = Set(list.compactMap(\.bias))
        self.biases = biases
        let attention = Set(list.filter(\.isAttention).flatMap { [$0.name] + ($0.bias.map { [$0] } ?? []) })
        let hasAttention = graph.nodes.contains { $0.op == .attention }
        let roles = graph.tensorRoles
        layers = PermutationSpaces(graph, shapes: shapes).spaces.compactMap { space in
            let names = Set(space.axes.map(\.tensor))
            let readers = space.axes.compactMap { axis -> CandidateMatrix? in
                guard let matrix = matrices[axis.tensor], axis.axis == (matrix.isTransposed ? 0 : 1) else { return nil }
                return matrix
            }
            if names.isSubset(of: attention) {
                return readers.isEmpty ? nil : Layer(kind: .head, space: space, readers: readers)
            }
            if hasAttention {
                let isOwn = names.allSatisfy { (matrices[$0] != nil || biases.contains($0)) && !attention.contains($0) }
                return isOwn && !readers.isEmpty ? Layer(kind: .neuron, space: space, readers: readers) : nil
            }
            // Everything that reads or writes the channels goes along, norms and their statistics too.
            let isKnown = names.allSatisfy { roles[$0] != .embedding }
            return isKnown ? Layer(kind: .channel, space: space, readers: readers) : nil
        }
    }

    /// The value of every unit of a layer.
    ///
    /// - Parameter fisher: the sum of both sides' Fisher values of a tensor; nil where there are none.
    /// - Throws: `notFound` for statistics that were not kept; `unsupported` for what convolutions give and for
    ///   `anchored`.
    public func scores(
        of layer: Layer, by score: Score, weights: (String) throws -> [Float], shape: (String) throws -> Shape,
        fisher: (String) throws -> [Double], inputSquares: (CandidateMatrix) throws -> [Double], seed: UInt64
    ) throws -> [Double] {
        var total = [Double](repeating: 0, count: layer.space.unitCount)
        switch score {
        case .anchored:
            throw ZooError(
                .unsupported, "anchored removes one unit after another and has no scores of single units",
                hint: "use UnitElimination")
        case .random:
            var generator = SeededGenerator(seed: seed)
            for byte in layer.name.utf8 { generator = SeededGenerator(seed: generator.next() ^ UInt64(byte)) }
            return total.map { _ in Double(generator.next() >> 11) * 0x1p-53 }
        case .magnitude, .obd:
            for axis in layer.space.axes {
                // Norms and their statistics say nothing of a weight's worth.
                guard matrices[axis.tensor] != nil || biases.contains(axis.tensor) else { continue }
                let values = try weights(axis.tensor)
                let factors = score == .obd ? try fisher(axis.tensor) : []
                let extents = try shape(axis.tensor).dimensions
                Self.forEachUnit(extents, axis) { unit, place in
                    let square = Double(values[place]) * Double(values[place])
                    total[unit] += factors.isEmpty ? square : square * factors[place]
                }
            }
        case .activation:
            for axis in layer.space.axes {
                guard let matrix = layer.readers.first(where: { $0.name == axis.tensor }) else { continue }
                guard matrix.shape.rank == 2 else {
                    throw ZooError(
                        .unsupported, "'\(matrix.name)' is a convolution, whose inputs are not kept",
                        hint: "value channels by obd, magnitude or random")
                }
                let values = try weights(axis.tensor), squares = try inputSquares(matrix)
                var norms = [Double](repeating: 0, count: matrix.columns)
                for row in 0..<matrix.rows {
                    for column in 0..<matrix.columns {
                        let value = Double(values[matrix.index(row, column)])
                        norms[column] += value * value
                    }
                }
                for column in 0..<matrix.columns { total[column / axis.blockLength] += squares[column] * norms[column] }
            }
            total = total.map { $0.squareRoot() }
        }
        return total
    }

    /// Calls `body` with the unit of every element of a tensor and its place.
    private static func forEachUnit(_ extents: [Int], _ axis: PermutationSpaces.Axis, _ body: (Int, Int) -> Void) {
        let place = axis.axis < 0 ? extents.count + axis.axis : axis.axis
        let inner = extents[(place + 1)...].reduce(1, *), extent = extents[place]
        for index in 0..<extents.reduce(1, *) { body(index / inner % extent / axis.blockLength, index) }
    }

    /// The units that stay, per layer, lowest scores gone first; at least one, and with one threshold for all layers at
    /// least a quarter, of each stays.
    public static func kept(_ scores: [[Double]], share: Double, isGlobal: Bool) -> [[Int]] {
        guard isGlobal else {
            return scores.map { own in
                let count = min(PruneGroup.zeros(share, of: own.count), own.count - 1)
                let gone = MaskSelection.lowest(own, count)
                return own.indices.filter { !gone[$0] }
            }
        }
        let wanted = PruneGroup.zeros(share, of: scores.reduce(0) { $0 + $1.count })
        let ranked = scores.enumerated().flatMap { layer, own in
            own.indices.map { (score: own[$0], layer: layer, unit: $0) }
        }
        .sorted { ($0.score, $0.layer, $0.unit) < ($1.score, $1.layer, $1.unit) }
        var left = scores.map(\.count), gone = scores.map { [Bool](repeating: false, count: $0.count) }
        let least = scores.map { max(1, ($0.count + 3) / 4) }
        var taken = 0
        for entry in ranked where taken < wanted && left[entry.layer] > least[entry.layer] {
            gone[entry.layer][entry.unit] = true
            left[entry.layer] -= 1
            taken += 1
        }
        return gone.map { own in own.indices.filter { !own[$0] } }
    }

    /// Means that stand for what an input is: zero where the input spreads more than its mean (σ > |mean|).
    ///
    /// Some neurons of encoders are silent but for one kind of token, where they are huge. Their mean on every token drowns
    /// all texts in one direction, which is far worse than to lose them.
    ///
    /// - Parameters:
    ///   - means: the mean of each input.
    ///   - squares: the mean of its square.
    public static func steadyMeans(_ means: [Double], squares: [Double]) -> [Double] {
        zip(means, squares).map { mean, square in square <= 2 * mean * mean ? mean : 0 }
    }

    /// The network without the units that do not stay.
    ///
    /// - Parameters:
    ///   - kept: units that stay, by layer.
    ///   - inputMeans: the mean of what each input of a reader is on calibration data; what removed units gave on
    ///     average is added to the reader's bias, when it has one. nil compensates nothing.
    /// - Returns: the tensors and the readers that could not be compensated.
    /// - Throws: what reading throws.
    public func remove(
        from source: any TensorSource, _ kept: [(layer: Layer, units: [Int])],
        inputMeans: ((CandidateMatrix) throws -> [Double]?)? = nil
    ) throws -> (state: StateDict, uncompensated: [String]) {
        var state = try source.stateDict()
        var uncompensated: [String] = []
        for (layer, units) in kept where units.count < layer.space.unitCount {
            if let inputMeans {
                for axis in layer.space.axes {
                    guard let matrix = layer.readers.first(where: { $0.name == axis.tensor }) else { continue }
                    let isDone = try compensate(matrix, axis, units, &state, try inputMeans(matrix))
                    if !isDone { uncompensated.append(matrix.name) }
                }
            }
            for axis in layer.space.axes {
                guard let tensor = state[axis.tensor] else { continue }
                state[axis.tensor] = try Self.selecting(tensor, axis, units)
            }
        }
        return (state, uncompensated)
    }

    /// Adds W[:, removed] · mean(removed) to the bias.
    private func compensate(
        _ matrix: CandidateMatrix, _ axis: PermutationSpaces.Axis, _ units: [Int], _ state: inout StateDict,
        _ means: [Double]?
    ) throws -> Bool {
        guard let means, let name = matrix.bias, let bias = state[name], let tensor = state[matrix.name],
            means.count == matrix.columns
        else { return false }
        // An earlier layer may have shortened the rows: the columns are still all there.
        let rows = tensor.shape[matrix.isTransposed ? 1 : 0]
        let weights = tensor.doubles()
        var shift = bias.doubles()
        let stays = Set(units)
        for column in 0..<matrix.columns where !stays.contains(column / axis.blockLength) {
            for row in 0..<rows {
                shift[row] +=
                    weights[matrix.isTransposed ? column * rows + row : row * matrix.columns + column] * means[column]
            }
        }
        state[name] = Tensor(shift, shape: bias.shape).converted(to: bias.dtype)
        return true
    }

    /// The elements of the units that stay along an axis.
    private static func selecting(_ tensor: Tensor, _ axis: PermutationSpaces.Axis, _ units: [Int]) throws -> Tensor {
        var extents = tensor.shape.dimensions
        let place = axis.axis < 0 ? extents.count + axis.axis : axis.axis
        let outer = extents[..<place].reduce(1, *), inner = extents[(place + 1)...].reduce(1, *)
        let extent = extents[place], size = tensor.dtype.byteCount
        let chunk = axis.blockLength * inner * size
        var bytes: [UInt8] = []
        bytes.reserveCapacity(outer * units.count * chunk)
        tensor.bytes.withUnsafeBytes { raw in
            for row in 0..<outer {
                for unit in units {
                    let start = row * extent * inner * size + unit * chunk
                    bytes.append(contentsOf: raw[start..<start + chunk])
                }
            }
        }
        extents[place] = units.count * axis.blockLength
        return try Tensor(shape: Shape(extents), dtype: tensor.dtype, bytes: Bytes(bytes))
    }
}
