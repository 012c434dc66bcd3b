import ZooBase
import ZooTensor

/// Writes an optimiser's state as `torch.save(optimizer.state_dict())` does: `{"state": {0: {name: tensor}},
/// "param_groups": [{…, "params": [0, …]}]}`.
public enum PyTorchOptimizerWriter {
    /// Writes the file.
    ///
    /// - Parameters:
    ///   - state: for each parameter in order its tensors by name (`exp_avg`, `step`).
    ///   - group: the settings of the one parameter group, without `params`.
    /// - Throws: `io`.
    public static func write(state: [[(name: String, tensor: Tensor)]], group: JSONObject, to path: String) throws {
        let zip = try TorchZipWriter(path, folder: "archive")
        try zip.add("data.pkl", pickle(state, group))
        try zip.add(".format_version", Array("1".utf8))
        try zip.add(".storage_alignment", Array("\(TorchZipWriter.alignment)".utf8))
        try zip.add("byteorder", Array("little".utf8))
        for (key, entry) in state.flatMap({ $0 }).enumerated() { try zip.add("data/\(key)", entry.tensor.bytes) }
        try zip.add("version", Array("3\n".utf8))
        try zip.add(".data/serialization_id", Array(zip.contentIdentifier.utf8))
        try zip.commit()
    }

    private static func pickle(_ state: [[(name: String, tensor: Tensor)]], _ group: JSONObject) -> [UInt8] {
        var writer = PickleWriter()
        var key = 0
        dictionary(&writer)
        writer.pairs(2) { writer, place in
            writer.text(place == 0 ? "state" : "param_groups")
            guard place == 0 else { return writer.json(.array([.object(complete(group, state.count))])) }
            dictionary(&writer)
            writer.pairs(state.count) { writer, parameter in
                writer.int(parameter)
                dictionary(&writer)
                writer.pairs(state[parameter].count) { writer, index in
                    let entry = state[parameter][index]
                    writer.text(entry.name, isShared: true)
                    let info = TensorInfo(name: entry.name, dtype: entry.tensor.dtype, shape: entry.tensor.shape)
                    PyTorchWriter.tensor(&writer, info, key: key)
                    key += 1
                }
            }
        }
        writer.opcode(.stop)
        return writer.bytes
    }

    private static func dictionary(_ writer: inout PickleWriter) {
        writer.opcode(.emptyDict)
        writer.memoize()
    }

    private static func complete(_ group: JSONObject, _ count: Int) -> JSONObject {
        var complete = group
        complete["params"] = .array((0..<count).map { .int(Int64($0)) })
        return complete
    }
}
