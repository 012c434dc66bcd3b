import ZooBase

extension GraphNode {
    /// The largest whole number that an attribute of a node may be: no network has more, and sums and products of a
    /// few of them stay far from overflow.
    static let largestAttribute = 1 << 24

    /// The least value of an attribute that is a whole number; nil for other attributes.
    private static func minimum(_ key: String, of op: GraphOperator) -> Int? {
        switch (op, key) {
        case (.rmsNorm, "offset"): nil
        case (_, "padding"), (_, "start"), (_, "offset"), (_, "row"), (_, "axis"): 0
        case (_, "stride"), (_, "dilation"), (_, "groups"), (_, "kernel"), (_, "length"), (_, "heads"), (_, "kv_heads"):
            1
        // Negative ones count from the end.
        case (_, "index"): -largestAttribute
        default: nil
        }
    }

    /// What is wrong with the types and sizes of the attributes that the operator knows; nil when nothing is.
    var attributeFault: String? {
        for (key, value) in attributes where op.attributeNames.contains(key) {
            let expected: String
            if let minimum = Self.minimum(key, of: op) {
                if let number = value.int, number >= minimum, number <= Self.largestAttribute { continue }
                expected = "a whole number from \(minimum) to \(Self.largestAttribute)"
            } else if key == "transposed" || key == "causal" {
                if value.bool != nil { continue }
                expected = "true or false"
            } else if key == "kind" {
                if value.string != nil { continue }
                expected = "a name"
            } else {
                if value.double != nil { continue }
                expected = "a number"
            }
            return "'\(key)': expected \(expected), found \(value.text())"
        }
        return nil
    }
}

extension GraphShapes {
    /// The most elements of one sample anywhere in a network.
    static let elementLimit = 1 << 40

    /// The number of elements of these extents; nil when one is negative or there are more than `elementLimit`.
    static func elementCount(_ extents: [Int]) -> Int? {
        var product = 1
        for extent in extents {
            let (next, overflows) = product.multipliedReportingOverflow(by: extent)
            guard extent >= 0, extent <= elementLimit, !overflows, next <= elementLimit else { return nil }
            product = next
        }
        return product
    }
}
