/// The names without the component that training wrappers put in front of all of them.
///
/// Data-parallel training saves `module.conv1.weight` for `conv1.weight`, a compiled model `_orig_mod.conv1.weight`.
/// Such a leading component goes when every name has it, and only there: `submodule.x` and `a.module.b` stay.
///
/// - Returns: the names in their order, and what was taken off (`module.`), empty when nothing was.
package func commonPrefixStripped(_ names: [String]) -> (names: [String], prefix: String) {
    let wrappers = ["module.", "_orig_mod."]
    var names = names
    var prefix = ""
    while !names.isEmpty {
        let found = wrappers.first { wrapper in
            names.allSatisfy { $0.hasPrefix(wrapper) && $0.utf8.count > wrapper.utf8.count }
        }
        guard let found else { break }
        names = names.map { String($0.dropFirst(found.count)) }
        prefix += found
    }
    return (names, prefix)
}
