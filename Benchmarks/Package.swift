// swift-tools-version: 6.1
import PackageDescription

let package = Package(
    name: "zoo-benchmarks",
    platforms: [.macOS(.v15)],
    dependencies: [.package(name: "zoo", path: "..")],
    targets: [
        .executableTarget(
            name: "engine-benchmark",
            dependencies: [
                .product(name: "ZooAutodiff", package: "zoo"), .product(name: "ZooBase", package: "zoo"),
            ],
            exclude: ["engine_peer.py"]),
        .executableTarget(
            name: "kernel-benchmark", dependencies: [.product(name: "CZooKernels", package: "zoo")],
            exclude: ["kernel_peer.py"]),
    ],
    swiftLanguageModes: [.v6]
)
