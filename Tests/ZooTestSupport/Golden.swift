import Foundation

/// Comparison with files committed beside the tests.
///
/// With `ZOO_UPDATE_GOLDENS=1` in the environment the files are written instead; look at the difference before you
/// commit it.
public enum Golden {
    /// Whether files are written rather than compared.
    public static var isUpdating: Bool { ProcessInfo.processInfo.environment["ZOO_UPDATE_GOLDENS"] == "1" }

    /// What is wrong; nil when the bytes equal the file's.
    ///
    /// - Parameter path: the file, relative to the repository.
    public static func difference(_ bytes: [UInt8], _ path: String) -> String? {
        let url = URL(fileURLWithPath: Repository.path(path))
        if isUpdating {
            do {
                try FileManager.default.createDirectory(
                    at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
                try Data(bytes).write(to: url)
                return nil
            } catch {
                return "cannot write \(path): \(error)"
            }
        }
        guard let expected = try? Data(contentsOf: url) else {
            return "\(path) is missing; ZOO_UPDATE_GOLDENS=1 writes it"
        }
        guard Array(expected) != bytes else { return nil }
        let expectedLines = String(decoding: expected, as: UTF8.self).split(
            separator: "\n", omittingEmptySubsequences: false)
        let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false)
        for (number, pair) in zip(expectedLines, lines).enumerated() where pair.0 != pair.1 {
            return "\(path):\(number + 1): expected “\(pair.0)”, found “\(pair.1)”"
        }
        return "\(path): expected \(expected.count) bytes, found \(bytes.count)"
    }

    /// What is wrong; nil when the text equals the file's.
    public static func difference(_ text: String, _ path: String) -> String? { difference(Array(text.utf8), path) }
}
