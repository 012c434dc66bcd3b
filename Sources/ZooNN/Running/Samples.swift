import ZooBase
import ZooTensor

/// Samples in memory, ready to be read by a program: inputs side by side, labels as integers.
public struct Samples: Sendable {
    /// Real inputs, `count` × the extents of one sample, row-major.
    public let inputs: [Float]
    /// The extents of one sample: `[C, H, W]`, `[D]`.
    public let inputShape: [Int]
    /// Class of each sample, from zero; empty when there are none.
    public let labels: [Int32]
    /// How many.
    public let count: Int
    /// Where they come from, for messages: `digits.npz:test`.
    public var origin = "the data set"

    /// Samples from tensors.
    ///
    /// - Parameters:
    ///   - inputs: `[N, …]` of any real type.
    ///   - labels: `[N]` of any integer type, or nil.
    /// - Throws: `mismatch` when the counts differ, a label is negative or not below `labelLimit`, or an input is not
    ///   finite; `notFound` for no samples.
    public init(inputs: Tensor, labels: Tensor?) throws {
        guard let count = inputs.shape.dimensions.first, count > 0 else {
            throw ZooError(.notFound, "the data set has no samples (shape \(inputs.shape))")
        }
        self.count = count
        inputShape = Array(inputs.shape.dimensions.dropFirst())
        self.inputs = inputs.floats()
        let bad = inputs.nonFiniteCount
        guard bad == 0 else { throw ZooError(.mismatch, "\(bad) numbers of the inputs are NaN or infinite") }
        guard let labels else {
            self.labels = []
            return
        }
        guard labels.elementCount == count, labels.dtype.isInteger else {
            throw ZooError(
                .mismatch, "\(labels.elementCount) labels of \(labels.dtype.rawValue) for \(count) samples")
        }
        let numbers = labels.doubles()
        if let position = numbers.firstIndex(where: { $0 >= Double(Self.labelLimit) }) {
            throw Self.tooLarge(String(Int64(min(numbers[position], 1e15))), sample: position)
        }
        self.labels = numbers.map { Int32(max(-1, $0)) }
        try Self.check(labels: self.labels)
    }

    /// Labels are below this number: programs and tables have a place for every class up to the largest label.
    public static let labelLimit = 1 << 20

    /// - Throws: `mismatch` naming the first sample whose label is negative or too large.
    static func check(labels: [Int32]) throws {
        guard let position = labels.firstIndex(where: { $0 < 0 || Int($0) >= labelLimit }) else { return }
        guard labels[position] >= 0 else {
            throw ZooError(.mismatch, "the label of sample \(position) is negative")
        }
        throw tooLarge(String(labels[position]), sample: position)
    }

    /// What is thrown for a label that no class has.
    static func tooLarge(_ label: String, sample position: Int) -> ZooError {
        ZooError(
            .mismatch, "the label of sample \(position): expected a class from 0 to \(labelLimit - 1), found \(label)",
            hint: "labels count classes from zero; map others to such numbers")
    }

    /// Samples whose parts the caller has checked.
    init(checkedInputs inputs: [Float], inputShape: [Int], labels: [Int32], count: Int) {
        self.inputs = inputs
        self.inputShape = inputShape
        self.labels = labels
        self.count = count
    }

    /// The same inputs with other labels.
    ///
    /// - Throws: `mismatch` when the count differs or a label is negative.
    public func labelled(_ labels: [Int32]) throws -> Samples {
        guard labels.count == count, labels.allSatisfy({ $0 >= 0 }) else {
            throw ZooError(.mismatch, "\(labels.count) labels for \(count) samples")
        }
        return copy(inputs: inputs, labels: labels, count: count)
    }

    /// The first samples, all when there are not as many. Precondition: at least one is asked for.
    public func prefix(_ wanted: Int) -> Samples {
        precondition(wanted > 0)
        guard wanted < count else { return self }
        return copy(
            inputs: Array(inputs.prefix(wanted * sampleSize)), labels: Array(labels.prefix(wanted)), count: wanted)
    }

    /// Other samples of the same extents and origin; the caller has checked them.
    func copy(inputs: [Float], labels: [Int32], count: Int) -> Samples {
        var copy = Samples(checkedInputs: inputs, inputShape: inputShape, labels: labels, count: count)
        copy.origin = origin
        return copy
    }

    // MARK: For a network

    /// Refuses samples that a network cannot be evaluated on.
    ///
    /// - Parameter purpose: what labels are for, as "training".
    /// - Throws: `mismatch` without labels, or naming the first sample whose label has no logit.
    package func check(classes: Int, for purpose: String = "evaluation") throws {
        guard !labels.isEmpty else {
            throw ZooError(.mismatch, "\(origin): there are no labels; \(purpose) needs them")
        }
        guard let position = labels.firstIndex(where: { $0 >= classes }) else { return }
        throw ZooError(
            .mismatch,
            "\(origin): the label of sample \(position): expected one of the network's \(classes) classes from 0 on, "
                + "found \(labels[position])")
    }

    /// Refuses samples of other extents than a network reads.
    ///
    /// - Throws: `mismatch` with both shapes, and in words where only the number of channels differs.
    package func check(shape: [Int], of architecture: String) throws {
        guard shape != inputShape else { return }
        let isOtherChannels = shape.count == 3 && inputShape.count == 3 && shape[1...] == inputShape[1...]
        let words =
            isOtherChannels ? " (\(shape[0]) and \(inputShape[0]) channels of \(shape[1])×\(shape[2]))" : ""
        throw ZooError(
            .mismatch,
            "\(origin): architecture '\(architecture)' reads inputs of shape \(shape), the samples have "
                + "\(inputShape)\(words)")
    }

    /// Numbers per sample.
    public var sampleSize: Int { inputShape.reduce(1, *) }
}
