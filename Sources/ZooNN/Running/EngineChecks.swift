import ZooAutodiff
import ZooBase
import ZooTensor

/// What `zoo doctor` says of the engine.
public enum EngineChecks {
    /// The checks.
    public static let all: [SystemCheck] = [
        SystemCheck("libraries") { _ in
            do {
                return [.init("OpenBLAS", .ok, value: .string(try BLASLibrary.version()))]
            } catch {
                let error = ZooError.wrap(error)
                return [
                    .init("OpenBLAS", .problem, value: .null, text: error.message, remedy: error.hint)
                ]
            }
        }
    ]
}
