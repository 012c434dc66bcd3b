import ZooBase

extension ArchitectureResolver {
    /// Refuses settings that no architecture has, before any checkpoint is looked at.
    ///
    /// - Parameter explicit: the architecture asked for; nil for any.
    /// - Throws: `usage` with the nearest name.
    public func check(_ settings: JSONObject, explicit: ArchitectureTemplate?) throws {
        if let explicit { return try Self.check(settings, known: explicit.numbers, of: explicit.name) }
        let known = ArchitectureFamily.all.flatMap(\.numbers) + library.values.flatMap(\.numbers).sorted()
        try Self.check(settings, known: known, of: nil)
    }

    /// Refuses settings that an architecture does not read: they would change nothing.
    ///
    /// - Throws: `usage` with the nearest name.
    static func check(_ settings: JSONObject, known: [String], of architecture: String?) throws {
        guard let (key, _) = settings.first(where: { !known.contains($0.key) }) else { return }
        var seen = Set<String>()
        let names = known.filter { seen.insert($0).inserted }
        let owner = architecture.map { "architecture '\($0)'" } ?? "no architecture"
        throw ZooError(
            .usage, "\(owner) has \(architecture == nil ? "a" : "no") number '\(key)' to set",
            hint: NearestName.hint(key, in: names, kind: "numbers"))
    }
}

extension ArchitectureTemplate {
    /// The settings that change its graphs: numbers of its family, keys that it refers to with `$`, and the keys of the
    /// file that hold such a reference.
    var numbers: [String] {
        let family = content["family"]?.string.flatMap { try? ArchitectureFamily.named($0).numbers } ?? []
        let references = Self.references(.object(content)).map { String($0.dropFirst()) }
        let holders = content.filter { $0.value.string?.hasPrefix("$") ?? false }.map(\.key)
        return family + (holders + references).filter { !family.contains($0) }
    }
}
