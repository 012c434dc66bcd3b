// swift-tools-version: 6.1
import PackageDescription

// A package of its own, so that users of the toolkit do not build the benchmarks.
let package = Package(
    name: "zoo-benchmarks",
    platforms: [.macOS(.v15)],
    dependencies: [.package(name: "zoo", path: "..")],
    targets: [
        .executableTarget(name: "catalog-benchmark", dependencies: [.product(name: "ZooKit", package: "zoo")]),
        .executableTarget(
            name: "retrieval-benchmark", dependencies: [.product(name: "ZooKit", package: "zoo")],
            exclude: ["retrieval_peer.py"]),
        .executableTarget(
            name: "kernel-benchmark", dependencies: [.product(name: "CZooKernels", package: "zoo")],
            exclude: ["kernel_peer.py"]),
        .executableTarget(
            name: "engine-benchmark",
            dependencies: [.product(name: "ZooEngine", package: "zoo"), .product(name: "CZooKernels", package: "zoo")],
            exclude: ["engine_peer.py"]),
    ],
    swiftLanguageModes: [.v6]
)
