/// Where one way of finding rows gives way to another. They change how long an answer takes, never the answer: tests
/// run with other values to reach all ways on small catalogs.
package struct PlannerLimits: Sendable {
    /// A set of models up to this size is listed before anything else is read; a larger one excludes too little.
    package var modelSet: Int
    /// The same for a set of checkpoints.
    package var checkpointSet: Int
    /// When this many models did not settle a search and an index leads to the rows, the index is asked instead.
    package var patience: Int
    /// When this many models did not settle a search, one pass over all checkpoints is as good.
    package var lastPatience: Int
    /// How many models are looked at before the first look at what is settled.
    package var chunk: Int

    /// Limits for a test; the defaults are those of every query.
    package init(
        modelSet: Int = 10_000, checkpointSet: Int = 60_000, patience: Int = 2000, lastPatience: Int = 8000,
        chunk: Int = 16
    ) {
        self.modelSet = modelSet
        self.checkpointSet = checkpointSet
        self.patience = patience
        self.lastPatience = lastPatience
        self.chunk = chunk
    }
}
