#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// The elementary functions of this module, from the C library.
package enum Elementary {
    package static func exp(_ x: Double) -> Double { libm_exp(x) }
    package static func log(_ x: Double) -> Double { libm_log(x) }
    package static func log1p(_ x: Double) -> Double { libm_log1p(x) }
    package static func cos(_ x: Double) -> Double { libm_cos(x) }
    package static let pi = Double.pi
}

// The names of the library's functions are those of the members above.
private func libm_exp(_ x: Double) -> Double { exp(x) }
private func libm_log(_ x: Double) -> Double { log(x) }
private func libm_log1p(_ x: Double) -> Double { log1p(x) }
private func libm_cos(_ x: Double) -> Double { cos(x) }

/// Softmax of the rows of a matrix.
enum Softmax {
    /// Rows of `columns` scores turned into probabilities, without overflow.
    static func rows(_ scores: [Double], columns: Int) -> [Double] {
        var result = scores
        for start in stride(from: 0, to: scores.count, by: max(1, columns)) {
            let range = start..<min(scores.count, start + columns)
            let top = scores[range].max() ?? 0
            var sum = 0.0
            for place in range {
                result[place] = Elementary.exp(scores[place] - top)
                sum += result[place]
            }
            for place in range { result[place] /= sum }
        }
        return result
    }
}
