import ZooBase

/// A source that computes any run of elements of a tensor on demand, so that results larger than memory can be
/// written piece by piece and by several threads.
public protocol ChunkedTensorSource: TensorSource {
    /// Prepares one tensor.
    ///
    /// - Throws: `notFound` for an unknown name; whatever opening the inputs throws.
    func elements(of name: String) throws -> any ElementRun
}

/// One tensor, ready to be computed run by run. Runs may be asked for in any order and from several threads; the
/// values do not depend on how a tensor is cut.
public protocol ElementRun: Sendable {
    /// Name, type and shape of the result.
    var info: TensorInfo { get }

    /// Makes whatever passes over the inputs must come before the first run (norms, thresholds). Runs that have none
    /// do nothing; runs that were not prepared prepare themselves when they are first asked.
    ///
    /// - Parameter jobs: threads to use; the values do not depend on them.
    func prepare(jobs: Int) throws

    /// Writes elements `range` (flat, row-major) to `output`, which holds exactly their bytes.
    func compute(_ range: Range<Int>, into output: UnsafeMutableRawBufferPointer) throws

    /// Tells that `range` will not be asked for again, so that mapped input pages may leave memory.
    func release(_ range: Range<Int>)
}

extension ElementRun {
    /// Nothing to prepare.
    public func prepare(jobs: Int) throws {}
}

extension ChunkedTensorSource {
    /// One tensor, computed whole.
    public func tensor(named name: String) throws -> Tensor {
        let run = try elements(of: name)
        let bytes = try Bytes(byteCount: run.info.byteCount) { output in
            try run.compute(0..<run.info.shape.elementCount, into: output)
            return output.count
        }
        return try Tensor(shape: run.info.shape, dtype: run.info.dtype, bytes: bytes)
    }
}

/// The runs of a tensor that already exists: slices of its bytes.
public struct StoredElementRun: ElementRun {
    /// Name, type and shape.
    public let info: TensorInfo
    private let bytes: Bytes

    /// Runs over `tensor`, under `name`.
    public init(_ tensor: Tensor, name: String) {
        info = TensorInfo(name: name, dtype: tensor.dtype, shape: tensor.shape)
        bytes = tensor.bytes
    }

    /// Copies elements.
    public func compute(_ range: Range<Int>, into output: UnsafeMutableRawBufferPointer) throws {
        let size = info.dtype.byteCount
        let slice = try bytes.slice(range.lowerBound * size, range.count * size)
        slice.withUnsafeBytes { output.copyMemory(from: $0) }
    }

    /// Releases mapped pages.
    public func release(_ range: Range<Int>) {
        let size = info.dtype.byteCount
        (try? bytes.slice(range.lowerBound * size, range.count * size))?.releasePages()
    }
}

extension TensorSource {
    /// The runs of a tensor of any source: computed when the source can, else read whole and sliced.
    public func elementRun(of name: String) throws -> any ElementRun {
        if let chunked = self as? any ChunkedTensorSource { return try chunked.elements(of: name) }
        return StoredElementRun(try tensor(named: name), name: name)
    }
}
