import Synchronization
import ZooBase

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// What the process does when it is asked to stop.
enum Signals {
    private static let asked = Atomic<Bool>(false)

    /// Installs the handlers: the first SIGINT or SIGTERM asks running work to stop at its next safe point, the second
    /// ends the process at once with status 130. A closed pipe or a file past its limit becomes an error of the write,
    /// not a signal.
    static func install() {
        // A handler must not run the lazy initialisers of globals: they are run here.
        _ = Cancellation.isRequested
        _ = asked.load(ordering: .relaxed)
        signal(SIGPIPE, SIG_IGN)
        signal(SIGXFSZ, SIG_IGN)
        // Some launchers start their children with these blocked, which would make the program unstoppable.
        var wanted = sigset_t()
        sigemptyset(&wanted)
        sigaddset(&wanted, SIGINT)
        sigaddset(&wanted, SIGTERM)
        sigprocmask(SIG_UNBLOCK, &wanted, nil)
        for number in [SIGINT, SIGTERM] {
            // A program started in the background with SIGINT ignored keeps ignoring it.
            var current = sigaction()
            sigaction(number, nil, &current)
            if ignores(current) { continue }
            var action = sigaction()
            set(&action) { _ in
                if Signals.asked.exchange(true, ordering: .relaxed) { _exit(ExitStatus.interrupted) }
                Cancellation.request()
            }
            action.sa_flags = SA_RESTART
            sigaction(number, &action, nil)
        }
    }

    private static func set(_ action: inout sigaction, _ handler: @escaping @convention(c) (Int32) -> Void) {
        #if os(Linux)
            action.__sigaction_handler.sa_handler = handler
        #else
            action.__sigaction_u.__sa_handler = handler
        #endif
    }

    private static func ignores(_ action: sigaction) -> Bool {
        #if os(Linux)
            let handler = action.__sigaction_handler.sa_handler
        #else
            let handler = action.__sigaction_u.__sa_handler
        #endif
        return unsafeBitCast(handler, to: Int.self) == unsafeBitCast(SIG_IGN, to: Int.self)
    }
}
