import ZooBase

/// All merge methods. To add one, write its file in this folder and add a line.
public enum MergeMethods {
    /// The methods in the order in which they are listed.
    public static let all: [any MergeMethod.Type] = [
        Linear.self,
        Slerp.self,
        NuSlerp.self,
        MultiSlerp.self,
        Karcher.self,
        TaskArithmetic.self,
        Ties.self,
        DareLinear.self,
        DareTies.self,
        Breadcrumbs.self,
        BreadcrumbsTies.self,
        Della.self,
        DellaLinear.self,
        SCE.self,
        RAM.self,
        RAMPlus.self,
        ModelStock.self,
        NearSwap.self,
        ArceeFusion.self,
        Passthrough.self,
        TaskSingularVectors.self,
        IsoC.self,
        IsoCTS.self,
        MagMax.self,
        WUDI.self,
        Consensus.self,
        CABS.self,
    ]

    /// Their names.
    public static var names: [String] { all.map { $0.name } }

    /// The method of a name.
    public static func named(_ name: String) -> (any MergeMethod.Type)? { all.first { $0.name == name } }
}
