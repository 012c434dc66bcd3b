/// A result that every zoo reports, under one name whatever the trial file calls it.
public enum ResultColumn: Int, CaseIterable, Sendable {
    case trainLoss, trainAccuracy, valLoss, valAccuracy, testLoss, testAccuracy

    /// The name in the catalog and in manifests.
    public var name: String {
        switch self {
        case .trainLoss: "train_loss"
        case .trainAccuracy: "train_accuracy"
        case .valLoss: "val_loss"
        case .valAccuracy: "val_accuracy"
        case .testLoss: "test_loss"
        case .testAccuracy: "test_accuracy"
        }
    }

    /// Whether it is an accuracy, which may be written in percent.
    public var isAccuracy: Bool { rawValue % 2 == 1 }

    /// The spellings that are understood, the preferred one first.
    public var spellings: [String] {
        switch self {
        case .trainLoss: ["train_loss", "training_loss", "loss"]
        case .trainAccuracy: ["train_acc", "train_accuracy", "training_accuracy", "accuracy", "acc"]
        case .valLoss: ["val_loss", "valid_loss", "validation_loss", "eval_loss", "dev_loss"]
        case .valAccuracy:
            [
                "val_acc", "val_accuracy", "valid_acc", "valid_accuracy", "validation_acc", "validation_accuracy",
                "eval_acc", "eval_accuracy", "dev_acc", "dev_accuracy",
            ]
        case .testLoss: ["test_loss"]
        case .testAccuracy: ["test_acc", "test_accuracy"]
        }
    }
}

/// The results of one model at one epoch. A value that was not reported is nil; one reported as NaN is NaN.
public struct ResultRow: Sendable {
    /// The epoch or step: the key that joins results and checkpoints.
    public var epoch: Int
    /// Mean training loss (natural logarithms).
    public var trainLoss: Double?
    /// Training accuracy, a fraction.
    public var trainAccuracy: Double?
    /// Mean validation loss.
    public var valLoss: Double?
    /// Validation accuracy, a fraction.
    public var valAccuracy: Double?
    /// Mean test loss.
    public var testLoss: Double?
    /// Test accuracy, a fraction.
    public var testAccuracy: Double?
    /// Seconds since the training began (`time_total_s`).
    public var wallSeconds: Double?
    /// All other numbers, in the order of the file; numbers inside objects as `outer/inner`.
    public var extras: [(key: String, value: Double)] = []

    /// A row without values.
    public init(epoch: Int) { self.epoch = epoch }

    /// A value by its column.
    public subscript(column: ResultColumn) -> Double? {
        get {
            switch column {
            case .trainLoss: trainLoss
            case .trainAccuracy: trainAccuracy
            case .valLoss: valLoss
            case .valAccuracy: valAccuracy
            case .testLoss: testLoss
            case .testAccuracy: testAccuracy
            }
        }
        set {
            switch column {
            case .trainLoss: trainLoss = newValue
            case .trainAccuracy: trainAccuracy = newValue
            case .valLoss: valLoss = newValue
            case .valAccuracy: valAccuracy = newValue
            case .testLoss: testLoss = newValue
            case .testAccuracy: testAccuracy = newValue
            }
        }
    }

    /// An extra number.
    public func extra(_ key: String) -> Double? { extras.first { $0.key == key }?.value }
}
