import Foundation
import Testing
import ZooBase
import ZooFormats
import ZooTensor
import ZooTestSupport

/// `zoo export`, read back with the readers and compared with the checkpoints in the archive.
@Suite struct ExportCommandTests {
    private let condition = "zoo = 'digits-cnn' and nlin = 'gelu' and lr = 0.001 and epoch = 25"

    /// The selected checkpoints' members, by id.
    private func members(_ bench: Workbench) throws -> [Int: String] {
        let ids = try bench.rows("query", condition, "--columns", "id").compactMap { $0["id"]?.int }
        let list = ids.map(String.init).joined(separator: ",")
        let rows = try bench.rows("sql", "SELECT id, member FROM checkpoints WHERE id IN (\(list))")
        return Dictionary(
            uniqueKeysWithValues: try rows.map { (try #require($0["id"]?.int), try #require($0["member"]?.string)) })
    }

    @Test(arguments: ["npz", "hdf5"])
    func theMatrixHoldsTheWeights(_ format: String) throws {
        let bench = try SampleCatalog.shared.get()
        let own = try Workbench()
        let path = own.file("weights.\(format)")
        let run = try bench.zoo("export", condition, "--format", format, "--to", path, "--json")
        #expect(run.status == 0, "\(run.errors)")
        #expect(try JSONParser.parse(run.output)["files"] == [.string(path), .string("\(path).index.json")])
        let members = try members(bench)
        #expect(members.count == 6)
        let file = try SampleZoo.open(path)
        let weights = try file.tensor(named: "weights")
        #expect(weights.shape == [6, 2464])
        #expect(weights.dtype == .float32)
        let values = weights.floats()
        let ids = try file.tensor(named: "checkpoint_id").doubles().map { Int($0) }
        #expect(Set(ids) == Set(members.keys))
        #expect(try file.tensor(named: "epoch").doubles().allSatisfy { $0 == 25 })
        let index = try JSONParser.parse(try String(contentsOfFile: "\(path).index.json", encoding: .utf8))
        let tensors = try #require(index["tensors"]?.array)
        #expect(tensors.reduce(0) { $0 + ($1["length"]?.int ?? 0) } == 2464)
        for (row, id) in ids.enumerated() {
            let reader = try SampleZoo.checkpoint(try #require(members[id]))
            for tensor in tensors {
                let start = row * 2464 + (try #require(tensor["offset"]?.int))
                let expected = try reader.tensor(named: try #require(tensor["name"]?.string)).floats()
                #expect(tensor["length"]?.int == expected.count)
                #expect(Array(values[start..<start + expected.count]) == expected)
            }
            #expect(index["checkpoints"]?.array?[row]["id"]?.int == id)
        }
    }

    @Test func aFolderHoldsEveryCheckpoint() throws {
        let bench = try SampleCatalog.shared.get()
        let own = try Workbench()
        let run = try bench.zoo("export", condition, "--format", "safetensors", "--to", own.file("best"), "--json")
        #expect(run.status == 0, "\(run.errors)")
        let files = try JSONParser.parse(run.output)["files"]?.array?.compactMap(\.string) ?? []
        let members = try members(bench)
        #expect(files.count == members.count)
        for file in files {
            let name = try #require(file.split(separator: "/").last)
            let id = try #require(Int(name.prefix { $0.isNumber }))
            let (copy, original) = (try SampleZoo.open(file), try SampleZoo.checkpoint(try #require(members[id])))
            #expect(Set(copy.tensorInfos) == Set(original.tensorInfos))
            for info in original.tensorInfos {
                #expect(try copy.tensor(named: info.name).isIdentical(to: original.tensor(named: info.name)))
            }
        }
    }

    @Test func tablesHoldTheRowsOfTheQuery() throws {
        let bench = try SampleCatalog.shared.get()
        let own = try Workbench()
        let columns = "id, epoch, model, nlin, lr, test_accuracy, test_loss"
        for condition in [condition, "diverged"] {
            for format in ["csv", "jsonl"] {
                let path = own.file("rows.\(format)")
                #expect(
                    try bench.zoo("export", condition, "--columns", columns, "--format", format, "--to", path).status
                        == 0)
                let printed = try bench.zoo("query", condition, "--columns", columns, "--\(format)").output
                #expect(try String(contentsOfFile: path, encoding: .utf8) == printed)
            }
        }
        let table = try String(contentsOfFile: own.file("rows.csv"), encoding: .utf8).split(separator: "\r\n")
        #expect(table.count == 19)
        #expect(table[0] == "id,epoch,model,nlin,lr,test_accuracy,test_loss")
        // Ids and epochs are whole numbers, texts have no quotes of JSON.
        #expect(table.dropFirst().allSatisfy { Int($0.prefix { $0 != "," }) != nil && $0.contains(",relu,30.0,") })
        let parquet = own.file("rows.parquet")
        #expect(try bench.zoo("export", "--format", "parquet", "--to", parquet).status == 0)
        let bytes = try Data(contentsOf: URL(fileURLWithPath: parquet))
        #expect(bytes.prefix(4) == Data("PAR1".utf8) && bytes.suffix(4) == Data("PAR1".utf8))
    }

    @Test func whatCannotBeExportedLeavesNoFile() throws {
        let bench = try SampleCatalog.shared.get()
        let own = try Workbench()
        let path = own.file("x.npz")
        let mixed = try bench.zoo("export", "--format", "npz", "--to", path)
        #expect(mixed.status == 1)
        #expect(mixed.errors.contains("have different tensors"))
        #expect(try bench.zoo("export", "zoo = 'none'", "--format", "npz", "--to", path).status == 1)
        #expect(try bench.zoo("export", "zoo = ", "--format", "csv", "--to", path).status == 64)
        #expect(try bench.zoo("export", "--format", "xls", "--to", path).status == 64)
        #expect(try bench.zoo("export", "--format", "npz", "--columns", "id", "--to", path).status == 64)
        #expect(try FileManager.default.contentsOfDirectory(atPath: own.folder.path).isEmpty)
    }
}
