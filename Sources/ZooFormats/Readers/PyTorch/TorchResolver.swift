import ZooBase
import ZooTensor

/// Recognises tensors among the nodes of a pickle.
struct TorchResolver {
    let graph: PickleGraph
    let storages: any TorchStorages

    enum Resolution {
        case tensor(TorchTensor)
        /// A tensor that is not read, and why.
        case unreadable(String)
        case notTensor
    }

    /// Whether a value is a tensor, readable or not, without looking at its arguments.
    func isTensor(_ value: PickleValue) -> Bool {
        guard let call = graph.call(value) else { return false }
        switch call.known {
        case .rebuildTensor, .rebuildTensorV2, .rebuildTensorV3, .rebuildParameter, .rebuildFromType,
            .rebuildQuantized, .rebuildSparse, .rebuildMeta, .numpyReconstruct, .numpyFromBuffer:
            return true
        default: return false
        }
    }

    /// The tensor of a value.
    ///
    /// - Throws: `corrupt` when it does not lie inside its storage or its description is malformed.
    func resolve(_ value: PickleValue) throws -> Resolution {
        guard let call = graph.call(value), let known = call.known else { return .notTensor }
        guard let arguments = graph.node(call.arguments) else { return .notTensor }
        return try resolve(known, arguments, call, depth: 0)
    }

    private func resolve(
        _ known: KnownGlobal, _ arguments: PickleNode, _ call: PickleGraph.Call, depth: Int
    ) throws -> Resolution {
        switch known {
        case .rebuildTensor: return try view(arguments, metadata: .absent, type: .absent)
        case .rebuildTensorV2: return try view(arguments, metadata: graph.item(arguments, 6), type: .absent)
        case .rebuildTensorV3:
            return try view(arguments, metadata: graph.item(arguments, 7), type: graph.item(arguments, 6))
        case .rebuildParameter: return try inner(graph.item(arguments, 0), depth)
        case .rebuildFromType: return try rebuiltType(arguments, call, depth)
        case .rebuildQuantized: return .unreadable("quantised tensors are not read")
        case .rebuildSparse: return .unreadable("sparse tensors are not read")
        case .rebuildMeta: return .unreadable("saved without data (a tensor of the meta device)")
        case .numpyReconstruct: return try NumpyPickle(graph: graph).array(call)
        case .numpyFromBuffer: return try NumpyPickle(graph: graph).buffer(arguments)
        default: return .notTensor
        }
    }

    /// A tensor wrapped in another: a parameter around its data. Wrappers nest a few levels at most.
    private func inner(_ value: PickleValue, _ depth: Int) throws -> Resolution {
        guard depth < 8, let call = graph.call(value), let known = call.known,
            let arguments = graph.node(call.arguments)
        else { throw ZooError(.corrupt, "a parameter without its tensor") }
        return try resolve(known, arguments, call, depth: depth + 1)
    }

    /// `_rebuild_from_type_v2(function, type, arguments, state)`.
    private func rebuiltType(_ arguments: PickleNode, _ call: PickleGraph.Call, _ depth: Int) throws -> Resolution {
        guard depth < 8, let known = graph.known(graph.item(arguments, 0)),
            let inner = graph.node(graph.item(arguments, 2))
        else {
            let name = graph.globalName(graph.item(arguments, 0)) ?? "an unnamed function"
            return .unreadable("rebuilt by \(name), which is not executed")
        }
        return try resolve(known, inner, call, depth: depth + 1)
    }

    // MARK: Views of storages

    /// `(storage, offset, size, stride, …)`.
    private func view(_ arguments: PickleNode, metadata: PickleValue, type: PickleValue) throws -> Resolution {
        guard let reference = graph.node(graph.item(arguments, 0)), reference.kind == .persistent,
            let identifier = graph.node(graph.identifier(reference)), identifier.kind == .tuple,
            graph.isText(graph.item(identifier, 0), "storage")
        else { throw ZooError(.corrupt, "a tensor without a storage") }
        guard let key = graph.text(graph.item(identifier, 2)), let count = graph.item(identifier, 4).int, count >= 0
        else { throw ZooError(.corrupt, "a storage without key or size") }
        let storageType = graph.known(graph.item(identifier, 1))
        guard let dtype = elementType(storageType, type) else {
            let class_ = graph.globalName(graph.item(identifier, 1)) ?? "?"
            let name = graph.globalName(type) ?? class_
            return .unreadable("element type \(name) is not read")
        }
        let shape = try Shape(validating: integers(graph.item(arguments, 2), "size"))
        let strides = try integers(graph.item(arguments, 3), "stride")
        guard var offset = graph.item(arguments, 1).int else { throw ZooError(.corrupt, "a tensor without an offset") }
        guard strides.count == shape.rank else {
            throw ZooError(.corrupt, "size \(shape) has \(shape.rank) axes, stride \(strides) has \(strides.count)")
        }
        guard let storage = try storages.storage(key: key) else {
            throw ZooError(.corrupt, "storage '\(key)' is not in the file")
        }
        let isUntyped = storageType == .untypedStorage
        let (bytes, overflow) = count.multipliedReportingOverflow(by: isUntyped ? 1 : dtype.byteCount)
        guard !overflow, bytes <= storage.byteCount else {
            throw ZooError(
                .corrupt,
                "storage '\(key)' should hold \(count) elements of \(isUntyped ? "1" : "\(dtype.byteCount)") "
                    + "bytes, the file has \(storage.byteCount) bytes")
        }
        offset = try shifted(offset, by: graph.item(identifier, 5))
        try check(shape, strides, offset, elementCount: bytes / dtype.byteCount)
        if shape.elementCount == 0 { offset = 0 }
        let isPlain = StridedCopy.isRowMajor(shape.dimensions, strides)
        return .tensor(
            TorchTensor(
                info: TensorInfo(name: "", dtype: dtype, shape: shape),
                storage: TorchStorage(place: storage.place, byteCount: bytes), elementOffset: offset,
                strides: isPlain ? nil : strides, isBigEndian: storages.isBigEndian,
                isConjugate: flag("conj", metadata), isNegative: flag("neg", metadata)))
    }

    private func elementType(_ storage: KnownGlobal?, _ type: PickleValue) -> DType? {
        if case .dtype(let given) = graph.known(type) { return given }
        if case .storage(let own) = storage { return own }
        return storage == .untypedStorage && type.kind == .absent ? .uint8 : nil
    }

    private func flag(_ name: StaticString, _ metadata: PickleValue) -> Bool {
        metadata.kind == .node && graph.value(name, in: metadata, most: 64).bool == true
    }

    /// Legacy storages may be views `(key, offset, size)` of a root storage.
    private func shifted(_ offset: Int, by metadata: PickleValue) throws -> Int {
        guard let view = graph.node(metadata), view.kind == .tuple else { return offset }
        guard let start = graph.item(view, 1).int, start >= 0 else {
            throw ZooError(.corrupt, "a storage view without an offset")
        }
        let (sum, overflow) = offset.addingReportingOverflow(start)
        guard !overflow else { throw ZooError(.corrupt, "a storage view at offset \(start)") }
        return sum
    }

    private func integers(_ value: PickleValue, _ what: String) throws -> [Int] {
        guard let items = graph.elements(value) else { throw ZooError(.corrupt, "a tensor without a \(what)") }
        var numbers: [Int] = []
        numbers.reserveCapacity(4)
        for item in items {
            guard let number = item.int, numbers.count < 64 else {
                throw ZooError(.corrupt, "a \(what) that is not a short list of integers")
            }
            numbers.append(number)
        }
        return numbers
    }

    /// offset + Σ (size − 1)·stride < elements of the storage, without overflow.
    private func check(_ shape: Shape, _ strides: [Int], _ offset: Int, elementCount: Int) throws {
        guard offset >= 0, strides.allSatisfy({ $0 >= 0 }) else {
            throw ZooError(.corrupt, "negative offset \(offset) or stride \(strides)")
        }
        if shape.dimensions.contains(0) { return }
        var last = offset
        for (extent, stride) in zip(shape.dimensions, strides) {
            let (span, tooWide) = (extent - 1).multipliedReportingOverflow(by: stride)
            let (sum, tooFar) = last.addingReportingOverflow(span)
            guard !tooWide, !tooFar else { throw ZooError(.corrupt, "stride \(strides) leaves the address space") }
            last = sum
        }
        guard last < elementCount else {
            throw ZooError(
                .corrupt,
                "size \(shape), stride \(strides), offset \(offset) reach element \(last) of a storage of "
                    + "\(elementCount)")
        }
    }
}
