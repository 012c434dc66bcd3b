import Synchronization
import ZooBase

/// One weight with an adapter's change, computed in blocks of whole rows.
///
/// Blocks begin at fixed rows whatever piece is asked for, so that the bytes do not depend on how a tensor is cut.
final class AdaptedRun<Element: AdapterElement>: ElementRun {
    let info: TensorInfo
    private let base: Tensor
    private let change: LowRankProduct<Element>
    /// DoRA: the wanted norm of each output.
    private let magnitudes: [Double]?
    /// Outputs lie along the columns of the stored weight.
    private let isTransposed: Bool
    private let blockRows: Int
    private let columnFactors = Mutex<[Double]?>(nil)

    private static var blockLength: Int { 1 << 16 }

    init(_ info: TensorInfo, _ base: Tensor, _ change: LowRankProduct<Element>, magnitudes: [Double]?, transposed: Bool)
    {
        self.info = info
        self.base = base
        self.change = change
        self.magnitudes = magnitudes
        isTransposed = transposed
        blockRows = max(1, Self.blockLength / max(1, change.columns))
    }

    func prepare(jobs: Int) throws {
        guard magnitudes != nil, isTransposed else { return }
        _ = try factors()
    }

    func compute(_ range: Range<Int>, into output: UnsafeMutableRawBufferPointer) throws {
        guard !range.isEmpty, let target = output.baseAddress else { return }
        let columns = change.columns, size = info.dtype.byteCount
        let factors = magnitudes != nil && isTransposed ? try self.factors() : nil
        var first = range.lowerBound / columns / blockRows * blockRows
        while first * columns < range.upperBound {
            let rows = first..<min(change.rows, first + blockRows)
            var values = try sum(rows)
            if let factors {
                for row in 0..<rows.count {
                    for column in 0..<columns { values[row * columns + column] *= Element(factors[column]) }
                }
            } else if let magnitudes {
                try scaleRows(&values, rows, magnitudes)
            }
            let part = range.clamped(to: rows.lowerBound * columns..<rows.upperBound * columns)
            let start = part.lowerBound - rows.lowerBound * columns
            let stored = Element.tensor(Array(values[start..<start + part.count]), [part.count]).converted(
                to: info.dtype)
            stored.bytes.withUnsafeBytes { bytes in
                guard let from = bytes.baseAddress else { return }
                (target + (part.lowerBound - range.lowerBound) * size).copyMemory(from: from, byteCount: bytes.count)
            }
            first += blockRows
        }
    }

    func release(_ range: Range<Int>) {
        let size = base.dtype.byteCount
        (try? base.bytes.slice(range.lowerBound * size, range.count * size))?.releasePages()
    }

    /// W + s·L·R of some rows.
    private func sum(_ rows: Range<Int>) throws -> [Element] {
        let columns = change.columns, count = rows.count * columns, size = base.dtype.byteCount
        let bytes = try base.bytes.slice(rows.lowerBound * columns * size, count * size)
        var values = Element.values(try Tensor(shape: [count], dtype: base.dtype, bytes: bytes))
        let delta = [Element](unsafeUninitializedCapacity: count) { output, filled in
            if let base = output.baseAddress { change.product(rows, into: base) }
            filled = count
        }
        let scaling = change.scaling
        values.withUnsafeMutableBufferPointer { values in
            delta.withUnsafeBufferPointer { delta in for place in 0..<count { values[place] += scaling * delta[place] }
            }
        }
        return values
    }

    private func scaleRows(_ values: inout [Element], _ rows: Range<Int>, _ magnitudes: [Double]) throws {
        let columns = change.columns
        for row in 0..<rows.count {
            var sum = 0.0
            for value in values[row * columns..<(row + 1) * columns] { sum += Double(value) * Double(value) }
            let factor = Element(try factor(magnitudes[rows.lowerBound + row], sum))
            for place in row * columns..<(row + 1) * columns { values[place] *= factor }
        }
    }

    private func factor(_ magnitude: Double, _ squares: Double) throws -> Double {
        guard squares > 0 else {
            throw ZooError(.numeric, "tensor '\(info.name)': DoRA divides by the norm of an output that is zero")
        }
        return magnitude / squares.squareRoot()
    }

    private func factors() throws -> [Double] {
        try columnFactors.withLock { known in
            if let known { return known }
            var squares = [Double](repeating: 0, count: change.columns)
            for first in stride(from: 0, to: change.rows, by: blockRows) {
                let rows = first..<min(change.rows, first + blockRows)
                let values = try sum(rows)
                for row in 0..<rows.count {
                    for column in 0..<change.columns {
                        let value = Double(values[row * change.columns + column])
                        squares[column] += value * value
                    }
                }
            }
            let made = try zip(magnitudes ?? [], squares).map { try factor($0, $1) }
            known = made
            return made
        }
    }
}
