import ZooBase
import ZooCatalog
import ZooNN
import ZooRetrieval

/// Opens models of an index as networks, for rankers that show them the query.
struct IndexedNetworks: Sendable {
    private let networks: [String: ZooModels.Model]

    /// Finds the models at the given places; only when a ranking needs them.
    init(
        _ index: RetrievalIndex, places: [Int], architecture: String?, settings: [String], session: Session
    ) throws {
        let selectors = places.map { index.models[$0].selector }.filter { !$0.isEmpty }
        guard !selectors.isEmpty else {
            networks = [:]
            return
        }
        let found = try SelectorResolver(catalogPath: session.catalogPath).resolve(selectors)
        let models = try ZooModels(
            found, inputShape: index.pool.inputShape, architecture: architecture, settings: settings, session: session)
        networks = Dictionary(models.models.map { ($0.checkpoint.label, $0) }, uniquingKeysWith: { first, _ in first })
    }

    /// No model.
    init() { networks = [:] }

    /// The network of a model.
    ///
    /// - Throws: `notFound` for a box outside the catalog, or a model that has gone.
    func open(_ model: IndexedModel) throws -> NetworkBox {
        guard let found = networks[model.name] else {
            throw ZooError(
                .notFound, "\(model.name): cannot be run on the query; the index knows its answers only",
                hint: "take a ranking without model passes: know2vec, surrogate, logit")
        }
        return try found.box()
    }
}

/// The places of an index that a condition on the catalog allows.
enum IndexFilter {
    /// All places without a condition; else those of catalogued models that meet it.
    ///
    /// - Throws: `notFound` when none is left.
    static func places(_ index: RetrievalIndex, condition: String?, classes: Int?, session: Session) throws -> [Int] {
        var places = Array(index.models.indices)
        if let condition {
            let rows = try Catalog(session.catalogPath).resolve("where:\(condition)")
            let ids = Set(rows.map { Int($0.id) })
            places = places.filter { index.models[$0].checkpoint.map(ids.contains) ?? false }
        }
        if let classes {
            places = places.filter { index.models[$0].classCount - index.models[$0].emptyClasses.count == classes }
        }
        guard !places.isEmpty else {
            throw ZooError(
                .notFound, "no model of the index is left by the filters", hint: "widen --where or --class-count")
        }
        return places
    }
}
