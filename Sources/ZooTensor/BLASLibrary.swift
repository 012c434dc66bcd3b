import CZooBLAS
import ZooBase

/// The library of matrix products, OpenBLAS, loaded when the first program needs it and told to leave threads to us.
public enum BLASLibrary {
    /// Loads the library unless it is loaded.
    ///
    /// - Throws: `unsupported` when it is not installed.
    public static func load() throws {
        guard let reason = zoo_blas_load() else { return }
        throw ZooError(
            .unsupported, "OpenBLAS cannot be loaded: \(String(cString: reason))",
            hint: "install it (Debian: apt-get install libopenblas0)")
    }

    /// What the library says of its version; loads it.
    ///
    /// - Throws: `unsupported` when it is not installed.
    public static func version() throws -> String {
        try load()
        return zoo_blas_description().map { String(cString: $0) } ?? ""
    }
}
