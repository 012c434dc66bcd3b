import CZooKernels
import Foundation
import Testing
import ZooTestSupport

/// Numbers stored as one element type, at an odd address.
private final class Stored {
    let dtype: Int32
    let count: Int
    let values: [Double]
    private let base: UnsafeMutableRawPointer
    var pointer: UnsafeMutableRawPointer { base + 1 }

    init(_ numbers: [Double], _ dtype: zoo_dtype) {
        self.dtype = Int32(dtype.rawValue)
        count = numbers.count
        let size = zoo_dtype_size(self.dtype)
        base = .allocate(byteCount: count * size + 1, alignment: 16)
        var kept: [Double] = []
        for (i, number) in numbers.enumerated() {
            let at = base + 1 + i * size
            switch dtype {
            case ZOO_DTYPE_F64:
                at.storeBytes(of: number, as: Double.self)
                kept.append(number)
            case ZOO_DTYPE_F32:
                at.storeBytes(of: Float(number), as: Float.self)
                kept.append(Double(Float(number)))
            case ZOO_DTYPE_F16:
                let bits = zoo_f16_bits_of_double(number)
                at.storeBytes(of: bits, as: UInt16.self)
                kept.append(Double(zoo_f16_value(bits)))
            default:
                let bits = zoo_bf16_bits_of_double(number)
                at.storeBytes(of: bits, as: UInt16.self)
                kept.append(Double(Float(bitPattern: UInt32(bits) << 16)))
            }
        }
        values = kept
    }

    deinit { base.deallocate() }

    var bytes: [UInt8] {
        Array(UnsafeRawBufferPointer(start: pointer, count: count * zoo_dtype_size(dtype)))
    }

    /// What a number rounds to in a type, by the scalar conversions.
    static func rounded(_ value: Double, _ dtype: zoo_dtype) -> Double { Stored([value], dtype).values[0] }
}

private let dtypes = [ZOO_DTYPE_F32, ZOO_DTYPE_F64, ZOO_DTYPE_F16, ZOO_DTYPE_BF16]

private func numbers(_ count: Int, _ generator: inout SeededGenerator) -> [Double] {
    (0..<count).map { _ in Double.random(in: -2...2, using: &generator) }
}

@Suite struct VectorTests {
    @Test func weightedSumsOfMixedTypes() {
        var generator = SeededGenerator(seed: 51)
        for (k, count) in [(1, 5), (2, 4099), (3, 17), (8, 5000), (16, 100), (21, 2049)] {
            for even in [true, false] {
                let inputs = (0..<k).map { j in
                    Stored(numbers(count, &generator), k == 8 ? ZOO_DTYPE_F32 : dtypes[(j / 5 + k) % 4])
                }
                let weights = (0..<k).map { _ in even ? 1 / Double(k) : Double.random(in: -1...1, using: &generator) }
                for output in dtypes {
                    for inDouble in [false, true] {
                        var first: [UInt8]?
                        withEachVariant { variant in
                            let target = Stored(Array(repeating: 9, count: count), output)
                            let pointers = inputs.map { UnsafeRawPointer($0.pointer) as UnsafeRawPointer? }
                            zoo_weighted_sum(
                                pointers, inputs.map(\.dtype), weights, k, count, target.pointer, target.dtype, inDouble
                            )
                            if let first { #expect(target.bytes == first, "\(variant): other bytes") }
                            first = target.bytes
                        }
                        let found = Stored(Array(repeating: 0, count: count), output)
                        found.pointer.copyMemory(from: first ?? [], byteCount: found.bytes.count)
                        check(found, output, inputs, weights, inDouble)
                    }
                }
            }
        }
    }

    private func check(
        _ found: Stored, _ output: zoo_dtype, _ inputs: [Stored], _ weights: [Double], _ inDouble: Bool
    ) {
        let wide = inDouble || output == ZOO_DTYPE_F64 || inputs.contains { $0.dtype == Int32(ZOO_DTYPE_F64.rawValue) }
        let unit = wide ? 0x1p-53 : 0x1p-24
        let ulp: Double =
            switch output {
            case ZOO_DTYPE_F64: 0x1p-53
            case ZOO_DTYPE_F32: 0x1p-24
            case ZOO_DTYPE_F16: 0x1p-11
            default: 0x1p-8
            }
        for i in 0..<found.count {
            var sum = 0.0, size = 0.0
            for (j, input) in inputs.enumerated() {
                sum += weights[j] * input.values[i]
                size += (weights[j] * input.values[i]).magnitude
            }
            let value = decode(found, i, output)
            let bound =
                Double(inputs.count + 2) * unit * size + ulp * sum.magnitude + (output == ZOO_DTYPE_F16 ? 3e-8 : 0)
            #expect((value - sum).magnitude <= bound, "\(inputs.count) inputs to \(output), element \(i)")
            if (value - sum).magnitude > bound { return }
        }
    }

    private func decode(_ stored: Stored, _ i: Int, _ dtype: zoo_dtype) -> Double {
        let at = stored.pointer + i * zoo_dtype_size(stored.dtype)
        switch dtype {
        case ZOO_DTYPE_F64: return at.loadUnaligned(as: Double.self)
        case ZOO_DTYPE_F32: return Double(at.loadUnaligned(as: Float.self))
        case ZOO_DTYPE_F16: return Double(zoo_f16_value(at.loadUnaligned(as: UInt16.self)))
        default: return Double(Float(bitPattern: UInt32(at.loadUnaligned(as: UInt16.self)) << 16))
        }
    }

    @Test func conversionsRoundOnce() {
        var generator = SeededGenerator(seed: 52)
        let values: [Double] =
            [0, -0.0, .infinity, -.infinity, 65504, 65520, 1e-8, 5.9e-8, 1e300, -1e300, 1 + 0x1p-11 + 0x1p-40]
            + numbers(500, &generator)
        withEachVariant { variant in
            for from in dtypes {
                let source = Stored(values, from)
                for to in dtypes {
                    let target = Stored(Array(repeating: 0, count: values.count), to)
                    zoo_convert(source.pointer, source.dtype, values.count, target.pointer, target.dtype)
                    #expect(target.bytes == Stored(source.values, to).bytes, "\(variant) \(from) to \(to)")
                }
            }
            let nothing = Stored([.nan], ZOO_DTYPE_F32), half = Stored([0], ZOO_DTYPE_F16)
            zoo_convert(nothing.pointer, nothing.dtype, 1, half.pointer, half.dtype)
            #expect(decode(half, 0, ZOO_DTYPE_F16).isNaN)
        }
    }

    @Test func anInputMayBeTheOutputAndNoneGivesZeros() {
        let a = Stored([1, 2, 3], ZOO_DTYPE_F32), b = Stored([10, 20, 30], ZOO_DTYPE_F32)
        zoo_weighted_sum(
            [UnsafeRawPointer(a.pointer), UnsafeRawPointer(b.pointer)], [0, 0], [2, 1], 2, 3, a.pointer, 0, false)
        #expect((0..<3).map { decode(a, $0, ZOO_DTYPE_F32) } == [12, 24, 36])
        zoo_weighted_sum([], [], [], 0, 3, a.pointer, 0, false)
        #expect((0..<3).map { decode(a, $0, ZOO_DTYPE_F32) } == [0, 0, 0])
    }

    @Test func statisticsDontDependOnTheCut() {
        var generator = SeededGenerator(seed: 53)
        for dtype in dtypes {
            for count in [0, 1, 15, 4096, 4097, 30_001] {
                var data = numbers(count, &generator)
                if count > 20 {
                    data[3] = 0
                    data[count - 1] = 0
                }
                let a = Stored(data, dtype)
                var results: [zoo_statistics] = []
                withEachVariant { _ in
                    results.append(zoo_vector_statistics(a.pointer, a.dtype, count))
                    let blocks = zoo_block_count(count), cut = blocks / 3
                    var parts = [zoo_statistics](repeating: zoo_statistics(), count: blocks)
                    parts.withUnsafeMutableBufferPointer { buffer in
                        guard let base = buffer.baseAddress, count > 0 else { return }
                        let middle = cut * Int(ZOO_BLOCK), size = zoo_dtype_size(a.dtype)
                        zoo_vector_statistics_blocks(a.pointer + middle * size, a.dtype, count - middle, base + cut)
                        zoo_vector_statistics_blocks(a.pointer, a.dtype, middle, base)
                    }
                    results.append(zoo_vector_statistics_combine(parts, blocks))
                }
                let s = results[0]
                for other in results {
                    #expect(other.sum == s.sum && other.squared_norm == s.squared_norm, "\(dtype) \(count)")
                    #expect(other.absolute_sum == s.absolute_sum && other.minimum == s.minimum)
                    #expect(other.maximum == s.maximum && other.largest_magnitude == s.largest_magnitude)
                    #expect(other.zeros == s.zeros && other.non_finite == 0)
                }
                let v = a.values
                #expect((s.sum - v.reduce(0, +)).magnitude < 1e-9)
                #expect((s.squared_norm - v.reduce(0) { $0 + $1 * $1 }).magnitude < 1e-8)
                #expect((s.absolute_sum - v.reduce(0) { $0 + $1.magnitude }).magnitude < 1e-8)
                #expect(s.minimum == v.min() ?? .infinity && s.maximum == v.max() ?? -.infinity)
                #expect(s.largest_magnitude == v.map(\.magnitude).max() ?? 0)
                #expect(s.zeros == UInt64(v.filter { $0 == 0 }.count))
            }
        }
    }

    @Test func whatIsNotFiniteIsCountedAndLeftOutOfRanges() {
        withEachVariant { variant in
            for dtype in dtypes {
                var data = [Double](repeating: 1, count: 37)
                (data[0], data[20], data[36], data[5]) = (.nan, .infinity, -.infinity, -3)
                let a = Stored(data, dtype), s = zoo_vector_statistics(a.pointer, a.dtype, 37)
                #expect(s.non_finite == 3 && s.minimum == -3 && s.maximum == 1, "\(variant) \(dtype)")
                #expect(s.largest_magnitude == 3 && s.sum.isNaN && s.zeros == 0, "\(variant) \(dtype)")
            }
        }
    }

    @Test func productsWithManyVectorsAreThoseOneByOne() {
        var generator = SeededGenerator(seed: 57)
        let dtypes = [
            ZOO_DTYPE_F32, ZOO_DTYPE_F32, ZOO_DTYPE_F32, ZOO_DTYPE_F32, ZOO_DTYPE_F16, ZOO_DTYPE_F64, ZOO_DTYPE_BF16,
        ]
        for first in [ZOO_DTYPE_F32, ZOO_DTYPE_F64] {
            for count in [0, 5, 16, 4096, 9001] {
                let g = Stored(numbers(count, &generator), first)
                // More than are taken together.
                let others = (0..<21).map { Stored(numbers(count, &generator), dtypes[$0 % dtypes.count]) }
                var expected: [Double]?
                withEachVariant { variant in
                    var dots = [Double](repeating: .nan, count: others.count)
                    zoo_vector_dots(
                        g.pointer, g.dtype, others.map { Optional($0.pointer) }, others.map(\.dtype), others.count,
                        count, &dots)
                    let alone = others.map { zoo_vector_pair(g.pointer, g.dtype, $0.pointer, $0.dtype, count).dot }
                    #expect(dots == alone, "\(variant), \(count)")
                    if let expected { #expect(dots == expected, "\(variant), \(count)") }
                    expected = dots
                }
                for (dot, other) in zip(expected ?? [], others) {
                    #expect((dot - zip(g.values, other.values).reduce(0) { $0 + $1.0 * $1.1 }).magnitude < 1e-9)
                }
            }
        }
    }

    @Test func pairsOfVectors() {
        var generator = SeededGenerator(seed: 54)
        for (first, second) in [
            (ZOO_DTYPE_F32, ZOO_DTYPE_F32), (ZOO_DTYPE_F32, ZOO_DTYPE_BF16), (ZOO_DTYPE_F16, ZOO_DTYPE_F64),
            (ZOO_DTYPE_F64, ZOO_DTYPE_F64),
        ] {
            for count in [0, 3, 4096, 9001] {
                let a = Stored(numbers(count, &generator), first), b = Stored(numbers(count, &generator), second)
                var results: [zoo_pair_statistics] = []
                withEachVariant { _ in
                    results.append(zoo_vector_pair(a.pointer, a.dtype, b.pointer, b.dtype, count))
                    var parts = [zoo_pair_statistics](repeating: zoo_pair_statistics(), count: zoo_block_count(count))
                    zoo_vector_pair_blocks(a.pointer, a.dtype, b.pointer, b.dtype, count, &parts)
                    results.append(zoo_vector_pair_combine(parts, parts.count))
                    let dot = zoo_vector_dot(a.pointer, a.dtype, b.pointer, b.dtype, count)
                    #expect(dot == results[0].dot)
                }
                for s in results {
                    let same = s.dot == results[0].dot && s.squared_distance == results[0].squared_distance
                    #expect(same && s.squared_norm_a == results[0].squared_norm_a)
                    #expect(s.squared_norm_b == results[0].squared_norm_b)
                }
                let s = results[0], pairs = Array(zip(a.values, b.values))
                #expect((s.dot - pairs.reduce(0) { $0 + $1.0 * $1.1 }).magnitude < 1e-9)
                #expect((s.squared_norm_a - pairs.reduce(0) { $0 + $1.0 * $1.0 }).magnitude < 1e-9)
                #expect((s.squared_norm_b - pairs.reduce(0) { $0 + $1.1 * $1.1 }).magnitude < 1e-9)
                let distance = pairs.reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
                #expect((s.squared_distance - distance).magnitude < 1e-9)
            }
        }
    }
}
