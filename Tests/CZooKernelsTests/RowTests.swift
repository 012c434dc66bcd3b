import CZooKernels
import Foundation
import Testing
import ZooTestSupport

/// A normalisation of rows with its gradients in Float64.
private struct NaiveNorm {
    var y: [Double], mean: [Double], rstd: [Double], dx: [Double], dgamma: [Double], dbeta: [Double]

    init(rows: Int, width: Int, x: Floats, gamma: Floats, beta: Floats?, dy: Floats, epsilon: Double, center: Bool) {
        y = Array(repeating: 0, count: rows * width)
        dx = y
        (mean, rstd) = ([], [])
        dgamma = Array(repeating: 0, count: width)
        dbeta = dgamma
        for r in 0..<rows {
            let row = (0..<width).map { Double(x[r * width + $0]) }, n = Double(width)
            let m = center ? row.reduce(0, +) / n : 0
            let s = 1 / (row.reduce(0) { $0 + ($1 - m) * ($1 - m) } / n + epsilon).squareRoot()
            mean.append(m)
            rstd.append(s)
            let h = row.map { ($0 - m) * s }, g = (0..<width).map { Double(dy[r * width + $0]) * Double(gamma[$0]) }
            let meanG = center ? g.reduce(0, +) / n : 0, meanGH = zip(g, h).reduce(0) { $0 + $1.0 * $1.1 } / n
            for i in 0..<width {
                y[r * width + i] = h[i] * Double(gamma[i]) + (beta.map { Double($0[i]) } ?? 0)
                dx[r * width + i] = s * (g[i] - meanG - h[i] * meanGH)
                dgamma[i] += Double(dy[r * width + i]) * h[i]
                dbeta[i] += Double(dy[r * width + i])
            }
        }
    }
}

@Suite struct RowTests {
    @Test func layerAndRootMeanSquareNorm() {
        var generator = SeededGenerator(seed: 41)
        withEachVariant { variant in
            for (rows, width) in [(1, 1), (3, 7), (70, 48), (130, 100), (2, 385)] {
                let x = Floats(random: rows * width, &generator), dy = Floats(random: rows * width, &generator)
                let gamma = Floats(random: width, &generator), beta = Floats(random: width, &generator)
                for i in 0..<x.count { x[i] = x[i] * 3 + 2 }
                let y = Floats(x.count), mean = Floats(rows), rstd = Floats(rows), dx = Floats(dy.values)
                let dgamma = Floats(width, repeating: 1), dbeta = Floats(width, repeating: 1)
                let layer = NaiveNorm(
                    rows: rows, width: width, x: x, gamma: gamma, beta: beta, dy: dy, epsilon: 1e-3, center: true)
                zoo_layer_norm(
                    rows, width, x.pointer, gamma.pointer, beta.pointer, 1e-3, y.pointer, mean.pointer, rstd.pointer)
                zoo_layer_norm_gradient(
                    rows, width, x.pointer, gamma.pointer, mean.pointer, rstd.pointer, dx.pointer, dx.pointer,
                    dgamma.pointer, dbeta.pointer, Int32(ZOO_ADD))
                #expect(worst(y, layer.y) < 1e-5 && worst(mean, layer.mean) < 1e-6, "\(variant) \(width)")
                #expect(worst(rstd, layer.rstd) < 1e-6 && worst(dx, layer.dx) < 2e-5, "\(variant) \(width)")
                #expect(worst(dgamma, layer.dgamma.map { $0 + 1 }) < 1e-5, "\(variant) \(width)")
                #expect(worst(dbeta, layer.dbeta.map { $0 + 1 }) < 1e-5, "\(variant) \(width)")
                let square = NaiveNorm(
                    rows: rows, width: width, x: x, gamma: gamma, beta: nil, dy: dy, epsilon: 1e-3, center: false)
                zoo_rms_norm(rows, width, x.pointer, gamma.pointer, 1e-3, y.pointer, rstd.pointer)
                zoo_rms_norm_gradient(
                    rows, width, x.pointer, gamma.pointer, rstd.pointer, dy.pointer, dx.pointer, dgamma.pointer, 0)
                #expect(worst(y, square.y) < 1e-5 && worst(dx, square.dx) < 1e-5, "\(variant) \(width)")
                #expect(worst(dgamma, square.dgamma) < 1e-5, "\(variant) \(width)")
            }
        }
    }

    @Test func attentionSoftmax() {
        var generator = SeededGenerator(seed: 42)
        withEachVariant { variant in
            for (queries, keys, causal) in [
                (1, 1, Int64.max), (5, 16, .max), (7, 37, .max), (9, 9, 0), (4, 20, 16), (3, 5, -1), (40, 40, 0),
            ] as [(Int, Int, Int64)] {
                let stride = keys + 3, x = Floats(random: queries * stride, &generator)
                let mask = Floats(random: queries * keys, &generator)
                for i in 0..<mask.count where mask[i] > 0.5 { mask[i] = -.infinity }
                for row in [0, keys] {
                    let y = Floats(queries * keys, repeating: .nan)
                    zoo_softmax_rows(
                        queries, keys, x.pointer, stride, 2.5, mask.pointer, row, causal, y.pointer, keys)
                    var truth = [Double](repeating: 0, count: y.count)
                    for q in 0..<queries {
                        let scores = (0..<keys).map { k -> Double in
                            let hidden = causal != .max && Int64(k) > Int64(q) + causal
                            return hidden ? -.infinity : Double(x[q * stride + k]) * 2.5 + Double(mask[q * row + k])
                        }
                        let most = scores.max() ?? 0, total = scores.reduce(0) { $0 + exp($1 - most) }
                        for k in 0..<keys where most > -.infinity {
                            truth[q * keys + k] = exp(scores[k] - most) / total
                        }
                    }
                    #expect(worst(y, truth) < 1e-6, "\(variant) \(queries) \(keys) \(causal)")
                    let exact = (0..<y.count).allSatisfy { truth[$0] != 0 || y[$0] == 0 }
                    #expect(exact, "\(variant) hidden keys are zero")
                }
            }
            var x: [Float] = [-.infinity, .nan, -.infinity], y: [Float] = [0, 0, 0]
            zoo_softmax_rows(1, 3, &x, 3, 1, nil, 0, .max, &y, 3)
            #expect(y.contains { $0.isNaN })
        }
    }

    @Test func softmaxGradientAndLogarithm() {
        var generator = SeededGenerator(seed: 43)
        withEachVariant { variant in
            for (rows, width) in [(1, 1), (3, 16), (5, 37), (2, 100)] {
                let x = Floats(random: rows * width, &generator), g = Floats(random: rows * width, &generator)
                let logs = Floats(x.count), p = Floats(x.count), out = Floats(g.values)
                zoo_log_softmax_rows(rows, width, x.pointer, logs.pointer)
                zoo_softmax_rows(rows, width, x.pointer, width, 1, nil, 0, .max, p.pointer, width)
                zoo_softmax_rows_gradient(rows, width, p.pointer, out.pointer, 0.5, out.pointer, 0)
                var exactLogs: [Double] = [], back: [Double] = []
                for r in 0..<rows {
                    let row = (0..<width).map { Double(x[r * width + $0]) }
                    let total = log(row.reduce(0) { $0 + exp($1) }), probabilities = row.map { exp($0 - total) }
                    let inner = (0..<width).reduce(0) { $0 + probabilities[$1] * Double(g[r * width + $1]) }
                    exactLogs += row.map { $0 - total }
                    back += (0..<width).map { 0.5 * probabilities[$0] * (Double(g[r * width + $0]) - inner) }
                }
                #expect(worst(logs, exactLogs) < 1e-6 && worst(out, back) < 1e-6, "\(variant) \(width)")
            }
        }
    }

    @Test func columnsRowsAndBiases() {
        var generator = SeededGenerator(seed: 44)
        withEachVariant { variant in
            for (rows, width) in [(1, 1), (3, 20), (150, 33), (5, 64)] {
                let count = rows * width, x = Floats(random: count, &generator), y = Floats(random: count, &generator)
                let scale = Floats(random: width, &generator), bias = Floats(random: width, &generator)
                let columns = Floats(width, repeating: 2), sums = Floats(rows, repeating: 2)
                zoo_column_sums(rows, width, x.pointer, y.pointer, columns.pointer, Int32(ZOO_ADD))
                zoo_row_sums(rows, width, x.pointer, y.pointer, sums.pointer, Int32(ZOO_ADD))
                var columnTruth = [Double](repeating: 2, count: width), rowTruth = [Double](repeating: 2, count: rows)
                for i in 0..<count {
                    columnTruth[i % width] += Double(x[i]) * Double(y[i])
                    rowTruth[i / width] += Double(x[i]) * Double(y[i])
                }
                #expect(worst(columns, columnTruth) < 1e-5 && worst(sums, rowTruth) < 1e-5, "\(variant)")
                zoo_column_sums(rows, width, x.pointer, nil, columns.pointer, 0)
                let plain = (0..<width).map { c in (0..<rows).reduce(0) { $0 + Double(x[$1 * width + c]) } }
                #expect(worst(columns, plain) < 1e-5, "\(variant)")
                let affine = Floats(count), activated = Floats(count), reference = Floats(count)
                zoo_column_affine(rows, width, x.pointer, scale.pointer, bias.pointer, affine.pointer, 0)
                let maps = (0..<count).map { Double(x[$0]) * Double(scale[$0 % width]) + Double(bias[$0 % width]) }
                #expect(worst(affine, maps) < 1e-6, "\(variant)")
                zoo_bias_apply_rows(
                    ZOO_FUNCTION_GELU, 1, rows, width, x.pointer, bias.pointer, y.pointer, activated.pointer, 0)
                for i in 0..<count { affine[i] = x[i] + bias[i % width] }
                zoo_apply(ZOO_FUNCTION_GELU, 1, count, affine.pointer, y.pointer, reference.pointer, 0)
                #expect(activated.values == reference.values, "\(variant)")
            }
        }
    }

    @Test func rotaryTurnsPairsAndBack() {
        var generator = SeededGenerator(seed: 45)
        withEachVariant { variant in
            let tokens = 5, heads = 2, size = 12, positions: [Int32] = [3, 0, 2, 2, 7]
            for (rotary, interleaved) in [(12, false), (8, false), (12, true), (6, true)] {
                let half = rotary / 2, x = Floats(random: tokens * heads * size, &generator)
                let angles = (0..<8 * half).map { Float($0 / half) / powf(100, Float($0 % half) / Float(half)) }
                let cosines = angles.map { cos($0) }, sines = angles.map { sin($0) }
                let y = Floats(x.count), back = Floats(x.count)
                zoo_rotary(
                    tokens, heads, size, rotary, positions, cosines, sines, interleaved, false, x.pointer, y.pointer)
                var truth = x.values.map(Double.init)
                for vector in 0..<tokens * heads {
                    for i in 0..<half {
                        let a = vector * size + (interleaved ? 2 * i : i), b = interleaved ? a + 1 : a + half
                        let angle = Int(positions[vector / heads]) * half + i
                        let (c, s) = (Double(cosines[angle]), Double(sines[angle]))
                        truth[a] = Double(x[a]) * c - Double(x[b]) * s
                        truth[b] = Double(x[b]) * c + Double(x[a]) * s
                    }
                }
                #expect(worst(y, truth) < 1e-6, "\(variant) \(rotary)")
                zoo_rotary(
                    tokens, heads, size, rotary, positions, cosines, sines, interleaved, true, y.pointer, y.pointer)
                #expect(worst(y, x.values.map(Double.init)) < 1e-6, "\(variant) \(rotary)")
                zoo_rotary(
                    tokens, heads, size, rotary, nil, cosines, sines, interleaved, false, x.pointer, back.pointer)
                #expect((0..<size).allSatisfy { (back[$0] - x[$0]).magnitude < 1e-7 }, "position 0 stays")
            }
        }
    }

    @Test func tablesAreGatheredAndScattered() {
        let table: [Float] = [1, 2, 3, 4, 5, 6], indices: [Int32] = [2, 0, 2]
        var y = [Float](repeating: 1, count: 6), sums = [Float](repeating: 0, count: 6)
        zoo_gather_rows(3, 2, table, indices, &y, Int32(ZOO_ADD))
        #expect(y == [6, 7, 2, 3, 6, 7])
        zoo_gather_rows(3, 2, table, indices, &y, 0)
        #expect(y == [5, 6, 1, 2, 5, 6])
        zoo_scatter_add_rows(3, 2, y, indices, &sums)
        #expect(sums == [1, 2, 0, 0, 10, 12])
    }
}
