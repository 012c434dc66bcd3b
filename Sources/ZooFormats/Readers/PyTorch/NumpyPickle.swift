import ZooBase
import ZooTensor

/// NumPy scalars and arrays inside pickles: `numpy.core.multiarray.scalar`, `_reconstruct` and `_frombuffer`.
struct NumpyPickle {
    let graph: PickleGraph

    private struct Element {
        var dtype: DType
        var isBigEndian: Bool
    }

    /// The number of `scalar(dtype, bytes)`; nil when the value is none or its type is not numeric.
    func scalar(_ value: PickleValue) -> Tensor? {
        guard let call = graph.call(value), call.known == .numpyScalar, let arguments = graph.node(call.arguments),
            let element = element(graph.item(arguments, 0)),
            let data = graph.byteString(graph.item(arguments, 1), most: 256),
            data.count == element.dtype.byteCount
        else { return nil }
        let bytes = element.isBigEndian ? swapped(data, element.dtype) : data
        return try? Tensor(shape: [], dtype: element.dtype, bytes: bytes)
    }

    /// How many bytes of text must be decoded to resolve a value; 0 for all but arrays of protocol 2.
    func decodingCost(_ value: PickleValue) -> Int {
        guard let call = graph.call(value) else { return 0 }
        switch call.known {
        case .numpyReconstruct:
            return graph.node(graph.state(call.node)).map { graph.encodedByteCount(graph.item($0, 4)) } ?? 0
        case .numpyFromBuffer:
            return graph.node(call.arguments).map { graph.encodedByteCount(graph.item($0, 0)) } ?? 0
        default: return 0
        }
    }

    /// An array by `_reconstruct(ndarray, (0,), b'b')` and the state `(version, shape, dtype, is_fortran, data)`.
    func array(_ call: PickleGraph.Call) throws -> TorchResolver.Resolution {
        guard let state = graph.node(graph.state(call.node)), state.kind == .tuple else {
            throw ZooError(.corrupt, "a NumPy array without its state")
        }
        let isFortran = graph.item(state, 3).int == 1
        return try array(
            data: graph.item(state, 4), dtype: graph.item(state, 2), shape: graph.item(state, 1), isFortran: isFortran)
    }

    /// An array by `_frombuffer(buffer, dtype, shape, order)` of protocol 5.
    func buffer(_ arguments: PickleNode) throws -> TorchResolver.Resolution {
        try array(
            data: graph.item(arguments, 0), dtype: graph.item(arguments, 1), shape: graph.item(arguments, 2),
            isFortran: graph.isText(graph.item(arguments, 3), "F"))
    }

    private func array(
        data: PickleValue, dtype: PickleValue, shape: PickleValue, isFortran: Bool
    ) throws -> TorchResolver.Resolution {
        guard let element = element(dtype) else { return .unreadable("a NumPy array of a type that is not numeric") }
        guard let bytes = graph.byteString(data) else { return .unreadable("a NumPy array of objects") }
        guard let items = graph.elements(shape) else { throw ZooError(.corrupt, "a NumPy array without a shape") }
        var extents: [Int] = []
        for item in items {
            guard let extent = item.int, extents.count < 64 else {
                throw ZooError(.corrupt, "a NumPy array with a malformed shape")
            }
            extents.append(extent)
        }
        let checked = try Shape(validating: extents)
        let info = TensorInfo(name: "", dtype: element.dtype, shape: checked)
        guard bytes.count == info.byteCount else {
            throw ZooError(
                .corrupt, "a NumPy array of shape \(checked) needs \(info.byteCount) bytes, found \(bytes.count)")
        }
        var tensor = TorchTensor(
            info: info, storage: TorchStorage(place: .separate(bytes), byteCount: bytes.count), elementOffset: 0,
            isBigEndian: element.isBigEndian)
        if isFortran {
            let strides = Array(Shape(extents.reversed()).rowMajorStrides.reversed())
            tensor.strides = StridedCopy.isRowMajor(extents, strides) ? nil : strides
        }
        return .tensor(tensor)
    }

    /// `dtype('f4', False, True)` with the state `(3, '<', …)`, whose second item is the byte order.
    private func element(_ value: PickleValue) -> Element? {
        guard let call = graph.call(value), call.known == .numpyDType, let arguments = graph.node(call.arguments),
            let code = graph.text(graph.item(arguments, 0)), let dtype = Self.types[code]
        else { return nil }
        guard let state = graph.node(graph.state(call.node)) else { return Element(dtype: dtype, isBigEndian: false) }
        return Element(dtype: dtype, isBigEndian: graph.isText(graph.item(state, 1), ">"))
    }

    private static let types: [String: DType] = [
        "b1": .bool, "u1": .uint8, "i1": .int8, "u2": .uint16, "i2": .int16, "u4": .uint32, "i4": .int32,
        "u8": .uint64, "i8": .int64, "f2": .float16, "f4": .float32, "f8": .float64, "c8": .complex64,
        "c16": .complex128,
    ]

    private func swapped(_ data: Bytes, _ type: DType) -> Bytes {
        Bytes(byteCount: data.count) { output in
            data.withUnsafeBytes { output.copyMemory(from: $0) }
            StridedCopy.swapBytes(UnsafeMutableRawBufferPointer(rebasing: output[..<data.count]), type)
            return data.count
        }
    }
}
