import ZooBase

extension ArchitectureBlueprint {
    /// A vision transformer with timm's names and sizes (`embed_dim`, `depth`, `num_heads`, `mlp_ratio`): the hidden
    /// layer of each block has ⌊dim · mlp_ratio⌋ units.
    ///
    /// - Throws: `usage` for sizes that do not divide each other.
    static func visionTransformer(
        _ name: String, _ numbers: BlueprintNumbers, _ input: [Int], _ classes: Int, _ sizes: inout ParameterSizes
    ) throws -> ArchitectureGraph {
        guard input.count == 3 else { throw numbers.fault("reads images [C, H, W]; the samples have extents \(input)") }
        let patch = try numbers.count("patch", default: nil), dim = try numbers.count("dim", default: nil)
        let depth = try numbers.count("depth", default: nil), heads = try numbers.count("heads", default: nil)
        let ratio = try numbers.number("mlp_ratio", default: 4, in: 0.01...1024)
        guard input[1] % patch == 0, input[2] % patch == 0 else {
            throw numbers.fault("'patch': \(patch) does not divide the image's extents \(input[1]) and \(input[2])")
        }
        guard dim % heads == 0 else { throw numbers.fault("'heads': \(heads) do not divide 'dim', \(dim)") }
        guard depth <= 1024, dim <= 1 << 16 else { throw numbers.fault("'depth' or 'dim' is larger than any network") }
        let inner = Int(Double(dim) * ratio)
        guard inner > 0 else { throw numbers.fault("'mlp_ratio': \(ratio) of \(dim) leaves no hidden unit") }
        sizes.add("patch_embed.proj", outputs: dim, kernel: patch)
        for block in 0..<depth {
            sizes.add("blocks.\(block).attn.qkv", outputs: 3 * dim)
            sizes.add("blocks.\(block).attn.proj", outputs: dim)
            sizes.add("blocks.\(block).mlp.fc1", outputs: inner)
            sizes.add("blocks.\(block).mlp.fc2", outputs: dim)
        }
        sizes.add("head", outputs: classes)
        return VisionTransformer(
            inputShape: input, patch: patch, dim: dim, depth: depth, heads: heads,
            eps: try numbers.number("eps", default: 1e-6, in: 0...1),
            activation: try numbers.activation(default: .gelu)
        ).graph(name)
    }
}
