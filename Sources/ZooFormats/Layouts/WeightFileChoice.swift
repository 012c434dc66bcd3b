import ZooBase

/// Picks the checkpoint among the files of one folder that holds one state dict, perhaps several times over.
///
/// Preferred in this order: `checkpoints`, `model.safetensors`, `pytorch_model.bin`, `adapter_model.safetensors`,
/// `adapter_model.bin`, `diffusion_pytorch_model.safetensors`, `diffusion_pytorch_model.bin` (each whole or in
/// shards), any `model.*`, any other file; then by name.
struct WeightFileChoice {
    /// The checkpoint; nil when the folder holds optimiser state only.
    var weights: FoundCheckpoint?
    /// Its rank among the preferred names; `unnamed` for an arbitrary file name.
    var rank = Self.unnamed
    var optimizers: [MemberID] = []
    /// Other weight files, not listed: the same weights in another format, an average beside them.
    var others: [MemberID] = []
    /// What is wrong: missing shards.
    var problem: String?

    static let preferred = [
        "checkpoints", "model.safetensors", "pytorch_model.bin", "adapter_model.safetensors", "adapter_model.bin",
        "diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin",
    ]
    static let modelStem = preferred.count
    static let unnamed = preferred.count + 1

    /// One file of the most preferred name.
    init(usual file: IndexedFile, optimizers: [MemberID]) {
        weights = FoundCheckpoint(file.member, epoch: file.epoch, kind: .weights)
        rank = 0
        self.optimizers = optimizers
    }

    init(_ files: [IndexedFile], in index: MemberIndex) {
        var groups: [String: Group] = [:]
        for file in files {
            switch file.role {
            case .optimizer: optimizers.append(file.member)
            case .weights, .shardIndex: Self.place(file, in: index, &groups)
            default: break
            }
        }
        let ordered = groups.filter { $0.value.isUsable }
            .sorted { (Self.rank($0.key), $0.key) < (Self.rank($1.key), $1.key) }
        for group in groups.values where !group.isUsable { problem = "a shard index without its shards" }
        guard let (name, chosen) = ordered.first.map({ ($0.key, $0.value) }) else { return }
        rank = Self.rank(name)
        weights = chosen.checkpoint(epoch: files.first?.epoch ?? -1)
        problem = chosen.problem ?? problem
        for (_, group) in ordered.dropFirst() { others += group.whole.map { [$0] } ?? group.shards.map(\.member) }
    }

    private static func place(_ file: IndexedFile, in index: MemberIndex, _ groups: inout [String: Group]) {
        let name = String(index.name(file.member))
        if file.role == .shardIndex {
            groups[String(name.dropLast(".index.json".count)), default: Group()].index = file.member
        } else if let shard = ShardFileName(name) {
            groups[shard.whole, default: Group()].shards.append((shard.number, shard.total, file.member))
        } else {
            groups[name, default: Group()].whole = file.member
        }
    }

    private static func rank(_ name: String) -> Int {
        preferred.firstIndex(of: name) ?? (name.hasPrefix("model.") ? modelStem : unnamed)
    }

    /// The files of one name: `model.safetensors`, its index, its shards.
    private struct Group {
        var whole: MemberID?
        var index: MemberID?
        var shards: [(number: Int, total: Int, member: MemberID)] = []

        var isUsable: Bool { whole != nil || !shards.isEmpty }

        func checkpoint(epoch: Int32) -> FoundCheckpoint {
            if let whole { return FoundCheckpoint(whole, epoch: epoch, kind: .weights) }
            let ordered = shards.sorted { $0.number < $1.number }.map(\.member)
            return FoundCheckpoint(index ?? ordered[0], epoch: epoch, kind: .weights, shards: ordered)
        }

        var problem: String? {
            guard whole == nil, let total = shards.first?.total else { return nil }
            let numbers = Set(shards.map(\.number))
            if shards.contains(where: { $0.total != total }) { return "shards of different totals" }
            if numbers.count < shards.count { return "a shard is there twice" }
            if numbers.count < total { return "\(numbers.count) of \(total) shards are there" }
            return index == nil ? "shards without their index" : nil
        }
    }
}

/// `model-00001-of-00003.safetensors` taken apart.
struct ShardFileName {
    /// `model.safetensors`.
    var whole: String
    var number: Int
    var total: Int

    /// Nil for a name of another form.
    init?(_ name: String) {
        guard let of = name.ranges(of: "-of-").last else { return nil }
        let head = name[..<of.lowerBound]
        let tail = name[of.upperBound...]
        guard let dash = head.lastIndex(of: "-"), let point = tail.firstIndex(of: "."),
            let number = Self.digits(head[head.index(after: dash)...]), let total = Self.digits(tail[..<point])
        else { return nil }
        whole = String(head[..<dash]) + tail[point...]
        self.number = number
        self.total = total
    }

    private static func digits(_ text: Substring) -> Int? {
        text.utf8.count <= 9 && text.utf8.allSatisfy { 0x30...0x39 ~= $0 } ? Int(text) : nil
    }
}
