/// The known name nearest to a mistyped one.
enum NearestName {
    /// `did you mean 'x'?` for a name at most a third of its letters away; else empty.
    static func hint(for name: String, among names: [String]) -> String {
        nearest(to: name, among: names).map { "did you mean '\($0)'?" } ?? ""
    }

    /// The nearest name within reach; the first on ties.
    static func nearest(to name: String, among names: [String]) -> String? {
        guard name.utf8.count <= 64 else { return nil }
        let reach = Swift.max(2, name.utf8.count / 3)
        let best = names.map { (name: $0, distance: distance(Array(name.utf8), Array($0.utf8))) }
            .min { $0.distance < $1.distance }
        return best.flatMap { $0.distance <= reach ? $0.name : nil }
    }

    /// Edit distance (insertion, deletion, substitution).
    private static func distance(_ left: [UInt8], _ right: [UInt8]) -> Int {
        var row = Array(0...right.count)
        for (i, a) in left.enumerated() {
            var diagonal = row[0]
            row[0] = i + 1
            for (j, b) in right.enumerated() {
                let substituted = diagonal + (a == b ? 0 : 1)
                diagonal = row[j + 1]
                row[j + 1] = Swift.min(substituted, diagonal + 1, row[j] + 1)
            }
        }
        return row[right.count]
    }
}
