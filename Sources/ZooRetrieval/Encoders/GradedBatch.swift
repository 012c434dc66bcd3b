import ZooBase

/// Grades of the models of a batch on its tasks, as the graded losses read them.
package enum GradedBatch {
    /// A bad model may be this similar before it costs.
    static let badCosine = 0.2
    /// Of the listwise softmaxes.
    static let temperature = 0.1

    /// The data inputs of a loss in the order of their declaration.
    ///
    /// - Parameter grades: per query the grade of each model, scaled to 0…1.
    /// - Returns: for `graded` a one-hot row for the best model (of equal ones the first) and ones for bad models, grade ≤ 0.5 and ≤ best − 0.1; for `listwise` softmax(grade / 0.1).
    package static func arrays(_ grades: [[Double]], loss: RetrievalLoss) -> [[Float]] {
        switch loss {
        case .ranking, .published: return []
        case .graded:
            var best: [Float] = [], bad: [Float] = []
            for row in grades {
                let top = row.max() ?? 0
                let place = row.firstIndex(of: top) ?? 0
                best += row.indices.map { $0 == place ? 1 : 0 }
                bad += row.map { $0 <= 0.5 && $0 <= top - 0.1 ? 1 : 0 }
            }
            return [best, bad]
        case .listwise:
            return [
                grades.flatMap { row in
                    Softmax.rows(row.map { $0 / temperature }, columns: row.count).map(Float.init)
                }
            ]
        }
    }
}
