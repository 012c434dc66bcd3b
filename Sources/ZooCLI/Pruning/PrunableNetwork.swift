import ZooBase
import ZooCatalog
import ZooFormats
import ZooNN
import ZooPrune
import ZooTensor

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// A network that is pruned, as a folder or a file.
struct PrunableNetwork {
    let label: String
    let graph: ArchitectureGraph
    let source: any TensorSource
    /// The folder with configuration and tokenizer; nil for a file of its own.
    let folder: String?

    /// Opens a network whose graph is known.
    init(label: String, graph: ArchitectureGraph, session: Session) throws {
        let selected = try SelectorResolver(catalogPath: session.catalogPath).resolveOne(label)
        self.init(label: label, graph: graph, source: try selected.open(), place: selected.place ?? label)
    }

    /// Opens a network and finds its graph: of texts with the tokenizer beside it, or of samples.
    init(
        _ selector: String, architecture: String?, settings: [String], inputShape: [Int]?, _ session: Session
    ) throws {
        let selected = try SelectorResolver(catalogPath: session.catalogPath).resolveOne(selector)
        let source = try selected.open()
        let known = try ArchitectureLibrary(session, explicit: architecture, settings: settings)
        let beside = try TextModel.configuration(beside: selected.place ?? selected.label)
        let chosen = try known.architecture(
            of: selected, tensors: source.tensorInfos, inputShape: inputShape ?? [], beside: beside)
        self.init(label: selected.label, graph: chosen.graph, source: source, place: selected.place ?? selected.label)
    }

    init(label: String, graph: ArchitectureGraph, source: any TensorSource, place: String) {
        self.label = label
        self.graph = graph
        self.source = source
        folder = MergeModels.isFolder(place) ? place : nil
    }

    /// What the matrices hold: scores are of one network alone.
    ///
    /// - Throws: what reading throws.
    func digest(of names: [String]) throws -> String {
        ContentDigest.of(try names.map { try source.tensor(named: $0).bytes })
    }

    /// Configuration; nil without one.
    func config() throws -> JSONObject? {
        guard let folder else { return nil }
        let path = folder + "/config.json"
        guard MergeModels.isReadable(path) else { return nil }
        return try ZooError.locate(path) { try JSONParser.parse(Bytes(mapping: path)).object }
    }

    /// Files beside the weights that belong to the network: tokenizer, pooling, how sentences are read.
    private static let companions =
        HuggingFaceFolder.companionNames + [
            "modules.json", "sentence_bert_config.json", "config_sentence_transformers.json", "1_Pooling/config.json",
        ]

    /// Writes a network made of this one: weights, configuration, companions and what pruning has to say.
    ///
    /// - Parameters:
    ///   - config: the configuration in place of the network's own.
    ///   - json: goes into `prune.json`.
    func write(
        _ state: any TensorSource, to target: String, mask: PruneMask?, config: JSONObject? = nil, json: JSONObject,
        replacing: Bool, session: Session
    ) throws {
        if let folder, let real = realpath(target, nil), let own = realpath(folder, nil) {
            defer {
                free(real)
                free(own)
            }
            guard strcmp(real, own) != 0 else {
                throw ZooError(.usage, "\(target) is the network itself", hint: "write to another folder")
            }
        }
        var output = HuggingFaceFolder()
        output.jobs = session.jobs
        if let config = try config ?? self.config() {
            output.files.append(("config.json", .text(JSONValue.object(config).text(indent: 2) + "\n")))
        }
        if let folder {
            for name in Self.companions where MergeModels.isReadable("\(folder)/\(name)") {
                output.files.append((name, .copy(of: "\(folder)/\(name)")))
            }
        }
        if let mask { output.files.append(("mask.bin", .bytes(mask.bytes))) }
        output.files.append(("prune.json", .text(JSONValue.object(json).text(indent: 2) + "\n")))
        _ = try output.write(state, to: target, replacing: replacing)
    }
}

/// A folder of scores, the network they are of, and its matrices.
struct ScoredNetwork {
    let folder: ScoreFolder
    let network: PrunableNetwork

    /// Opens both and checks that they belong together.
    ///
    /// - Throws: `mismatch` when the network has changed since it was scored.
    init(_ path: String, model: String?, _ session: Session) throws {
        folder = try ScoreFolder(path)
        guard let label = model ?? folder.json["model"]?.string, let architecture = folder.json["architecture"] else {
            throw ZooError(.corrupt, "\(path)/scores.json names no model")
        }
        let graph = try ZooError.locate(path + "/scores.json") { try ArchitectureGraph(json: architecture) }
        network = try PrunableNetwork(label: label, graph: graph, session: session)
        let names = folder.json["scored"]?.array?.compactMap(\.string) ?? []
        let present = Set(network.source.tensorInfos.map(\.name))
        guard let missing = names.first(where: { !present.contains($0) }) else {
            let found = try network.digest(of: names)
            guard found == folder.json["model_digest"]?.string else {
                throw ZooError(
                    .mismatch, "\(label) is not the network that \(path) scored: its weights differ",
                    hint: "run 'zoo prune score' again, or name the scored network with --model")
            }
            return
        }
        throw ZooError(.mismatch, "\(label) has no tensor '\(missing)', which \(path) scored")
    }

    /// The matrices of a kind of layers, all with scores.
    func matrices(_ layers: PruneLayers?) throws -> [CandidateMatrix] {
        let stated = folder.json["default_layers"]?.string.flatMap(PruneLayers.init)
        let list = try CandidateMatrix.all(
            of: network.graph, tensors: network.source.tensorInfos, layers: layers ?? stated ?? .linear)
        if let missing = list.first(where: { !folder.covers($0.name) }) {
            throw ZooError(
                .notFound, "\(folder.path) has no scores of '\(missing.name)'",
                hint: "run 'zoo prune score --layers linear'")
        }
        return list
    }

    func statistics(_ matrices: [CandidateMatrix]) -> PruneStatistics {
        let source = network.source, folder = folder
        return PruneStatistics(
            matrices, weights: { try source.tensor(named: $0).floats() },
            statistic: { try folder.values($0, $1, of: $2) })
    }
}
