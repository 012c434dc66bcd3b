import ZooBase

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Random changes of one input, a pure function of seed and counter: weak and strong views.
public struct SampleViews: Sendable, Hashable {
    /// Pixels that an image moves by at most, zeros filling up.
    public var shift = 0
    /// Deviation of added noise.
    public var noise = 0.0
    /// Side of a square of zeros somewhere in an image.
    public var cutout = 0
    /// Probability of a mirror image.
    public var flip = 0.0

    /// No change.
    public init() {}

    /// Reads `shift=1,noise=0.1,cutout=2,flip=0.5`; `none` for no change.
    ///
    /// - Throws: `usage` naming the part.
    public init(_ text: String) throws {
        guard text != "none" else { return }
        for part in text.split(separator: ",") {
            let pair = part.split(separator: "=", maxSplits: 1)
            guard pair.count == 2, let number = Double(pair[1]), number >= 0, number.isFinite else {
                throw ZooError(.usage, "'\(part)' is no view", hint: "as shift=1,noise=0.1,cutout=2,flip=0.5")
            }
            switch pair[0] {
            case "shift": shift = Int(min(number, 1_000_000))
            case "noise": noise = number
            case "cutout": cutout = Int(min(number, 1_000_000))
            case "flip": flip = min(1, number)
            default:
                throw ZooError(.usage, "there is no view '\(pair[0])'", hint: "there are shift, noise, cutout and flip")
            }
        }
    }

    /// A view of an input.
    ///
    /// - Parameters:
    ///   - shape: `[C, H, W]`; other inputs only get noise.
    ///   - counter: tells draws of one seed apart.
    public func apply(_ input: ArraySlice<Float>, shape: [Int], seed: UInt64, counter: UInt64) -> [Float] {
        var generator = SeededGenerator(seed: seed ^ counter &* 0xA076_1D64_78BD_642F)
        var values = Array(input)
        if shape.count == 3 {
            let dx = shift > 0 ? generator.below(2 * shift + 1) - shift : 0
            let dy = shift > 0 ? generator.below(2 * shift + 1) - shift : 0
            let isFlipped = flip > 0 && Self.uniform(&generator) < flip
            if dx != 0 || dy != 0 || isFlipped { values = Self.moved(values, shape, dx, dy, isFlipped) }
            if cutout > 0 { Self.cut(&values, shape, cutout, &generator) }
        }
        if noise > 0 {
            for place in values.indices { values[place] += Float(noise * Self.gaussian(&generator)) }
        }
        return values
    }

    private static func moved(_ x: [Float], _ shape: [Int], _ dx: Int, _ dy: Int, _ isFlipped: Bool) -> [Float] {
        let (height, width) = (shape[1], shape[2])
        var y = [Float](repeating: 0, count: x.count)
        for channel in 0..<shape[0] {
            for row in 0..<height where row - dy >= 0 && row - dy < height {
                for column in 0..<width where column - dx >= 0 && column - dx < width {
                    let from = isFlipped ? width - 1 - (column - dx) : column - dx
                    y[(channel * height + row) * width + column] = x[(channel * height + row - dy) * width + from]
                }
            }
        }
        return y
    }

    private static func cut(_ x: inout [Float], _ shape: [Int], _ side: Int, _ generator: inout SeededGenerator) {
        let (height, width) = (shape[1], shape[2])
        let top = generator.below(max(1, height - side + 1)), left = generator.below(max(1, width - side + 1))
        for channel in 0..<shape[0] {
            for row in top..<min(height, top + side) {
                for column in left..<min(width, left + side) { x[(channel * height + row) * width + column] = 0 }
            }
        }
    }

    private static func uniform(_ generator: inout SeededGenerator) -> Double {
        Double(generator.next() >> 11) * 0x1p-53
    }

    private static func gaussian(_ generator: inout SeededGenerator) -> Double {
        let radius = (-2 * log(max(uniform(&generator), 0x1p-53))).squareRoot()
        return radius * cos(2 * Double.pi * uniform(&generator))
    }
}
