import ZooBase
import ZooNN
import ZooTensor

/// What is done to stored numbers before a network sees them, in this order: resampled to another size, divided by
/// `scale`, the mean taken off, divided by the deviation. All in single precision, as PyTorch's transforms compute it.
public struct DataPreparation: Sendable, Hashable {
    /// What inputs are divided by; nil divides bytes by 255 and leaves other numbers as they are.
    public var scale: Double?
    /// What is taken off each channel; empty for nothing.
    public var mean: [Double]
    /// What each channel is divided by; as many.
    public var std: [Double]
    /// Height and width that pictures are resampled to.
    public var resize: [Int]?
    /// Colours that pictures of a folder are converted to.
    public var channels: Int?
    /// Labels that stand for others.
    public var labelMap: [Int: Int]
    /// How many classes there are; larger labels are an error. nil when only the data tell.
    public var classCount: Int?
    /// The extents that inputs must have afterwards; empty when that is not known.
    public var inputShape: [Int]

    /// Creates a preparation; by default nothing is done but dividing bytes by 255.
    public init(
        scale: Double? = nil, mean: [Double] = [], std: [Double] = [], resize: [Int]? = nil, channels: Int? = nil,
        labelMap: [Int: Int] = [:], classCount: Int? = nil, inputShape: [Int] = []
    ) {
        self.scale = scale
        self.mean = mean
        self.std = std
        self.resize = resize
        self.channels = channels
        self.labelMap = labelMap
        self.classCount = classCount
        self.inputShape = inputShape
    }

    /// What numbers of a type are divided by; nil for not at all.
    func divisor(_ dtype: DType) -> Double? { scale ?? (dtype == .uint8 ? 255 : nil) }

    /// The extents of inputs after resampling.
    func shape(_ stored: [Int]) -> [Int] {
        guard let resize, stored.count == 3 else { return stored }
        return [stored[0]] + resize
    }

    /// What is done, in words, for people who want to know.
    public func description(for dtype: DType) -> String {
        var steps: [String] = []
        if let resize { steps.append("resampled to \(resize[0])×\(resize[1])") }
        if let scale {
            steps.append("divided by \(JSONValue.double(scale).text())")
        } else if dtype == .uint8 {
            steps.append("bytes 0…255 divided by 255")
        }
        if !mean.isEmpty { steps.append("mean \(mean) taken off, divided by \(std)") }
        return steps.isEmpty ? "taken as they are stored" : steps.joined(separator: ", ")
    }

    /// Prepares what a reader gave.
    ///
    /// - Throws: `mismatch` for another number of channels, NaN inputs, labels out of range, another shape than stated.
    public func samples(_ stored: StoredSamples, dtype: DType) throws -> Samples {
        guard let count = stored.inputs.shape.dimensions.first, count > 0 else {
            throw ZooError(.notFound, "there are no samples")
        }
        var shape = Array(stored.inputs.shape.dimensions.dropFirst())
        var values = stored.inputs.floats()
        if let resize, shape.count == 3, Array(shape.dropFirst()) != resize {
            values = Resampling.resize(
                values, count: count * shape[0], height: shape[1], width: shape[2],
                to: (height: resize[0], width: resize[1]))
            shape = self.shape(shape)
        } else if resize != nil, shape.count != 3 {
            throw ZooError(.mismatch, "'resize' is for pictures [C, H, W]; inputs are \(shape)")
        }
        guard inputShape.isEmpty || inputShape == shape else {
            throw ZooError(
                .mismatch, "inputs have the shape \(shape), the preparation states \(inputShape)",
                hint: "'resize' and 'channels' in the manifest change pictures")
        }
        try normalise(&values, shape, divisor(dtype))
        return try Samples(inputs: values, inputShape: shape, labels: labels(stored.labels, count: count), count: count)
    }

    private func normalise(_ values: inout [Float], _ shape: [Int], _ divisor: Double?) throws {
        if let divisor {
            let by = Float(divisor)
            values.withUnsafeMutableBufferPointer { values in
                for index in values.indices { values[index] /= by }
            }
        }
        guard !mean.isEmpty else { return }
        let channels = shape.first ?? 1
        guard mean.count == std.count, mean.count == 1 || mean.count == channels else {
            throw ZooError(
                .mismatch, "\(mean.count) means and \(std.count) deviations for inputs of \(channels) channels")
        }
        let plane = max(1, shape.dropFirst().reduce(1, *))
        values.withUnsafeMutableBufferPointer { values in
            for start in stride(from: 0, to: values.count, by: plane) {
                let channel = mean.count == 1 ? 0 : start / plane % channels
                let (center, width) = (Float(mean[channel]), Float(std[channel]))
                for index in start..<min(values.count, start + plane) {
                    values[index] = (values[index] - center) / width
                }
            }
        }
    }

    private func labels(_ stored: Tensor?, count: Int) throws -> [Int32] {
        guard let stored else { return [] }
        guard stored.elementCount == count, stored.dtype.isInteger else {
            throw ZooError(
                .mismatch, "\(stored.elementCount) labels of \(stored.dtype.rawValue) for \(count) samples",
                hint: stored.dtype.isInteger ? "" : "classes are whole numbers")
        }
        return try stored.doubles().enumerated().map { position, value in
            let label = labelMap[Int(max(-1e15, min(1e15, value)))] ?? Int(max(-1, min(1e15, value)))
            guard label >= 0 else { throw ZooError(.mismatch, "the label of sample \(position) is negative") }
            if let classCount, label >= classCount {
                throw ZooError(
                    .mismatch, "the label of sample \(position) is \(label); there are \(classCount) classes, from 0 on"
                )
            }
            guard label < Samples.labelLimit, let narrow = Int32(exactly: label) else {
                throw ZooError(
                    .mismatch,
                    "the label of sample \(position): expected a class from 0 to \(Samples.labelLimit - 1), "
                        + "found \(label)",
                    hint: "'labels' in the manifest maps labels to classes")
            }
            return narrow
        }
    }
}
