import ZooBase
import ZooNN
import ZooReport

/// Pictures of a split, each class in a row.
struct ContactSheet {
    private let sheet: PictureSheet

    /// Takes the first pictures of each class. Numbers are stretched so that the smallest on the sheet is black and the
    /// largest white, which shows normalised pictures too.
    ///
    /// - Throws: `mismatch` for inputs that are no pictures.
    init(_ samples: Samples, columns: Int, names: [String]) throws {
        let shape = samples.inputShape
        guard shape.count == 3, shape[0] == 1 || shape[0] == 3 else {
            throw ZooError(.mismatch, "inputs of shape \(shape) are no pictures [1 or 3, height, width]")
        }
        let classes = samples.labels.isEmpty ? [0] : Set(samples.labels).sorted()
        var rows: [(name: String, indices: [Int])] = []
        for label in classes.prefix(100) {
            let members =
                samples.labels.isEmpty
                ? Array(0..<min(columns, samples.count))
                : Array(samples.labels.indices.lazy.filter { samples.labels[$0] == label }.prefix(columns))
            let name = samples.labels.isEmpty ? "" : Int(label) < names.count ? names[Int(label)] : String(label)
            rows.append((name, members))
        }
        let size = samples.sampleSize
        let shown = rows.flatMap(\.indices).flatMap { samples.inputs[$0 * size..<($0 + 1) * size] }
        let (low, high) = (shown.min() ?? 0, shown.max() ?? 1)
        let range = high > low ? high - low : 1
        sheet = try PictureSheet(
            rows: rows.map { row in
                let tiles = row.indices.map { index in
                    PictureSheet.Tile(
                        values: samples.inputs[index * size..<(index + 1) * size].map { ($0 - low) / range })
                }
                return (row.name, tiles)
            }, channels: shape[0], height: shape[1], width: shape[2])
    }

    func png() throws -> [UInt8] { try sheet.png() }

    func svg() throws -> String { try sheet.svg() }
}
