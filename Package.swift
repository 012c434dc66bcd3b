// swift-tools-version: 6.1
import PackageDescription

let package = Package(
    name: "zoo",
    platforms: [.macOS(.v15)],
    products: [
        .executable(name: "zoo", targets: ["zoo"]),
        .library(
            name: "ZooKit",
            targets: [
                "ZooBase", "ZooTensor", "ZooAutodiff", "ZooNN", "ZooFormats", "ZooData", "ZooTokenizers", "ZooCatalog",
                "ZooMerge", "ZooLandscape", "ZooRetrieval", "ZooPrune", "ZooTrain", "ZooReport",
            ]),
        // The engine without checkpoints, data and commands.
        .library(name: "ZooEngine", targets: ["ZooBase", "ZooTensor", "ZooAutodiff"]),
        .library(name: "CZooKernels", targets: ["CZooKernels"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
    ],
    targets: [
        // MARK: C libraries, one shim each

        .systemLibrary(
            name: "CArchive", pkgConfig: "libarchive",
            providers: [.apt(["libarchive-dev"]), .brew(["libarchive"])]),
        .systemLibrary(name: "CCrypto", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"]), .brew(["openssl"])]),
        .systemLibrary(name: "CHDF5", pkgConfig: "hdf5", providers: [.apt(["libhdf5-dev"]), .brew(["hdf5"])]),
        .systemLibrary(
            name: "CJPEG", pkgConfig: "libjpeg", providers: [.apt(["libjpeg-dev"]), .brew(["jpeg-turbo"])]),
        .systemLibrary(name: "CPNG", pkgConfig: "libpng", providers: [.apt(["libpng-dev"]), .brew(["libpng"])]),
        .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),

        // MARK: Kernels in C

        .target(name: "CZooKernels"),
        .target(name: "CZooBLAS"),
        .target(name: "CZooHDF5", dependencies: ["CHDF5"]),
        .target(name: "CZooImage", dependencies: ["CPNG", "CJPEG"]),
        .target(name: "CZooSQLite", linkerSettings: [.linkedLibrary("sqlite3")]),

        // MARK: Foundation

        .target(name: "ZooBase", dependencies: ["CZooKernels"]),
        .target(name: "ZooTensor", dependencies: ["ZooBase", "CZooBLAS", "CZooKernels"]),
        .target(
            name: "ZooFormats",
            dependencies: ["ZooTensor", "CArchive", "CZooHDF5", "CZlib", .product(name: "Yams", package: "Yams")]),

        // MARK: The engine and networks as data

        .target(name: "ZooAutodiff", dependencies: ["ZooTensor", "CZooKernels", "CZooBLAS"]),
        .target(name: "ZooNN", dependencies: ["ZooAutodiff"]),

        // MARK: Text

        .target(name: "ZooTokenizers", dependencies: ["ZooBase"]),

        // MARK: Data sets

        .target(name: "ZooData", dependencies: ["ZooNN", "ZooFormats", "CZooImage"]),

        // MARK: Catalog

        .target(
            name: "ZooCatalog",
            dependencies: [
                "ZooFormats", "CCrypto", "CZooSQLite",
                .product(name: "GRDB", package: "GRDB.swift"),
                .product(name: "GRDBSQLite", package: "GRDB.swift"),
            ]),

        // MARK: Analyses: values in, values out

        .target(
            name: "ZooMerge", dependencies: ["ZooNN", "CZooKernels", .product(name: "Yams", package: "Yams")]),

        .target(name: "ZooLandscape", dependencies: ["ZooNN", "CZooKernels"]),

        .target(name: "ZooRetrieval", dependencies: ["ZooNN"]),

        .target(name: "ZooPrune", dependencies: ["ZooNN", "ZooFormats", "ZooTokenizers"]),

        // MARK: Training

        .target(name: "ZooTrain", dependencies: ["ZooNN", "ZooFormats"]),

        // MARK: Results and command line

        .target(name: "ZooReport", dependencies: ["ZooTensor", "CZlib"]),
        .target(
            name: "ZooCLI",
            dependencies: [
                "ZooAutodiff", "ZooCatalog", "ZooData", "ZooLandscape", "ZooMerge", "ZooNN", "ZooPrune", "ZooReport",
                "ZooRetrieval", "ZooTokenizers", "ZooTrain",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ]),
        .executableTarget(name: "zoo", dependencies: ["ZooCLI"]),

        // MARK: Tests

        .target(name: "ZooTestSupport", dependencies: ["ZooTensor"], path: "Tests/ZooTestSupport"),
        .target(
            name: "ZooTestModels", dependencies: ["ZooNN", "ZooFormats", "ZooTestSupport"],
            path: "Tests/ZooTestModels"),
        .testTarget(name: "CZooKernelsTests", dependencies: ["CZooKernels", "ZooTestSupport"]),
        .testTarget(name: "ImportRulesTests", dependencies: ["ZooTestSupport"]),
        .testTarget(name: "ZooBaseTests", dependencies: ["ZooBase", "ZooTestSupport"]),
        .testTarget(name: "ZooTensorTests", dependencies: ["ZooTensor", "ZooTestSupport"]),
        .testTarget(
            name: "ZooAutodiffTests", dependencies: ["ZooAutodiff", "ZooTestSupport"], exclude: ["Fixtures"]),
        .testTarget(
            name: "ZooNNTests",
            dependencies: ["ZooNN", "ZooAutodiff", "ZooFormats", "ZooTestModels", "ZooTestSupport"],
            exclude: ["Fixtures"]),
        .testTarget(
            name: "ZooTokenizersTests", dependencies: ["ZooTokenizers", "ZooTestSupport"], exclude: ["Fixtures"]),
        .testTarget(
            name: "ZooFormatsTests", dependencies: ["ZooFormats", "ZooTestSupport"], exclude: ["Fixtures"]),
        .testTarget(
            name: "ZooDataTests", dependencies: ["ZooData", "ZooNN", "ZooFormats", "ZooTestSupport"],
            exclude: ["Fixtures"]),
        .testTarget(
            name: "ZooCatalogTests",
            dependencies: ["ZooCatalog", "ZooTestSupport", .product(name: "GRDB", package: "GRDB.swift")]),
        .testTarget(
            name: "ZooMergeTests", dependencies: ["ZooMerge", "ZooNN", "ZooFormats", "ZooTestSupport"],
            exclude: ["Fixtures"]),
        .testTarget(
            name: "ZooLandscapeTests",
            dependencies: ["ZooLandscape", "ZooNN", "ZooAutodiff", "ZooFormats", "ZooTestModels", "ZooTestSupport"],
            exclude: ["Fixtures"]),
        .testTarget(
            name: "ZooRetrievalTests", dependencies: ["ZooRetrieval", "ZooNN", "ZooAutodiff", "ZooTestSupport"],
            exclude: ["Fixtures"]),
        .testTarget(
            name: "ZooPruneTests",
            dependencies: ["ZooPrune", "ZooNN", "ZooAutodiff", "ZooFormats", "ZooTestModels", "ZooTestSupport"],
            exclude: ["Fixtures"]),
        .testTarget(
            name: "ZooTrainTests", dependencies: ["ZooTrain", "ZooNN", "ZooFormats", "ZooTestSupport"],
            exclude: ["Fixtures"]),
        .testTarget(
            name: "ZooReportTests", dependencies: ["ZooReport", "CZlib", "ZooTestSupport"], exclude: ["Fixtures"]),
        .testTarget(
            name: "ZooCLITests",
            dependencies: [
                "ZooCLI", "ZooFormats", "ZooReport", "ZooTensor", "ZooTestSupport", "zoo",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ], exclude: ["Fixtures"]),
    ],
    swiftLanguageModes: [.v6]
)
