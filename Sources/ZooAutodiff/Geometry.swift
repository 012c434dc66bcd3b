import ZooBase
import ZooTensor

/// Stride, padding, dilation and groups of a two-dimensional convolution (as PyTorch's: a cross-correlation).
public struct Convolution: Sendable, Hashable {
    /// Rows and columns between neighbouring outputs.
    public var stride: [Int]
    /// Zeros put before and after each row and column.
    public var padding: [Int]
    /// Rows and columns between neighbouring taps.
    public var dilation: [Int]
    /// Blocks of channels that do not mix.
    public var groups: Int

    /// A geometry; the two numbers of each list are for rows and columns.
    public init(stride: [Int] = [1, 1], padding: [Int] = [0, 0], dilation: [Int] = [1, 1], groups: Int = 1) {
        self.stride = stride
        self.padding = padding
        self.dilation = dilation
        self.groups = groups
    }

    /// A geometry that treats rows and columns alike.
    public init(stride: Int, padding: Int = 0, dilation: Int = 1, groups: Int = 1) {
        self.init(
            stride: [stride, stride], padding: [padding, padding], dilation: [dilation, dilation], groups: groups)
    }
}

/// A convolution with the extents that an operation on it knows: what its three faces share.
struct ConvolutionForm: Sendable, Hashable, CustomStringConvertible {
    var geometry: Convolution
    /// Extents of the image plane.
    var imageSize: [Int]
    /// Extents of the kernel.
    var kernelSize: [Int]

    /// Blocks of channels that do not mix.
    var groups: Int {
        get { geometry.groups }
        set { geometry.groups = newValue }
    }

    /// A matrix product with weights, as a convolution of images of one pixel.
    static let point = ConvolutionForm(geometry: Convolution(), imageSize: [1, 1], kernelSize: [1, 1])

    var description: String {
        let (kernel, image) = (kernelSize.map(String.init), imageSize.map(String.init))
        let groups = groups > 1 ? ", \(groups) groups" : ""
        return "\(kernel.joined(separator: "x")) on \(image.joined(separator: "x")), stride \(geometry.stride)\(groups)"
    }

    /// The extent of the output along one axis of the plane (0 rows, 1 columns).
    func outputExtent(_ axis: Int) -> Int {
        let span = geometry.dilation[axis] * (kernelSize[axis] - 1) + 1
        let room = imageSize[axis] + 2 * geometry.padding[axis] - span
        return room < 0 ? 0 : room / geometry.stride[axis] + 1
    }

    /// The input row (or column) that a tap reads for an output, or nil where it falls into the padding.
    func source(_ axis: Int, output: Int, tap: Int) -> Int? {
        let place = output * geometry.stride[axis] - geometry.padding[axis] + tap * geometry.dilation[axis]
        return place >= 0 && place < imageSize[axis] ? place : nil
    }
}

/// The three faces of the trilinear form ⟨dy, conv(x, w)⟩: each is the form with one argument left out.
enum ConvolutionFace: Sendable, Hashable {
    /// Operands x, w; result dy's shape.
    case output
    /// Operands dy, w; result x's shape.
    case inputGradient
    /// Operands x, dy; result w's shape.
    case weightGradient
}

/// Windows over a plane: a range of rows for each output row, of columns for each output column.
///
/// Covers strided pooling with clipped padding and adaptive pooling alike. The plane is made of axes `axis` and
/// `axis + 1`; what follows them is carried along.
struct Windows: Sendable, Hashable, CustomStringConvertible {
    var axis: Int
    var rows: [Range<Int>]
    var columns: [Range<Int>]
    /// Kernel, stride and padding, when all windows are cut alike.
    var uniform: [Int]?

    var description: String {
        uniform.map { "\($0[0]), stride \($0[1]), padding \($0[2])" } ?? "\(rows.count)x\(columns.count) uneven"
    }

    /// The shape of one number per window.
    func outputShape(_ shape: Shape) -> Shape {
        shape.replacing(axis, by: rows.count).replacing(axis + 1, by: columns.count)
    }

    /// Windows of equal size every `stride`, over an extent with padding on both sides; clipped to the extent.
    static func strided(extent: Int, kernel: Int, stride: Int, padding: Int, roundingUp: Bool) -> [Range<Int>] {
        let room = extent + 2 * padding - kernel
        guard room >= 0 else { return [] }
        var count = (roundingUp ? room + stride - 1 : room) / stride + 1
        // A last window that would begin in the padding after the extent does not count (PyTorch's rule).
        if roundingUp, (count - 1) * stride >= extent + padding { count -= 1 }
        return (0..<count).map { index in
            let start = index * stride - padding
            return max(0, start)..<min(extent, start + kernel)
        }
    }

    /// `count` windows that cover an extent as evenly as integers allow.
    static func adaptive(extent: Int, count: Int) -> [Range<Int>] {
        (0..<count).map { ($0 * extent / count)..<((($0 + 1) * extent + count - 1) / count) }
    }
}

/// The shape of two arrays combined element by element, extents of one repeated; nil when they do not fit.
func broadcastShape(_ a: Shape, _ b: Shape) -> Shape? {
    let rank = max(a.rank, b.rank)
    var extents = [Int](repeating: 1, count: rank)
    for axis in 0..<rank {
        let left = axis < rank - a.rank ? 1 : a[axis - (rank - a.rank)]
        let right = axis < rank - b.rank ? 1 : b[axis - (rank - b.rank)]
        guard left == right || left == 1 || right == 1 else { return nil }
        extents[axis] = left == 1 ? right : left
    }
    return Shape(extents)
}
