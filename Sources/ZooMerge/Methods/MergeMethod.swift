import ZooBase
import ZooTensor

/// A way to make one tensor out of several.
///
/// To add one: a file in this folder with an `enum` that conforms, and a line in `Registry.swift`. A method says which
/// parameters it takes and turns a `MergeCall` into a `MergeKernel`; reading, chunking, threads, rounding and writing
/// are the executor's.
public protocol MergeMethod: SendableMetatype {
    /// The name in recipes.
    static var name: String { get }
    /// What it does, one line.
    static var summary: String { get }
    /// Where it comes from: paper or tool.
    static var source: String { get }
    /// The parameters it takes.
    static var parameters: [MergeParameter] { get }
    /// What `base_model` is to it.
    static var base: BaseUse { get }
    /// How many models it takes, the base not counted.
    static var models: ClosedRange<Int> { get }
    /// Prepares the merge of one tensor.
    ///
    /// - Throws: `usage` for parameters out of range, `numeric` for a tensor that the method is not defined on.
    static func kernel(_ call: MergeCall) throws -> any MergeKernel
}

/// What `base_model` is to a method.
public enum BaseUse: String, Sendable {
    /// It must be given; the models' differences from it are merged.
    case required
    /// It may be given.
    case optional
    /// It must be one of the two models.
    case oneOfTwo = "one of the two"
    /// It plays no role and may only be given as one of the models.
    case unused
    /// It plays no role and joins the models.
    case joins = "joins the models"
}

/// A parameter of a method.
public struct MergeParameter: Sendable {
    /// How a value is read.
    public enum Kind: Sendable, Hashable {
        /// A number.
        case number
        /// Zero is false, everything else true.
        case flag
        /// One of a few words.
        case word([String])
    }

    /// The key under `parameters:`.
    public var name: String
    /// How a value is read.
    public var kind: Kind
    /// The value when a recipe gives none; nil makes the parameter required.
    public var standard: Setting.Value?
    /// Whether it has a value for each model rather than one for the tensor.
    public var isPerModel: Bool
    /// What it does.
    public var summary: String

    /// A number for each tensor.
    public static func number(_ name: String, _ standard: Double?, _ summary: String) -> MergeParameter {
        MergeParameter(
            name: name, kind: .number, standard: standard.map { .number($0) }, isPerModel: false, summary: summary)
    }

    /// A truth value for each tensor.
    public static func flag(_ name: String, _ standard: Bool, _ summary: String) -> MergeParameter {
        MergeParameter(
            name: name, kind: .flag, standard: .number(standard ? 1 : 0), isPerModel: false, summary: summary)
    }

    /// A word out of a few; the first is the default.
    public static func word(_ name: String, _ words: [String], _ summary: String) -> MergeParameter {
        MergeParameter(name: name, kind: .word(words), standard: .text(words[0]), isPerModel: false, summary: summary)
    }

    /// A number for each model.
    public static func perModel(_ name: String, _ standard: Double?, _ summary: String) -> MergeParameter {
        MergeParameter(
            name: name, kind: .number, standard: standard.map { .number($0) }, isPerModel: true, summary: summary)
    }
}

/// The values of a method's parameters at one tensor.
public struct ParameterValues: Sendable {
    var values: [String: Setting.Value] = [:]

    /// Values for tests and programs; what is missing has the method's default.
    public init(_ numbers: [String: Double] = [:]) { values = numbers.mapValues { .number($0) } }

    /// A number. Precondition: the method declares the parameter and the plan has filled it.
    public func number(_ name: String) -> Double {
        if case .number(let value)? = values[name] { return value }
        return .nan
    }

    /// A number that need not be there.
    public func optionalNumber(_ name: String) -> Double? {
        if case .number(let value)? = values[name] { value } else { nil }
    }

    /// A truth value.
    public func flag(_ name: String) -> Bool { number(name) != 0 }

    /// A word.
    public func word(_ name: String) -> String { if case .text(let value)? = values[name] { value } else { "" } }
}

/// One output tensor and what meets in it.
public struct MergeCall: Sendable {
    /// A model's tensor.
    public struct Member: Sendable {
        /// The position among the models of the recipe: the key of random masks.
        public var model: Int
        /// How to call the model in messages.
        public var label: String
        /// Whether it is the base model.
        public var isBase: Bool
        /// Its per-model parameters.
        public var parameters: ParameterValues
    }

    /// The output tensor.
    public var info: TensorInfo
    /// The inputs in the order of the recipe, a base that was not listed last; the same order as the stack's tensors.
    public var members: [Member]
    /// Parameters of the tensor.
    public var parameters: ParameterValues
    /// Whether its rows are tokens.
    public var isEmbedding = false
    /// Whether models may lack it.
    public var isOptional = false
    /// The seed of random masks.
    public var seed: UInt64 = 0
    /// Fails and drops as the reference does where Zoo knows better.
    public var imitatesReference = false

    /// Creates a call.
    public init(info: TensorInfo, members: [Member], parameters: ParameterValues) {
        self.info = info
        self.members = members
        self.parameters = parameters
    }

    /// Where the base model stands among the members.
    public var base: Int? { members.firstIndex { $0.isBase } }

    /// Where the other models stand.
    public var others: [Int] { members.indices.filter { !members[$0].isBase } }

    /// The shape as rows of the last axis: how long a row is. A vector or number is one row.
    public var rowLength: Int { info.shape.rank < 2 ? info.shape.elementCount : info.shape.dimensions.last ?? 1 }

    /// A key of random numbers for one model: equal for equal seed, tensor and model, whatever else runs.
    public func randomKey(_ member: Int) -> UInt64 {
        // FNV-1a over the name, then seed and model stirred in.
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in info.name.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        hash = (hash ^ seed) &* 0xBF58_476D_1CE4_E5B9
        return (hash ^ hash >> 29) &+ 0x9E37_79B9_7F4A_7C15 &* UInt64(members[member].model + 1)
    }

    func fault(_ code: ZooError.Code, _ what: String, hint: String = "") -> ZooError {
        ZooError(code, "tensor '\(info.name)': \(what)", hint: hint)
    }
}

/// The merge of one tensor before its reductions.
public protocol MergeKernel: Sendable {
    /// Runs the passes over all elements that must come before the first result: norms, thresholds, counts.
    ///
    /// - Parameters:
    ///   - stack: the inputs.
    ///   - jobs: threads; the result does not depend on them.
    func prepare(_ stack: TensorStack, jobs: Int) throws -> any PreparedMerge
    /// How many passes over the inputs `prepare` makes, for the plan.
    var passCount: Int { get }
}

/// The merge of one tensor, ready to give any run of elements.
public protocol PreparedMerge: Sendable {
    /// Writes elements `range` to `output` in `type`. Any cut of a tensor into ranges gives the same values.
    func apply(
        _ range: Range<Int>, _ stack: TensorStack, into output: UnsafeMutableRawPointer, type: KernelType) throws
}
