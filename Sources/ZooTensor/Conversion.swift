import CZooKernels

/// Element-wise conversion between storage types.
enum Conversion {
    /// Reads elements of `type` as floats. Precondition: `output` has room for all of them.
    static func toFloat(_ input: UnsafeRawBufferPointer, _ type: DType, _ output: UnsafeMutableBufferPointer<Float>) {
        guard let source = input.baseAddress, let target = output.baseAddress else { return }
        let count = input.count / type.byteCount
        switch type {
        case .float32: UnsafeMutableRawPointer(target).copyMemory(from: source, byteCount: count * 4)
        case .float16: zoo_f16_to_f32(source, target, count)
        case .bfloat16: zoo_bf16_to_f32(source, target, count)
        default: each(source, type, count) { target[$0] = Float($1) }
        }
    }

    /// Reads elements of `type` as doubles. Precondition: `output` has room for all of them.
    static func toDouble(_ input: UnsafeRawBufferPointer, _ type: DType, _ output: UnsafeMutableBufferPointer<Double>) {
        guard let source = input.baseAddress, let target = output.baseAddress else { return }
        let count = input.count / type.byteCount
        if type == .float64 {
            UnsafeMutableRawPointer(target).copyMemory(from: source, byteCount: count * 8)
        } else {
            each(source, type, count) { target[$0] = $1 }
        }
    }

    /// Converts elements of one type to another.
    static func convert(
        _ input: UnsafeRawBufferPointer, _ from: DType, to output: UnsafeMutableRawBufferPointer, _ type: DType
    ) {
        guard let source = input.baseAddress, let target = output.baseAddress else { return }
        let count = input.count / from.byteCount
        switch (from, type) {
        case (.float16, .float32): zoo_f16_to_f32(source, target.assumingMemoryBound(to: Float.self), count)
        case (.bfloat16, .float32): zoo_bf16_to_f32(source, target.assumingMemoryBound(to: Float.self), count)
        case (.float32, .float16): zoo_f32_to_f16(source, target, count)
        case (.float32, .bfloat16): zoo_f32_to_bf16(source, target, count)
        case _ where from.isInteger && type.isInteger && type != .bool:
            integers(source, from, target, type, count)
        default: each(source, from, count) { store($1, target, $0, type) }
        }
    }

    private static func load<T>(_ source: UnsafeRawPointer, _ index: Int, _ type: T.Type) -> T {
        source.loadUnaligned(fromByteOffset: index * MemoryLayout<T>.stride, as: T.self)
    }

    /// Calls `body` with each element as a double. 64-bit integers beyond 2^53 are rounded.
    private static func each(
        _ source: UnsafeRawPointer, _ type: DType, _ count: Int, _ body: (Int, Double) -> Void
    ) {
        func run<T>(_: T.Type, _ value: (T) -> Double) {
            for index in 0..<count { body(index, value(load(source, index, T.self))) }
        }
        switch type {
        case .bool: run(UInt8.self) { $0 == 0 ? 0 : 1 }
        case .uint8: run(UInt8.self) { Double($0) }
        case .int8: run(Int8.self) { Double($0) }
        case .uint16: run(UInt16.self) { Double($0) }
        case .int16: run(Int16.self) { Double($0) }
        case .uint32: run(UInt32.self) { Double($0) }
        case .int32: run(Int32.self) { Double($0) }
        case .uint64: run(UInt64.self) { Double($0) }
        case .int64: run(Int64.self) { Double($0) }
        case .float8E4M3: run(UInt8.self) { Float8.e4m3($0) }
        case .float8E5M2: run(UInt8.self) { Float8.e5m2($0) }
        case .float16: run(UInt16.self) { Double(zoo_f16_value($0)) }
        case .bfloat16: run(UInt16.self) { Double(Float(bitPattern: UInt32($0) << 16)) }
        case .float32: run(Float.self) { Double($0) }
        case .float64: run(Double.self) { $0 }
        case .complex64: run(SIMD2<Float>.self) { Double($0.x) }
        case .complex128: run(SIMD2<Double>.self) { $0.x }
        }
    }

    private static func store(_ value: Double, _ target: UnsafeMutableRawPointer, _ index: Int, _ type: DType) {
        func put<T>(_ element: T) {
            target.storeBytes(of: element, toByteOffset: index * MemoryLayout<T>.stride, as: T.self)
        }
        func whole<T: FixedWidthInteger>(_: T.Type) -> T {
            if value.isNaN { return 0 }
            if value >= Double(T.max) { return T.max }
            if value <= Double(T.min) { return T.min }
            return T(value)
        }
        switch type {
        case .bool: put(UInt8(value == 0 ? 0 : 1))
        case .uint8: put(whole(UInt8.self))
        case .int8: put(whole(Int8.self))
        case .uint16: put(whole(UInt16.self))
        case .int16: put(whole(Int16.self))
        case .uint32: put(whole(UInt32.self))
        case .int32: put(whole(Int32.self))
        case .uint64: put(whole(UInt64.self))
        case .int64: put(whole(Int64.self))
        case .float8E4M3: put(Float8.nearest(value, Float8.e4m3))
        case .float8E5M2: put(Float8.nearest(value, Float8.e5m2))
        case .float16: put(zoo_f16_bits_of_double(value))
        case .bfloat16: put(zoo_bf16_bits_of_double(value))
        case .float32: put(Float(value))
        case .float64: put(value)
        case .complex64: put(SIMD2<Float>(Float(value), 0))
        case .complex128: put(SIMD2<Double>(value, 0))
        }
    }

    private static func integers(
        _ source: UnsafeRawPointer, _ from: DType, _ target: UnsafeMutableRawPointer, _ type: DType, _ count: Int
    ) {
        func write<S: FixedWidthInteger>(_: S.Type, _ index: Int) {
            func put<T: FixedWidthInteger>(_: T.Type) {
                target.storeBytes(
                    of: T(clamping: load(source, index, S.self)), toByteOffset: index * MemoryLayout<T>.size, as: T.self
                )
            }
            switch type {
            case .uint8: put(UInt8.self)
            case .int8: put(Int8.self)
            case .uint16: put(UInt16.self)
            case .int16: put(Int16.self)
            case .uint32: put(UInt32.self)
            case .int32: put(Int32.self)
            case .uint64: put(UInt64.self)
            default: put(Int64.self)
            }
        }
        for index in 0..<count {
            switch from {
            case .bool, .uint8: write(UInt8.self, index)
            case .int8: write(Int8.self, index)
            case .uint16: write(UInt16.self, index)
            case .int16: write(Int16.self, index)
            case .uint32: write(UInt32.self, index)
            case .int32: write(Int32.self, index)
            case .uint64: write(UInt64.self, index)
            default: write(Int64.self, index)
            }
        }
    }
}

/// The two 8-bit floating-point types of the Open Compute Project's specification (OFP8, 2023).
enum Float8 {
    /// 1 sign, 4 exponent (bias 7), 3 significand bits; no infinities, 0x7F and 0xFF are NaN.
    static func e4m3(_ bits: UInt8) -> Double {
        let exponent = Int(bits >> 3 & 15), fraction = Double(bits & 7)
        let magnitude: Double
        if exponent == 15 && bits & 7 == 7 {
            magnitude = .nan
        } else if exponent == 0 {
            magnitude = fraction * 0x1p-9
        } else {
            magnitude = Double(sign: .plus, exponent: exponent - 7, significand: 1 + fraction / 8)
        }
        return bits & 0x80 == 0 ? magnitude : -magnitude
    }

    /// 1 sign, 5 exponent (bias 15), 2 significand bits; infinities and NaN as in IEEE 754.
    static func e5m2(_ bits: UInt8) -> Double { Double(zoo_f16_value(UInt16(bits) << 8)) }

    /// The nearest code by search, ties to the even code; too large becomes the largest finite value, as torch's
    /// saturating casts do not: beyond the range the result is NaN (e4m3) or infinity (e5m2).
    static func nearest(_ value: Double, _ decode: (UInt8) -> Double) -> UInt8 {
        let sign: UInt8 = value.sign == .minus ? 0x80 : 0
        if value.isNaN { return sign | 0x7F }
        let magnitude = value.magnitude
        // Codes 0...0x7F are ordered by value, NaN and infinity last.
        var low: UInt8 = 0, high: UInt8 = 0
        while high < 0x7F, decode(high + 1).isFinite, decode(high) < magnitude { high += 1 }
        if decode(high) < magnitude {
            // Past the largest finite code: within half a step it rounds down to it, else it leaves the range.
            let step = decode(high) - decode(high - 1)
            return sign | (magnitude - decode(high) <= step / 2 ? high : high + 1)
        }
        low = high == 0 ? 0 : high - 1
        let below = magnitude - decode(low), above = decode(high) - magnitude
        if below == above { return sign | (low & 1 == 0 ? low : high) }
        return sign | (below < above ? low : high)
    }
}
