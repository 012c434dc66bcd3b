import Testing
import ZooBase
import ZooFormats
import ZooLandscape
import ZooNN
import ZooTensor
import ZooTestModels
import ZooTestSupport

/// Surfaces: norms of directions, a quadratic in closed form, invariance under rescaled layers, trajectories.
@Suite struct SurfaceTests {
    private func norm(_ values: ArraySlice<Double>) -> Double { values.reduce(0) { $0 + $1 * $1 }.squareRoot() }

    private func problem(_ state: any TensorSource) throws -> LossProblem {
        let samples = try ReferenceZoo.samples(
            "digits-tasks/data/zoo_c_data.safetensors", "clean.train"
        ).subset(0..<100)
        let request = ArchitectureRequest(tensors: state.tensorInfos, inputShape: samples.inputShape)
        return try ModelSweep(ReferenceZoo.resolver().choose(request).graph, tensors: request.tensors, samples: samples)
            .problem(state)
    }

    private func pretrained() throws -> StateDict {
        try CheckpointFile.open(Repository.path("zoos/digits-tasks/pretrained.safetensors")).source.stateDict()
    }

    @Test func directionsHaveTheNormsOfFilters() throws {
        let problem = try problem(try pretrained())
        for scaling in DirectionScaling.allCases {
            let direction = SurfaceDirections.random(
                problem.layout, at: problem.initial, scaling: scaling, seed: 5, number: 0)
            for entry in problem.layout.entries {
                let rows = max(1, entry.shape.dimensions.first ?? 1)
                guard entry.shape.rank > 1 else {
                    #expect(direction[entry.range].allSatisfy { $0 == 0 })
                    continue
                }
                if scaling == .layer || scaling == .unitLayer {
                    let wanted = scaling == .layer ? norm(problem.initial[entry.range]) : 1
                    #expect(abs(norm(direction[entry.range]) - wanted) < 1e-8 * max(1, wanted))
                    continue
                }
                for row in 0..<rows {
                    let size = entry.range.count / rows, start = entry.range.lowerBound + row * size
                    let found = norm(direction[start..<start + size])
                    switch scaling {
                    case .filter: #expect(abs(found - norm(problem.initial[start..<start + size])) < 1e-8 * found)
                    case .unitFilter: #expect(abs(found - 1) < 1e-8)
                    default: #expect(found > 0)
                    }
                }
            }
        }
        let again = SurfaceDirections.random(problem.layout, at: problem.initial, seed: 5, number: 0)
        #expect(again == SurfaceDirections.random(problem.layout, at: problem.initial, seed: 5, number: 0))
        #expect(again != SurfaceDirections.random(problem.layout, at: problem.initial, seed: 5, number: 1))
    }

    /// L = ½(4u² + v²) at (1 + a, 1 + b).
    @Test func aQuadraticIsItsPolynomial() throws {
        let problem = try LinearNetworks.problem([[1, 1]], [[2, 0], [0, 1]], loss: LinearNetworks.squares)
        let axis = LossSurface.grid(-1, 1, count: 5)
        #expect(axis == [-1, -0.5, 0, 0.5, 1])
        let surface = try LossSurface(
            problem, directions: [[1, 0], [0, 1]], x: axis, y: axis, measuresAccuracy: false)
        #expect(surface.count == 25)
        for number in 0..<surface.count {
            let (a, b) = surface.place(number)
            let wanted = 2 * (1 + a) * (1 + a) + (1 + b) * (1 + b) / 2
            #expect(abs((try surface.point(number).loss ?? -1) - wanted) <= 1e-5 * max(1, wanted))
        }
        #expect(throws: ZooError.self) { try LossSurface(problem, directions: [[1]], x: axis) }
        // What overflows is missing.
        let far = try LossSurface(problem, directions: [[1e30, 0]], x: [0, 1e9], measuresAccuracy: false)
        #expect(try far.point(0).loss != nil && far.point(1).loss == nil)
    }

    /// The first layer times c, the second divided by c: the same function, and the same surface.
    @Test func surfacesDoNotSeeRescaledLayers() throws {
        let state = try pretrained()
        var scaled = state
        func multiply(_ name: String, _ factor: Float) throws {
            let old = try state.tensor(named: name)
            scaled[name] = Tensor(old.floats().map { $0 * factor }, shape: old.shape)
        }
        try multiply("encoder.conv1.weight", 4)
        try multiply("encoder.conv1.bias", 4)
        try multiply("encoder.conv2.weight", 0.25)
        func losses(_ state: StateDict) throws -> [Double] {
            let problem = try problem(state)
            let directions = (0..<2).map {
                SurfaceDirections.random(problem.layout, at: problem.initial, seed: 1, number: $0)
            }
            let surface = try LossSurface(problem, directions: directions, x: [-0.5, 0, 0.5], y: [-0.5, 0, 0.5])
            return try (0..<surface.count).map { try surface.point($0).loss ?? -1 }
        }
        let first = try losses(state), second = try losses(scaled)
        for (a, b) in zip(first, second) { #expect(abs(a - b) < 1e-4 * a) }
        #expect(first[0] != first[4])
    }

    @Test func trajectoriesLieInTheirPlane() throws {
        // Along (1, 1, 0)/√2 three times as far as along (0, 0, 1).
        let points: [[Double]] = [[3, 3, 0], [1, 1, 1], [-1, -1, 1], [-3, -3, 0]]
        let plane = try TrajectoryPlane(points, origin: points[3])
        #expect(abs(plane.explained[0] - 40 / 41) < 1e-9 && abs(plane.explained[1] - 1 / 41) < 1e-9)
        let half = 0.5.squareRoot()
        #expect(abs(abs(plane.directions[0][0]) - half) < 1e-9 && abs(abs(plane.directions[1][2]) - 1) < 1e-9)
        #expect(abs(plane.path[3].x) < 1e-9 && abs(plane.path[3].y) < 1e-9)
        #expect(abs(abs(plane.path[0].x) - 72.0.squareRoot()) < 1e-9)
        #expect(throws: ZooError.self) { try TrajectoryPlane([[1, 2], [2, 4], [3, 6]], origin: [0, 0]) }
        #expect(throws: ZooError.self) { try TrajectoryPlane([[1, 2], [2, 1]], origin: [0, 0]) }
    }
}
