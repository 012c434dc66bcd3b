import ZooBase
import ZooTensor

/// What a layer of the pruned network reads and what it should give, summed over calibration data: x is its input, y
/// what brings the network back to where the unpruned one is, ω the weight of the row.
///
/// Where a layer's output is added to something else (a residual connection), y is the unpruned network's sum less the
/// pruned network's other summand: what earlier layers lost is made up for here. Elsewhere y is the unpruned layer's
/// output.
public struct LayerAnchors: Sendable {
    /// Outputs.
    public let rows: Int
    /// Inputs of an output.
    public let columns: Int
    /// Σ ω.
    public private(set) var weight = 0.0
    /// Σ ω x.
    public private(set) var inputs: [Double]
    /// Σ ω y.
    public private(set) var outputs: [Double]
    /// Σ ω x xᵀ, `columns` × `columns`.
    public private(set) var products: [Double]
    /// Σ ω y xᵀ, `rows` × `columns`.
    public private(set) var crossProducts: [Double]

    /// Nothing seen yet.
    public init(rows: Int, columns: Int) {
        self.rows = rows
        self.columns = columns
        inputs = [Double](repeating: 0, count: columns)
        outputs = [Double](repeating: 0, count: rows)
        products = [Double](repeating: 0, count: columns * columns)
        crossProducts = [Double](repeating: 0, count: rows * columns)
    }

    /// Adds rows: `x` `[n, columns]`, `y` `[n, rows]`, a weight each.
    ///
    /// - Precondition: counts that fit together.
    /// - Throws: what products throw.
    public mutating func add(_ x: [Float], _ y: [Float], weights: [Float]) throws {
        let count = weights.count
        precondition(x.count == count * columns && y.count == count * rows)
        var weighted = x
        for row in 0..<count {
            let weight = weights[row]
            self.weight += Double(weight)
            for column in 0..<columns {
                weighted[row * columns + column] *= weight
                inputs[column] += Double(weighted[row * columns + column])
            }
            for output in 0..<rows { outputs[output] += Double(weight) * Double(y[row * rows + output]) }
        }
        let gram = try LinearAlgebra.product(
            weighted, transposeA: true, x, rows: columns, columns: columns, depth: count)
        for place in gram.indices { products[place] += Double(gram[place]) }
        let cross = try LinearAlgebra.product(
            y, transposeA: true, weighted, rows: rows, columns: columns, depth: count)
        for place in cross.indices { crossProducts[place] += Double(cross[place]) }
    }

    /// Adds another part of the data.
    public mutating func add(_ other: LayerAnchors) {
        weight += other.weight
        for place in inputs.indices { inputs[place] += other.inputs[place] }
        for place in outputs.indices { outputs[place] += other.outputs[place] }
        for place in products.indices { products[place] += other.products[place] }
        for place in crossProducts.indices { crossProducts[place] += other.crossProducts[place] }
    }

    /// Covariances over Σ ω, with `center` about the means (what a free bias takes up): H `columns` × `columns` and G
    /// `rows` × `columns`.
    ///
    /// - Throws: `mismatch` when nothing was seen.
    func covariances(center: Bool) throws -> (hessian: [Double], targets: [Double]) {
        guard weight > 0 else { throw ZooError(.mismatch, "no rows of data reach the layer") }
        var hessian = products.map { $0 / weight }, targets = crossProducts.map { $0 / weight }
        guard center else { return (hessian, targets) }
        for i in 0..<columns {
            for j in 0..<columns { hessian[i * columns + j] -= inputs[i] / weight * inputs[j] / weight }
            for o in 0..<rows { targets[o * columns + i] -= outputs[o] / weight * inputs[i] / weight }
        }
        return (hessian, targets)
    }
}
