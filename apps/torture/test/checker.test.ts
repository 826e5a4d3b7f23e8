// I1 to I3, each by histories that keep it and histories that break it in different ways: the checker is what every other
// proof of the harness leans on, so it is shown here that it sees, and that it does not cry wolf.
import { describe, expect, it } from "vitest"
import { tale } from "./tale.ts"

describe("I1: every acknowledged message has its end", () => {
  it("is kept by an answer, a notice and a command's reply, and the fates are counted", () => {
    const { verdict } = tale()
      .sends("a")
      .sends("b")
      .sends("c", { command: true })
      .answers("1", "r1", ["a"])
      .shows("2", ["b"], { what: "notice" })
      .shows("3", ["c"], { what: "command" })
      .rests()
    expect(verdict.broken).toEqual([])
    expect(verdict).toMatchObject({ sent: 3, acknowledged: 3, answered: 1, noticed: 1, commands: 1, lost: 0 })
  })

  it("is broken by a message that nothing ever names, and the lines are named", () => {
    const { verdict } = tale().sends("a").sends("b").answers("1", "r1", ["a"]).rests()
    expect(verdict.lost).toBe(1)
    expect(verdict.broken).toEqual([
      {
        invariant: "I1",
        conversation: "ann",
        ids: ["b"],
        lines: [3, 4, 8],
        what: "b was acknowledged and had no end when everything was at rest"
      }
    ])
  })

  it("is broken by a message that is only mentioned in a placeholder", () => {
    const { broken } = tale("edit")
      .sends("a")
      .shows("1", ["a"], { what: "placeholder" })
      .shows("1", [], { what: "placeholder", kind: "edit" })
      .killed()
      .rests()
    expect(broken).toEqual(["I1 a was acknowledged and had no end when everything was at rest"])
  })

  it("is broken by an answer that something else was edited over", () => {
    const { broken } = tale("edit")
      .sends("a")
      .answers("1", "r1", ["a"])
      .shows("1", [], { what: "placeholder", kind: "edit", phase: "info" })
      .rests()
    expect(broken[0]).toBe("I1 the end of a was shown, and something else stands there now")
  })

  it("is broken when the harness gave up waiting for it", () => {
    const { broken } = tale().sends("a").rests("fail")
    expect(broken).toEqual(["I1 a was acknowledged and had no end when the harness gave up waiting"])
  })

  it("is not judged in a history that never came to rest", () => {
    const { broken, unjudged } = tale().sends("a").verdict
    expect(broken).toEqual([])
    expect(unjudged).toContain("I1: the history does not say that everything had come to rest")
  })

  it("does not count a message whose acknowledgement nobody got", () => {
    const { broken, sent, acknowledged } = tale().tries("a", "invoke").tries("a", "info").rests().verdict
    expect({ broken, sent, acknowledged }).toEqual({ broken: [], sent: 1, acknowledged: 0 })
  })

  it("allows an ambiguous channel to have nothing to show for a request that went missing, and counts it", () => {
    const { verdict } = tale("hold")
      .sends("a")
      .begins("r1", ["a"])
      .says("r1", "ok")
      .shows("", ["a"], { phase: "fail" })
      .sends("b")
      .answers("1", "r2", ["b"])
      .rests()
    expect(verdict.broken).toEqual([])
    expect(verdict).toMatchObject({ unknown: 1, lost: 0 })
  })

  it("is broken on an ambiguous channel too when nothing went missing", () => {
    const { broken } = tale("hold").sends("a").sends("b").answers("1", "r2", ["b"]).rests()
    expect(broken).toEqual(["I1 a was acknowledged and had no end when everything was at rest"])
  })

  it("allows a dead letter that the ledger admits, after a day of lost requests, or an hour when a clock jumped", () => {
    const { broken, lost, undeliverable } = tale()
      .sends("a")
      .fault("the clock jumps by 25 h")
      .shows("", ["a"], { phase: "fail" })
      .shows("", ["a"], { phase: "fail", at: 3_600_010 })
      .rests()
      .ledger({ undeliverable: 1 }).verdict
    expect({ broken, lost, undeliverable }).toEqual({ broken: [], lost: 0, undeliverable: 1 })
    const day = tale()
      .sends("a")
      .shows("", ["a"], { phase: "fail" })
      .sends("b", { at: 86_400_010 })
      .answers("1", "r1", ["b"])
    expect(day.rests().ledger({ undeliverable: 1, replied: 1 }).broken).toEqual([])
  })

  it("allows a dead letter that was refused, and one whose placeholder could not be placed", () => {
    const refused = tale().sends("a").shows("", ["a"], { phase: "fail", failure: "refused" }).rests()
    expect(refused.ledger({ undeliverable: 1 }).broken).toEqual([])
    const placing = tale("edit")
      .sends("a")
      .fault("the clock jumps by 25 h")
      .shows("", [], { phase: "fail", failure: "unsent", at: 3_600_010 })
    expect(placing.rests().ledger({ undeliverable: 1 }).broken).toEqual([])
  })

  it("does not take a request for lost of which the gateway was told that it was not sent", () => {
    const { broken } = tale("hold").sends("a").shows("", ["a"], { phase: "fail", failure: "unsent" }).rests()
    expect(broken).toEqual(["I1 a was acknowledged and had no end when everything was at rest"])
  })

  it("is broken by a dead letter for which it is too early, or of which the ledger says nothing", () => {
    const gone = "I1 a was acknowledged and had no end when everything was at rest"
    const early = tale().sends("a").shows("", ["a"], { phase: "fail" }).rests().ledger({ undeliverable: 1 })
    expect(early.broken).toEqual([gone])
    const jumped = tale().sends("a").fault("the clock jumps").shows("", ["a"], { phase: "fail", at: 3_500_000 }).rests()
    expect(jumped.ledger({ undeliverable: 1 }).broken).toEqual([gone])
    const silent = tale().sends("a").fault("the clock jumps").shows("", ["a"], { phase: "fail" }).rests()
    expect(silent.ledger({ replied: 1 }).broken).toContain(gone)
  })

  it("knows from the message's own line what its channel promises, where nothing was ever shown", () => {
    const gone = "I1 a was acknowledged and had no end when everything was at rest"
    const held = (told: boolean) => tale("hold").boots().sends("a", { told }).killed().rests()
    expect(held(true).verdict).toMatchObject({ broken: [], unknown: 1, lost: 0, duplicated: { hold: 0 } })
    expect(held(false).broken).toEqual([gone])
    // The promise of a keyed channel has no such excuse, and one further copy needs two of them.
    expect(tale("keyed").boots().sends("a", { told: true }).killed().rests().broken).toEqual([gone])
    expect(tale("resend-once").boots().sends("a", { told: true }).killed().rests().verdict.unknown).toBe(1)
    expect(tale("resend-once").sends("a", { told: true }).fault("the network breaks").rests().broken).toEqual([gone])
  })

  it("is broken where one lost request is no excuse, because one further copy is sent", () => {
    const lost = tale("resend-once").sends("a").shows("", ["a"], { phase: "fail" }).rests()
    expect(lost.broken).toEqual(["I1 a was acknowledged and had no end when everything was at rest"])
    const twice = tale("resend-once")
      .sends("a")
      .shows("", ["a"], { phase: "fail" })
      .shows("", ["a"], { phase: "fail" })
      .rests()
    expect(twice.broken).toEqual([])
  })
})

describe("I2: nothing is delivered that was not sent", () => {
  it("is kept by an answer of a run that was given the message, also when its acknowledgement got lost", () => {
    const { broken } = tale().tries("a", "invoke").tries("a", "info").answers("1", "r1", ["a"]).rests()
    expect(broken).toEqual([])
  })

  it("is broken by an answer to what nobody sent, and by a run of it", () => {
    const { broken } = tale().answers("1", "r1", ["x"]).rests()
    expect(broken).toEqual(["I2 answer 1 is for x, which nobody sent", "I2 run r1 was given x, which nobody sent"])
  })

  it("is broken by an answer in another conversation", () => {
    const { broken } = tale().sends("a").begins("r1", ["a"]).says("r1", "ok").shows("1", ["a"], { in: "bob" }).rests()
    expect(broken).toEqual(["I2 answer 1 is for a, which was sent in ann"])
  })

  it("is broken by a notice before the message was sent", () => {
    const { broken } = tale().shows("1", ["a"], { what: "notice" }).sends("a").rests()
    expect(broken).toEqual(["I2 notice 1 is for a, before it was sent"])
  })

  it("is broken by an answer to what was refused", () => {
    const { broken } = tale().tries("a", "invoke").tries("a", "fail").shows("1", ["a"]).rests()
    expect(broken).toEqual(["I2 answer 1 is for a, which was refused"])
  })

  it("is broken by an answer of a run that never began, did not get the message, or did not answer", () => {
    const never = tale().sends("a").shows("1", ["a"], { run: "r9" }).rests()
    expect(never.broken).toEqual(["I2 answer 1 is of run r9, which never began"])
    const other = tale()
      .sends("a")
      .sends("b")
      .begins("r1", ["a"])
      .says("r1", "ok")
      .shows("1", ["a", "b"], { run: "r1" })
      .rests()
    expect(other.broken).toEqual(["I2 answer 1 is of run r1, which was not given b"])
    const cut = tale().sends("a").begins("r1", ["a"]).says("r1", "fail").shows("1", ["a"], { run: "r1" }).rests()
    expect(cut.broken).toEqual(["I2 answer 1 is of run r1, which does not say that it answered"])
  })
})

describe("I3: keyed, pull and edit channels show one copy", () => {
  it("is kept by a request that is repeated under its key, a number that is pulled twice, and an edit that is repeated", () => {
    for (const promised of ["keyed", "pull", "edit"] as const) {
      const { verdict } = tale(promised)
        .sends("a")
        .answers("1", "r1", ["a"])
        .shows("1", ["a"], { run: "r1", phase: "info" })
        .rests()
      expect(verdict.broken).toEqual([])
      expect(verdict.duplicated).toEqual({ [promised]: 0 })
    }
  })

  it("is kept by the parts of one answer", () => {
    const { broken } = tale()
      .sends("a")
      .answers("1", "r1", ["a"], { part: 1 })
      .shows("2", ["a"], { run: "r1", part: 2 })
      .rests()
    expect(broken).toEqual([])
  })

  it("is broken by a second copy, and messages that were answered together are named together", () => {
    const { verdict } = tale("pull")
      .sends("a")
      .sends("b")
      .answers("1", "r1", ["a", "b"])
      .shows("2", ["a", "b"], { run: "r1" })
      .rests()
    expect(verdict.broken.map(({ what }) => what)).toEqual(["pull: a, b ended 2 times (answer 1, answer 2)"])
    expect(verdict.duplicated).toEqual({ pull: 1 })
  })

  it("is broken by a copy that says so, also after a crash", () => {
    const { broken } = tale("edit")
      .sends("a")
      .answers("1", "r1", ["a"])
      .killed()
      .shows("2", ["a"], { run: "r1", what: "copy" })
      .rests()
    expect(broken).toEqual(["I3 edit: a ended 2 times (answer 1, copy 2)"])
  })

  it("is broken by a message that is answered and set aside", () => {
    const { broken } = tale().sends("a").answers("1", "r1", ["a"]).shows("2", ["a"], { what: "notice" }).rests()
    expect(broken).toEqual(["I3 keyed: a ended 2 times (answer 1, notice 2)"])
  })

  it("is broken by one key, or one number, for two replies", () => {
    const { broken } = tale("pull").sends("a").sends("b").answers("1", "r1", ["a"]).answers("1", "r2", ["b"]).rests()
    expect(broken).toContain("I3 pull: 1 was answer of a and is answer of b")
  })

  it("is broken by a placeholder that is left and that nothing explains", () => {
    const left = tale("edit").sends("a").shows("1", [], { what: "placeholder" }).answers("2", "r1", ["a"])
    expect(left.rests().broken).toEqual(["I3 edit: 1 placeholders are left and 0 are explained"])
    const crashed = tale("edit").sends("a").shows("1", [], { what: "placeholder" }).killed().answers("2", "r1", ["a"])
    expect(crashed.rests().broken).toEqual([])
  })

  it("is broken by a message with two numbers and by a number of two messages", () => {
    const two = tale().sends("a", { seq: 4 }).tries("a", "ok", { seq: 5 }).answers("1", "r1", ["a"]).rests()
    expect(two.broken).toEqual(["I3 a is stored as 4 and as 5"])
    const shared = tale().sends("a", { seq: 4 }).sends("b", { seq: 4 }).answers("1", "r1", ["a", "b"]).rests()
    expect(shared.broken).toEqual(["I3 a and b are both stored as 4"])
  })
})
