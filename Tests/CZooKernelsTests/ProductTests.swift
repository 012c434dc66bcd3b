import CZooKernels
import Testing
import ZooTestSupport

@Suite struct ProductTests {
    /// Stored matrices wider than what is read, both ways round, packed and not, against Float64.
    @Test func productsAgreeWithFloat64() {
        var generator = SeededGenerator(seed: 51)
        let sizes = [(1, 1, 1), (12, 32, 16), (13, 33, 17), (25, 70, 31), (97, 40, 401), (5, 390, 3), (200, 64, 800)]
        withEachVariant { variant in
            for (rows, columns, depth) in sizes {
                for turn in 0..<4 {
                    let (turnA, turnB) = (turn & 1 == 1, turn & 2 == 2)
                    var p = zoo_product(
                        rows: rows, columns: columns, depth: depth, transpose_a: turnA, transpose_b: turnB,
                        a_stride: (turnA ? rows : depth) + 3, b_stride: (turnB ? depth : columns) + 5,
                        c_stride: columns + 2, scale: 0.5)
                    let a = Floats(random: (turnA ? depth : rows) * p.a_stride, &generator)
                    let b = Floats(random: (turnB ? columns : depth) * p.b_stride, &generator)
                    let bias = Floats(random: columns, &generator)
                    let initial = Floats(random: rows * p.c_stride, &generator)
                    var truth = initial.values.map(Double.init)
                    for i in 0..<rows {
                        for j in 0..<columns {
                            var sum = 0.0
                            for k in 0..<depth {
                                let left = turnA ? a[k * p.a_stride + i] : a[i * p.a_stride + k]
                                let right = turnB ? b[j * p.b_stride + k] : b[k * p.b_stride + j]
                                sum += Double(left) * Double(right)
                            }
                            truth[i * p.c_stride + j] += 0.5 * sum + Double(bias[j])
                        }
                    }
                    for isPacked in [false, true] {
                        let work = Floats(zoo_product_workspace_size(&p, isPacked) / 4)
                        let packed = Floats(zoo_product_packed_count(&p))
                        if isPacked { zoo_product_pack(&p, b.pointer, packed.pointer) }
                        let c = Floats(initial.values)
                        zoo_product_run(
                            &p, a.pointer, isPacked ? packed.pointer : b.pointer, isPacked, bias.pointer, c.pointer,
                            c.pointer, work.pointer)
                        #expect(worst(c, truth) < 1e-5, "\(variant) \(rows) \(columns) \(depth) \(turn) \(isPacked)")
                    }
                }
            }
        }
    }

    /// Without bias and initial values C is overwritten, NaN or not; nothing to multiply leaves zeros.
    @Test func whatWasThereIsOverwritten() {
        withEachVariant { variant in
            for depth in [0, 2] {
                var p = zoo_product(
                    rows: 3, columns: 5, depth: depth, transpose_a: false, transpose_b: false, a_stride: 2, b_stride: 5,
                    c_stride: 5, scale: 1)
                let a = Floats(6, repeating: 1), b = Floats(10, repeating: 2)
                let c = Floats(15, repeating: .nan), work = Floats(zoo_product_workspace_size(&p, false) / 4)
                zoo_product_run(
                    &p, a.pointer, b.pointer, false, nil, nil, c.pointer, work.pointer)
                withExtendedLifetime((a, b, work)) {}
                #expect(c.values.allSatisfy { $0 == Float(2 * depth) }, "\(variant) \(depth)")
            }
        }
    }

    @Test func aNumberPerRow() {
        var generator = SeededGenerator(seed: 52)
        let operations: [(zoo_row_operation, (Double, Double) -> Double)] = [
            (ZOO_ROW_ADD, { $0 + $1 }), (ZOO_ROW_SUBTRACT, { $0 - $1 }), (ZOO_ROW_SUBTRACT_FROM, { $1 - $0 }),
            (ZOO_ROW_MULTIPLY, { $0 * $1 }),
        ]
        withEachVariant { variant in
            for (rows, width) in [(1, 1), (3, 16), (5, 37)] {
                let x = Floats(random: rows * width, &generator), v = Floats(random: rows, &generator)
                for (operation, truth) in operations {
                    let y = Floats(x.values)
                    zoo_row_apply(operation, rows, width, y.pointer, v.pointer, y.pointer)
                    let exact = (0..<x.count).map { truth(Double(x[$0]), Double(v[$0 / width])) }
                    #expect(worst(y, exact) < 1e-6, "\(variant) \(width)")
                }
            }
        }
    }
}
