import ZooMerge

/// Which checkpoints a soup is made of, and with what weights.
struct SoupRecipe {
    /// Places of the checkpoints, in the order in which they were added.
    var ingredients: [Int]
    /// The weight of each; of a learned soup the mean over tensors.
    var weights: [Double]
    /// Weights of single tensors, one per ingredient.
    var tensorWeights: [String: [Double]] = [:]
    /// The candidates of a greedy soup.
    var steps: [GreedySoup.Step] = []
    /// The losses of a learned soup, by epoch.
    var losses: [Double] = []

    /// All, with equal weights.
    static func uniform(_ count: Int) -> SoupRecipe {
        SoupRecipe(ingredients: Array(0..<count), weights: AverageWeights.uniform(count: count))
    }
}
