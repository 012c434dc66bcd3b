import ZooBase

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// How learning rate and momentum change from step to step, by PyTorch's schedulers of the same names.
package struct Schedule: Sendable, Hashable {
    package enum Kind: String, Sendable, CaseIterable {
        case constant
        /// `StepLR`: × gamma every `size` epochs.
        case step
        /// `MultiStepLR`: × gamma at each milestone (epochs).
        case multistep
        /// `CosineAnnealingLR` over `size` epochs (all of them by default), to `minimum`.
        case cosine
        /// `OneCycleLR`, step by step over the whole training; the optimiser's rate is the maximum.
        case oneCycle = "one-cycle"
    }

    package var kind = Kind.constant
    package var gamma = 0.1
    package var size: Int?
    package var milestones: [Int] = []
    package var minimum = 0.0
    /// One-cycle: the share of steps that the rate rises.
    package var rise = 0.3
    package var divisor = 25.0
    package var finalDivisor = 1e4
    package var cyclesMomentum = true
    package var baseMomentum = 0.85
    package var maximumMomentum = 0.95
    /// `LinearLR`: over this many epochs the rate rises from `warmupStart` of itself, step by step.
    package var warmupEpochs = 0.0
    package var warmupStart = 1.0 / 3

    package init(_ kind: Kind = .constant) { self.kind = kind }

    /// Rate and momentum of a step.
    ///
    /// - Parameters:
    ///   - step: steps taken before, over all epochs.
    ///   - stepsPerEpoch: optimiser steps of an epoch.
    ///   - momentum: the optimiser's own.
    package func values(
        step: Int, stepsPerEpoch: Int, epochs: Int, rate: Double, momentum: Double
    ) -> (rate: Double, momentum: Double) {
        let epoch = step / max(stepsPerEpoch, 1)
        var result = (rate: rate, momentum: momentum)
        switch kind {
        case .constant: break
        case .step: result.rate *= pow(gamma, Double(epoch / max(size ?? 1, 1)))
        case .multistep: result.rate *= pow(gamma, Double(milestones.count { $0 <= epoch }))
        case .cosine:
            let period = Double(size ?? epochs)
            result.rate = minimum + (rate - minimum) * (1 + cos(.pi * Double(epoch) / period)) / 2
        case .oneCycle: result = oneCycle(step: step, total: stepsPerEpoch * epochs, rate, momentum)
        }
        let warmup = warmupEpochs * Double(stepsPerEpoch)
        if Double(step) < warmup { result.rate *= warmupStart + (1 - warmupStart) * Double(step) / warmup }
        return result
    }

    /// Two half cosines: up over the first `rise` of the steps, then down to the initial rate / `finalDivisor`.
    private func oneCycle(
        step: Int, total: Int, _ maximum: Double, _ momentum: Double
    ) -> (rate: Double, momentum: Double) {
        let start = maximum / divisor, end = start / finalDivisor
        let top = rise * Double(total) - 1, last = Double(total) - 1
        func blend(_ from: Double, _ to: Double, _ share: Double) -> Double {
            to + (from - to) / 2 * (1 + cos(.pi * share))
        }
        let place = Double(step)
        if place <= top {
            let share = top > 0 ? place / top : 1
            return (
                blend(start, maximum, share),
                cyclesMomentum ? blend(maximumMomentum, baseMomentum, share) : momentum
            )
        }
        let share = last > top ? (place - top) / (last - top) : 1
        return (blend(maximum, end, share), cyclesMomentum ? blend(baseMomentum, maximumMomentum, share) : momentum)
    }
}
