import ZooTensor

/// The primitives. Every one has a rule in `rule(of:)`, and the rules emit only primitives, so derivatives nest.
enum Operation: Sendable, Hashable {
    /// An input, by its place among the program's inputs.
    case input(Int, isIndex: Bool)
    /// One number everywhere.
    case fill(Double)
    /// An array known when the program was built.
    case constant(Int)
    /// φ(x), element by element.
    case unary(Unary)
    /// a ∘ b, element by element, extents of one repeated (aligned at the last axis).
    case binary(Binary)
    /// Sum over the axes, which stay with extent one.
    case sum([Int])
    /// Extents of one (or missing in front) repeated.
    case broadcast
    /// The same elements under other extents; costs nothing.
    case reshape
    /// Axis *i* of the result is axis `order[i]` of the operand.
    case transpose([Int])
    /// The block that begins at `starts`.
    case slice([Int])
    /// The operand as the block that begins at `starts`, zeros elsewhere.
    case pad([Int])
    /// Operands one after the other along an axis.
    case concatenate(Int)
    /// Product of the last two axes, the others being a batch; optionally summed over the batch.
    case matmul(MatmulForm)
    /// One of the three faces of ⟨dy, conv(x, w)⟩.
    case convolution(ConvolutionFace, ConvolutionForm)
    /// Sums over windows of a plane.
    case windowSum(Windows)
    /// The transpose of `windowSum`: each element added to all places of its window.
    case windowSpread(Windows)
    /// Place of the largest element of each window; the first one on ties, NaN counts as largest. How a place is
    /// written is the executor's affair: only `windowTake` and `windowPut` read it.
    case windowArgmax(Windows)
    /// The elements of a plane at the places that `windowArgmax` of the same windows chose.
    case windowTake(Windows)
    /// The transpose of `windowTake`: values added at the chosen places, zeros elsewhere.
    case windowPut(Windows)
    /// Place of the largest element along an axis, the lowest on ties; NaN counts as largest.
    case argmax(Int)
    /// out[…, j, …] = x[…, index[…, j, …], …] along an axis.
    case take(Int)
    /// The transpose of `take`: values added to the places named by the indices.
    case put(Int)
    /// Rows of a table: the operands are table and indices.
    case gatherRows
    /// The transpose of `gatherRows`: operands are rows and indices.
    case scatterRows
    /// exp(x) / Σ exp(x) along an axis.
    case softmax(Int)
    /// log Σ exp(x) along an axis, which stays with extent one.
    case logSumExp(Int)
    /// One where two arrays of integers agree, else zero.
    case agree
    /// An operation that only lowering emits (see `LaneLayout`); it has no rule.
    case fused(Fused)

    var yieldsIndices: Bool {
        switch self {
        case .input(_, let isIndex): isIndex
        case .windowArgmax, .argmax: true
        default: false
        }
    }

    /// Whether running the operation takes no time: it has no kernel.
    var isFree: Bool {
        switch self {
        case .input, .constant, .fill, .reshape: true
        default: false
        }
    }
}

/// Operations on samples in lanes, shaped [batch / 16, channels, …, 16], that do the work of several primitives.
enum Fused: Sendable, Hashable {
    /// A product of two matrices in rows and the extras, without clamp; operands a, b (as `packProduct` left it when
    /// `isPacked`), then those that the extras name.
    case product(MatmulForm, Extras, isPacked: Bool)
    /// The right matrix of a product in the order in which the kernel reads it.
    case packProduct(MatmulForm)
    /// Products of many small matrices that lie inside larger arrays.
    case heads(HeadProduct)
    /// softmax(x + mask) along the last axis, extents of one of the mask repeated: operands x, mask.
    case maskedSoftmax
    /// p (g − Σ p g) along the last axis, the derivative of softmax applied: operands p, g.
    case softmaxSlope
    /// Weights [out, in, rows, columns] in the order in which a face of the convolution reads them.
    case packWeights(ConvolutionFace, ConvolutionForm)
    /// A face of a convolution; operands a, b and then those that the extras name.
    case convolution(ConvolutionFace, ConvolutionForm, Extras)
    /// A weight gradient for each sample by itself: [batch / 16, out, in, rows, columns, 16]; operands x, dy.
    case sampleGradients(ConvolutionForm)
    /// x · scale[c] (when `scales`) and the extras; operands x, scale, then those that the extras name.
    case channelAffine(scales: Bool, Extras)
    /// Σ x · y over all but the channels.
    case channelDots
    /// g · φ⁽ᵏ⁾(x): operands x, g.
    case slope(Unary)
    /// The largest element of each window, where nobody asks for its place.
    case maxPool(Windows)
    /// Rows to lanes: [samples, …] to [samples / 16, …, 16].
    case toLanes
    /// Lanes to rows.
    case fromLanes

    /// What is added to a result, and whether it is clamped at zero afterwards.
    struct Extras: Sendable, Hashable, CustomStringConvertible {
        /// A number per channel; the operand after the regular ones.
        var bias = false
        /// A whole array; the last operand, whose space the result takes over when it can.
        var initial = false
        /// max(·, 0) at the end.
        var clamps = false

        var description: String {
            [bias ? "bias" : "", initial ? "sum" : "", clamps ? "clamp" : ""].filter { !$0.isEmpty }
                .joined(separator: " + ")
        }
    }
}

/// Where the matrices of a batch of products lie: strides in numbers, along the axes of the batch and between the rows
/// of a stored matrix, whose own numbers follow each other. Attention's heads are read and written so, not copied.
struct HeadProduct: Sendable, Hashable {
    /// The extents of the batch.
    var batch: [Int]
    var rows: Int, columns: Int, depth: Int
    var transposeA: Bool, transposeB: Bool
    var aStride: Int, bStride: Int, cStride: Int
    var aSteps: [Int], bSteps: [Int], cSteps: [Int]
    /// What the product is multiplied with.
    var scale: Double
}

/// Functions of one number. The rule of each names its derivative in terms of the others.
enum Unary: Sendable, Hashable {
    case exp, log, tanh, sigmoid, softplus, relu, abs, sign, sqrt, rsqrt, reciprocal, square, erf, sin, cos
    /// scale · x + offset.
    case affine(Double, Double)
    /// x^p.
    case power(Double)
    /// 1 − y²: the slope of tanh, from its value.
    case oneMinusSquare
    /// y (1 − y): the slope of the logistic function, from its value.
    case logisticSlope
    /// The derivative of some order of x Φ(x).
    case gelu(Int)
    /// The derivative of some order of x σ(βx): SiLU for β = 1, "quick GELU" for β = 1.702.
    case swish(Double, Int)
}

/// Functions of two numbers.
enum Binary: Sendable, Hashable {
    case add, subtract, multiply, divide, maximum
    /// One where a > b, else zero.
    case greater
    /// a where b > 0, else zero: the derivative of ReLU, applied.
    case gate
}

/// Which operand of a matrix product is read transposed, and whether the products of a batch are summed.
package struct MatmulForm: Sendable, Hashable {
    var transposeA = false
    var transposeB = false
    /// Sum over all batch axes: the result is one matrix.
    var sumsBatch = false

    package init(transposeA: Bool = false, transposeB: Bool = false, sumsBatch: Bool = false) {
        self.transposeA = transposeA
        self.transposeB = transposeB
        self.sumsBatch = sumsBatch
    }
}
