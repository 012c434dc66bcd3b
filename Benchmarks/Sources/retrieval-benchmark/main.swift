import Foundation
import ZooBase
import ZooRetrieval

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

// retrieval-benchmark [--models N] [--width E] [--queries Q] [--top K] [--runs R]
//
// Exact search over N vectors (a million of 64 numbers unless told otherwise): one query at a time, and Q of them in
// products of 16, with the peak of memory. Answers of some queries are compared with every product in double precision.
// With ZOO_PEERS_PYTHON set to a Python that has NumPy, the same work is done there (matmul and argpartition).

func option(_ name: String, _ fallback: Int) -> Int {
    let arguments = CommandLine.arguments
    guard let index = arguments.firstIndex(of: "--" + name), index + 1 < arguments.count else { return fallback }
    return Int(arguments[index + 1]) ?? fallback
}

func seconds() -> Double { Double(DispatchTime.now().uptimeNanoseconds) * 1e-9 }

func peakMegabytes() -> Double {
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    return Double(usage.ru_maxrss) / 1024
}

/// Unit vectors from a seed, the same ones as the peer's: components uniform in -1..1 before they are scaled.
func unitVectors(_ count: Int, _ width: Int, seed: UInt64) -> [Float] {
    var generator = SeededGenerator(seed: seed)
    var values = [Float](repeating: 0, count: count * width)
    for row in 0..<count {
        var sum: Float = 0
        for k in row * width..<(row + 1) * width {
            values[k] = Float(generator.next() >> 40) * 0x1p-23 - 1
            sum += values[k] * values[k]
        }
        let scale = 1 / sum.squareRoot()
        for k in row * width..<(row + 1) * width { values[k] *= scale }
    }
    return values
}

func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }

func main() throws {
    let count = option("models", 1_000_000), width = option("width", 64), queries = option("queries", 64)
    let top = option("top", 50), runs = option("runs", 7)
    let vectors = unitVectors(count, width, seed: 1), asked = unitVectors(queries, width, seed: 2)
    let base = peakMegabytes()
    let search = VectorSearch(vectors, width: width)
    var single: [Double] = [], batched: [Double] = []
    for run in 0..<runs {
        let place = run % queries
        let start = seconds()
        _ = try search.nearest(Array(asked[place * width..<(place + 1) * width]), top: top)
        single.append(seconds() - start)
    }
    let afterOne = peakMegabytes()
    var found: [[VectorSearch.Hit]] = []
    for _ in 0..<max(1, runs / 2) {
        let start = seconds()
        found = try search.nearest(asked, top: top)
        batched.append((seconds() - start) / Double(queries))
    }
    print("\(count) vectors of \(width) numbers, the nearest \(top)")
    print(String(format: "  one query           %8.1f ms", median(single) * 1e3))
    print(String(format: "  each of %4d queries %8.1f ms", queries, median(batched) * 1e3))
    print(
        String(
            format: "  peak memory %.0f MB: vectors %.0f, one query %.0f more, %d queries %.0f more", peakMegabytes(),
            base,
            afterOne - base, queries, peakMegabytes() - base))
    var agreeing = 0
    let checked = min(queries, 4)
    for query in 0..<checked {
        let scores = (0..<count).map { place in
            (0..<width).reduce(0.0) { $0 + Double(vectors[place * width + $1]) * Double(asked[query * width + $1]) }
        }
        let exact = scores.indices.sorted { (-scores[$0], $0) < (-scores[$1], $1) }.prefix(top)
        agreeing += Set(exact) == Set(found[query].map(\.place)) ? 1 : 0
    }
    print("  \(agreeing) of \(checked) queries have the same \(top) as by double precision")
    guard let python = ProcessInfo.processInfo.environment["ZOO_PEERS_PYTHON"] else { return }
    let peer = Process()
    peer.executableURL = URL(fileURLWithPath: python)
    peer.arguments =
        [URL(fileURLWithPath: #filePath).deletingLastPathComponent().path + "/retrieval_peer.py"]
        + [count, width, queries, top, runs].map(String.init)
    try peer.run()
    peer.waitUntilExit()
}

do { try main() } catch {
    print("retrieval-benchmark: \(ZooError.wrap(error))")
    exit(1)
}
