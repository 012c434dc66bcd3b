import Foundation
import Testing
import ZooMerge

/// Adapters on features against what they are by hand.
@Suite struct FeatureAdapterTests {
    private let cache = FeatureRows(features: [[2, 0], [0, 5]], logits: [[0, 0], [0, 0]], labels: [0, 1])

    @Test func cacheAddsItsLabels() {
        let adapter = TipAdapter(cache, alpha: 0.5, beta: 2)
        let rows = FeatureRows(features: [[3, 4]], logits: [[1, -1]], labels: [1])
        // The direction is (0.6, 0.8): cosines 0.6 and 0.8 with the two samples.
        let found = adapter.logits(rows)[0]
        #expect(abs(found[0] - (1 + 0.5 * exp(-2 * 0.4))) < 1e-12)
        #expect(abs(found[1] - (-1 + 0.5 * exp(-2 * 0.2))) < 1e-12)
        #expect(TipAdapter(cache, alpha: 0, beta: 2).logits(rows) == rows.logits)
    }

    @Test func cacheIsChosenByValidation() {
        // The network is wrong where the cache is right.
        let wrong = FeatureRows(features: [[1, 0], [0, 1]], logits: [[0, 0.1], [0.1, 0]], labels: [0, 1])
        let better = TipAdapter(cache, validation: wrong)
        #expect(better.alpha == 0.25 && better.beta == 1 && better.accuracy(wrong) == 1)
        // Nothing is better than all correct.
        let right = FeatureRows(features: [[0, 1]], logits: [[3, 0]], labels: [0])
        #expect(TipAdapter(cache, validation: right).alpha == 0)
    }

    @Test func certaintyIsAskedOfPredictionAndLabel() {
        let sure = [0.95, 0.05], half = [0.8, 0.2]
        let sharp = PseudoLabels.sharpened(half, exponent: 2), flat = PseudoLabels.sharpened(sure, exponent: 0.5)
        // 0.8² / (0.8² + 0.2²) = 0.941 passes where its prediction does not; √0.95 / (√0.95 + √0.05) = 0.813.
        #expect(sharp[0] > 0.94 && !PseudoLabels.isCertain(half, label: sharp, threshold: 0.9))
        #expect(flat[0] < 0.82 && !PseudoLabels.isCertain(sure, label: flat, threshold: 0.9))
        #expect(PseudoLabels.isCertain(sure, label: PseudoLabels.sharpened(sure, exponent: 2), threshold: 0.9))
    }

    @Test func blendDescends() {
        var features: [[Double]] = [], logits: [[Double]] = [], labels: [Int] = []
        for place in 0..<30 {
            let angle = Double(place) * 0.7, label = place % 3
            features.append([cos(angle) + (label == 0 ? 2 : 0), sin(angle) + (label == 1 ? 2 : 0), label == 2 ? 1 : 0])
            logits.append((0..<3).map { sin(Double(place * 3 + $0)) })
            labels.append(label)
        }
        let rows = FeatureRows(features: features, logits: logits, labels: labels)
        let probe = BlendedProbe(rows, validation: rows)
        #expect(zip(probe.losses, probe.losses.dropFirst()).allSatisfy { $1 <= $0 + 1e-12 })
        #expect(probe.losses.count == 300 && probe.losses[299] < 0.6 * probe.losses[0])
        #expect(probe.accuracy(rows) > 0.9)
        // A network that is right already stays as it is.
        let sure = FeatureRows(
            features: features, logits: labels.map { label in (0..<3).map { $0 == label ? 5 : 0 } }, labels: labels)
        let kept = BlendedProbe(sure, validation: sure)
        #expect(kept.blend == [1, 1, 1] && kept.weights.allSatisfy { $0.allSatisfy { $0 == 0 } })
    }
}
