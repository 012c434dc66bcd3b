import CZooKernels
import Testing
import ZooTestSupport

/// Runs a test once for each instruction set of this processor.
func withEachVariant(_ body: (String) throws -> Void) rethrows {
    defer { _ = zoo_kernel_select(nil) }
    var index: Int32 = 0
    while let name = zoo_kernel_available(index) {
        #expect(zoo_kernel_select(name))
        #expect(String(cString: zoo_kernel_isa()) == String(cString: name))
        try body(String(cString: name))
        index += 1
    }
}

/// Floats aligned to 64 bytes.
final class Floats {
    let count: Int
    let pointer: UnsafeMutablePointer<Float>

    init(_ count: Int, repeating value: Float = 0) {
        self.count = count
        let raw = UnsafeMutableRawPointer.allocate(byteCount: max(count, 1) * 4, alignment: 64)
        pointer = raw.bindMemory(to: Float.self, capacity: max(count, 1))
        pointer.initialize(repeating: value, count: max(count, 1))
    }

    convenience init(_ values: [Float]) {
        self.init(values.count)
        for (index, value) in values.enumerated() { pointer[index] = value }
    }

    /// Values between -1 and 1.
    convenience init(random count: Int, _ generator: inout SeededGenerator) {
        self.init((0..<count).map { _ in Float.random(in: -1...1, using: &generator) })
    }

    deinit { UnsafeMutableRawPointer(pointer).deallocate() }

    subscript(index: Int) -> Float {
        get { pointer[index] }
        set { pointer[index] = newValue }
    }

    var values: [Float] { (0..<count).map { pointer[$0] } }
}

/// The largest |found - truth| / (1 + |truth|).
func worst(_ found: Floats, _ truth: [Double]) -> Double {
    precondition(found.count == truth.count)
    var error = 0.0
    for index in truth.indices {
        let one = (Double(found[index]) - truth[index]).magnitude / (1 + truth[index].magnitude)
        error = one > error || one.isNaN ? one : error
        if error.isNaN { return .infinity }
    }
    return error
}
