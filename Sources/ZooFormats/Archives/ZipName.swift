/// Names in zips: UTF-8 by flag, else whatever the writer's system used.
enum ZipName {
    /// The name as text; nil when it claims to be UTF-8 and is not.
    ///
    /// Without the flag the format says code page 437, but Unix and macOS writers put UTF-8 there too: valid UTF-8 is
    /// taken as that, since other text hardly ever looks like it.
    static func decode(_ raw: UnsafeRawBufferPointer, isUTF8: Bool) -> String? {
        if let text = String(validating: raw, as: UTF8.self) { return text }
        return isUTF8 ? nil : String(String.UnicodeScalarView(raw.map(scalar)))
    }

    private static func scalar(_ byte: UInt8) -> Unicode.Scalar {
        byte < 0x80 ? Unicode.Scalar(byte) : upperHalf[Int(byte) - 0x80]
    }

    private static let upperHalf = Array(
        ("ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧"
            + "╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{A0}").unicodeScalars)
}

/// MS-DOS dates and times, two 16-bit fields.
enum ZipTime {
    /// Seconds since 1970, the wall clock taken as UTC; nil for a date that does not exist.
    static func seconds(date: Int, time: Int) -> Int? {
        let (year, month, day) = (1980 + (date >> 9), date >> 5 & 15, date & 31)
        let (hour, minute, second) = (time >> 11, time >> 5 & 63, (time & 31) * 2)
        guard (1...12).contains(month), day >= 1, hour < 24, minute < 60, second < 60 else { return nil }
        let days = daysSince1970(year: year, month: month, day: day)
        return days * 86_400 + hour * 3_600 + minute * 60 + second
    }

    /// Days of the proleptic Gregorian calendar, counting years from March so that the leap day comes last.
    private static func daysSince1970(year: Int, month: Int, day: Int) -> Int {
        let shifted = month > 2 ? year : year - 1
        let monthFromMarch = (month + 9) % 12
        let days = shifted * 365 + shifted / 4 - shifted / 100 + shifted / 400
        return days + (monthFromMarch * 153 + 2) / 5 + day - 1 - 719_468
    }
}
