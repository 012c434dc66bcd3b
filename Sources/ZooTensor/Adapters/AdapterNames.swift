import ZooBase

/// Where the tensors of an adapter belong in a base, whose names may lack a prefix that the adapter's have, or have one
/// more: a file of `GPT2Model` calls `h.0.attn` what the adapter of `GPT2LMHeadModel` calls `transformer.h.0.attn`.
struct AdapterNames {
    /// Weights that products change, by name in the base.
    let modules: [(name: String, module: Adapter.Module)]
    /// Tensors that are replaced: name in the base and in the adapter.
    let replacements: [(name: String, key: String)]

    /// - Throws: `mismatch` naming what has no place.
    init(_ adapter: Adapter, base: [String]) throws {
        let names = Set(base)
        let saved = adapter.config.modulesToSave
        // New tensors, such as a classifier's, may be missing in the base when the configuration lists them.
        func isNew(_ name: String) -> Bool {
            saved.contains { module in
                name.split(separator: ".").dropLast().joined(separator: ".").isOrEnds(with: module)
                    || ".\(name).".contains(".\(module).")
            }
        }
        func places(_ rename: (String) -> String) -> (found: [(String, Adapter.Module)], missing: [String]) {
            var found: [(String, Adapter.Module)] = [], missing: [String] = []
            for module in adapter.modules {
                let name = rename(module.name)
                if let place = Self.weights(of: name).first(where: names.contains) {
                    found.append((place, module))
                } else {
                    missing.append(module.name)
                }
            }
            for (name, _) in adapter.replacements where !names.contains(rename(name)) && !isNew(name) {
                missing.append(name)
            }
            return (found, missing)
        }
        let direct = places { $0 }
        var chosen = direct.found
        var rename: (String) -> String = { $0 }
        if !direct.missing.isEmpty {
            let fitting = Self.renamings(direct.missing[0], base).filter { places($0).missing.isEmpty }
            guard fitting.count == 1 else {
                let list = direct.missing.prefix(3).map { "'\($0)'" }.joined(separator: ", ")
                let more = direct.missing.count > 3 ? " and \(direct.missing.count - 3) more" : ""
                throw ZooError(
                    .mismatch, "the base has no tensors for the adapter's \(list)\(more)",
                    hint: "is this the base the adapter was made for? 'zoo inspect' lists names")
            }
            rename = fitting[0]
            chosen = places(rename).found
        }
        modules = chosen.map { (name: $0.0, module: $0.1) }
        replacements = adapter.replacements.map { (name: rename($0.name), key: $0.key) }
    }

    /// The tensors that a module's weight may be called.
    private static func weights(of module: String) -> [String] {
        // torch's multi-head attention has its packed projection outside a module of its own.
        [module + ".weight", module + ".in_proj_weight", module]
    }

    /// The bias beside a weight.
    static func bias(of weight: String) -> String {
        weight.hasSuffix("weight") ? String(weight.dropLast("weight".count)) + "bias" : weight + ".bias"
    }

    /// Ways to rename so that a missing name is found: a prefix dropped or added.
    private static func renamings(_ missing: String, _ base: [String]) -> [(String) -> String] {
        let names = Set(base)
        var drops: [String] = [], additions = Set<String>()
        let components = missing.split(separator: ".")
        for count in 1..<max(1, components.count) {
            let rest = components.dropFirst(count).joined(separator: ".")
            guard (weights(of: rest) + [rest + ".bias"]).contains(where: names.contains) else { continue }
            drops.append(components.prefix(count).joined(separator: ".") + ".")
        }
        for ending in weights(of: missing) {
            for name in base where name.hasSuffix("." + ending) {
                additions.insert(String(name.dropLast(ending.count)))
            }
        }
        let dropping = drops.map { prefix in
            { (name: String) in name.hasPrefix(prefix) ? String(name.dropFirst(prefix.count)) : name }
        }
        let adding = additions.sorted().map { prefix in
            { (name: String) in
                weights(of: prefix + name).contains(where: names.contains) ? prefix + name : name
            }
        }
        return dropping + adding
    }
}

extension String {
    fileprivate func isOrEnds(with module: String) -> Bool { self == module || hasSuffix("." + module) }
}
