// Tests draw from the generator that the package itself uses.
@_exported import struct ZooBase.SeededGenerator
