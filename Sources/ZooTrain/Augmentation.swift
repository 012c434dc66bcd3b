import ZooBase
import ZooNN
import ZooTensor

/// Random changes of the training samples, drawn again in every epoch.
package struct Augmentation: Sendable, Hashable {
    /// Whole pixels at most, along both axes; what comes in is zero.
    package var shift = 0
    /// Standard deviation of normal noise on every number.
    package var noise = 0.0
    /// Probability of a horizontal flip.
    package var flip = 0.0

    package init() {}

    /// Whether samples are left alone.
    package var isEmpty: Bool { shift == 0 && noise == 0 && flip == 0 }

    /// - Throws: `usage` for a shift out of the image, or shifts and flips of samples that are no images.
    func check(shape: [Int]) throws {
        guard shift > 0 || flip > 0 else { return }
        guard shape.count == 3 else {
            throw ZooError(.usage, "augment: shift and flip are for images; samples are \(shape)")
        }
        let least = min(shape[1], shape[2])
        guard shift < least else {
            throw ZooError(
                .usage, "augment.shift: expected fewer than the \(least) pixels of the images, found \(shift)")
        }
    }

    /// Writes a changed copy of a sample of extents `[C, H, W]` (or `[D]`, for noise alone).
    func apply(
        _ sample: UnsafePointer<Float>, to target: UnsafeMutablePointer<Float>, shape: [Int],
        _ generator: inout CounterGenerator
    ) {
        let count = shape.reduce(1, *)
        if shape.count == 3 {
            let down = shift > 0 ? generator.below(2 * shift + 1) - shift : 0
            let right = shift > 0 ? generator.below(2 * shift + 1) - shift : 0
            let flips = flip > 0 && generator.uniform() < flip
            let (height, width) = (shape[1], shape[2])
            for place in 0..<count {
                let column = place % width, row = place / width % height, plane = place / (width * height)
                var x = column - right
                let y = row - down
                if flips { x = width - 1 - x }
                let isInside = x >= 0 && x < width && y >= 0 && y < height
                target[place] = isInside ? sample[(plane * height + y) * width + x] : 0
            }
        } else {
            target.update(from: sample, count: count)
        }
        if noise > 0 { for place in 0..<count { target[place] += Float(noise * generator.normal()) } }
    }
}

/// A fixed change of all inputs of a data set: the tasks that networks are fine-tuned for.
package enum InputTransform: Sendable, Hashable, CustomStringConvertible {
    /// Counter-clockwise quarter turns, as `torch.rot90(x, turns, (2, 3))`.
    case rotate(Int)
    /// Left and right swapped.
    case mirror
    /// 1 − x.
    case invert
    /// x · factor.
    case dim(Double)
    /// Rolled right by columns, as `torch.roll(x, columns, 3)`.
    case shift(Int)
    /// Normal noise of this standard deviation, drawn once.
    case noise(Double)
    /// The last columns, so many of them, become zero.
    case occlude(Int)

    private static let names = ["rot90", "rot180", "rot270", "mirror", "invert", "dim", "shift", "noise", "occlude"]

    /// Reads `rot90` or `{dim: 0.25}`.
    ///
    /// - Throws: `usage` for an unknown name, several names in one mapping, or a number that makes no sense.
    package init(_ value: JSONValue) throws {
        if let members = value.object?.members, members.count > 1 {
            throw ZooError(
                .usage, "transform: expected one name and its number, found \(members.count): \(value.text())",
                hint: "list several: [{dim: 0.5}, {shift: 2}]")
        }
        // What `description` writes, `dim=0.25`, is read too.
        let words = (value.string ?? "").split(separator: "=", maxSplits: 1).map(String.init)
        let name = words.first ?? value.object?.members.first?.key ?? ""
        let stated = words.count == 2 ? JSONValue.string(words[1]) : value.object?.members.first?.value ?? .null
        let number = stated.double ?? stated.string.flatMap { Double($0) }
        if stated != .null, Self.names.contains(name) {
            try Self.check(number, of: name, stated)
        }
        switch name {
        case "rot90": self = .rotate(1)
        case "rot180": self = .rotate(2)
        case "rot270": self = .rotate(3)
        case "mirror": self = .mirror
        case "invert": self = .invert
        case "dim": self = .dim(number ?? 0.25)
        case "shift": self = .shift(Int(max(-1e6, min(1e6, number ?? 2))))
        case "noise": self = .noise(number ?? 0.5)
        case "occlude": self = .occlude(Int(max(0, min(1e6, number ?? 3))))
        default:
            throw ZooError(
                .usage, "there is no transform '\(name)'",
                hint: NearestName.hint(name, in: Self.names, kind: "transforms"))
        }
    }

    /// - Throws: `usage` when a transform does not go with a number, which is nil when it is none.
    private static func check(_ number: Double?, of name: String, _ stated: JSONValue) throws {
        let expected: String
        switch name {
        case "dim", "noise":
            if let number, number.isFinite { return }
            expected = "a number"
        case "shift":
            if let number, number == number.rounded(), abs(number) <= 1e6 { return }
            expected = "a whole number of columns, at most 1000000"
        case "occlude":
            if let number, number == number.rounded(), number >= 0, number <= 1e6 { return }
            expected = "a whole number of columns from 0 to 1000000"
        default: expected = "no number"
        }
        throw ZooError(.usage, "transform '\(name)': expected \(expected), found \(stated.text())")
    }

    package var description: String {
        switch self {
        case .rotate(let turns): "rot\(90 * turns)"
        case .mirror: "mirror"
        case .invert: "invert"
        case .dim(let factor): "dim=\(factor)"
        case .shift(let columns): "shift=\(columns)"
        case .noise(let deviation): "noise=\(deviation)"
        case .occlude(let columns): "occlude=\(columns)"
        }
    }

    /// - Throws: `mismatch` when samples are no images (no square ones, for rotations), or have no more columns than are
    ///   shifted or hidden: nothing would be left of them, or they would come round again.
    package func check(shape: [Int]) throws {
        var columns: Int?
        switch self {
        case .invert, .dim, .noise: return
        case .shift(let count), .occlude(let count): columns = count
        default: break
        }
        guard shape.count == 3 else {
            throw ZooError(.mismatch, "transform \(self) is for images; samples are \(shape)")
        }
        if case .rotate(let turns) = self, turns != 2, shape[1] != shape[2] {
            throw ZooError(.mismatch, "transform \(self) is for square images; samples are \(shape)")
        }
        if let columns, abs(columns) >= shape[2] {
            throw ZooError(
                .mismatch, "transform \(self): expected fewer than the \(shape[2]) columns of the images")
        }
    }

    /// - Throws: as `check`.
    func apply(_ values: inout [Float], shape: [Int], _ generator: inout CounterGenerator) throws {
        try check(shape: shape)
        switch self {
        case .invert:
            for place in values.indices { values[place] = 1 - values[place] }
            return
        case .dim(let factor):
            for place in values.indices { values[place] *= Float(factor) }
            return
        case .noise(let deviation):
            for place in values.indices { values[place] += Float(deviation * generator.normal()) }
            return
        default: break
        }
        let (height, width) = (shape[1], shape[2])
        let original = values
        for place in values.indices {
            let column = place % width, row = place / width % height, plane = place / (width * height)
            let (y, x) = source(row, column, height, width)
            values[place] = y < 0 ? 0 : original[(plane * height + y) * width + x]
        }
    }

    /// Where a pixel comes from; a negative row for nowhere.
    private func source(_ row: Int, _ column: Int, _ height: Int, _ width: Int) -> (row: Int, column: Int) {
        switch self {
        case .rotate(1): return (column, width - 1 - row)
        case .rotate(2): return (height - 1 - row, width - 1 - column)
        case .rotate: return (height - 1 - column, row)
        case .mirror: return (row, width - 1 - column)
        case .shift(let columns): return (row, ((column - columns) % width + width) % width)
        case .occlude(let columns): return column >= width - columns ? (-1, 0) : (row, column)
        default: return (row, column)
        }
    }
}
