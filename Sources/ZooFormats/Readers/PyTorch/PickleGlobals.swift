import ZooTensor

/// A name that a pickle refers to. Naming is all that ever happens: nothing is imported or called.
struct PickleGlobal {
    /// The module's name, in place.
    var module: PickleValue
    /// The name within the module, in place.
    var name: PickleValue
    /// What we know it to mean; nil for everything that is not in the table.
    var known: KnownGlobal?
}

/// The globals that have a meaning for reading checkpoints.
enum KnownGlobal: Sendable, Hashable {
    case rebuildTensor
    case rebuildTensorV2
    case rebuildTensorV3
    case rebuildParameter
    case rebuildFromType
    case rebuildQuantized
    case rebuildSparse
    case rebuildMeta
    /// A storage class and the type of its elements; nil for types without a counterpart here.
    case storage(DType?)
    /// `UntypedStorage`: bytes.
    case untypedStorage
    /// `torch.float32` and its like; nil for types without a counterpart here.
    case dtype(DType?)
    case size
    /// Globals that are harmless constants or classes: `torch.device`, `torch.nn.parameter.Parameter`.
    case constant
    case orderedDict
    case defaultDict
    case set
    case list
    case tuple
    case dict
    case long
    case reconstructor
    case numpyScalar
    case numpyReconstruct
    case numpyFromBuffer
    case numpyDType
    case numpyArray
    case codecsEncode
    /// `bytes` and `bytearray`, called: protocol 2 writes empty bytes so.
    case bytes
    case path
    case namespace
    /// `torch.jit._pickle.build_…list`: a list.
    case jitList
    /// `torch.jit._pickle.restore_type_tag`: its first argument.
    case jitTypeTag
}

/// The allow-list: one row per global. To give a further global a meaning, add a row and handle its case.
enum PickleGlobalTable {
    static let rows: [(module: String, name: String, meaning: KnownGlobal)] =
        [
            ("collections", "OrderedDict", .orderedDict),
            ("collections", "defaultdict", .defaultDict),
            ("torch._utils", "_rebuild_tensor_v2", .rebuildTensorV2),
            ("torch._utils", "_rebuild_tensor", .rebuildTensor),
            ("torch._utils", "_rebuild_tensor_v3", .rebuildTensorV3),
            ("torch._utils", "_rebuild_parameter", .rebuildParameter),
            ("torch._utils", "_rebuild_parameter_with_state", .rebuildParameter),
            ("torch._tensor", "_rebuild_from_type_v2", .rebuildFromType),
            ("torch._utils", "_rebuild_qtensor", .rebuildQuantized),
            ("torch._utils", "_rebuild_sparse_tensor", .rebuildSparse),
            ("torch._utils", "_rebuild_sparse_csr_tensor", .rebuildSparse),
            ("torch._utils", "_rebuild_meta_tensor_no_storage", .rebuildMeta),
            ("torch.storage", "UntypedStorage", .untypedStorage),
            ("torch", "UntypedStorage", .untypedStorage),
            ("torch.storage", "_UntypedStorage", .untypedStorage),
            ("torch", "Size", .size),
            ("torch", "device", .constant),
            ("torch.serialization", "_get_layout", .constant),
            ("torch", "Tensor", .constant),
            ("torch._tensor", "Tensor", .constant),
            ("torch.nn.parameter", "Parameter", .constant),
            ("torch.nn.parameter", "Buffer", .constant),
            ("torch.storage", "TypedStorage", .constant),
            ("torch.jit._pickle", "restore_type_tag", .jitTypeTag),
            ("_codecs", "encode", .codecsEncode),
            ("argparse", "Namespace", .namespace),
        ]
        + ["build_intlist", "build_tensorlist", "build_doublelist", "build_boollist"].map {
            ("torch.jit._pickle", $0, .jitList)
        }
        + ["__builtin__", "builtins"].flatMap { module in
            [
                (module, "set", .set), (module, "frozenset", .set), (module, "list", .list),
                (module, "tuple", .tuple), (module, "dict", .dict), (module, "long", .long),
                (module, "int", .long), (module, "bytes", .bytes), (module, "bytearray", .bytes),
                (module, "object", .constant),
            ] as [(String, String, KnownGlobal)]
        }
        + ["copy_reg", "copyreg"].map { ($0, "_reconstructor", .reconstructor) }
        + ["numpy.core", "numpy._core"].flatMap { core in
            [
                (core + ".multiarray", "scalar", .numpyScalar),
                (core + ".multiarray", "_reconstruct", .numpyReconstruct),
                (core + ".numeric", "_frombuffer", .numpyFromBuffer),
            ] as [(String, String, KnownGlobal)]
        }
        + [("numpy", "dtype", .numpyDType), ("numpy", "ndarray", .numpyArray)]
        + ["pathlib", "pathlib._local"].flatMap { module in
            ["PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath", "Path"].map { (module, $0, .path) }
        }
        + storageClasses.flatMap { name, type in
            [("torch", name, .storage(type)), ("torch.cuda", name, .storage(type))]
                as [(String, String, KnownGlobal)]
        }
        + elementTypes.map { ("torch", $0, .dtype($1)) }

    private static let storageClasses: [(String, DType?)] = [
        ("FloatStorage", .float32), ("DoubleStorage", .float64), ("HalfStorage", .float16),
        ("BFloat16Storage", .bfloat16), ("CharStorage", .int8), ("ShortStorage", .int16), ("IntStorage", .int32),
        ("LongStorage", .int64), ("ByteStorage", .uint8), ("BoolStorage", .bool),
        ("ComplexFloatStorage", .complex64), ("ComplexDoubleStorage", .complex128), ("QInt8Storage", nil),
        ("QUInt8Storage", nil), ("QInt32Storage", nil), ("QUInt4x2Storage", nil), ("QUInt2x4Storage", nil),
    ]

    private static let elementTypes: [(String, DType?)] =
        DType.allCases.map { ($0.rawValue, $0) }
        + [
            "complex32", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu", "float4_e2m1fn_x2", "qint8", "quint8",
            "qint32", "quint4x2", "quint2x4",
        ].map { ($0, nil) }

    private static let index: [UInt64: [(name: [UInt8], meaning: KnownGlobal)]] = {
        var index: [UInt64: [(name: [UInt8], meaning: KnownGlobal)]] = [:]
        for row in rows {
            let name = Array("\(row.module)\n\(row.name)".utf8)
            let key = name.withUnsafeBytes { hash($0, $0.count) }
            index[key, default: []].append((name, row.meaning))
        }
        return index
    }()

    /// The meaning of a global, compared byte by byte.
    static func meaning(module: UnsafeRawBufferPointer, name: UnsafeRawBufferPointer) -> KnownGlobal? {
        var key = hash(module, module.count)
        key = (key ^ 10) &* prime
        for byte in name { key = (key ^ UInt64(byte)) &* prime }
        for candidate in index[key] ?? [] where candidate.name.count == module.count + 1 + name.count {
            let isSame = candidate.name.withUnsafeBytes { known in
                known[module.count] == 10
                    && UnsafeRawBufferPointer(rebasing: known[..<module.count]).elementsEqual(module)
                    && UnsafeRawBufferPointer(rebasing: known[(module.count + 1)...]).elementsEqual(name)
            }
            if isSame { return candidate.meaning }
        }
        return nil
    }

    private static let prime: UInt64 = 0x100_0000_01B3

    /// FNV-1a.
    private static func hash(_ bytes: UnsafeRawBufferPointer, _ count: Int) -> UInt64 {
        var key: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in bytes[..<count] { key = (key ^ UInt64(byte)) &* prime }
        return key
    }
}
