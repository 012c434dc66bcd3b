import Foundation
import ZooBase
import ZooFormats
import ZooNN
import ZooTensor
import ZooTestSupport

/// Networks of the sample zoos with their graphs, and small ones with random weights.
enum SampleNetworks {
    /// A checkpoint of an archive below `zoos/` by its trial's folder and epoch, with its graph.
    static func trial(
        _ archive: String, _ trial: String, epoch: Int
    ) throws -> (graph: ArchitectureGraph, state: StateDict) {
        let archive = try Archives.open(path: Repository.path("zoos/\(archive)"))
        let folder = "checkpoint_" + String(format: "%06d", epoch) + "/checkpoints"
        var state: StateDict?
        var config = JSONObject()
        for member in archive.members where member.path.contains("/\(trial)/") {
            if member.path.hasSuffix("/params.json") {
                config = try JSONParser.parse(archive.bytes(of: member)).object ?? config
            } else if member.path.hasSuffix(folder) {
                state = try CheckpointReaders.open(archive.bytes(of: member), name: member.path).stateDict()
            }
        }
        guard let state else { throw ZooError(.notFound, "no \(trial) at epoch \(epoch)") }
        return (try graph(state, config: config), state)
    }

    /// A file below `zoos/digits-tasks` with its graph.
    static func task(_ path: String) throws -> (graph: ArchitectureGraph, state: StateDict) {
        let state = try CheckpointFile.open(Repository.path("zoos/digits-tasks/\(path)")).source.stateDict()
        return (try graph(state), state)
    }

    private static func graph(_ state: StateDict, config: JSONObject = .init()) throws -> ArchitectureGraph {
        try ArchitectureResolver(
            library: try ArchitectureFiles.paths(in: Repository.path("manifests/architectures")).map {
                try ArchitectureTemplate(json: ArchitectureFiles.json(at: $0))
            }
        ).choose(
            ArchitectureRequest(
                tensors: state.tensorInfos, inputShape: [1, 8, 8], config: config, settings: .init()), explicit: nil
        ).graph
    }

    static func samples(_ file: String, _ split: String, labels: String? = nil) throws -> Samples {
        try Samples(CheckpointFile.open(Repository.path("zoos/\(file)")).source, split: split, labels: labels)
    }

    /// A graph from its JSON with random weights of the given shapes.
    static func random(
        _ json: String, _ shapes: [(String, [Int])], seed: UInt64
    ) throws -> (graph: ArchitectureGraph, state: StateDict) {
        var generator = SeededGenerator(seed: seed)
        var state = StateDict()
        for (name, shape) in shapes {
            let values = (0..<shape.reduce(1, *)).map { _ in Float.random(in: -1...1, using: &generator) }
            state[name] = Tensor(values, shape: Shape(shape))
        }
        return (try ArchitectureGraph(json: JSONParser.parse(json)), state)
    }

    /// 6 → 8 → 5 → 3, ReLU.
    static func perceptron(seed: UInt64) throws -> (graph: ArchitectureGraph, state: StateDict) {
        try random(
            """
            {"name": "mlp", "inputs": [{"name": "input", "kind": "features", "shape": [6]}], "nodes": [
              {"name": "a", "op": "linear", "parameters": {"weight": "a.weight", "bias": "a.bias"}},
              {"name": "r", "op": "activation", "kind": "relu"},
              {"name": "b", "op": "linear", "parameters": {"weight": "b.weight", "bias": "b.bias"}},
              {"name": "s", "op": "activation", "kind": "relu"},
              {"name": "c", "op": "linear", "parameters": {"weight": "c.weight", "bias": "c.bias"}, "head": true}],
             "outputs": {"logits": "c"}}
            """,
            [
                ("a.weight", [8, 6]), ("a.bias", [8]), ("b.weight", [5, 8]), ("b.bias", [5]), ("c.weight", [3, 5]),
                ("c.bias", [3]),
            ], seed: seed)
    }

    /// One decoder block over 11 tokens: four heads of queries, two of keys and values, rotary positions, tied head.
    static func decoder(seed: UInt64) throws -> (graph: ArchitectureGraph, state: StateDict) {
        try random(
            """
            {"name": "decoder", "inputs": [{"name": "tokens", "kind": "tokens", "shape": [0]}], "nodes": [
              {"name": "embed", "op": "embedding", "parameters": {"weight": "embed.weight"}},
              {"name": "norm", "op": "rms_norm", "parameters": {"weight": "norm.weight"}},
              {"name": "q", "op": "linear", "parameters": {"weight": "q.weight", "bias": "q.bias"}},
              {"name": "k", "op": "linear", "inputs": ["norm"], "parameters": {"weight": "k.weight"}},
              {"name": "v", "op": "linear", "inputs": ["norm"], "parameters": {"weight": "v.weight"}},
              {"name": "attend", "op": "attention", "inputs": ["q", "k", "v"], "heads": 4, "kv_heads": 2,
               "causal": true, "rope_theta": 10000},
              {"name": "o", "op": "linear", "parameters": {"weight": "o.weight"}},
              {"name": "add", "op": "add", "inputs": ["embed", "o"]},
              {"name": "up", "op": "linear", "parameters": {"weight": "up.weight"}},
              {"name": "act", "op": "activation", "kind": "silu"},
              {"name": "down", "op": "linear", "parameters": {"weight": "down.weight"}},
              {"name": "sum", "op": "add", "inputs": ["add", "down"]},
              {"name": "pool", "op": "mean_tokens"},
              {"name": "head", "op": "linear", "parameters": {"weight": "embed.weight"}, "head": true}],
             "outputs": {"logits": "head"}}
            """,
            [
                ("embed.weight", [11, 16]), ("norm.weight", [16]), ("q.weight", [16, 16]), ("q.bias", [16]),
                ("k.weight", [8, 16]), ("v.weight", [8, 16]), ("o.weight", [16, 16]), ("up.weight", [12, 16]),
                ("down.weight", [16, 12]),
            ], seed: seed)
    }
}
