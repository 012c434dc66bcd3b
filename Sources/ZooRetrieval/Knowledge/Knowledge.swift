import ZooBase
import ZooTensor

/// What was learned of a black box by asking it: class nodes and points on class boundaries, as features.
public struct Knowledge: Sendable, Hashable {
    /// Draws T.
    public var draws: Int
    /// Classes C.
    public var classes: Int
    /// Boundary points per class W: all other classes, or the most similar six when there are more than twelve.
    public var width: Int
    /// Numbers per feature vector d.
    public var dimension: Int
    /// The other class of each boundary point `[C, W]`.
    public var partners: [Int]
    /// φ of the nodes `[T, C, d]`.
    public var nodes: [Float]
    /// φ of the boundary points `[T, C, W, d]`.
    public var boundaries: [Float]
    /// Where on the way from node to node the class changes, 0 to 1 `[T, C, W]`.
    public var distances: [Float]
    /// Classes that no probe belongs to: masked.
    public var isEmpty: [Bool]
    /// The least, over classes that are not empty, of the largest probability that a probe has.
    public var coverage: Double
    /// Inputs that the box was asked about.
    public var queryCount: Int
    /// Class probabilities on fixed noise, for the encoder `tans`; empty otherwise.
    public var noise: [Float] = []

    /// Knowledge of given parts.
    public init(
        draws: Int, classes: Int, width: Int, dimension: Int, partners: [Int], nodes: [Float], boundaries: [Float],
        distances: [Float], isEmpty: [Bool], coverage: Double, queryCount: Int, noise: [Float] = []
    ) {
        self.draws = draws
        self.classes = classes
        self.width = width
        self.dimension = dimension
        self.partners = partners
        self.nodes = nodes
        self.boundaries = boundaries
        self.distances = distances
        self.isEmpty = isEmpty
        self.coverage = coverage
        self.queryCount = queryCount
        self.noise = noise
    }

    /// Classes that count.
    package var liveClasses: [Int] { (0..<classes).filter { !isEmpty[$0] } }

    /// Below this coverage nodes may mean little: the pool misses the model's classes.
    public static let lowCoverage = 0.5

    /// The node of a class in a draw.
    func node(_ t: Int, _ c: Int) -> ArraySlice<Float> {
        let start = (t * classes + c) * dimension
        return nodes[start..<start + dimension]
    }

    /// A boundary point.
    func boundary(_ t: Int, _ c: Int, _ w: Int) -> ArraySlice<Float> {
        let start = ((t * classes + c) * width + w) * dimension
        return boundaries[start..<start + dimension]
    }

    /// What tells one capture from another.
    public var digest: String {
        var hash = Fingerprint()
        hash.add(nodes)
        hash.add(boundaries)
        hash.add(distances)
        return hash.text
    }
}
