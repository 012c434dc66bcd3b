/// A number in a file name that a word marks as an epoch, step or checkpoint: `net_epoch3`, `step_1000`,
/// `epoch=12-step=480`.
///
/// A marker is one of the words `epoch`, `epochs`, `ep`, `step`, `steps`, `iter`, `iteration`, `ckpt`, `checkpoint` (in
/// any case) at the beginning of the name or after something that is no letter; then at most one of `_ - = .` or a
/// blank; then digits, and after them the end or neither letter nor digit. A number without such a word (`variant_07`,
/// `resnet18`) is never an epoch: it may be a seed, a width, a place in a list.
package struct EpochMarker: Equatable {
    /// What the word counts, in order of preference.
    package enum Unit: Int, CaseIterable {
        case epoch
        case step
        case checkpoint
    }

    package var unit: Unit
    package var number: Int32
    /// The bytes of the name that the marker takes, with the separator before it.
    package var range: Range<Int>

    private static let words: [(text: String, unit: Unit)] = [
        ("epochs", .epoch), ("epoch", .epoch), ("ep", .epoch), ("steps", .step), ("step", .step),
        ("iteration", .step), ("iter", .step), ("checkpoint", .checkpoint), ("ckpt", .checkpoint),
    ]

    /// All markers of a file name without its extension.
    package static func all(in stem: String) -> [EpochMarker] {
        let bytes = Array(stem.utf8)
        var markers: [EpochMarker] = []
        var position = 0
        while position < bytes.count {
            if position == 0 || !isLetter(bytes[position - 1]), let marker = marker(in: bytes, at: position) {
                markers.append(marker)
                position = marker.range.upperBound
            } else {
                position += 1
            }
        }
        return markers
    }

    /// The epoch that a file name gives, when exactly one marker of the most preferred unit is there.
    static func only(in name: String) -> Int32? {
        let markers = all(in: CheckpointFileName.stem(name))
        guard let unit = Unit.allCases.first(where: { unit in markers.contains { $0.unit == unit } }) else {
            return nil
        }
        let numbers = markers.filter { $0.unit == unit }
        return numbers.count == 1 ? numbers[0].number : nil
    }

    private static func marker(in bytes: [UInt8], at start: Int) -> EpochMarker? {
        for word in words where matches(word.text, bytes, start) {
            var position = start + word.text.utf8.count
            if position < bytes.count, isSeparator(bytes[position]) { position += 1 }
            let digits = position
            var value = 0
            while position < bytes.count, bytes[position] &- 0x30 < 10, value <= Int(Int32.max) {
                value = value * 10 + Int(bytes[position] - 0x30)
                position += 1
            }
            guard position > digits, value <= Int(Int32.max) else { continue }
            if position < bytes.count, isLetter(bytes[position]) || bytes[position] &- 0x30 < 10 { continue }
            let first = start > 0 && isSeparator(bytes[start - 1]) ? start - 1 : start
            return EpochMarker(unit: word.unit, number: Int32(value), range: first..<position)
        }
        return nil
    }

    private static func matches(_ word: String, _ bytes: [UInt8], _ start: Int) -> Bool {
        guard start + word.utf8.count <= bytes.count else { return false }
        return word.utf8.enumerated().allSatisfy { bytes[start + $0.offset] | 0x20 == $0.element }
    }

    private static func isLetter(_ byte: UInt8) -> Bool { (byte | 0x20) &- 0x61 < 26 || byte >= 0x80 }

    private static func isSeparator(_ byte: UInt8) -> Bool {
        byte == UInt8(ascii: "_") || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "=")
            || byte == UInt8(ascii: ".") || byte == UInt8(ascii: " ")
    }
}

/// File names taken apart.
enum CheckpointFileName {
    private static let doubleEndings = [".weights.h5", ".pth.tar"]

    /// The name without its extension (`net.weights.h5` gives `net`).
    static func stem(_ name: String) -> String {
        for ending in doubleEndings where name.hasSuffix(ending) { return String(name.dropLast(ending.count)) }
        guard let point = name.lastIndex(of: "."), point > name.startIndex else { return name }
        return String(name[..<point])
    }

    /// What `stem` takes off.
    static func ending(_ name: String) -> String { String(name.dropFirst(stem(name).count)) }
}
