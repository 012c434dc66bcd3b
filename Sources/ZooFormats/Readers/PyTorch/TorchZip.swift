import ZooBase

/// A zip that `torch.save` or `torch.jit.save` wrote: its folder, its entries, its storages.
///
/// All entries lie in one folder named after the file when it was saved: `P/data.pkl` (the object graph), `P/version`,
/// `P/byteorder` (missing means little), `P/data/KEY` (raw storages, 64-byte aligned, stored) and in TorchScript
/// archives `P/constants.pkl`, `P/constants/KEY`, `P/code/…`.
struct TorchZip: Sendable {
    let directory: ZipDirectory
    /// `P/`.
    let folder: String
    private let pickleEntry: ZipEntry
    let isBigEndian: Bool
    /// Whether it is a TorchScript archive.
    let isScript: Bool

    /// What a file is, by the names in its directory.
    enum Kind {
        case checkpoint
        case script
    }

    init(_ bytes: Bytes, name: String) throws {
        directory = try ZipDirectory(bytes, name: name)
        let found = directory.entries.indices.filter { [entries = directory.entries] index in
            entries[index].name.hasSuffix("data.pkl")
                && (entries[index].name.utf8.count == 8 || entries[index].name.hasSuffix("/data.pkl"))
        }
        guard let position = found.first else {
            throw ZooError(.corrupt, "\(name): expected an entry 'data.pkl', found none")
        }
        guard found.count == 1 else {
            throw ZooError(.corrupt, "\(name): expected one entry 'data.pkl', found \(found.count)")
        }
        pickleEntry = directory.entries[position]
        folder = String(pickleEntry.name.dropLast("data.pkl".utf8.count))
        isScript = Self.position(of: folder + "constants.pkl", in: directory) != nil
        isBigEndian = try Self.byteOrder(directory, folder + "byteorder") == "big"
    }

    private static func position(of name: String, in directory: ZipDirectory) -> Int? {
        directory.entries.indices.first { directory.entries[$0].name == name }
    }

    private static func byteOrder(_ directory: ZipDirectory, _ name: String) throws -> String {
        guard let position = position(of: name, in: directory) else { return "little" }
        let entry = directory.entries[position]
        guard entry.byteCount <= 16 else { return "little" }
        let order = try directory.bytes(of: entry).withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
        guard order == "little" || order == "big" else {
            throw ZooError(.corrupt, "\(directory.name)!/\(name): expected 'little' or 'big', found '\(order)'")
        }
        return order
    }

    /// The object graph of `P/data.pkl`.
    func objectGraph() throws -> PickleGraph { try graph(of: pickleEntry) }

    /// The graph of another pickle in the folder; nil when it is not there.
    func graph(named name: String) throws -> PickleGraph? {
        try Self.position(of: folder + name, in: directory).map { try graph(of: directory.entries[$0]) }
    }

    private func graph(of entry: ZipEntry) throws -> PickleGraph {
        let most = entry.method == 0 ? PickleLimits.byteCount : PickleLimits.packedByteCount
        guard entry.byteCount <= most else {
            throw ZooError(
                .limit, "\(directory.name)!/\(entry.name): \(entry.byteCount) bytes; \(most) are allowed")
        }
        let pickle = try directory.bytes(of: entry)
        return try ZooError.locate("\(directory.name)!/\(entry.name)") { try PickleMachine.parse(pickle) }
    }

    /// The storages in `P/SUBFOLDER/`.
    ///
    /// - Throws: `corrupt` when two have one name.
    func storages(in subfolder: String) throws -> TorchZipStorages {
        let prefix = folder + subfolder + "/"
        let prefixLength = prefix.utf8.count
        var index: [String: Int] = [:]
        index.reserveCapacity(directory.entries.count)
        for position in directory.entries.indices where directory.entries[position].name.hasPrefix(prefix) {
            let name = directory.entries[position].name
            let key = String(name.utf8.dropFirst(prefixLength)) ?? ""
            guard index.updateValue(position, forKey: key) == nil else {
                throw ZooError(.corrupt, "\(directory.name): two entries are named '\(name)'")
            }
        }
        return TorchZipStorages(directory: directory, index: index, isBigEndian: isBigEndian)
    }
}

/// Storages that are members of a zip.
struct TorchZipStorages: TorchStorages {
    let directory: ZipDirectory
    let index: [String: Int]
    let isBigEndian: Bool

    func storage(key: String) throws -> TorchStorage? {
        guard let position = index[key] else { return nil }
        let entry = directory.entries[position]
        let range = try directory.dataRange(of: entry)
        if entry.method == 0 {
            return TorchStorage(place: .inPlace(offset: range.lowerBound), byteCount: range.count)
        }
        return TorchStorage(place: .packed(index: position), byteCount: entry.byteCount)
    }

    func unpack(index position: Int) throws -> Bytes { try directory.bytes(of: directory.entries[position]) }
}

/// Tells PyTorch zips from other zips by the names in the central directory, without building anything.
enum TorchZipProbe {
    /// What the bytes are; nil for anything but a PyTorch zip. A zip cut off before its directory counts as a
    /// checkpoint when its first entry is `P/data.pkl`, so that the message can say what is wrong with it.
    static func kind(_ bytes: Bytes) -> TorchZip.Kind? {
        guard bytes.starts(with: [0x50, 0x4B, 3, 4]) else { return nil }
        if let names = bytes.withUnsafeBytes(scan) { return kind(names) }
        guard let directory = try? ZipDirectory(bytes, name: "") else {
            return startsWithPickle(bytes) ? .checkpoint : nil
        }
        var names = Names()
        for entry in directory.entries {
            var name = entry.name
            name.withUTF8 { names.note(UnsafeRawBufferPointer($0)) }
        }
        return kind(names)
    }

    private struct Names {
        var hasPickle = false
        var hasVersion = false
        var hasConstants = false

        mutating func note(_ name: UnsafeRawBufferPointer) {
            if TorchZipProbe.ends(name, "/data.pkl") { hasPickle = true }
            if TorchZipProbe.ends(name, "/version") { hasVersion = true }
            if TorchZipProbe.ends(name, "/constants.pkl") { hasConstants = true }
        }
    }

    private static func kind(_ names: Names) -> TorchZip.Kind? {
        guard names.hasPickle, names.hasVersion else { return nil }
        return names.hasConstants ? .script : .checkpoint
    }

    private static func ends(_ name: UnsafeRawBufferPointer, _ suffix: StaticString) -> Bool {
        let length = suffix.utf8CodeUnitCount
        guard name.count >= length else { return false }
        return UnsafeRawBufferPointer(rebasing: name[(name.count - length)...])
            .elementsEqual(UnsafeRawBufferPointer(start: suffix.utf8Start, count: length))
    }

    /// The names of a directory whose end record closes the file, as PyTorch writes it; nil when it is otherwise.
    private static func scan(_ buffer: UnsafeRawBufferPointer) -> Names? {
        func u16(_ at: Int) -> Int { Int(buffer.loadUnaligned(fromByteOffset: at, as: UInt16.self).littleEndian) }
        func u32(_ at: Int) -> Int { Int(buffer.loadUnaligned(fromByteOffset: at, as: UInt32.self).littleEndian) }
        guard buffer.count >= 22, u32(buffer.count - 22) == 0x0605_4B50 else { return nil }
        var at = u32(buffer.count - 22 + 16)
        let size = u32(buffer.count - 22 + 12)
        guard at <= buffer.count - 22, size <= buffer.count - 22 - at else { return nil }
        let end = at + size
        var names = Names()
        while end - at >= 46, u32(at) == 0x0201_4B50 {
            let nameLength = u16(at + 28)
            guard nameLength <= end - at - 46 else { return nil }
            names.note(UnsafeRawBufferPointer(rebasing: buffer[at + 46..<at + 46 + nameLength]))
            at += 46 + nameLength + u16(at + 30) + u16(at + 32)
        }
        return at == end ? names : nil
    }

    private static func startsWithPickle(_ bytes: Bytes) -> Bool {
        guard let length = try? bytes.littleEndian(UInt16.self, at: 26),
            let name = try? bytes.slice(30, Int(length))
        else { return false }
        return name.withUnsafeBytes { ends($0, "/data.pkl") }
    }
}
