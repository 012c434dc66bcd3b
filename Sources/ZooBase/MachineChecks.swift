/// What `zoo doctor` asks about the build, the machine and the places where files go.
public enum MachineChecks {
    /// The checks.
    public static let all: [SystemCheck] = [build, machine, storage]

    private static let build = SystemCheck("build") { _ in
        let isOptimised = Machine.isOptimisedBuild
        return [
            .init("version", value: .string(ZooVersion.string)),
            .init(
                "optimised", isOptimised ? .ok : .warning, value: .bool(isOptimised),
                text: isOptimised ? "yes" : "no: numbers are computed many times slower",
                remedy: isOptimised ? "" : "swift build -c release"),
            .init("Swift runtime", value: Machine.usesSharedSwiftRuntime ? "shared" : "static"),
        ]
    }

    private static let machine = SystemCheck("machine") { _ in
        let extensions = Machine.vectorExtensions
        return [
            .init("system", value: .string(Machine.systemName)),
            .init("processor", value: .string(Machine.processorName)),
            .init("cores", value: .int(Int64(Parallel.processorCount))),
            .init(
                "vector extensions", extensions.isEmpty ? .warning : .ok,
                value: .array(extensions.map(JSONValue.string)),
                text: extensions.isEmpty ? "none" : extensions.joined(separator: " "),
                remedy: extensions.isEmpty ? "AVX2 or NEON is several times faster" : ""),
            bytes("memory", key: "memory_bytes", Machine.memoryByteCount),
            bytes("free memory", key: "free_memory_bytes", Machine.availableMemoryByteCount),
        ]
    }

    private static let storage = SystemCheck("storage") { places in
        var folder = places.catalogPath.lastIndex(of: "/").map { String(places.catalogPath[..<$0]) } ?? "."
        if folder.isEmpty { folder = "/" }
        return place("temporary folder", places.temporaryFolder, changedBy: "set TMPDIR to a folder you may write to")
            + place("catalog folder", folder, changedBy: "give --catalog FILE or set ZOO_CATALOG")
            + [writeAheadLog(folder)]
    }

    private static func bytes(_ name: String, key: String, _ count: Int?) -> SystemCheck.Finding {
        guard let count else { return .init(name, key: key, value: .null, text: "unknown") }
        return .init(name, key: key, value: .int(Int64(count)), text: Quantity.bytes(count))
    }

    private static func place(_ name: String, _ path: String, changedBy remedy: String) -> [SystemCheck.Finding] {
        guard let system = try? FileSystem(of: path) else {
            return [.init(name, .problem, value: .string(path), text: "\(path): cannot be looked at", remedy: remedy)]
        }
        let key = String(name.map { $0 == " " ? "_" : $0 })
        let isNew = system.folder != path
        let writable = system.isWritable
        let state = writable ? (isNew ? "will be made" : "writable") : "not writable"
        let scarce = 1 << 30
        let isScarce = system.freeByteCount < scarce
        return [
            .init(
                name, writable ? .ok : .problem, value: .string(path), text: "\(path) (\(system.kind), \(state))",
                remedy: writable ? "" : remedy),
            .init(
                "\(name), free", isScarce ? .warning : .ok, key: "\(key)_free_bytes",
                value: .int(Int64(system.freeByteCount)), text: Quantity.bytes(system.freeByteCount),
                remedy: isScarce ? "less than \(Quantity.bytes(scarce)) left: \(remedy)" : ""),
        ]
    }

    private static func writeAheadLog(_ folder: String) -> SystemCheck.Finding {
        let isPossible = (try? FileSystem(of: folder))?.allowsWriteAheadLog ?? false
        return .init(
            "write-ahead log", isPossible ? .ok : .warning, value: .bool(isPossible),
            text: isPossible ? "possible" : "not possible: readers wait while a writer commits",
            remedy: isPossible ? "" : "keep the catalog on a local disk")
    }
}
