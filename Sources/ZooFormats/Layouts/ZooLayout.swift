import ZooBase

/// How a zoo lies in an archive: which members are models, which files are their checkpoints, settings and results.
///
/// A layout looks at names first and opens members only where names leave a doubt, so that an archive of millions of
/// members is listed in one pass over its table of contents. The list of members may be in any order; one model's
/// files may be scattered all over it.
public protocol ZooLayout: Sendable {
    /// The layout's name in manifests and messages.
    var name: String { get }

    /// Finds the models of an archive.
    ///
    /// - Parameters:
    ///   - archive: the members, and their bytes where a name is not enough.
    ///   - rootName: the name of a model that lies at the archive's root (the archive's own name without extension).
    /// - Complexity: linear in the length of all paths together.
    /// - Throws: `limit` when the archive has more than 2³¹ members, `interrupted`. What is wrong with single members
    ///   is in the listing's `problems`.
    func listing(of archive: any Archive, rootName: String) throws -> ZooListing
}

/// A layout that decides folder by folder; several of them, one after the other, make the automatic choice.
protocol FolderLayout: ZooLayout {
    /// Claims those folders of the index that no layout before has claimed and that are this one's.
    func claim(_ index: inout MemberIndex, from archive: any Archive, into builder: inout ListingBuilder) throws
}

extension FolderLayout {
    func listing(of archive: any Archive, rootName: String) throws -> ZooListing {
        try AutomaticLayout(name: name, layouts: [self]).listing(of: archive, rootName: rootName)
    }
}

/// Chooses a layout for every folder by what the folder holds: Ray Tune trials, then Hugging Face folders, then
/// checkpoint files that stand alone.
///
/// A folder belongs to the first layout that recognises it:
/// 1. `hugging-face`: weights beside a `config.json` with `model_type` or `architectures`; an adapter with its
///    `adapter_config.json`; a training run with `checkpoint-500` folders that hold such weights.
/// 2. `ray-tune`: `params.json`, or `config.json` with `result.json`, or at least one `checkpoint_<digits>` folder.
/// 3. `flat`: any other file whose extension is a checkpoint's.
public struct AutomaticLayout: ZooLayout {
    /// The name in manifests.
    public let name: String
    private let layouts: [any FolderLayout]

    /// All layouts, in the order above.
    public init() {
        self.init(name: "auto", layouts: [HuggingFaceLayout(), RayTuneLayout(), FlatLayout()])
    }

    init(name: String, layouts: [any FolderLayout]) {
        self.name = name
        self.layouts = layouts
    }

    /// Finds the models; see `ZooLayout`.
    public func listing(of archive: any Archive, rootName: String = "model") throws -> ZooListing {
        let members = archive.members
        var index = try MemberIndex(members)
        var builder = ListingBuilder(members: members, rootName: rootName)
        for layout in layouts {
            try Cancellation.check()
            try layout.claim(&index, from: archive, into: &builder)
        }
        builder.noteUnclaimed(in: index)
        return builder.finish(index)
    }
}

/// The layouts by name.
public enum ZooLayouts {
    /// Names that a manifest or `--layout` may give.
    public static let names = ["auto", "ray-tune", "hugging-face", "flat", "tree"]

    /// The layout of a name; `tree` needs patterns and is made from a manifest.
    ///
    /// - Throws: `usage` listing the names.
    public static func layout(named name: String) throws -> any ZooLayout {
        switch name {
        case "auto": return AutomaticLayout()
        case "ray-tune": return RayTuneLayout()
        case "hugging-face": return HuggingFaceLayout()
        case "flat": return FlatLayout()
        case "tree":
            throw ZooError(.usage, "layout 'tree': needs patterns", hint: "give a manifest with --manifest")
        default:
            throw ZooError(
                .usage, "no layout is called '\(name)'; expected one of \(names.joined(separator: ", "))",
                hint: NearestName.hint(name, in: names, kind: "names"))
        }
    }
}
