import Testing
import ZooBase
import ZooFormats
import ZooPrune
import ZooTensor
import ZooTestSupport

@Suite struct MaskTests {
    @Test func patternKeepsTheBestOfEachGroup() throws {
        let matrix = CandidateMatrix(name: "w", rows: 1, columns: 8)
        let row = [1, -3, 2, 0.5, 4, 0, -1, 2]
        let found = try MaskSelection.select(
            [.init(matrix, row.map(abs))], sparsity: 0.5, group: .pattern(keep: 2, of: 4))
        let pruned = try #require(found.pruned["w"])
        #expect(zip(row, pruned).map { $1 ? 0 : $0 } == [0, -3, 2, 0, 4, 0, 0, 2])
        #expect(throws: ZooError.self) {
            try MaskSelection.select(
                [.init(CandidateMatrix(name: "v", rows: 1, columns: 6), [1, 2, 3, 4, 5, 6])], sparsity: 0.5,
                group: .pattern(keep: 2, of: 4))
        }
    }

    @Test(arguments: [0, 0.1, 0.29, 0.3, 0.5, 0.7])
    func exactlyTheShareGoesWithTies(sparsity: Double) throws {
        var generator = SeededGenerator(seed: 2)
        let matrices = [
            CandidateMatrix(name: "b", rows: 7, columns: 13), CandidateMatrix(name: "a", rows: 5, columns: 4),
        ]
        let list = matrices.map { matrix in
            MaskSelection.Scored(matrix, (0..<matrix.count).map { _ in Double(generator.below(4)) })
        }
        let first = try MaskSelection.select(list, sparsity: sparsity, group: .global)
        let second = try MaskSelection.select(list.reversed(), sparsity: sparsity, group: .global)
        let count = first.pruned.values.reduce(0) { $0 + $1.count { $0 } }
        #expect(count == Int((sparsity * 111 + 1e-9).rounded(.down)))
        #expect(first.pruned == second.pruned)
        for entry in list {
            let own = MaskSelection.lowest(entry.scores, PruneGroup.zeros(sparsity, of: entry.scores.count))
            #expect(own.count { $0 } == Int((sparsity * Double(own.count) + 1e-9).rounded(.down)))
        }
        let rows = try MaskSelection.select([list[0]], sparsity: sparsity, group: .row)
        let pruned = try #require(rows.pruned["b"])
        for row in 0..<7 {
            #expect((0..<13).count { pruned[row * 13 + $0] } == Int((sparsity * 13 + 1e-9).rounded(.down)))
        }
    }

    @Test func selectionIsThatOfASort() {
        var generator = SeededGenerator(seed: 9)
        for count in [1, 2, 17, 1000] {
            let scores = (0..<count).map { _ in Double(generator.below(count / 2 + 1)) }
            for wanted in [0, 1, count / 3, count - 1, count] {
                let order = scores.indices.sorted { (scores[$0], $0) < (scores[$1], $1) }
                let gone = Set(order.prefix(wanted))
                #expect(MaskSelection.lowest(scores, wanted) == scores.indices.map { gone.contains($0) })
            }
        }
    }

    @Test func noRowIsEmptiedAndNoMatrixLosesAlmostAll() throws {
        // Without guards the whole of 'low' would go: 100 of 200 weights.
        let low = CandidateMatrix(name: "low", rows: 10, columns: 10)
        let high = CandidateMatrix(name: "high", rows: 10, columns: 10)
        let found = try MaskSelection.select(
            [
                .init(low, (0..<100).map { Double($0) / 1000 }), .init(high, (0..<100).map { 1 + Double($0) }),
            ], sparsity: 0.5, group: .global)
        let pruned = try #require(found.pruned["low"]), other = try #require(found.pruned["high"])
        #expect(pruned.count { $0 } <= 95 && pruned.count { $0 } + other.count { $0 } == 100)
        for row in 0..<10 { #expect((0..<10).contains { !pruned[row * 10 + $0] }) }
        #expect(found.restoredRows >= 10)
        // A row keeps its best.
        #expect(!pruned[9] && !pruned[99])
        // Rows that were zero before stay so, and their weights are the first to go.
        var scores = (0..<100).map { 1 + Double($0) }
        for place in 0..<10 { scores[place] = -.infinity }
        let zeros = try MaskSelection.select([.init(low, scores)], sparsity: 0.1, group: .global)
        #expect(zeros.pruned["low"] == (0..<100).map { $0 < 10 } && zeros.restoredRows == 0)
    }

    @Test func scoresThatAreNoNumbersAreRefused() {
        #expect(throws: ZooError.self) {
            try MaskSelection.select(
                [.init(CandidateMatrix(name: "w", rows: 1, columns: 2), [1, .nan])], sparsity: 0.5, group: .tensor)
        }
    }

    // MARK: Files

    private var mask: PruneMask {
        PruneMask([
            .init(name: "a.weight", shape: [3, 3], pruned: (0..<9).map { $0 % 2 == 0 }),
            .init(name: "b", shape: [8], pruned: (0..<8).map { $0 == 7 }),
        ])
    }

    @Test func filesComeBackAndDamageIsTold() throws {
        let bytes = mask.bytes
        let again = try PruneMask(Bytes(bytes), name: "mask.bin")
        #expect(again == mask && again.zeroCount == 6 && again.jaccard(mask) == 1)
        for length in bytes.indices {
            #expect(throws: ZooError.self) { try PruneMask(Bytes(Array(bytes[..<length])), name: "cut") }
        }
        for place in bytes.indices {
            var damaged = bytes
            damaged[place] ^= 0x10
            #expect(throws: ZooError.self) { try PruneMask(Bytes(damaged), name: "damaged") }
        }
    }

    @Test func keptWeightsKeepTheirBits() throws {
        var state = StateDict()
        let values: [Float] = [1, -0.0, Float(bitPattern: 2141), 4, 5, .infinity, 7, 8, 9]
        state["a.weight"] = Tensor(values, shape: [3, 3])
        state["b"] = Tensor([Float](repeating: 1, count: 8), shape: [8]).converted(to: .bfloat16)
        let masked = try MaskedSource(state, mask: mask)
        let found = try masked.tensor(named: "a.weight").floats()
        for (place, value) in values.enumerated() {
            #expect(found[place].bitPattern == (place % 2 == 0 ? 0 : value.bitPattern))
        }
        #expect(try masked.tensor(named: "b").dtype == .bfloat16)
        #expect(try masked.tensor(named: "b").doubles() == [1, 1, 1, 1, 1, 1, 1, 0])
        state["b"] = nil
        #expect(throws: ZooError.self) { try MaskedSource(state, mask: mask) }
    }

    @Test func compactStorageExpandsToTheSameBits() throws {
        let folder = try TemporaryFolder()
        var generator = SeededGenerator(seed: 4)
        var state = StateDict()
        var values = (0..<4000).map { _ in Float(generator.below(1000)) / 7 }
        for place in values.indices where generator.below(10) < 7 { values[place] = 0 }
        values[3] = -0.0
        state["w"] = Tensor(values, shape: [40, 100])
        state["half"] = Tensor(values, shape: [100, 40]).converted(to: .float16)
        state["dense"] = Tensor([Float](repeating: 2, count: 100), shape: [10, 10])
        state["bias"] = Tensor([Float](repeating: 0, count: 2000), shape: [2000])
        let packed = try CompactStorage.pack(state)
        #expect(packed.state["w"] == nil && packed.state["dense"] != nil && packed.state["bias"] != nil)
        let path = folder.file("compact.safetensors")
        try SafetensorsWriter.write(packed.state, to: path, metadata: packed.metadata)
        let opened = try CheckpointFile.open(path)
        #expect(opened.format == "safetensors-compact")
        #expect(Set(opened.source.tensorInfos) == Set(state.tensorInfos))
        for name in state.names {
            let tensor = try opened.source.tensor(named: name), wanted = try state.tensor(named: name)
            #expect(tensor.isIdentical(to: wanted), "\(name)")
        }
        // Every prefix, and every byte of the header changed: an error, or tensors that are read.
        let bytes = try Bytes(mapping: path).array
        for length in stride(from: 0, to: bytes.count, by: 97) {
            #expect(throws: ZooError.self) {
                _ = try CheckpointReaders.open(Bytes(Array(bytes[..<length])), name: "cut.safetensors")
            }
        }
        for place in 0..<600 {
            var damaged = bytes
            damaged[place] ^= 0x08
            do {
                let reader = try CheckpointReaders.open(Bytes(damaged), name: "damaged.safetensors")
                for info in reader.tensorInfos { _ = try reader.tensor(named: info.name) }
            } catch is ZooError {}
        }
    }
}
