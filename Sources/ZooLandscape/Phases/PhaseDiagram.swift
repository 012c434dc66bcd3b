#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// The phase of every cell of a load–temperature grid, decided by stated thresholds.
///
/// The taxonomy (arXiv 2107.11228) draws borders by eye; this procedure finds them: Otsu's threshold on the logarithm
/// of sharpness, of training loss, or on both together tells sharp from flat, a tolerance on mode connectivity tells
/// connected from separated, and Otsu's threshold on CKA tells IV-A from IV-B. Results do not depend on the order of
/// the cells. A grid without two clear sides is not split, and says so.
public struct PhaseDiagram: Sendable {
    /// The cells, row by row.
    public let cells: [PhaseCell]
    /// The phase of each.
    public private(set) var phases: [Phase]
    /// What is noteworthy about each.
    public private(set) var flags: [Set<PhaseFlag>]
    /// The threshold on the axis; nil when there is one regime only.
    public private(set) var side: PhaseThreshold?
    /// The threshold on CKA; nil when no cell is in phase IV.
    public private(set) var similarity: PhaseThreshold?
    /// Mean training loss of the sharp side over that of the flat side (geometric means).
    public private(set) var lossRatio: Double?
    /// The same of sharpness.
    public private(set) var sharpnessRatio: Double?
    /// Where each cell lies on the axis; nil for cells outside the split.
    public private(set) var coordinates: [Double?]
    /// What the reader must know: one regime only, a weak split.
    public private(set) var remarks: [String] = []
    /// The rules that were used.
    public let rules: PhaseRules

    /// Least number of cells for thresholds from the grid.
    private static let leastCells = 8
    /// Within this of a threshold a cell is at a border.
    private static let borders = (side: 0.25, connectivity: 0.5, similarity: 0.02)

    /// Decides the phases.
    ///
    /// - Parameters:
    ///   - grid: rows of cells, all of one length, hot rows first or last as the caller likes.
    ///   - rules: how.
    public init(_ grid: [[PhaseCell]], rules: PhaseRules = PhaseRules()) {
        precondition(grid.allSatisfy { $0.count == grid.first?.count })
        self.rules = rules
        cells = rules.isSmoothed ? GridMedian(grid).cells : grid.flatMap { $0 }
        phases = Array(repeating: .unknown, count: cells.count)
        flags = Array(repeating: [], count: cells.count)
        coordinates = Array(repeating: nil, count: cells.count)
        let sharp = tellSides()
        tellPhases(sharp)
        tellSimilarity()
        markBorders()
    }

    // MARK: Sharp and flat

    /// Measured and usable for the split: not underfitted, positive curvature.
    private func isComparable(_ place: Int) -> Bool {
        isKnown(place) && !flags[place].contains(.underfitted) && !flags[place].contains(.negativeCurvature)
    }

    private func isKnown(_ place: Int) -> Bool {
        [cells[place].sharpness, cells[place].connectivity, cells[place].trainLoss].allSatisfy { $0?.isFinite == true }
    }

    /// Steps 0 to 3 of the procedure: whether each cell is sharp.
    private mutating func tellSides() -> [Bool] {
        let guessing = log(Double(rules.classCount))
        for (place, cell) in cells.enumerated() where isKnown(place) {
            let loss = cell.trainLoss ?? 0
            if loss > guessing / 2 { flags[place].insert(.underfitted) }
            if loss > 0.85 * guessing { flags[place].insert(.collapsed) }
            if (cell.sharpness ?? 0) <= 0 { flags[place].insert(.negativeCurvature) }
        }
        let usable = cells.indices.filter(isComparable)
        let sharpness = usable.map { log(cells[$0].sharpness ?? 1) }
        let losses = usable.map { log(max(cells[$0].trainLoss ?? 0, 1e-300)) }
        let axis = Self.coordinates(rules.axis, sharpness, losses)
        var sharp = cells.indices.map { !isComparable($0) }
        for (place, u) in zip(usable, axis) { coordinates[place] = u }
        guard let threshold = sideThreshold(axis, sharpness, losses) else {
            let median = losses.sorted().dropFirst(losses.count / 2).first ?? 0
            let areFlat = median < log(0.1 * guessing)
            for place in usable { sharp[place] = !areFlat }
            if !usable.isEmpty { remarks.append("one curvature regime: the grid is not split in sharp and flat") }
            return sharp
        }
        side = threshold
        for (place, u) in zip(usable, axis) { sharp[place] = u > threshold.value }
        markMixed(usable, sharpness, losses)
        return sharp
    }

    private static func coordinates(_ axis: PhaseRules.Axis, _ sharpness: [Double], _ losses: [Double]) -> [Double] {
        switch axis {
        case .hessian: sharpness
        case .loss: losses
        case .both: zip(standardised(sharpness), standardised(losses)).map { $0 + $1 }
        }
    }

    private static func standardised(_ values: [Double]) -> [Double] {
        guard !values.isEmpty else { return [] }
        let n = Double(values.count)
        let mean = values.reduce(0, +) / n
        let deviation = sqrt(values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / n)
        return values.map { deviation > 0 ? ($0 - mean) / deviation : 0 }
    }

    /// Step 2: the threshold, unless the two sides are not different enough.
    private mutating func sideThreshold(
        _ axis: [Double], _ sharpness: [Double], _ losses: [Double]
    ) -> PhaseThreshold? {
        if let given = rules.sideThreshold { return PhaseThreshold(value: given, origin: .user) }
        guard axis.count >= Self.leastCells, let low = sharpness.min(), let high = sharpness.max(),
            high - low >= log(4), let otsu = Otsu(axis)
        else { return nil }
        let isSharp = axis.map { $0 > otsu.threshold }
        lossRatio = Self.ratio(losses, isSharp)
        sharpnessRatio = Self.ratio(sharpness, isSharp)
        guard let lossRatio, let sharpnessRatio, lossRatio >= rules.leastLossRatio else { return nil }
        if lossRatio < 10 || sharpnessRatio < 2 {
            remarks.append("the split is weak: crossing a real transition changes the training loss more than tenfold")
        }
        return PhaseThreshold(value: otsu.threshold, origin: .otsu, separability: otsu.separability)
    }

    /// exp(mean where sharp − mean elsewhere).
    private static func ratio(_ logs: [Double], _ isSharp: [Bool]) -> Double? {
        let sharp = zip(logs, isSharp).filter(\.1).map(\.0), flat = zip(logs, isSharp).filter { !$0.1 }.map(\.0)
        guard !sharp.isEmpty, !flat.isEmpty else { return nil }
        return exp(sharp.reduce(0, +) / Double(sharp.count) - flat.reduce(0, +) / Double(flat.count))
    }

    private mutating func markMixed(_ usable: [Int], _ sharpness: [Double], _ losses: [Double]) {
        guard let bySharpness = Otsu(sharpness), let byLoss = Otsu(losses) else { return }
        for (index, place) in usable.enumerated()
        where (sharpness[index] > bySharpness.threshold) != (losses[index] > byLoss.threshold) {
            flags[place].insert(.mixed)
        }
    }

    // MARK: Phases

    private mutating func tellPhases(_ sharp: [Bool]) {
        for (place, cell) in cells.enumerated() where isKnown(place) {
            let isPoor = (cell.connectivity ?? 0) < -rules.connectivityTolerance
            phases[place] = sharp[place] ? (isPoor ? .one : .two) : (isPoor ? .three : .four)
        }
    }

    /// Step 4: IV-A and IV-B.
    private mutating func tellSimilarity() {
        let connected = cells.indices.filter { phases[$0] == .four }
        let known = connected.filter { cells[$0].similarity?.isFinite == true }
        guard !known.isEmpty else { return }
        let values = known.compactMap { cells[$0].similarity }
        let spread = (values.max() ?? 0) - (values.min() ?? 0)
        let threshold: PhaseThreshold
        if let given = rules.similarityThreshold {
            threshold = PhaseThreshold(value: given, origin: .user)
        } else if values.count >= Self.leastCells, spread >= 0.1, let otsu = Otsu(values) {
            threshold = PhaseThreshold(value: otsu.threshold, origin: .otsu, separability: otsu.separability)
        } else {
            threshold = PhaseThreshold(value: rules.fixedSimilarity, origin: .fixed)
        }
        similarity = threshold
        for place in known {
            phases[place] = (cells[place].similarity ?? 0) >= threshold.value ? .fourB : .fourA
        }
    }

    /// Step 5: cells that lie close to a threshold.
    private mutating func markBorders() {
        for (place, cell) in cells.enumerated() where phases[place] != .unknown {
            var isClose = abs((cell.connectivity ?? 0) + rules.connectivityTolerance) < Self.borders.connectivity
            if let u = coordinates[place], let side { isClose = isClose || abs(u - side.value) < Self.borders.side }
            if phases[place] == .fourA || phases[place] == .fourB, let similarity, let k = cell.similarity {
                isClose = isClose || abs(k - similarity.value) < Self.borders.similarity
            }
            if isClose { flags[place].insert(.boundary) }
        }
    }
}
