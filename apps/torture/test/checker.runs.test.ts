// I6 to I10, each by histories that keep it and histories that break it in different ways, with orphans of killed gateways
// and the figures that the gateway gives of itself; and the times that the checker reads from a history.
import { describe, expect, it } from "vitest"
import { tale } from "./tale.ts"

describe("I6: one run of a conversation at a time", () => {
  it("is kept by runs that follow each other, and by conversations side by side", () => {
    const { broken } = tale()
      .sends("a")
      .sends("x", { in: "bob" })
      .sends("b")
      .begins("r1", ["a"])
      .begins("r9", ["x"], { in: "bob" })
      .says("r9", "ok", { in: "bob" })
      .shows("9", ["x"], { in: "bob", run: "r9" })
      .says("r1", "ok")
      .shows("1", ["a"], { run: "r1" })
      .answers("2", "r2", ["b"])
      .rests()
    expect(broken).toEqual([])
  })

  it("is kept by an agent that died with its last line", () => {
    const { broken } = tale().boots().sends("a").begins("r1", ["a"]).killed().boots().answers("1", "r2", ["a"]).rests()
    expect(broken).toEqual([])
  })

  it("is broken by a run that begins before another one ends", () => {
    const { broken } = tale()
      .sends("a")
      .sends("b")
      .begins("r1", ["a"])
      .begins("r2", ["b"])
      .says("r1", "ok")
      .shows("1", ["a"], { run: "r1" })
      .says("r2", "ok")
      .shows("2", ["b"], { run: "r2" })
      .rests()
    expect(broken).toEqual(["I6 run r2 (pid 100) began while run r1 (pid 100) went on"])
  })

  it("is broken by an orphan that is alive beside the run of the next gateway", () => {
    const { broken } = tale()
      .boots()
      .sends("a")
      .begins("r1", ["a"])
      .killed()
      .boots()
      .begins("r2", ["a"])
      .says("r1", "info")
      .says("r2", "ok")
      .shows("1", ["a"], { run: "r2" })
      .rests()
    expect(broken).toEqual(["I6 run r2 (pid 100) began while run r1 (pid 100) went on"])
  })

  it("is broken by an orphan that begins to write only beside the run of the next gateway", () => {
    const { broken } = tale()
      .boots()
      .sends("a")
      .killed()
      .boots()
      .begins("r2", ["a"], { epoch: 2 })
      .begins("r1", ["a"], { epoch: 1 })
      .says("r2", "ok")
      .shows("1", ["a"], { run: "r2" })
      .rests()
    expect(broken).toEqual(["I6 run r1 (pid 100) began while run r2 (pid 100) went on"])
  })

  it("is broken by an agent that says that it stops, and goes on beside the next one", () => {
    const { broken } = tale()
      .sends("a")
      .sends("b")
      .begins("r1", ["a"])
      .says("r1", "fail")
      .begins("r2", ["a"])
      .says("r1", "info")
      .says("r2", "ok")
      .shows("1", ["a"], { run: "r2" })
      .answers("2", "r3", ["b"])
      .rests()
    expect(broken).toEqual(["I6 run r2 (pid 100) began while run r1 (pid 100) went on"])
  })

  it("is broken by a long run behind which several short ones hide", () => {
    const { broken } = tale()
      .sends("a")
      .sends("b")
      .sends("c")
      .begins("r1", ["a"])
      .answers("2", "r2", ["b"])
      .answers("3", "r3", ["c"])
      .says("r1", "fail")
      .rests()
    expect(broken.filter((what) => what.startsWith("I6"))).toEqual([
      "I6 run r2 (pid 100) began while run r1 (pid 100) went on",
      "I6 run r3 (pid 100) began while run r1 (pid 100) went on"
    ])
  })

  it("is broken by a silent process that the next run finds alive", () => {
    const { broken } = tale()
      .boots()
      .sends("a")
      .begins("r1", ["a"])
      .killed()
      .boots()
      .begins("r2", ["a"], { besides: [77] })
      .says("r2", "ok")
      .shows("1", ["a"], { run: "r2" })
      .rests()
    expect(broken).toEqual(["I6 run r2 (pid 100) found other runs alive: pid 77"])
  })
})

describe("I7: every further run of a message has its cause", () => {
  it("is kept after a crash, a stop, and an agent that failed or died", () => {
    const { broken } = tale()
      .boots()
      .sends("a")
      .begins("r1", ["a"])
      .says("r1", "ok")
      .killed()
      .boots()
      .begins("r2", ["a"])
      .says("r2", "fail")
      .stopAsked({ deadline: 3_000 })
      .exits()
      .boots()
      .begins("r3", ["a"])
      .says("r3", "fail")
      .begins("r4", ["a"])
      .answers("1", "r5", ["a"])
      .rests()
    expect(broken).toEqual([])
  })

  it("is kept by the orphan of a killed gateway that begins to write after the next one was started", () => {
    const told = tale().boots().sends("a").killed()
    expect(
      told.boots().begins("r1", ["a"], { epoch: 1 }).says("r1", "ok").answers("1", "r2", ["a"], {}).rests().broken
    ).toEqual(["I7 a was run by r1 and again by r2, although the first had answered and no gateway ended in between"])
    const { broken } = tale()
      .boots()
      .sends("a")
      .killed()
      .boots()
      .begins("r1", ["a"], { epoch: 1 })
      .says("r1", "ok")
      .begins("r2", ["a"], { epoch: 2 })
      .says("r2", "ok")
      .shows("1", ["a"], { run: "r2" })
      .rests()
    expect(broken).toEqual([])
  })

  it("is broken by a second run of the same gateway, also when others crash meanwhile", () => {
    const { broken } = tale()
      .boots()
      .sends("a")
      .begins("r1", ["a"], { epoch: 1 })
      .says("r1", "ok")
      .begins("r2", ["a"], { epoch: 1 })
      .says("r2", "ok")
      .shows("1", ["a"], { run: "r2" })
      .killed()
      .rests()
    expect(broken).toEqual([
      "I7 a was run by r1 and again by r2, although the first had answered and no gateway ended in between"
    ])
  })

  it("is broken by a fourth try of an agent that fails", () => {
    const failing = (times: number) => {
      const told = tale().boots().sends("a")
      for (let n = 1; n <= times; n++) told.begins(`r${n}`, ["a"]).says(`r${n}`, "fail")
      return told.shows("1", ["a"], { what: "notice" }).rests().broken
    }
    expect(failing(3)).toEqual([])
    expect(failing(4)).toEqual(["I7 a was run by r3 and again by r4, after 3 runs that failed"])
  })

  const crashing = (times: number) => {
    const told = tale().sends("a")
    for (let n = 1; n <= times; n++) told.boots().begins(`r${n}`, ["a"]).killed()
    return told.boots()
  }

  it("is kept by a message that is set aside after three crashes in its run", () => {
    expect(crashing(3).shows("1", ["a"], { what: "notice" }).rests().broken).toEqual([])
  })

  it("is broken by a run after three crashes", () => {
    expect(crashing(3).answers("1", "r4", ["a"]).rests().broken).toEqual([
      "I7 a was run by r3 and again by r4, after 3 crashes"
    ])
  })

  it("does not count a cut by a stop, nor a crash that another conversation's trial may have taken", () => {
    const cut = tale().sends("a")
    for (let n = 1; n <= 4; n++) cut.boots().begins(`r${n}`, ["a"]).stopAsked().killed()
    expect(cut.boots().answers("1", "r5", ["a"]).rests().broken).toEqual([])
    const trial = tale().sends("a").sends("x", { in: "bob" })
    for (let n = 1; n <= 3; n++) trial.boots().begins(`r${n}`, ["a"]).begins(`s${n}`, ["x"], { in: "bob" }).killed()
    trial.boots().answers("1", "r4", ["a"]).answers("2", "s4", ["x"], { in: "bob" })
    expect(trial.rests().broken).toEqual([])
  })

  it("is broken by a run of what was answered before", () => {
    const { broken } = tale().boots().sends("a").answers("1", "r1", ["a"]).killed().boots().begins("r2", ["a"]).rests()
    expect(broken).toEqual(["I7 run r2 was given a, which had been answered"])
  })
})

describe("I8: a stop is over by its deadline and a second", () => {
  it("is kept at the last moment, and by a stop that the harness cut short in time", () => {
    const { verdict } = tale()
      .boots({ at: 0 })
      .stopAsked({ at: 10, deadline: 3_000, behaviour: "hang" })
      .exits({ at: 4_010 })
    expect(verdict.broken).toEqual([])
    expect(verdict.times["stop: hang"]).toEqual([4_000])
    expect(tale().boots().stopAsked({ at: 10, deadline: 3_000 }).killed({ at: 4_000 }).broken).toEqual([])
  })

  it("is broken by one that takes longer", () => {
    const { broken } = tale().boots().stopAsked({ at: 10, deadline: 3_000 }).exits({ at: 4_111 })
    expect(broken).toEqual(["I8 boot 1 took 4101 ms to end; its deadline was 3000 ms"])
  })

  it("is broken by one that the harness had to end, and by one that never ended", () => {
    const killed = tale().boots().stopAsked({ at: 10, deadline: 3_000 }).killed({ at: 9_010 })
    expect(killed.broken).toEqual(["I8 boot 1 took 9001 ms and was killed; its deadline was 3000 ms"])
    const hung = tale().boots().stopAsked({ at: 10, deadline: 3_000 }).sends("a", { at: 8_000 })
    expect(hung.broken).toEqual(["I8 boot 1 took 7991 ms and had not ended; its deadline was 3000 ms"])
  })

  it("is not judged without a deadline", () => {
    const { broken, unjudged } = tale().boots().stopAsked().exits({ at: 99_000 }).verdict
    expect(broken).toEqual([])
    expect(unjudged).toContain("I8: boot 1 was stopped and the history has no deadline")
  })
})

describe("I9: no process of ours is left after an exit", () => {
  it("is kept by an empty list, and by orphans of a gateway that was killed", () => {
    expect(tale().boots().stopAsked({ deadline: 3_000 }).exits({ left: [] }).broken).toEqual([])
    const orphan = tale()
      .boots()
      .sends("a")
      .begins("r1", ["a"])
      .killed()
      .says("r1", "info")
      .boots()
      .answers("1", "r2", ["a"])
    expect(orphan.broken).toEqual([])
  })

  it("is broken by processes that carry our mark", () => {
    const { broken } = tale()
      .boots()
      .stopAsked({ deadline: 3_000 })
      .exits({ left: [41, 42] })
    expect(broken).toEqual(["I9 2 processes were left when boot 1 had ended: pid 41, 42"])
  })

  it("is broken by a run that writes a line after its gateway had ended", () => {
    const { broken } = tale()
      .boots()
      .sends("a")
      .begins("r1", ["a"])
      .stopAsked({ deadline: 3_000 })
      .exits()
      .says("r1", "ok")
    expect(broken).toEqual(["I9 run r1 (pid 100) wrote a line after boot 1 had ended"])
  })

  it("is broken by a run that begins when nobody lives any more", () => {
    const { broken } = tale().boots().sends("a").stopAsked({ deadline: 3_000 }).exits().begins("r1", ["a"]).boots()
    expect(broken).toEqual(["I9 run r1 (pid 100) wrote a line after boot 1 had ended"])
  })

  it("does not guess whose a run is while two gateways live", () => {
    const told = tale()
      .boots()
      .sends("a")
      .boots()
      .begins("r1", ["a"])
      .stopAsked({ deadline: 3_000 })
      .exits()
      .says("r1", "ok")
    expect(told.broken).toEqual([])
  })
})

describe("I10: what the gateway says of itself equals the history", () => {
  const answered = () =>
    tale()
      .sends("a")
      .sends("b", { command: true })
      .sends("c")
      .answers("1", "r1", ["a"])
      .shows("2", ["b"], { what: "command" })
      .shows("3", ["c"], { what: "notice" })
      .rests()

  it("is kept by a ledger that says so", () => {
    const { verdict } = answered().ledger({ replied: 1, command: 1, suspended: 1 })
    expect(verdict.broken).toEqual([])
    expect(verdict.unjudged).toEqual([])
  })

  it("leaves room for what nobody can know", () => {
    const unsure = () => tale().sends("a").answers("1", "r1", ["a"]).tries("z", "invoke").tries("z", "info").rests()
    expect(unsure().ledger({ replied: 1 }).broken).toEqual([])
    expect(unsure().ledger({ replied: 1, "no-reply": 1 }).broken).toEqual([])
    expect(unsure().ledger({ replied: 1, "no-reply": 2 }).broken).toEqual([
      "I10 the ledger: 3 accepted, and the history has 1 to 2"
    ])
    const seen = tale("resend-once").sends("a").answers("1", "r1", ["a"], { phase: "info" }).rests()
    expect(seen.ledger({ unknown: 1 }).broken).toEqual([])
  })

  it("is broken by a message too few or too many", () => {
    expect(answered().ledger({ replied: 1, command: 1 }).broken).toEqual([
      "I10 the ledger: 2 accepted, and the history has 3",
      "I10 the ledger: 0 ended without an answer, and the history has 1 notices"
    ])
    expect(answered().ledger({ replied: 2, command: 1, suspended: 1 }).broken).toEqual([
      "I10 the ledger: 4 accepted, and the history has 3",
      "I10 the ledger: 2 replied, and the history has 1 answered"
    ])
  })

  it("is broken by messages under another end", () => {
    expect(answered().ledger({ command: 1, suspended: 2 }).broken).toEqual([
      "I10 the ledger: 0 replied and 0 unknown or undeliverable, and the history has 1 answered"
    ])
    expect(answered().ledger({ replied: 1, command: 2 }).broken).toContain(
      "I10 the ledger: 2 commands, and the history has 1"
    )
  })

  it("is broken by a sum that is none, by what is open at rest, and by what is no ledger", () => {
    const sum = answered().ledger({ replied: 1, command: 1, suspended: 1 }, { accepted: 3, open: 1 })
    expect(sum.broken).toEqual([
      "I10 the ledger: 3 accepted are not 3 ended and 1 open",
      "I10 the ledger: 1 are open, and everything is at rest"
    ])
    const said = answered().ledger({ replied: 1, command: 1, suspended: 1 }, { balanced: false })
    expect(said.broken).toEqual(["I10 the ledger: it says that it does not balance"])
    const odd = answered()
    odd.operations.push({ op: "ledger", phase: "ok", by: "supervisor", at: 100, ledger: { accepted: 3 } })
    expect(odd.broken).toEqual(["I10 the ledger: it has not the form of one"])
  })

  const stopped = (report: unknown, code = 0) =>
    tale("pull")
      .boots()
      .sends("a")
      .answers("1", "r1", ["a"])
      .sends("b")
      .stopAsked({ deadline: 3_000 })
      .exits({ code, report })
      .verdict.broken.map(({ what }) => what)
  const ledger = { accepted: 2, open: 1, ends: { replied: 1 }, balanced: true }

  it("is kept by a report of a stop that agrees with what clients had", () => {
    expect(stopped({ exitCode: 0, ledger })).toEqual([])
    expect(stopped({ exitCode: 80, ledger }, 80)).toEqual([])
  })

  it("is broken by a report with another exit code, fewer messages than were acknowledged, or fewer ends than were read", () => {
    expect(stopped({ exitCode: 0, ledger }, 80)).toEqual([
      "the report of boot 1: it says exit code 0, and the process ended with 80"
    ])
    expect(stopped({ exitCode: 0, ledger: { ...ledger, accepted: 1, open: 0 } })).toEqual([
      "the report of boot 1: 1 accepted, and the history has 2"
    ])
    expect(stopped({ exitCode: 0, ledger: { ...ledger, open: 2, ends: {} } })).toEqual([
      "the report of boot 1: 0 ended, and the history has 1 to 2"
    ])
  })

  it("says when a history has no ledger", () => {
    expect(tale().sends("a").verdict.unjudged).toContain("I10: the history has no ledger")
  })
})

describe("times", () => {
  it("are those from a kill to the next sign of what was open, and from a start to ready", () => {
    const { times } = tale()
      .boots({ at: 0 })
      .sends("a", { at: 5 })
      .begins("r1", ["a"])
      .killed({ at: 100 })
      .says("r1", "info", { at: 150 })
      .boots({ at: 200, open: 1 })
      .sends("z", { at: 300 })
      .begins("r9", ["z"], { at: 310, in: "bob" })
      .begins("r2", ["a"], { at: 350 }).verdict
    expect(times).toEqual({
      "boot to ready, 0 open": [1],
      "boot to ready, 1 to 99 open": [1],
      "crash to resumed": [250]
    })
  })
})
