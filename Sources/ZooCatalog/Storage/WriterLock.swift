import ZooBase

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// The right to write a catalog: an advisory lock on a small file beside it, which the system takes back however the
/// process ends. The file holds the owner's process id, for the message that a second writer gets.
final class WriterLock {
    private let descriptor: Int32

    /// Takes the lock.
    ///
    /// - Parameter patience: seconds to go on trying while another process has it.
    /// - Throws: `busy` naming the other's process id; `io` when the folder cannot be written.
    init(catalog path: String, patience: Double = 0) throws {
        let lockPath = path + "-lock"
        let descriptor = open(lockPath, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else {
            throw ZooError.system(
                "write beside \(path)", errno: errno, hint: "queries work on read-only media, indexing does not")
        }
        var waited = 0.0
        while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
            let code = errno
            guard code == EWOULDBLOCK || code == EINTR else {
                close(descriptor)
                throw ZooError.system("lock \(lockPath)", errno: code)
            }
            guard waited < patience, !Cancellation.isRequested else {
                let owner = Self.owner(descriptor)
                close(descriptor)
                throw ZooError(
                    .busy, "\(path): process \(owner) is writing this catalog",
                    hint: "wait for it to end; queries work meanwhile")
            }
            usleep(20_000)
            waited += 0.02
        }
        self.descriptor = descriptor
        let text = Array("\(getpid())\n".utf8)
        if ftruncate(descriptor, 0) == 0 { _ = pwrite(descriptor, text, text.count, 0) }
    }

    deinit {
        // Said in so many words: a child process that was forked meanwhile has the descriptor too, and closing ours
        // would leave the lock with it.
        flock(descriptor, LOCK_UN)
        close(descriptor)
    }

    private static func owner(_ descriptor: Int32) -> String {
        var buffer = [UInt8](repeating: 0, count: 32)
        let count = pread(descriptor, &buffer, buffer.count, 0)
        let digits = buffer.prefix(max(0, count)).prefix { 0x30...0x39 ~= $0 }
        return digits.isEmpty ? "of unknown id" : String(decoding: digits, as: UTF8.self)
    }
}
