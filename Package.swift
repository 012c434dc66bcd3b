// swift-tools-version: 6.1
import PackageDescription

let package = Package(
    name: "zoo",
    platforms: [.macOS(.v15)],
    products: [
        .library(name: "CZooKernels", targets: ["CZooKernels"]),
        .library(name: "ZooBase", targets: ["ZooBase"]),
        .library(name: "ZooAutodiff", targets: ["ZooAutodiff"]),
    ],
    targets: [
        // MARK: C libraries, one shim each

        .systemLibrary(
            name: "CArchive", pkgConfig: "libarchive",
            providers: [.apt(["libarchive-dev"]), .brew(["libarchive"])]),
        .systemLibrary(name: "CHDF5", pkgConfig: "hdf5", providers: [.apt(["libhdf5-dev"]), .brew(["hdf5"])]),
        .systemLibrary(
            name: "COpenBLAS", pkgConfig: "openblas",
            providers: [.apt(["libopenblas-dev"]), .brew(["openblas"])]),
        .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),

        // MARK: Kernels in C

        .target(name: "CZooKernels"),

        // MARK: Foundation

        .target(name: "ZooBase", dependencies: ["CZooKernels"]),
        .target(name: "ZooTensor", dependencies: ["ZooBase", "CZooKernels"]),
        .target(name: "ZooFormats", dependencies: ["ZooTensor", "CArchive", "CHDF5", "CZlib"]),

        // MARK: The engine

        .target(name: "ZooAutodiff", dependencies: ["ZooTensor", "CZooKernels", "COpenBLAS"]),

        // MARK: Tests

        .target(name: "ZooTestSupport", dependencies: ["ZooTensor"], path: "Tests/ZooTestSupport"),
        .testTarget(name: "CZooKernelsTests", dependencies: ["CZooKernels", "ZooTestSupport"]),
        .testTarget(name: "ZooBaseTests", dependencies: ["ZooBase", "ZooTestSupport"]),
        .testTarget(name: "ZooTensorTests", dependencies: ["ZooTensor", "ZooTestSupport"]),
        .testTarget(
            name: "ZooFormatsTests", dependencies: ["ZooFormats", "ZooTestSupport"], exclude: ["Fixtures"]),
        .testTarget(
            name: "ZooAutodiffTests", dependencies: ["ZooAutodiff", "ZooTestSupport"], exclude: ["Fixtures"]),
    ],
    swiftLanguageModes: [.v6]
)
