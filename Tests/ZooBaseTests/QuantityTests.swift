import Testing
import ZooBase

@Suite struct QuantityTests {
    @Test(arguments: [
        (0, "0 B"), (999, "999 B"), (1000, "1.00 kB"), (1536, "1.54 kB"), (999_499, "999 kB"), (999_500, "1.00 MB"),
        (500_000_000, "500 MB"), (25_276_063_744, "25.3 GB"), (-2_000_000, "-2.00 MB"), (Int.max, "9.22 EB"),
    ])
    func bytes(_ count: Int, _ text: String) { #expect(Quantity.bytes(count) == text) }

    @Test(arguments: [(0, "0"), (999, "999"), (1000, "1,000"), (2_600_000, "2,600,000"), (-1234, "-1,234")])
    func counts(_ count: Int, _ text: String) { #expect(Quantity.count(count) == text) }

    @Test(arguments: [
        (0, "0 s"), (1.2e-5, "12 µs"), (0.000_999_6, "1 ms"), (0.0034, "3.4 ms"), (0.52, "0.52 s"), (9.96, "10 s"),
        (42.4, "42 s"), (59.6, "1 min"), (185, "3 min 05 s"), (7620, "2 h 07 min"), (3599.7, "1 h"),
        (356_400, "4 d 03 h"), (-3, "-3 s"), (.infinity, "unknown"),
    ])
    func durations(_ seconds: Double, _ text: String) { #expect(Quantity.duration(seconds) == text) }

    @Test func roundedNumbers() {
        #expect(Quantity.significant(0.912345, digits: 4) == "0.9123")
        #expect(Quantity.significant(1.25e-7, digits: 2) == "1.2e-07")
        #expect(Quantity.significant(-0.0, digits: 4) == "0")
        #expect(Quantity.significant(.nan, digits: 4) == "NaN")
        #expect(Quantity.significant(-.infinity, digits: 4) == "-inf")
        #expect(Quantity.fixed(-0.001, decimals: 2) == "0.00")
        #expect(Quantity.fixed(1e300, decimals: 2).hasSuffix(".00"))
        #expect(Quantity.short(11_173_962) == "11.2 M")
        #expect(Quantity.short(950) == "950")
    }
}
