import ZooAutodiff
import ZooBase
import ZooNN
import ZooTensor

/// The frozen map φ from inputs to features in which models and queries are compared. It is stored with the index; vectors
/// made with another one are refused by its digest.
public struct FeatureMap: Sendable {
    /// How features are made.
    public enum Kind: String, Sendable, Hashable, CaseIterable {
        /// What a small classifier sees before its head, standardised over the probe pool.
        case net
        /// Twice the input minus the mean probe.
        case raw
        /// The first 32 principal components of the probes, whitened.
        case pca
    }

    /// The kind.
    public let kind: Kind
    /// The extents of an input.
    public let inputShape: [Int]
    /// What was learned: layers, then `shift` and `scale`.
    public let parameters: LearnedParameters

    /// Numbers per input.
    public var dimension: Int { parameters.shapes.last?.elementCount ?? 0 }
    /// Units of the classifier before its head.
    static let hidden = [64, 32]
    static let components = 32

    /// What tells this map from others.
    public var digest: String {
        var hash = Fingerprint()
        hash.add(kind.rawValue)
        for extent in inputShape { hash.add(UInt64(extent)) }
        hash.add(parameters.digest)
        return hash.text
    }

    init(kind: Kind, inputShape: [Int], parameters: LearnedParameters) {
        self.kind = kind
        self.inputShape = inputShape
        self.parameters = parameters
    }

    /// A stored map.
    ///
    /// - Throws: `corrupt` for tensors that do not fit together.
    public init(kind: Kind, inputShape: [Int], from source: any TensorSource, prefix: String) throws {
        let names: [String] =
            switch kind {
            case .net: ["w0", "b0", "w1", "b1", "shift", "scale"]
            case .pca: ["w0", "shift", "scale"]
            case .raw: ["shift", "scale"]
            }
        var found = LearnedParameters()
        var width = inputShape.reduce(1, *)
        for name in names {
            let tensor = try source.tensor(named: prefix + name)
            let values = tensor.floats(), d = tensor.shape.dimensions
            let fits = name.hasPrefix("w") ? d.count == 2 && d[1] == width : d.count == 1
            guard fits, values.allSatisfy(\.isFinite) else {
                throw ZooError(
                    .corrupt, "tensor '\(prefix + name)' of shape \(tensor.shape) does not fit the feature map")
            }
            if name.hasPrefix("w") {
                width = d[0]
            } else if d[0] != width {
                throw ZooError(.corrupt, "tensor '\(prefix + name)' of shape \(tensor.shape): expected [\(width)]")
            }
            found.names.append(name)
            found.shapes.append(tensor.shape)
            found.values.append(values)
        }
        self.init(kind: kind, inputShape: inputShape, parameters: found)
    }

    // MARK: Making one

    /// Twice the input minus the mean probe.
    public static func raw(_ pool: ProbePool) -> FeatureMap {
        var parameters = LearnedParameters()
        let means = pool.matrix.columnMeans()
        parameters.add("shift", means)
        parameters.add("scale", [Double](repeating: 2, count: means.count))
        return FeatureMap(kind: .raw, inputShape: pool.inputShape, parameters: parameters)
    }

    /// The first principal components of the probes, each of variance one.
    public static func pca(_ pool: ProbePool) throws -> FeatureMap {
        let probes = pool.matrix
        let parts = try probes.centred().decomposition(cutoff: 1e-6)
        let count = min(components, parts.values.count)
        guard count > 0 else { throw ZooError(.numeric, "all probes are equal; the feature map 'pca' needs variance") }
        let rows = Matrix(Array(parts.vt.values.prefix(count * probes.columns)), rows: count, columns: probes.columns)
        let mean = Matrix([probes.columnMeans()])
        let shift = try mean.times(rows, transposed: true).values
        var parameters = LearnedParameters()
        parameters.names.append("w0")
        parameters.shapes.append([count, probes.columns])
        parameters.values.append(rows.values.map(Float.init))
        parameters.add("shift", shift)
        parameters.add("scale", parts.values.prefix(count).map { Double(probes.rows).squareRoot() / $0 })
        return FeatureMap(kind: .pca, inputShape: pool.inputShape, parameters: parameters)
    }

    /// The features of a small classifier trained on labelled samples: Adam 5e-3, batches of 64, 40 epochs.
    ///
    /// - Throws: `mismatch` when samples have no labels or another shape than the probes; `numeric`.
    public static func net(
        _ samples: Samples, pool: ProbePool, epochs: Int = 40, seed: UInt64, progress: () -> Void = {}
    ) throws -> FeatureMap {
        guard samples.inputShape == pool.inputShape, !samples.labels.isEmpty else {
            throw ZooError(
                .mismatch,
                "the feature map 'net' learns from labelled samples of shape \(pool.inputShape), "
                    + "found \(samples.inputShape)\(samples.labels.isEmpty ? " without labels" : "")")
        }
        var generator = SeededGenerator(seed: seed)
        let classes = Int(samples.labels.max() ?? 0) + 1, batch = min(64, samples.count / 16 * 16)
        guard batch >= 16, classes >= 2 else {
            throw ZooError(.mismatch, "the feature map 'net' needs 16 samples of two classes, found \(samples.count)")
        }
        var layers = LearnedParameters()
        let sizes = [samples.sampleSize] + hidden + [classes]
        for layer in 0..<3 {
            layers.add("w\(layer)", [sizes[layer + 1], sizes[layer]], fan: sizes[layer], &generator)
            layers.add(zeros: "b\(layer)", [sizes[layer + 1]])
        }
        let b = ProgramBuilder()
        let p = layers.declare(in: b)
        let x = b.data("x", [batch, sizes[0]])
        let labels = b.indices("y", [batch])
        var h = x
        for layer in 0..<3 {
            guard let w = p["w\(layer)"] else { continue }
            h = try b.linear(h, weight: w, bias: p["b\(layer)"])
            if layer < 2 { h = b.relu(h) }
        }
        let loss = try b.average(b.crossEntropy(h, labels: labels))
        let gradients = try b.gradient(of: loss, withRespectTo: layers.names.compactMap { p[$0] })
        let training = ProgramTraining(
            b.build([("loss", loss)] + zip(layers.names, gradients).map { ($0, $1) }), parameters: layers, rate: 5e-3)
        for _ in 0..<epochs {
            try Cancellation.check()
            let order = generator.permutation(samples.count)
            for start in stride(from: 0, through: samples.count - batch, by: batch) {
                let chosen = order[start..<start + batch]
                let inputs = chosen.flatMap { samples.inputs[$0 * sizes[0]..<($0 + 1) * sizes[0]] }
                _ = try training.step([inputs], [chosen.map { samples.labels[$0] }])
            }
            progress()
        }
        var parameters = LearnedParameters()
        let trained = training.parameters
        for place in 0..<4 {
            parameters.names.append(trained.names[place])
            parameters.shapes.append(trained.shapes[place])
            parameters.values.append(trained.values[place])
        }
        let width = hidden[1]
        parameters.add("shift", [Double](repeating: 0, count: width))
        parameters.add("scale", [Double](repeating: 1, count: width))
        let plain = FeatureMap(kind: .net, inputShape: pool.inputShape, parameters: parameters)
        return try plain.standardised(over: pool)
    }

    /// What tells the map that `net` would learn from others, without learning it.
    public static func netDigest(_ samples: Samples, pool: ProbePool, seed: UInt64) -> String {
        var hash = Fingerprint()
        hash.add(samples.inputs)
        for label in samples.labels { hash.add(UInt64(UInt32(bitPattern: label))) }
        hash.add(pool.digest)
        hash.add(seed)
        return hash.text
    }

    /// Features of mean zero and deviation one over the probes; deviations under 1e-3 count as that.
    private func standardised(over pool: ProbePool) throws -> FeatureMap {
        let features = try apply(pool.inputs, count: pool.count)
        let means = features.columnMeans(), centred = features.centred()
        let scales = (0..<features.columns).map { column in
            let variance = (0..<features.rows).reduce(0) { $0 + centred[$1, column] * centred[$1, column] }
            return 1 / max(1e-3, (variance / Double(features.rows)).squareRoot())
        }
        var copy = parameters
        copy.values[copy.values.count - 2] = means.map(Float.init)
        copy.values[copy.values.count - 1] = scales.map(Float.init)
        return FeatureMap(kind: kind, inputShape: inputShape, parameters: copy)
    }

    // MARK: Using it

    /// φ of inputs `[count, dimension]`.
    ///
    /// - Throws: `mismatch` for inputs of another shape.
    public func apply(_ inputs: [Float], count: Int) throws -> Matrix {
        var width = inputShape.reduce(1, *)
        guard inputs.count == count * width else {
            throw ZooError(.mismatch, "\(inputs.count) numbers for \(count) inputs of shape \(inputShape)")
        }
        var x = inputs
        let layers = parameters.names.count { $0.hasPrefix("w") }
        for layer in 0..<layers {
            let place = kind == .net ? 2 * layer : layer
            let rows = parameters.shapes[place][0]
            x = try LinearAlgebra.product(
                x, parameters.values[place], transposeB: true, rows: count, columns: rows, depth: width)
            width = rows
            guard kind == .net else { continue }
            let bias = parameters.values[place + 1]
            for index in x.indices { x[index] = max(0, x[index] + bias[index % width]) }
        }
        let shift = parameters.values[parameters.values.count - 2],
            scale = parameters.values[parameters.values.count - 1]
        return Matrix(
            x.enumerated().map { Double(($1 - shift[$0 % width]) * scale[$0 % width]) }, rows: count, columns: width)
    }
}

extension LearnedParameters {
    fileprivate mutating func add(_ name: String, _ numbers: [Double]) {
        names.append(name)
        shapes.append([numbers.count])
        values.append(numbers.map(Float.init))
    }
}

extension ProbePool {
    /// The probes as rows.
    var matrix: Matrix { Matrix(inputs.map(Double.init), rows: count, columns: size) }
}
