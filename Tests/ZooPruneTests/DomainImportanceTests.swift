import Testing
import ZooPrune

@Suite struct DomainImportanceTests {
    /// F = weights, Fisher values and gradients of four weights; the numbers follow from the formula by hand.
    @Test func publishedFormByHand() {
        let weights = [0.04, -0.25, 0.01, 0.36]
        let domain = [0.5, 0.1, 0.2, 0], general = [0.1, 0.3, 0.2, 0.1]
        let form = DomainImportance(beta: 1, dividesNegative: false)
        let scores = weights.indices.map {
            form.score(
                weight: weights[$0], domain: domain[$0], general: general[$0], agreement: 0.4629100498862757)
        }
        let expected = [0.12673951, 0.21851640, 0.05462910, 0.28844165]
        for (score, number) in zip(scores, expected) { #expect(abs(score - number) < 5e-9) }
        #expect(scores.indices.sorted { scores[$0] < scores[$1] } == [2, 0, 1, 3])
    }
}
