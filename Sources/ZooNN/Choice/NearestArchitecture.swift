import ZooBase
import ZooTensor

extension ArchitectureResolver {
    /// The error for weights that no family and no file fits, with everything that keeps the nearest one from fitting: the
    /// architecture that shares most names with the weights.
    func misfit(_ request: ArchitectureRequest) -> ZooError {
        let shown = request.tensors.prefix(3).map { "'\($0.name)' \($0.shape)" }.joined(separator: ", ")
        let error = ZooError(
            .notFound, "no family and no architecture file has these parameters (\(shown), …)",
            hint: "describe the network in a file and name it with --architecture FILE")
        if let prefix = Self.commonPrefix(request.tensors), let found = unprefixed(request, prefix) {
            return ZooError(
                .notFound,
                "\(error.message); all names begin with '\(prefix)', without it they are those of '\(found)'",
                hint: "save the weights of the module inside, without '\(prefix)' in front of their names")
        }
        guard let nearest = nearest(request) else { return error }
        let wanted = nearest.graph.parameterNames.count, count = request.tensors.count
        let told = "the nearest, '\(nearest.graph.name)', shares \(nearest.shared) of \(count) names"
        // Fewer than half say that it is another network; a list of all its parameters would help nobody.
        guard nearest.shared * 2 >= min(count, wanted) else {
            return ZooError(.notFound, "\(error.message); \(told)", hint: error.hint)
        }
        var faults = ""
        do {
            let unread = try GraphShapes(nearest.graph, tensors: request.tensors).unread
            faults = "it does not read \(unread.map { "'\($0)'" }.joined(separator: ", "))"
        } catch { faults = ZooError.wrap(error).message }
        return ZooError(
            .notFound, "\(error.message); \(told): \(faults)",
            hint: "--architecture takes a name or a file that describes the network")
    }

    /// What wrappers put in front of all names (`module.`, `_orig_mod.`); nil where names begin differently.
    private static func commonPrefix(_ tensors: [TensorInfo]) -> String? {
        guard tensors.count > 1, let dot = tensors[0].name.firstIndex(of: ".") else { return nil }
        let prefix = String(tensors[0].name[...dot])
        return tensors.allSatisfy { $0.name.hasPrefix(prefix) && $0.name.count > prefix.count } ? prefix : nil
    }

    /// The architecture that all parameters fit without a prefix.
    private func unprefixed(_ request: ArchitectureRequest, _ prefix: String) -> String? {
        var inner = request
        inner.tensors = request.tensors.map { info in
            TensorInfo(name: String(info.name.dropFirst(prefix.count)), dtype: info.dtype, shape: info.shape)
        }
        guard let nearest = nearest(inner), let shapes = try? GraphShapes(nearest.graph, tensors: inner.tensors),
            shapes.unread.isEmpty
        else { return nil }
        return nearest.graph.name
    }

    /// The graph that shares most names with the weights; of equal ones the one with fewer parameters.
    private func nearest(_ request: ArchitectureRequest) -> (graph: ArchitectureGraph, shared: Int)? {
        let names = Set(request.tensors.map(\.name))
        let assumed = Self.assumed(request)
        let layout = TensorLayout(request.tensors)
        let numbers = FamilyNumbers(
            stated: assumed.settings, config: assumed.config, inputShape: assumed.inputShape)
        // A family that cannot make a graph of such weights at all is no candidate.
        let files = library.values.sorted { $0.name < $1.name }.compactMap { try? $0.graph(assumed) }
        let families = ArchitectureFamily.all.filter { $0.couldBe(layout) }
            .compactMap { try? $0.graph($0.name, layout, numbers) }
        var best: (graph: ArchitectureGraph, shared: Int)?
        for graph in files + families {
            let shared = graph.parameterNames.count { names.contains($0) }
            guard shared > 0 else { continue }
            if let best,
                best.shared > shared
                    || (best.shared == shared && best.graph.parameterNames.count <= graph.parameterNames.count)
            {
                continue
            }
            best = (graph, shared)
        }
        return best
    }

    /// The request with numbers that no parameter shows filled in, so that families need not ask for them.
    private static func assumed(_ request: ArchitectureRequest) -> ArchitectureRequest {
        var assumed = request
        let numbers = FamilyNumbers(stated: request.settings, config: request.config, inputShape: request.inputShape)
        if numbers.value("activation") == nil { assumed.settings["activation"] = "relu" }
        if numbers.value("heads") == nil { assumed.settings["heads"] = 1 }
        return assumed
    }
}

extension ArchitectureFamily {
    /// Whether comparing names with the family's means anything: perceptrons take the names they are given, so their
    /// weights must at least be matrices.
    fileprivate func couldBe(_ layout: TensorLayout) -> Bool {
        guard name == Self.mlp.name || name == Self.pinn.name else { return true }
        let weights = layout.names.filter { $0.hasSuffix(".weight") }
        return name == Self.mlp.name && !weights.isEmpty && weights.allSatisfy { layout[$0]?.count == 2 }
    }
}
