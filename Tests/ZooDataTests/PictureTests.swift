import Testing
import ZooBase
import ZooData
import ZooFormats
import ZooTestSupport

/// PNG and JPEG against Pillow's pixels, and under damage.
@Suite struct PictureTests {
    @Test func pixelsAreThoseOfPillow() throws {
        for (name, facts) in try Oracle.splits("pictures") {
            let bytes = try Oracle.bytes("pictures/\(name)")
            let header = try Picture.header(bytes)
            let picture = try Picture(bytes)
            #expect(picture.width == facts["width"]?.int && picture.height == facts["height"]?.int, "\(name)")
            #expect(picture.channels == facts["channels"]?.int && header.channels == picture.channels, "\(name)")
            let isLossy = name.hasSuffix(".jpg")
            #expect(header.format == (isLossy ? "jpeg" : "png"))
            let sum = picture.pixels.array.reduce(0) { $0 + Int($1) }
            let expected = facts["sum"]?.int ?? 0
            // Pillow brings a libjpeg of its own; versions differ by a unit in few pixels.
            #expect(abs(sum - expected) <= (isLossy ? picture.pixels.count / 4 : 0), "\(name)")
            if !isLossy { #expect(Int(Inflate.crc32(of: picture.pixels)) == facts["crc"]?.int, "\(name)") }
        }
    }

    @Test func depthsAndTransparencyAreReduced() throws {
        let deep = try Picture(Oracle.bytes("pictures/sixteen.png"))
        // v · 255 / 65535, rounded, as PNG's specification scales samples.
        #expect(deep.pixels.array == (0..<143).map { UInt8((Double($0 * 400 % 65536) * 255 / 65535).rounded()) })
        let (opaque, veiled) = (try Oracle.bytes("pictures/rgb.png"), try Oracle.bytes("pictures/alpha.png"))
        #expect(try Picture(veiled).pixels.array == Picture(opaque).pixels.array)
    }

    @Test func whatIsNotReadSaysSo() throws {
        #expect(failure { _ = try Picture(Oracle.bytes("pictures/cmyk.jpg")) }.contains("colours other than"))
        #expect(failure { _ = try Picture(Bytes([1, 2, 3])) } == "neither PNG nor JPEG")
        #expect(failure { _ = try Picture(.empty) } == "neither PNG nor JPEG")
        var large = try Oracle.bytes("pictures/rgb.png").array
        // A width of 65535 with a check sum to match would need 2.5 MB for one row of a file of 200 bytes.
        large.replaceSubrange(16..<24, with: [0, 0, 0xFF, 0xFF, 0, 0, 0xFF, 0xFF])
        let chunk = Bytes(Array(large[12..<29]))
        let check = Inflate.crc32(of: chunk)
        large.replaceSubrange(29..<33, with: [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: check >> $0) })
        let error = #expect(throws: ZooError.self) { try Picture(Bytes(large)) }
        #expect(error?.code == .limit || error?.code == .corrupt)
    }

    @Test(arguments: ["png", "jpg"])
    func damagedPicturesAreReadOrRefused(_ ending: String) throws {
        let names = ["rgb", "grey", ending == "png" ? "palette" : "progressive", ending == "png" ? "bits" : "full"]
        let corpus = try names.map { try Oracle.bytes("pictures/\($0).\(ending)").array }
        let summary = try MutationFuzzer(seed: 11, corpus: corpus).run(iterations: 600) { _ = try Picture($0) }
        #expect(summary.refused > 0 && summary.slowest < 5)
    }
}
