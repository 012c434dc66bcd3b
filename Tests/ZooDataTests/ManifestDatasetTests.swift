import Testing
import ZooBase
import ZooData
import ZooFormats
import ZooNN
import ZooTestSupport

/// Data set manifests that name files.
@Suite struct ManifestDatasetTests {
    private let head = "id: a\ntitle: t\ntask: classification\nlicence: not stated\n"

    private func open(_ text: String, preparation: String? = nil) throws -> any Dataset {
        let manifest = try DatasetManifest(yaml: head + text, file: "a.yaml")
        return try ManifestDataset.open(manifest, folder: Oracle.folder + "/", preparation: preparation)
    }

    @Test func numbersArePreparedAsStated() throws {
        let raw = try open("files: cifar10-bin\n").samples(split: "test")
        let normalised = try open(
            "files: cifar10-bin\nnormalise: {mean: [0.5, 0.25, 0], std: [0.5, 0.25, 2]}\n"
        ).samples(split: "test")
        let (mean, std): ([Float], [Float]) = ([0.5, 0.25, 0], [0.5, 0.25, 2])
        for index in stride(from: 0, to: raw.inputs.count, by: 37) {
            let channel = index / 1024 % 3
            #expect(normalised.inputs[index] == (raw.inputs[index] - mean[channel]) / std[channel])
        }
        let bytes = try open("files: cifar10-bin\nscale: 1\n").samples(split: "test")
        #expect(bytes.inputs.allSatisfy { $0 == $0.rounded() } && (bytes.inputs.max() ?? 0) > 200)
    }

    @Test func filesMayBeNamedForSplits() throws {
        let dataset = try open("files: {train: species.csv, val: csv/test.csv}\nlabels: {2: 0}\nclasses: 3\n")
        #expect(dataset.splits.map(\.name) == ["train", "val"])
        #expect(try dataset.samples(split: "val").labels == [0])
        #expect(try dataset.split(named: "train").classCount == 3)
    }

    @Test func splitsAreCarvedBySeed() throws {
        let dataset = try open("files: groups.h5\nsplits: {val: {from: train, fraction: 0.5, seed: 3}}\n")
        #expect(Set(dataset.splits.map(\.name)) == ["train", "test", "val"])
        let (rest, carved) = (try dataset.samples(split: "train"), try dataset.samples(split: "val"))
        #expect(rest.count == 3 && carved.count == 3)
        #expect(try dataset.split(named: "val").count == 3)
        let whole = try StoredDataset.open(Oracle.path("groups.h5")).samples(split: "train")
        #expect((rest.inputs + carved.inputs).sorted() == whole.inputs.sorted())
        let subset = try dataset.subset(count: 2, seed: 1)
        #expect(try subset.samples(split: "test").count == 2 && subset.split(named: "test").count == 2)
        #expect(try dataset.shuffled(seed: 1).samples(split: "test").count == 4)
    }

    @Test func preparationsAreChosenByName() throws {
        let text = """
            files: images
            preparations:
              - {name: small, input: [3, 3, 4], resize: [3, 4], mean: [0.5], std: [0.5]}
              - {name: grey, input: [1, 6, 8], channels: 1}
              - {name: wrong, input: [3, 28, 28]}

            """
        #expect(try open(text, preparation: "small").samples(split: "test").inputShape == [3, 3, 4])
        #expect(try open(text, preparation: "grey").samples(split: "test").inputShape == [1, 6, 8])
        #expect(failure { _ = try open(text, preparation: "wrong").samples(split: "test") }.contains("[3, 28, 28]"))
        #expect(failure { _ = try open(text, preparation: "gray") }.contains("did you mean 'grey'?"))
    }

    @Test(arguments: [
        ("", "names no files"), ("files: nowhere.npz\n", "nowhere.npz"),
        ("files: groups.h5\nsplits: {val: {from: trian, fraction: 0.5}}\n", "did you mean 'train'?"),
        ("files: groups.h5\nsplits: {test: {from: train, fraction: 0.5}}\n", "there is a split 'test' already"),
        ("files: groups.h5\nsplits: {val: {from: train, fraction: 1.5}}\n", "above 0 and under 1"),
        ("files: groups.h5\nscale: 0\n", "above zero"), ("files: groups.h5\nresize: [1]\n", "height and width"),
        ("files: groups.h5\nchannels: 2\n", "expected 1 or 3"),
        ("files: groups.h5\nlabels: {a: 1}\n", "no whole number"),
        ("files: groups.h5\nnormalise: {mean: [1], std: []}\n", "1 means but 0 deviations"),
        ("files: groups.h5\nformat: hdf\n", "there is no data format 'hdf'"),
        ("files: {val: groups.h5}\n", "there is no split 'val'"),
    ])
    func mistakesGetOneClearLine(_ text: String, _ words: String) {
        let message = failure { _ = try open(text) }
        #expect(message.contains(words), "\(message)")
    }
}
