import ZooAutodiff
import ZooTensor

/// The gradient of a network's loss in all its weights at a batch size: one of the large shapes.
struct LargeWork: Sendable {
    let name: String
    let samples: Int
    /// Real numbers and integers that a sample has.
    let reals: Int, integers: Int
    /// Writes the loss for some samples.
    let loss: @Sendable (NetworkSketch, Int) throws -> Value
}

let resNet = LargeWork(name: "resnet18", samples: 128, reals: 3 * 32 * 32, integers: 1) { net, samples in
    let images = net.b.data("x", [samples, 3, 32, 32]), labels = net.b.indices("y", [samples])
    return try net.b.average(net.b.crossEntropy(resNet18(net, images, width: 64), labels: labels))
}

func squaredDistance(_ net: NetworkSketch, _ output: Value) throws -> Value {
    try net.b.mean(net.b.square(net.b.affine(output, offset: -0.1)))
}

/// Two of MiniLM's six blocks on sequences of 64 tokens.
let twoBlocks = LargeWork(name: "encoder", samples: 64, reals: 64 * 384, integers: 0) { net, samples in
    try squaredDistance(net, encoder(net, net.b.data("x", [samples, 64, 384]), blocks: 2))
}

/// The whole MiniLM from token ids on.
let wholeMiniLM = LargeWork(name: "minilm", samples: 64, reals: 0, integers: 64) { net, samples in
    let ids = net.b.indices("ids", [samples, 64])
    return try squaredDistance(net, miniLM(net, ids, mask: net.b.fill(0, [samples, 1, 1, 64])))
}
