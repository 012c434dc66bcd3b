/// Where one way of finding rows gives way to another. They change how long an answer takes, never the answer: tests
/// run with other values to reach all ways on small catalogs.
struct PlannerLimits {
    /// A set of models up to this size is listed before anything else is read; a larger one excludes too little.
    var modelSet = 10_000
    /// The same for a set of checkpoints.
    var checkpointSet = 60_000
    /// When this many models did not settle a search and an index leads to the rows, the index is asked instead.
    var patience = 2000
    /// When this many models did not settle a search, one pass over all checkpoints is as good.
    var lastPatience = 8000
    /// How many models are looked at before the first look at what is settled.
    var chunk = 16
}
