/// The one error type of the package: what went wrong, where, and what to do about it.
///
/// `message` reads *where › what › expected › found* on one line; `hint` names the remedy, a command where there is
/// one. The command line maps `code` to a process exit status.
public struct ZooError: Error, Sendable, CustomStringConvertible {
    /// The kind of failure; decides the exit status and whether the work may go on with the next item.
    public enum Code: String, Sendable, CaseIterable {
        /// The caller asked for something that does not exist as an option or value.
        case usage
        /// A file, member, tensor, model or column is not there.
        case notFound
        /// Bytes contradict their format.
        case corrupt
        /// The format is recognised, this part of it is not read.
        case unsupported
        /// Two things that must fit together do not (shapes, names, architectures).
        case mismatch
        /// The operating system refused.
        case io
        /// A computation left the finite numbers or did not converge.
        case numeric
        /// A named limit against hostile input was reached.
        case limit
        /// Another process holds what is needed.
        case busy
        /// The user asked to stop.
        case interrupted
        /// A defect of this program.
        case `internal`
    }

    /// The kind of failure.
    public var code: Code
    /// Where, what, expected, found: one line.
    public var message: String
    /// What the user can do; one line, empty when there is nothing to suggest.
    public var hint: String
    /// The error underneath, for `--verbose`.
    public var cause: (any Error)?

    /// Creates an error.
    public init(_ code: Code, _ message: String, hint: String = "", cause: (any Error)? = nil) {
        self.code = code
        self.message = message
        self.hint = hint
        self.cause = cause
    }

    /// The message and, after it, the hint.
    public var description: String { hint.isEmpty ? message : "\(message) (\(hint))" }

    /// The same error with its place put in front: `zoo.zip!/trial/checkpoints: …`.
    public func at(_ place: String) -> ZooError {
        var copy = self
        copy.message = "\(place): \(message)"
        return copy
    }

    /// Runs `body`; any `ZooError` it throws gets `place` put in front.
    public static func locate<R>(_ place: @autoclosure () -> String, _ body: () throws -> R) throws -> R {
        do { return try body() } catch let error as ZooError { throw error.at(place()) }
    }

    /// Wraps any error: a `ZooError` is returned as it is.
    public static func wrap(_ error: any Error) -> ZooError {
        (error as? ZooError) ?? ZooError(.internal, String(describing: error), cause: error)
    }

    /// The error of the last failed system call: `errno` and its text.
    ///
    /// - Parameters:
    ///   - what: the action, as "open zoo.zip".
    ///   - hint: what the user can do.
    public static func system(_ what: String, errno code: Int32, hint: String = "") -> ZooError {
        let noSpace: Int32 = 28
        let remedy =
            hint.isEmpty && code == noSpace ? "free disk space and run the command again" : hint
        return ZooError(code == 2 ? .notFound : .io, "cannot \(what): \(systemMessage(code))", hint: remedy)
    }
}
