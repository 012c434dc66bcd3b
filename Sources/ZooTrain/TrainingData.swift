import ZooBase
import ZooNN
import ZooTensor

/// The samples of the splits.
package struct TrainingData: Sendable {
    package var train: Samples
    package var validation: Samples?
    package var test: Samples?

    package init(train: Samples, validation: Samples? = nil, test: Samples? = nil) {
        self.train = train
        self.validation = validation
        self.test = test
    }

    /// The splits beside the training data, by the names that results have for them.
    var evaluated: [(name: String, samples: Samples)] {
        [("val", validation), ("test", test)].compactMap { name, samples in samples.map { (name, $0) } }
    }

    /// Classes: the largest label of the training data plus one.
    package var classCount: Int { Int(train.labels.max() ?? 0) + 1 }

    /// The data that a trial sees: its classes, its transforms, its label noise (on training labels alone).
    ///
    /// Noise of inputs is drawn with the seed of the command, not the trial's: a task is the same for all trials.
    package func prepared(_ settings: TrialSettings, base: UInt64) throws -> TrainingData {
        let classes = settings.isRelabelled ? settings.classes?.count ?? classCount : classCount
        func changed(_ samples: Samples, _ split: Int) throws -> Samples {
            guard !settings.transforms.isEmpty || settings.classes != nil || (split == 0 && settings.labelNoise > 0)
            else { return samples }
            let chosen = samples.labels.indices.filter { place in
                settings.classes?.contains(Int(samples.labels[place])) ?? true
            }
            let size = samples.sampleSize
            var inputs = chosen.flatMap { samples.inputs[$0 * size..<($0 + 1) * size] }
            var labels = chosen.map { Int64(samples.labels[$0]) }
            if settings.isRelabelled, let classes = settings.classes {
                labels = labels.map { Int64(classes.firstIndex(of: Int($0)) ?? 0) }
            }
            for (index, transform) in settings.transforms.enumerated() {
                var generator = CounterGenerator(TrainingSeed(base: base, trial: 0), "transform", split, index)
                try transform.apply(&inputs, shape: samples.inputShape, &generator)
            }
            if split == 0 {
                LabelNoise.apply(&labels, settings.labelNoise, classes, TrainingSeed(base: base, trial: settings.seed))
            }
            var result = try ZooError.locate(samples.origin) {
                try Samples(
                    inputs: Tensor(inputs, shape: Shape([chosen.count] + samples.inputShape)),
                    labels: Tensor(labels, shape: [chosen.count]))
            }
            result.origin = samples.origin
            return result
        }
        return TrainingData(
            train: try changed(train, 0), validation: try validation.map { try changed($0, 1) },
            test: try test.map { try changed($0, 2) })
    }
}

/// Labels changed to another class.
enum LabelNoise {
    /// Changes the labels of a share of the samples, rounded to whole samples, each to one of the other classes.
    static func apply(_ labels: inout [Int64], _ share: Double, _ classes: Int, _ seed: TrainingSeed) {
        guard share > 0, classes > 1 else { return }
        var generator = CounterGenerator(seed, "label noise")
        let order = generator.permutation(labels.count)
        for place in order.prefix(Int((share * Double(labels.count)).rounded())) {
            let other = Int64(generator.below(classes - 1))
            labels[place] = other < labels[place] ? other : other + 1
        }
    }
}
