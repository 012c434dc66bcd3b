import Testing
import ZooBase
import ZooNN

/// Tables of positions: texts and parts of their networks may be shorter.
@Suite struct PositionTableTests {
    @Test(arguments: ["bert", "minilm", "gpt2"])
    func textsMayBeShorterThanTheTable(_ name: String) throws {
        let oracle = try ArchitectureOracle(name)
        let graph = try oracle.graph(), tensors = oracle.source.tensorInfos
        let error = #expect(throws: ZooError.self) { try GraphShapes(graph, tensors: tensors, sequenceLength: 5000) }
        #expect(error?.message.contains("are needed") == true)
        // A part that begins with vectors, where no tokens are read, is a text all the same.
        let start = try #require(graph.nodes.first { $0.op == .positionEmbedding })
        let value = start.inputs[0]
        let whole = try GraphShapes(graph, tensors: tensors, sequenceLength: 3)
        #expect(whole.shapes[start.name]?.first == 3)
        let width = try #require(try GraphShapes(graph, tensors: tensors).shapes[value]?.last)
        let part = ArchitectureGraph(
            name: name, inputs: [GraphInput(name: value, kind: .features, shape: [3, width])], nodes: [start],
            outputs: [GraphOutput(name: "value", node: start.name)])
        #expect(try GraphShapes(part, tensors: tensors).shapes[start.name] == [3, width])
    }
}
