import ZooBase
import ZooTensor

/// Works a recipe out tensor by tensor.
struct PlanBuilder {
    var plan: MergePlan

    /// A source of a slice with its model opened.
    private struct Entry {
        var input: Int
        var layers: Range<Int>?
        var parameters: ParameterSet
        var isBase = false
        /// The base joined by itself and has no parameters.
        var isImplicit = false
    }

    private struct Slice {
        var entries: [Entry]
        var parameters: ParameterSet
        var module: ParameterSet
        var base: Int?
    }

    private(set) var byReference: [ModelReference: [Int]] = [:]
    private(set) var infos: [[String: TensorInfo]] = []
    /// Plans of embeddings by their members.
    var rowPlans: [[VocabularyPlan.Member]: RowPlan] = [:]
    private var counts: [[String: Int]] = []
    private var listed: [String: Int] = [:]
    /// Parameters, with their models, whose values were found unusable.
    private var misfits: Set<String> = []
    /// Problems of one kind past this many are counted, not listed.
    private static let most = 20

    init(_ plan: MergePlan) { self.plan = plan }

    mutating func problem(_ text: String, kind: String = "") {
        listed[kind, default: 0] += 1
        if kind.isEmpty || listed[kind, default: 0] <= Self.most { plan.problems.append(text) }
    }

    mutating func build(_ resolve: MergeInputResolver) throws {
        var slices: [String: [Slice]] = [:]
        for module in plan.recipe.modules {
            slices[module.name] = try module.slices.map { try open($0, module, resolve) }
        }
        guard plan.problems.isEmpty else { return }
        checkArchitectures()
        planVocabulary()
        planChatTemplate()
        for module in plan.recipe.modules { plan(module: module.name, slices[module.name] ?? []) }
        checkTrims()
        plan.tensors.sort { $0.call.info.name.utf8.lexicographicallyPrecedes($1.call.info.name.utf8) }
        for (kind, count) in listed.sorted(by: { $0.key < $1.key }) where !kind.isEmpty && count > Self.most {
            plan.problems.append("\(count - Self.most) more \(kind)")
        }
        if plan.tensors.isEmpty, plan.problems.isEmpty { problem("the models have no tensor in common") }
        planStatistics()
    }

    /// Trims over whole models have one density for a model.
    private mutating func checkTrims() {
        var densities: [Int: Set<Double>] = [:]
        for tensor in plan.tensors where ModelTrims.applies(to: tensor.call) {
            for member in tensor.call.others.map({ tensor.call.members[$0] }) {
                densities[member.model, default: []].insert(member.parameters.number("density"))
            }
        }
        for (model, values) in densities.sorted(by: { $0.key < $1.key }) where values.count > 1 {
            problem(
                "trim_scope: model takes one density for all tensors of a model, \(plan.inputs[model].label) has "
                    + "\(values.count)")
        }
    }

    /// Models of different architectures have nothing in common but names.
    private mutating func checkArchitectures() {
        guard !plan.options.mixesArchitectures else { return }
        var found: [(name: String, label: String)] = []
        for input in plan.inputs {
            guard let config = input.config else { continue }
            let kinds = config["architectures"]?.array?.compactMap(\.string) ?? []
            guard let name = kinds.first ?? config["model_type"]?.string else { continue }
            if !found.contains(where: { $0.name == name }) { found.append((name, input.label)) }
        }
        guard found.count > 1 else { return }
        let list = found.map { "\($0.label) is \($0.name)" }.joined(separator: ", ")
        problem("the models have different architectures: \(list); merge them all the same with --allow-crimes")
    }

    // MARK: Models

    private mutating func open(_ reference: ModelReference, _ resolve: MergeInputResolver) -> [Int] {
        if let known = byReference[reference] { return known }
        var found: [Int] = []
        do {
            for input in try resolve(reference) {
                var names: [String: TensorInfo] = [:]
                for info in input.source.tensorInfos { names[info.name] = info }
                found.append(plan.inputs.count)
                plan.inputs.append(input)
                counts.append(LayerNames.counts(names.keys))
                infos.append(names)
            }
            if found.isEmpty { problem("'\(reference)' names no model") }
        } catch {
            problem(ZooError.wrap(error).description)
        }
        byReference[reference] = found
        return found
    }

    private mutating func open(_ slice: Recipe.Slice, _ module: Recipe.Module, _ resolve: MergeInputResolver) throws
        -> Slice
    {
        var entries: [Entry] = []
        for source in slice.sources {
            for input in open(source.model, resolve) {
                entries.append(Entry(input: input, layers: source.layers, parameters: source.parameters))
            }
        }
        let reference = slice.base ?? plan.recipe.base
        let base = reference.flatMap { open($0, resolve).first }
        if let base, slice.base == nil { plan.base = base }
        if let base {
            for index in entries.indices where entries[index].input == base { entries[index].isBase = true }
            let isListed = entries.contains { $0.isBase }
            if !isListed, slice.sources.allSatisfy({ $0.layers == nil }) { addBase(base, &entries) }
        }
        check(entries, base)
        return Slice(
            entries: entries, parameters: slice.parameters, module: module.parameters, base: base)
    }

    private mutating func addBase(_ base: Int, _ entries: inout [Entry]) {
        let label = plan.inputs[base].label
        switch plan.method.base {
        case .unused:
            problem("base_model \(label) is not used by \(plan.method.name): list it among the models or remove it")
        case .joins:
            plan.warnings.append("base_model \(label) takes part in \(plan.method.name) like every other model")
            entries.append(Entry(input: base, parameters: ParameterSet(), isBase: true, isImplicit: true))
        default: entries.append(Entry(input: base, parameters: ParameterSet(), isBase: true, isImplicit: true))
        }
    }

    private mutating func check(_ entries: [Entry], _ base: Int?) {
        let method = plan.method
        if [.required, .oneOfTwo].contains(method.base), plan.problems.isEmpty {
            guard base != nil else { return problem("\(method.name) needs 'base_model'") }
            if !entries.contains(where: \.isBase) {
                problem("\(method.name) needs the base among the sources of each slice")
            }
        }
        let usesBase = method.base != .unused && method.base != .joins
        let count = usesBase ? entries.count { !$0.isBase } : entries.count
        // One model alone is copied by the methods of two.
        let least = method.base == .oneOfTwo ? 0 : method.models.lowerBound
        if plan.problems.isEmpty, count < least || count > method.models.upperBound {
            let (low, high) = (method.models.lowerBound, method.models.upperBound)
            let wanted = low == high ? "\(low)" : high == .max ? "at least \(low)" : "\(low) to \(high)"
            let beside = usesBase ? " besides the base" : ""
            problem("\(method.name) takes \(wanted) model\(wanted == "1" ? "" : "s")\(beside), found \(count)")
        }
    }

    // MARK: Names

    private mutating func plan(module: String, _ slices: [Slice]) {
        guard let first = slices.first, let last = slices.last else { return }
        let restacks = slices.contains { $0.entries.contains { $0.layers != nil } }
        let inModule: (String) -> Bool = { module.isEmpty || $0 == module || $0.hasPrefix(module + ".") }
        var prefixes: [String] = []
        for entry in slices.flatMap(\.entries) {
            for prefix in counts[entry.input].keys.sorted() where inModule(prefix) && !prefixes.contains(prefix) {
                prefixes.append(prefix)
            }
        }
        if restacks {
            guard prefixes.count == 1 else {
                let found = prefixes.isEmpty ? "none" : prefixes.joined(separator: ", ")
                return problem("slices need one stack of layers, found \(found)")
            }
            stack(slices, prefixes[0])
        } else {
            for prefix in prefixes { whole(first, prefix) }
        }
        for (slice, after) in [(first, false), (last, true)] {
            for name in names(slice, inModule) where LayerNames.place(of: name) == nil {
                guard LayerNames.isAfterLayers(name) == after else { continue }
                add(name, slice, t: after && plan.recipe.endsAfterLayers ? 1 : 0) { _ in name }
            }
        }
    }

    /// The names of all entries, in a fixed order, each once.
    private func names(_ slice: Slice, _ keep: (String) -> Bool) -> [String] {
        var seen: Set<String> = []
        return slice.entries.flatMap { entry in
            plan.inputs[entry.input].source.tensorInfos.map(\.name).filter { keep($0) && seen.insert($0).inserted }
        }
    }

    /// Layers as they are: tensors with layer numbers, by name.
    private mutating func whole(_ slice: Slice, _ prefix: String) {
        let depths = slice.entries.map { counts[$0.input][prefix] ?? 0 }
        if Set(depths).count > 1, plan.options.pairing == .strict {
            let list = zip(slice.entries, depths).map { "\(plan.inputs[$0.input].label) \($1)" }.joined(separator: ", ")
            return problem("the models have different numbers of layers '\(prefix)*': \(list)")
        }
        // Plain files are merged without architecture: gradients then have their first value everywhere.
        let isPlain = slice.entries.allSatisfy { plan.inputs[$0.input].config == nil }
        let depth = depths.max() ?? 0
        for name in names(slice, { $0.hasPrefix(prefix) }) {
            guard let place = LayerNames.place(of: name), place.prefix == prefix else { continue }
            let t = isPlain ? 0 : depth > 1 ? Double(place.layer) / Double(depth - 1) : 1
            add(name, slice, t: t) { _ in name }
        }
    }

    /// Restacked layers.
    private mutating func stack(_ slices: [Slice], _ prefix: String) {
        var output = 0
        var suffixesByInput: [Int: [Int: [String]]] = [:]
        for input in Set(slices.flatMap { $0.entries.map(\.input) }) {
            for info in plan.inputs[input].source.tensorInfos {
                guard info.name.hasPrefix(prefix), let place = LayerNames.place(of: info.name), place.prefix == prefix
                else { continue }
                suffixesByInput[input, default: [:]][place.layer, default: []].append(place.suffix)
            }
        }
        for slice in slices {
            let lengths = Set(slice.entries.map { $0.layers?.count ?? 0 })
            guard lengths.count == 1, let length = lengths.first else {
                let list = lengths.sorted().map(String.init).joined(separator: ", ")
                problem("the sources of a slice have different lengths: \(list)")
                continue
            }
            var isInside = true
            for entry in slice.entries {
                let depth = counts[entry.input][prefix] ?? 0
                if let layers = entry.layers, layers.upperBound > depth {
                    problem(
                        "layer_range [\(layers.lowerBound), \(layers.upperBound)] of "
                            + "\(plan.inputs[entry.input].label) leaves its \(depth) layers")
                    isInside = false
                }
            }
            guard isInside else { continue }
            for offset in 0..<length {
                let t = length > 1 ? Double(offset) / Double(length - 1) : 1
                var suffixes: [String] = []
                for entry in slice.entries {
                    let layer = (entry.layers?.lowerBound ?? 0) + offset
                    for suffix in suffixesByInput[entry.input]?[layer] ?? [] where !suffixes.contains(suffix) {
                        suffixes.append(suffix)
                    }
                }
                plan.layerOrigins.append((slice.entries[0].layers?.lowerBound ?? 0) + offset)
                for suffix in suffixes {
                    add("\(prefix)\(output)\(suffix)", slice, t: t) { entry in
                        "\(prefix)\((entry.layers?.lowerBound ?? 0) + offset)\(suffix)"
                    }
                }
                output += 1
            }
        }
        plan.layerCounts[prefix] = output
    }

    // MARK: Tensors

    private mutating func add(_ name: String, _ slice: Slice, t: Double, _ inputName: (Entry) -> String) {
        var found: [(entry: Entry, name: String, info: TensorInfo)] = []
        var lacking: [Entry] = []
        var isTied = false
        for entry in slice.entries {
            let wanted = inputName(entry)
            if let info = infos[entry.input][wanted] {
                found.append((entry, wanted, info))
            } else if LayerNames.isHead(wanted), let tied = tiedName(entry.input), let info = infos[entry.input][tied] {
                found.append((entry, tied, info))
                isTied = true
            } else {
                lacking.append(entry)
            }
        }
        if isTied { plan.unties = true }
        let isOptional = LayerNames.isOptional(name)
        if !lacking.isEmpty {
            switch plan.options.pairing {
            case .intersection: return
            case .union: break
            case .strict where isOptional: break
            case .strict:
                let labels = lacking.map { plan.inputs[$0.input].label }.joined(separator: ", ")
                return problem("tensor '\(name)' is missing in \(labels)", kind: "missing tensors")
            }
        }
        guard !found.isEmpty else { return }
        var rows: RowPlan?
        var fitted: TensorInfo?
        if plan.vocabulary != nil, found.allSatisfy({ hasTokenRows($0.info, $0.entry.input) }) {
            let members = found.map {
                VocabularyPlan.Member(input: $0.entry.input, rows: $0.info.shape[0], isBase: $0.entry.isBase)
            }
            (rows, fitted) = planRows(name, found.map(\.info), members)
        }
        guard let info = fitted ?? outputInfo(name, found) else { return }
        var call = MergeCall(
            info: info, members: [],
            parameters: values(name, slice, nil, isPerModel: false, t, name))
        call.isEmbedding = LayerNames.isEmbedding(name) || fitted != nil
        call.isOptional = isOptional
        call.seed = plan.options.seed
        call.imitatesReference = plan.options.imitatesReference
        for (entry, inputName, _) in found {
            call.members.append(
                MergeCall.Member(
                    model: entry.input, label: plan.inputs[entry.input].label, isBase: entry.isBase,
                    parameters: values(name, slice, entry, isPerModel: true, t, inputName)))
        }
        checkKernel(call, found.count)
        plan.tensors.append(.init(call: call, origins: found.map { ($0.entry.input, $0.name) }, rows: rows))
    }

    /// Finds bad parameters now rather than in the middle of the work.
    private mutating func checkKernel(_ call: MergeCall, _ count: Int) {
        guard call.info.dtype.isFloatingPoint, plan.problems.isEmpty else { return }
        do { _ = try plan.method.kernel(call) } catch {
            problem(ZooError.wrap(error).description, kind: "tensors with unusable parameters")
        }
    }

    func tiedName(_ input: Int) -> String? {
        plan.inputs[input].source.tensorInfos.first { LayerNames.isInput($0.name) }?.name
    }

    /// The output's shape and type; nil and a problem for inputs that do not fit together.
    private mutating func outputInfo(
        _ name: String, _ found: [(entry: Entry, name: String, info: TensorInfo)]
    ) -> TensorInfo? {
        let donor = found.first { $0.entry.isBase } ?? found[0]
        var info = TensorInfo(name: name, dtype: donor.info.dtype, shape: donor.info.shape)
        for other in found where other.info.dtype.isFloatingPoint != info.dtype.isFloatingPoint {
            problem(
                "tensor '\(name)' is \(other.info.dtype.rawValue) in \(plan.inputs[other.entry.input].label), "
                    + "\(info.dtype.rawValue) in \(plan.inputs[donor.entry.input].label)", kind: "differing types")
            return nil
        }
        if found.contains(where: { $0.info.shape != info.shape }) {
            guard plan.options.truncatesEmbeddings, let shape = commonRows(name, found.map(\.info.shape)) else {
                let list = found.map { "\(plan.inputs[$0.entry.input].label) \($0.info.shape)" }
                let hint =
                    LayerNames.isEmbedding(name)
                    ? "; set tokenizer: {source: base} or cut to the common rows with --truncate-embeddings" : ""
                let shapes = list.joined(separator: ", ")
                problem("tensor '\(name)' has different shapes: \(shapes)\(hint)", kind: "differing shapes")
                return nil
            }
            info.shape = shape
            if LayerNames.isInput(name) { plan.newVocabularySize = shape[0] }
            plan.warnings.append("tensor '\(name)' is cut to \(shape[0]) rows")
        }
        guard info.dtype.isFloatingPoint else { return info }
        info.dtype = plan.recipe.outputType ?? plan.recipe.workingType ?? info.dtype
        return info
    }

    /// The common rows of embeddings that differ in nothing else.
    private func commonRows(_ name: String, _ shapes: [Shape]) -> Shape? {
        guard LayerNames.isEmbedding(name), shapes.allSatisfy({ $0.rank == 2 && $0[1] == shapes[0][1] }) else {
            return nil
        }
        return Shape([shapes.map { $0[0] }.min() ?? 0, shapes[0][1]])
    }

    // MARK: Parameters

    /// The values of the method's parameters: the source's, the slice's, the module's, the recipe's, the default.
    private mutating func values(
        _ output: String, _ slice: Slice, _ entry: Entry?, isPerModel: Bool, _ t: Double, _ name: String
    ) -> ParameterValues {
        var result = ParameterValues()
        for parameter in plan.method.parameters where parameter.isPerModel == isPerModel {
            // The first source of the slice with this model speaks for it.
            let own = entry.flatMap { entry in slice.entries.first { $0.input == entry.input }?.parameters }
            let places = [own, slice.parameters, slice.module, plan.recipe.parameters].compactMap { $0 }
            let given = places.lazy.compactMap { $0[parameter.name]?.value(for: name, at: t) }.first
            guard let value = given ?? parameter.standard else {
                let spares = entry.map { $0.isBase && (plan.method.base != .unused || $0.isImplicit) } ?? false
                if spares {
                    result.values[parameter.name] = .number(0)
                } else {
                    let owner = entry.map { " of \(plan.inputs[$0.input].label)" } ?? ""
                    problem(
                        "parameter '\(parameter.name)'\(owner) is missing for tensor '\(name)'",
                        kind: "missing parameters")
                }
                continue
            }
            if let fault = Self.misfit(value, parameter) {
                // The same value for every tensor is one mistake.
                let owner = entry.map { " of \(plan.inputs[$0.input].label)" } ?? ""
                if misfits.insert("\(parameter.name)\(owner)").inserted {
                    problem(fault + owner, kind: "unusable parameters")
                }
            }
            // More than all cannot stay; recipes for mergekit may say it, which takes it as 1.
            if parameter.name == "density", case .number(let share) = value, share > 1 + 1e-9, share.isFinite {
                let owner = entry.map { " of \(plan.inputs[$0.input].label)" } ?? ""
                if misfits.insert("density above 1\(owner)").inserted {
                    plan.warnings.append("density \(share)\(owner) is no share: above 1 all values stay, as at 1")
                }
            }
            result.values[parameter.name] = value
        }
        return result
    }

    private static func misfit(_ value: Setting.Value, _ parameter: MergeParameter) -> String? {
        switch (parameter.kind, value) {
        case (.word(let words), .text(let word)) where words.contains(word): return nil
        case (.word(let words), _):
            return "parameter '\(parameter.name)' takes one of \(words.joined(separator: ", "))"
        case (_, .text(let word)): return "parameter '\(parameter.name)' takes a number, found '\(word)'"
        case (_, .number(let number)):
            return number.isFinite ? nil : "parameter '\(parameter.name)' is not finite"
        }
    }
}
