import ZooBase
import ZooFormats
import ZooNN
import ZooTensor

/// Reads numeric arrays of MATLAB files of version 5 (`.mat`, as `save -v6` and `-v7` and `scipy.io.savemat` write
/// them): SVHN's `X` and `y`, or any names that `SplitPairing` knows.
///
/// Layout: 116 bytes of text, 8 unused, version 0x0100, `IM` (little-endian) or `MI`. Then elements: type and byte count
/// (u32 each) and data padded to 8 bytes, or, up to 4 bytes, count and type (u16 each) and data in one 8-byte word. A
/// compressed element (15) is a zlib stream of one element. A matrix (14) holds flags, extents, name and numbers, which
/// may be stored in a smaller type than the array's; column-major.
///
/// Pictures `[H, W, C, N]` become `[N, C, H, W]`. Labels from 1 to 10 are digits whose 10 stands for 0, as SVHN has it.
public enum MATLABReader: DatasetReader {
    /// `matlab`.
    public static let format = "matlab"
    /// Arrays of one file.
    private static let arrayLimit = 1000
    /// Bytes that one compressed array may become.
    private static let unpackedLimit = 16 << 30

    /// Whether the bytes begin like version 5.
    public static func accepts(_ place: DataPlace) -> Bool {
        guard case .file(let file) = place, file.bytes.count >= 128, file.bytes.starts(with: Array("MATLAB 5".utf8))
        else { return false }
        return endianness(file.bytes) != nil
    }

    private static func endianness(_ bytes: Bytes) -> Bool? {
        switch (bytes[126], bytes[127]) {
        case (0x49, 0x4D): false
        case (0x4D, 0x49): true
        default: nil
        }
    }

    /// The splits by the arrays' names.
    public static func splits(_ place: DataPlace, _ options: DataOptions) throws -> [StoredSplit] {
        guard case .file(let file) = place else {
            throw ZooError(.unsupported, "\(place.name): a folder is no MATLAB file")
        }
        return try ZooError.locate(file.name) {
            let splits = try SplitPairing.splits(
                arrays(file.bytes), labels: options.labels, onlySplit: file.splitName ?? "all")
            return splits.map(withDigitZero)
        }
    }

    /// Labels 1 to 10 that reach 10 with pictures of three colours: 10 is the digit zero.
    static func withDigitZero(_ split: StoredSplit) -> StoredSplit {
        guard split.split.inputShape.count == 3, split.split.inputShape[0] == 3, split.isLabelled else { return split }
        var copy = split
        copy.read = {
            var samples = try split.read()
            if let values = samples.labels?.doubles(), values.allSatisfy({ (1...10).contains($0) }), values.contains(10)
            {
                samples.labels = .labels(values.map { $0 == 10 ? 0 : Int($0) })
            }
            return samples
        }
        return copy
    }

    // MARK: Axes

    /// The extents after `rowMajor`, of an array whose axes lie reversed.
    static func rowMajorShape(_ reversed: Shape) -> Shape {
        let extents = reversed.dimensions
        if extents.count == 4 { return Shape([extents[0], extents[1], extents[3], extents[2]]) }
        return Shape(extents.reversed())
    }

    /// Column-major numbers, given as row-major with reversed extents: pictures with the samples first, all else with
    /// its own order of axes.
    static func rowMajor(_ reversed: Tensor) throws -> Tensor {
        let rank = reversed.shape.rank
        if rank == 4 { return try reversed.permuted([0, 1, 3, 2]) }
        if reversed.shape.dimensions.count(where: { $0 > 1 }) <= 1 {
            return reversed.reshaped(rowMajorShape(reversed.shape))
        }
        return try reversed.permuted((0..<rank).reversed())
    }

    // MARK: Elements

    static func arrays(_ bytes: Bytes) throws -> [NamedArray] {
        guard bytes.count >= 128, let isBig = endianness(bytes) else {
            throw ZooError(.corrupt, "does not begin like a MATLAB file of version 5")
        }
        var elements = MATLABElements(bytes: bytes, position: 128, isBigEndian: isBig)
        var arrays: [NamedArray] = []
        while let element = try elements.next() {
            guard arrays.count < arrayLimit else { throw ZooError(.limit, "more than \(arrayLimit) arrays") }
            var matrix = element
            if element.type == 15 {
                let unpacked = try Inflate.stream(element.data, frame: .zlib, limit: unpackedLimit, name: "array")
                var inner = MATLABElements(bytes: unpacked, position: 0, isBigEndian: isBig)
                guard let found = try inner.next() else {
                    throw ZooError(.corrupt, "a compressed array without content")
                }
                matrix = found
            }
            guard matrix.type == 14 else { continue }
            if let array = try array(matrix.data, isBig) { arrays.append(array) }
        }
        return arrays
    }

    /// A numeric array; nil for cells, structures, text, sparse and complex ones.
    private static func array(_ bytes: Bytes, _ isBig: Bool) throws -> NamedArray? {
        var parts = MATLABElements(bytes: bytes, position: 0, isBigEndian: isBig)
        guard let flags = try parts.next(), flags.type == 6, flags.data.count >= 8 else {
            throw ZooError(.corrupt, "an array without flags")
        }
        let word = try parts.number(flags.data, 0)
        guard (6...15).contains(word & 0xFF), word & 0x0800 == 0 else { return nil }
        guard let extents = try parts.next(), extents.type == 5, extents.data.count % 4 == 0, extents.data.count <= 256
        else { throw ZooError(.corrupt, "an array without extents") }
        let shape = try Shape(
            validating: (0..<extents.data.count / 4).map {
                Int(Int32(bitPattern: try parts.number(extents.data, 4 * $0)))
            })
        guard let name = try parts.next(), let numbers = try parts.next() else {
            throw ZooError(.corrupt, "an array without name or numbers")
        }
        let text = name.data.prefix(1024).withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
        guard let dtype = types[numbers.type] else {
            throw ZooError(.corrupt, "array '\(text)': numbers of type \(numbers.type)")
        }
        guard numbers.data.count == shape.elementCount * dtype.byteCount else {
            throw ZooError(
                .corrupt,
                "array '\(text)': \(shape) of \(dtype.rawValue) takes \(shape.elementCount * dtype.byteCount) "
                    + "bytes, found \(numbers.data.count)")
        }
        let reversed = Shape(shape.dimensions.reversed())
        let info = TensorInfo(name: text, dtype: dtype, shape: rowMajorShape(reversed))
        return NamedArray(info: info) {
            let data = isBig ? swapped(numbers.data, dtype.byteCount) : numbers.data
            return try rowMajor(Tensor(shape: reversed, dtype: dtype, bytes: data))
        }
    }

    private static let types: [UInt32: DType] = [
        1: .int8, 2: .uint8, 3: .int16, 4: .uint16, 5: .int32, 6: .uint32, 7: .float32, 9: .float64, 12: .int64,
        13: .uint64,
    ]

    private static func swapped(_ bytes: Bytes, _ width: Int) -> Bytes {
        Bytes(byteCount: bytes.count) { output in
            for index in 0..<bytes.count { output[index] = bytes[index / width * width + width - 1 - index % width] }
            return bytes.count
        }
    }
}

/// The elements of a MATLAB file or of an array in it.
struct MATLABElements {
    struct Element {
        var type: UInt32
        var data: Bytes
    }

    let bytes: Bytes
    var position: Int
    let isBigEndian: Bool

    /// A 32-bit number in the byte order of the file.
    func number(_ data: Bytes, _ offset: Int) throws -> UInt32 {
        let value = try data.littleEndian(UInt32.self, at: offset)
        return isBigEndian ? value.byteSwapped : value
    }

    /// The next element; nil at the end.
    mutating func next() throws -> Element? {
        guard position < bytes.count else { return nil }
        let word = try number(bytes, position)
        if word >> 16 != 0 {
            let length = Int(word >> 16)
            guard length <= 4 else {
                throw ZooError(.corrupt, "offset \(position): a small element of \(length) bytes")
            }
            let data = try bytes.slice(position + 4, length)
            position += 8
            return Element(type: word & 0xFFFF, data: data)
        }
        let length = Int(try number(bytes, position + 4))
        let data = try ZooError.locate("offset \(position)") { try bytes.slice(position + 8, length) }
        // Compressed elements are not padded.
        position += 8 + (word == 15 ? length : (length + 7) / 8 * 8)
        return Element(type: word, data: data)
    }
}
