import ZooBase

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// An optimiser with PyTorch's update formulas and defaults (`torch.optim.SGD`, `Adam`, `AdamW` of 2.13).
package struct Optimiser: Sendable, Hashable {
    package enum Kind: String, Sendable, CaseIterable {
        case sgd
        case adam
        case adamw
    }

    package var kind = Kind.sgd
    package var learningRate = 1e-3
    package var momentum = 0.0
    package var dampening = 0.0
    package var isNesterov = false
    package var weightDecay = 0.0
    package var betas = [0.9, 0.999]
    package var epsilon = 1e-8

    package init(_ kind: Kind = .sgd) {
        self.kind = kind
        if kind == .adamw { weightDecay = 1e-2 }
    }

    /// What the optimiser keeps beside each parameter, by PyTorch's names.
    package var momentNames: [String] {
        switch kind {
        case .sgd: momentum != 0 ? ["momentum_buffer"] : []
        case .adam, .adamw: ["exp_avg", "exp_avg_sq"]
        }
    }

    /// The momentum that a cyclic schedule moves: SGD's, or Adam's first beta.
    package var cycledMomentum: Double { kind == .sgd ? momentum : betas[0] }

    /// Updates `count` parameters in place, as a step of PyTorch's optimiser does.
    ///
    /// - Parameters:
    ///   - step: from one on.
    ///   - moments: as many arrays as `momentNames`, zero before the first step.
    ///   - rate: the learning rate of this step.
    ///   - momentum: SGD's momentum or Adam's first beta of this step.
    package func update<Scalar: BinaryFloatingPoint>(
        _ parameters: UnsafeMutablePointer<Scalar>, _ gradient: UnsafePointer<Scalar>,
        _ moments: [UnsafeMutablePointer<Scalar>], count: Int, step: Int, rate: Double, momentum: Double
    ) {
        switch kind {
        case .sgd:
            sgd(parameters, gradient, moments.first, count, isFirst: step == 1, Scalar(rate), momentum)
        case .adam, .adamw:
            adam(parameters, gradient, moments[0], moments[1], count, step: step, rate, firstBeta: momentum)
        }
    }

    private func sgd<Scalar: BinaryFloatingPoint>(
        _ parameters: UnsafeMutablePointer<Scalar>, _ gradient: UnsafePointer<Scalar>,
        _ buffer: UnsafeMutablePointer<Scalar>?, _ count: Int, isFirst: Bool, _ rate: Scalar, _ momentum: Double
    ) {
        let decay = Scalar(weightDecay), keep = Scalar(momentum)
        guard let buffer else {
            for i in 0..<count { parameters[i] -= rate * (gradient[i] + decay * parameters[i]) }
            return
        }
        // The first buffer is the gradient itself, whatever the dampening.
        let share = isFirst ? 1 : Scalar(1 - dampening)
        let kept = isFirst ? 0 : keep
        if isNesterov {
            for i in 0..<count {
                let slope = gradient[i] + decay * parameters[i]
                let moving = kept * buffer[i] + share * slope
                buffer[i] = moving
                parameters[i] -= rate * (slope + keep * moving)
            }
        } else {
            for i in 0..<count {
                let moving = kept * buffer[i] + share * (gradient[i] + decay * parameters[i])
                buffer[i] = moving
                parameters[i] -= rate * moving
            }
        }
    }

    private func adam<Scalar: BinaryFloatingPoint>(
        _ parameters: UnsafeMutablePointer<Scalar>, _ gradient: UnsafePointer<Scalar>,
        _ first: UnsafeMutablePointer<Scalar>, _ second: UnsafeMutablePointer<Scalar>, _ count: Int, step: Int,
        _ rate: Double, firstBeta: Double
    ) {
        let correction1 = 1 - pow(firstBeta, Double(step)), correction2 = 1 - pow(betas[1], Double(step))
        let size = Scalar(rate / correction1), root = Scalar(correction2.squareRoot()), epsilon = Scalar(epsilon)
        let share1 = Scalar(1 - firstBeta), keep2 = Scalar(betas[1]), share2 = Scalar(1 - betas[1])
        // AdamW shrinks the weights before the step, Adam adds the decay to the gradient.
        let shrink = kind == .adamw ? Scalar(1 - rate * weightDecay) : 1
        let decay = kind == .adam ? Scalar(weightDecay) : 0
        for i in 0..<count {
            let parameter = parameters[i] * shrink
            let slope = gradient[i] + decay * parameter
            let mean = first[i] + share1 * (slope - first[i])
            let square = keep2 * second[i] + share2 * slope * slope
            first[i] = mean
            second[i] = square
            parameters[i] = parameter - size * (mean / (square.squareRoot() / root + epsilon))
        }
    }
}
