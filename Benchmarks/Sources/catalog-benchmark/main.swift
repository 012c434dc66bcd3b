import Foundation
import ZooBase
import ZooCatalog

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

// catalog-benchmark [--models N] [--epochs N] [--catalog FILE] [--keep] [--runs N]
//
// Builds a synthetic catalog (50,000 models of 52 epochs unless told otherwise), reports seconds, peak memory and
// bytes, and the latency of a mix of queries. With ZOO_PEERS_PYTHON set to a Python that has pandas, the same questions
// go to pandas over the same table in memory.

func seconds() -> Double { Double(DispatchTime.now().uptimeNanoseconds) * 1e-9 }

func peakMegabytes() -> Double {
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    return Double(usage.ru_maxrss) / 1024
}

/// Processor seconds of this process; on a busy machine they tell more than the clock.
func processorSeconds() -> Double {
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) * 1e-6 }
    return seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

func option(_ name: String, _ fallback: String) -> String {
    let arguments = CommandLine.arguments
    guard let index = arguments.firstIndex(of: "--" + name), index + 1 < arguments.count else { return fallback }
    return arguments[index + 1]
}

func show(_ value: Double, _ width: Int = 9) -> String {
    let text = String(format: "%.2f", value)
    return String(repeating: " ", count: max(0, width - text.count)) + text
}

func padded(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(1, width - text.count))
}

func build(_ path: String) throws {
    let zoo = SyntheticZoo(models: Int(option("models", "50000")) ?? 50_000, epochs: Int(option("epochs", "52")) ?? 52)
    let start = seconds()
    let catalog = try Catalog.openOrCreate(path)
    let writer = try catalog.writer()
    try zoo.write(to: writer) {
        print("  \($0) models, \(show(seconds() - start, 1)) s, \(show(peakMegabytes(), 1)) MB")
    }
    try writer.close()
    let bytes = try FileManager.default.attributesOfItem(atPath: path)[.size] as? Int ?? 0
    print("built \(zoo.models) models, \(zoo.models * zoo.epochs) checkpoints in \(show(seconds() - start, 1)) s")
    print(
        "  (\(show(processorSeconds(), 1)) s of processor time), \(bytes / 1_000_000) MB, peak resident \(show(peakMegabytes(), 1)) MB"
    )
}

/// Median and first milliseconds of a query.
func time(_ catalog: Catalog, _ query: Query, runs: Int) throws -> (
    median: Double, first: Double, processor: Double, rows: Int
) {
    var times: [Double] = []
    let before = processorSeconds()
    var rows = 0
    for _ in 0..<runs {
        let start = seconds()
        rows = try catalog.run(query).rows.count
        times.append((seconds() - start) * 1000)
    }
    return (times.sorted()[runs / 2], times[0], (processorSeconds() - before) / Double(runs) * 1000, rows)
}

func peer(_ path: String) throws -> [String: Double] {
    guard let python = ProcessInfo.processInfo.environment["ZOO_PEERS_PYTHON"] else { return [:] }
    let script = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appendingPathComponent("peers/catalog_pandas.py").path
    let process = Process()
    process.executableURL = URL(fileURLWithPath: python)
    process.arguments = [script, path]
    let pipe = Pipe()
    process.standardOutput = pipe
    try process.run()
    let data = pipe.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    guard process.terminationStatus == 0 else { throw ZooError(.internal, "the pandas peer failed") }
    let value = try JSONParser.parse(String(decoding: data, as: UTF8.self))
    return Dictionary(uniqueKeysWithValues: (value.object?.members ?? []).map { ($0.key, $0.value.double ?? .nan) })
}

func report(_ path: String) throws {
    let runs = Int(option("runs", "15")) ?? 15
    var opening: [Double] = []
    for _ in 0..<11 {
        let start = seconds()
        _ = try Catalog(path)
        opening.append((seconds() - start) * 1000)
    }
    print("open \(show(opening.sorted()[5], 1)) ms (first \(show(opening[0], 1)))")
    let catalog = try Catalog(path)
    let pandas = try peer(path)
    print(padded("query", 28) + "   median     first processor    pandas   ratio   rows   (ms)")
    var medians: [Double] = []
    var slowest = 0.0
    for shape in queryShapes {
        let (median, first, processor, rows) = try time(catalog, shape.query, runs: shape.isGrouped ? 3 : runs)
        if shape.isGrouped { slowest = max(slowest, median) } else { medians.append(median) }
        let other = pandas[shape.name]
        let ratio = other.map { show($0 / median, 7) } ?? "      -"
        print(
            padded(shape.name, 28) + show(median) + " " + show(first) + " " + show(processor) + " "
                + (other.map { show($0) } ?? "        -") + " "
                + ratio + "  \(rows)")
    }
    medians.sort()
    print("median of \(medians.count) sorted queries \(show(medians[medians.count / 2], 1)) ms, ", terminator: "")
    print("slowest \(show(medians.last ?? 0, 1)) ms; slowest group \(show(slowest, 1)) ms")
    print("peak resident \(show(peakMegabytes(), 1)) MB")
}

do {
    let path = option("catalog", NSTemporaryDirectory() + "zoo-catalog-benchmark.sqlite")
    let isKept = CommandLine.arguments.contains("--keep")
    if !FileManager.default.fileExists(atPath: path) { try build(path) }
    try report(path)
    if !isKept {
        for suffix in ["", "-wal", "-shm", "-lock"] { try? FileManager.default.removeItem(atPath: path + suffix) }
    }
} catch {
    FileHandle.standardError.write(Data("error: \(error)\n".utf8))
    exit(1)
}
