import ZooBase
import ZooFormats
import ZooTensor

/// Reads what the catalog records of one checkpoint: format, layout, digest, health.
struct CheckpointProbe {
    var archive: any Archive
    var readsWeights: Bool
    var options = ReaderOptions()

    /// - Throws: what opening the member throws, with its path in front.
    func probe(_ listing: CheckpointListing, in model: ModelListing) throws -> CheckpointIngest {
        let member = listing.member
        return try ZooError.locate(member.path) {
            if !listing.shardMembers.isEmpty { return try probeShards(listing, in: model) }
            let bytes = try archive.bytes(of: member)
            var options = self.options
            options.includesOptimizer = options.includesOptimizer || listing.kind == .optimizer
            let reader = try CheckpointReaders.open(bytes, name: member.path, options: options)
            var ingest = CheckpointIngest(
                epoch: listing.epoch, path: Self.relative(member.path, to: model.path),
                offset: member.placement?.offset, storedBytes: member.placement?.byteCount,
                encoding: Self.encoding(member.placement), byteCount: bytes.count, format: type(of: reader).format,
                layout: Layout(reader.entries.map { Layout.Entry(info: $0.info, offset: $0.offset) }))
            if readsWeights {
                ingest.digest = ContentDigest.of(bytes)
                ingest.health = try Self.health(of: reader)
                bytes.releasePages()
            }
            return ingest
        }
    }

    private func probeShards(_ listing: CheckpointListing, in model: ModelListing) throws -> CheckpointIngest {
        let source = try ShardedCheckpoint(indexMember: listing.member.path, in: archive)
        var ingest = CheckpointIngest(
            epoch: listing.epoch, path: Self.relative(listing.member.path, to: model.path), offset: nil,
            storedBytes: nil, encoding: .none, byteCount: listing.shardMembers.reduce(0) { $0 + $1.byteCount },
            format: source.format,
            layout: Layout(source.tensorInfos.map { Layout.Entry(info: $0, offset: nil) }))
        if readsWeights {
            ingest.digest = try ContentDigest.of(listing.shardMembers.map { try archive.bytes(of: $0) })
            ingest.health = try Self.health(of: source)
        }
        return ingest
    }

    /// NaN before infinity: one NaN spoils everything that is computed with the weights.
    static func health(of source: some TensorSource) throws -> CheckpointHealth {
        var health = CheckpointHealth.ok
        for info in source.tensorInfos where !info.dtype.isInteger {
            let tensor = try source.tensor(named: info.name)
            guard tensor.nonFiniteCount > 0 else { continue }
            if tensor.doubles().contains(where: \.isNaN) { return .nan }
            health = .infinite
        }
        return health
    }

    private static func encoding(_ placement: ArchiveMember.Placement?) -> CheckpointEncoding {
        switch placement?.encoding {
        case .stored: .stored
        case .deflate: .deflate
        case nil: .none
        }
    }

    static func relative(_ path: String, to folder: String) -> String {
        guard !folder.isEmpty, path.hasPrefix(folder + "/") else { return path }
        return String(path.dropFirst(folder.count + 1))
    }
}
