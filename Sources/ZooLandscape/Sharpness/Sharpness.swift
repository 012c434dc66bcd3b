import ZooBase
import ZooNN

/// How much the loss rises when the weights move a little.
public enum Sharpness {
    /// SAM's L(θ + ρ g/‖g‖) − L(θ) (arXiv 2010.01412, equation 2).
    public static func sam(_ problem: LossProblem, radius: Double = 0.05) throws -> Double {
        let found = try problem.gradient(at: problem.initial)
        let length = Vectors.norm(found.gradient) + 1e-12
        var point = problem.initial
        Vectors.add(radius / length, found.gradient, to: &point)
        return try problem.loss(at: point) - found.loss
    }

    /// The adaptive form, ε = ρ w² g / ‖w g‖, which does not change when layers are rescaled (arXiv 2102.11600,
    /// equation 9).
    public static func adaptive(_ problem: LossProblem, radius: Double = 0.5) throws -> Double {
        let found = try problem.gradient(at: problem.initial)
        var product = found.gradient
        for place in product.indices { product[place] *= abs(problem.initial[place]) }
        let length = Vectors.norm(product) + 1e-12
        var point = problem.initial
        for place in point.indices {
            let weight = problem.initial[place]
            point[place] += radius * weight * weight * found.gradient[place] / length
        }
        return try problem.loss(at: point) - found.loss
    }

    /// The mean rise under Gaussian perturbations of standard deviation ρ, with its standard error: ½ρ² tr H at a
    /// quadratic minimum.
    public static func average(
        _ problem: LossProblem, deviation: Double = 0.01, draws: Int = 20, seed: UInt64 = 0
    ) throws -> Estimate {
        let base = try problem.loss(at: problem.initial)
        let rises = try (0..<draws).map { draw in
            var stream = RandomStream(seed: seed, "average sharpness", String(draw))
            var point = problem.initial
            Vectors.add(deviation, stream.normal(point.count), to: &point)
            return try problem.loss(at: point) - base
        }
        let n = Double(draws)
        let mean = rises.reduce(0, +) / n
        let squares = rises.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
        return Estimate(
            value: mean, error: n > 1 ? (squares / (n - 1) / n).squareRoot() : nil, products: draws, isConverged: true)
    }
}
