import Testing
import ZooBase
import ZooNN
import ZooTensor
import ZooTestSupport

/// Seeded choices: golden values that must hold for ever, and properties.
@Suite struct SelectionTests {
    @Test func theGeneratorIsSplitMix64() {
        var generator = SeededGenerator(seed: 0)
        #expect(
            (0..<3).map { _ in generator.next() } == [
                0xE220_A839_7B1D_CDAF, 0x6E78_9E6A_A1B9_65F4, 0x06C4_5D18_8009_454F,
            ])
        var other = SeededGenerator(seed: 1_234_567)
        #expect((0..<2).map { _ in other.next() } == [6_457_827_717_110_365_317, 3_203_168_211_198_807_973])
    }

    @Test func shufflesAndSubsetsAreTheSameForEver() {
        #expect(SampleSelection.shuffled(count: 10, seed: 0) == [4, 9, 2, 5, 1, 7, 6, 0, 3, 8])
        #expect(SampleSelection.shuffled(count: 10, seed: 42) == [8, 3, 6, 5, 4, 0, 9, 2, 1, 7])
        let labels: [Int32] = [0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 2]
        #expect(SampleSelection.subset(size: 6, count: 12, labels: labels, seed: 7) == [1, 4, 5, 7, 8, 10])
        #expect(SampleSelection.subset(size: 4, count: 12, labels: [], seed: 7) == [7, 8, 10, 11])
    }

    @Test func subsetsKeepTheSharesOfClasses() {
        var generator = SeededGenerator(seed: 3)
        for round in 0..<200 {
            let count = 1 + generator.below(60)
            let classes = 1 + generator.below(5)
            let labels = (0..<count).map { _ in Int32(generator.below(classes)) }
            let size = generator.below(count + 1)
            let chosen = SampleSelection.subset(size: size, count: count, labels: labels, seed: UInt64(round))
            #expect(chosen.count == size && Set(chosen).count == size && chosen == chosen.sorted())
            for label in 0..<Int32(classes) {
                let exact = Double(size * labels.count { $0 == label }) / Double(count)
                let taken = Double(chosen.count { labels[$0] == label })
                #expect(taken >= exact.rounded(.down) && taken <= exact.rounded(.down) + 1)
            }
        }
    }

    @Test func boundsAreHitEvenly() {
        var generator = SeededGenerator(seed: 9)
        var counts = [Int](repeating: 0, count: 7)
        for _ in 0..<70_000 { counts[generator.below(7)] += 1 }
        // Six deviations of a binomial count.
        #expect(counts.allSatisfy { abs($0 - 10_000) < 560 })
        #expect(generator.permutation(0).isEmpty)
    }

    private func numbers(_ count: Int) throws -> Samples {
        try Samples(
            inputs: (0..<count * 2).map(Float.init), inputShape: [2], labels: (0..<count).map { Int32($0 % 3) },
            count: count)
    }

    @Test func splittingAndShufflingLoseNothing() throws {
        let samples = try numbers(31)
        let (first, second) = try samples.split(fraction: 0.3, seed: 5)
        #expect(first.count == 9 && second.count == 22)
        #expect(Set(first.inputs + second.inputs) == Set(samples.inputs))
        let shuffled = samples.shuffled(seed: 8)
        #expect(shuffled.inputs != samples.inputs && Set(shuffled.inputs) == Set(samples.inputs))
        for index in 0..<31 { #expect(Int32(shuffled.inputs[2 * index] / 2) % 3 == shuffled.labels[index]) }
        #expect(throws: ZooError.self) { try samples.split(fraction: 1, seed: 0) }
        #expect(throws: ZooError.self) { try samples.subset(count: 32, seed: 0) }
        #expect(throws: ZooError.self) { try samples.split(fraction: 0, seed: 0) }
    }

    @Test func samplesRefuseWhatDoesNotFit() {
        #expect(throws: ZooError.self) { try Samples(inputs: [], inputShape: [2], labels: [], count: 0) }
        #expect(throws: ZooError.self) { try Samples(inputs: [1], inputShape: [2], labels: [], count: 1) }
        #expect(throws: ZooError.self) { try Samples(inputs: [1, 2], inputShape: [2], labels: [0, 1], count: 1) }
        #expect(throws: ZooError.self) { try Samples(inputs: [1, .nan], inputShape: [2], labels: [], count: 1) }
        #expect(throws: ZooError.self) { try Samples(inputs: [1, 2], inputShape: [2], labels: [-1], count: 1) }
    }
}
