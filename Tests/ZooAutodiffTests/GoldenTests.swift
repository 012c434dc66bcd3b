import Foundation
import Testing
import ZooAutodiff
import ZooBase
import ZooTensor
import ZooTestSupport

/// Trained networks against PyTorch's losses, gradients and Hessian-vector products.
@Suite struct GoldenTests {
    /// Relative to the largest magnitude of what is compared; PyTorch computed in float64 and wrote ten digits.
    static let float64Tolerance = 2e-9
    /// Rounding of float32 through some ten layers.
    static let float32Tolerance = 2e-5

    @Test func fixturesAreThere() { #expect(GoldenModel.all.count == 9) }

    @Test(arguments: GoldenModel.all)
    func float64(_ model: GoldenModel) throws {
        try model.check(model.program().compiledReference(), Self.float64Tolerance) { Double($0) }
    }

    @Test(arguments: GoldenModel.all)
    func float32(_ model: GoldenModel) throws {
        try model.check(model.program().compiled(), Self.float32Tolerance) { $0 }
    }
}

/// A trained network, a batch and the expected numbers (see make_engine_goldens.py).
struct GoldenModel: Sendable, CustomTestStringConvertible {
    let name: String, family: String, activation: String
    let tensors: [(name: String, shape: Shape, values: [Float])]
    let imageShape: Shape
    let images: [Float]
    let labels: [Int32]
    let expected: JSONValue

    var testDescription: String { name }

    /// Parameters that are trained: all but running statistics.
    var trained: [Int] { tensors.indices.filter { !tensors[$0].name.contains(".running_") } }

    static let all: [GoldenModel] = {
        let folder = Repository.path("Tests/ZooAutodiffTests/Fixtures/")
        guard let text = FileManager.default.contents(atPath: folder + "engine_goldens.json"),
            let blob = FileManager.default.contents(atPath: folder + "engine_goldens.bin"),
            let models = try? JSONParser.parse(String(decoding: text, as: UTF8.self))["models"]?.array
        else { return [] }
        var offset = 0
        func floats(_ count: Int) -> [Float] {
            defer { offset += 4 * count }
            return blob[offset..<(offset + 4 * count)].withUnsafeBytes { bytes in
                (0..<count).map { bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
            }
        }
        return models.map { json in
            let tensors = (json["tensors"]?.array ?? []).map { tensor in
                let shape = Shape((tensor["shape"]?.array ?? []).compactMap(\.int))
                return (tensor["name"]?.string ?? "", shape, floats(shape.elementCount))
            }
            let images = Shape((json["images"]?.array ?? []).compactMap(\.int))
            return GoldenModel(
                name: json["name"]?.string ?? "", family: json["family"]?.string ?? "",
                activation: json["activation"]?.string ?? "", tensors: tensors, imageShape: images,
                images: floats(images.elementCount),
                labels: (json["labels"]?.array ?? []).compactMap(\.int).map { Int32($0) },
                expected: json["expected"] ?? .null)
        }
    }()

    /// Loss, gradients and Hessian-vector products.
    func program() throws -> Program {
        let b = ProgramBuilder()
        let parameters = tensors.map { b.parameter($0.name, $0.shape) }
        let images = b.data("images", imageShape)
        let labels = b.indices("labels", [imageShape[0]])
        let directions = trained.map { b.direction("v/" + tensors[$0].name, tensors[$0].shape) }
        let writer = NetworkWriter(
            b: b, parameters: Dictionary(uniqueKeysWithValues: zip(tensors.map(\.name), parameters)))
        let logits =
            switch family {
            case "cnn": try writer.cnn(images, activation: activation)
            case "resnet": try writer.resnet(images)
            default: try writer.task(images)
            }
        let loss = try b.average(b.crossEntropy(logits, labels: labels))
        let result = try b.hessianVectorProduct(
            of: loss, withRespectTo: trained.map { parameters[$0] }, along: directions)
        return b.build(
            [("loss", loss)] + result.gradient.map { ("gradient", $0) } + result.product.map { ("product", $0) })
    }

    func check<S: EngineScalar>(_ compiled: CompiledProgram<S>, _ tolerance: Double, _ convert: (Float) -> S) throws {
        let executor = compiled.makeExecutor()
        var arrays = ["images": images.map(convert)]
        for tensor in tensors { arrays[tensor.name] = tensor.values.map(convert) }
        let count = trained.map { tensors[$0].values.count }.reduce(0, +)
        #expect(count == expected["n"]?.int)
        for place in trained {
            arrays["v/" + tensors[place].name] = tensors[place].values.map { _ in S(1 / Double(count).squareRoot()) }
        }
        let outputs = try executor.evaluate(arrays, indices: ["labels": labels]).map { $0.map(Double.init) }
        expectClose(outputs[0], [expected["loss"]?.double ?? .nan], tolerance, "loss")
        for (order, place) in trained.enumerated() {
            let golden = expected["tensors"]?[tensors[place].name]
            let groups = [("grad", outputs[1 + order]), ("hvp", outputs[1 + trained.count + order])]
            for (kind, found) in groups {
                let whole = expected[kind + "_norm"]?.double ?? .nan
                func compare(_ numbers: [Double], _ key: String, against scale: Double) {
                    let truth = golden?["\(kind)_\(key)"]
                    let wanted = truth?.array?.compactMap(\.double) ?? [truth?.double ?? .nan]
                    expectClose(
                        numbers.map { $0 / scale }, wanted.map { $0 / scale }, tolerance,
                        "\(tensors[place].name) \(kind) \(key)")
                }
                compare([found.map { $0 * $0 }.reduce(0, +).squareRoot()], "norm", against: whole)
                // Rounding errors of the entries add up in their sum.
                compare([found.reduce(0, +)], "sum", against: whole * Double(found.count).squareRoot())
                compare(Array(found.prefix(5)), "first", against: whole)
            }
        }
    }
}
