import ZooBase
import ZooNN

/// Reads the settings of one trial out of a manifest whose references have been replaced.
struct TrialReader {
    private(set) var settings = TrialSettings()
    private let root: ManifestSection

    init(_ root: ManifestSection, _ axes: JSONObject) {
        self.root = root
        settings.axes = axes
        settings.content = root.object
        settings.seed = root.count("seed") ?? 0
        settings.epochs = root.count("epochs", minimum: 1) ?? 1
        settings.batchSize = root.count("batch_size", minimum: 1) ?? 32
        settings.dropsLast = root.flag("drop_last") ?? false
        settings.labelSmoothing = root.number("label_smoothing", in: 0...1) ?? 0
        settings.labelNoise = root.number("label_noise", in: 0...1) ?? 0
        settings.base = root.text("base")
        settings.frozen = root.texts("freeze") ?? []
        settings.classes = root.counts("classes")
        settings.isRelabelled = root.flag("relabel") ?? false
        if let classes = settings.classes {
            if classes.isEmpty { root.fault("classes", "expected at least one class") }
            if Set(classes).count < classes.count { root.fault("classes", "a class is listed twice") }
        }
        if settings.isRelabelled, settings.classes == nil { root.fault("relabel", "goes with a list of classes") }
        readArchitecture()
        readOptimizer()
        readSchedule()
        readInitialiser()
        readAugmentation()
        readTransforms()
        readCheckpoints()
    }

    private mutating func readArchitecture() {
        if let name = root.object["architecture"]?.string {
            settings.architecture["file"] = .string(name)
            return
        }
        let section = root.section("architecture")
        settings.architecture = section.object
        guard section.object.count > 0 else { return }
        if section.object["file"] != nil {
            section.allow(["file", "name", "like", "activation"])
        } else if let family = section.text("family") {
            guard let known = ArchitectureBlueprint.families[family] else {
                let names = ArchitectureBlueprint.families.keys.sorted()
                return section.fault(
                    "family", "'\(family)' is not known (\(NearestName.hint(family, in: names, kind: "families")))")
            }
            section.allow(known + ["family", "name"])
        } else if settings.base == nil {
            section.fault("family", "missing; or 'file' names an architecture file")
        }
    }

    private mutating func readOptimizer() {
        let section = root.section("optimizer")
        section.allow(["name", "lr", "momentum", "weight_decay", "dampening", "nesterov", "betas", "eps"])
        var optimiser = Optimiser(section.choice("name", Optimiser.Kind.self) ?? .sgd)
        optimiser.learningRate = section.number("lr", in: 0...1e30) ?? optimiser.learningRate
        optimiser.weightDecay = section.number("weight_decay", in: 0...1e30) ?? optimiser.weightDecay
        optimiser.momentum = section.number("momentum", in: 0...1) ?? 0
        optimiser.dampening = section.number("dampening", in: 0...1) ?? 0
        optimiser.isNesterov = section.flag("nesterov") ?? false
        optimiser.epsilon = section.number("eps", in: 0...1) ?? optimiser.epsilon
        if let betas = section.object["betas"] {
            let numbers = betas.array?.compactMap(\.double) ?? []
            if numbers.count == 2, numbers.allSatisfy({ (0..<1).contains($0) }) {
                optimiser.betas = numbers
            } else {
                section.fault("betas", "expected two numbers from 0 to 1")
            }
        }
        if optimiser.isNesterov, optimiser.momentum == 0 || optimiser.dampening != 0 {
            section.fault("nesterov", "needs a momentum and no dampening")
        }
        settings.optimiser = optimiser
    }

    private mutating func readSchedule() {
        let section = root.section("schedule")
        section.allow([
            "name", "gamma", "size", "milestones", "minimum", "pct_start", "div_factor", "final_div_factor",
            "cycle_momentum", "base_momentum", "max_momentum", "warmup", "warmup_start",
        ])
        var schedule = Schedule(section.choice("name", Schedule.Kind.self) ?? .constant)
        schedule.gamma = section.number("gamma", in: 0...1e30) ?? schedule.gamma
        schedule.size = section.count("size", minimum: 1)
        schedule.milestones = section.counts("milestones") ?? []
        schedule.minimum = section.number("minimum", in: 0...1e30) ?? 0
        schedule.rise = section.number("pct_start", in: 0...1) ?? schedule.rise
        schedule.divisor = section.number("div_factor", in: 1e-30...1e30) ?? schedule.divisor
        schedule.finalDivisor = section.number("final_div_factor", in: 1e-30...1e30) ?? schedule.finalDivisor
        schedule.cyclesMomentum = section.flag("cycle_momentum") ?? true
        schedule.baseMomentum = section.number("base_momentum", in: 0...1) ?? schedule.baseMomentum
        schedule.maximumMomentum = section.number("max_momentum", in: 0...1) ?? schedule.maximumMomentum
        schedule.warmupEpochs = section.number("warmup", in: 0...1e6) ?? 0
        schedule.warmupStart = section.number("warmup_start", in: 0...1) ?? schedule.warmupStart
        if schedule.kind == .step, schedule.size == nil { section.fault("size", "missing: epochs between two steps") }
        if schedule.kind == .oneCycle, schedule.cyclesMomentum, settings.optimiser.cycledMomentum == 0 {
            section.fault(
                "cycle_momentum", "one-cycle moves the momentum and the optimizer has none; give it one or say false")
        }
        settings.schedule = schedule
    }

    private mutating func readInitialiser() {
        let section = root.section("init")
        section.allow(["name", "gain", "low", "high", "mean", "std", "bias"])
        var initialiser = Initialiser()
        let isTransformer = settings.architecture["family"]?.string == "vit"
        initialiser.kind = section.choice("name", Initialiser.Kind.self) ?? (isTransformer ? .timm : .pytorch)
        initialiser.location = section.number("low") ?? section.number("mean") ?? 0
        initialiser.scale = section.number("high") ?? section.number("std") ?? 1
        initialiser.gain = section.number("gain") ?? 1
        if initialiser.kind == .truncatedNormal, abs(initialiser.location) > 2 || !(0...100).contains(initialiser.scale)
        {
            section.fault("std", "trunc_normal cuts at -2 and 2: expected a mean between them and a std from 0 to 100")
        }
        switch section.text("bias") {
        case nil, "pytorch": break
        case "zeros": initialiser.zeroesBias = true
        default: section.fault("bias", "is pytorch or zeros")
        }
        settings.initialiser = initialiser
    }

    private mutating func readAugmentation() {
        let section = root.section("augment")
        section.allow(["shift", "noise", "flip"])
        settings.augmentation.shift = section.count("shift") ?? 0
        settings.augmentation.noise = section.number("noise", in: 0...1e6) ?? 0
        settings.augmentation.flip = section.number("flip", in: 0...1) ?? 0
    }

    private mutating func readTransforms() {
        guard let value = root.object["transform"], value != .null else { return }
        for entry in value.array ?? [value] {
            do { settings.transforms.append(try InputTransform(entry)) } catch {
                root.fault("transform", ZooError.wrap(error).description)
            }
        }
    }

    private mutating func readCheckpoints() {
        let section = root.section("checkpoints")
        section.allow(["every", "at", "format", "optimizer"])
        settings.checkpoints.every = section.count("every", minimum: 1)
        settings.checkpoints.epochs = section.counts("at") ?? []
        settings.checkpoints.format = section.choice("format", CheckpointPlan.Format.self) ?? .pytorch
        settings.checkpoints.optimizer = section.choice("optimizer", CheckpointPlan.OptimizerStates.self) ?? .none
        for epoch in settings.checkpoints.epochs where epoch > settings.epochs {
            section.fault("at", "epoch \(epoch) is after the last one, \(settings.epochs)")
        }
    }
}
