import ZooBase

/// The exit statuses of every command.
package enum ExitStatus {
    /// Done.
    package static let done: Int32 = 0
    /// Failed.
    package static let failed: Int32 = 1
    /// Done, but some items failed; they are listed.
    package static let partial: Int32 = 3
    /// The command line was wrong.
    package static let usage: Int32 = 64
    /// Stopped by the user.
    package static let interrupted: Int32 = 130

    /// The status for an error.
    package static func of(_ error: any Error) -> Int32 {
        switch error {
        case is PartialFailure: partial
        case is OutputClosed: done
        case let error as ZooError:
            switch error.code {
            case .usage: usage
            case .interrupted: interrupted
            default: failed
            }
        default: failed
        }
    }
}

/// Thrown by a command that did its work for all items but some, after it has written its results.
package struct PartialFailure: Error, Sendable {
    /// One item that failed.
    package struct Item: Sendable {
        /// What it is: a member, a checkpoint.
        package let name: String
        /// Why it failed.
        package let error: ZooError

        /// Creates an item.
        package init(_ name: String, _ error: any Error) {
            self.name = name
            self.error = ZooError.wrap(error)
        }
    }

    /// The items that failed, in their order.
    package let items: [Item]
    /// How many there were, good and bad.
    package let total: Int
    /// What they are, in the plural.
    package let kind: String

    /// Creates the error.
    package init(_ items: [Item], of total: Int, kind: String = "items") {
        self.items = items
        self.total = total
        self.kind = kind
    }
}

/// The reader of standard output has gone, as in `zoo query | head`; it had enough, which is no failure.
struct OutputClosed: Error {}

/// Errors as lines on standard error.
package enum ErrorReport {
    /// Failed items listed before "and N more", unless verbose.
    private static let listLimit = 20

    /// Bytes from which on a reason is not repeated.
    private static let longMessage = 120

    /// The lines for an error: `zoo: error: …`, then `hint: …`; with `isVerbose` the causes below.
    package static func lines(_ error: any Error, isVerbose: Bool) -> [String] {
        switch error {
        case is OutputClosed: return []
        case let partial as PartialFailure: return list(partial, isVerbose)
        default: break
        }
        let error = ZooError.wrap(error)
        if error.code == .interrupted {
            return ["zoo: interrupted"] + hint(error.hint)
        }
        let prefix = error.code == .internal ? "zoo: internal error: " : "zoo: error: "
        // A fault in an expression shows the expression and, below, its place. Only what the user typed may bring lines
        // of its own; names from files must not.
        let texts = error.code == .usage ? error.message.split(separator: "\n").map(String.init) : [error.message]
        let lines = texts.map(oneLine)
        return [prefix + (lines.first ?? "")] + lines.dropFirst() + hint(error.hint) + (isVerbose ? causes(error) : [])
    }

    private static func hint(_ text: String) -> [String] { text.isEmpty ? [] : ["hint: " + oneLine(text)] }

    private static func causes(_ error: ZooError) -> [String] {
        var lines = ["code: \(error.code.rawValue)"]
        var next = error.cause
        while let cause = next {
            let known = cause as? ZooError
            lines.append("caused by: " + oneLine(known?.message ?? String(describing: cause)))
            next = known?.cause
        }
        return lines
    }

    /// An item's message without the name in front, which the line has already.
    private static func unnamed(_ item: PartialFailure.Item) -> Substring {
        var text = item.error.message[...]
        while !item.name.isEmpty, text.hasPrefix("\(item.name): ") { text = text.dropFirst(item.name.count + 2) }
        return text
    }

    private static func list(_ failure: PartialFailure, _ isVerbose: Bool) -> [String] {
        let shown = isVerbose ? failure.items[...] : failure.items.prefix(listLimit)
        var lines: [String] = []
        var told: [String: String] = [:]
        for item in shown {
            // A long reason that many share is told once.
            let message = String(unnamed(item))
            if !isVerbose, message.utf8.count > longMessage, let first = told[message] {
                lines.append("zoo: failed: \(oneLine(item.name)): as \(oneLine(first))")
                continue
            }
            told[message] = item.name
            lines.append("zoo: failed: \(oneLine(item.name)): \(oneLine(message))")
            if isVerbose { lines += hint(item.error.hint) + causes(item.error) }
        }
        // A hint is mostly the same for all: said once.
        if !isVerbose {
            var seen: Set<String> = []
            lines += shown.flatMap { seen.insert($0.error.hint).inserted ? hint($0.error.hint) : [] }
        }
        let rest = failure.items.count - shown.count
        if rest > 0 { lines.append("zoo: failed: and \(Quantity.count(rest)) more; --verbose lists them all") }
        lines.append(
            "zoo: error: \(Quantity.count(failure.items.count)) of \(Quantity.count(failure.total)) \(failure.kind) failed"
        )
        return lines
    }

    /// Names in messages come from archives: line ends and escapes in them must not forge lines or colours.
    private static func oneLine(_ text: some StringProtocol) -> String {
        guard text.unicodeScalars.contains(where: { $0.properties.generalCategory == .control }) else {
            return String(text)
        }
        var clean = ""
        for scalar in text.unicodeScalars {
            if scalar.properties.generalCategory == .control {
                clean += "\\u{\(String(scalar.value, radix: 16))}"
            } else {
                clean.unicodeScalars.append(scalar)
            }
        }
        return clean
    }
}
