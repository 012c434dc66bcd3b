import ZooBase

/// The extents of a tensor, outermost first; empty for a scalar.
public struct Shape: Sendable, Hashable, ExpressibleByArrayLiteral, CustomStringConvertible {
    /// The extents.
    public let dimensions: [Int]

    /// A shape of the given extents. Precondition: none is negative.
    public init(_ dimensions: [Int]) {
        precondition(dimensions.allSatisfy { $0 >= 0 }, "negative extent")
        self.dimensions = dimensions
    }

    /// A shape from numbers of a file.
    ///
    /// - Throws: `corrupt` when an extent is negative or the number of elements does not fit.
    public init(validating dimensions: [Int]) throws {
        guard dimensions.allSatisfy({ $0 >= 0 }) else {
            throw ZooError(.corrupt, "shape \(dimensions) has a negative extent")
        }
        var count = 1
        // An extent of zero must not hide the overflow of the others: their product still becomes a stride.
        for extent in dimensions where extent > 0 {
            let (product, overflow) = count.multipliedReportingOverflow(by: extent)
            guard !overflow, product <= 1 << 56 else {
                throw ZooError(.corrupt, "shape \(dimensions) has more elements than any file can hold")
            }
            count = product
        }
        self.dimensions = dimensions
    }

    /// A shape of the given extents.
    public init(arrayLiteral elements: Int...) { self.init(elements) }

    /// How many axes.
    public var rank: Int { dimensions.count }

    /// How many elements; one for a scalar.
    public var elementCount: Int { dimensions.reduce(1, *) }

    /// The extent of an axis.
    public subscript(axis: Int) -> Int { dimensions[axis] }

    /// Elements from one index to the next along each axis, in row-major order.
    public var rowMajorStrides: [Int] {
        var strides = [Int](repeating: 1, count: rank)
        for axis in stride(from: rank - 2, through: 0, by: -1) {
            strides[axis] = strides[axis + 1] * dimensions[axis + 1]
        }
        return strides
    }

    /// `[3, 4]`.
    public var description: String { "[" + dimensions.map(String.init).joined(separator: ", ") + "]" }
}
