import ZooLandscape
import ZooReport

/// Spectra as rows.
enum SpectrumRows {
    /// The columns per layer, or per checkpoint.
    static func columns(isSummary: Bool) -> [Table.Column] {
        let scale: [Table.Column] = [
            .init("alpha", .double), .init("alpha_weighted", .double), .init("log_alpha_norm", .double),
            .init("log_norm", .double), .init("log_spectral_norm", .double), .init("stable_rank", .double),
        ]
        if isSummary {
            return [.init("checkpoint", isPath: true), .init("layers", .integer), .init("fitted", .integer)] + scale
        }
        return [
            .init("checkpoint", isPath: true), .init("layer"), .init("kind"), .init("N", .integer),
            .init("M", .integer),
            .init("num_evals", .integer),
        ] + scale + [
            .init("D", .double), .init("xmin", .double), .init("tail", .integer), .init("sigma", .double),
            .init("entropy", .double), .init("matrix_rank", .integer), .init("rank_loss", .integer),
            .init("fingers", .integer), .init("max_rand_eval", .double), .init("rand_distance", .double),
            .init("ww_softrank", .double), .init("ww_maxdist", .double), .init("warning"),
        ]
    }

    private static func cell(_ value: Double?) -> Table.Cell { value.map { .double($0) } ?? .null }

    /// One layer.
    static func row(_ layer: LayerSpectrum, of checkpoint: String) -> [Table.Cell] {
        let shuffled = layer.shuffled
        return [
            .text(checkpoint), .text(layer.name), .text(layer.kind.rawValue), .int(layer.longSide),
            .int(layer.shortSide), .int(layer.eigenvalues.count), cell(layer.fit?.alpha), cell(layer.alphaWeighted),
            cell(layer.logAlphaNorm), .double(layer.logNorm), .double(layer.logSpectralNorm),
            .double(layer.stableRank), cell(layer.fit?.distance), cell(layer.fit?.xmin),
            layer.fit.map { .int($0.tailCount) } ?? .null, cell(layer.fit?.sigma), .double(layer.entropy),
            .int(layer.matrixRank), .int(layer.rankLoss), .int(layer.fingerCount), cell(shuffled?.largest),
            cell(shuffled?.distance), cell(shuffled?.softRank), cell(shuffled?.excess), .text(layer.warning),
        ]
    }

    /// Unweighted means over layers; layers without a fit are left out of those that need one.
    static func summary(_ layers: [LayerSpectrum], of checkpoint: String) -> [Table.Cell] {
        func mean(_ values: [Double?]) -> Table.Cell {
            let finite = values.compactMap { $0 }.filter(\.isFinite)
            return finite.isEmpty ? .null : .double(finite.reduce(0, +) / Double(finite.count))
        }
        return [
            .text(checkpoint), .int(layers.count), .int(layers.filter { $0.fit != nil }.count),
            mean(layers.map { $0.fit?.alpha }), mean(layers.map(\.alphaWeighted)), mean(layers.map(\.logAlphaNorm)),
            mean(layers.map(\.logNorm)), mean(layers.map(\.logSpectralNorm)), mean(layers.map(\.stableRank)),
        ]
    }
}
