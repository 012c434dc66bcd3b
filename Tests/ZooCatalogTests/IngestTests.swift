import Testing
import ZooBase
import ZooCatalog
import ZooTensor
import ZooTestSupport

@Suite struct IngestTests {
    private func checkpoint(_ epoch: Int?, digest: String? = nil, path: String? = nil) -> CheckpointIngest {
        CheckpointIngest(
            epoch: epoch, path: path ?? "checkpoint_\(epoch ?? 0)", offset: 10, storedBytes: 20, encoding: .deflate,
            byteCount: 30, format: "pytorch", layout: RandomZoo.layout, digest: digest, health: .ok)
    }

    private func model(_ zoo: Int64, _ source: Int64, _ name: String, digest: String = "a") -> ModelIngest {
        ModelIngest(
            zoo: zoo, source: source, name: name, path: "exp/\(name)", config: JSONObject([("lr", .double(0.1))]),
            results: [
                ResultRow(epoch: 0, values: EpochValues(testAccuracy: 0.1), extras: [("x", .nan)]),
                ResultRow(epoch: 5, values: EpochValues(testAccuracy: 0.4)),
                ResultRow(epoch: 5, values: EpochValues(testAccuracy: 0.5)),
            ],
            checkpoints: [checkpoint(5, digest: digest), checkpoint(0, digest: digest)])
    }

    @Test func indexingTwiceGivesTheSame() throws {
        let folder = try TemporaryFolder()
        let catalog = try Catalog.openOrCreate(folder.file("c.sqlite"))
        let writer = try catalog.writer()
        let zoo = try writer.upsert(ZooRecord(name: "z"))
        let source = SourceRecord(path: "z.zip", kind: "zip", byteCount: 100, modified: 1)
        let first = try writer.begin(source)
        #expect(!first.isComplete && first.completedModels.isEmpty)
        let id = try writer.ingest(model(zoo, first.id, "a"))
        try writer.commit()
        let ids = try catalog.checkpoints(of: id).map(\.id)
        try writer.record([
            MetricRow(checkpoint: ids[0], name: "m", value: 1),
            MetricRow(checkpoint: ids[1], other: ids[0], name: "d", value: .nan),
        ])
        try writer.record([MetricRow(checkpoint: ids[0], name: "m", value: 2)])
        #expect(try writer.ingest(model(zoo, first.id, "a")) == id)
        try writer.ingest(model(zoo, first.id, "b"))
        let again = try writer.begin(source)
        #expect(!again.isComplete && again.completedModels == ["exp/a\0a", "exp/b\0b"])
        try writer.finish(first.id)
        #expect(try writer.begin(source).isComplete)
        #expect(try catalog.checkpoints(of: id).map(\.id) == ids)
        #expect(
            try catalog.counts()
                == CatalogCounts(sources: 1, zoos: 1, models: 2, checkpoints: 4, layouts: 1, metrics: 2))
        #expect(try catalog.metrics(of: ids[0]).map(\.value).first { !$0.isNaN } == 2)
        #expect(try catalog.metrics(of: ids[0]).contains { $0.value.isNaN && $0.other == ids[0] })
        #expect(try catalog.history(of: id).map(\.values.testAccuracy) == [0.1, 0.5])
        #expect(try catalog.history(of: id)[0].extras.first?.value.isNaN == true)
    }

    @Test func aRecorderKeepsWhatWasMeasuredAndHow() throws {
        let folder = try TemporaryFolder()
        let catalog = try Catalog.openOrCreate(folder.file("c.sqlite"))
        let writer = try catalog.writer()
        let zoo = try writer.upsert(ZooRecord(name: "z"))
        let source = try writer.begin(SourceRecord(path: "z.zip", kind: "zip", byteCount: 100, modified: 1))
        let id = try writer.ingest(model(zoo, source.id, "a"))
        try writer.commit()
        let ids = try catalog.checkpoints(of: id).map(\.id)
        let recorder = try MetricRecorder(writer, .now(command: "zoo eval", seed: 7, dataset: "digits"))
        try recorder.record("loss", of: ids[0], value: 0.5, error: 0.1)
        try recorder.record("loss", of: ids[1], value: .nan)
        try recorder.record("distance", of: ids[0], and: ids[1], value: 3)
        try recorder.finish(seconds: 2)
        #expect(recorder.count == 3)
        let later = try MetricRecorder(writer, .now(command: "zoo eval again"))
        try later.record("loss", of: ids[0], value: 0.25)
        try later.finish()
        #expect(try catalog.metricNames() == ["distance", "loss"])
        let losses = try catalog.metrics(named: "loss", of: ids)
        #expect(losses[ids[0]]?.value == 0.25 && losses[ids[0]]?.run == later.run)
        #expect(losses[ids[1]]?.value.isNaN == true && losses[ids[1]]?.run == recorder.run)
        #expect(try catalog.pairMetrics(named: "distance", among: ids).map(\.value) == [3])
        #expect(try catalog.pairMetrics(named: "distance", among: [ids[0]]).isEmpty)
        #expect(try catalog.metrics(named: "distance", of: ids).isEmpty)
        let run = try catalog.run(recorder.run)
        #expect(run.command == "zoo eval" && run.seed == 7 && run.dataset == "digits" && run.seconds == 2)
        #expect(run.started.count == 20 && run.started.hasSuffix("Z"))
        #expect(try catalog.configs(of: [id, 999]).keys.sorted() == [id])
        #expect(try catalog.configs(of: [id])[id] == catalog.model(id).config)
    }

    @Test func changedSourceIsReadAgainAndWhatVanishedGoes() throws {
        let folder = try TemporaryFolder()
        let catalog = try Catalog.openOrCreate(folder.file("c.sqlite"))
        let writer = try catalog.writer()
        let zoo = try writer.upsert(ZooRecord(name: "z"))
        var source = SourceRecord(path: "z.zip", kind: "zip", byteCount: 100, modified: 1)
        let id = try writer.begin(source).id
        let kept = try writer.ingest(model(zoo, id, "a"))
        try writer.ingest(model(zoo, id, "b"))
        try writer.skip("exp/bad", reason: "truncated", in: id)
        try writer.finish(id)
        let checkpoints = try catalog.checkpoints(of: kept)
        try writer.record(checkpoints.map { MetricRow(checkpoint: $0.id, name: "m", value: 1) })
        #expect(try catalog.skipped(in: id).count == 1)

        source.modified = 2
        let progress = try writer.begin(source)
        #expect(progress.id == id && !progress.isComplete && progress.completedModels.isEmpty)
        var changed = model(zoo, id, "a")
        changed.checkpoints[0].digest = "other"
        #expect(try writer.ingest(changed) == kept)
        try writer.finish(id)
        let after = try catalog.checkpoints(of: kept)
        #expect(after.map(\.id) == checkpoints.map(\.id))
        // Epoch 0 is what it was; what was measured on epoch 5 was measured on other weights.
        #expect(try catalog.metrics(of: after[0].id).count == 1)
        #expect(try catalog.metrics(of: after[1].id).isEmpty)
        #expect(try catalog.counts().models == 1)
        #expect(try catalog.counts().checkpoints == 2)
        #expect(try catalog.skipped(in: id).isEmpty)
    }

    @Test func failedModelLeavesNothing() throws {
        let folder = try TemporaryFolder()
        let catalog = try Catalog.openOrCreate(folder.file("c.sqlite"))
        let writer = try catalog.writer()
        let zoo = try writer.upsert(ZooRecord(name: "z"))
        let source = try writer.begin(SourceRecord(path: "z", kind: "folder")).id
        var huge = model(zoo, source, "huge")
        for index in 0...ConfigRows.maximumKeys { huge.config["key\(index)"] = 1 }
        #expect(throws: ZooError.self) { try writer.ingest(huge) }
        #expect(throws: ZooError.self) { try writer.ingest(model(zoo, 999, "orphan")) }
        try writer.ingest(model(zoo, source, "good"))
        try writer.finish(source)
        try writer.close()
        #expect(try catalog.run(Query(from: .models, columns: ["model"])).rows == [[.string("good")]])
        #expect(try catalog.sql("SELECT count(*) FROM config_key").rows == [[.int(1)]])
        #expect(
            try catalog.sql("PRAGMA foreign_key_check".isEmpty ? "" : "SELECT count(*) FROM checkpoint").rows == [
                [.int(2)]
            ])
    }

    @Test func indexesPutOffInALargeLoadAreBuilt() throws {
        let folder = try TemporaryFolder()
        let catalog = try Catalog.openOrCreate(folder.file("c.sqlite"))
        let count = "SELECT count(*) FROM sqlite_master WHERE type = 'index'"
        let before = try catalog.sql(count).rows
        let writer = try catalog.writer()
        writer.bulkThreshold = 6
        let zoo = try writer.upsert(ZooRecord(name: "z"))
        let source = try writer.begin(SourceRecord(path: "z", kind: "folder")).id
        for number in 0..<10 { try writer.ingest(model(zoo, source, "m\(number)")) }
        try writer.finish(source)
        // As a reader finds it after a kill: fewer indexes, the same answers.
        let deferred = try catalog.sql("SELECT count(*) FROM deferred_index").rows[0][0].int ?? 0
        #expect(deferred > 20)
        let query = Query(where: "epoch = 5 and lr = 0.1", columns: ["id"], sort: ["-test_accuracy"], limit: 4)
        let early = try catalog.run(query).rows
        try writer.close()
        #expect(try catalog.sql("SELECT count(*) FROM deferred_index").rows == [[.int(0)]])
        #expect(try catalog.sql(count).rows == before)
        #expect(try catalog.run(query).rows == early && early.count == 4)
    }

    @Test func rollbackForgetsInternedRowsToo() throws {
        let folder = try TemporaryFolder()
        let catalog = try Catalog.openOrCreate(folder.file("c.sqlite"))
        let writer = try catalog.writer()
        let zoo = try writer.upsert(ZooRecord(name: "z"))
        let source = try writer.begin(SourceRecord(path: "z", kind: "folder")).id
        try writer.ingest(model(zoo, source, "lost"))
        try writer.rollback()
        try writer.ingest(model(zoo, source, "kept"))
        try writer.finish(source)
        #expect(try catalog.counts().models == 1)
        #expect(try catalog.counts().layouts == 1)
        #expect(try catalog.run(Query(where: "lr = 0.1 and x is null")).rows.count == 1)
    }

    @Test func selectorsFindCheckpoints() throws {
        let folder = try TemporaryFolder()
        let catalog = try Catalog.openOrCreate(folder.file("c.sqlite"))
        let writer = try catalog.writer()
        let zoos = try ["y", "z"].map { try writer.upsert(ZooRecord(name: $0)) }
        let source = try writer.begin(SourceRecord(path: "z", kind: "folder")).id
        try writer.ingest(model(zoos[1], source, "a"))
        var twin = model(zoos[0], source, "a")
        twin.path = "other/a"
        try writer.ingest(twin)
        try writer.ingest(
            ModelIngest(
                zoo: zoos[0], source: source, name: "lone", path: "", checkpoints: [checkpoint(nil, path: "w.st")]))
        try writer.finish(source)
        #expect(try catalog.resolve("z/a@0").first?.member == "exp/a/checkpoint_0")
        #expect(try catalog.resolve("other/a@best").first?.epoch == 5)
        #expect(try catalog.resolve("y/a").first?.epoch == 5)
        #expect(try catalog.resolve("lone@best").first?.member == "w.st")
        #expect(try catalog.resolve("where:lr = 0.1 and epoch = 0").count == 2)
        let id = try catalog.resolve("y/a@last")[0].id
        #expect(try catalog.resolve("\(id)")[0].id == id)
        for (text, code) in [
            ("a@0", ZooError.Code.usage), ("z/a@3", .notFound), ("z/a@x", .usage), ("999999", .notFound),
            ("b", .notFound),
            ("where:lr = 7", .notFound), ("where:lr <", .usage),
        ] {
            do {
                _ = try catalog.resolve(text)
                Issue.record("'\(text)' was found")
            } catch let error as ZooError {
                #expect(error.code == code, "\(text): \(error)")
            }
        }
        #expect(try catalog.layout(catalog.resolve("lone")[0].layoutID ?? 0) == RandomZoo.layout)
    }

    @Test func layoutsAreTold() {
        let other = Layout([Layout.Entry(info: TensorInfo(name: "x", dtype: .float32, shape: [2, 3]), offset: 64)])
        var entries = RandomZoo.layout.entries
        entries[0].info.name = "renamed"
        #expect(Layout(entries).structure == RandomZoo.layout.structure)
        #expect(Layout(entries).signature != RandomZoo.layout.signature)
        #expect(other.structure != RandomZoo.layout.structure)
        #expect(RandomZoo.layout.parameterCount == 8)
        let vast = TensorInfo(name: "v", dtype: .complex128, shape: [1 << 56])
        #expect(Layout((0..<40).map { _ in Layout.Entry(info: vast, offset: nil) }).byteCount == .max)
    }

    @Test(arguments: [
        ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
        ),
    ])
    func digestsAreSHA256(_ text: String, _ digest: String) {
        #expect(ContentDigest.full(Bytes(Array(text.utf8))) == digest)
    }

    @Test func gapsAreFound() {
        #expect(Catalog.gaps([0, 5, 10, 20, 25]) == [15])
        #expect(Catalog.gaps([0, 1, 2, 5]) == [3, 4])
        #expect(Catalog.gaps([0, 50]) == [])
        #expect(Catalog.gaps([]) == [])
    }

    @Test func verifyHelpersFindProblems() throws {
        let folder = try TemporaryFolder()
        let catalog = try Catalog.openOrCreate(folder.file("c.sqlite"))
        let writer = try catalog.writer()
        let zoo = try writer.upsert(ZooRecord(name: "z"))
        let source = try writer.begin(SourceRecord(path: "z", kind: "folder")).id
        var model = model(zoo, source, "a", digest: "same")
        model.checkpoints += [1, 2, 4].map { (epoch: Int) in checkpoint(epoch, digest: "d\(epoch)") }
        model.checkpoints[4].health = .nan
        let id = try writer.ingest(model)
        try writer.finish(source)
        #expect(try catalog.duplicates().map(\.checkpoints.count) == [2])
        #expect(try catalog.unhealthyCheckpoints().map(\.epoch) == [4])
        let missing = try catalog.missingEpochs()
        #expect(missing.count == 1 && missing.first?.model == id && missing.first?.epochs == [3])
    }

    @Test func runsAndLineageAreKept() throws {
        let folder = try TemporaryFolder()
        let catalog = try Catalog.openOrCreate(folder.file("c.sqlite"))
        let writer = try catalog.writer()
        let zoo = try writer.upsert(ZooRecord(name: "z"))
        let source = try writer.begin(SourceRecord(path: "z", kind: "folder")).id
        let id = try writer.ingest(model(zoo, source, "a"))
        let record = RunRecord(
            command: "zoo average", seed: 3, dataset: "digits", toolVersion: "1", started: "2026-01-01T00:00:00Z")
        let run = try writer.record(record)
        try writer.commit()
        let ids = try catalog.checkpoints(of: id).map(\.id)
        try writer.record([LineageRow(child: ids[1], parent: ids[0], role: "ingredient", coefficient: 0.5, run: run)])
        try writer.finish(run: run, seconds: 2)
        try writer.close()
        #expect(try catalog.lineage(of: ids[1]).parents.map(\.coefficient) == [0.5])
        #expect(try catalog.lineage(of: ids[0]).children.map(\.child) == [ids[1]])
        #expect(try catalog.run(run).dataset == "digits")
        #expect(try catalog.run(run).seconds == 2)
    }
}
