import Synchronization
import ZooBase
import ZooCatalog
import ZooNN
import ZooRetrieval
import ZooTensor

/// Networks of the catalog (and files) as black boxes: one compiled program for all models of an architecture.
struct ZooModels {
    /// One model ready to be opened.
    struct Model: Sendable {
        var checkpoint: SelectedCheckpoint
        var network: NetworkForward
        var parameterCount: Int
        var task: RetrievalTask?

        /// The selector by which it is found again.
        var selector: String { checkpoint.row.map { String($0.id) } ?? checkpoint.label }

        func box() throws -> NetworkBox { try network.box(checkpoint.open(), name: checkpoint.label) }
    }

    private struct Group: Hashable {
        var graph: ArchitectureGraph
        var tensors: [TensorInfo]
    }

    /// The models that can be run, in order.
    private(set) var models: [Model] = []
    /// Those that cannot.
    private(set) var failures: [PartialFailure.Item] = []

    /// Finds architectures and tasks.
    ///
    /// - Throws: `notFound` when nothing is selected.
    init(
        _ checkpoints: [SelectedCheckpoint], inputShape: [Int], architecture: String?, settings: [String],
        session: Session
    ) throws {
        let library = try ArchitectureLibrary(session, explicit: architecture, settings: settings)
        try library.loadConfigs(of: checkpoints)
        var networks: [Group: NetworkForward] = [:]
        for checkpoint in checkpoints {
            do {
                let tensors = try library.tensors(of: checkpoint)
                let graph = try library.architecture(of: checkpoint, tensors: tensors, inputShape: inputShape).graph
                let group = Group(graph: graph, tensors: tensors)
                let network = try networks[group] ?? NetworkForward(graph, tensors: tensors)
                networks[group] = network
                guard network.inputShape == inputShape else {
                    throw ZooError(
                        .mismatch, "reads inputs of shape \(network.inputShape), the data has \(inputShape)")
                }
                let config = try checkpoint.row.map { try library.config(of: $0.modelID) } ?? JSONObject()
                models.append(
                    Model(
                        checkpoint: checkpoint, network: network,
                        parameterCount: tensors.reduce(0) {
                            $0 + ($1.dtype.isFloatingPoint ? $1.shape.elementCount : 0)
                        }, task: try RetrievalTask(config: config)))
            } catch {
                let wrapped = ZooError.wrap(error)
                if wrapped.code == .interrupted { throw wrapped }
                failures.append(.init(checkpoint.label, wrapped))
            }
        }
        if models.isEmpty {
            throw failures.first?.error
                ?? ZooError(
                    .notFound, "no checkpoint is selected", hint: "'zoo query' shows what there is")
        }
    }

    /// Gives models without a known task that of a manifest.
    mutating func assign(_ tasks: [String: RetrievalTask]) {
        for place in models.indices {
            if let task = tasks[models[place].checkpoint.label] { models[place].task = task }
        }
    }
}
