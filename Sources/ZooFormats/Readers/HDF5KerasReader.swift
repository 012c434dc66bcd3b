import ZooBase
import ZooTensor

/// Reads `.keras`: a zip of `config.json`, `metadata.json` and `model.weights.h5`.
///
/// Tensors are those of the weights, with the names that `HDF5Reader` gives them; Keras stores the weights unpacked,
/// so they are read in place.
public struct KerasReader: CheckpointReader {
    /// `keras`.
    public static let format = "keras"
    private static let weightsName = "model.weights.h5"

    /// The tensors of the weights.
    public let entries: [TensorEntry]
    /// `config` and `metadata`, as the archive's two JSON files hold them, beside the weights' own attributes.
    public let metadata: JSONObject
    /// What the weights hold that is not read.
    public var skipped: [(name: String, reason: String)] { weights.skipped }

    private let weights: HDF5Reader

    /// Whether the bytes are a small zip that holds `config.json` and `model.weights.h5`.
    public static func accepts(_ bytes: Bytes) -> Bool {
        // Keras writes three members and assets; a directory of thousands is not worth reading for a guess.
        guard ZipDirectory.accepts(bytes),
            let end = try? bytes.withUnsafeBytes({ try ZipEndRecord($0) }), end.entryCount <= 1000,
            let zip = try? ZipDirectory(bytes, name: "")
        else { return false }
        let names = Set(zip.entries.map(\.name))
        return names.contains("config.json") && names.contains(weightsName)
    }

    /// Reads the directory, the two JSON files and the list of weights.
    ///
    /// - Throws: `corrupt`, `notFound`, naming the member.
    public init(_ bytes: Bytes, name: String, options: ReaderOptions = ReaderOptions()) throws {
        let zip = try ZipDirectory(bytes, name: name)
        let index = try zip.indexByName()
        guard let position = index[Self.weightsName] else {
            throw ZooError(.notFound, "\(name): no member \(Self.weightsName)")
        }
        let member = zip.entries[position]
        let packed = try zip.bytes(of: member)
        weights = try HDF5Reader(packed, name: "\(name)!/\(Self.weightsName)", options: options)
        var metadata = weights.metadata
        for key in ["config", "metadata"] {
            guard let position = index["\(key).json"] else { continue }
            let text = try zip.bytes(of: zip.entries[position])
            metadata[key] = try ZooError.locate("\(name)!/\(key).json") { try JSONParser.parse(text) }
        }
        self.metadata = metadata
        // Offsets count from the beginning of the archive where the weights lie in it as they are.
        let start = bytes.offset(of: packed)
        entries = weights.entries.map { entry in
            let offset = start.flatMap { start in entry.offset.map { start + $0 } }
            return TensorEntry(info: entry.info, offset: offset)
        }
    }

    /// One tensor of the weights.
    public func tensor(named tensor: String) throws -> Tensor { try weights.tensor(named: tensor) }
}
