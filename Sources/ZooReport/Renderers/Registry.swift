extension TableFormat {
    /// Every format, in the order in which help lists them. A new renderer is one file here and one line below.
    public static let all: [TableFormat] = [text, json, jsonl, csv, markdown, parquet]

    /// The format with this name; nil when there is none.
    public static func named(_ name: String) -> TableFormat? { all.first { $0.name == name } }

    /// The format that a file name's ending asks for; nil when none does.
    public static func forFile(_ path: String) -> TableFormat? {
        guard let dot = path.lastIndex(of: ".") else { return nil }
        let ending = path[path.index(after: dot)...].lowercased()
        return all.first { $0.extensions.contains(ending) }
    }
}
