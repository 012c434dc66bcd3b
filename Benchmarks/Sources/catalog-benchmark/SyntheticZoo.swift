import Foundation
import ZooBase
import ZooCatalog
import ZooTensor

/// SplitMix64.
struct Generator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
        return mixed ^ mixed >> 31
    }

    /// A number in 0 ..< 1.
    mutating func uniform() -> Double { Double(next() >> 11) * 0x1p-53 }

    /// Roughly normal: the sum of four uniform numbers.
    mutating func normal() -> Double { (uniform() + uniform() + uniform() + uniform() - 2) * 1.732 }
}

/// A catalog of invented models that look like those of published zoos: learning curves that depend on the
/// configuration, twelve configuration keys under two ways of naming them, eight zoos of different width.
struct SyntheticZoo {
    var models: Int
    var epochs: Int

    private static let rates = [1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 1.0]
    private static let widths = [2, 4, 8, 16, 32, 64]
    private static let activations = ["relu", "gelu", "tanh", "silu"]
    private static let initialisers = ["kaiming_uniform", "xavier_uniform", "normal"]

    /// Writes all models; every tenth of the way `progress` is told.
    func write(to writer: CatalogWriter, progress: (Int) -> Void) throws {
        var generator = Generator(state: 42)
        let zoos = try (0..<8).map { index in
            (
                zoo: try writer.upsert(ZooRecord(name: "zoo-\(index)", dataset: index < 4 ? "mnist" : "cifar10")),
                source: try writer.begin(SourceRecord(path: "/zoos/zoo-\(index).zip", kind: "zip", byteCount: 1 << 33))
                    .id
            )
        }
        let layouts = Self.widths.map(layout(width:))
        for number in 0..<models {
            let index = number * zoos.count / models
            try writer.ingest(
                model(number, zoo: index, ids: zoos[index], layouts: layouts, generator: &generator))
            if number % (models / 10) == 0 { progress(number) }
        }
        for zoo in zoos { try writer.finish(zoo.source) }
        try measure(writer, generator: &generator)
    }

    private func layout(width: Int) -> Layout {
        let shapes: [(String, Shape)] = [
            ("module_list.0.weight", [width, 1, 5, 5]), ("module_list.0.bias", [width]),
            ("module_list.3.weight", [width, width, 5, 5]), ("module_list.3.bias", [width]),
            ("module_list.9.weight", [20, 4 * width]), ("module_list.9.bias", [20]),
            ("module_list.11.weight", [10, 20]), ("module_list.11.bias", [10]),
        ]
        var offset = 0
        return Layout(
            shapes.map { name, shape in
                defer { offset += shape.elementCount * 4 + 64 }
                return Layout.Entry(info: TensorInfo(name: name, dtype: .float32, shape: shape), offset: offset)
            })
    }

    private func model(
        _ number: Int, zoo: Int, ids: (zoo: Int64, source: Int64), layouts: [Layout], generator: inout Generator
    ) -> ModelIngest {
        let rate = Self.rates.randomElement(using: &generator) ?? 0.1
        let width = Int.random(in: 0..<Self.widths.count, using: &generator)
        let activation = Self.activations.randomElement(using: &generator) ?? ""
        let seed = Int.random(in: 0..<1000, using: &generator)
        let plain = zoo >= 6
        func key(_ group: String, _ name: String) -> String { plain ? name : "\(group)::\(name)" }
        let config = JSONObject([
            (key("optim", "lr"), .double(rate)), (key("optim", "wd"), .double([0, 1e-4, 5e-4][seed % 3])),
            (key("optim", "optimizer"), .string(seed % 2 == 0 ? "adam" : "sgd")),
            (key("model", "width"), .int(Int64(Self.widths[width]))), (key("model", "nlin"), .string(activation)),
            (key("model", "init_type"), .string(Self.initialisers.randomElement(using: &generator) ?? "")),
            (key("model", "dropout"), .double([0, 0.1, 0.3][seed % 3])), (key("model", "use_bias"), true),
            (key("training", "batchsize"), .int(Int64(16 << (seed % 5)))),
            (key("training", "epochs_train"), .int(Int64(epochs - 1))), ("seed", .int(Int64(seed))), ("cuda", false),
        ])
        let name =
            "NN_tune_trainable_\(String(generator.next() & 0xFFFFF, radix: 16))_\(number)_"
            + "model_nlin=\(activation),optim_lr=\(rate),seed=\(seed)_2023-11-14_22-40-44"
        let isDiverged = rate == 1.0
        var ingest = ModelIngest(
            zoo: ids.zoo, source: ids.source, name: name, path: "tune_zoo_\(zoo)/\(name)",
            architecture: zoo < 4 ? "cnn-small" : zoo < 6 ? "cnn-medium" : "resnet18", config: config,
            flags: isDiverged ? .diverged : generator.uniform() < 0.01 ? .failed : [],
            bookkeeping: JSONObject([("trial_id", .string("a1f3c_\(number)")), ("date", "2023-11-14_22-40-44")]))
        let quality =
            isDiverged
            ? 0.1 : 0.97 - 0.08 * abs(log10(rate) + 2.5) - 0.03 * Double(5 - width) + 0.015 * generator.normal()
        fill(&ingest, quality: min(0.999, max(0.1, quality)), layout: layouts[width], number, &generator)
        return ingest
    }

    private func fill(
        _ model: inout ModelIngest, quality: Double, layout: Layout, _ number: Int, _ generator: inout Generator
    ) {
        let isDiverged = model.flags.contains(.diverged)
        var seconds = 0.0
        for epoch in 0..<epochs {
            seconds += 0.1 + 0.1 * generator.uniform()
            let learned = 0.1 + (quality - 0.1) * (1 - exp(-Double(epoch) / 8))
            func noisy(_ value: Double, _ spread: Double, _ generator: inout Generator) -> Double {
                min(1, max(0, value + spread * generator.normal()))
            }
            let test = noisy(learned, 0.005, &generator)
            let train = noisy(learned + 0.05 * Double(epoch) / Double(epochs), 0.004, &generator)
            let val = noisy(learned, 0.01, &generator)
            let isNaN = isDiverged && epoch > 5
            let values = EpochValues(
                trainLoss: isNaN ? .nan : 2.3 * (1 - train) + 0.01, trainAccuracy: train,
                valLoss: isNaN ? .nan : 2.3 * (1 - val) + 0.01, valAccuracy: val,
                testLoss: isNaN ? .nan : 2.3 * (1 - test) + 0.01, testAccuracy: test, wallSeconds: seconds)
            let extras = number % 10 == 0 ? [(name: "grad_norm", value: generator.uniform())] : []
            model.results.append(ResultRow(epoch: epoch, values: values, extras: extras))
            let digest = String(generator.next(), radix: 16) + String(generator.next(), radix: 16)
            let folder = "checkpoint_" + String(String(1_000_000 + epoch).dropFirst())
            model.checkpoints.append(
                CheckpointIngest(
                    epoch: epoch, path: folder + "/checkpoints", offset: (number * epochs + epoch) * 14_400,
                    storedBytes: 14_213, encoding: .stored, byteCount: 14_213, format: "pytorch", layout: layout,
                    digest: String(repeating: "0", count: 32 - digest.count) + digest, health: isNaN ? .nan : .ok))
        }
    }

    /// Metrics of the last checkpoint of every fifth model.
    private func measure(_ writer: CatalogWriter, generator: inout Generator) throws {
        let run = try writer.record(
            RunRecord(command: "zoo landscape", seed: 1, toolVersion: "0", started: "2026-01-01T00:00:00Z"))
        for model in stride(from: 0, to: models, by: 5) {
            let checkpoint = Int64((model + 1) * epochs)
            let trace = exp(4 + 2 * generator.normal())
            try writer.record([
                MetricRow(checkpoint: checkpoint, name: "hessian_trace", value: trace, error: trace / 10, run: run),
                MetricRow(checkpoint: checkpoint, name: "hessian_top", value: trace / 7, run: run),
            ])
        }
    }
}
