// I6 and I7, each by histories that keep it and histories that break it in different ways, with orphans of killed gateways,
// agents that fail, and crashes that count for somebody else.
import { describe, expect, it } from "vitest"
import { type Tale, tale } from "./tale.ts"

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

  it("is kept and broken by the same run beside a gateway that was refused the store", () => {
    const told = (other: (told: Tale) => Tale) =>
      other(tale().boots().sends("a").begins("r1", ["a"]).says("r1", "ok"))
        .answers("1", "r2", ["a"])
        .rests()
    const again = "I7 a was run by r1 and again by r2, although the first had answered and no gateway ended in between"
    expect(told((one) => one.killed().boots()).broken).toEqual([])
    const refused = told((one) => one.refused())
    expect(refused.broken).toEqual([again])
    expect(refused.verdict.kills).toBe(0)
  })

  it("is broken by a run of what was answered before", () => {
    const { broken } = tale().boots().sends("a").answers("1", "r1", ["a"]).killed().boots().begins("r2", ["a"]).rests()
    expect(broken).toEqual(["I7 run r2 was given a, which had been answered"])
  })
})

describe("I7: nothing is set aside too early, nor too late", () => {
  const crashed = { what: "notice", aside: { why: "crashed", times: 3 } } as const
  const cut = { what: "notice", aside: { why: "cut", times: 10 } } as const
  const dying = (told: Tale, times: number, how: "killed" | "in a stop") => {
    for (let n = 0; n < times; n++) {
      told.boots()
      if (how === "in a stop") told.stopAsked({ deadline: 3_000 })
      told.killed()
    }
    return told
  }
  const early = (why: string, ends: number) =>
    `I7 a was set aside as ${why}, and since it was sent ${ends} ends of gateways can have been the reason`

  it("a message is set aside after three crashes that it has seen, and not after two, whatever came before it", () => {
    const after = (times: number) =>
      dying(dying(tale(), 4, "killed").sends("a"), times, "killed")
        .boots()
        .shows("1", ["a"], crashed)
        .rests().broken
    expect(after(3)).toEqual([])
    expect(after(2)).toEqual([early("crashed", 2)])
    // A stop that dies before it is stored leaves a crash; a gateway that is refused the store leaves nothing.
    const mixed = dying(dying(tale().sends("a"), 2, "killed"), 1, "in a stop")
      .boots()
      .shows("1", ["a"], crashed)
    expect(mixed.rests().broken).toEqual([])
    const refused = dying(tale().sends("a"), 2, "killed").refused().boots().shows("1", ["a"], crashed)
    expect(refused.rests().broken).toEqual([early("crashed", 2)])
  })

  it("a turn that takes over what crashed inherits the crashes with the message", () => {
    const told = dying(tale().sends("a"), 2, "killed").sends("b")
    expect(dying(told, 1, "killed").boots().shows("1", ["a", "b"], crashed).rests().broken).toEqual([])
  })

  it("a message is set aside after ten stops that cut it, and not after nine, nor after crashes", () => {
    const after = (times: number) =>
      dying(tale().sends("a"), times, "in a stop").boots().shows("1", ["a"], cut).rests().broken
    expect(after(10)).toEqual([])
    expect(after(9)).toEqual([early("cut", 9)])
    const crashes = dying(tale().sends("a"), 10, "killed").boots().shows("1", ["a"], cut)
    expect(crashes.rests().broken).toEqual([early("cut", 0)])
  })

  it("is broken by a notice that itself names too few times", () => {
    const failed = { what: "notice", aside: { why: "failed", times: 2 } } as const
    const told = tale().boots().sends("a").begins("r1", ["a"]).says("r1", "fail").begins("r2", ["a"]).says("r2", "fail")
    expect(told.shows("1", ["a"], failed).rests().broken).toEqual(["I7 a was set aside as failed after 2 times"])
  })

  const cutRuns = (times: number, last: (n: number) => ReadonlyArray<string>) => {
    const told = tale().sends("a").sends("b")
    for (let n = 1; n <= times; n++) {
      // The agent is alive after its gateway: the turn was open when it died.
      told.boots().begins(`r${n}`, last(n)).stopAsked({ deadline: 3_000 }).killed().says(`r${n}`, "info")
    }
    return told.boots().answers("1", "last", ["a", "b"]).rests().broken
  }

  it("is broken by a run after so many deaths in stops that they were ten cuts or three crashes", () => {
    expect(cutRuns(11, () => ["a", "b"])).toEqual([])
    expect(cutRuns(12, () => ["a", "b"])).toEqual([
      "I7 a, b was run by r12 and again by last, after 0 crashes and 12 cuts or crashes in stops"
    ])
  })

  it("does not count the cuts of a turn that another one took over", () => {
    expect(cutRuns(14, (n) => (n < 5 ? ["a"] : ["a", "b"]))).toEqual([])
  })

  it("does not count a death in a stop whose agent had been ended before", () => {
    const told = tale().sends("a")
    for (let n = 1; n <= 14; n++) told.boots().begins(`r${n}`, ["a"]).stopAsked().says(`r${n}`, "fail").killed()
    expect(told.boots().answers("1", "last", ["a"]).rests().broken).toEqual([])
  })
})

describe("a run takes over what is handed to it", () => {
  it("is kept by a message that came meanwhile and is answered with the others", () => {
    const { broken } = tale()
      .sends("a")
      .begins("r1", ["a"])
      .sends("b")
      .takes("r1", ["a", "b"])
      .says("r1", "ok")
      .shows("1", ["a", "b"], { run: "r1" })
      .rests()
    expect(broken).toEqual([])
  })

  it("is kept by a crash before anybody stored that it was taken, which counts for the others only", () => {
    const history = tale().boots().sends("a").begins("r0", ["a"]).killed().boots().begins("r1", ["a"]).killed()
    const { broken } = history
      .boots()
      .begins("r2", ["a"])
      .sends("b")
      .takes("r2", ["a", "b"])
      .killed()
      .boots()
      .shows("1", ["a"], { what: "notice", aside: { why: "crashed", times: 3 } })
      .answers("2", "r3", ["b"])
      .rests()
    expect(broken).toEqual([])
  })

  it("is broken by a message that was taken and is run again, although the run had answered", () => {
    const { broken } = tale()
      .sends("a")
      .begins("r1", ["a"])
      .sends("b")
      .takes("r1", ["a", "b"])
      .says("r1", "ok")
      .shows("1", ["a", "b"], { run: "r1" })
      .answers("2", "r2", ["b"])
      .rests()
    expect(broken.map((one) => one.slice(0, 2))).toEqual(["I3", "I7", "I7"])
  })

  it("is broken by a message that is taken before it was sent, or once it was answered, or past an older one", () => {
    const early = tale().sends("a").begins("r1", ["a"]).takes("r1", ["a", "b"]).sends("b").says("r1", "ok")
    expect(early.shows("1", ["a", "b"], { run: "r1" }).rests().broken).toEqual([
      "I2 run r1 was given b, before it was sent"
    ])
    const again = tale().sends("a").answers("1", "r1", ["a"]).sends("b").begins("r2", ["b"]).takes("r2", ["b", "a"])
    const { broken } = again.says("r2", "ok").shows("2", ["b"], { run: "r2" }).rests()
    expect(broken).toContain("I7 run r2 was given a, which had been answered")
    const past = tale().sends("a").begins("r1", ["a"]).sends("b").sends("c").takes("r1", ["a", "c"]).says("r1", "ok")
    const order = past.shows("1", ["a", "c"], { run: "r1" }).answers("2", "r2", ["b"]).rests()
    expect(order.broken.some((one) => one.startsWith("I5 c was run before b"))).toBe(true)
  })
})
