import ZooBase
import ZooNN
import ZooTensor

extension TrainingData {
    /// The splits with their samples, the training data first.
    var all: [Samples] { [train, validation, test].compactMap(\.self) }

    /// What the splits have in common, whatever the trial.
    ///
    /// - Throws: `mismatch` for a split whose samples have other extents than the training data, or none of whose labels
    ///   are known.
    func check() throws {
        for samples in all {
            guard !samples.labels.isEmpty else {
                throw ZooError(.mismatch, "\(samples.origin): there are no labels; training needs them")
            }
            guard samples.inputShape == train.inputShape else {
                throw ZooError(
                    .mismatch,
                    "\(samples.origin): samples have the extents \(samples.inputShape), those of \(train.origin) "
                        + "\(train.inputShape)")
            }
        }
    }

    /// What a trial asks of the data.
    ///
    /// - Parameters:
    ///   - outputs: the network's classes; nil where the weights will tell.
    ///   - present: how many samples each split of `all` has of each label.
    /// - Throws: `usage` for a class that the training data do not have; `mismatch` for a label without an output, a split
    ///   without any of the classes, transforms and augmentations that do not fit the samples.
    func check(_ settings: TrialSettings, outputs: Int?, present: [[Int32: Int]]) throws {
        for transform in settings.transforms { try transform.check(shape: train.inputShape) }
        try settings.augmentation.check(shape: train.inputShape)
        if let classes = settings.classes {
            for label in classes where present[0][Int32(clamping: label)] == nil {
                let known = present[0].keys.sorted().map(String.init)
                let shown = known.prefix(20).joined(separator: ", ") + (known.count > 20 ? ", …" : "")
                throw ZooError(
                    .usage, "classes: \(train.origin) has no sample of class \(label); its classes are \(shown)")
            }
            for (samples, labels) in zip(all, present) where !classes.contains(where: { labels[Int32($0)] != nil }) {
                throw ZooError(.mismatch, "\(samples.origin): there is no sample of the classes \(classes)")
            }
        }
        // With `relabel` the classes count from zero, and there are as many outputs.
        guard let outputs, !settings.isRelabelled else { return }
        let chosen = settings.classes.map { Set($0.map { Int32($0) }) }
        for (samples, labels) in zip(all, present) {
            guard let label = labels.keys.filter({ $0 >= outputs && chosen?.contains($0) ?? true }).min(),
                let position = samples.labels.firstIndex(of: label)
            else { continue }
            throw ZooError(
                .mismatch,
                "\(samples.origin): the label of sample \(position): expected a class from 0 to \(outputs - 1), as "
                    + "\(train.origin) has them, found \(label)",
                hint: "'classes' chooses classes; 'classes: N' of the architecture makes more outputs")
        }
    }

    /// What tells these data from others, for `params.json`: the splits' names and fingerprints.
    func identity(_ names: TrainingManifest.Data) -> JSONObject {
        var identity = JSONObject()
        for (key, name, samples) in [
            ("train", names.train, train), ("val", names.validation, validation), ("test", names.test, test),
        ] {
            guard let samples else { continue }
            identity["dataset::\(key)_split"] = .string(name ?? key)
            identity["dataset::\(key)_fingerprint"] = .string(samples.fingerprint)
        }
        return identity
    }
}

extension TensorSource {
    /// 64 bits that tell these tensors from others, in hexadecimal: FNV-1a over names, shapes and bytes in the order of the
    /// names. It recognises equal weights and is no protection against made-up ones.
    func fingerprint() throws -> String {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        func mix(_ word: UInt64) { hash = (hash ^ word) &* 0x100_0000_01B3 }
        for info in tensorInfos.sorted(by: { $0.name < $1.name }) {
            try Cancellation.check()
            for byte in info.name.utf8 { mix(UInt64(byte)) }
            for extent in info.shape.dimensions { mix(UInt64(extent)) }
            try tensor(named: info.name).bytes.withUnsafeBytes { bytes in
                let words = bytes.count / 8
                for place in 0..<words { mix(bytes.loadUnaligned(fromByteOffset: place * 8, as: UInt64.self)) }
                for byte in bytes[(words * 8)...] { mix(UInt64(byte)) }
            }
        }
        let digits = String(hash, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}
