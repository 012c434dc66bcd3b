import ArgumentParser
import ZooBase
import ZooCatalog
import ZooData
import ZooFormats
import ZooNN
import ZooReport

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// `zoo doctor`: what is installed, what is fast, what is missing.
package struct Doctor: ZooCommand {
    package static let configuration = CommandConfiguration(
        abstract: "Say what is installed, what is fast, what is missing and how to get it.",
        discussion: """
            Exit status 1 when something is found that makes commands fail.

            Example:
              zoo doctor
              zoo doctor --json --catalog /data/zoos.sqlite
            """)

    @OptionGroup(title: "Common options") package var global: GlobalOptions
    @OptionGroup package var output: OutputOptions

    package init() {}

    package var outputPath: String? { output.output }

    package func run(in session: Session) throws {
        let diagnosis = Diagnosis(
            Self.checks,
            SystemCheck.Places(
                catalogPath: session.catalogPath, temporaryFolder: Terminal.environment("TMPDIR") ?? "/var/tmp"))
        try session.emit(diagnosis.json, as: diagnosis.table)
        try diagnosis.throwIfBroken()
    }

    /// Every module's checks; findings of one topic are shown together.
    static let checks: [SystemCheck] =
        MachineChecks.all + FormatChecks.all + PictureChecks.all + LoadedLibraries.all + [catalogCheck]

    /// Whether the catalog, when there is one, can be opened.
    private static let catalogCheck = SystemCheck("catalog") { places in
        guard access(places.catalogPath, F_OK) == 0 else {
            return [.init("catalog", .info, value: .null, text: "none yet at \(places.catalogPath)")]
        }
        do {
            let counts = try Catalog(places.catalogPath).counts()
            let text = "\(Quantity.count(counts.models)) models, \(Quantity.count(counts.checkpoints)) checkpoints"
            return [.init("catalog", .ok, value: .int(Int64(counts.checkpoints)), text: text)]
        } catch {
            let error = ZooError.wrap(error)
            return [.init("catalog", .problem, value: .null, text: error.message, remedy: error.hint)]
        }
    }
}

/// What a list of checks found.
package struct Diagnosis: Sendable {
    private let findings: [(topic: String, finding: SystemCheck.Finding)]

    /// Runs the checks.
    package init(_ checks: [SystemCheck], _ places: SystemCheck.Places) {
        var topics: [String] = []
        for check in checks where !topics.contains(check.topic) { topics.append(check.topic) }
        findings = topics.flatMap { topic in
            checks.filter { $0.topic == topic }.flatMap { $0.run(places) }.map { (topic, $0) }
        }
    }

    private var attention: [(topic: String, finding: SystemCheck.Finding)] {
        findings.filter { $0.finding.status == .problem || $0.finding.status == .warning }
    }

    /// `ok`, one object per topic with a value per finding, and `problems` with what is not as it should be.
    package var json: JSONValue {
        var object = JSONObject()
        object["ok"] = .bool(!findings.contains { $0.finding.status == .problem })
        for (topic, finding) in findings {
            var members = object[topic]?.object ?? JSONObject()
            members[finding.key] = finding.value
            object[topic] = .object(members)
        }
        object["problems"] = .array(
            attention.map { topic, finding in
                [
                    "topic": .string(topic), "name": .string(finding.key),
                    "status": .string(finding.status.rawValue), "found": .string(finding.text),
                    "remedy": .string(finding.remedy),
                ]
            })
        return .object(object)
    }

    /// One row per finding.
    package var table: Table {
        var table = Table([
            .init("topic"), .init("what"), .init("status"), .init("found"), .init("remedy"),
        ])
        for (topic, finding) in findings {
            table.append([
                .text(topic), .text(finding.name), .text(finding.status.rawValue), .text(finding.text),
                finding.remedy.isEmpty ? .null : .text(finding.remedy),
            ])
        }
        return table
    }

    /// - Throws: an error naming the first problem.
    package func throwIfBroken() throws {
        let problems = findings.filter { $0.finding.status == .problem }
        guard let first = problems.first else { return }
        let more = problems.count > 1 ? " (and \(problems.count - 1) more problems)" : ""
        throw ZooError(.io, "\(first.finding.name): \(first.finding.text)\(more)", hint: first.finding.remedy)
    }
}

/// Libraries that other modules may have brought into the process; those that are not there are left out.
enum LoadedLibraries {
    static let all: [SystemCheck] =
        [
            SystemCheck("libraries") { _ in
                let known = [("SQLite", "sqlite3_libversion")]
                return known.compactMap { name, function in
                    Machine.loadedLibraryText(function).map { .init(name, .ok, value: .string($0)) }
                }
            }
        ] + EngineChecks.all
}
