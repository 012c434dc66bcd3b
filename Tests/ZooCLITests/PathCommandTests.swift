import Foundation
import Testing
import ZooBase
import ZooTestSupport

/// `zoo path` against lines computed with PyTorch in float64.
@Suite struct PathCommandTests {
    private let data = SampleZoo.tasks + "/data/zoo_c_data.safetensors:soup.val"
    private let a = SampleZoo.tasks + "/pretrained.safetensors"
    private let b = SampleZoo.tasks + "/soup/variant_07.safetensors"

    @Test func theLineIsTheReference() throws {
        let bench = try Workbench()
        let picture = bench.file("path.svg")
        let report = try bench.json("path", a, b, "--data", data, "--points", "11", "--figure", picture)
        let golden = try JSONParser.parse(
            Bytes(mapping: Repository.path("Tests/ZooMergeTests/Fixtures/zoo_c_soups.json")))
        let expected = try #require(golden["interpolation_base_7"])
        let losses = try #require(expected["val_loss"]?.array).compactMap(\.double)
        let accuracies = try #require(expected["val_acc"]?.array).compactMap(\.double)
        let points = try #require(report["points"]?.array)
        #expect(points.count == 11)
        for (point, (loss, accuracy)) in zip(points, zip(losses, accuracies)) {
            #expect(abs((point["loss"]?.double ?? 0) - loss) < 1e-5 * loss)
            #expect(abs((point["accuracy"]?.double ?? 0) - accuracy) < 1e-9)
        }
        #expect(report["barrier"]?.double == expected["val_barrier"]?.double)
        #expect(try String(contentsOfFile: picture, encoding: .utf8).contains("<svg"))
    }

    @Test func aModelAndItselfHaveNoBarrier() throws {
        let bench = try Workbench()
        let report = try bench.json("path", a, a, "--data", data, "--points", "5")
        #expect(abs(report["barrier"]?.double ?? 1) < 1e-6)
        #expect(abs(report["loss"]?["excess"]?.double ?? 1) < 1e-6)
    }

    @Test func barriersOfCataloguedPairsAreRecorded() throws {
        let bench = try Workbench()
        #expect(try bench.zoo("index", SampleZoo.tasks + "/soup", "--zoo", "variants").status == 0)
        let ids = try bench.rows("query", "zoo = 'variants'", "--columns", "id", "--limit", "2").compactMap {
            $0["id"]?.int
        }
        _ = try bench.json("path", String(ids[0]), String(ids[1]), "--data", data, "--points", "3")
        #expect(try bench.number("SELECT count(*) FROM metric WHERE other_id IS NOT NULL") == 6)
    }

    @Test func curvesLieBelowTheLine() throws {
        let bench = try Workbench()
        let picture = bench.file("curve.png")
        let report = try bench.json(
            "path", a, b, "--data", data, "--curve", "bezier", "--curve-epochs", "20", "--points", "5", "--figure",
            picture)
        #expect(report["points"]?.array?.count == 5 && report["steps"]?.int ?? 0 > 0)
        let error = try #require(report["error"])
        #expect(error["mc"]?.double != nil && error["max"]?.double ?? 0 >= error["min"]?.double ?? 1)
        #expect(FileManager.default.fileExists(atPath: picture))
        #expect(try bench.zoo("path", a, b, "--data", data, "--curve", "bezier", "--bn", "recompute").status == 64)
        #expect(try bench.zoo("path", a, b, "--data", data, "--curve", "bezier", "--bends", "0").status == 64)
    }

    @Test func otherNetworksAndDivergedOnesAreRefused() throws {
        let bench = try SampleCatalog.shared.get()
        func id(_ condition: String) throws -> String {
            let rows = try bench.rows(
                "query", "zoo = 'digits-cnn' and epoch = last and \(condition)", "--columns", "id", "--limit", "1")
            return String(try #require(rows.first?["id"]?.int))
        }
        let gelu = try id("nlin = 'gelu' and lr = 0.001"), tanh = try id("nlin = 'tanh' and lr = 0.001")
        let samples = "zoos/data/digits.safetensors:test"
        let mixed = try bench.zoo("path", gelu, tanh, "--data", samples, "--points", "3")
        #expect(mixed.status == 1 && mixed.errors.contains("different networks"), "\(mixed.errors)")
        #expect(mixed.errors.contains("gelu") && mixed.errors.contains("tanh"), "\(mixed.errors)")
        let diverged = try id("diverged = 1")
        let lost = try bench.zoo("path", diverged, diverged, "--data", samples, "--points", "3")
        #expect(lost.status == 1 && lost.errors.contains("diverged: tensor"), "\(lost.errors)")
    }

    @Test func wrongRequestsSayWhatToDo() throws {
        let bench = try Workbench()
        let plain = try bench.zoo("path", a, b, "--data", data, "--bn", "recompute")
        #expect(plain.status == 64 && plain.errors.contains("no batch norm"), "\(plain.errors)")
        #expect(try bench.zoo("path", a, b, "--data", data, "--points", "1").status == 64)
        let other = try bench.zoo("path", a, SampleZoo.tasks + "/data/zoo_c_data.safetensors", "--data", data)
        #expect(other.status == 1 && other.errors.contains("other tensors"), "\(other.errors)")
    }
}
