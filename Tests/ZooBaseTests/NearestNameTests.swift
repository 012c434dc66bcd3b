import Testing
import ZooBase

@Suite struct NearestNameTests {
    private let commands = ["index", "query", "show", "average", "task-vector", "doctor"]

    @Test(
        arguments: [
            ("qeury", "query"), ("docter", "doctor"), ("Index", "index"), ("task_vectr", "task-vector"),
            ("aver", "average"),
            ("shwo", "show"), ("s", nil), ("frobnicate", nil), ("", nil),
        ] as [(String, String?)])
    func findsWhatWasMeant(_ typed: String, _ meant: String?) {
        #expect(NearestName.find(typed, in: commands) == meant)
    }

    @Test func anExactNameIsItsOwnNearest() {
        for name in commands { #expect(NearestName.find(name, in: commands) == name) }
    }

    @Test func equalDistancesGoToTheFirst() {
        #expect(NearestName.find("lb", in: ["la", "lc"]) == "la")
    }

    @Test func hintsListWhatThereIs() {
        #expect(NearestName.hint("shwo", in: commands, kind: "commands") == "did you mean 'show'?")
        #expect(
            NearestName.hint("zzzzzz", in: commands, kind: "commands", limit: 2) == "commands: index, query and 4 more")
        #expect(NearestName.hint("x", in: [], kind: "columns") == "there are no columns")
    }
}
