import ZooBase
import ZooNN
import ZooTensor

/// Steps of test-time adaptation with pseudo-labels (UFM): a quarter of each batch are trusted samples with their
/// classes, the rest are held to the sharpened predictions of a weakly changed view where these are certain enough.
package struct UnlabelledSteps {
    /// What to do.
    package struct Options {
        package var batch = 128
        package var exponent = 2.0
        package var weak = SampleViews()
        package var strong = SampleViews()
        package var trustedLimit = 100
        package var seed: UInt64 = 0
        /// Steps in all, over which the threshold rises.
        package var total = 1

        package init() {}
    }

    private let samples: Samples
    private let options: Options
    private var trusted: [(place: Int, label: Int32)] = []
    private var rest: [Int] = []
    private var epoch = -1
    /// Pseudo-labels that passed the threshold in the last step, out of how many.
    package private(set) var passed = (count: 0, of: 0)

    package init(_ samples: Samples, _ options: Options) {
        self.samples = samples
        self.options = options
    }

    /// Samples of a batch that have pseudo-labels.
    private var untrustedShare: Int { max(1, options.batch - options.batch / 4) }

    /// Steps of an epoch, so many that every sample could come once among the untrusted.
    package static func stepsPerEpoch(_ samples: Samples, batch: Int) -> Int {
        let share = max(1, batch - batch / 4)
        return (samples.count + share - 1) / share
    }

    /// One step at coefficients.
    package mutating func step<Scalar: CoefficientScalar>(
        _ number: Int, _ values: [Double], _ problem: CompositionProblem<Scalar>
    ) throws -> CoefficientLearner.Step {
        try problem.space.compose(values)
        let perEpoch = Self.stepsPerEpoch(samples, batch: options.batch)
        if number / perEpoch != epoch { try begin(number / perEpoch, problem) }
        let slot = number % perEpoch
        let batch = try batch(number, slot, problem)
        var gradient = [Double](repeating: 0, count: values.count)
        let losses = try problem.run(batch, task: 0, loss: .targets, into: &gradient)
        var parts = [0.0, 0.0]
        let certain = min(options.batch / 4, losses.count)
        for (place, loss) in losses.enumerated() {
            parts[place < certain ? 0 : 1] += loss * Double(batch.weights[place])
        }
        return CoefficientLearner.Step(loss: parts[0] + parts[1], parts: parts, gradient: gradient)
    }

    /// Chooses the trusted samples anew with the model as it is.
    private mutating func begin<Scalar: CoefficientScalar>(
        _ number: Int, _ problem: CompositionProblem<Scalar>
    ) throws {
        epoch = number
        let inputs = (samples.inputs as? [Scalar]) ?? samples.inputs.map { Scalar($0) }
        trusted = PseudoLabels.trusted(
            try problem.probabilities(inputs: inputs, count: samples.count), limit: options.trustedLimit)
        let chosen = Set(trusted.map(\.place))
        rest =
            samples.count == chosen.count
            ? Array(0..<samples.count) : (0..<samples.count).filter { !chosen.contains($0) }
        var generator = SeededGenerator(seed: options.seed &+ UInt64(number) &* 0xD134_2543_DE82_EF95)
        generator.shuffle(&rest)
        generator.shuffle(&trusted)
    }

    private mutating func batch<Scalar: CoefficientScalar>(
        _ number: Int, _ slot: Int, _ problem: CompositionProblem<Scalar>
    ) throws -> ComposeBatch<Scalar> {
        let classes = problem.classes()
        let certain = (0..<options.batch / 4).map { trusted[(slot * (options.batch / 4) + $0) % trusted.count] }
        let share = min(untrustedShare, rest.count)
        let uncertain = (0..<share).map { rest[(slot * share + $0) % rest.count] }
        var batch = ComposeBatch<Scalar>()
        for (index, sample) in certain.enumerated() {
            batch.inputs += view(sample.place, options.weak, number, index).map { Scalar($0) }
            batch.targets += (0..<classes).map { $0 == Int(sample.label) ? 1 : 0 }
            batch.weights.append(1 / Scalar(certain.count))
            batch.labels.append(0)
        }
        var weak: [Scalar] = []
        for (index, place) in uncertain.enumerated() {
            weak += view(place, options.weak, number, certain.count + index).map { Scalar($0) }
        }
        let predictions = try problem.probabilities(inputs: weak, count: uncertain.count)
        let limit = PseudoLabels.threshold(step: number, of: options.total)
        let labels = predictions.map { PseudoLabels.sharpened($0, exponent: options.exponent) }
        let selected = zip(predictions, labels).map { PseudoLabels.isCertain($0, label: $1, threshold: limit) }
        let count = selected.filter { $0 }.count
        passed = (count, uncertain.count)
        for (index, place) in uncertain.enumerated() {
            batch.inputs += view(place, options.strong, number, 1 << 20 | index).map { Scalar($0) }
            batch.targets += labels[index].map { Scalar($0) }
            batch.weights.append(selected[index] ? 1 / Scalar(count) : 0)
            batch.labels.append(0)
        }
        return batch
    }

    private func view(_ place: Int, _ views: SampleViews, _ step: Int, _ slot: Int) -> [Float] {
        let size = samples.sampleSize
        return views.apply(
            samples.inputs[place * size..<(place + 1) * size], shape: samples.inputShape, seed: options.seed,
            counter: UInt64(step) << 24 | UInt64(slot))
    }
}
