#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// What this machine is.
public enum Machine {
    /// The processor's name; "unknown" where the system does not tell.
    public static var processorName: String {
        #if os(Linux)
            return cpuInfo("model name") ?? cpuInfo("Model") ?? architecture
        #else
            return sysctlText("machdep.cpu.brand_string") ?? architecture
        #endif
    }

    /// The instruction set: `x86_64`, `arm64`.
    public static var architecture: String {
        #if arch(x86_64)
            "x86_64"
        #elseif arch(arm64)
            "arm64"
        #else
            "other"
        #endif
    }

    /// Those vector extensions of the processor that the kernels have code for.
    public static var vectorExtensions: [String] {
        #if arch(x86_64) && os(Linux)
            let flags = Set((cpuInfo("flags") ?? "").split(separator: " ").map(String.init))
            return ["avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512_bf16"].filter {
                flags.contains($0)
            }
        #elseif arch(arm64)
            return ["neon"]
        #else
            return []
        #endif
    }

    /// Memory of the machine, or of the control group where that is less; nil where the system does not tell.
    public static var memoryByteCount: Int? {
        #if os(Linux)
            let total = memInfo("MemTotal")
            let limit = readSmallFile("/sys/fs/cgroup/memory.max").flatMap { Int($0.trimmed) }
            return [total, limit].compactMap { $0 }.min()
        #else
            var size: UInt64 = 0
            var length = MemoryLayout<UInt64>.size
            return sysctlbyname("hw.memsize", &size, &length, nil, 0) == 0 ? Int(size) : nil
        #endif
    }

    /// Memory that can be taken without swapping; nil where the system does not tell.
    public static var availableMemoryByteCount: Int? {
        #if os(Linux)
            memInfo("MemAvailable")
        #else
            nil
        #endif
    }

    /// The operating system and its release.
    public static var systemName: String {
        #if os(Linux)
            for line in (readSmallFile("/etc/os-release") ?? "").split(separator: "\n")
            where line.hasPrefix("PRETTY_NAME=") {
                return String(line.dropFirst("PRETTY_NAME=".count)).filter { $0 != "\"" }
            }
            return "Linux"
        #else
            return "macOS"
        #endif
    }

    /// The version that a C library in this process reports through a function `() -> const char *`; nil when the
    /// library is not loaded. Lets a check look at libraries that it does not link.
    public static func loadedLibraryText(_ function: String) -> String? {
        guard let process = dlopen(nil, RTLD_NOW), let symbol = dlsym(process, function) else { return nil }
        typealias Getter = @convention(c) () -> UnsafePointer<CChar>?
        return unsafeBitCast(symbol, to: Getter.self)().map { String(cString: $0) }
    }

    /// Whether the Swift runtime is a shared library beside the program rather than part of it.
    public static var usesSharedSwiftRuntime: Bool {
        #if os(Linux)
            guard let handle = dlopen("libswiftCore.so", RTLD_NOW | RTLD_NOLOAD) else { return false }
            dlclose(handle)
            return true
        #else
            return true
        #endif
    }

    /// Whether this code was compiled with optimisation.
    public static var isOptimisedBuild: Bool { !_isDebugAssertConfiguration() }

    private static func cpuInfo(_ key: String) -> String? {
        field(key, in: readSmallFile("/proc/cpuinfo") ?? "")
    }

    private static func memInfo(_ key: String) -> Int? {
        field(key, in: readSmallFile("/proc/meminfo") ?? "")?.split(separator: " ").first.flatMap { Int($0) }
            .map { $0 * 1024 }
    }

    private static func field(_ key: String, in text: String) -> String? {
        for line in text.split(separator: "\n") where line.hasPrefix(key) {
            guard let colon = line.firstIndex(of: ":") else { continue }
            guard String(line[..<colon]).trimmed == key else { continue }
            return String(line[line.index(after: colon)...]).trimmed
        }
        return nil
    }

    #if !os(Linux)
        private static func sysctlText(_ name: String) -> String? {
            var length = 0
            guard sysctlbyname(name, nil, &length, nil, 0) == 0, length > 0 else { return nil }
            var buffer = [CChar](repeating: 0, count: length)
            guard sysctlbyname(name, &buffer, &length, nil, 0) == 0 else { return nil }
            return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        }
    #endif
}

extension String {
    /// Without blanks, tabs and line ends at either side.
    fileprivate var trimmed: String {
        let isBlank: (Character) -> Bool = { $0 == " " || $0 == "\t" || $0.isNewline }
        return String(drop(while: isBlank).reversed().drop(while: isBlank).reversed())
    }
}
