import ZooBase
import ZooFormats
import ZooMerge
import ZooTensor

/// The folders of adapters, and the cards that go with what `zoo lora` writes.
enum AdapterCard {
    /// Writes an adapter's folder, complete or not at all.
    static func write(
        _ adapter: MadeAdapter, to target: String, replacing: Bool, card: String, _ session: Session
    ) throws {
        var folder = HuggingFaceFolder()
        folder.stem = "adapter_model"
        folder.maximumShardBytes = .max
        folder.metadata = ["format": "pt", "zoo_version": ZooVersion.string]
        folder.jobs = session.jobs
        folder.files = [
            (Adapter.configName, .text(JSONValue.object(adapter.config).text(indent: 2) + "\n")),
            ("README.md", .text(card)),
        ]
        _ = try folder.write(adapter.state, to: target, replacing: replacing)
    }

    private static func head(_ base: [String], library: String, _ name: String) -> String {
        let models = base.filter { !$0.isEmpty }.map { "- \(JSONValue.string($0).text())\n" }.joined()
        return "---\n" + (models.isEmpty ? "" : "base_model:\n\(models)")
            + "library_name: \(library)\ntags:\n- zoo\n- lora\n---\n\n# \(name)\n\n"
    }

    static func merged(_ name: String, base: String, adapter: String) -> String {
        head([base, adapter], library: "transformers", name)
            + "The LoRA adapter `\(adapter)` merged into `\(base)` with zoo \(ZooVersion.string).\n"
    }

    static func extracted(_ name: String, base: String, tuned: String, _ found: AdapterExtraction) -> String {
        var text = head([base], library: "peft", name)
        text += "A LoRA adapter for `\(base)`, extracted from `\(tuned)` with zoo \(ZooVersion.string): "
        text += "\(found.modules.count) modules, rank at most \(found.modules.map(\.rank).max() ?? 0).\n"
        for note in found.notes { text += "\nNote: \(note).\n" }
        return text
    }

    static func combined(
        _ name: String, base: String, _ parts: [(adapter: String, weight: Double)], _ kind: AdapterCombination.Kind
    ) -> String {
        head([base], library: "peft", name)
            + "LoRA adapters combined (`\(kind.rawValue)`) with zoo \(ZooVersion.string):\n\n"
            + parts.map { "- `\($0.adapter)` × \($0.weight)\n" }.joined()
    }
}
