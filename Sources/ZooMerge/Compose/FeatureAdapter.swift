#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Adapters on the features of a frozen network, for few labelled samples.
public enum FeatureAdapterKind: String, Sendable, CaseIterable {
    /// A cache of the samples' features and labels (Tip-Adapter, arXiv 2207.09519, training-free).
    case tip
    /// A linear probe blended with the network's own logits (LP++, arXiv 2404.02285).
    case probe = "lp++"
}

/// What a network says of samples: features, scaled to length one, and logits.
public struct FeatureRows: Sendable {
    /// `[samples, features]`.
    public let features: [[Double]]
    /// `[samples, classes]`.
    public let logits: [[Double]]
    /// Classes.
    public let labels: [Int]

    /// Scales features to length one. Precondition: as many of each.
    public init(features: [[Double]], logits: [[Double]], labels: [Int]) {
        precondition(features.count == logits.count && features.count == labels.count)
        self.features = features.map { row in
            let norm = row.reduce(0) { $0 + $1 * $1 }.squareRoot()
            return norm > 0 ? row.map { $0 / norm } : row
        }
        self.logits = logits
        self.labels = labels
    }

    /// The share of samples whose label has the largest of other logits.
    func accuracy(_ rows: [[Double]]) -> Double {
        let correct = zip(rows, labels).count { row, label in row.indices.max { row[$0] < row[$1] } == label }
        return Double(correct) / Double(max(1, labels.count))
    }

    /// fᵢ · gⱼ.
    fileprivate static func dot(_ a: [Double], _ b: [Double]) -> Double {
        var sum = 0.0
        for place in a.indices { sum += a[place] * b[place] }
        return sum
    }
}

/// Tip-Adapter: logits(x) = z(x) + α Σᵢ exp(−β (1 − f(x)·fᵢ)) onehot(yᵢ). Nothing is trained; α and β are chosen.
public struct TipAdapter: Sendable {
    /// What the cache weighs; zero leaves the network as it is.
    public private(set) var alpha = 0.0
    /// How sharply it looks.
    public private(set) var beta = 1.0
    private let cache: FeatureRows

    /// Weights and sharpness that are tried.
    public static let alphas = [0.25, 0.5, 1, 2, 4, 8, 16], betas = [1.0, 2, 4, 8, 16, 32]

    /// A cache of samples at chosen numbers.
    public init(_ cache: FeatureRows, alpha: Double, beta: Double) {
        self.cache = cache
        self.alpha = alpha
        self.beta = beta
    }

    /// Chooses the numbers by accuracy on validation data; the network alone is the incumbent.
    public init(_ cache: FeatureRows, validation: FeatureRows) {
        self.cache = cache
        var best = validation.accuracy(validation.logits)
        for beta in Self.betas {
            for alpha in Self.alphas {
                let candidate = TipAdapter(cache, alpha: alpha, beta: beta)
                let found = validation.accuracy(candidate.logits(validation))
                if found > best { (best, self.alpha, self.beta) = (found, alpha, beta) }
            }
        }
    }

    /// Logits with the cache's part.
    public func logits(_ rows: FeatureRows) -> [[Double]] {
        guard alpha != 0 else { return rows.logits }
        return zip(rows.features, rows.logits).map { feature, own in
            var logits = own
            for (other, label) in zip(cache.features, cache.labels) {
                logits[label] += alpha * exp(-beta * (1 - FeatureRows.dot(feature, other)))
            }
            return logits
        }
    }

    /// Accuracy with the cache.
    public func accuracy(_ rows: FeatureRows) -> Double { rows.accuracy(logits(rows)) }
}

/// LP++: logits(x) = f(x)·w_k + α_k z_k(x), by descent in the blocks w and α in turn. Each step is as long as a bound on
/// the curvature of its block allows, so the loss never rises and there is no rate to choose.
public struct BlendedProbe: Sendable {
    /// `[classes, features]`; zero at the start.
    public private(set) var weights: [[Double]]
    /// What the network's own logits weigh, by class; one at the start: the network as it is.
    public private(set) var blend: [Double]
    /// Mean cross-entropy on the learning data after each step.
    public private(set) var losses: [Double] = []

    /// Steps, and how often validation data is looked at.
    private static let steps = 300, stepsPerRound = 10

    /// Learns on few samples; keeps what is best on validation data, the network alone being the incumbent.
    ///
    /// Precondition: there are samples, and all have the same extents.
    public init(_ few: FeatureRows, validation: FeatureRows) {
        let classes = few.logits[0].count, size = few.features[0].count, count = Double(few.labels.count)
        weights = [[Double]](repeating: [Double](repeating: 0, count: size), count: classes)
        blend = [Double](repeating: 1, count: classes)
        // The Hessian of cross-entropy by logits is at most ½ (Böhning's bound).
        let curvature = 0.5 * Self.largestEigenvalue(few.features)
        let blendCurvature =
            0.5 * ((0..<classes).map { k in few.logits.reduce(0) { $0 + $1[k] * $1[k] } / count }.max() ?? 0)
        var best = (score: validation.accuracy(validation.logits), weights, blend)
        for step in 1...Self.steps {
            let slopes = residuals(few).rows
            if curvature > 0 {
                for (slope, feature) in zip(slopes, few.features) {
                    for k in 0..<classes {
                        let factor = slope[k] / (count * curvature)
                        for place in 0..<size { weights[k][place] -= factor * feature[place] }
                    }
                }
            }
            if blendCurvature > 0 {
                for (slope, own) in zip(residuals(few).rows, few.logits) {
                    for k in 0..<classes { blend[k] -= slope[k] * own[k] / (count * blendCurvature) }
                }
            }
            losses.append(residuals(few).loss)
            guard step % Self.stepsPerRound == 0 else { continue }
            let score = accuracy(validation)
            if score > best.score { best = (score, weights, blend) }
        }
        (weights, blend) = (best.1, best.2)
    }

    /// Logits of the blend.
    public func logits(_ rows: FeatureRows) -> [[Double]] {
        zip(rows.features, rows.logits).map { feature, own in
            own.indices.map { FeatureRows.dot(feature, weights[$0]) + blend[$0] * own[$0] }
        }
    }

    /// Accuracy of the blend.
    public func accuracy(_ rows: FeatureRows) -> Double { rows.accuracy(logits(rows)) }

    /// Softmax minus label for each sample, and the mean loss.
    private func residuals(_ rows: FeatureRows) -> (rows: [[Double]], loss: Double) {
        var loss = 0.0
        let found = zip(logits(rows), rows.labels).map { row, label in
            var p = PseudoLabels.softmax(row)
            loss -= log(max(p[label], .leastNormalMagnitude))
            p[label] -= 1
            return p
        }
        return (found, loss / Double(max(1, rows.labels.count)))
    }

    /// Of (1/N) FᵀF, a little more than it: a hundred steps of the power method, and never more than its trace of one.
    private static func largestEigenvalue(_ rows: [[Double]]) -> Double {
        guard let size = rows.first?.count, size > 0 else { return 0 }
        var vector = [Double](repeating: 1 / Double(size).squareRoot(), count: size), value = 0.0
        for _ in 0..<100 {
            var next = [Double](repeating: 0, count: size)
            for row in rows {
                let factor = FeatureRows.dot(row, vector) / Double(rows.count)
                for place in next.indices { next[place] += factor * row[place] }
            }
            value = next.reduce(0) { $0 + $1 * $1 }.squareRoot()
            guard value > 0 else { break }
            vector = next.map { $0 / value }
        }
        return min(1, value * 1.1)
    }
}
