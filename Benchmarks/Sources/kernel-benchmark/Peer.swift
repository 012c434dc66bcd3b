import Foundation

/// A Python process that times the same cases with PyTorch on one thread, turn by turn with this one.
final class Peer {
    private let process = Process()
    private let input = Pipe()
    private let output = Pipe()
    private var pending = Data()
    /// What it calls itself.
    private(set) var name = ""

    /// Starts the interpreter that ZOO_PEERS_PYTHON names; nil without it.
    init?() throws {
        guard let python = ProcessInfo.processInfo.environment["ZOO_PEERS_PYTHON"] else { return nil }
        process.executableURL = URL(fileURLWithPath: python)
        let script = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent(
            "kernel_peer.py")
        process.arguments = [script.path]
        process.standardInput = input
        process.standardOutput = output
        try process.run()
        name = try line()
    }

    /// The best time of one run of a case within `seconds`.
    func seconds(_ kind: String, _ numbers: [Int], within seconds: Double) throws -> Double {
        let request = ([kind, String(seconds)] + numbers.map(String.init)).joined(separator: " ") + "\n"
        try input.fileHandleForWriting.write(contentsOf: Data(request.utf8))
        guard let value = Double(try line()) else { throw PeerFailure() }
        return value
    }

    /// Ends the process.
    func stop() throws {
        try input.fileHandleForWriting.close()
        process.waitUntilExit()
    }

    private func line() throws -> String {
        while true {
            if let end = pending.firstIndex(of: 10) {
                defer { pending = Data(pending[(end + 1)...]) }
                return String(decoding: pending[..<end], as: UTF8.self)
            }
            let more = output.fileHandleForReading.availableData
            if more.isEmpty { throw PeerFailure() }
            pending.append(more)
        }
    }
}

/// The peer ended or answered something else than a number.
struct PeerFailure: Error {}
