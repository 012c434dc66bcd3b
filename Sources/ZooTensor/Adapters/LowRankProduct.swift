import CZooBLAS
import ZooBase

/// Elements that products of adapters are computed in.
protocol AdapterElement: BinaryFloatingPoint, Sendable {
    static func values(_ tensor: Tensor) -> [Self]
    static func tensor(_ values: [Self], _ shape: Shape) -> Tensor
    /// C = A B, row-major and dense.
    static func multiply(
        _ a: UnsafePointer<Self>, _ b: UnsafePointer<Self>, rows: Int, columns: Int, depth: Int,
        into c: UnsafeMutablePointer<Self>)
}

extension Float: AdapterElement {
    static func values(_ tensor: Tensor) -> [Float] { tensor.floats() }
    static func tensor(_ values: [Float], _ shape: Shape) -> Tensor { Tensor(values, shape: shape) }
    static func multiply(
        _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, rows: Int, columns: Int, depth: Int,
        into c: UnsafeMutablePointer<Float>
    ) {
        zoo_sgemm(
            0, 0, Int32(rows), Int32(columns), Int32(depth), a, Int32(depth), b, Int32(columns), 0, c, Int32(columns))
    }
}

extension Double: AdapterElement {
    static func values(_ tensor: Tensor) -> [Double] { tensor.doubles() }
    static func tensor(_ values: [Double], _ shape: Shape) -> Tensor { Tensor(values, shape: shape) }
    static func multiply(
        _ a: UnsafePointer<Double>, _ b: UnsafePointer<Double>, rows: Int, columns: Int, depth: Int,
        into c: UnsafeMutablePointer<Double>
    ) {
        zoo_dgemm(
            0, 0, Int32(rows), Int32(columns), Int32(depth), a, Int32(depth), b, Int32(columns), 0, c, Int32(columns))
    }
}

/// The change of one weight as a product L·R over the weight's rows and everything behind them.
struct LowRankProduct<Element: AdapterElement>: Sendable {
    let rows: Int
    let columns: Int
    let rank: Int
    let scaling: Element
    private let left: [Element]
    private let right: [Element]

    /// - Parameter transposed: the weight is stored `[in, out]`, so that its change is (B·A)ᵀ = Aᵀ·Bᵀ.
    init(_ module: Adapter.Module, _ weights: any TensorSource, transposed: Bool) throws {
        let a = Element.values(try weights.tensor(named: module.a.name))
        let b = Element.values(try weights.tensor(named: module.b.name))
        let rank = module.rank, inputs = a.count / rank, outputs = b.count / rank
        self.rank = rank
        scaling = Element(module.scaling)
        rows = transposed ? inputs : outputs
        columns = transposed ? outputs : inputs
        left = transposed ? Self.transpose(a, rank, inputs) : b
        right = transposed ? Self.transpose(b, outputs, rank) : a
    }

    /// The change of a run of rows, without the scaling.
    func product(_ range: Range<Int>, into output: UnsafeMutablePointer<Element>) {
        left.withUnsafeBufferPointer { left in
            right.withUnsafeBufferPointer { right in
                guard let left = left.baseAddress, let right = right.baseAddress else { return }
                Element.multiply(
                    left + range.lowerBound * rank, right, rows: range.count, columns: columns, depth: rank,
                    into: output)
            }
        }
    }

    private static func transpose(_ values: [Element], _ rows: Int, _ columns: Int) -> [Element] {
        [Element](unsafeUninitializedCapacity: values.count) { output, count in
            for row in 0..<rows {
                for column in 0..<columns { output[column * rows + row] = values[row * columns + column] }
            }
            count = values.count
        }
    }
}
