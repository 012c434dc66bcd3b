import CZooKernels
import Foundation
import Testing
import ZooTestSupport

private func logSumExp(_ x: [Double]) -> Double {
    let most = x.max() ?? 0
    return most + log(x.reduce(0) { $0 + exp($1 - most) })
}

@Suite struct LossTests {
    /// Rows of class values per sample, in Float64, from the lanes layout.
    private func column(_ x: Floats, _ sample: Int, _ classes: Int) -> [Double] {
        (0..<classes).map { Double(x[(sample / 16 * classes + $0) * 16 + sample % 16]) }
    }

    @Test func softmaxFamilyInLanes() {
        var generator = SeededGenerator(seed: 31)
        withEachVariant { variant in
            for classes in [1, 2, 10, 33] {
                let groups = 2, count = groups * classes * 16
                let x = Floats((0..<count).map { _ in Float.random(in: -30...30, using: &generator) })
                let g = Floats(random: count, &generator)
                let p = Floats(count), logs = Floats(count), back = Floats(count, repeating: 1)
                zoo_softmax_lanes(groups, classes, x.pointer, p.pointer)
                zoo_log_softmax_lanes(groups, classes, x.pointer, logs.pointer)
                zoo_softmax_lanes_gradient(groups, classes, p.pointer, g.pointer, back.pointer, Int32(ZOO_ADD))
                for sample in 0..<groups * 16 {
                    let row = column(x, sample, classes), total = logSumExp(row)
                    let exact = row.map { exp($0 - total) }, delta = column(g, sample, classes)
                    let inner = zip(exact, delta).reduce(0) { $0 + $1.0 * $1.1 }
                    let found = column(p, sample, classes), foundLogs = column(logs, sample, classes)
                    let foundBack = column(back, sample, classes)
                    for c in 0..<classes {
                        #expect((found[c] - exact[c]).magnitude <= 4e-6 * exact[c] + 1e-40, "\(variant)")
                        #expect((foundLogs[c] - row[c] + total).magnitude < 1e-5, "\(variant)")
                        #expect((foundBack[c] - 1 - exact[c] * (delta[c] - inner)).magnitude < 1e-6, "\(variant)")
                    }
                }
            }
        }
    }

    @Test func crossEntropyInLanesAndRows() {
        var generator = SeededGenerator(seed: 32)
        withEachVariant { variant in
            for (classes, smoothing) in [(2, 0), (10, 0), (10, 0.1), (40, 0.3)] as [(Int, Float)] {
                let groups = 2, samples = 32, count = samples * classes
                let x = Floats((0..<count).map { _ in Float.random(in: -20...20, using: &generator) })
                let labels = (0..<samples).map { _ in Int32.random(in: 0..<Int32(classes), using: &generator) }
                let weights = Floats((0..<samples).map { $0 < 20 ? 0.05 * Float($0) : 0 })
                var truth: [Double] = [], gradients = [Double](repeating: 0, count: count)
                var targets = [Float](repeating: 0, count: count), rowGradients = gradients
                let s = Double(smoothing)
                for sample in 0..<samples {
                    let row = column(x, sample, classes), total = logSumExp(row)
                    var loss = 0.0
                    for c in 0..<classes {
                        let target = (c == Int(labels[sample]) ? 1 - s : 0) + s / Double(classes)
                        let at = (sample / 16 * classes + c) * 16 + sample % 16
                        targets[at] = Float(target)
                        loss += target * (total - row[c])
                        gradients[at] = Double(weights[sample]) * (exp(row[c] - total) - target)
                        rowGradients[sample * classes + c] = gradients[at]
                    }
                    truth.append(loss)
                }
                let losses = Floats(samples), gradient = Floats(count), place = Floats(x.values)
                zoo_cross_entropy_lanes(
                    groups, classes, x.pointer, labels, smoothing, weights.pointer, losses.pointer, gradient.pointer)
                #expect(worst(losses, truth) < 1e-6 && worst(gradient, gradients) < 1e-6, "\(variant) \(classes)")
                zoo_cross_entropy_lanes(
                    groups, classes, place.pointer, labels, smoothing, weights.pointer, nil, place.pointer)
                #expect(place.values == gradient.values)
                zoo_cross_entropy_targets_lanes(
                    groups, classes, x.pointer, targets, weights.pointer, losses.pointer, gradient.pointer)
                #expect(worst(losses, truth) < 2e-6 && worst(gradient, gradients) < 1e-6, "\(variant) \(classes)")
                let rows = Floats(count), rowGradient = Floats(count)
                zoo_rows_from_lanes(x.pointer, samples, classes, rows.pointer)
                zoo_cross_entropy_rows(
                    samples, classes, rows.pointer, labels, smoothing, weights.pointer, losses.pointer,
                    rowGradient.pointer)
                #expect(worst(losses, truth) < 1e-6, "\(variant) \(classes)")
                #expect(worst(rowGradient, rowGradients) < 1e-6, "\(variant) \(classes)")
            }
            var x: [Float] = [1, 2], labels: [Int32] = [-100], loss: Float = 5, gradient: [Float] = [5, 5]
            zoo_cross_entropy_rows(1, 2, &x, &labels, 0, nil, &loss, &gradient)
            #expect(loss == 0 && gradient == [0, 0])
        }
    }

    @Test func smallLossesAreRoundedOnce() {
        withEachVariant { variant in
            let x = Floats(48), losses = Floats(16)
            for lane in 0..<16 { x[lane] = Float(lane) }
            zoo_cross_entropy_lanes(
                1, 3, x.pointer, [Int32](repeating: 0, count: 16), 0, nil, losses.pointer, nil)
            for lane in 0..<16 {
                let truth = log1p(2 * exp(-Double(lane)))
                #expect((Double(losses[lane]) - truth).magnitude < 1.5e-7 * (1 + truth), "\(variant)")
            }
        }
    }

    @Test func argmaxTakesTheFirstAndNotANumber() {
        withEachVariant { variant in
            let classes = 4, x = Floats(64)
            let cases: [([Float], Int32)] = [
                ([1, 2, 2, 0], 1), ([0, 0, 0, 0], 0), ([1, .nan, 5, .nan], 1), ([.nan, .infinity, 1, 2], 0),
                ([-.infinity, -.infinity, -3, -3], 2), ([-.infinity, -.infinity, -.infinity, -.infinity], 0),
                ([-0.0, 0, 0, 0], 0), ([1, 2, 3, .nan], 3),
            ]
            for lane in 0..<16 {
                for c in 0..<classes { x[c * 16 + lane] = cases[lane % 8].0[c] }
            }
            var found = [Int32](repeating: -1, count: 16), row: Int32 = -1
            zoo_argmax_lanes(1, classes, x.pointer, &found)
            for lane in 0..<16 { #expect(found[lane] == cases[lane % 8].1, "\(variant) \(lane)") }
            for (values, index) in cases {
                zoo_argmax_rows(1, classes, values, &row)
                #expect(row == index, "\(variant) \(values)")
            }
            let weights = Floats((0..<16).map { $0 < 8 ? 0.5 : 0 })
            #expect(zoo_correct_lanes(1, classes, x.pointer, found, weights.pointer) == 8)
            found[0] = 3
            #expect(zoo_correct_lanes(1, classes, x.pointer, found, weights.pointer) == 7)
            #expect(zoo_correct_lanes(1, classes, x.pointer, found, nil) == 15)
        }
    }
}
