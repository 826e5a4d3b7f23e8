// I6 and I7, each by histories that keep it and histories that break it in different ways, with orphans of killed gateways,
// agents that fail, and crashes that count for somebody else.
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
