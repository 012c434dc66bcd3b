// Kernels against PyTorch on one thread, on the same shapes in the same run:
//     ZOO_PEERS_PYTHON=PYTHON swift run -c release kernel-benchmark [ROUNDS] [SECONDS] [WORD]
// Both sides take turns, ROUNDS times (5) for SECONDS (0.1) each, and the best time of each side counts: other work on
// the machine then disturbs neither more than the other. WORD keeps the cases whose name contains it.

import CZooKernels
import Foundation

private func bestRun(_ run: () -> Void, within seconds: Double) -> Double {
    let clock = ContinuousClock()
    let end = clock.now + .seconds(seconds)
    var best = Double.infinity, repeats = 1
    repeat {
        let spent = clock.measure { for _ in 0..<repeats { run() } } / .seconds(1)
        best = min(best, spent / Double(repeats))
        if spent < 2e-4 { repeats *= 2 }
    } while clock.now < end
    return best
}

private func padded(_ text: String, _ width: Int) -> String {
    String(repeating: " ", count: max(0, width - text.count)) + text
}

private func number(_ value: Double, _ width: Int) -> String {
    padded(String(format: value < 10 ? "%.2f" : "%.1f", value), width)
}

private let arguments = CommandLine.arguments
private let rounds = arguments.count > 1 ? Int(arguments[1]) ?? 5 : 5
private let seconds = arguments.count > 2 ? Double(arguments[2]) ?? 0.1 : 0.1
private let word = arguments.count > 3 ? arguments[3] : ""
private let peer = try Peer()

print("instruction set \(String(cString: zoo_kernel_isa())), peer \(peer?.name ?? "none (set ZOO_PEERS_PYTHON)")")
print(
    "case".padding(toLength: 34, withPad: " ", startingAt: 0)
        + "     us    rate unit/s   peer us  peer rate  times faster")
for make in groupsOfCases {
    for one in make() where word.isEmpty || one.title.contains(word) {
        var ours = Double.infinity, theirs = Double.infinity
        for _ in 0..<rounds {
            ours = min(ours, bestRun(one.run, within: seconds))
            if let peer { theirs = min(theirs, try peer.seconds(one.kind, one.numbers, within: seconds)) }
        }
        var line = one.title.padding(toLength: 32, withPad: " ", startingAt: 0)
        line += number(ours * 1e6, 9) + number(one.work / ours, 8)
        line += " " + one.unit.padding(toLength: 6, withPad: " ", startingAt: 0)
        if peer != nil {
            line += number(theirs * 1e6, 10) + number(one.work / theirs, 11) + number(theirs / ours, 10)
        }
        print(line)
    }
}
try peer?.stop()
