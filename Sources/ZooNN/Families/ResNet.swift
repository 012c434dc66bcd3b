import ZooBase

/// Residual networks with torchvision's names (arXiv 1512.03385): basic or bottleneck blocks, any width and depth.
struct ResNet {
    /// Blocks per stage; the width doubles and the resolution halves from stage to stage.
    var blocks: [Int]
    /// Channels of the first stage.
    var width: Int
    var isBottleneck = false
    var inputShape: [Int]
    /// The ImageNet stem (7×7, stride 2, then max pooling) instead of 3×3, stride 1.
    var hasImageNetStem = false
    /// Blocks with a projection on the shortcut, by prefix; nil where the extents decide.
    var projections: Set<String>?

    func graph(_ name: String) -> ArchitectureGraph {
        var builder = GraphBuilder(GraphInput(name: "image", kind: .image, shape: inputShape))
        let stem: [(String, JSONValue)] = hasImageNetStem ? [("stride", 2), ("padding", 3)] : [("padding", 1)]
        builder.layer(.conv2d, "conv1", bias: false, with: stem)
        builder.batchNorm("bn1")
        builder.activation(.relu, "relu")
        if hasImageNetStem { builder.add(.maxPool, "maxpool", with: [("kernel", 3), ("stride", 2), ("padding", 1)]) }
        var channels = width
        for (stage, count) in blocks.enumerated() {
            let stageWidth = width << stage
            for block in 0..<count {
                let stride = stage > 0 && block == 0 ? 2 : 1
                let out = isBottleneck ? 4 * stageWidth : stageWidth
                let prefix = "layer\(stage + 1).\(block)"
                let projects = projections?.contains(prefix) ?? (stride != 1 || channels != out)
                self.block(&builder, prefix, stride: stride, projects: projects)
                channels = out
            }
        }
        builder.add(.globalAveragePool, "avgpool")
        builder.output("features")
        builder.layer(.linear, "fc", isHead: true)
        builder.output("logits")
        return builder.graph(name)
    }

    private func block(_ builder: inout GraphBuilder, _ prefix: String, stride: Int, projects: Bool) {
        let input = builder.last
        let strided: [(String, JSONValue)] = [("stride", .int(Int64(stride)))]
        let padded: [(String, JSONValue)] = [("padding", 1)]
        let layers: [[(String, JSONValue)]] = isBottleneck ? [[], strided + padded, []] : [strided + padded, padded]
        for (index, attributes) in layers.enumerated() {
            if index > 0 { builder.activation(.relu, "\(prefix).relu\(index)") }
            builder.layer(.conv2d, "\(prefix).conv\(index + 1)", bias: false, with: attributes)
            builder.batchNorm("\(prefix).bn\(index + 1)")
        }
        let branch = builder.last
        var shortcut = input
        if projects {
            builder.layer(.conv2d, "\(prefix).downsample.0", input, bias: false, with: strided)
            shortcut = builder.batchNorm("\(prefix).downsample.1")
        }
        builder.add(.add, "\(prefix).add", [branch, shortcut])
        builder.activation(.relu, "\(prefix).relu")
    }
}
