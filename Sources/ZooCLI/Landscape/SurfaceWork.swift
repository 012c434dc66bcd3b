import ZooBase
import ZooCatalog
import ZooLandscape
import ZooNN
import ZooReport

/// The steps of `zoo surface`.
struct SurfaceWork {
    private let command: Surface
    private let session: Session

    init(_ command: Surface, _ session: Session) {
        self.command = command
        self.session = session
    }

    /// Directions with the names of their axes, and a trajectory.
    private struct Directions {
        var vectors: [[Double]] = []
        var names: [String] = []
        var plane: TrajectoryPlane?
        var epochs: [Int?] = []
    }

    func run() throws -> SurfaceReport {
        let resolver = SelectorResolver(catalogPath: session.catalogPath)
        let center = try resolver.resolveOne(command.checkpoint)
        let other = try command.towards.map { try resolver.resolveOne($0) }
        let trajectory = try self.trajectory(center, resolver)
        let data = try LandscapeData.open(
            command.data, for: center,
            .init(architecture: command.architecture, settings: command.set, tokenizer: command.tokenizer),
            defaultSplit: "test", session)
        let group = try OneArchitecture(
            [center] + [other].compactMap(\.self) + trajectory, inputShape: data.inputShape,
            architecture: command.architecture, settings: command.set, session: session)
        if data.isLabelled(for: group.graph) { _ = try data.labelled() }
        let sweep = try data.sweep(group.graph, group.tensors)
        let problem = try sweep.problem(center.open())
        guard problem.initial.allSatisfy(\.isFinite) else {
            throw ZooError(.numeric, "\(center.label) diverged: its weights are not finite")
        }
        let found = try directions(problem, other, trajectory)
        let surface = try LossSurface(
            problem, directions: found.vectors, x: grid(found, 0), y: found.vectors.count > 1 ? grid(found, 1) : [0],
            measuresAccuracy: problem.hasAccuracy)
        return SurfaceReport(
            label: center.label, surface: surface, points: try evaluate(surface, problem, data, found),
            axes: found.names,
            plane: found.plane, epochs: found.epochs, cap: command.cap)
    }

    /// All checkpoints of the trial, by epoch.
    private func trajectory(
        _ center: SelectedCheckpoint, _ resolver: SelectorResolver
    ) throws -> [SelectedCheckpoint] {
        guard command.pca else { return [] }
        guard let row = center.row else {
            throw ZooError(
                .usage, "--pca needs a checkpoint of the catalog, with others of its trial",
                hint: "'zoo index' catalogs a zoo")
        }
        func quoted(_ text: String) -> String {
            "'" + text.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "''") + "'"
        }
        let found = try resolver.resolve(["where:zoo = \(quoted(row.zoo)) and model = \(quoted(row.model))"])
        return found.filter { $0.row?.modelID == row.modelID }.sorted {
            ($0.row?.epoch ?? 0, $0.row?.id ?? 0) < ($1.row?.epoch ?? 0, $1.row?.id ?? 0)
        }
    }

    private func directions(
        _ problem: LossProblem, _ other: SelectedCheckpoint?, _ trajectory: [SelectedCheckpoint]
    ) throws -> Directions {
        var found = Directions()
        if command.pca {
            let weights = try trajectory.map { try problem.layout.flatten($0.open()) }
            let finite = weights.indices.filter { weights[$0].allSatisfy(\.isFinite) }
            let plane = try TrajectoryPlane(finite.map { weights[$0] }, origin: problem.initial)
            found.vectors = plane.directions
            found.names = plane.explained.enumerated().map { place, share in
                "component \(place + 1) (\(Quantity.significant(100 * share, digits: 3)) % of the variance)"
            }
            found.plane = plane
            found.epochs = finite.map { trajectory[$0].row?.epoch }
        } else if let other {
            let end = try problem.layout.flatten(other.open())
            guard end.allSatisfy(\.isFinite) else {
                throw ZooError(.numeric, "\(other.label) diverged: its weights are not finite")
            }
            found.vectors = [SurfaceDirections.towards(end, from: problem.initial)]
            found.names = ["towards the other network (1: there)"]
        }
        for number in found.vectors.count..<max(found.vectors.count, command.dimensions) {
            found.vectors.append(
                SurfaceDirections.random(
                    problem.layout, at: problem.initial, scaling: command.scaling, seed: session.seed, number: number))
            found.names.append("random direction \(number + 1) (\(command.scaling.rawValue))")
        }
        return found
    }

    /// The coordinates of an axis: what was asked for, the trajectory's extent with a margin, −0.5 to 1.5 towards
    /// another network, else −1 to 1.
    private func grid(_ found: Directions, _ axis: Int) -> [Double] {
        let count = command.points ?? (found.vectors.count == 1 && command.towards != nil ? 401 : 51)
        if let range = command.extent { return LossSurface.grid(range.low, range.high, count: count) }
        if let plane = found.plane {
            let values = plane.path.map { axis == 0 ? $0.x : $0.y } + [0]
            let low = values.min() ?? -1, high = values.max() ?? 1
            let margin = 0.2 * max(high - low, 1e-6)
            return LossSurface.grid(low - margin, high + margin, count: count)
        }
        let towards = axis == 0 && command.towards != nil
        return LossSurface.grid(towards ? -0.5 : -1, towards ? 1.5 : 1, count: count)
    }

    /// Points of a tile: a row of a plane, or a piece of a line.
    private static let lineTile = 51

    private func evaluate(
        _ surface: LossSurface, _ problem: LossProblem, _ data: LandscapeData, _ found: Directions
    ) throws -> [LossSurface.Point] {
        let size = surface.y.count > 1 ? surface.x.count : Self.lineTile
        let ranges = stride(from: 0, to: surface.count, by: size).map { $0..<min($0 + size, surface.count) }
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for value in [problem.initial, surface.x, surface.y].joined() {
            hash = (hash ^ value.bitPattern) &* 0x100_0000_01B3
        }
        for value in found.vectors.joined() { hash = (hash ^ value.bitPattern) &* 0x100_0000_01B3 }
        let tiles = try SurfaceTiles(
            command.tiles, settings: "surface samples=\(data.fingerprint) points=\(surface.count) hash=\(hash)",
            tileSizes: ranges.map(\.count))
        let progress = session.progress("surface", total: surface.count, unit: .items("points"))
        defer { progress.finish() }
        let points = try Parallel.map(count: ranges.count, jobs: session.jobs) { number -> [LossSurface.Point] in
            if let known = tiles.tile(number) {
                progress.advance(by: known.count)
                return known
            }
            let points = try ranges[number].map { place -> LossSurface.Point in
                try Cancellation.check()
                defer { progress.advance(by: 1) }
                return try surface.point(place)
            }
            try tiles.keep(number, points)
            return points
        }
        return points.flatMap { $0 }
    }
}
