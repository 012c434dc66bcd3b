import Testing
import ZooReport
@Suite struct TableTests {}
