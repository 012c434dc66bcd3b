import Foundation

/// Runs the built `zoo`, as a user would.
public enum ZooProgram {
    /// What a run left behind.
    public struct Result: Sendable {
        /// The exit status; the negative signal number when a signal ended it.
        public let status: Int32
        /// Everything on standard output.
        public let output: String
        /// Everything on standard error.
        public let errors: String
    }

    /// The executable beside the test bundle, else the newest of the usual build folders; nil when there is none.
    public static let path: String? = {
        let bundleFolder = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent().path
        let candidates = [bundleFolder, Repository.path(".build/release"), Repository.path(".build/debug")]
        return candidates.map { $0 + "/zoo" }.first { FileManager.default.isExecutableFile(atPath: $0) }
    }()

    /// The program is not there.
    public struct Missing: Error {}

    /// Runs it to its end.
    ///
    /// - Parameters:
    ///   - environment: variables on top of those of the tests, without `ZOO_CATALOG`.
    ///   - folder: the working folder; the repository unless given.
    public static func run(
        _ arguments: [String], environment: [String: String] = [:], folder: String? = nil
    ) throws -> Result {
        guard let path else { throw Missing() }
        let process = Process()
        process.executableURL = URL(fileURLWithPath: path)
        process.arguments = arguments
        var variables = ProcessInfo.processInfo.environment
        variables["ZOO_CATALOG"] = nil
        process.environment = variables.merging(environment) { $1 }
        process.currentDirectoryURL = URL(fileURLWithPath: folder ?? Repository.root)
        process.standardInput = FileHandle.nullDevice
        let output = Pipe()
        let errors = Pipe()
        process.standardOutput = output
        process.standardError = errors
        try process.run()
        // Both pipes are emptied at the same time: a full one would stop the program.
        let errorReader = Reader(errors.fileHandleForReading)
        let outputText = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        let errorText = errorReader.text
        process.waitUntilExit()
        let status = process.terminationReason == .exit ? process.terminationStatus : -process.terminationStatus
        return Result(status: status, output: outputText, errors: errorText)
    }

    /// Starts it and leaves it running, for tests that stop or kill it.
    ///
    /// - Parameters:
    ///   - environment: variables on top of those of the tests, without `ZOO_CATALOG`.
    ///   - errorFile: the file that gets its standard error; nil drops it. Standard output is dropped.
    public static func start(
        _ arguments: [String], environment: [String: String] = [:], errorFile: String? = nil
    ) throws -> Process {
        guard let path else { throw Missing() }
        let process = Process()
        process.executableURL = URL(fileURLWithPath: path)
        process.arguments = arguments
        var variables = ProcessInfo.processInfo.environment
        variables["ZOO_CATALOG"] = nil
        process.environment = variables.merging(environment) { $1 }
        process.currentDirectoryURL = URL(fileURLWithPath: Repository.root)
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        if let errorFile {
            try Data().write(to: URL(fileURLWithPath: errorFile))
            process.standardError = try FileHandle(forWritingTo: URL(fileURLWithPath: errorFile))
        }
        try process.run()
        return process
    }

    /// Reads a pipe to its end on a thread of its own.
    private final class Reader: @unchecked Sendable {
        // Sendable by rule: `data` is written by the thread before it signals `done` and read only after waiting.
        private var data = Data()
        private let done = DispatchSemaphore(value: 0)

        init(_ handle: FileHandle) {
            Thread.detachNewThread { [self] in
                data = handle.readDataToEndOfFile()
                done.signal()
            }
        }

        var text: String {
            done.wait()
            return String(decoding: data, as: UTF8.self)
        }
    }
}
