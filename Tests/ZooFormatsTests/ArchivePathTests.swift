import Testing
import ZooBase
import ZooFormats

@Suite struct ArchiveMemberTests {
    @Test func placementsCompareByValue() {
        let placement = ArchiveMember.Placement(offset: 64, byteCount: 10, encoding: .stored)
        #expect(ArchiveMember(path: "a", byteCount: 10, placement: placement).placement?.encoding == .stored)
    }
}
