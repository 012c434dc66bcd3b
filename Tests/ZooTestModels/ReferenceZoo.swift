import Foundation
import ZooBase
import ZooFormats
import ZooNN
import ZooTensor
import ZooTestSupport

/// The sample zoos and what PyTorch computed for them.
package enum ReferenceZoo {
    /// One checkpoint with its trial's configuration.
    package struct Model: Sendable {
        package var trial: String
        package var epoch: Int
        package var config: JSONObject
        package var source: any TensorSource

        package init(trial: String, epoch: Int, config: JSONObject, source: any TensorSource) {
            self.trial = trial
            self.epoch = epoch
            self.config = config
            self.source = source
        }
    }

    /// What PyTorch found.
    package struct Expected {
        package var loss: Double?
        package var correctCount: Int
        package var count: Int

        package init?(_ json: JSONValue?) {
            guard let json, let correct = json["correct"]?.int, let count = json["n"]?.int else { return nil }
            loss = json["loss"]?.double
            correctCount = correct
            self.count = count
        }
    }

    /// The `models` of a fixture.
    package static func expected(_ zoo: String) throws -> JSONValue {
        let path = Repository.path("Tests/ZooNNTests/Fixtures/zoo_\(zoo)_eval.json")
        let json = try JSONParser.parse(Bytes(mapping: path))
        return json["models"] ?? .null
    }

    /// Every checkpoint of a Ray-Tune-shaped archive below `zoos/`.
    package static func models(_ archive: String) throws -> [Model] {
        let archive = try Archives.open(path: Repository.path("zoos/\(archive)"))
        var configs: [String: JSONObject] = [:]
        for member in archive.members where member.path.hasSuffix("/params.json") {
            let trial = member.path.split(separator: "/").dropLast().last.map(String.init) ?? ""
            configs[trial] = try JSONParser.parse(archive.bytes(of: member)).object
        }
        return try archive.members.filter { $0.path.hasSuffix("/checkpoints") }.map { member in
            let parts = member.path.split(separator: "/").map(String.init)
            let trial = parts[parts.count - 3]
            return Model(
                trial: trial, epoch: Int(parts[parts.count - 2].dropFirst("checkpoint_".count)) ?? -1,
                config: configs[trial] ?? JSONObject(),
                source: try CheckpointReaders.open(archive.bytes(of: member), name: member.path))
        }
    }

    /// The architectures under `manifests/architectures`.
    package static func resolver() throws -> ArchitectureResolver {
        ArchitectureResolver(
            library: try ArchitectureFiles.paths(in: Repository.path("manifests/architectures")).map {
                try ArchitectureTemplate(json: ArchitectureFiles.json(at: $0))
            })
    }

    /// A split of a file of samples below `zoos/`.
    package static func samples(_ file: String, _ split: String, labels: String? = nil) throws -> Samples {
        try Samples(CheckpointFile.open(Repository.path("zoos/\(file)")).source, split: split, labels: labels)
    }

    /// What differs; nil when loss (1e-5 relative) and count agree.
    package static func difference(_ result: Result<Evaluation, ZooError>, _ expected: Expected, _ what: String)
        -> String?
    {
        let found: Evaluation
        switch result {
        case .failure(let error): return "\(what): \(error)"
        case .success(let evaluation): found = evaluation
        }
        guard found.correctCount == expected.correctCount, found.count == expected.count else {
            return "\(what): \(found.correctCount) of \(found.count), expected \(expected.correctCount)"
        }
        guard let loss = expected.loss else { return found.loss.isNaN ? nil : "\(what): \(found.loss), expected NaN" }
        let isClose = abs(found.loss - loss) <= 1e-5 * abs(loss)
        return isClose ? nil : "\(what): loss \(found.loss), expected \(loss)"
    }
}
