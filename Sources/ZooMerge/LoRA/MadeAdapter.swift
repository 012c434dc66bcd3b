import ZooBase
import ZooTensor

/// An adapter that was made here: what goes into its folder.
public struct MadeAdapter: Sendable {
    /// The tensors by PEFT's names.
    public var state: StateDict
    /// `adapter_config.json`.
    public var config: JSONObject

    /// PEFT's names of a module's matrices.
    static func keys(_ module: String, isEmbedding: Bool) -> (a: String, b: String) {
        let start = Adapter.prefix + module
        return isEmbedding
            ? (start + ".lora_embedding_A", start + ".lora_embedding_B")
            : (start + ".lora_A.weight", start + ".lora_B.weight")
    }

    /// Ranks as PEFT's configuration states them: the largest for all, the others by module; with alpha = r, so that the
    /// scaling is 1.
    static func setRanks(_ ranks: [String: Int], _ config: inout JSONObject) {
        let largest = ranks.values.max() ?? 1
        let others = JSONObject(
            ranks.filter { $0.value != largest }.sorted { $0.key < $1.key }.map { ($0.key, .int(Int64($0.value))) })
        config["r"] = .int(Int64(largest))
        config["lora_alpha"] = .int(Int64(largest))
        config["rank_pattern"] = .object(others)
        config["alpha_pattern"] = .object(others)
    }

    /// The last components of names; whole names where a component would also match modules that are left alone.
    static func targets(_ modules: [String], besides others: [String]) -> [String] {
        func last(_ name: String) -> String { name.split(separator: ".").last.map(String.init) ?? name }
        let alone = Set(others.map(last))
        return Set(modules.map { alone.contains(last($0)) ? $0 : last($0) }).sorted()
    }
}
