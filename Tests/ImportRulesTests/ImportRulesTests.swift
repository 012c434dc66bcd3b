import Foundation
import Testing
import ZooTestSupport

/// Dependencies point one way: what each module may import, and who owns each outside library.
@Suite struct ImportRulesTests {
    private static let outside: Set<String> = ["Dispatch", "Foundation", "Glibc", "Musl", "Darwin", "Synchronization"]

    /// Modules of the package that a module's sources may import.
    private static let allowed: [String: Set<String>] = [
        "ZooBase": ["CZooKernels"],
        "ZooTensor": ["ZooBase", "CZooBLAS", "CZooKernels"],
        "ZooAutodiff": ["ZooBase", "ZooTensor", "CZooKernels", "CZooBLAS"],
        "ZooNN": ["ZooBase", "ZooTensor", "ZooAutodiff"],
        "ZooTokenizers": ["ZooBase"],
        "ZooFormats": ["ZooBase", "ZooTensor", "CZooKernels", "CArchive", "CHDF5", "CZlib", "CZooHDF5", "Yams"],
        "ZooData": ["ZooBase", "ZooTensor", "ZooNN", "ZooFormats", "CZooImage"],
        "ZooCatalog": [
            "ZooBase", "ZooTensor", "ZooFormats", "CZooKernels", "CCrypto", "CZooSQLite", "GRDB", "GRDBSQLite",
        ],
        "ZooMerge": ["ZooBase", "ZooTensor", "ZooAutodiff", "ZooNN", "CZooKernels", "Yams"],
        "ZooLandscape": ["ZooBase", "ZooTensor", "ZooNN", "CZooKernels"],
        "ZooRetrieval": ["ZooBase", "ZooTensor", "ZooAutodiff", "ZooNN"],
        "ZooPrune": [
            "ZooBase", "ZooTensor", "ZooAutodiff", "ZooNN", "ZooFormats", "ZooTokenizers", "CZooKernels",
        ],
        "ZooTrain": ["ZooBase", "ZooTensor", "ZooAutodiff", "ZooNN", "ZooFormats"],
        "ZooReport": ["ZooBase", "ZooTensor", "CZlib"],
        "ZooCLI": [
            "ZooBase", "ZooTensor", "ZooFormats", "ZooCatalog", "ZooData", "ZooLandscape", "ZooMerge", "ZooReport",
            "ZooAutodiff", "ZooNN", "ZooPrune", "ZooRetrieval", "ZooTokenizers", "ZooTrain",
            "CZooKernels",
            "ArgumentParser",
        ],
        "zoo": ["ZooCLI"],
    ]

    @Test func arrowsPointOneWay() throws {
        let sources = Repository.path("Sources")
        let modules = try FileManager.default.contentsOfDirectory(atPath: sources).sorted()
        for module in modules where !module.hasPrefix("C") && !module.hasPrefix(".") {
            let allowed = try #require(Self.allowed[module], "module \(module) has no rule: add one here")
            for file in try swiftFiles(sources + "/" + module) {
                for name in try imports(of: file) where !Self.outside.contains(name) {
                    #expect(allowed.contains(name), "\(file) imports \(name)")
                }
            }
        }
    }

    private func swiftFiles(_ folder: String) throws -> [String] {
        let paths = FileManager.default.enumerator(atPath: folder)?.compactMap { $0 as? String } ?? []
        return paths.filter { $0.hasSuffix(".swift") }.map { folder + "/" + $0 }
    }

    private func imports(of file: String) throws -> [String] {
        // What stands in text of several lines is another language's.
        var isText = false
        return try String(contentsOfFile: file, encoding: .utf8).split(separator: "\n").compactMap { line in
            if line.split(separator: "\"\"\"", omittingEmptySubsequences: false).count % 2 == 0 { isText.toggle() }
            if isText { return nil }
            let words = line.split(separator: " ")
            guard let keyword = words.firstIndex(of: "import"), keyword <= 1, words.count > keyword + 1,
                keyword == 0 || words[0].hasPrefix("@") || words[0] == "public" || words[0] == "internal"
            else { return nil }
            return words[keyword + 1].split(separator: ".").first.map(String.init)
        }
    }
}
