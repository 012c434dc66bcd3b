import ZooBase
import ZooMerge

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// The log of learning: a line per epoch with losses, scores, sizes of coefficients, time and memory.
final class ComposeLog {
    private let session: Session
    private let started = ProgressReporter.monotonicSeconds()
    private(set) var lines: [JSONValue] = []

    init(_ session: Session) { self.session = session }

    /// Seconds since the beginning.
    var seconds: Double { ProgressReporter.monotonicSeconds() - started }

    /// The most memory that the process had, in bytes.
    static var peakByteCount: Int {
        var usage = rusage()
        #if os(Linux)
            // What getrusage says of a process begins with what its parent had when it was started.
            if let kilobytes = statusNumber("VmHWM:") { return kilobytes * 1024 }
            getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
            return usage.ru_maxrss * 1024
        #else
            getrusage(RUSAGE_SELF, &usage)
            return usage.ru_maxrss
        #endif
    }

    #if os(Linux)
        /// A number of the kernel's page on this process.
        private static func statusNumber(_ key: String) -> Int? {
            guard let file = fopen("/proc/self/status", "re") else { return nil }
            defer { fclose(file) }
            var buffer = [UInt8](repeating: 0, count: 1 << 14)
            let count = fread(&buffer, 1, buffer.count, file)
            let lines = String(decoding: buffer[..<count], as: UTF8.self).split(separator: "\n")
            return lines.first { $0.hasPrefix(key) }.flatMap { Int($0.filter(\.isNumber)) }
        }
    #endif

    /// Adds the newest line of a state.
    func add(_ label: String, _ state: CoefficientState, _ groups: CoefficientGroups, parts: Int) {
        guard let last = state.history.last else { return }
        var object = JSONObject([("run", .string(label))])
        for (key, value) in last.json { object[key] = value }
        object["largest"] = .object(largest(state, groups, parts))
        object["seconds"] = .double(seconds)
        object["peak_bytes"] = .int(Int64(Self.peakByteCount))
        lines.append(.object(object))
        let loss = last.loss.map { "loss \(Quantity.significant($0, digits: 4)), " } ?? ""
        session.detail(
            "\(label), epoch \(last.round): \(loss)score \(Quantity.significant(last.score, digits: 4)), "
                + "‖C‖ \(Quantity.significant(last.norm, digits: 3))\(last.isKept ? ", kept" : ""), "
                + "\(Quantity.significant(seconds, digits: 3)) s, \(Quantity.bytes(Self.peakByteCount))")
    }

    /// The largest |coefficient| of each kind of tensor, by the last part of its name. Coefficients are
    /// `[vectors, groups, parts]`.
    private func largest(_ state: CoefficientState, _ groups: CoefficientGroups, _ parts: Int) -> JSONObject {
        var found: [String: Double] = [:]
        let kinds = groups.names.map { $0.split(separator: ".").last.map(String.init) ?? $0 }
        for (place, value) in state.values.enumerated() {
            let kind = kinds[place / parts % kinds.count]
            found[kind] = max(found[kind] ?? 0, abs(value))
        }
        return JSONObject(found.sorted { $0.key < $1.key }.map { ($0.key, .double($0.value)) })
    }
}
