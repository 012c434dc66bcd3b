import ZooBase

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// A service on this machine as a black box: `POST` of `{"shape": […], "inputs": [[…], …]}`, answered by
/// `{"scores": [[…], …]}` or `{"labels": […]}`. Only loopback addresses are spoken to.
public struct LoopbackBox: BlackBox {
    /// The name in messages.
    public let name: String
    /// The extents of an input.
    public let inputShape: [Int]
    /// Classes.
    public let classCount: Int
    /// What the answers are.
    public let kind: ScoreKind
    /// Nothing is known of what it does.
    public var isRepeatable: Bool { false }
    private let address: Address
    private let timeout: Double

    /// Where a service listens.
    struct Address: Sendable {
        var host: String, port: UInt16, path: String
    }

    /// The most bytes of an answer.
    static let answerLimit = 1 << 28

    /// A service.
    ///
    /// - Parameter url: `http://127.0.0.1:PORT/PATH`, or `localhost`.
    /// - Throws: `usage` for any other address.
    public init(
        name: String, url: String, inputShape: [Int], classCount: Int, kind: ScoreKind, timeout: Double = 60
    ) throws {
        self.name = name
        self.inputShape = inputShape
        self.classCount = classCount
        self.kind = kind
        self.timeout = timeout
        address = try Self.parse(url)
    }

    static func parse(_ url: String) throws -> Address {
        let bad = ZooError(
            .usage, "'\(url)': a box is asked at http://127.0.0.1:PORT/PATH only",
            hint: "forward another machine's port to this one, or wrap it in a program ('command:')")
        guard url.hasPrefix("http://") else { throw bad }
        let rest = url.dropFirst(7)
        let slash = rest.firstIndex(of: "/") ?? rest.endIndex
        let parts = rest[..<slash].split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count <= 2, let host = parts.first else { throw bad }
        let numbers = host.split(separator: ".", omittingEmptySubsequences: false).map { UInt8($0) }
        let isLoopback = numbers.count == 4 && !numbers.contains(nil) && numbers[0] == 127
        guard isLoopback || host == "localhost" else { throw bad }
        guard let port = parts.count == 2 ? UInt16(parts[1]) : 80 else { throw bad }
        let path = slash == rest.endIndex ? "/" : String(rest[slash...])
        guard path.unicodeScalars.allSatisfy({ $0.isASCII && $0.value > 0x20 && $0.value != 0x7F }) else { throw bad }
        return Address(host: host == "localhost" ? "127.0.0.1" : String(host), port: port, path: path)
    }

    /// Posts a batch.
    ///
    /// - Throws: `io` when nobody listens, the service fails or is too slow; `corrupt` for an answer that is none;
    ///   `mismatch` for another number of answers.
    public func scores(_ inputs: [Float], count: Int) throws -> [Float] {
        let size = inputShape.reduce(1, *)
        var body = "{\"shape\":[\(inputShape.map(String.init).joined(separator: ","))],\"inputs\":["
        for place in 0..<count {
            body += place > 0 ? "," : ""
            body += "[" + inputs[place * size..<(place + 1) * size].map { "\($0)" }.joined(separator: ",") + "]"
        }
        let answer = try post(Array((body + "]}").utf8))
        guard let value = try? JSONParser.parse(String(decoding: answer, as: UTF8.self)) else {
            throw ZooError(.corrupt, "the service answered with no JSON")
        }
        let key = kind == .labels ? "labels" : "scores"
        guard let rows = value[key]?.array ?? value.array else {
            throw ZooError(.corrupt, "the service's answer has no list '\(key)'")
        }
        guard rows.count == count else {
            throw ZooError(.mismatch, "the service gave \(rows.count) answers to \(count) inputs")
        }
        return try rows.enumerated().flatMap {
            try BoxAnswer.row($0.element, kind: kind, classCount: classCount, place: $0.offset)
        }
    }

    // MARK: HTTP

    private func post(_ body: [UInt8]) throws -> [UInt8] {
        let place = "http://\(address.host):\(address.port)\(address.path)"
        let descriptor = try connected(place)
        defer { shut(descriptor) }
        let head =
            "POST \(address.path) HTTP/1.0\r\nHost: \(address.host):\(address.port)\r\n"
            + "Content-Type: application/json\r\nContent-Length: \(body.count)\r\nConnection: close\r\n\r\n"
        let start = ContinuousClock.now
        func check() throws {
            try Cancellation.check()
            guard ContinuousClock.now - start < .seconds(timeout) else {
                throw ZooError(
                    .io, "\(place) did not answer within \(timeout) seconds", hint: "give it more time with 'timeout'")
            }
        }
        let message = Array(head.utf8) + body
        var sent = 0
        while sent < message.count {
            try check()
            var fd = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
            guard poll(&fd, 1, 100) > 0 else { continue }
            let count = message.withUnsafeBytes { raw in
                send(descriptor, raw.baseAddress.map { $0 + sent }, raw.count - sent, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { throw ZooError.system("write to \(place)", errno: errno) }
            sent += count
        }
        var answer: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            try check()
            var fd = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            guard poll(&fd, 1, 100) > 0 else { continue }
            let count = read(descriptor, &buffer, buffer.count)
            guard count >= 0 else { throw ZooError.system("read from \(place)", errno: errno) }
            if count == 0 { break }
            answer += buffer.prefix(count)
            guard answer.count <= Self.answerLimit else { throw ZooError(.limit, "\(place) answers without end") }
            if let whole = try? Self.body(of: answer, place), whole.isComplete { return whole.bytes }
        }
        return try Self.body(of: answer, place).bytes
    }

    /// The body of an answer, and whether all that its head promises is there.
    package static func body(of answer: [UInt8], _ place: String) throws -> (bytes: [UInt8], isComplete: Bool) {
        let separator: [UInt8] = [13, 10, 13, 10]
        guard let end = answer.indices.dropLast(3).first(where: { answer[$0..<$0 + 4].elementsEqual(separator) }) else {
            throw ZooError(.corrupt, "\(place): the answer has no HTTP head")
        }
        let lines = String(decoding: answer[..<end], as: UTF8.self).split(separator: "\r\n")
        let words = (lines.first ?? "").split(separator: " ")
        guard words.count >= 2, words[0].hasPrefix("HTTP/1."), let status = Int(words[1]) else {
            throw ZooError(.corrupt, "\(place): the answer is no HTTP")
        }
        guard status == 200 else { throw ZooError(.io, "\(place) answered with status \(status)") }
        let bytes = Array(answer[(end + 4)...])
        let length = lines.dropFirst().compactMap { line -> Int? in
            let pair = line.split(separator: ":", maxSplits: 1)
            guard pair.count == 2, pair[0].lowercased() == "content-length" else { return nil }
            return Int(pair[1].filter { $0 != " " })
        }.first
        if let length {
            return (Array(bytes.prefix(max(0, length))), bytes.count >= length)
        }
        return (bytes, false)
    }

    private func connected(_ place: String) throws -> Int32 {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { throw ZooError.system("make a socket", errno: errno) }
        var target = sockaddr_in()
        target.sin_family = sa_family_t(AF_INET)
        target.sin_port = address.port.bigEndian
        inet_pton(AF_INET, address.host, &target.sin_addr)
        let code = withUnsafePointer(to: &target) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard code == 0 else {
            let reason = errno
            shut(descriptor)
            throw ZooError.system("connect to \(place)", errno: reason, hint: "start the service first")
        }
        return descriptor
    }

    private func shut(_ descriptor: Int32) { _ = close(descriptor) }
}
