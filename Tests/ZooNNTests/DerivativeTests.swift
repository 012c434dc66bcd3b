import Testing
import ZooBase
import ZooFormats
import ZooNN
import ZooTensor
import ZooTestModels
import ZooTestSupport

/// Gradients and curvature of sample models against PyTorch's in Float64, and what must hold of them by themselves.
@Suite struct DerivativeTests {
    private func fixture(_ name: String) throws -> JSONObject {
        let path = Repository.path("Tests/ZooNNTests/Fixtures/\(name).json")
        return try #require(try JSONParser.parse(Bytes(mapping: path))["models"]?.object)
    }

    private func sweep(
        _ model: ReferenceZoo.Model, _ samples: Samples, batch: Int = 128, loss: LossFunction = .crossEntropy()
    ) throws -> ModelSweep {
        let request = ArchitectureRequest(
            tensors: model.source.tensorInfos, inputShape: samples.inputShape, config: model.config)
        return try ModelSweep(
            ReferenceZoo.resolver().choose(request).graph, tensors: request.tensors, samples: samples, loss: loss,
            batch: batch)
    }

    private func norm(_ values: some Sequence<Double>) -> Double { values.reduce(0) { $0 + $1 * $1 }.squareRoot() }

    /// What of a gradient and a product with ones/√n differs from PyTorch's by more than 10⁻⁴ of the tensor's norm.
    private func faults(_ sweep: ModelSweep, _ model: any TensorSource, _ expected: JSONValue) throws -> [String] {
        let layout = sweep.layout
        let direction = [Double](repeating: 1 / Double(layout.count).squareRoot(), count: layout.count)
        let found = try #require(
            try sweep.hessianVectorProducts(count: 1, jobs: 2, model: { _ in model }, directions: { _ in [direction] })
                .first
        ).get()
        var faults: [String] = []
        func compare(_ what: String, _ value: Double, _ wanted: Double?, scale: Double, _ tolerance: Double = 1e-4) {
            guard let wanted, abs(value - wanted) <= tolerance * abs(scale) else {
                faults.append("\(what): \(value), expected \(wanted ?? .nan)")
                return
            }
        }
        #expect(expected["n"]?.int == layout.count)
        let loss = expected["loss"]?.double ?? .nan
        compare("loss", found.loss, loss, scale: loss, 1e-5)
        let tensors = expected["tensors"]?.object
        #expect(tensors?.members.map(\.key).sorted() == layout.entries.map(\.name).sorted())
        for entry in layout.entries {
            for (prefix, vector) in [("grad", found.gradient), ("hvp", found.products[0])] {
                let values = vector[entry.range], json = tensors?[entry.name]
                let scale = json?["\(prefix)_norm"]?.double ?? .nan
                compare("\(entry.name) \(prefix) norm", norm(values), scale, scale: scale)
                compare(
                    "\(entry.name) \(prefix) sum", values.reduce(0, +), json?["\(prefix)_sum"]?.double,
                    scale: scale * Double(values.count).squareRoot())
                for (value, wanted) in zip(values, json?["\(prefix)_first"]?.array ?? []) {
                    compare("\(entry.name) \(prefix)", value, wanted.double, scale: scale)
                }
            }
        }
        return faults
    }

    @Test func smallCNNsHaveTheGradientsAndProductsThatPyTorchComputes() throws {
        let models = try ReferenceZoo.models("digits-cnn.zip")
        let samples = try ReferenceZoo.samples("data/digits.safetensors", "train").subset(0..<32)
        for (trial, epochs) in try fixture("zoo_a_gradients").members {
            for (epoch, expected) in epochs.object?.members ?? [] {
                let model = try #require(models.first { $0.trial == trial && "\($0.epoch)" == epoch })
                #expect(try faults(sweep(model, samples), model.source, expected) == [])
            }
        }
    }

    @Test func residualNetworksHaveTheGradientsAndProductsThatPyTorchComputes() throws {
        let models = try ReferenceZoo.models("digits-phases.tar.gz")
        let samples = try ReferenceZoo.samples("data/digits.safetensors", "train", labels: "y_train_noisy")
            .subset(0..<32)
        for (trial, expected) in try fixture("zoo_b_gradients").members {
            let model = try #require(models.first { $0.trial == trial })
            #expect(try faults(sweep(model, samples), model.source, expected) == [])
        }
    }

    @Test func aNetworkSpelledOutInAFileHasTheGradientsAndProductsThatPyTorchComputes() throws {
        let data = try CheckpointFile.open(Repository.path("zoos/digits-tasks/data/zoo_c_data.safetensors")).source
        for (name, expected) in try fixture("zoo_c_gradients").members {
            let path = Repository.path("zoos/digits-tasks/\(name).safetensors")
            let source = try CheckpointFile.open(path).source
            let model = ReferenceZoo.Model(trial: name, epoch: 0, config: JSONObject(), source: source)
            let split = name == "pretrained" ? "clean.train" : "soup.train"
            let samples = try Samples(data, split: split).subset(0..<32)
            #expect(try faults(sweep(model, samples), source, expected) == [])
        }
    }

    @Test(arguments: [("a", "digits-cnn.zip", "y_train"), ("b", "digits-phases.tar.gz", "y_train_noisy")])
    func aWholeHessianHasTheTraceAndNormThatPyTorchComputes(zoo: String, archive: String, labels: String) throws {
        let reference = try fixture("zoo_\(zoo)_hessian")
        let (trial, expected) = try #require(reference.members.first { $0.value["full"] != nil })
        let models = try ReferenceZoo.models(archive).filter { $0.trial == trial }
        let model = try #require(models.max { $0.epoch < $1.epoch })
        let samples = try ReferenceZoo.samples("data/digits.safetensors", "train", labels: labels).subset(0..<64)
        let problem = try sweep(model, samples, batch: 32).problem(model.source, jobs: 2)
        let count = problem.layout.count
        let units = (0..<count).map { place in
            var unit = [Double](repeating: 0, count: count)
            unit[place] = 1
            return unit
        }
        let hessian = try problem.hessianVectorProducts(at: problem.initial, along: units).products
        let trace = hessian.enumerated().reduce(0) { $0 + $1.element[$1.offset] }
        let wanted = try #require(expected["full"]?["trace"]?.double)
        #expect(abs(trace - wanted) <= 1e-4 * abs(wanted))
        let frobenius = try #require(expected["full"]?["frobenius"]?.double)
        #expect(abs(norm(hessian.map(norm)) - frobenius) <= 1e-4 * frobenius)
        var asymmetry = 0.0
        for row in 0..<count {
            for column in 0..<row { asymmetry = max(asymmetry, abs(hessian[row][column] - hessian[column][row])) }
        }
        #expect(asymmetry <= 1e-4 * frobenius)
    }

    // MARK: Properties

    private func firstModels(_ count: Int) throws -> ([ReferenceZoo.Model], Samples) {
        let models = try ReferenceZoo.models("digits-cnn.zip")
        let trial = try #require(models.first { $0.epoch == 25 }).trial
        return (
            Array(models.filter { $0.trial == trial }.prefix(count)),
            try ReferenceZoo.samples("data/digits.safetensors", "train").subset(0..<203)
        )
    }

    private func noise(_ count: Int, _ seed: UInt64) -> [Double] {
        var generator = SeededGenerator(seed: seed)
        return (0..<count).map { _ in Double.random(in: -1...1, using: &generator) }
    }

    @Test func resultsDoNotDependOnThreads() throws {
        let (models, samples) = try firstModels(3)
        let sweep = try sweep(models[0], samples, batch: 32)
        let directions = (0..<6).map { noise(sweep.layout.count, UInt64($0)) }
        let found = try [1, 2, 5].map { jobs in
            try sweep.hessianVectorProducts(
                count: 3, jobs: jobs, model: { models[$0].source }, directions: { _ in directions }
            ).map { try $0.get() }
        }
        #expect(found[0] == found[1])
        #expect(found[0] == found[2])
        let gradients = try [1, 7].map { jobs in
            try sweep.gradients(count: 3, jobs: jobs) { models[$0].source }.map { try $0.get() }
        }
        #expect(gradients[0] == gradients[1])
        #expect(gradients[0].map(\.loss) == found[0].map(\.loss))
    }

    @Test func paddingAndBatchesChangeNothingButRounding() throws {
        let (models, samples) = try firstModels(1)
        let whole = try sweep(models[0], samples, batch: 256).problem(models[0].source)
        let parts = try sweep(models[0], samples, batch: 16).problem(models[0].source)
        let a = try whole.gradient(at: whole.initial), b = try parts.gradient(at: parts.initial)
        #expect(abs(a.loss - b.loss) <= 1e-6 * abs(a.loss))
        #expect(norm(zip(a.gradient, b.gradient).map { $0 - $1 }) <= 1e-5 * norm(a.gradient))
        #expect(try whole.loss(at: whole.initial) == a.loss)
        let evaluation = try whole.evaluation(at: whole.initial)
        #expect(abs(evaluation.loss - a.loss) <= 1e-12)
    }

    @Test func productsAreSymmetricAndLinear() throws {
        let (models, samples) = try firstModels(1)
        let problem = try sweep(models[0], samples).problem(models[0].source, jobs: 2)
        let u = noise(problem.layout.count, 1), v = noise(problem.layout.count, 2)
        func inner(_ a: [Double], _ b: [Double]) -> Double { zip(a, b).reduce(0) { $0 + $1.0 * $1.1 } }
        let sum = zip(u, v).map { 2 * $0 + $1 }
        let h = try problem.hessianVectorProducts(at: problem.initial, along: [u, v, sum]).products
        #expect(abs(inner(u, h[1]) - inner(v, h[0])) <= 1e-5 * norm(u) * norm(h[1]))
        #expect(norm(h[2].indices.map { h[2][$0] - 2 * h[0][$0] - h[1][$0] }) <= 1e-5 * norm(h[2]))
        let single = try problem.hessianVectorProduct(at: problem.initial, along: u)
        #expect(norm(zip(single, h[0]).map { $0 - $1 }) <= 1e-5 * norm(single))
        let g = try problem.gaussNewtonProducts(at: problem.initial, along: [u, v]).products
        #expect(inner(u, g[0]) >= 0)
        #expect(abs(inner(u, g[1]) - inner(v, g[0])) <= 1e-5 * norm(u) * norm(g[1]))
    }

    @Test func gradientsOfSamplesAverageToTheGradient() throws {
        for archive in ["digits-cnn.zip", "digits-phases.tar.gz"] {
            let model = try #require(try ReferenceZoo.models(archive).last)
            let samples = try ReferenceZoo.samples("data/digits.safetensors", "train").subset(0..<75)
            let problem = try sweep(model, samples, batch: 32).problem(model.source, jobs: 2)
            let whole = try problem.gradient(at: problem.initial).gradient
            let rows = try problem.exampleGradients(at: problem.initial, samples: 0..<75)
            let count = problem.layout.count
            let mean = (0..<count).map { place in
                (0..<75).reduce(0.0) { $0 + Double(rows[$1 * count + place]) } / 75
            }
            #expect(norm(zip(mean, whole).map { $0 - $1 }) <= 1e-4 * norm(whole))
            let some = try problem.exampleGradients(at: problem.initial, samples: 70..<73)
            let apart = zip(some, rows[(70 * count)..<(73 * count)]).map { Double($0 - $1) }
            #expect(norm(apart) <= 1e-5 * norm(some.map(Double.init)))
        }
    }

    @Test func aStepAgainstTheGradientLowersTheLossByItsLength() throws {
        let (models, samples) = try firstModels(1)
        for loss in [LossFunction.crossEntropy(), .crossEntropy(smoothing: 0.1), .entropy] {
            let problem = try sweep(models[0], samples, loss: loss).problem(models[0].source)
            let start = try problem.gradient(at: problem.initial)
            let length = norm(start.gradient)
            func moved(_ step: Double) throws -> Double {
                try problem.loss(at: zip(problem.initial, start.gradient).map { $0 + step * $1 / length })
            }
            let slope = (try moved(0.01) - moved(-0.01)) / 0.02
            #expect(abs(slope - length) <= 0.02 * length)
            #expect(try abs(problem.losses(at: problem.initial).reduce(0, +) / 203 - start.loss) <= 1e-6)
        }
    }

    @Test func outputsHaveARowPerSampleAndVectorsGoBackToModels() throws {
        let (models, samples) = try firstModels(1)
        let problem = try sweep(models[0], samples, batch: 64).problem(models[0].source, jobs: 2)
        let logits = try problem.output("logits", at: problem.initial)
        #expect(logits.shape == [203, 10])
        #expect(try problem.output("features", at: problem.initial).shape == [203, 20])
        let back = try problem.layout.stateDict(problem.initial, over: models[0].source)
        for info in models[0].source.tensorInfos {
            #expect(try back.tensor(named: info.name).isIdentical(to: models[0].source.tensor(named: info.name)))
        }
        #expect(throws: ZooError.self) { try problem.output("nothing", at: problem.initial) }
        #expect(throws: ZooError.self) { try problem.loss(at: [1, 2, 3]) }
        #expect(throws: ZooError.self) { try problem.hessianVectorProduct(at: problem.initial, along: [1]) }
        #expect(throws: ZooError.self) { try samples.subset(200..<204) }
    }

    @Test func aModelThatCannotBeReadHasItsErrorAndTheOthersTheirGradients() throws {
        let (models, samples) = try firstModels(1)
        let sweep = try sweep(models[0], samples)
        for jobs in [1, 8] {
            let results = try sweep.gradients(count: 3, jobs: jobs) { index in
                if index == 1 { throw ZooError(.io, "gone") }
                return models[0].source
            }
            #expect(try results[0].get() == results[2].get())
            #expect(throws: ZooError.self) { try results[1].get() }
        }
    }
}
