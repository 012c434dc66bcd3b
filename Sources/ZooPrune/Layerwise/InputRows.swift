import Synchronization
import ZooBase
import ZooNN
import ZooTensor

/// What a layer reads, as rows of numbers: real tokens, samples, or the windows of a convolution.
package struct InputRows {
    package private(set) var values: [Float]
    let columns: Int
    package var count: Int { columns == 0 ? 0 : values.count / columns }

    struct Sums: Sendable {
        var rows = 0
        var squares: [Double] = []
        var products: [Float] = []
    }

    /// - Parameters:
    ///   - shape: `[samples, tokens, size]`, `[samples, size]` or `[samples, channels, height, width]`.
    ///   - mask: one for real tokens; empty when all rows count.
    ///   - group: of a grouped convolution, whose outputs read the channels of their group alone.
    package init(
        _ input: UnsafeBufferPointer<Float>, shape: [Int], mask: [Float], node: GraphNode, columns: Int, group: Int = 0
    ) {
        self.columns = columns
        values = []
        if node.op == .conv2d, shape.count == 4 {
            values = Self.windows(input, shape, node, columns, group)
        } else if shape.count == 3, mask.count == shape[0] * shape[1] {
            values.reserveCapacity(input.count)
            for (row, weight) in mask.enumerated() where weight != 0 {
                values.append(contentsOf: input[row * columns..<(row + 1) * columns])
            }
        } else {
            values = Array(input)
        }
    }

    /// The windows that a convolution's kernel sees, one row per output pixel: `[channels · height · width]` of the
    /// kernel, zero outside the picture.
    private static func windows(
        _ input: UnsafeBufferPointer<Float>, _ shape: [Int], _ node: GraphNode, _ columns: Int, _ group: Int
    ) -> [Float] {
        let channels = shape[1] / groups(of: node), height = shape[2], width = shape[3]
        let stride = node.integer("stride", default: 1), padding = node.integer("padding", default: 0)
        let dilation = node.integer("dilation", default: 1)
        // Kernels are square here: the graph's shapes say so.
        var side = 1
        while side * side * channels < columns { side += 1 }
        let rows = (height + 2 * padding - dilation * (side - 1) - 1) / stride + 1
        let lines = (width + 2 * padding - dilation * (side - 1) - 1) / stride + 1
        var result = [Float](repeating: 0, count: shape[0] * rows * lines * columns)
        var place = 0
        for sample in 0..<shape[0] {
            for row in 0..<rows {
                for line in 0..<lines {
                    for channel in 0..<channels {
                        let plane = (sample * shape[1] + group * channels + channel) * height
                        for y in 0..<side {
                            let inputRow = row * stride + y * dilation - padding
                            for x in 0..<side {
                                let inputLine = line * stride + x * dilation - padding
                                if inputRow >= 0, inputRow < height, inputLine >= 0, inputLine < width {
                                    result[place] = input[(plane + inputRow) * width + inputLine]
                                }
                                place += 1
                            }
                        }
                    }
                }
            }
        }
        return result
    }

    /// Groups of channels of a convolution; one for other layers.
    static func groups(of node: GraphNode) -> Int {
        node.op == .conv2d ? max(1, node.integer("groups", default: 1)) : 1
    }

    /// Sums of squares per column, in Float64, and of products of columns.
    func sums(needsGram: Bool) throws -> Sums {
        var sums = Sums(rows: count, squares: [Double](repeating: 0, count: columns))
        for row in 0..<count {
            for column in 0..<columns {
                let value = Double(values[row * columns + column])
                sums.squares[column] += value * value
            }
        }
        if needsGram {
            sums.products = try LinearAlgebra.product(
                values, transposeA: true, values, rows: columns, columns: columns, depth: count)
        }
        return sums
    }
}

/// Results of threads by their place.
final class Slots: Sendable {
    private let slots: Mutex<[[Float]]>

    init(count: Int) { slots = Mutex([[Float]](repeating: [], count: count)) }

    func set(_ place: Int, _ values: [Float]) { slots.withLock { $0[place] = values } }

    var values: [[Float]] { slots.withLock { $0 } }
}

/// Sums of threads by their place, one per group of channels.
final class PartSums: Sendable {
    private let slots: Mutex<[[InputRows.Sums]]>

    init(count: Int) { slots = Mutex([[InputRows.Sums]](repeating: [], count: count)) }

    func set(_ place: Int, _ sums: [InputRows.Sums]) { slots.withLock { $0[place] = sums } }

    var values: [[InputRows.Sums]] { slots.withLock { $0 } }
}
