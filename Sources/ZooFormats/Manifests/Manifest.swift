import ZooBase

/// A published zoo: where it is, what may be done with it, how it lies on disk and what is in it.
///
/// Written as YAML under `manifests/`; `manifests/README.md` explains each key and `manifests/schema.json` is the same
/// as a JSON Schema. Facts that nobody published are left out, never guessed.
public struct Manifest: Sendable {
    /// The name on the command line; the file is called `<id>.yaml`.
    public var id: String
    /// One line.
    public var title: String
    /// A paragraph.
    public var summary: String?
    /// Where its files are.
    public var sources: [Source]
    /// An SPDX identifier, or `not stated`.
    public var licence: String
    /// How to cite it.
    public var citation: Citation?
    /// How it lies on disk.
    public var layout: Layout
    /// Names of architectures, as `model::type` gives them or as the zoo's own papers do.
    public var architectures: [String]
    /// Identifiers of data sets (`manifests/datasets/`).
    public var datasets: [String]
    /// How many models the publishers count.
    public var modelCount: Int?
    /// How many checkpoints the publishers count.
    public var checkpointCount: Int?
    /// The sweeps it consists of.
    public var experiments: [Experiment]
    /// The axes of a phase diagram.
    public var grid: Grid?
    /// Short names of config keys: `lr` for `optim::lr`.
    public var aliases: [(name: String, key: String)]
    /// How its results are to be read.
    public var results: TrialOptions
    /// How the models were trained, in the publishers' terms.
    public var training: JSONObject
    /// What is known to be wrong or missing.
    public var defects: [String]

    /// A download.
    public struct Source: Sendable, Hashable {
        /// The number of a Zenodo record.
        public var zenodo: Int?
        /// An address, when it is not a Zenodo record.
        public var url: String?
        /// The file's name.
        public var file: String?
        /// Its size.
        public var byteCount: Int?
        /// Its SHA-256 in hexadecimal.
        public var sha256: String?
        /// What it holds.
        public var note: String?

        /// The address to open: the given one or the record's page.
        public var address: String? { url ?? zenodo.map { "https://zenodo.org/records/\($0)" } }

        /// The record's DOI.
        public var doi: String? { zenodo.map { "10.5281/zenodo.\($0)" } }
    }

    /// How to cite a zoo.
    public struct Citation: Sendable, Hashable {
        /// In words.
        public var text: String?
        /// A BibTeX entry.
        public var bibtex: String?
        /// A DOI without address.
        public var doi: String?
        /// An arXiv identifier.
        public var arxiv: String?
    }

    /// How a zoo lies on disk.
    public struct Layout: Sendable {
        /// `auto`, `ray-tune`, `hugging-face`, `flat` or `tree`.
        public var kind: String
        /// The families of models of a tree.
        public var trees: [TreeGroup]
        /// Members to pass over, in a tree.
        public var ignored: [PathPattern]
    }

    /// One sweep: a folder of trials.
    public struct Experiment: Sendable {
        /// The experiment's folder or, where that is not known, a name for it.
        public var name: String
        /// What it sweeps over, in words.
        public var note: String?
        /// The data set's identifier.
        public var dataset: String?
        /// The architecture's name.
        public var architecture: String?
        /// How many models it has.
        public var modelCount: Int?
        /// Settings that are the same for all its models.
        public var fixed: JSONObject
        /// Settings that are swept, with their values.
        public var swept: [Axis]
    }

    /// A setting that varies.
    public struct Axis: Sendable {
        /// The config key.
        public var key: String
        /// Its values; empty when they are not known.
        public var values: [JSONValue]
    }

    /// The axes of a phase diagram: load (data per capacity), temperature (noise of the training), repetition.
    public struct Grid: Sendable {
        /// An axis and the direction in which its quantity grows.
        public struct Direction: Sendable {
            /// The setting.
            public var axis: Axis
            /// Whether a larger value means more load, or a hotter training.
            public var increases: Bool
        }

        /// Load; wider models have less of it.
        public var load: Direction
        /// Temperature; larger batches have less of it.
        public var temperature: Direction
        /// What tells the repetitions of a cell apart, usually `seed`.
        public var repetition: Axis?
    }

    /// The layout to list an archive of this zoo with.
    public func zooLayout() throws -> any ZooLayout {
        layout.kind == "tree"
            ? TreeLayout(groups: layout.trees, ignored: layout.ignored) : try ZooLayouts.layout(named: layout.kind)
    }
}
