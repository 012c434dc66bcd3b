import Testing
import ZooBase
import ZooData
import ZooNN
import ZooTestSupport

/// Damaged and contradictory files end in one clear line.
@Suite struct HostileDataTests {
    @Test(arguments: [
        ("idx", ["idx/t10k-images-idx3-ubyte", "idx/t10k-labels-idx1-ubyte"]),
        ("matlab", ["matlab/train_32x32.mat", "matlab/plain_32x32.mat", "matlab/flat.mat"]),
        ("cifar-python", ["cifar10-py/test_batch"]), ("cifar-binary", ["cifar10-bin/test_batch.bin"]),
        ("torch", ["dataset.pt", "legacy.pt", "pair.pt"]), ("csv", ["csv/train.csv", "species.csv"]),
    ])
    func damagedFilesAreReadOrRefused(_ format: String, _ names: [String]) throws {
        let corpus = try names.map { try Oracle.bytes($0).array }
        let reader = try DatasetReaders.reader(for: .file(DataFile(name: "", bytes: .empty)), format: format)
        let summary = try MutationFuzzer(seed: 5, corpus: corpus).run(iterations: 400) { bytes in
            let place = DataPlace.file(DataFile(name: "damaged", bytes: bytes))
            _ = reader.accepts(place)
            let splits = try reader.splits(place, DataOptions())
            let dataset = try StoredDataset(
                name: "damaged", format: format, preparation: DataPreparation(), splits: splits)
            for split in dataset.splits { _ = try dataset.samples(split: split.name) }
        }
        #expect(summary.slowest < 5)
    }

    @Test func everyPrefixOfAnArchiveOrTextIsReadOrRefused() throws {
        for name in ["idx/train-images-idx3-ubyte.gz", "reviews.jsonl", "named.npz"] {
            let bytes = try Oracle.bytes(name)
            let folder = try TemporaryFolder()
            for length in stride(from: 0, to: bytes.count, by: 5) {
                let path = folder.file("cut-\(name.replacing("/", with: "-"))")
                try AtomicFile.write(path, bytes.prefix(length).array)
                _ = failure { _ = try StoredDataset.open(path) }
                _ = failure { _ = try TextRecords.read(path) }
            }
        }
    }

    private func csv(_ text: String, labels: String? = nil) -> String {
        failure {
            let file = DataFile(name: "a.csv", bytes: Bytes(Array(text.utf8)))
            _ = try CSVReader.splits(.file(file), DataOptions(labels: labels))
        }
    }

    @Test func linesOfTablesAreNamed() {
        #expect(csv("a,b\n1,2\n1\n") == "a.csv: line 3: 1 fields; the first row has 2")
        #expect(csv("a,b\n1,2\nnan,2\n") == "a.csv: line 3, column 1: 'nan' is no finite number")
        #expect(csv("a,b\nx,2\n").contains("line 2, column 1: 'x' is no finite number"))
        #expect(csv("a,b\n").contains("a header and no rows"))
        #expect(csv("").contains("no rows"))
        #expect(csv("a,label\n1,\n").contains("line 2: no label"))
        #expect(csv("a,label\n1,2.5\n").contains("neither a whole number nor a name"))
        #expect(csv("a,b\n\"1,2\n").contains("a quote is not closed"))
        #expect(csv("a,klass\n1,2\n", labels: "class").contains("did you mean 'klass'?"))
        #expect(csv("1\n2\n").contains("one column only"))
    }

    @Test func labelsAndShapesAreChecked() throws {
        let path = Oracle.path("named.npz")
        let few = try StoredDataset.open(path, preparation: DataPreparation(classCount: 1))
        #expect(failure { _ = try few.samples(split: "test") }.contains("there are 1 classes, from 0 on"))
        let wide = try StoredDataset.open(path, preparation: DataPreparation(mean: [0, 0, 0], std: [1, 1, 1]))
        #expect(
            failure { _ = try wide.samples(split: "test") }.contains(
                "3 means and 3 deviations for inputs of 2 channels"))
        let other = try StoredDataset.open(path, preparation: DataPreparation(inputShape: [2, 4]))
        #expect(failure { _ = try other.samples(split: "test") }.contains("the preparation states [2, 4]"))
        #expect(failure { _ = try few.samples(split: "tset") }.contains("did you mean 'test'?"))
        #expect(failure { _ = try StoredDataset.open(path, labels: "z_test") }.contains("there are no labels 'z_test'"))
    }

    @Test func unknownBytesSayWhatIsRead() throws {
        let folder = try TemporaryFolder()
        try AtomicFile.write(folder.file("a.bin"), [1, 2, 3])
        try AtomicFile.write(folder.file("b"), [])
        #expect(failure { _ = try StoredDataset.open(folder.file("a.dat")) }.contains("a.dat"))
        #expect(failure { _ = try StoredDataset.open(folder.file("b")) }.contains("the file is empty"))
        try AtomicFile.write(folder.file("c"), Array("nothing known".utf8))
        #expect(failure { _ = try StoredDataset.open(folder.file("c")) }.contains("formats read are idx, matlab"))
    }
}
