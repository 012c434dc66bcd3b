import ZooBase
import ZooFormats
import ZooTensor

/// Tensors with zeros as bit masks and values: what `CompactReader` expands.
public enum CompactStorage {
    /// The smaller a tensor is stored with a mask, the sooner it pays: a bit per element against the bytes of the zeros.
    private static func pays(_ tensor: Tensor, zeros: Int) -> Bool {
        zeros * tensor.dtype.byteCount > (tensor.elementCount + 7) / 8 + 512
    }

    /// The tensors as they are stored, and the metadata that say which are packed. Elements count as zero when all
    /// their bits are: a negative zero is kept.
    ///
    /// - Throws: what reading throws.
    public static func pack(_ source: any TensorSource) throws -> (state: StateDict, metadata: [String: String]) {
        var state = StateDict(), shapes = JSONObject()
        for info in source.tensorInfos {
            let tensor = try source.tensor(named: info.name)
            let size = info.dtype.byteCount, count = info.shape.elementCount
            guard info.dtype.isFloatingPoint, info.shape.rank >= 2 else {
                state[info.name] = tensor
                continue
            }
            var mask = [UInt8](repeating: 0, count: (count + 7) / 8)
            var values: [UInt8] = []
            tensor.bytes.withUnsafeBytes { raw in
                for place in 0..<count {
                    let element = raw[place * size..<(place + 1) * size]
                    guard element.contains(where: { $0 != 0 }) else { continue }
                    mask[place >> 3] |= 1 << UInt8(place & 7)
                    values.append(contentsOf: element)
                }
            }
            guard pays(tensor, zeros: count - values.count / size) else {
                state[info.name] = tensor
                continue
            }
            shapes[info.name] = .array(info.shape.dimensions.map { .int(Int64($0)) })
            state[info.name + CompactReader.maskSuffix] = try Tensor(
                shape: [mask.count], dtype: .uint8, bytes: Bytes(mask))
            state[info.name + CompactReader.valuesSuffix] = try Tensor(
                shape: [values.count / size], dtype: info.dtype, bytes: Bytes(values))
        }
        return (state, [CompactReader.key: JSONValue.object(shapes).text()])
    }
}
