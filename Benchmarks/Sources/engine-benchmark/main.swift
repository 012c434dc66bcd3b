import Foundation
import ZooAutodiff
import ZooBase
import ZooTensor

// Times the engine and PyTorch eager on the same work in the same run and prints the ratios.
//
//     ZOO_PEERS_PYTHON=/path/to/python swift run -c release engine-benchmark [small] [large] [text] [profile]
//
// Without ZOO_PEERS_PYTHON only our own times are printed.

let clock = ContinuousClock()

func median(_ repeats: Int, _ action: () throws -> Void) rethrows -> Double {
    for _ in 0..<max(1, repeats / 10) { try action() }
    var times: [Duration] = []
    for _ in 0..<repeats { times.append(try clock.measure(action)) }
    let middle = times.sorted()[repeats / 2].components
    return Double(middle.seconds) * 1e3 + Double(middle.attoseconds) / 1e15
}

/// What a compiled program reads, kept in place for as long as the benchmark runs.
struct Inputs {
    let weights: [UnsafeMutableBufferPointer<Float>]
    let directions: [UnsafePointer<Float>]
    let images: UnsafePointer<Float>
    let labels: UnsafePointer<Int32>

    init(_ net: NetworkSketch, samples: Int, pixels: Int) {
        func keep<T>(_ values: [T]) -> UnsafeMutableBufferPointer<T> {
            let copy = UnsafeMutableBufferPointer<T>.allocate(capacity: values.count)
            _ = copy.initialize(from: values)
            return copy
        }
        weights = net.weights.map(keep)
        directions = net.trained.map { UnsafePointer(keep(net.noise(net.weights[$0].count, 1)).baseAddress!) }
        images = UnsafePointer(keep(net.noise(samples * pixels, 1)).baseAddress!)
        labels = UnsafePointer(keep((0..<samples).map { Int32($0 % 10) }).baseAddress!)
    }

    var parameters: [UnsafePointer<Float>] { weights.map { UnsafePointer($0.baseAddress!) } }
}

func small() throws -> [String: Double] {
    let net = NetworkSketch()
    let images = net.b.data("x", [32, 1, 8, 8]), labels = net.b.indices("y", [32])
    let logits = try smallCNN(net, images)
    let loss = try net.b.average(net.b.crossEntropy(logits, labels: labels))
    let trained = net.parameters
    let gradient = try net.b.gradient(of: loss, withRespectTo: trained)
    let gradientProgram = net.b.build([("loss", loss)] + gradient.map { ("g", $0) })
    let forwardProgram = net.b.build([("z", logits)])
    let directions = trained.enumerated().map { net.b.direction("v\($0)", $1.shape) }
    let product = try net.b.tangents(of: gradient, along: Array(zip(trained, directions)))
    let productProgram = net.b.build([("loss", loss)] + (gradient + product).map { ("g", $0) })
    let inputs = Inputs(net, samples: 32, pixels: 64)

    let forward = forwardProgram.compiled().makeExecutor()
    let step = gradientProgram.compiled().makeExecutor()
    let hessian = productProgram.compiled().makeExecutor()
    let pointers = inputs.parameters
    let counts = [forward, step, hessian].map(\.compiled.operationCounts.perRun)
    print(
        "CNN operations a run: forward \(counts[0]), gradient \(counts[1]), gradient + HVP \(counts[2]);",
        "arena \(hessian.compiled.arenaBytes / 1024) KiB")
    if CommandLine.arguments.contains("listing") { print(hessian.compiled.listing) }
    if CommandLine.arguments.contains("profile") {
        try hessian.bind(parameters: pointers)
        try hessian.run(reals: [inputs.images] + inputs.directions, indices: [inputs.labels])
        _ = hessian.profile()
        print(hessian.profile(rows: 200))
    }
    return [
        "cnn_forward": try median(2000) {
            try forward.bind(parameters: pointers)
            try forward.run(reals: [inputs.images], indices: [inputs.labels])
        },
        "cnn_step": try median(2000) {
            try step.bind(parameters: pointers)
            try step.run(reals: [inputs.images], indices: [inputs.labels])
            for (place, weight) in inputs.weights.enumerated() {
                let gradient = step.output(1 + place)
                for index in weight.indices { weight[index] -= 1e-3 * gradient[index] }
            }
        },
        "cnn_hvp": try median(1000) {
            try hessian.bind(parameters: pointers)
            try hessian.run(reals: [inputs.images] + inputs.directions, indices: [inputs.labels])
        },
    ]
}

func large() throws -> [String: Double] {
    let net = NetworkSketch()
    func program(_ net: NetworkSketch, _ samples: Int) throws -> Program {
        let images = net.b.data("x", [samples, 3, 32, 32]), labels = net.b.indices("y", [samples])
        let loss = try net.b.average(net.b.crossEntropy(resNet18(net, images, width: 64), labels: labels))
        let gradient = try net.b.gradient(of: loss, withRespectTo: net.trained.map { net.parameters[$0] })
        return net.b.build([("loss", loss)] + gradient.map { ("g", $0) })
    }
    let whole = try program(net, 128).compiled(), half = try program(NetworkSketch(), 64).compiled()
    let inputs = Inputs(net, samples: 128, pixels: 3 * 32 * 32)
    let parameters = inputs.parameters
    var results: [String: Double] = [:]
    do {
        let executor = whole.makeExecutor()
        print("ResNet-18 arena at batch 128: \(whole.arenaBytes >> 20) MiB, \(whole.operationCounts.perRun) operations")
        results["resnet18_1_threads"] = try median(3) {
            try executor.bind(parameters: parameters)
            try executor.run(reals: [inputs.images], indices: [inputs.labels])
        }
        if CommandLine.arguments.contains("profile") { print(executor.profile()) }
    }
    let pair = [half.makeExecutor(), half.makeExecutor()]
    nonisolated(unsafe) let shared = (inputs, parameters)
    results["resnet18_2_threads"] = try median(3) {
        try Parallel.forEach(count: 2, jobs: 2) { part in
            let (inputs, parameters) = shared
            try pair[part].bind(parameters: parameters)
            try pair[part].run(
                reals: [inputs.images + part * 64 * 3 * 32 * 32], indices: [inputs.labels + part * 64])
        }
        addOutputs(pair)
    }
    return results
}

/// Two of MiniLM's six blocks on 64 sequences of 64 tokens: gradient of all weights.
func text() throws -> [String: Double] {
    func sketch(_ sequences: Int) throws -> (NetworkSketch, CompiledProgram<Float>) {
        let net = NetworkSketch()
        let output = try encoder(net, net.b.data("x", [sequences, 64, 384]), blocks: 2)
        let loss = try net.b.mean(net.b.square(net.b.affine(output, offset: -0.1)))
        let gradient = try net.b.gradient(of: loss, withRespectTo: net.parameters)
        return (net, net.b.build([("loss", loss)] + gradient.map { ("g", $0) }).compiled())
    }
    let (net, whole) = try sketch(64)
    let (_, half) = try sketch(32)
    let inputs = Inputs(net, samples: 64, pixels: 64 * 384)
    let parameters = inputs.parameters
    print("encoder arena: \(whole.arenaBytes >> 20) MiB, \(whole.operationCounts.perRun) operations")
    let executor = whole.makeExecutor()
    var results = [
        "encoder_1_threads": try median(3) {
            try executor.bind(parameters: parameters)
            try executor.run(reals: [inputs.images])
        }
    ]
    if CommandLine.arguments.contains("profile") { print(executor.profile()) }
    let pair = [half.makeExecutor(), half.makeExecutor()]
    nonisolated(unsafe) let shared = (inputs, parameters)
    results["encoder_2_threads"] = try median(3) {
        try Parallel.forEach(count: 2, jobs: 2) { part in
            try pair[part].bind(parameters: shared.1)
            try pair[part].run(reals: [shared.0.images + part * 32 * 64 * 384])
        }
        addOutputs(pair)
    }
    return results
}

/// The mean of two executors' gradients, into the first one's memory.
func addOutputs(_ pair: [Executor<Float>]) {
    for place in 1..<pair[0].compiled.program.outputs.count {
        let (a, b) = (pair[0].output(place), pair[1].output(place))
        let sum = UnsafeMutableBufferPointer(mutating: a)
        for index in a.indices { sum[index] = 0.5 * (a[index] + b[index]) }
    }
}

/// PyTorch's times for the same names, when a Python with torch is named.
func peer(_ kind: String) throws -> [String: Double] {
    guard let python = ProcessInfo.processInfo.environment["ZOO_PEERS_PYTHON"] else { return [:] }
    let script = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("engine_peer.py")
    let process = Process()
    process.executableURL = URL(fileURLWithPath: python)
    process.arguments = [script.path, kind]
    let pipe = Pipe()
    process.standardOutput = pipe
    try process.run()
    let output = pipe.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    let values = try JSONParser.parse(String(decoding: output, as: UTF8.self)).object
    return Dictionary(uniqueKeysWithValues: (values?.members ?? []).map { ($0.key, $0.value.double ?? .nan) })
}

let wanted = Set(CommandLine.arguments.dropFirst())
for (kind, run) in [("small", small), ("large", large), ("text", text)] where wanted.isEmpty || wanted.contains(kind) {
    let ours = try run(), theirs = try peer(kind)
    for (name, time) in ours.sorted(by: { $0.key < $1.key }) {
        let own = String(format: "%-20@ %10.3f ms", name as NSString, time)
        let other = theirs[name].map { String(format: "   torch %10.3f ms   ratio %6.2f", $0, $0 / time) } ?? ""
        print(own + other)
    }
}
