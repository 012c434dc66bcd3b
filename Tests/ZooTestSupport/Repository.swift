import Foundation

/// Paths of the checkout that tests run in.
public enum Repository {
    /// The folder that holds Package.swift.
    public static let root: String = {
        var url = URL(fileURLWithPath: #filePath)
        for _ in 0..<3 { url.deleteLastPathComponent() }
        return url.path
    }()

    /// A path below the root.
    public static func path(_ relative: String) -> String { root + "/" + relative }
}

/// A folder of its own for one test, removed with the value.
public final class TemporaryFolder: Sendable {
    /// The folder.
    public let path: String

    /// Makes the folder.
    public init() throws {
        path = FileManager.default.temporaryDirectory.appendingPathComponent("zoo-test-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// A path inside.
    public func file(_ name: String) -> String { path + "/" + name }
}
