// swift-tools-version: 6.1
import PackageDescription

let package = Package(
    name: "zoo",
    platforms: [.macOS(.v15)],
    products: [
        .executable(name: "zoo", targets: ["zoo"])
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2")
    ],
    targets: [
        // MARK: C libraries, one shim each

        .systemLibrary(
            name: "CArchive", pkgConfig: "libarchive",
            providers: [.apt(["libarchive-dev"]), .brew(["libarchive"])]),
        .systemLibrary(name: "CHDF5", pkgConfig: "hdf5", providers: [.apt(["libhdf5-dev"]), .brew(["hdf5"])]),
        .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),

        // MARK: Kernels in C

        .target(name: "CZooKernels"),

        // MARK: Foundation

        .target(name: "ZooBase", dependencies: ["CZooKernels"]),
        .target(name: "ZooTensor", dependencies: ["ZooBase", "CZooKernels"]),
        .target(name: "ZooFormats", dependencies: ["ZooTensor", "CArchive", "CHDF5", "CZlib"]),

        // MARK: Results and command line

        .target(name: "ZooReport", dependencies: ["ZooTensor", "CZlib"]),
        .target(
            name: "ZooCLI",
            dependencies: [
                "ZooFormats", "ZooReport",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ]),
        .executableTarget(name: "zoo", dependencies: ["ZooCLI"]),

        // MARK: Tests

        .target(name: "ZooTestSupport", dependencies: ["ZooTensor"], path: "Tests/ZooTestSupport"),
        .testTarget(name: "ZooBaseTests", dependencies: ["ZooBase", "ZooTestSupport"]),
        .testTarget(name: "ZooTensorTests", dependencies: ["ZooTensor", "ZooTestSupport"]),
        .testTarget(
            name: "ZooFormatsTests", dependencies: ["ZooFormats", "ZooTestSupport"], exclude: ["Fixtures"]),
        .testTarget(
            name: "ZooReportTests", dependencies: ["ZooReport", "CZlib", "ZooTestSupport"], exclude: ["Fixtures"]),
        .testTarget(
            name: "ZooCLITests",
            dependencies: [
                "ZooCLI", "ZooReport", "ZooTestSupport", "zoo",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ]),
    ],
    swiftLanguageModes: [.v6]
)
