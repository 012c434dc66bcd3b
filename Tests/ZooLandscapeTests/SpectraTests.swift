import Foundation
import Testing
import ZooBase
import ZooLandscape
import ZooTensor
import ZooTestModels
import ZooTestSupport

/// Power-law fits and spectra of weights in closed form, and against WeightWatcher.
@Suite struct SpectraTests {
    private func quantiles(_ n: Int, _ alpha: Double) -> [Double] {
        (0..<n).map { pow(1 - (Double($0) + 0.5) / Double(n), -1 / (alpha - 1)) }
    }

    @Test(arguments: [(100, 2.5, 2.5128198, 0.0067328), (200, 3, 3.0085059, 0.0033645), (50, 2, 2.0172579, 0.0134799)])
    func powerLawOfQuantiles(_ n: Int, _ alpha: Double, _ fitted: Double, _ distance: Double) throws {
        let values = quantiles(n, alpha)
        let fit = try #require(PowerLaw(values))
        #expect(abs(fit.alpha - fitted) < 1e-6 && abs(fit.distance - distance) < 1e-6)
        #expect(fit.tailCount == n)
        let scaled = try #require(PowerLaw(values.map { $0 * 37 }))
        #expect(abs(scaled.alpha - fit.alpha) < 1e-9)
        #expect(abs(fit.sigma - (fit.alpha - 1) / Double(n).squareRoot()) < 1e-12)
    }

    @Test func powerLawWithABody() throws {
        let body = (0..<60).map { 0.1 + 0.8 * Double($0) / 59 }
        let fit = try #require(PowerLaw(body + quantiles(40, 2.5)))
        #expect(abs(fit.alpha - 2.5325155) < 1e-6 && abs(fit.xmin - 1.0084211) < 1e-6)
        #expect(fit.tailCount == 40 && abs(fit.distance - 0.0168582) < 1e-6)
        let geometric = try #require(PowerLaw([1, 2, 4, 8, 16]))
        #expect(abs(geometric.alpha - 1.7213475) < 1e-6 && abs(geometric.distance - 0.2321206) < 1e-6)
        #expect(PowerLaw([3, 3, 3]) == nil)
        #expect(PowerLaw([1e-7, 2]) == nil)
    }

    private func spectrum(_ values: [Double], _ shape: Shape, _ options: LayerSpectrum.Options = .init()) throws
        -> LayerSpectrum
    {
        try LayerSpectrum(LayerMatrix(Tensor(values, shape: shape), name: "w"), options: options)
    }

    @Test func scaleMetricsInClosedForm() throws {
        let found = try spectrum([3, 0, 0, 0, 2, 0, 0, 0, 1], [3, 3])
        #expect(abs(found.logNorm - 1.1461280) < 1e-7)
        #expect(abs(found.logSpectralNorm - 0.9542425) < 1e-7)
        #expect(abs(found.stableRank - 1.5555556) < 1e-7)
        #expect(abs(found.entropy - 0.7559279) < 1e-7)
        let convolution = try spectrum([1, 0, 0, 2], [2, 2, 1, 1])
        #expect(zip(convolution.eigenvalues, [0.5, 2]).allSatisfy { abs($0 - $1) < 1e-12 })
        let orthogonal = try spectrum([0, 1, 0, 0, 0, 1, 1, 0, 0], [3, 3])
        #expect(abs(orthogonal.stableRank - 3) < 1e-12 && abs(orthogonal.entropy - 1) < 1e-8)
        #expect(orthogonal.fit == nil && !orthogonal.warning.isEmpty)
        // A wide matrix and its transpose have one spectrum.
        let wide = try spectrum([1, 2, 3, 4, 5, 6], [2, 3]), tall = try spectrum([1, 4, 2, 5, 3, 6], [3, 2])
        #expect(zip(wide.eigenvalues, tall.eigenvalues).allSatisfy { abs($0 - $1) < 1e-9 })
        #expect(wide.matrixRank == 2)
        #expect(throws: ZooError.self) { try spectrum([1, 2], [2]) }
        #expect(throws: ZooError.self) { try spectrum([1, .nan], [1, 2]) }
    }

    @Test func shufflingRemovesStructure() throws {
        var generator = SeededGenerator(seed: 3)
        // Rank one of strength far above the noise.
        let values = (0..<40 * 20).map { (place: Int) -> Double in
            let sign: Double = (place / 20) % 2 == 0 ? -0.5 : 0.5
            return sign + Double.random(in: -0.1...0.1, using: &generator)
        }
        var options = LayerSpectrum.Options()
        options.isRandomised = true
        let shuffled = try spectrum(values, [40, 20], options).shuffled
        let found = try #require(shuffled)
        #expect(found.softRank < 0.5 && found.excess > 0 && found.distance > 0.3)
        #expect(try spectrum(values, [40, 20], options).shuffled == found)
    }

    /// Layers of the sample zoos against WeightWatcher 0.7.7.
    @Test func agreesWithWeightWatcher() throws {
        let path = Repository.path("Tests/ZooLandscapeTests/Fixtures/weightwatcher.json")
        let json = try JSONParser.parse(Bytes(mapping: path))
        let models = try #require(json["models"]?.object)
        let zoo = try ReferenceZoo.models("digits-phases.tar.gz")
        var compared = 0
        for (_, entry) in models {
            guard let trial = entry["source"]?.string, let model = zoo.first(where: { $0.trial == trial }) else {
                continue
            }
            for row in entry["layers"]?.array ?? [] {
                let name = try #require(row["longname"]?.string)
                let found = try LayerSpectrum(
                    LayerMatrix(model.source.tensor(named: name + ".weight"), name: name))
                compared += 1
                func check(_ key: String, _ value: Double, _ tolerance: Double = 1e-4) {
                    let wanted = row[key]?.double ?? .nan
                    #expect(
                        abs(value - wanted) <= tolerance * max(1, abs(wanted)), "\(name) \(key): \(value), \(wanted)")
                }
                check("norm", found.norm)
                check("lambda_max", found.spectralNorm)
                check("stable_rank", found.stableRank)
                check("entropy", found.entropy)
                check("num_evals", Double(found.eigenvalues.count))
                check("matrix_rank", Double(found.matrixRank))
                let fit = try #require(found.fit)
                check("alpha", fit.alpha, 1e-3)
                check("D", fit.distance, 1e-3)
                check("xmin", fit.xmin, 1e-3)
                check("num_pl_spikes", Double(fit.tailCount))
                check("alpha_weighted", found.alphaWeighted ?? .nan, 1e-3)
                check("log_alpha_norm", found.logAlphaNorm ?? .nan, 1e-3)
            }
        }
        #expect(compared > 5)
    }
}
