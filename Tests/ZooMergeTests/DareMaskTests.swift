import Foundation
import Testing
import ZooBase
import ZooFormats
import ZooMerge
import ZooTensor
import ZooTestSupport

/// DARE with a mask given by a formula, against values computed by PyTorch.
@Suite struct DareMaskTests {
    @Test func agreesWithTheFormula() throws {
        let path = Repository.path("Tests/ZooMergeTests/Fixtures/zoo_c_dare_masked.json")
        let golden = try JSONParser.parse(try String(contentsOfFile: path, encoding: .utf8))
        let folder = Repository.path("zoos/digits-tasks")
        let base = try CheckpointFile.open("\(folder)/pretrained.safetensors").source
        let models = try #require(golden["models"]?.array).compactMap(\.string).map {
            try CheckpointFile.open("\(folder)/tasks/\($0).safetensors").source
        }
        let density = try #require(golden["density"]?.double)
        let names = try #require(golden["tensor_order"]?.array).compactMap(\.string)
        for (position, name) in names.enumerated() {
            let tensors = try models.map { try $0.tensor(named: name) } + [try base.tensor(named: name)]
            let wide = tensors.map { $0.converted(to: .float64) }
            let tensor = try GivenMask.merge(wide, weight: 0.4, density: density) { model, index in
                let hash = UInt64(index) &* 2_654_435_761 &+ UInt64(position + 1) * 40503 &+ UInt64(model + 1) * 69069
                return Double(hash % (1 << 32)) / 0x1p32 < density
            }
            let expected = try #require(golden["tensors"]?[name])
            let first = try #require(expected["first"]?.array).compactMap(\.double)
            #expect(largestDifference(Array(tensor.prefix(first.count)), first) < 1e-11, "\(name)")
            let norm = tensor.reduce(0) { $0 + $1 * $1 }.squareRoot()
            #expect((norm - (expected["norm"]?.double ?? 0)).magnitude < 1e-9, "\(name)")
        }
    }
}
