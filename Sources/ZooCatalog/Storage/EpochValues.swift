import ZooBase

/// The numbers of one epoch that have a column of their own. nil: missing; NaN: the source says NaN.
public struct EpochValues: Sendable, Hashable {
    /// Mean loss on the training data.
    public var trainLoss: Double?
    /// Accuracy on the training data, 0 to 1.
    public var trainAccuracy: Double?
    /// Mean loss on the validation data.
    public var valLoss: Double?
    /// Accuracy on the validation data, 0 to 1.
    public var valAccuracy: Double?
    /// Mean loss on the test data.
    public var testLoss: Double?
    /// Accuracy on the test data, 0 to 1.
    public var testAccuracy: Double?
    /// Seconds since training began.
    public var wallSeconds: Double?

    /// Creates the numbers of one epoch.
    public init(
        trainLoss: Double? = nil, trainAccuracy: Double? = nil, valLoss: Double? = nil, valAccuracy: Double? = nil,
        testLoss: Double? = nil, testAccuracy: Double? = nil, wallSeconds: Double? = nil
    ) {
        self.trainLoss = trainLoss
        self.trainAccuracy = trainAccuracy
        self.valLoss = valLoss
        self.valAccuracy = valAccuracy
        self.testLoss = testLoss
        self.testAccuracy = testAccuracy
        self.wallSeconds = wallSeconds
    }

    /// The columns in the order of the tables and of the bits of `nan_mask`.
    static let columns = [
        "train_loss", "train_accuracy", "val_loss", "val_accuracy", "test_loss", "test_accuracy", "wall_seconds",
    ]

    /// The values in the order of `columns`.
    var values: [Double?] {
        [trainLoss, trainAccuracy, valLoss, valAccuracy, testLoss, testAccuracy, wallSeconds]
    }

    /// Bit *i* is set when value *i* is NaN.
    var nanMask: Int {
        var mask = 0
        if trainLoss?.isNaN == true { mask |= 1 }
        if trainAccuracy?.isNaN == true { mask |= 2 }
        if valLoss?.isNaN == true { mask |= 4 }
        if valAccuracy?.isNaN == true { mask |= 8 }
        if testLoss?.isNaN == true { mask |= 16 }
        if testAccuracy?.isNaN == true { mask |= 32 }
        if wallSeconds?.isNaN == true { mask |= 64 }
        return mask
    }

    /// Binds seven values and the mask from `index` on.
    func bind(to statement: SQLStatement, from index: Int) {
        statement.bind(index, trainLoss)
        statement.bind(index + 1, trainAccuracy)
        statement.bind(index + 2, valLoss)
        statement.bind(index + 3, valAccuracy)
        statement.bind(index + 4, testLoss)
        statement.bind(index + 5, testAccuracy)
        statement.bind(index + 6, wallSeconds)
        statement.bind(index + 7, Int64(nanMask))
    }

    /// Reads seven values and the mask from `column` on.
    init(from statement: SQLStatement, at column: Int) {
        let mask = statement.int(column + 7)
        func value(_ position: Int) -> Double? {
            mask >> Int64(position) & 1 == 1 ? .nan : statement.optionalDouble(column + position)
        }
        self.init(
            trainLoss: value(0), trainAccuracy: value(1), valLoss: value(2), valAccuracy: value(3),
            testLoss: value(4), testAccuracy: value(5), wallSeconds: value(6))
    }

    /// Train accuracy minus test accuracy.
    var ggap: Double? {
        guard let trainAccuracy, let testAccuracy else { return nil }
        return trainAccuracy - testAccuracy
    }
}

/// A column of `checkpoint` whose lowest and highest value per model stand in `model_summary`.
enum ZonedColumn: String, CaseIterable {
    case epoch
    case trainLoss = "train_loss"
    case trainAccuracy = "train_accuracy"
    case valLoss = "val_loss"
    case valAccuracy = "val_accuracy"
    case testLoss = "test_loss"
    case testAccuracy = "test_accuracy"
    case wallSeconds = "wall_seconds"
    case ggap

    /// The column of `model_summary` with the smallest value.
    var lowest: String { self == .epoch ? "first_epoch" : "min_\(rawValue)" }

    /// The column of `model_summary` with the largest value.
    var highest: String { self == .epoch ? "last_epoch" : "max_\(rawValue)" }

    /// The ranges stored as `min_…` and `max_…`, in the order of the table.
    static let stored: [ZonedColumn] = [
        .trainLoss, .trainAccuracy, .valLoss, .valAccuracy, .testLoss, .testAccuracy, .wallSeconds, .ggap,
    ]

    /// The value in a row.
    func value(_ values: EpochValues, epoch: Int?) -> Double? {
        switch self {
        case .epoch: epoch.map(Double.init)
        case .trainLoss: values.trainLoss
        case .trainAccuracy: values.trainAccuracy
        case .valLoss: values.valLoss
        case .valAccuracy: values.valAccuracy
        case .testLoss: values.testLoss
        case .testAccuracy: values.testAccuracy
        case .wallSeconds: values.wallSeconds
        case .ggap: values.ggap
        }
    }
}
