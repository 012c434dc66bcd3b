import ZooBase
import ZooTensor

/// Chooses the architecture of a checkpoint: the one asked for, else the one that its configuration names, else the
/// family that names and shapes of the weights tell.
public struct ArchitectureResolver: Sendable {
    /// Architectures by name.
    public let library: [String: ArchitectureTemplate]

    /// The keys under which configurations name an architecture.
    static let nameKeys = ["model::type", "architecture", "arch", "model_type"]

    /// Creates a resolver over the architectures of a folder of files.
    public init(library: [ArchitectureTemplate] = []) {
        self.library = Dictionary(library.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    }

    /// An architecture of the library, or a bare family, by name.
    ///
    /// - Throws: `notFound` with the nearest name.
    public func template(named name: String) throws -> ArchitectureTemplate {
        if let template = library[name] { return template }
        if ArchitectureFamily.all.contains(where: { $0.name == name }) {
            return try ArchitectureTemplate(json: ["name": .string(name), "family": .string(name)])
        }
        let known = library.keys.sorted() + ArchitectureFamily.all.map(\.name)
        throw ZooError(
            .notFound, "there is no architecture '\(name)'",
            hint: NearestName.hint(name, in: known, kind: "architectures"))
    }

    /// The architecture of a checkpoint.
    ///
    /// - Parameter explicit: the one asked for; nil to choose.
    /// - Throws: `notFound` or `mismatch` when nothing fits or numbers are missing, with the candidates;
    ///   `mismatch` listing every parameter that does not fit.
    public func choose(
        _ request: ArchitectureRequest, explicit: ArchitectureTemplate? = nil
    ) throws -> ChosenArchitecture {
        if let explicit {
            try Self.check(request.settings, known: explicit.numbers, of: explicit.name)
            return ChosenArchitecture(graph: try explicit.graph(request), reason: "as asked for")
        }
        for key in Self.nameKeys {
            guard let name = request.config[key]?.string, let template = library[name] else { continue }
            try Self.check(request.settings, known: template.numbers, of: name)
            return ChosenArchitecture(graph: try template.graph(request), reason: "named by the configuration's \(key)")
        }
        let layout = TensorLayout(request.tensors)
        // A family that weights do not give away is taken at the configuration's word.
        if Self.nameKeys.contains(where: { request.config[$0]?.string == ArchitectureFamily.pinn.name }) {
            let pinn = ArchitectureFamily.pinn
            try Self.check(request.settings, known: pinn.numbers, of: pinn.name)
            let graph = try template(named: pinn.name).graph(request)
            return ChosenArchitecture(graph: graph, reason: "named by the configuration")
        }
        let families = ArchitectureFamily.all.filter { $0.matches(layout) }
        guard let family = families.first else { return try choose(amongFiles: request) }
        guard families.count == 1 else {
            let names = families.map(\.name).joined(separator: ", ")
            throw ZooError(
                .mismatch, "the weights could be of several families: \(names)", hint: "choose with --architecture NAME"
            )
        }
        try Self.check(request.settings, known: family.numbers, of: family.name)
        let graph = try family.graph(
            Self.nameKeys.lazy.compactMap { request.config[$0]?.string }.first ?? family.name, layout,
            FamilyNumbers(stated: request.settings, config: request.config, inputShape: request.inputShape))
        return ChosenArchitecture(graph: graph, reason: "family \(family.name), by names and shapes of the weights")
    }

    /// No family knows the names: the one file whose graph reads exactly these tensors.
    private func choose(amongFiles request: ArchitectureRequest) throws -> ChosenArchitecture {
        let names = Set(request.tensors.map(\.name))
        let fitting = library.values.sorted { $0.name < $1.name }.compactMap {
            template -> (graph: ArchitectureGraph, numbers: [String])? in
            guard let graph = try? template.graph(request), Set(graph.parameterNames) == names,
                (try? GraphShapes(graph, tensors: request.tensors)) != nil
            else { return nil }
            return (graph, template.numbers)
        }
        guard let chosen = fitting.first else { throw misfit(request) }
        guard fitting.count == 1 else {
            throw ZooError(
                .mismatch, "several architectures fit: \(fitting.map(\.graph.name).joined(separator: ", "))",
                hint: "choose with --architecture NAME")
        }
        try Self.check(request.settings, known: chosen.numbers, of: chosen.graph.name)
        return ChosenArchitecture(graph: chosen.graph, reason: "the one architecture file with these parameters")
    }
}
