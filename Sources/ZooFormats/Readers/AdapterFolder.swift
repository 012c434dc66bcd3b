import ZooBase
import ZooTensor

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

extension Adapter {
    /// The configuration's file.
    public static let configName = "adapter_config.json"
    /// Files looked for in a folder.
    static let weightNames = ["adapter_model.safetensors", "adapter_model.bin", "adapter_model.pt"]

    /// Opens an adapter as PEFT stores it: a folder, or its weights with `adapter_config.json` beside them; in an archive,
    /// the member.
    ///
    /// - Throws: `notFound` with what was looked for; what reading throws, with the path in front.
    public static func open(_ path: String, options: ReaderOptions = ReaderOptions()) throws -> Adapter {
        let weights = try file(path)
        let config = weights.lastIndex(of: "/").map { weights[...$0] + configName } ?? Substring(configName)
        let bytes: Bytes
        do {
            bytes = try config.contains("!/") ? Archives.resolve(String(config)).bytes : Bytes(mapping: String(config))
        } catch let error as ZooError where error.code == .notFound {
            throw ZooError(
                .notFound, "\(path): an adapter needs \(configName) beside its weights",
                hint: "name the folder that PEFT wrote", cause: error)
        }
        let parsed = try ZooError.locate(String(config)) {
            guard bytes.count <= AdapterConfig.maximumByteCount else {
                throw ZooError(.limit, "\(bytes.count) bytes; at most \(AdapterConfig.maximumByteCount) are read")
            }
            guard let object = try JSONParser.parse(bytes).object else { throw ZooError(.corrupt, "not a JSON object") }
            return try AdapterConfig(object)
        }
        let source = try CheckpointFile.open(weights, options: options)
        if let skipped = source.skipped.first {
            throw ZooError(.unsupported, "\(weights): tensor '\(skipped.name)' is not read: \(skipped.reason)")
        }
        return try ZooError.locate(weights) { try Adapter(config: parsed, weights: source.source) }
    }

    private static func file(_ path: String) throws -> String {
        if path.contains("!/") { return path }
        var status = stat()
        guard stat(path, &status) == 0 else { throw ZooError.system("open \(path)", errno: errno) }
        guard status.st_mode & S_IFMT == S_IFDIR else { return path }
        let folder = path.hasSuffix("/") ? String(path.dropLast()) : path
        guard let name = weightNames.first(where: { access("\(folder)/\($0)", R_OK) == 0 }) else {
            throw ZooError(
                .notFound, "\(path): no adapter (looked for \(weightNames.joined(separator: ", ")))",
                hint: "name the folder that PEFT wrote")
        }
        return "\(folder)/\(name)"
    }
}
