import ZooBase

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// How a program is told its inputs.
public enum BoxInput: String, Sendable, Hashable, CaseIterable {
    /// A line per input: a JSON array of its numbers, row-major.
    case json
    /// The numbers of all inputs as little-endian float32, without anything between.
    case float32
}

/// A program as a black box. It is started once for every batch: it reads inputs from standard input until the end and
/// writes a line per input, a JSON array of scores or the number of a class.
public struct CommandBox: BlackBox {
    /// The name in messages.
    public let name: String
    /// The extents of an input.
    public let inputShape: [Int]
    /// Classes.
    public let classCount: Int
    /// What the lines hold.
    public let kind: ScoreKind
    /// Nothing is known of what it does.
    public var isRepeatable: Bool { false }
    private let arguments: [String]
    private let input: BoxInput
    private let timeout: Double

    /// A program.
    ///
    /// - Parameters:
    ///   - arguments: the program and its arguments; a name without `/` is looked for in `$PATH`.
    ///   - timeout: seconds that a batch may take.
    public init(
        name: String, arguments: [String], inputShape: [Int], classCount: Int, kind: ScoreKind,
        input: BoxInput = .json, timeout: Double = 60
    ) {
        self.name = name
        self.arguments = arguments
        self.inputShape = inputShape
        self.classCount = classCount
        self.kind = kind
        self.input = input
        self.timeout = timeout
    }

    /// Starts the program on a batch.
    ///
    /// - Throws: `notFound` when it cannot be started; `io` when it fails or is too slow; `corrupt` for lines that are
    ///   no answers; `mismatch` for another number of them.
    public func scores(_ inputs: [Float], count: Int) throws -> [Float] {
        let output = try ChildProcess.run(arguments, input: encoded(inputs), timeout: timeout)
        let lines = output.split(separator: 0x0A).filter { !$0.allSatisfy { $0 <= 0x20 } }
        guard lines.count == count else {
            throw ZooError(
                .mismatch, "'\(arguments[0])' wrote \(lines.count) lines for \(count) inputs",
                hint: "a line per input: a JSON array of \(classCount) scores, or the number of a class")
        }
        var result: [Float] = []
        result.reserveCapacity(count * classCount)
        for (place, line) in lines.enumerated() {
            let text = String(decoding: line.prefix(1 << 20), as: UTF8.self)
            guard let value = try? JSONParser.parse(text) else {
                throw ZooError(
                    .corrupt, "'\(arguments[0])' answered input \(place) with \"\(text.prefix(60))\", which is no JSON")
            }
            result += try BoxAnswer.row(value, kind: kind, classCount: classCount, place: place)
        }
        return result
    }

    private func encoded(_ inputs: [Float]) -> [UInt8] {
        guard input == .json else {
            return inputs.flatMap { withUnsafeBytes(of: $0.bitPattern.littleEndian, Array.init) }
        }
        let size = inputShape.reduce(1, *)
        var text = ""
        for start in stride(from: 0, to: inputs.count, by: size) {
            text += "[" + inputs[start..<start + size].map { "\($0)" }.joined(separator: ",") + "]\n"
        }
        return Array(text.utf8)
    }
}

/// One answer of a box outside this process.
enum BoxAnswer {
    /// Scores, or a one-hot row for a label.
    ///
    /// - Throws: `mismatch` for another length or a class that is not there; `corrupt` for anything that is no number.
    static func row(_ value: JSONValue, kind: ScoreKind, classCount: Int, place: Int) throws -> [Float] {
        if kind == .labels {
            guard let label = value.int ?? value.array.flatMap({ $0.count == 1 ? $0[0].int : nil }) else {
                throw ZooError(.corrupt, "the answer to input \(place) is no class: \(value.text().prefix(60))")
            }
            guard (0..<classCount).contains(label) else {
                throw ZooError(.mismatch, "the answer to input \(place) is class \(label) of \(classCount)")
            }
            var row = [Float](repeating: 0, count: classCount)
            row[label] = 1
            return row
        }
        guard let list = value.array else {
            throw ZooError(.corrupt, "the answer to input \(place) is no list of scores: \(value.text().prefix(60))")
        }
        guard list.count == classCount else {
            throw ZooError(
                .mismatch, "the answer to input \(place) has \(list.count) scores; expected \(classCount)",
                hint: "say how many classes the box has")
        }
        return try list.map { element in
            guard let number = element.double, number.isFinite else {
                throw ZooError(
                    .corrupt, "the answer to input \(place) holds \(element.text()), which is no finite number")
            }
            return Float(number)
        }
    }
}

/// Runs a program with bytes for its standard input, and gathers what it writes.
enum ChildProcess {
    /// The most bytes read of a program.
    static let outputLimit = 1 << 28

    /// Standard output of the program.
    ///
    /// - Throws: `notFound`, `io`, `limit`, `interrupted`.
    static func run(_ arguments: [String], input: [UInt8], timeout: Double) throws -> [UInt8] {
        guard let program = arguments.first, !program.isEmpty else { throw ZooError(.usage, "no program is named") }
        let pipes = try (0..<3).map { _ in try Pipe() }
        defer { for pipe in pipes { pipe.close() } }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, pipes[0].read, 0)
        posix_spawn_file_actions_adddup2(&actions, pipes[1].write, 1)
        posix_spawn_file_actions_adddup2(&actions, pipes[2].write, 2)
        for pipe in pipes {
            posix_spawn_file_actions_addclose(&actions, pipe.read)
            posix_spawn_file_actions_addclose(&actions, pipe.write)
        }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        // A group of its own, so that whatever it starts ends with it.
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP))
        posix_spawnattr_setpgroup(&attributes, 0)
        var pid: pid_t = 0
        let argv = arguments.map { strdup($0) } + [nil]
        defer { for argument in argv { free(argument) } }
        let code = posix_spawnp(&pid, program, &actions, &attributes, argv, environ)
        guard code == 0 else {
            throw ZooError.system("start '\(program)'", errno: code, hint: "check the program's name and rights")
        }
        pipes[0].closeRead()
        pipes[1].closeWrite()
        pipes[2].closeWrite()
        var isReaped = false
        defer {
            if !isReaped {
                kill(-pid, SIGKILL)
                var status: Int32 = 0
                waitpid(pid, &status, 0)
            }
        }
        let (output, complaint) = try exchange(pipes, input, program, timeout)
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0 && errno == EINTR {}
        isReaped = true
        guard status == 0 else {
            let how =
                status & 0x7F == 0 ? "ended with status \(status >> 8 & 0xFF)" : "was killed by signal \(status & 0x7F)"
            let last = String(decoding: complaint, as: UTF8.self).split(separator: "\n").last.map {
                ": \($0.prefix(200))"
            }
            throw ZooError(.io, "'\(program)' \(how)\(last ?? "")")
        }
        return output
    }

    /// Writes the input while reading both outputs, so that neither side waits for the other for ever.
    private static func exchange(
        _ pipes: [Pipe], _ input: [UInt8], _ program: String, _ timeout: Double
    ) throws -> (output: [UInt8], complaint: [UInt8]) {
        // A program that ends without reading must not end this one: its broken pipe stays an error of `write`.
        var brokenPipe = sigset_t(), before = sigset_t(), pending = sigset_t()
        sigemptyset(&brokenPipe)
        sigaddset(&brokenPipe, SIGPIPE)
        pthread_sigmask(SIG_BLOCK, &brokenPipe, &before)
        defer {
            sigpending(&pending)
            var caught: Int32 = 0
            if sigismember(&pending, SIGPIPE) == 1 { sigwait(&brokenPipe, &caught) }
            pthread_sigmask(SIG_SETMASK, &before, nil)
        }
        var output: [UInt8] = [], complaint: [UInt8] = []
        var sent = 0
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        let start = ContinuousClock.now
        _ = fcntl(pipes[0].write, F_SETFL, O_NONBLOCK)
        if input.isEmpty { pipes[0].closeWrite() }
        while pipes[1].read >= 0 || pipes[2].read >= 0 {
            try Cancellation.check()
            guard ContinuousClock.now - start < .seconds(timeout) else {
                throw ZooError(
                    .io, "'\(program)' did not answer within \(timeout) seconds",
                    hint: "give it more time with 'timeout'")
            }
            var fds = [
                pollfd(fd: pipes[0].write, events: Int16(POLLOUT), revents: 0),
                pollfd(fd: pipes[1].read, events: Int16(POLLIN), revents: 0),
                pollfd(fd: pipes[2].read, events: Int16(POLLIN), revents: 0),
            ]
            _ = poll(&fds, 3, 100)
            if fds[0].revents != 0, pipes[0].write >= 0 {
                let count = input.withUnsafeBytes {
                    write(pipes[0].write, $0.baseAddress.map { $0 + sent }, $0.count - sent)
                }
                if count > 0 { sent += count }
                // A program that reads no more has its reasons; its answers will tell.
                if sent == input.count || (count < 0 && errno != EAGAIN && errno != EINTR) { pipes[0].closeWrite() }
            }
            for place in 1...2 where fds[place].revents != 0 && pipes[place].read >= 0 {
                let count = read(pipes[place].read, &buffer, buffer.count)
                if count > 0 {
                    if place == 1 {
                        output += buffer.prefix(count)
                    } else {
                        complaint = Array((complaint + buffer.prefix(count)).suffix(4096))
                    }
                } else if count == 0 || errno != EINTR {
                    pipes[place].closeRead()
                }
            }
            guard output.count <= outputLimit else { throw ZooError(.limit, "'\(program)' writes without end") }
        }
        return (output, complaint)
    }

    /// Both ends of a pipe, each closed once.
    private final class Pipe {
        private(set) var read: Int32 = -1
        private(set) var write: Int32 = -1

        init() throws {
            var ends: [Int32] = [-1, -1]
            guard pipe(&ends) == 0 else { throw ZooError.system("make a pipe", errno: errno) }
            for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
            (read, write) = (ends[0], ends[1])
        }

        func closeRead() {
            if read >= 0 { _ = Self.shut(read) }
            read = -1
        }

        func closeWrite() {
            if write >= 0 { _ = Self.shut(write) }
            write = -1
        }

        func close() {
            closeRead()
            closeWrite()
        }

        private static func shut(_ descriptor: Int32) -> Int32 { systemClose(descriptor) }
    }
}

private func systemClose(_ descriptor: Int32) -> Int32 { close(descriptor) }
