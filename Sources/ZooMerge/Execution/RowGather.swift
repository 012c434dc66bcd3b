import CZooKernels
import Synchronization
import ZooBase
import ZooTensor

/// The members of an embedding with their rows in the order of the result's vocabulary.
///
/// Rows are fetched when a run of elements is asked for; memory holds the plan (four bytes per row and model) and one
/// mean row per model where rows are padded, never an embedding.
final class RowGather: Sendable {
    private let plan: RowPlan
    private let tensors: [Tensor]
    private let codes: [Int32]
    /// Elements of a row.
    private let width: Int
    /// The mean row of each member; empty until it is needed.
    private let means = Mutex<[[Double]]>([])

    /// Rows whose sum is taken in one piece: fixed, so that means do not depend on threads.
    private static let rowsPerPart = 512

    /// Precondition: tensors of equal rows, types with kernels.
    init(_ plan: RowPlan, _ tensors: [Tensor], width: Int) {
        self.plan = plan
        self.tensors = tensors
        self.width = width
        codes = tensors.compactMap { KernelType($0.dtype)?.rawValue }
    }

    /// Elements of the result.
    var elementCount: Int { plan.count * width }

    /// Takes the means that padding needs.
    func prepare(jobs: Int) throws {
        guard plan.rows.contains(where: { $0.contains(RowPlan.ownMean) }) else { return }
        guard means.withLock({ $0.isEmpty }) else { return }
        let found = try tensors.indices.map { try mean(of: $0, jobs: jobs) }
        means.withLock { $0 = found }
    }

    private func mean(of member: Int, jobs: Int) throws -> [Double] {
        let tokens = plan.rows[member].indices.filter { plan.rows[member][$0] != RowPlan.ownMean }
        guard !tokens.isEmpty else { return [Double](repeating: 0, count: width) }
        let parts = (tokens.count + Self.rowsPerPart - 1) / Self.rowsPerPart
        let sums = try Parallel.map(count: parts, jobs: jobs) { part in
            var sum = [Double](repeating: 0, count: width), row = sum
            for place in part * Self.rowsPerPart..<min(tokens.count, (part + 1) * Self.rowsPerPart) {
                let range = tokens[place] * width..<(tokens[place] + 1) * width
                try row.withUnsafeMutableBytes { raw in
                    guard let base = raw.baseAddress else { return }
                    try fetch(member, range, into: base, type: .float64)
                }
                for index in 0..<width { sum[index] += row[index] }
            }
            let last = tokens[min(tokens.count, (part + 1) * Self.rowsPerPart) - 1]
            release(tokens[part * Self.rowsPerPart] * width..<(last + 1) * width, of: member)
            return sum
        }
        return (0..<width).map { index in sums.reduce(0) { $0 + $1[index] } / Double(tokens.count) }
    }

    /// Writes elements `range` of a member in the result's order.
    func fetch(_ member: Int, _ range: Range<Int>, into output: UnsafeMutableRawPointer, type: KernelType) throws {
        let size = zoo_dtype_size(type.rawValue)
        var element = range.lowerBound
        while element < range.upperBound {
            let row = element / width, code = plan.rows[member][row]
            let place = output + (element - range.lowerBound) * size
            var end = (row + 1) * width
            if code >= 0 {
                // Consecutive rows that stay consecutive are one run.
                var next = code + 1
                while end < range.upperBound, plan.rows[member][end / width] == next {
                    (end, next) = (end + width, next + 1)
                }
                end = min(end, range.upperBound)
                let source = Int(code) * width + element % width
                try convert(member, source..<source + end - element, place, type)
            } else {
                end = min(end, range.upperBound)
                let columns = element % width..<element % width + end - element
                try made(member, code, columns, place, type)
            }
            element = end
        }
    }

    private func convert(
        _ member: Int, _ range: Range<Int>, _ output: UnsafeMutableRawPointer, _ type: KernelType
    ) throws {
        let size = tensors[member].dtype.byteCount
        let slice = try tensors[member].bytes.slice(range.lowerBound * size, range.count * size)
        slice.withUnsafeBytes { raw in
            guard let base = raw.baseAddress else { return }
            zoo_convert(base, codes[member], range.count, output, type.rawValue)
        }
    }

    /// Some columns of a row that is not the member's own.
    private func made(
        _ member: Int, _ code: Int32, _ columns: Range<Int>, _ output: UnsafeMutableRawPointer, _ type: KernelType
    ) throws {
        var sum = [Double](repeating: 0, count: columns.count)
        if code == RowPlan.ownMean {
            if means.withLock({ $0.isEmpty }) { try prepare(jobs: 1) }
            sum = means.withLock { Array($0[member][columns]) }
        } else if case .mean(let places) = plan.given[Int(-2 - code)] {
            var row = sum
            for place in places {
                let first = place.row * width + columns.lowerBound
                try row.withUnsafeMutableBytes { raw in
                    guard let base = raw.baseAddress else { return }
                    try convert(place.member, first..<first + columns.count, base, .float64)
                }
                for index in sum.indices { sum[index] += row[index] }
            }
            for index in sum.indices { sum[index] /= Double(places.count) }
        }
        sum.withUnsafeBytes { raw in
            guard let base = raw.baseAddress else { return }
            zoo_convert(base, KernelType.float64.rawValue, columns.count, output, type.rawValue)
        }
    }

    /// Lets mapped pages of the rows behind a range leave memory.
    func release(_ range: Range<Int>) {
        for member in tensors.indices { release(range, of: member) }
    }

    private func release(_ range: Range<Int>, of member: Int) {
        var row = range.lowerBound / width
        let last = min(plan.count, (range.upperBound + width - 1) / width)
        let size = tensors[member].dtype.byteCount * width
        while row < last {
            let code = plan.rows[member][row]
            var end = row + 1
            if code >= 0 {
                while end < last, Int(plan.rows[member][end]) == Int(code) + end - row { end += 1 }
                (try? tensors[member].bytes.slice(Int(code) * size, (end - row) * size))?.releasePages()
            }
            row = end
        }
    }
}
