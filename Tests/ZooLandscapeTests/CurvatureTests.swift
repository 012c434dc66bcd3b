import Foundation
import Testing
import ZooBase
import ZooFormats
import ZooLandscape
import ZooNN
import ZooTensor
import ZooTestModels
import ZooTestSupport

/// Eigenvalues, traces and densities in closed form, and of sample networks against the whole Hessian in Float64.
@Suite struct CurvatureTests {
    /// A matrix as an operator.
    private func matrix(_ rows: [[Double]]) -> CurvatureOperator {
        CurvatureOperator(dimension: rows.count, blockSize: 3) { vectors in
            vectors.map { vector in rows.map { row in zip(row, vector).reduce(0) { $0 + $1.0 * $1.1 } } }
        }
    }

    private func diagonal(_ values: [Double]) -> CurvatureOperator {
        matrix(values.indices.map { i in values.indices.map { $0 == i ? values[i] : 0 } })
    }

    /// Linear regression on four points: H = [[2, 3], [3, 7]].
    private let regression = [[2.0, 3], [3, 7]]

    @Test func regressionInClosedForm() throws {
        let high = (9 + 61.0.squareRoot()) / 2, low = (9 - 61.0.squareRoot()) / 2
        let ends = try LargestEigenvalues(matrix(regression), count: 2, tolerance: 1e-10)
        #expect(abs(ends.values[0].value - high) < 1e-9 && ends.values[0].isConverged)
        #expect(abs(ends.values[1].value - low) < 1e-9)
        #expect(abs(try LargestEigenvalues.smallest(of: matrix(regression), tolerance: 1e-10).value - low) < 1e-9)
        let power = try PowerIteration(matrix(regression), count: 2, tolerance: 1e-9)
        #expect(abs(power.eigenvalues[0].value - high) < 1e-6)
        #expect(abs(power.eigenvalues[1].value - low) < 1e-6)
        let trace = try TraceEstimator(matrix(regression))
        // A probe gives 9 + 6 or 9 − 6.
        #expect(trace.samples.allSatisfy { $0 == 15 || $0 == 3 })
        #expect(abs(trace.trace.value - 9) < 4 * (trace.trace.error ?? 0))
        let full = try FullSpectrum(matrix(regression))
        #expect(zip(full.eigenvalues, [low, high]).allSatisfy { abs($0 - $1) < 1e-12 })
        #expect(full.trace == 9 && full.asymmetry == 0)
    }

    @Test func negativeEigenvaluesAreToldApart() throws {
        let values = Array(repeating: 1.0, count: 9) + [-5]
        #expect(abs(try PowerIteration(diagonal(values), tolerance: 1e-8).eigenvalues[0].value + 5) < 1e-4)
        #expect(abs(try LargestEigenvalues(diagonal(values)).values[0].value - 1) < 1e-9)
        #expect(abs(try LargestEigenvalues.smallest(of: diagonal(values)).value + 5) < 1e-9)
        #expect(abs(try TraceEstimator(diagonal(values)).trace.value - 4) < 1e-12)
        let constant = try PowerIteration(diagonal([3, 3, 3, 3]))
        #expect(constant.eigenvalues[0].products == 2 && abs(constant.eigenvalues[0].value - 3) < 1e-12)
    }

    @Test func theTraceErrorIsCalibrated() throws {
        var generator = SeededGenerator(seed: 1)
        let n = 12
        var rows = [[Double]](repeating: [Double](repeating: 0, count: n), count: n)
        for i in 0..<n {
            for j in i..<n {
                rows[i][j] = Double.random(in: -1...1, using: &generator) + (i == j ? 3 : 0)
                rows[j][i] = rows[i][j]
            }
        }
        let exact = rows.indices.reduce(0) { $0 + rows[$1][$1] }
        var outside = 0
        for seed in 0..<300 {
            let trace = try TraceEstimator(matrix(rows), tolerance: 0, most: 40, seed: UInt64(seed)).trace
            #expect(!trace.isConverged && trace.products == 40)
            if abs(trace.value - exact) > 4 * (trace.error ?? 0) { outside += 1 }
        }
        #expect(outside <= 2)
    }

    /// On a spectrum that falls off, Hutch++ is unbiased and far closer than plain probes of the same number.
    @Test func hutchPlusPlusFindsTheRange() throws {
        var generator = SeededGenerator(seed: 8)
        let n = 30
        // Σ vᵢ vᵢᵀ / i³ for random vectors of signs.
        var rows = [[Double]](repeating: [Double](repeating: 0, count: n), count: n)
        for i in 1...n {
            let vector = (0..<n).map { _ in Bool.random(using: &generator) ? 1.0 : -1.0 }
            let scale = 1 / Double(i * i * i)
            for a in 0..<n {
                for b in 0..<n { rows[a][b] += scale * vector[a] * vector[b] }
            }
        }
        let exact = rows.indices.reduce(0) { $0 + rows[$1][$1] }
        func errors(_ method: TraceEstimator.Method) throws -> [Double] {
            try (0..<60).map { seed in
                let found = try TraceEstimator(
                    matrix(rows), method: method, tolerance: 0, most: 24, seed: UInt64(seed)
                ).trace
                #expect(found.products <= 24)
                return found.value - exact
            }
        }
        let plain = try errors(.hutchinson), better = try errors(.hutchPlusPlus)
        func size(_ values: [Double]) -> Double {
            (values.reduce(0) { $0 + $1 * $1 } / Double(values.count)).squareRoot()
        }
        #expect(size(better) < size(plain) / 5)
        #expect(abs(better.reduce(0, +) / 60) < 4 * size(better) / 60.0.squareRoot())
    }

    /// diag(1, 2, 3, 4): every start of signs gives the same run.
    @Test(arguments: [
        (2, [1.3819660, 3.6180340], [0.5, 0.5]), (3, [1.0682179, 2.5, 3.9317821], [0.3048780, 0.3902439, 0.3048780]),
        (4, [1, 2, 3, 4], [0.25, 0.25, 0.25, 0.25]), (9, [1, 2, 3, 4], [0.25, 0.25, 0.25, 0.25]),
    ])
    func quadratureInClosedForm(_ steps: Int, _ nodes: [Double], _ weights: [Double]) throws {
        let density = try SpectralDensity(diagonal([1, 2, 3, 4]), steps: steps, runs: 3)
        for run in density.runs {
            #expect(run.count == nodes.count)
            for (found, (value, weight)) in zip(run, zip(nodes, weights)) {
                #expect(abs(found.value - value) < 1e-6 && abs(found.weight - weight) < 1e-6)
            }
        }
        #expect(abs(density.trace.value - 10) < 1e-9)
        #expect(abs(density.squaredFrobeniusNorm.value - 30) < 1e-9)
        let (values, curve) = density.curve(points: 4001)
        #expect(curve.allSatisfy { $0 >= 0 })
        #expect(abs(curve.reduce(0, +) * (values[1] - values[0]) - 1) < 1e-9)
    }

    @Test func effectiveDimensionInClosedForm() throws {
        let density = try SpectralDensity(diagonal([10, 1, 0.1, 0]), steps: 4, runs: 1)
        #expect(abs(density.effectiveDimension(z: 1).value - 1.5) < 1e-7)
        #expect(abs(density.effectiveDimension(z: 0.1).value - 2.3991899) < 1e-6)
    }

    @Test func productsThatAreNotFiniteAreAnError() {
        let broken = CurvatureOperator(dimension: 3) { $0.map { $0.map { _ in Double.nan } } }
        #expect(throws: ZooError.self) { try LargestEigenvalues(broken) }
        #expect(throws: ZooError.self) { try TraceEstimator(broken) }
    }

    // MARK: Sample networks

    private func problem(_ model: ReferenceZoo.Model, _ samples: Samples) throws -> LossProblem {
        let request = ArchitectureRequest(
            tensors: model.source.tensorInfos, inputShape: samples.inputShape, config: model.config)
        return try ModelSweep(ReferenceZoo.resolver().choose(request).graph, tensors: request.tensors, samples: samples)
            .problem(model.source, jobs: 2)
    }

    private func expected(_ name: String) throws -> JSONObject {
        let path = Repository.path("Tests/ZooNNTests/Fixtures/\(name).json")
        let json = try JSONParser.parse(Bytes(mapping: path))
        return try #require(json["models"]?.object)
    }

    @Test func spectraOfSampleNetworks() throws {
        let samples = try ReferenceZoo.samples("data/digits.safetensors", "train").subset(0..<64)
        let reference = try expected("zoo_a_hessian")
        var compared = 0
        for model in try ReferenceZoo.models("digits-cnn.zip") where model.epoch == 25 {
            guard let json = reference[model.trial], let exact = json["exact_trace"]?.double else { continue }
            let hessian = CurvatureOperator.hessian(try problem(model, samples))
            let top = try #require(json["lanczos"]?["top5"]?.array).compactMap(\.double)
            let ends = try LargestEigenvalues(hessian, count: 5)
            for (found, wanted) in zip(ends.values, top) {
                #expect(abs(found.value - wanted) <= 1e-3 * wanted && found.isConverged, "\(model.trial)")
            }
            let trace = try TraceEstimator(hessian, most: 60).trace
            #expect(abs(trace.value - exact) <= 4 * (trace.error ?? 0), "\(model.trial)")
            let beside = try TraceEstimator(hessian, beside: ends).trace
            #expect(abs(beside.value - exact) <= 4 * (beside.error ?? 0) + 1e-4 * abs(exact), "\(model.trial)")
            compared += 1
            guard compared == 1, let full = json["full"] else { continue }
            let spectrum = try FullSpectrum(hessian)
            #expect(abs(spectrum.trace - exact) <= 1e-4 * abs(exact))
            #expect(abs((spectrum.eigenvalues.last ?? 0) - top[0]) <= 1e-4 * top[0])
            let bottom = full["bottom3"]?.array?.compactMap(\.double) ?? []
            for (found, wanted) in zip(spectrum.eigenvalues, bottom) { #expect(abs(found - wanted) < 1e-3 * top[0]) }
            let density = try SpectralDensity(hessian, steps: 40, runs: 4)
            #expect(abs(density.trace.value - exact) <= 5 * (density.trace.error ?? 0))
        }
        #expect(compared >= 10)
    }

    @Test func topEigenvaluesOfBatchNormNetworks() throws {
        let samples = try ReferenceZoo.samples("data/digits.safetensors", "train", labels: "y_train_noisy")
            .subset(0..<64)
        let reference = try expected("zoo_b_hessian")
        var compared = 0
        for model in try ReferenceZoo.models("digits-phases.tar.gz") {
            guard let json = reference[model.trial], compared < 12 else { continue }
            let problem = try problem(model, samples)
            let top = try #require(json["lanczos"]?["top5"]?.array).compactMap(\.double)
            let ends = try LargestEigenvalues(.hessian(problem), tolerance: 1e-4)
            #expect(abs(ends.values[0].value - top[0]) <= 1e-3 * top[0], "\(model.trial)")
            if let exact = json["exact_trace"]?.double {
                let trace = try TraceEstimator(.hessian(problem), most: 100).trace
                #expect(abs(trace.value - exact) <= 4 * (trace.error ?? 0), "\(model.trial)")
            }
            compared += 1
        }
        #expect(compared == 12)
    }

    @Test func spectraOfTaskNetworks() throws {
        let json = try JSONParser.parse(
            Bytes(mapping: Repository.path("Tests/ZooLandscapeTests/Fixtures/zoo_c_hessian.json")))
        var compared = 0
        for (name, entry) in try #require(json["models"]?.object) {
            let subset = try #require(entry["subset"]?.string)
            let task = String(subset.prefix(while: { $0 != "." }))
            let path = name == "pretrained" ? "pretrained" : name.contains("/") ? name : "tasks/\(name)"
            let file = Repository.path("zoos/digits-tasks/\(path).safetensors")
            guard let source = try? CheckpointFile.open(file).source else { continue }
            let samples = try ReferenceZoo.samples("digits-tasks/data/zoo_c_data.safetensors", "\(task).train")
                .subset(0..<64)
            let problem = try problem(.init(trial: name, epoch: 0, config: JSONObject(), source: source), samples)
            let top = try #require(entry["lanczos"]?["top5"]?.array).compactMap(\.double)
            let ends = try LargestEigenvalues(.hessian(problem), count: 5)
            for (found, wanted) in zip(ends.values, top) {
                #expect(abs(found.value - wanted) <= 1e-3 * wanted && found.isConverged, "\(name)")
            }
            let exact = try #require(entry["exact_trace"]?.double)
            let trace = try TraceEstimator(.hessian(problem), beside: ends).trace
            #expect(abs(trace.value - exact) <= 4 * (trace.error ?? 0) + 1e-4 * exact, "\(name)")
            compared += 1
        }
        #expect(compared >= 2)
    }

    /// The Fisher trace by single gradients is the trace of the Gauss–Newton matrix by products.
    @Test func fisherTracesAgree() throws {
        let samples = try ReferenceZoo.samples("data/digits.safetensors", "train").subset(0..<40)
        let model = try #require(try ReferenceZoo.models("digits-cnn.zip").first { $0.epoch == 25 })
        let problem = try problem(model, samples)
        let request = ArchitectureRequest(
            tensors: model.source.tensorInfos, inputShape: samples.inputShape, config: model.config)
        let graph = try ReferenceZoo.resolver().choose(request).graph
        let exact = try FisherTrace.exact(graph, model: model.source, samples: samples, jobs: 2)
        let full = try FullSpectrum(.gaussNewton(problem)).trace
        #expect(abs(exact - full) <= 1e-4 * full)
        let empirical = try FisherTrace.empirical(graph, model: model.source, samples: samples)
        #expect(empirical > 0 && abs(empirical - exact) > 1e-6)
    }
}
