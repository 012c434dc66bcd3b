import ZooBase

/// A score drawn from the seed and the model's name: what chance does.
public struct RandomRanker: Ranker {
    /// The name.
    public static let name = "random"
    /// One line for help.
    public static let summary = "chance"
    /// What the score is, with its unit.
    public static let meaning = "a random number, 0 to 1"
    /// What it looks at.
    public static let needs: Set<RankerNeed> = [.profile]

    /// With default settings.
    public init() {}

    /// The score; see `Ranker`.
    public func score(_ evidence: Evidence) throws -> Double {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325 ^ evidence.seed
        for byte in evidence.profile.name.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        var generator = SeededGenerator(seed: hash)
        return Double(generator.next() >> 11) * 0x1p-53
    }
}

/// The larger model.
public struct ParameterCountRanker: Ranker {
    /// The name.
    public static let name = "parameters"
    /// One line for help.
    public static let summary = "the model with the most parameters"
    /// What the score is, with its unit.
    public static let meaning = "parameters of the model"
    /// What it looks at.
    public static let needs: Set<RankerNeed> = [.profile]

    /// With default settings.
    public init() {}

    /// The score; see `Ranker`.
    public func score(_ evidence: Evidence) throws -> Double {
        guard let count = evidence.profile.parameterCount else {
            throw ZooError(.notFound, "\(evidence.profile.name): the number of parameters is not known")
        }
        return Double(count)
    }
}

/// The model that is best on its own task.
public struct SourceAccuracyRanker: Ranker {
    /// The name.
    public static let name = "source-accuracy"
    /// One line for help.
    public static let summary = "the model with the best accuracy on its own task"
    /// What the score is, with its unit.
    public static let meaning = "accuracy on the model's own task, 0 to 1"
    /// What it looks at.
    public static let needs: Set<RankerNeed> = [.profile]

    /// With default settings.
    public init() {}

    /// The score; see `Ranker`.
    public func score(_ evidence: Evidence) throws -> Double {
        guard let accuracy = evidence.profile.sourceAccuracy else {
            throw ZooError(.notFound, "\(evidence.profile.name): the accuracy on its own task is not known")
        }
        return accuracy
    }
}

/// The model that is best on average over other tasks.
public struct AverageAccuracyRanker: Ranker {
    /// The name.
    public static let name = "best-average"
    /// One line for help.
    public static let summary = "the model with the best mean accuracy over all tasks of an evaluation"
    /// What the score is, with its unit.
    public static let meaning = "mean accuracy over the tasks, 0 to 1"
    /// What it looks at.
    public static let needs: Set<RankerNeed> = [.profile]

    /// With default settings.
    public init() {}

    /// The score; see `Ranker`.
    public func score(_ evidence: Evidence) throws -> Double {
        guard let accuracy = evidence.profile.averageAccuracy else {
            throw ZooError(.notFound, "\(evidence.profile.name): the mean accuracy over tasks is not known")
        }
        return accuracy
    }
}
