/// Changes the size of pictures by a triangle filter as wide as the scale asks for (bilinear with antialiasing), pixel
/// centres at half-integers, edges by renormalised weights: what `torch.nn.functional.interpolate(mode="bilinear",
/// antialias=True)` and Pillow's `BILINEAR` compute. Results are not rounded.
enum Resampling {
    /// The weights of one axis: for each target pixel the first source pixel and its weights.
    private static func weights(from source: Int, to target: Int) -> [(first: Int, weights: [Float])] {
        let scale = Double(source) / Double(target)
        let support = max(1, scale)
        return (0..<target).map { index in
            let center = scale * (Double(index) + 0.5)
            let first = max(0, Int(center - support + 0.5))
            let last = min(source, Int(center + support + 0.5))
            let raw = (first..<max(first + 1, last)).map {
                max(0, 1 - abs((Double($0) - center + 0.5) / support))
            }
            let sum = raw.reduce(0, +)
            return (first, raw.map { Float($0 / (sum == 0 ? 1 : sum)) })
        }
    }

    /// Resamples planes.
    ///
    /// - Parameters:
    ///   - planes: `count` planes of `height` × `width`, one after the other.
    ///   - size: height and width wanted.
    static func resize(_ planes: [Float], count: Int, height: Int, width: Int, to size: (height: Int, width: Int))
        -> [Float]
    {
        if (height, width) == size { return planes }
        let columns = weights(from: width, to: size.width)
        let rows = weights(from: height, to: size.height)
        var narrow = [Float](repeating: 0, count: height * size.width)
        var result = [Float](repeating: 0, count: count * size.height * size.width)
        for plane in 0..<count {
            let start = plane * height * width
            for row in 0..<height {
                for (column, taps) in columns.enumerated() {
                    var sum: Float = 0
                    for (offset, weight) in taps.weights.enumerated() {
                        sum += weight * planes[start + row * width + taps.first + offset]
                    }
                    narrow[row * size.width + column] = sum
                }
            }
            let target = plane * size.height * size.width
            for (row, taps) in rows.enumerated() {
                for column in 0..<size.width {
                    var sum: Float = 0
                    for (offset, weight) in taps.weights.enumerated() {
                        sum += weight * narrow[(taps.first + offset) * size.width + column]
                    }
                    result[target + row * size.width + column] = sum
                }
            }
        }
        return result
    }
}
