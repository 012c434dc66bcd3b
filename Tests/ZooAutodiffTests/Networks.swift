import ZooAutodiff
import ZooTensor

/// The three architectures of the golden models, written on the builder with the checkpoints' own names.
struct NetworkWriter {
    let b: ProgramBuilder
    let parameters: [String: Value]

    func parameter(_ name: String) throws -> Value {
        guard let value = parameters[name] else { throw MissingParameter(name: name) }
        return value
    }

    struct MissingParameter: Error { let name: String }

    func convolution(_ x: Value, _ name: String, _ geometry: Convolution, bias: Bool = true) throws -> Value {
        try b.conv2d(
            x, weight: parameter(name + ".weight"), bias: bias ? parameter(name + ".bias") : nil, geometry)
    }

    func linear(_ x: Value, _ name: String) throws -> Value {
        try b.linear(x, weight: parameter(name + ".weight"), bias: parameter(name + ".bias"))
    }

    func norm(_ x: Value, _ name: String) throws -> Value {
        try b.batchNorm(
            x, weight: parameter(name + ".weight"), bias: parameter(name + ".bias"),
            mean: parameter(name + ".running_mean"), variance: parameter(name + ".running_var"))
    }

    /// CNN-s on 8x8 images.
    func cnn(_ images: Value, activation: String) throws -> Value {
        let act: (Value) -> Value =
            switch activation {
            case "tanh": b.tanh
            case "relu": b.relu
            case "gelu": b.gelu
            default: b.silu
            }
        var x = try convolution(images, "module_list.0", Convolution(stride: 1, padding: 2))
        x = act(try b.maxPool(x, kernel: 2))
        x = act(try convolution(x, "module_list.3", Convolution(stride: 1, padding: 2)))
        x = act(try convolution(x, "module_list.6", Convolution()))
        x = act(try linear(b.flatten(x), "module_list.9"))
        return try linear(x, "module_list.11")
    }

    /// The small residual network.
    func resnet(_ images: Value) throws -> Value {
        let plain = Convolution(stride: 1, padding: 1)
        var x = b.relu(try norm(convolution(images, "conv1", plain, bias: false), "bn1"))
        x = try block(x, "layer1.0", stride: 1)
        x = try block(x, "layer2.0", stride: 2)
        return try linear(b.mean(x, axes: [2, 3]), "fc")
    }

    private func block(_ x: Value, _ name: String, stride: Int) throws -> Value {
        let first = try convolution(x, name + ".conv1", Convolution(stride: stride, padding: 1), bias: false)
        let y = b.relu(try norm(first, name + ".bn1"))
        let second = try convolution(y, name + ".conv2", Convolution(stride: 1, padding: 1), bias: false)
        var shortcut = x
        if stride > 1 {
            let projected = try convolution(x, name + ".downsample.0", Convolution(stride: stride), bias: false)
            shortcut = try norm(projected, name + ".downsample.1")
        }
        return b.relu(try b.add(norm(second, name + ".bn2"), shortcut))
    }

    /// The task CNN.
    func task(_ images: Value) throws -> Value {
        let plain = Convolution(stride: 1, padding: 1)
        var x = b.relu(try convolution(images, "encoder.conv1", plain))
        x = try b.maxPool(b.relu(convolution(x, "encoder.conv2", plain)), kernel: 2)
        x = try b.maxPool(b.relu(convolution(x, "encoder.conv3", plain)), kernel: 2)
        x = b.relu(try linear(b.flatten(x), "encoder.fc"))
        return try linear(x, "classifier")
    }
}
