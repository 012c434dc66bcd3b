import Synchronization
import ZooBase

/// Shows how far a piece of work is: a bar on a terminal, a line now and then elsewhere, nothing with `--quiet`.
///
/// It claims only what it knows: 100 % is shown when everything is done and not before, a remaining time only when the
/// total is known and a rate was measured, and a total that turns out too small is dropped. All threads may call it.
package final class ProgressReporter: Sendable {
    /// How progress is shown.
    package enum Style: Sendable {
        /// A bar redrawn in place on a terminal of this width.
        case bar(width: Int, unicode: Bool)
        /// Lines of their own.
        case lines
        /// Nothing.
        case silent
    }

    /// What is counted.
    package enum Unit: Sendable {
        /// Things, by their plural: "checkpoints".
        case items(String)
        /// Bytes.
        case bytes
    }

    private struct State {
        var done = 0
        var total: Int?
        var lastShown: Double
        var hasShown = false
        var isFinished = false
        /// Work per second, recent work weighing more; nil until measured.
        var rate: Double?
        var rateTime: Double
        var rateDone = 0
    }

    /// A bar is redrawn at most this often, in seconds.
    private static let barInterval = 0.1
    /// Lines come at most this often; the first one after the same time, so that short work stays silent.
    private static let lineInterval = 20.0
    /// Time in which the weight of old measurements of the rate falls to a third.
    private static let rateMemory = 15.0

    private let label: String
    private let unit: Unit
    private let style: Style
    private let console: Console
    private let clock: @Sendable () -> Double
    private let started: Double
    private let state: Mutex<State>

    /// Starts the clock.
    ///
    /// - Parameters:
    ///   - label: what is being done: "indexing".
    ///   - total: how much there is; nil while unknown.
    ///   - clock: seconds that never go back.
    package init(
        _ label: String, total: Int?, unit: Unit, style: Style, console: Console = .standardError,
        clock: @escaping @Sendable () -> Double = ProgressReporter.monotonicSeconds
    ) {
        self.label = label
        self.unit = unit
        self.style = style
        self.console = console
        self.clock = clock
        started = clock()
        state = Mutex(State(total: total, lastShown: started, rateTime: started))
    }

    deinit { finish() }

    /// Corrects how much there is.
    package func setTotal(_ total: Int?) { state.withLock { $0.total = total } }

    /// Counts work as done.
    package func advance(by amount: Int = 1) {
        if case .silent = style { return }
        let now = clock()
        state.withLock { state in
            state.done += amount
            guard !state.isFinished else { return }
            measure(&state, now)
            let isLast = state.done == state.total
            switch style {
            case .bar(let width, let unicode):
                guard isLast || now - state.lastShown >= Self.barInterval else { return }
                console.draw(bar(state, width: width, unicode: unicode))
            case .lines:
                guard now - state.lastShown >= Self.lineInterval else { return }
                console.line(line(state))
            case .silent: return
            }
            state.lastShown = now
            state.hasShown = true
        }
    }

    /// Takes the bar away. What was done is for the command to say.
    package func finish() {
        state.withLock { state in
            guard !state.isFinished else { return }
            state.isFinished = true
            if case .bar = style, state.hasShown { console.draw(nil) }
        }
    }

    /// Seconds of a clock that never goes back.
    package static let monotonicSeconds: @Sendable () -> Double = {
        let elapsed = ContinuousClock.now - epoch
        return Double(elapsed.components.seconds) + Double(elapsed.components.attoseconds) * 1e-18
    }

    private static let epoch = ContinuousClock.now

    private func measure(_ state: inout State, _ now: Double) {
        let span = now - state.rateTime
        // Shorter spans would measure the clock.
        guard span >= 0.5 else { return }
        let current = Double(state.done - state.rateDone) / span
        let keep = Self.rateMemory / (Self.rateMemory + span)
        let average = Double(state.done) / max(now - started, 1e-9)
        state.rate = state.rate.map { $0 * keep + current * (1 - keep) } ?? average
        state.rateTime = now
        state.rateDone = state.done
    }

    /// The total, unless it was wrong.
    private func knownTotal(_ state: State) -> Int? { state.total.flatMap { $0 >= state.done && $0 > 0 ? $0 : nil } }

    /// Whole percent, rounded down: 100 means done.
    private func percent(_ state: State, _ total: Int) -> Int {
        state.done < total ? min(99, Int(Double(state.done) * 100 / Double(total))) : 100
    }

    private func amount(_ value: Int) -> String {
        switch unit {
        case .items: Quantity.count(value)
        case .bytes: Quantity.bytes(value)
        }
    }

    private func pace(_ rate: Double) -> String {
        switch unit {
        case .items: Quantity.short(rate) + "/s"
        case .bytes: Quantity.bytes(Int(rate.rounded())) + "/s"
        }
    }

    private func remaining(_ state: State) -> String? {
        guard let total = knownTotal(state), let rate = state.rate, rate > 0, state.done < total else { return nil }
        return Quantity.duration((Double(total - state.done) / rate).rounded(.up))
    }

    private func bar(_ state: State, width: Int, unicode: Bool) -> String {
        var facts: [String] = []
        if let total = knownTotal(state) {
            facts.append("\(amount(state.done))/\(amount(total))")
        } else {
            facts.append(amount(state.done))
        }
        if case .items(let name) = unit { facts[0] += " \(name)" }
        if let rate = state.rate { facts.append(pace(rate)) }
        if let rest = remaining(state) { facts.append("\(rest) left") }
        let text = facts.joined(separator: "  ")
        guard let total = knownTotal(state) else { return cut("\(label)  \(text)", width) }
        let percentage = "\(percent(state, total)) %"
        let room = min(30, width - 1 - label.count - text.count - percentage.count - 6)
        guard room >= 8 else { return cut("\(label)  \(percentage)  \(text)", width) }
        let full = Int(Double(room) * Double(state.done) / Double(total))
        let cells =
            String(repeating: unicode ? "█" : "#", count: full)
            + String(repeating: unicode ? "░" : ".", count: room - full)
        return "\(label)  \(cells)  \(percentage)  \(text)"
    }

    /// One column is left free: a full line would make some terminals wrap.
    private func cut(_ text: String, _ width: Int) -> String { String(text.prefix(max(0, width - 1))) }

    private func line(_ state: State) -> String {
        var text = "\(label): \(amount(state.done))"
        if let total = knownTotal(state) { text += " of \(amount(total))" }
        if case .items(let name) = unit { text += " \(name)" }
        if let total = knownTotal(state) { text += " (\(percent(state, total)) %)" }
        if let rate = state.rate { text += ", \(pace(rate))" }
        if let rest = remaining(state) { text += ", \(rest) left" }
        return text
    }
}
