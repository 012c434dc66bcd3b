import ZooBase

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// The right to grow a zoo: an advisory lock on a file in the folder where its trials grow, which the system takes back
/// however the process ends. The file holds the owner's process id, for the message that a second run gets.
final class TrainingLock {
    private let descriptor: Int32
    private let path: String

    /// Takes the lock of a folder, which is made when it is not there.
    ///
    /// - Parameters:
    ///   - folder: where the trials grow.
    ///   - zoo: the zoo's folder, for the message.
    /// - Throws: `busy` naming the other process; `io` when the folder cannot be written.
    init(_ folder: String, zoo: String) throws {
        path = "\(folder)/.lock"
        // A run that ends takes folder and file away; one that begins meanwhile tries again.
        for _ in 0..<100 {
            try makeFolder(folder)
            let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
            if descriptor < 0, errno == ENOENT { continue }
            guard descriptor >= 0 else { throw ZooError.system("write in \(folder)", errno: errno) }
            if flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
                let code = errno
                let owner = Self.owner(descriptor)
                close(descriptor)
                if code == EINTR { continue }
                guard code == EWOULDBLOCK else { throw ZooError.system("lock \(path)", errno: code) }
                throw ZooError(
                    .busy, "\(zoo): process \(owner) is growing this zoo",
                    hint: "wait for it to end, or write elsewhere with --to")
            }
            guard Self.isSame(descriptor, path) else {
                close(descriptor)
                continue
            }
            let text = Array("\(getpid())\n".utf8)
            if ftruncate(descriptor, 0) == 0 { _ = pwrite(descriptor, text, text.count, 0) }
            self.descriptor = descriptor
            return
        }
        throw ZooError(.busy, "\(zoo): other runs come and go", hint: "run the command again")
    }

    /// Gives the lock back and takes its file away. To be called once.
    func release() {
        unlink(path)
        flock(descriptor, LOCK_UN)
        close(descriptor)
    }

    /// Whether the locked file is still the one of that name.
    private static func isSame(_ descriptor: Int32, _ path: String) -> Bool {
        var own = stat(), named = stat()
        return fstat(descriptor, &own) == 0 && stat(path, &named) == 0 && own.st_ino == named.st_ino
            && own.st_dev == named.st_dev
    }

    private static func owner(_ descriptor: Int32) -> String {
        var buffer = [UInt8](repeating: 0, count: 32)
        let count = pread(descriptor, &buffer, buffer.count, 0)
        let digits = buffer.prefix(max(0, count)).prefix { 0x30...0x39 ~= $0 }
        return digits.isEmpty ? "of unknown id" : String(decoding: digits, as: UTF8.self)
    }
}
