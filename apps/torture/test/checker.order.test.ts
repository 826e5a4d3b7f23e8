// I4 and I5: copies on ambiguous channels, and order in a conversation, each by histories that keep it and histories that
// break it in different ways.
import { describe, expect, it } from "vitest"
import { tale } from "./tale.ts"

describe("I4: ambiguous channels show at most one further copy, for a reason", () => {
  it("is kept by a marked copy after a crash, and it is counted", () => {
    const { verdict } = tale("resend-once")
      .sends("a")
      .answers("1", "r1", ["a"])
      .killed()
      .shows("2", ["a"], { run: "r1", what: "copy" })
      .rests()
    expect(verdict.broken).toEqual([])
    expect(verdict.duplicated).toEqual({ "resend-once": 1 })
  })

  it("is kept by a copy whose first was seen after the crash of the gateway that had sent it", () => {
    const { broken } = tale("resend-once")
      .sends("a")
      .boots()
      .begins("r1", ["a"])
      .says("r1", "ok")
      .killed()
      .shows("1", ["a"], { run: "r1" })
      .boots()
      .shows("2", ["a"], { run: "r1", what: "copy" })
      .rests()
    expect(broken).toEqual([])
  })

  it("is kept by a copy after an answer that got lost", () => {
    const { broken } = tale("resend-once")
      .sends("a")
      .answers("1", "r1", ["a"], { phase: "info" })
      .shows("2", ["a"], { run: "r1", what: "copy" })
      .rests()
    expect(broken).toEqual([])
  })

  it("is broken by a copy for which nothing happened, whatever happened before and after", () => {
    const { broken } = tale("resend-once")
      .boots()
      .sends("a")
      .killed()
      .boots()
      .answers("1", "r1", ["a"])
      .shows("2", ["a"], { run: "r1", what: "copy" })
      .killed()
      .rests()
    expect(broken).toEqual([
      "I4 resend-once: a shown as answer 1, copy 2, although the first was acknowledged and no gateway ended in between"
    ])
  })

  it("is broken by a third copy, however many crashes there were", () => {
    const { broken, duplicated } = tale("resend-once")
      .sends("a")
      .answers("1", "r1", ["a"])
      .killed()
      .shows("2", ["a"], { run: "r1", what: "copy" })
      .boots()
      .killed()
      .shows("3", ["a"], { run: "r1", what: "copy" })
      .rests().verdict
    expect(broken.map(({ what }) => what)).toEqual([
      "resend-once: a shown as answer 1, copy 2, copy 3, where one further copy is the most"
    ])
    expect(duplicated).toEqual({ "resend-once": 2 })
  })

  it("is broken by a copy that does not say so, and by one that another run wrote", () => {
    const plain = tale("resend-once")
      .sends("a")
      .answers("1", "r1", ["a"])
      .killed()
      .shows("2", ["a"], { run: "r1" })
      .rests()
    expect(plain.broken).toEqual([
      "I4 resend-once: a shown as answer 1, answer 2, and the second does not say that it is a copy"
    ])
    const rerun = tale("resend-once")
      .sends("a")
      .answers("1", "r1", ["a"])
      .killed()
      .answers("2", "r2", ["a"], { what: "copy" })
      .rests()
    expect(rerun.broken).toContain("I4 resend-once: a shown as answer 1, copy 2, of the two runs r1 and r2")
  })

  it("is broken by any copy where doubt is held", () => {
    const { broken } = tale("hold")
      .sends("a")
      .answers("1", "r1", ["a"])
      .killed()
      .shows("2", ["a"], { run: "r1", what: "copy" })
      .rests()
    expect(broken).toEqual(["I4 hold: a shown as answer 1, copy 2, where every doubt is held"])
  })
})

describe("I5: order in a conversation", () => {
  it("is kept by turns that take several messages, by notices that overtake, and across conversations", () => {
    const { orderFaults, broken } = tale()
      .sends("a")
      .sends("b")
      .sends("c")
      .sends("x", { in: "bob" })
      .begins("r1", ["a"])
      .answers("9", "r9", ["x"], { in: "bob" })
      .shows("8", ["c"], { what: "notice" })
      .says("r1", "ok")
      .shows("1", ["a"], { run: "r1" })
      .answers("2", "r2", ["b"])
      .rests().verdict
    expect({ orderFaults, broken }).toEqual({ orderFaults: 0, broken: [] })
  })

  it("is kept by a further run of earlier messages after a crash", () => {
    const { broken } = tale()
      .boots()
      .sends("a")
      .sends("b")
      .begins("r1", ["a"])
      .killed()
      .boots()
      .answers("1", "r2", ["a", "b"])
      .rests()
    expect(broken).toEqual([])
  })

  it("sees swapped answers, which turns that are longer than messages are apart make possible", () => {
    const { verdict } = tale().sends("a").sends("b").answers("1", "r2", ["b"]).answers("2", "r1", ["a"]).rests()
    expect(verdict.orderFaults).toBe(1)
    expect(verdict.broken).toEqual([
      {
        invariant: "I5",
        conversation: "ann",
        ids: ["b", "a"],
        lines: [2, 4, 5, 8],
        what: "b was run before a, and they are 2 and 1"
      }
    ])
  })

  it("does not see the same fault when each turn is over before the next message comes", () => {
    // The reason for the rule that turns take longer than messages are apart.
    const { broken } = tale().sends("a").answers("1", "r1", ["a"]).sends("b").answers("2", "r2", ["b"]).rests()
    expect(broken).toEqual([])
  })

  it("is broken by answers that leave in another order than their runs", () => {
    const { broken } = tale()
      .sends("a")
      .sends("b")
      .begins("r1", ["a"])
      .says("r1", "ok")
      .begins("r2", ["b"])
      .says("r2", "ok")
      .shows("1", ["b"])
      .shows("2", ["a"])
      .rests()
    expect(broken).toEqual(["I5 b was answered before a, and they are 2 and 1"])
  })

  it("is broken within one turn", () => {
    const { broken } = tale().sends("a").sends("b").answers("1", "r1", ["b", "a"]).rests()
    expect(broken).toEqual(["I5 b was run before a, and they are 2 and 1"])
  })

  it("is broken by a lower number, in whatever order a reader got them", () => {
    const { broken } = tale("pull")
      .sends("a")
      .sends("b")
      .begins("r1", ["a"])
      .says("r1", "ok")
      .begins("r2", ["b"])
      .says("r2", "ok")
      .shows("2", ["a"])
      .shows("1", ["b"])
      .rests()
    expect(broken).toEqual(["I5 b was answered before a, and they are 2 and 1", "I5 number 1 became visible after 2"])
  })

  it("is broken by an answer that takes the place above an earlier one", () => {
    const { broken } = tale("edit")
      .sends("a")
      .sends("b")
      .shows("1", [], { what: "placeholder" })
      .shows("2", [], { what: "placeholder" })
      .begins("r1", ["a"])
      .says("r1", "ok")
      .shows("2", ["a"], { kind: "edit", run: "r1" })
      .begins("r2", ["b"])
      .says("r2", "ok")
      .shows("1", ["b"], { kind: "edit", run: "r2" })
      .rests()
    expect(broken).toEqual(["I5 b was answered before a, and they are 2 and 1"])
  })

  it("is broken by acknowledgements against a client's own order, and by the client's order where there are no numbers", () => {
    const { broken } = tale()
      .sends("a", { seq: 5 })
      .sends("b", { seq: 4 })
      .answers("1", "r1", ["b"])
      .answers("2", "r2", ["a"])
      .rests()
    expect(broken).toContain("I5 b was accepted before a, and they are 4 and 5")
    const feed = tale()
      .sends("a", { seq: false })
      .sends("b", { seq: false })
      .answers("1", "r1", ["b"])
      .answers("2", "r2", ["a"])
      .rests()
    expect(feed.broken).toEqual(["I5 b was run before a, and they are 2 and 1"])
  })

  it("leaves out commands, which may be done before what waits", () => {
    const { broken } = tale()
      .sends("a")
      .sends("b", { command: true })
      .begins("r1", ["a"])
      .shows("1", ["b"], { what: "command" })
      .says("r1", "ok")
      .shows("2", ["a"], { run: "r1" })
      .rests()
    expect(broken).toEqual([])
  })
})
