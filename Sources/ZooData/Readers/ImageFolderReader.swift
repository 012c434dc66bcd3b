import ZooBase
import ZooNN
import ZooTensor

/// Reads folders of PNG and JPEG pictures, on disk or in an archive: `SPLIT/CLASS/picture` or `CLASS/picture`, below any
/// folders that all share. Classes are numbered in the order of their names, over all splits.
///
/// Pictures of several sizes, or grey and coloured ones together, are an error unless a size and a number of channels
/// are asked for (`resize`, `channels` in a manifest).
public enum ImageFolderReader: DatasetReader {
    /// `images`.
    public static let format = "images"
    /// Pictures of one data set.
    private static let pictureLimit = 20_000_000
    private static let endings = [".png", ".jpg", ".jpeg"]

    /// Whether a folder has files with names of pictures, the first of which is one.
    public static func accepts(_ place: DataPlace) -> Bool {
        guard case .folder(let folder) = place, let first = folder.paths.first(where: isPicture),
            let file = try? folder.file(first)
        else { return false }
        return Picture.accepts(file.bytes)
    }

    private static func isPicture(_ path: String) -> Bool {
        let name = DataFolder.last(path).lowercased()
        return !name.hasPrefix(".") && endings.contains { name.hasSuffix($0) }
    }

    private struct Item {
        var path: String
        var label: Int
    }

    /// The splits, in the order of their names.
    public static func splits(_ place: DataPlace, _ options: DataOptions) throws -> [StoredSplit] {
        guard case .folder(let folder) = place else {
            throw ZooError(.unsupported, "\(place.name): a file is no folder of pictures")
        }
        return try ZooError.locate(folder.name) {
            let (groups, classes) = try grouped(folder)
            return try groups.map { try split($0.name, $0.items, classes, folder, options) }
        }
    }

    /// Pictures by split, and the names of the classes.
    private static func grouped(_ folder: DataFolder) throws -> ([(name: String, items: [Item])], [String]) {
        var paths = folder.paths.filter(isPicture).map { (path: $0, parts: $0.split(separator: "/").map(String.init)) }
        guard !paths.isEmpty, paths.count <= pictureLimit else {
            throw ZooError(.limit, "\(paths.count) pictures; from 1 to \(pictureLimit) are read")
        }
        // Folders that all share say nothing, as long as a split and a class remain.
        while let first = paths.first?.parts.first, paths.allSatisfy({ $0.parts.count > 2 && $0.parts[0] == first }),
            paths.allSatisfy({ $0.parts.count > 3 }) || SplitName.of(first) == nil
        {
            paths = paths.map { ($0.path, Array($0.parts.dropFirst())) }
        }
        guard let depth = paths.first?.parts.count, paths.allSatisfy({ $0.parts.count == depth }),
            depth == 2 || depth == 3
        else {
            throw ZooError(
                .unsupported, "pictures lie neither all at CLASS/picture nor all at SPLIT/CLASS/picture",
                hint: "first: \(paths[0].path)")
        }
        let classes = Set(paths.map { $0.parts[depth - 2] }).sorted {
            Array($0.utf8).lexicographicallyPrecedes(Array($1.utf8))
        }
        let labels = Dictionary(uniqueKeysWithValues: classes.enumerated().map { ($1, $0) })
        var groups: [String: [Item]] = [:]
        for (path, parts) in paths {
            let name = depth == 3 ? SplitName.of(parts[0]) ?? parts[0] : "all"
            groups[name, default: []].append(Item(path: path, label: labels[parts[depth - 2]] ?? 0))
        }
        return (groups.keys.sorted().map { ($0, groups[$0] ?? []) }, classes)
    }

    private static func split(
        _ name: String, _ items: [Item], _ classes: [String], _ folder: DataFolder, _ options: DataOptions
    ) throws -> StoredSplit {
        let first = try ZooError.locate(items[0].path) { try Picture.header(folder.file(items[0].path).bytes) }
        let channels = options.channels ?? first.channels
        let size = options.resize.map { ($0[0], $0[1]) } ?? (first.height, first.width)
        let split = DatasetSplit(
            name: name, count: items.count, inputShape: [channels, size.0, size.1], classNames: classes)
        return StoredSplit(split, dtype: .uint8) {
            let labels = Tensor.labels(items.map(\.label))
            let inputs =
                options.resize == nil
                ? try read(items, folder, first, channels, forced: options.channels != nil)
                : try readResized(items, folder, first, channels, size, forced: options.channels != nil)
            return StoredSamples(inputs: inputs, labels: labels)
        }
    }

    /// Pictures of one size, as bytes.
    private static func read(
        _ items: [Item], _ folder: DataFolder, _ first: Picture.Header, _ channels: Int, forced: Bool
    ) throws -> Tensor {
        // All headers before any room is made: what is allocated is what the pictures say they hold.
        for item in items {
            let header = try ZooError.locate(item.path) { try Picture.header(folder.file(item.path).bytes) }
            guard (header.height, header.width) == (first.height, first.width) else {
                throw ZooError(
                    .mismatch,
                    "pictures have several sizes: \(items[0].path) \(first.width)×\(first.height), \(item.path) "
                        + "\(header.width)×\(header.height)",
                    hint: "write 'resize: [height, width]' in a data set manifest")
            }
            try check(header, first, item, items[0], forced)
        }
        let size = channels * first.height * first.width
        let (byteCount, overflow) = size.multipliedReportingOverflow(by: items.count)
        guard !overflow else { throw ZooError(.limit, "more pixels than memory has") }
        let bytes = try Bytes(byteCount: byteCount) { output in
            for (index, item) in items.enumerated() {
                try Cancellation.check()
                let picture = try ZooError.locate(item.path) { try Picture(folder.file(item.path).bytes) }
                guard picture.width * picture.height * channels == size else {
                    throw ZooError(.mismatch, "\(item.path): changed while it was read")
                }
                picture.planes(
                    into: UnsafeMutableRawBufferPointer(rebasing: output[index * size..<(index + 1) * size]),
                    channels: channels)
            }
            return byteCount
        }
        return try Tensor(
            shape: [items.count, channels, first.height, first.width], dtype: .uint8, bytes: bytes)
    }

    /// Pictures of any sizes, resampled, as numbers from 0 to 255.
    private static func readResized(
        _ items: [Item], _ folder: DataFolder, _ first: Picture.Header, _ channels: Int, _ size: (Int, Int),
        forced: Bool
    ) throws -> Tensor {
        var values: [Float] = []
        for item in items {
            try Cancellation.check()
            let picture = try ZooError.locate(item.path) { try Picture(folder.file(item.path).bytes) }
            let header = Picture.Header(
                format: "", width: picture.width, height: picture.height, channels: picture.channels)
            try check(header, first, item, items[0], forced)
            var planes = [UInt8](repeating: 0, count: channels * picture.width * picture.height)
            planes.withUnsafeMutableBytes { picture.planes(into: $0, channels: channels) }
            values += Resampling.resize(
                planes.map(Float.init), count: channels, height: picture.height, width: picture.width,
                to: (height: size.0, width: size.1))
        }
        return Tensor(values, shape: [items.count, channels, size.0, size.1])
    }

    private static func check(
        _ header: Picture.Header, _ first: Picture.Header, _ item: Item, _ other: Item, _ forced: Bool
    ) throws {
        guard header.channels == first.channels || forced else {
            throw ZooError(
                .mismatch,
                "pictures have \(first.channels) channels (\(other.path)) and \(header.channels) (\(item.path))",
                hint: "write 'channels: 1' or 'channels: 3' in a data set manifest")
        }
    }
}
