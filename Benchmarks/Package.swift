// swift-tools-version: 6.1
import PackageDescription

let package = Package(
    name: "zoo-benchmarks",
    platforms: [.macOS(.v15)],
    dependencies: [
        .package(name: "zoo", path: "..")
    ],
    targets: [
        .executableTarget(name: "catalog-benchmark", dependencies: [.product(name: "ZooCatalog", package: "zoo")])
    ],
    swiftLanguageModes: [.v6]
)
