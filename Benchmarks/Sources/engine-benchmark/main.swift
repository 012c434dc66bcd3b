import CZooKernels
import Foundation
import ZooAutodiff
import ZooBase
import ZooTensor

// Times the engine and PyTorch eager on the same work in the same run and prints the ratios.
//
//     ZOO_PEERS_PYTHON=/path/to/python swift run -c release engine-benchmark [small] [large] [text] [minilm] [profile]
//
// With `memory NAME` it runs one of resnet18, encoder and minilm once and prints its own memory (see `memoryTable`).
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

    init(_ net: NetworkSketch, samples: Int, pixels: Int, labels count: Int? = nil, withDirections: Bool = false) {
        func keep<T>(_ values: [T]) -> UnsafeMutableBufferPointer<T> {
            let copy = UnsafeMutableBufferPointer<T>.allocate(capacity: values.count)
            _ = copy.initialize(from: values)
            return copy
        }
        weights = net.weights.map(keep)
        directions =
            withDirections
            ? net.trained.map { UnsafePointer(keep(net.noise(net.weights[$0].count, 1)).baseAddress!) } : []
        images = UnsafePointer(keep(net.noise(samples * pixels, 1)).baseAddress!)
        labels = UnsafePointer(keep((0..<(count ?? samples)).map { Int32($0 * 7 % 10) }).baseAddress!)
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
    let inputs = Inputs(net, samples: 32, pixels: 64, withDirections: true)

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

func compiled(_ work: LargeWork, _ net: NetworkSketch, _ samples: Int) throws -> CompiledProgram<Float> {
    let loss = try work.loss(net, samples)
    let gradient = try net.b.gradient(of: loss, withRespectTo: net.trained.map { net.parameters[$0] })
    return net.b.build([("loss", loss)] + gradient.map { ("g", $0) }).compiled()
}

/// What one thread runs of a large shape: its executor and its share of the samples.
struct Part: @unchecked Sendable {
    let executor: Executor<Float>
    let inputs: Inputs
    let work: LargeWork
    let start: Int

    func run() throws {
        try executor.bind(parameters: inputs.parameters)
        try executor.run(
            reals: work.reals > 0 ? [inputs.images + start * work.reals] : [],
            indices: work.integers > 0 ? [inputs.labels + start * work.integers] : [])
    }
}

/// A large shape on one thread, and by halves of the batch on two.
func timed(_ work: LargeWork) throws -> [String: Double] {
    let net = NetworkSketch()
    let half = try compiled(work, NetworkSketch(), work.samples / 2)
    var results: [String: Double] = [:]
    let inputs: Inputs
    do {
        let whole = try compiled(work, net, work.samples)
        inputs = Inputs(net, samples: work.samples, pixels: max(1, work.reals), labels: work.samples * work.integers)
        let part = Part(executor: whole.makeExecutor(), inputs: inputs, work: work, start: 0)
        print("\(work.name): arena \(whole.arenaBytes >> 20) MiB, \(whole.operationCounts.perRun) steps")
        if CommandLine.arguments.contains("listing") { print(whole.listing) }
        results["\(work.name)_1_threads"] = try median(5, part.run)
        if CommandLine.arguments.contains("profile") { print(part.executor.profile()) }
    }
    let pair = [0, work.samples / 2].map {
        Part(executor: half.makeExecutor(), inputs: inputs, work: work, start: $0)
    }
    results["\(work.name)_2_threads"] = try median(5) {
        try Parallel.forEach(count: 2, jobs: 2) { try pair[$0].run() }
        try addOutputs(pair.map(\.executor))
    }
    return results
}

func large() throws -> [String: Double] { try timed(resNet) }
func text() throws -> [String: Double] { try timed(twoBlocks) }
func wholeModel() throws -> [String: Double] { try timed(wholeMiniLM) }

/// The mean of two executors' gradients, into the first one's memory; both threads take part.
func addOutputs(_ pair: [Executor<Float>]) throws {
    let count = pair[0].compiled.program.outputs.count
    // Pieces of a quarter million numbers: one output may hold half of them all.
    let pieces = (1..<count).flatMap { output in
        stride(from: 0, to: pair[0].output(output).count, by: 1 << 18).map { (output, $0) }
    }
    try Parallel.forEach(count: pieces.count, jobs: 2) { place in
        let (output, start) = pieces[place]
        let (a, b) = (pair[0].output(output), pair[1].output(output))
        let target = UnsafeMutableBufferPointer(mutating: a)
        zoo_axpby(min(1 << 18, a.count - start), 0.5, b.baseAddress! + start, 0.5, target.baseAddress! + start)
    }
}

// MARK: Memory

/// Peak resident bytes of this process. Not of getrusage: there a process starts with the peak of the one that made it.
func peakBytes() -> Int {
    let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
    let line = status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
    guard let kibibytes = line?.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap({ Int($0) }) else {
        fatalError("/proc/self/status has no VmHWM: peak memory is measured on Linux")
    }
    return kibibytes * 1024
}

/// Runs one of the large shapes twice in this process and prints the peak of resident memory, whole and above what the
/// process took before there was a network.
func memory(_ name: String) throws {
    guard let work = [resNet, twoBlocks, wholeMiniLM].first(where: { $0.name == name }) else { return }
    let start = peakBytes()
    let net = NetworkSketch()
    let program = try compiled(work, net, work.samples)
    let inputs = Inputs(net, samples: work.samples, pixels: max(1, work.reals), labels: work.samples * work.integers)
    net.forgetWeights()
    let part = Part(executor: program.makeExecutor(), inputs: inputs, work: work, start: 0)
    for _ in 0..<2 { try part.run() }
    print("{\"peak\": \(peakBytes()), \"start\": \(start)}")
}

/// Both sides' peak memory on the large shapes, each in a process of its own.
func memoryTable() throws {
    for name in ["resnet18", "minilm"] {
        let own = try numbers(CommandLine.arguments[0], ["memory", name])
        let theirs = try peer(["memory", name])
        func mebibytes(_ values: [String: Double]) -> (Double, Double) {
            let (peak, start) = (values["peak"] ?? .nan, values["start"] ?? .nan)
            return (peak / 1048576, (peak - start) / 1048576)
        }
        let (ours, other) = (mebibytes(own), mebibytes(theirs))
        print(
            String(
                format: "%-20@ %7.0f MiB (%.0f above the start)   torch %7.0f MiB (%.0f)   torch ÷ zoo %.2f (%.2f)",
                "\(name)_memory" as NSString, ours.0, ours.1, other.0, other.1, other.0 / ours.0, other.1 / ours.1))
    }
}

/// PyTorch's numbers for the same names, when a Python with torch is named.
func peer(_ arguments: [String]) throws -> [String: Double] {
    guard let python = ProcessInfo.processInfo.environment["ZOO_PEERS_PYTHON"] else { return [:] }
    let script = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("engine_peer.py")
    return try numbers(python, [script.path] + arguments)
}

/// The JSON object of numbers that a program prints.
func numbers(_ program: String, _ arguments: [String]) throws -> [String: Double] {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: program)
    process.arguments = arguments
    let pipe = Pipe()
    process.standardOutput = pipe
    try process.run()
    let output = pipe.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    let values = try JSONParser.parse(String(decoding: output, as: UTF8.self)).object
    return Dictionary(uniqueKeysWithValues: (values?.members ?? []).map { ($0.key, $0.value.double ?? .nan) })
}

let arguments = Array(CommandLine.arguments.dropFirst())
if arguments.first == "memory", arguments.count == 2 {
    try memory(arguments[1])
    exit(0)
}
let wanted = Set(arguments).subtracting(["profile", "listing"])
let benchmarks = [("small", small), ("large", large), ("text", text), ("minilm", wholeModel)]
for (kind, run) in benchmarks where wanted.isEmpty || wanted.contains(kind) {
    let ours = try run(), theirs = try peer([kind])
    for (name, time) in ours.sorted(by: { $0.key < $1.key }) {
        let own = String(format: "%-20@ %10.3f ms", name as NSString, time)
        let other = theirs[name].map { String(format: "   torch %10.3f ms   ratio %6.2f", $0, $0 / time) } ?? ""
        print(own + other)
    }
    for (name, one) in ours {
        guard name.hasSuffix("_1_threads"), let two = ours[name.replacing("_1_", with: "_2_")] else { continue }
        let theirOne = theirs[name], theirTwo = theirs[name.replacing("_1_", with: "_2_")]
        let other = theirOne.flatMap { one in theirTwo.map { String(format: ", torch's %.2f", one / $0) } } ?? ""
        print(String(format: "two threads are %.2f times one", one / two) + other)
    }
}
if wanted.isEmpty || wanted.contains("memory") { try memoryTable() }
