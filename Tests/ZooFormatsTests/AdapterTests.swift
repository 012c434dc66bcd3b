import Foundation
import Testing
import ZooBase
import ZooFormats
import ZooTensor
import ZooTestSupport

/// LoRA adapters merged when read, against PEFT's `merge_and_unload` (Fixtures/adapters/make_adapters.py).
@Suite struct AdapterTests {
    private static let folder = Repository.path("Tests/ZooFormatsTests/Fixtures/adapters")

    private static func base(of name: String) throws -> any TensorSource {
        let file = name.hasPrefix("transposed") ? "gpt" : "net"
        return try CheckpointFile.open("\(folder)/\(file).safetensors").source
    }

    private static func state(_ path: String) throws -> StateDict { try CheckpointFile.open(path).source.stateDict() }

    /// All layers with patterns; √r scaling from a .bin; DoRA; lora_bias; modules_to_save with all biases; Conv1D.
    @Test(arguments: ["plain", "stabilised", "dora", "biased", "saved", "transposed", "transposed-dora"])
    func mergesAsPEFTDoes(_ name: String) throws {
        let adapter = try Adapter.open("\(Self.folder)/\(name)")
        let merged = try AdaptedSource(base: try Self.base(of: name), adapter: adapter)
        let expected = try Self.state("\(Self.folder)/\(name)/merged.safetensors")
        #expect(Set(merged.tensorInfos.map(\.name)) == Set(expected.names))
        var changed = 0
        let old = try Self.base(of: name)
        for info in expected.tensorInfos {
            let found = try merged.tensor(named: info.name), wanted = try expected.tensor(named: info.name)
            #expect(found.shape == wanted.shape && found.dtype == wanted.dtype)
            let distance = zip(found.doubles(), wanted.doubles()).map { abs($0 - $1) }.max() ?? 0
            #expect(distance <= 4e-7, "\(info.name)")
            if !wanted.isIdentical(to: try old.tensor(named: info.name)) { changed += 1 }
        }
        #expect(changed > 1)
    }

    @Test func cutsDoNotMatter() throws {
        for name in ["dora", "transposed-dora"] {
            let adapter = try Adapter.open("\(Self.folder)/\(name)")
            let merged = try AdaptedSource(base: try Self.base(of: name), adapter: adapter)
            for info in merged.tensorInfos {
                let whole = try merged.tensor(named: info.name).bytes.array
                let run = try merged.elements(of: info.name)
                var joined: [UInt8] = []
                for first in stride(from: 0, to: info.shape.elementCount, by: 5) {
                    let range = first..<min(first + 5, info.shape.elementCount)
                    joined += try Bytes(byteCount: range.count * 4) { output in
                        try run.compute(range, into: output)
                        return output.count
                    }.array
                }
                #expect(joined == whole, "\(info.name)")
            }
        }
    }

    /// A wide base is computed in double precision, a narrow one rounded once.
    @Test(arguments: [DType.float64, .float16, .bfloat16]) func theBaseTypeStays(_ type: DType) throws {
        var base = StateDict()
        for info in try Self.base(of: "plain").tensorInfos {
            base[info.name] = try Self.base(of: "plain").tensor(named: info.name).converted(to: type)
        }
        let adapter = try Adapter.open("\(Self.folder)/plain")
        let merged = try AdaptedSource(base: base, adapter: adapter)
        for module in adapter.modules {
            let name = module.name + ".weight"
            let found = try merged.tensor(named: name)
            #expect(found.dtype == type)
            let a = try adapter.weights.tensor(named: module.a.name).doubles()
            let b = try adapter.weights.tensor(named: module.b.name).doubles()
            let old = try base.tensor(named: name).doubles()
            let inputs = a.count / module.rank, outputs = b.count / module.rank
            let exact = (0..<old.count).map { place -> Double in
                let (o, i) = module.isEmbedding ? (place % outputs, place / outputs) : (place / inputs, place % inputs)
                let sum = (0..<module.rank).reduce(0.0) { $0 + b[o * module.rank + $1] * a[$1 * inputs + i] }
                return old[place] + module.scaling * sum
            }
            let tolerance = type == .float64 ? 1e-14 : type == .float16 ? 0x1p-11 : 0x1p-8
            for (x, y) in zip(found.doubles(), exact) { #expect(abs(x - y) <= tolerance * max(1, abs(y)), "\(name)") }
        }
    }

    // MARK: Names

    private func adapter(
        _ tensors: [String: Tensor], config: [(String, JSONValue)] = [("r", 1), ("lora_alpha", 1)]
    ) throws -> Adapter {
        var state = StateDict()
        for (name, tensor) in tensors.sorted(by: { $0.key < $1.key }) { state[name] = tensor }
        return try Adapter(config: AdapterConfig(JSONObject(config)), weights: state)
    }

    private func base(_ names: [String]) -> StateDict {
        var state = StateDict()
        for name in names { state[name] = Tensor([1, 2, 3, 4] as [Float], shape: [2, 2]) }
        return state
    }

    private static let a = Tensor([1, 2] as [Float], shape: [1, 2]), b = Tensor([3, 4] as [Float], shape: [2, 1])
    private static let pair = [
        "base_model.model.model.h.0.q.lora_A.weight": a, "base_model.model.model.h.0.q.lora_B.weight": b,
    ]
    private static let sum: [Double] = [4, 8, 7, 12]

    /// A base file may lack a prefix of the adapter's names or have one more.
    @Test(arguments: ["model.h.0.q.weight", "h.0.q.weight", "wrapped.model.h.0.q.weight"])
    func prefixesAreFound(_ name: String) throws {
        let merged = try AdaptedSource(base: base([name]), adapter: adapter(Self.pair))
        #expect(try merged.tensor(named: name).doubles() == Self.sum)
    }

    @Test func unusedKeysAreAnError() throws {
        func failure(_ tensors: [String: Tensor], _ names: [String]) -> String {
            do { _ = try AdaptedSource(base: base(names), adapter: adapter(tensors)) } catch {
                return ZooError.wrap(error).message
            }
            return ""
        }
        #expect(failure(Self.pair, ["other.weight"]).contains("'model.h.0.q'"))
        var more = Self.pair
        more["base_model.model.head.weight"] = Self.a
        #expect(failure(more, ["model.h.0.q.weight"]).contains("'head.weight'"))
        more = Self.pair
        more["base_model.model.model.h.0.q.lora_C.weight"] = Self.a
        #expect(failure(more, ["model.h.0.q.weight"]).contains("lora_C"))
        // A bias where the base has none.
        more = Self.pair
        more["base_model.model.model.h.0.q.lora_B.bias"] = Tensor([1, 2] as [Float], shape: [2])
        #expect(failure(more, ["model.h.0.q.weight"]).contains("bias"))
        // Half a pair, and a rank that is not the stated one.
        #expect(failure(["base_model.model.q.lora_A.weight": Self.a], ["q.weight"]).contains("lora_B"))
        let wide = Tensor([1, 2, 3, 4] as [Float], shape: [2, 2])
        #expect(
            failure(
                ["base_model.model.q.lora_A.weight": wide, "base_model.model.q.lora_B.weight": wide], ["q.weight"]
            ).contains("rank 2"))
    }

    @Test func newHeadsAndResizedEmbeddingsComeAlong() throws {
        var tensors = Self.pair
        tensors["base_model.model.score.weight"] = Self.a
        tensors["base_model.model.model.embed.weight"] = Tensor([1, 2, 3, 4, 5, 6] as [Float], shape: [3, 2])
        let found = try AdaptedSource(
            base: base(["model.h.0.q.weight", "model.embed.weight"]),
            adapter: adapter(
                tensors, config: [("r", 1), ("lora_alpha", 1), ("modules_to_save", ["classifier", "score"])]))
        #expect(try found.tensor(named: "score.weight").shape == [1, 2])
        #expect(found.tensorInfos.first { $0.name == "model.embed.weight" }?.shape == [3, 2])
        #expect(found.replacedVocabulary == 3)
    }

    @Test func whatChangesTheBaseIsRefused() {
        for (key, value) in [
            ("peft_type", JSONValue.string("LOHA")), ("init_lora_weights", "pissa_niter_4"),
            ("layer_replication", [[0, 4], [2, 6]]), ("target_parameters", ["experts.down"]), ("r", 0),
        ] {
            #expect(throws: ZooError.self) { try AdapterConfig(JSONObject([("r", 1), (key, value)])) }
        }
        #expect(throws: Never.self) {
            try AdapterConfig(JSONObject([("r", 1), ("init_lora_weights", "gaussian"), ("target_parameters", .null)]))
        }
    }

    /// Patterns are PEFT's: the first key that is the end of the name, as a regular expression.
    @Test func patternsPickRanks() throws {
        let config = try AdapterConfig(
            JSONObject([
                ("r", 8), ("lora_alpha", 16), ("use_rslora", true),
                ("rank_pattern", ["q": 4, "layers.[12].k": 2, "layers.1.k": 3]), ("alpha_pattern", ["q": 2]),
            ]))
        #expect(try config.rank(of: "model.layers.0.q") == 4)
        #expect(try config.scaling(of: "model.layers.0.q") == 1)
        #expect(try config.rank(of: "model.layers.1.k") == 2)
        #expect(try config.rank(of: "model.layers.10.k") == 8)
        #expect(try config.rank(of: "model.seq") == 8)
        #expect(abs(try config.scaling(of: "model.seq") - 16 / 8.0.squareRoot()) < 1e-15)
    }
}
