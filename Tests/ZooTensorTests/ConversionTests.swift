import Testing
import ZooBase
import ZooTensor
import ZooTestSupport

@Suite struct ConversionTests {
    @Test func everyHalfMatchesTheHardwareType() throws {
        let bits = Array(UInt16.min...UInt16.max)
        let tensor = try Tensor(shape: [65536], dtype: .float16, bytes: bits.withUnsafeBytes { Bytes(copying: $0) })
        let floats = tensor.floats()
        let back = tensor.converted(to: .float32).converted(to: .float16)
        for (index, pattern) in bits.enumerated() {
            let truth = Float16(bitPattern: pattern)
            if truth.isNaN {
                #expect(floats[index].isNaN)
            } else {
                #expect(floats[index].bitPattern == Float(truth).bitPattern)
                #expect(try back.bytes.littleEndian(UInt16.self, at: 2 * index) == pattern)
            }
        }
    }

    @Test func roundingIsToNearestEvenOnce() throws {
        var generator = SeededGenerator(seed: 3)
        var values: [Double] = [0, -0.0, 65504, 65519.99, 65520, 5.9e-8, 2.98e-8, 6.1e-5, 1e30, -1e-30, .infinity]
        // Halfway between two halves plus a sliver that float32 cannot hold: double rounding would go wrong here.
        values += [1 + 0x1p-11 + 0x1p-40, 1 + 0x1p-11 - 0x1p-40, 1 + 3 * 0x1p-11]
        for _ in 0..<20_000 {
            let mantissa = Double(Int64(bitPattern: generator.next())) * 0x1p-52
            values.append(mantissa * Double.random(in: 1e-6...1e2, using: &generator))
        }
        let half = Tensor(values, shape: [values.count]).converted(to: .float16)
        let brain = Tensor(values, shape: [values.count]).converted(to: .bfloat16).floats()
        for (index, value) in values.enumerated() {
            #expect(try half.bytes.littleEndian(UInt16.self, at: 2 * index) == Float16(value).bitPattern)
            // bfloat16 by its definition: no neighbour is nearer, and a tie goes to the even one.
            let found = brain[index]
            guard found.isFinite, value.isFinite else { continue }
            let up = Float(bitPattern: found.bitPattern + 0x10000)
            let down = Float(bitPattern: found.bitPattern &- 0x10000)
            let error = (Double(found) - value).magnitude
            for other in [up, down] where other.isFinite {
                let distance = (Double(other) - value).magnitude
                #expect(error < distance || (error == distance && found.bitPattern >> 16 & 1 == 0))
            }
        }
    }

    @Test func eightBitFloatsRoundTrip() throws {
        for type in [DType.float8E4M3, .float8E5M2] {
            let tensor = try Tensor(shape: [256], dtype: type, bytes: Bytes(Array(0...255)))
            let values = tensor.doubles()
            let back = tensor.converted(to: .float64).converted(to: type)
            for index in 0..<256 where !values[index].isNaN { #expect(back.bytes[index] == UInt8(index)) }
        }
        let known = try Tensor(shape: [4], dtype: .float8E4M3, bytes: Bytes([0x7E, 0x01, 0x38, 0xFF])).doubles()
        #expect(known[0] == 448 && known[1] == 0x1p-9 && known[2] == 1 && known[3].isNaN)
    }

    @Test func integersAreExactAndSaturate() {
        let tensor = Tensor([Int64.max, Int64.min, -1, 300, 0], shape: [5])
        #expect(tensor.converted(to: .uint8).doubles() == [255, 0, 0, 255, 0])
        #expect(tensor.converted(to: .int64).isIdentical(to: tensor))
        #expect(tensor.converted(to: .int32).converted(to: .int64).bytes.array.count == 40)
        #expect(Tensor([Double.nan, 1e300, -3.7], shape: [3]).converted(to: .int16).doubles() == [0, 32767, -3])
    }
}
