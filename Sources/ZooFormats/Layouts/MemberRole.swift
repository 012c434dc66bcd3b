/// What a member is to a zoo, by its file name.
enum MemberRole: UInt8, Sendable {
    /// Nothing that a zoo is made of.
    case other
    /// A training framework's own notes: never read.
    case bookkeeping
    /// `params.json`: a trial's settings.
    case params
    /// `config.json`: a trial's settings, a search space, or a Hugging Face config.
    case config
    /// `result.json`: one JSON object a line.
    case result
    /// `progress.csv`.
    case progress
    /// `error.txt`.
    case error
    /// `adapter_config.json`.
    case adapterConfig
    /// A checkpoint file.
    case weights
    /// An optimiser's state.
    case optimizer
    /// `*.safetensors.index.json`, `*.bin.index.json`.
    case shardIndex
    /// Any other `.json`: perhaps the settings of the file beside it.
    case sidecar
    /// A stored data set.
    case dataset
}

/// The bytes of a path or a part of one, compared without making strings.
struct PathBytes {
    let start: UnsafePointer<UInt8>
    let count: Int

    init(start: UnsafePointer<UInt8>, count: Int) {
        self.start = start
        self.count = count
    }

    init(_ buffer: Slice<UnsafeBufferPointer<UInt8>>) {
        let rebased = UnsafeBufferPointer(rebasing: buffer)
        let nothing: StaticString = ""
        self.init(start: rebased.baseAddress ?? nothing.utf8Start, count: rebased.count)
    }

    subscript(index: Int) -> UInt8 { start[index] }

    func suffix(from index: Int) -> PathBytes { PathBytes(start: start + index, count: count - index) }

    func prefix(_ length: Int) -> PathBytes { PathBytes(start: start, count: length) }

    func hasPrefix(_ text: StaticString) -> Bool {
        let length = text.utf8CodeUnitCount
        guard length <= count else { return false }
        for index in 0..<length where start[index] != text.utf8Start[index] { return false }
        return true
    }

    func hasSuffix(_ text: StaticString) -> Bool {
        let length = text.utf8CodeUnitCount
        return length <= count && suffix(from: count - length).hasPrefix(text)
    }

    static func == (left: PathBytes, right: StaticString) -> Bool {
        left.count == right.utf8CodeUnitCount && left.hasPrefix(right)
    }

    /// Equal but for the case of ASCII letters; `text` is lower case.
    func isCaseInsensitively(_ text: StaticString) -> Bool {
        guard count == text.utf8CodeUnitCount else { return false }
        for index in 0..<count {
            let byte = start[index]
            let lower = byte &- 0x41 < 26 ? byte | 0x20 : byte
            if lower != text.utf8Start[index] { return false }
        }
        return true
    }

    func lastIndex(of byte: UInt8) -> Int? {
        var index = count - 1
        while index >= 0 {
            if start[index] == byte { return index }
            index -= 1
        }
        return nil
    }

    /// The value of all bytes as decimal digits; nil for anything else and for numbers past 2³¹ - 1.
    var number: Int32? {
        guard count > 0, count <= 19 else { return nil }
        var value = 0
        for index in 0..<count {
            let digit = start[index] &- 0x30
            guard digit < 10 else { return nil }
            value = value * 10 + Int(digit)
            if value > Int(Int32.max) { return nil }
        }
        return Int32(value)
    }
}

extension MemberRole {
    /// The extensions of checkpoint files, in small letters.
    static let weightExtensions: [StaticString] = [
        "pt", "pth", "safetensors", "bin", "ckpt", "h5", "hdf5", "keras", "npz", "gguf",
    ]

    /// The role of a file name.
    ///
    /// - Parameter inCheckpointFolder: whether it lies in a `checkpoint_<digits>` folder, where the names
    ///   `checkpoint`, `model` and `weights` need no extension.
    static func of(_ name: PathBytes, inCheckpointFolder: Bool) -> MemberRole {
        guard name.count > 0, name[0] != UInt8(ascii: ".") else { return name.count > 0 ? .bookkeeping : .other }
        guard let point = name.lastIndex(of: UInt8(ascii: ".")) else {
            if name == "checkpoints" { return .weights }
            if name == "optimizer" { return .optimizer }
            guard inCheckpointFolder else { return .other }
            return name == "checkpoint" || name == "model" || name == "weights" ? .weights : .other
        }
        let ending = name.suffix(from: point + 1)
        if ending == "json" { return ofJSON(name) }
        if weightExtensions.contains(where: ending.isCaseInsensitively) || name.hasSuffix(".pth.tar") {
            return ofTensorFile(name)
        }
        if name == "progress.csv" { return .progress }
        if name == "error.txt" { return .error }
        return isBookkeeping(name, ending) ? .bookkeeping : .other
    }

    private static func ofJSON(_ name: PathBytes) -> MemberRole {
        if name == "params.json" { return .params }
        if name == "result.json" { return .result }
        if name == "config.json" { return .config }
        if name == "adapter_config.json" { return .adapterConfig }
        if name.hasSuffix(".safetensors.index.json") || name.hasSuffix(".bin.index.json") { return .shardIndex }
        if name.hasPrefix("experiment_state-") || name.hasPrefix("basic-variant-state-") { return .bookkeeping }
        return .sidecar
    }

    private static func ofTensorFile(_ name: PathBytes) -> MemberRole {
        if name.hasPrefix("dataset.") || name.hasPrefix("dataset_") { return .dataset }
        if name.hasPrefix("optimizer") || name.hasPrefix("optim.") || name.hasPrefix("optim_") { return .optimizer }
        let notes: [StaticString] = ["training_args.", "scheduler.", "scaler.", "rng_state"]
        return notes.contains(where: name.hasPrefix) ? .bookkeeping : .weights
    }

    private static func isBookkeeping(_ name: PathBytes, _ ending: PathBytes) -> Bool {
        ending == "pkl" || name.hasPrefix("events.out.tfevents.") || name.hasPrefix("trial_runner.")
    }
}
