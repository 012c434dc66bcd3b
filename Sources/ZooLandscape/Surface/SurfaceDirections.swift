import ZooBase
import ZooNN
import ZooTensor

/// How random directions are brought to the scale of the weights (Li et al., arXiv 1712.09913, section 4).
public enum DirectionScaling: String, Sendable, CaseIterable {
    /// Every filter (first axis of a tensor) gets the norm of the network's own.
    case filter
    /// Every tensor gets the norm of the network's own.
    case layer
    /// Every filter gets length one.
    case unitFilter = "unit-filter"
    /// Every tensor gets length one.
    case unitLayer = "unit-layer"
    /// As drawn. Losses of deep networks overflow.
    case none
}

/// Directions in the weights of a network, in the order of its `ParameterLayout`.
public enum SurfaceDirections {
    /// A random direction: normal numbers per tensor, scaled; tensors of one axis (biases, norms) do not move.
    ///
    /// - Parameters:
    ///   - point: the network's own weights.
    ///   - number: which of several directions of a seed.
    public static func random(
        _ layout: ParameterLayout, at point: [Double], scaling: DirectionScaling = .filter, seed: UInt64, number: Int
    ) -> [Double] {
        var direction = [Double](repeating: 0, count: point.count)
        for entry in layout.entries where entry.shape.rank > 1 {
            var stream = RandomStream(seed: seed, "surface", String(number), entry.name)
            direction.replaceSubrange(entry.range, with: stream.normal(entry.range.count))
        }
        scale(&direction, layout, point, scaling)
        return direction
    }

    /// Scales a direction in place, filter by filter or tensor by tensor.
    public static func scale(
        _ direction: inout [Double], _ layout: ParameterLayout, _ point: [Double], _ scaling: DirectionScaling
    ) {
        guard scaling != .none else { return }
        for entry in layout.entries where entry.shape.rank > 1 {
            let rows = scaling == .layer || scaling == .unitLayer ? 1 : max(1, entry.shape[0])
            let size = entry.range.count / rows
            for row in 0..<rows {
                let range = entry.range.lowerBound + row * size..<entry.range.lowerBound + (row + 1) * size
                let length = Vectors.norm(Array(direction[range]))
                let wanted =
                    scaling == .filter || scaling == .layer ? Vectors.norm(Array(point[range])) : 1
                let factor = wanted / (length + 1e-10)
                for place in range { direction[place] *= factor }
            }
        }
    }

    /// From one network to another of the same layout.
    public static func towards(_ other: [Double], from point: [Double]) -> [Double] {
        zip(other, point).map { $0 - $1 }
    }
}

/// The plane in which a trajectory of weights moves most: its first two principal components about the mean (arXiv
/// 1712.09913, section 7.2).
public struct TrajectoryPlane: Sendable {
    /// Two directions of length one, orthogonal to each other.
    public let directions: [[Double]]
    /// The share of the trajectory's variance that each explains.
    public let explained: [Double]
    /// Where each point of the trajectory lies in the plane, seen from the origin.
    public let path: [(x: Double, y: Double)]

    /// Finds the plane.
    ///
    /// - Parameters:
    ///   - points: the weights along the trajectory, three or more.
    ///   - origin: where the plane's zero is: the last point of a training.
    /// - Throws: `mismatch` for too few points or none that differ.
    public init(_ points: [[Double]], origin: [Double]) throws {
        guard points.count >= 3 else {
            throw ZooError(.mismatch, "a trajectory of \(points.count) checkpoints; its plane takes three or more")
        }
        let dimension = origin.count
        var mean = [Double](repeating: 0, count: dimension)
        for point in points { Vectors.add(1 / Double(points.count), point, to: &mean) }
        let rows = points.map { point -> [Double] in
            var row = point
            Vectors.add(-1, mean, to: &row)
            return row
        }
        // The Gram matrix has as many rows as there are checkpoints: its eigenvectors give the components.
        let count = rows.count
        var gram = [Double](repeating: 0, count: count * count)
        for i in 0..<count {
            try Cancellation.check()
            for j in i..<count {
                gram[i * count + j] = Vectors.dot(rows[i], rows[j])
                gram[j * count + i] = gram[i * count + j]
            }
        }
        let (u, values, _) = try LinearAlgebra.singularValueDecomposition(gram, rows: count, columns: count)
        let total = values.reduce(0, +)
        guard total > 0, values.count > 1, values[1] > 1e-12 * total else {
            throw ZooError(.mismatch, "the checkpoints of the trajectory lie on one line or are the same")
        }
        directions = (0..<2).map { component in
            var direction = [Double](repeating: 0, count: dimension)
            for row in 0..<count { Vectors.add(u[row * count + component], rows[row], to: &direction) }
            return Vectors.normalised(direction)
        }
        explained = [values[0] / total, values[1] / total]
        let found = directions
        path = points.map { point in
            let step = SurfaceDirections.towards(point, from: origin)
            return (Vectors.dot(step, found[0]), Vectors.dot(step, found[1]))
        }
    }
}
