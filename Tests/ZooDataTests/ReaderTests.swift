import Testing
import ZooBase
import ZooData
import ZooNN
import ZooTestSupport

/// Every reader against numbers computed when the fixtures were written.
@Suite struct ReaderTests {
    @Test(arguments: [
        ("idx", "idx"), ("cifar10-bin", "cifar-binary"), ("cifar100-bin", "cifar-binary"),
        ("cifar10-py", "cifar-python"), ("cifar10-py.tar.gz", "cifar-python"), ("matlab/train_32x32.mat", "matlab"),
        ("matlab/plain_32x32.mat", "matlab"), ("matlab/double_32x32.mat", "matlab"), ("matlab/flat.mat", "matlab"),
        ("matlab/test_v73.mat", "tensors"), ("named.safetensors", "tensors"), ("named.npz", "tensors"),
        ("pictures.npz", "tensors"), ("groups.h5", "tensors"), ("dataset.pt", "torch"), ("test_plain.pt", "torch"),
        ("pair.pt", "torch"), ("legacy.pt", "torch"), ("csv", "csv"), ("species.csv", "csv"), ("images", "images"),
        ("images.zip", "images"),
    ])
    func dataAreReadAsTheOracleSays(_ name: String, _ format: String) throws {
        let dataset = try StoredDataset.open(Oracle.path(name))
        #expect(dataset.format == format)
        let expected = try Oracle.splits(name)
        #expect(Set(dataset.splits.map(\.name)) == Set(expected.map(\.key)))
        for (split, facts) in expected { try compare(dataset, split, facts) }
    }

    private func compare(_ dataset: some Dataset, _ split: String, _ facts: JSONValue) throws {
        let described = try dataset.split(named: split)
        let samples = try dataset.samples(split: split)
        let shape = facts["shape"]?.array?.compactMap(\.int)
        #expect([samples.count] + samples.inputShape == shape)
        #expect([described.count] + described.inputShape == shape)
        #expect(samples.labels == facts["labels"]?.array?.compactMap { $0.int.map(Int32.init) })
        #expect(described.classNames == facts["classes"]?.array?.compactMap(\.string))
        let first = facts["first"]?.array?.compactMap { $0.double.map(Float.init) } ?? []
        #expect(zip(samples.inputs, first).allSatisfy { abs($0 - $1) <= 1e-6 * max(1, abs($1)) })
        var (sum, weighted) = (0.0, 0.0)
        for (index, value) in samples.inputs.enumerated() {
            sum += Double(value)
            weighted += Double(value) * Double(index + 1) / Double(samples.inputs.count)
        }
        let tolerance = 1e-6 * Double(samples.inputs.count)
        #expect(abs(sum - (facts["sum"]?.double ?? .nan)) <= tolerance)
        #expect(abs(weighted - (facts["weighted"]?.double ?? .nan)) <= tolerance)
    }

    @Test func picturesOfSeveralSizesNeedASize() throws {
        let path = Oracle.path("mixed")
        let text = failure { _ = try StoredDataset.open(path).samples(split: "all") }
        #expect(text.contains("pictures have several sizes: only/0.png 9×7, only/1.png 5×12"))
        #expect(text.contains("resize: [height, width]"))
        let resized = try StoredDataset.open(path, preparation: DataPreparation(resize: [6, 8]))
        for (split, facts) in try Oracle.splits("mixed") { try compare(resized, split, facts) }
    }

    @Test func filesInsideArchivesAreReached() throws {
        let inside = try StoredDataset.open(Oracle.path("inner.zip!/folder/b.npz")).samples(split: "test")
        let outside = try StoredDataset.open(Oracle.path("named.npz")).samples(split: "test")
        #expect(inside.inputs == outside.inputs && inside.labels == outside.labels)
    }

    @Test func everyReaderIsRegisteredOnce() {
        let formats = DatasetReaders.all.map { $0.format }
        #expect(Set(formats).count == formats.count)
        let text = failure {
            _ = try DatasetReaders.reader(for: .file(DataFile(name: "a", bytes: .empty)), format: "idxx")
        }
        #expect(text.contains("did you mean 'idx'?"))
    }

    @Test func texts() throws {
        #expect(
            try TextRecords.read(Oracle.path("reviews.jsonl")) == [
                .text("good", label: .index(1)), .text("bäd", label: .index(0)),
            ])
        #expect(
            try TextRecords.read(Oracle.path("pairs.jsonl")) == [
                .pair("a", "b", score: 0.5), .pair("c", "d", score: nil),
            ])
        #expect(
            try TextRecords.read(Oracle.path("triplets.jsonl")) == [
                .triplet(query: "q", positive: "p", negatives: ["n", "m"]),
                .triplet(query: "q", positive: "p", negatives: ["n"]),
            ])
    }

    @Test(arguments: [
        ("{\"text\": 1}", "t:1: 'text' is missing or no text"), ("\n[1]", "t:2: expected an object"),
        (
            "{\"text\": \"a\"}\n{\"query\": \"q\", \"positive\": \"p\"}",
            "t:2: a query with answers, but the lines before are a text"
        ),
        ("{\"text\": \"a\", \"label\": -1}", "t:1: 'label' is neither"), ("{\"words\": 1}", "found 'words'"),
        ("\n\n", "t: there are no records"), ("{\"text\": ", "t:1: "),
        ("{\"sentence1\": \"a\", \"sentence2\": \"b\", \"score\": NaN}", "'score' is no finite number"),
    ])
    func badLinesAreNamed(_ text: String, _ words: String) {
        let message = failure { _ = try TextRecords.records(Bytes(Array(text.utf8)), name: "t") }
        #expect(message.contains(words), "\(message)")
    }
}
