// I8 to I10, each by histories that keep it and histories that break it in different ways: the time of stops, what is left
// after them, and the figures that the gateway gives of itself. And the times that the checker reads from a history.
import { describe, expect, it } from "vitest"
import { tale } from "./tale.ts"

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

  it("is not broken by a machine that gave it no processor meanwhile, only by what it took itself", () => {
    const stopped = () => tale().boots().stopAsked({ at: 10, deadline: 3_000 })
    expect(stopped().exits({ at: 4_110, starved: 100 }).broken).toEqual([])
    expect(stopped().exits({ at: 4_111, starved: 90 }).broken).toEqual([
      "I8 boot 1 took 4101 ms to end; its deadline was 3000 ms"
    ])
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
    const copy = tale("resend-once").sends("a").shows("1", ["a"], { what: "copy" }).rests()
    expect(copy.ledger({ replied: 1 }).broken).toEqual([])
    expect(copy.ledger({ suspended: 1 }).broken).toEqual([])
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
    // Its store failed between the moment in which the reply was read and the one that notes it.
    expect(stopped({ exitCode: 74, ledger: { ...ledger, open: 2, ends: {} } }, 74)).toEqual([])
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
