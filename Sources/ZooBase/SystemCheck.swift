/// Something `zoo doctor` looks at. A module contributes its own as a list (`MachineChecks.all`, `FormatChecks.all`).
public struct SystemCheck: Sendable {
    /// What a finding means for the user.
    public enum Status: String, Sendable, CaseIterable {
        /// As it should be.
        case ok
        /// A fact, neither good nor bad.
        case info
        /// Works, but less well than it could; the remedy says how.
        case warning
        /// Commands will fail because of it.
        case problem
    }

    /// The places that a check may need to know.
    public struct Places: Sendable {
        /// The catalog file that commands would use; it need not exist.
        public let catalogPath: String
        /// Where temporary files go.
        public let temporaryFolder: String

        /// Creates the places.
        public init(catalogPath: String, temporaryFolder: String) {
            self.catalogPath = catalogPath
            self.temporaryFolder = temporaryFolder
        }
    }

    /// One thing found.
    public struct Finding: Sendable {
        /// A short name, unique within the topic: "HDF5".
        public let name: String
        /// The member of the JSON object that carries the value: the name in lower case with underscores unless it
        /// needs a unit: "memory_bytes".
        public let key: String
        /// What it means.
        public let status: Status
        /// The value for programs.
        public let value: JSONValue
        /// The value for people; the JSON text when nothing better was given.
        public let text: String
        /// What to do about it; empty when nothing.
        public let remedy: String

        /// Creates a finding.
        public init(
            _ name: String, _ status: Status = .info, key: String? = nil, value: JSONValue, text: String? = nil,
            remedy: String = ""
        ) {
            self.name = name
            self.key = key ?? String(name.lowercased().map { $0.isLetter || $0.isNumber ? $0 : "_" })
            self.status = status
            self.value = value
            self.text = text ?? value.string ?? value.text()
            self.remedy = remedy
        }
    }

    /// The heading under which findings are shown: "machine", "libraries", "storage".
    public let topic: String
    /// Looks. Never throws: what cannot be found out is a finding too.
    public let run: @Sendable (Places) -> [Finding]

    /// Creates a check.
    public init(_ topic: String, _ run: @escaping @Sendable (Places) -> [Finding]) {
        self.topic = topic
        self.run = run
    }
}
