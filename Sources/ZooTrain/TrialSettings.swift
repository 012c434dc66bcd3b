import ZooBase

/// Everything that decides one trial.
package struct TrialSettings: Sendable, Hashable {
    /// The network: a family's numbers, or `file`, or nothing beside a `base`.
    package var architecture = JSONObject()
    package var optimiser = Optimiser()
    package var schedule = Schedule()
    package var initialiser = Initialiser()
    package var epochs = 1
    package var batchSize = 32
    package var dropsLast = false
    package var labelSmoothing = 0.0
    package var labelNoise = 0.0
    package var augmentation = Augmentation()
    package var transforms: [InputTransform] = []
    /// The classes that are trained and tested on; nil for all.
    package var classes: [Int]?
    /// Whether the classes are numbered from zero in the order in which they are listed.
    package var isRelabelled = false
    package var seed = 0
    /// A checkpoint to begin from.
    package var base: String?
    /// Patterns of parameters that stay as they are.
    package var frozen: [String] = []
    package var checkpoints = CheckpointPlan()
    /// The values of the grid's axes, for the trial's name.
    package var axes = JSONObject()
    /// The manifest's sections with this trial's values in place: what a trial that is found is compared by.
    package var content = JSONObject()

    package init() {}

    /// What the architecture is called in `params.json`.
    package var architectureName: String {
        architecture["name"]?.string ?? architecture["family"]?.string ?? architecture["file"]?.string ?? "base"
    }

    /// `params.json`, with the keys of the published zoos.
    package var config: JSONObject {
        var config = JSONObject()
        config["model::type"] = .string(architectureName)
        for (key, value) in architecture where !["name", "like"].contains(key) {
            config[key == "activation" ? "model::nlin" : "model::\(key)"] = value
        }
        config["model::init_type"] = .string(initialiser.kind.rawValue)
        config["optim::optimizer"] = .string(optimiser.kind.rawValue)
        config["optim::lr"] = .double(optimiser.learningRate)
        config["optim::wd"] = .double(optimiser.weightDecay)
        config["optim::momentum"] = .double(optimiser.cycledMomentum)
        config["optim::scheduler"] = .string(schedule.kind.rawValue)
        config["training::batchsize"] = .int(Int64(batchSize))
        config["training::epochs_train"] = .int(Int64(epochs))
        config["training::loss"] = "cross_entropy"
        if labelSmoothing > 0 { config["training::label_smoothing"] = .double(labelSmoothing) }
        if labelNoise > 0 { config["training::label_noise"] = .double(labelNoise) }
        if let base { config["training::base"] = .string(base) }
        if !frozen.isEmpty { config["training::freeze"] = .array(frozen.map { .string($0) }) }
        if !transforms.isEmpty { config["dataset::transform"] = .array(transforms.map { .string($0.description) }) }
        if let classes { config["dataset::classes"] = .array(classes.map { .int(Int64($0)) }) }
        if isRelabelled { config["dataset::relabel"] = true }
        for (key, value) in axes where key.contains(".") {
            config[key.split(separator: ".").joined(separator: "::")] = value
        }
        // An axis that the architecture refers to (`hidden: [$width, $width]`) is found by its own name too.
        for (key, value) in axes where architecture[key] == nil && key != "seed" {
            if TrainingManifest.axes[key]?.first == "architecture" && key != "activation" {
                config["model::\(key)"] = value
            } else if TrainingManifest.axes[key] == nil, !key.contains(".") {
                config[key] = value
            }
        }
        config["seed"] = .int(Int64(seed))
        return config
    }
}

/// Which epochs are kept, and how.
package struct CheckpointPlan: Sendable, Hashable {
    package enum Format: String, Sendable, CaseIterable {
        case pytorch
        case safetensors
    }

    package enum OptimizerStates: String, Sendable, CaseIterable {
        case none
        case last
        case all
    }

    package var every: Int?
    package var epochs: [Int] = []
    package var format = Format.pytorch
    package var optimizer = OptimizerStates.none

    package init() {}

    /// Whether an epoch is kept; the last one always is.
    package func keeps(_ epoch: Int, of total: Int) -> Bool {
        epoch == total || every.map { epoch % $0 == 0 } ?? false || epochs.contains(epoch)
    }

    /// How many checkpoints a trial has.
    package func count(epochs total: Int) -> Int { (0...total).count { keeps($0, of: total) } }
}
