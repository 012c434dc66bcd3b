import ArgumentParser
import CZooKernels
import ZooBase
import ZooCatalog
import ZooReport
import ZooTensor

/// `zoo diff`: two checkpoints, tensor by tensor.
package struct Diff: ZooCommand {
    package static let configuration = CommandConfiguration(
        abstract: "Compare two checkpoints tensor by tensor: norms, distance, cosine, what changed.",
        discussion: """
            Numbers are computed in double precision over both files in one pass. Tensors that only one side has, or \
            whose shapes differ, are listed as such.

            Example:
              zoo diff pretrained.safetensors tasks/rot90.safetensors
              zoo diff 412 418 --json
            """)

    @Argument(help: "A checkpoint: file, folder, ARCHIVE!/MEMBER, catalog id, NAME@EPOCH.")
    package var first: String

    @Argument(help: "Another one.")
    package var second: String

    @OptionGroup package var output: OutputOptions
    @OptionGroup(title: "Common options") package var global: GlobalOptions

    package init() {}

    package var outputPath: String? { output.output }

    package func run(in session: Session) throws {
        let resolver = SelectorResolver(catalogPath: session.catalogPath)
        let comparison = try Comparison(
            try resolver.resolveOne(first).open(), try resolver.resolveOne(second).open(), jobs: session.jobs)
        try session.emit(comparison.json, as: comparison.table)
        session.note(comparison.summary)
    }
}

/// Two state dicts, tensor by tensor.
struct Comparison {
    /// What became of a tensor.
    enum Change: String {
        case equal, changed, added, removed, reshaped, retyped
    }

    struct Row {
        var name: String
        var change: Change
        var shape: Shape
        var pair: zoo_pair_statistics?
    }

    private let rows: [Row]

    init(_ first: any TensorSource, _ second: any TensorSource, jobs: Int) throws {
        let left = first.tensorInfos, right = second.tensorInfos
        let others = Dictionary(right.map { ($0.name, $0) }, uniquingKeysWith: { known, _ in known })
        let known = Set(left.map(\.name))
        let compared = try Parallel.map(count: left.count, jobs: jobs) { index in
            let info = left[index]
            guard let other = others[info.name] else {
                return Row(name: info.name, change: .removed, shape: info.shape)
            }
            guard other.shape == info.shape else {
                return Row(name: info.name, change: .reshaped, shape: info.shape)
            }
            return try Self.compare(info, try first.tensor(named: info.name), try second.tensor(named: info.name))
        }
        rows =
            compared
            + right.filter { !known.contains($0.name) }.map { Row(name: $0.name, change: .added, shape: $0.shape) }
    }

    private static func compare(_ info: TensorInfo, _ left: Tensor, _ right: Tensor) throws -> Row {
        let change: Change = left.isIdentical(to: right) ? .equal : left.dtype == right.dtype ? .changed : .retyped
        var pair: zoo_pair_statistics?
        if info.dtype.isFloatingPoint, right.dtype.isFloatingPoint {
            let (a, b) = (left.kernelReady, right.kernelReady)
            pair = a.tensor.bytes.withUnsafeBytes { x in
                b.tensor.bytes.withUnsafeBytes { y in
                    zoo_vector_pair(x.baseAddress, a.code, y.baseAddress, b.code, left.elementCount)
                }
            }
        }
        left.bytes.releasePages()
        right.bytes.releasePages()
        return Row(name: info.name, change: change, shape: info.shape, pair: pair)
    }

    /// The sums of all tensors that both have.
    private var total: zoo_pair_statistics {
        rows.compactMap(\.pair).reduce(into: zoo_pair_statistics()) { sum, pair in
            sum.dot += pair.dot
            sum.squared_norm_a += pair.squared_norm_a
            sum.squared_norm_b += pair.squared_norm_b
            sum.squared_distance += pair.squared_distance
        }
    }

    private static func cosine(_ pair: zoo_pair_statistics) -> Double {
        pair.dot / (pair.squared_norm_a * pair.squared_norm_b).squareRoot()
    }

    var json: JSONValue {
        let tensors = rows.map { row -> JSONValue in
            var object = JSONObject([
                ("name", .string(row.name)), ("change", .string(row.change.rawValue)),
                ("shape", .array(row.shape.dimensions.map { .int(Int64($0)) })),
            ])
            for (key, value) in Self.numbers(row.pair) { Self.set(key, value, in: &object) }
            return .object(object)
        }
        var object = JSONObject([
            ("equal", .bool(rows.allSatisfy { $0.change == .equal })), ("tensors", .array(tensors)),
        ])
        Self.set("distance", total.squared_distance.squareRoot(), in: &object)
        Self.set("cosine", Self.cosine(total), in: &object)
        return .object(object)
    }

    /// JSON has no NaN: null then, and the reason beside it.
    private static func set(_ key: String, _ value: Double, in object: inout JSONObject) {
        object[key] = value.isFinite ? .double(value) : .null
        if !value.isFinite { object["\(key)_reason"] = .string(Quantity.significant(value, digits: 1)) }
    }

    private static func numbers(_ pair: zoo_pair_statistics?) -> [(String, Double)] {
        guard let pair else { return [] }
        return [
            ("norm_a", pair.squared_norm_a.squareRoot()), ("norm_b", pair.squared_norm_b.squareRoot()),
            ("distance", pair.squared_distance.squareRoot()), ("cosine", cosine(pair)),
        ]
    }

    var table: Table {
        var table = Table([
            .init("name"), .init("change"), .init("shape"), .init("norm_a", .double), .init("norm_b", .double),
            .init("distance", .double), .init("cosine", .double, digits: 6),
        ])
        for row in rows {
            let numbers = Self.numbers(row.pair).map { Table.Cell.double($0.1) }
            table.append(
                [.text(row.name), .text(row.change.rawValue), .text(row.shape.description)]
                    + (numbers.isEmpty ? Array(repeating: .null, count: 4) : numbers))
        }
        return table
    }

    var summary: String {
        let counts = Dictionary(grouping: rows, by: \.change).mapValues(\.count)
        let order: [Change] = [.equal, .changed, .retyped, .reshaped, .added, .removed]
        let parts = order.compactMap { change in counts[change].map { "\($0) \(change.rawValue)" } }
        let sum = total
        return
            "\(parts.joined(separator: ", ")); distance \(sum.squared_distance.squareRoot()), cosine \(Self.cosine(sum))"
    }
}

extension Tensor {
    /// The tensor in a type that the vector kernels take, with its code there.
    var kernelReady: (tensor: Tensor, code: Int32) {
        switch dtype {
        case .float32: (self, 0)
        case .float64: (self, 1)
        case .float16: (self, 2)
        case .bfloat16: (self, 3)
        default: (converted(to: .float64), 1)
        }
    }
}
