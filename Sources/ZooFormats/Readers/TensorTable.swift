import ZooBase
import ZooTensor

/// The table of contents of one checkpoint while a reader fills it and afterwards: entries in order, found by name.
struct TensorTable: Sendable {
    /// The tensors in the order of the file.
    private(set) var entries: [TensorEntry] = []
    private var positions: [String: Int] = [:]

    init() {}

    /// Makes room for a number of entries that the caller has checked against the bytes.
    mutating func reserve(_ count: Int) {
        entries.reserveCapacity(count)
        positions.reserveCapacity(count)
    }

    /// Adds a tensor.
    ///
    /// - Throws: `corrupt` when the name is there already: two tensors of one name mean that a tool which keeps the
    ///   first and a tool which keeps the last see different networks.
    mutating func append(_ entry: TensorEntry) throws {
        guard positions.updateValue(entries.count, forKey: entry.info.name) == nil else {
            throw ZooError(.corrupt, "tensor '\(entry.info.name)' is there twice")
        }
        entries.append(entry)
    }

    /// Where a tensor stands in `entries`.
    ///
    /// - Throws: `notFound` naming file and tensor.
    func position(of name: String, in file: String) throws -> Int {
        guard let position = positions[name] else { throw ZooError(.notFound, "\(file): no tensor '\(name)'") }
        return position
    }

    /// Whether there is a tensor of that name.
    func contains(_ name: String) -> Bool { positions[name] != nil }
}

extension Bytes {
    /// The elements of every `width` bytes in opposite byte order; `width` divides the count.
    func byteSwapped(width: Int) -> Bytes {
        guard width > 1 else { return self }
        return Bytes(byteCount: count) { output in
            withUnsafeBytes { input in
                var start = 0
                while start + width <= input.count {
                    for index in 0..<width { output[start + index] = input[start + width - 1 - index] }
                    start += width
                }
            }
            return count
        }
    }
}

/// `a * b`, or nil when it does not fit.
func multiplied(_ left: Int, _ right: Int) -> Int? {
    let (product, overflow) = left.multipliedReportingOverflow(by: right)
    return overflow ? nil : product
}

/// The part of a path after the last `/`, without its last extension: `zoo/a.b.npy` gives `a.b`.
func fileStem(_ path: String) -> String {
    let file = path.split(separator: "/").last.map(String.init) ?? path
    guard let dot = file.lastIndex(of: "."), dot != file.startIndex else { return file }
    return String(file[..<dot])
}
