import CArchive
import CHDF5
import CZlib
import ZooBase

/// What `zoo doctor` asks about the libraries that read archives and checkpoints.
public enum FormatChecks {
    /// The checks.
    public static let all: [SystemCheck] = [
        SystemCheck("libraries") { _ in
            [
                .init("libarchive", .ok, value: .string(libarchiveVersion), text: libarchiveVersion),
                .init("zlib", .ok, value: .string(String(cString: zlibVersion()))),
                hdf5,
            ]
        }
    ]

    /// `libarchive 3.6.2` and the compression libraries it was built with.
    private static var libarchiveVersion: String {
        String(cString: archive_version_details()).split(separator: " ").dropFirst().joined(separator: " ")
    }

    private static var hdf5: SystemCheck.Finding {
        var numbers: (major: UInt32, minor: UInt32, release: UInt32) = (0, 0, 0)
        guard H5get_libversion(&numbers.major, &numbers.minor, &numbers.release) >= 0 else {
            return .init(
                "HDF5", .problem, value: .null, text: "does not answer",
                remedy: "apt-get install --reinstall libhdf5-dev")
        }
        return .init("HDF5", .ok, value: .string("\(numbers.major).\(numbers.minor).\(numbers.release)"))
    }
}
